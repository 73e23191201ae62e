"""The modality `molecules`: a structure in text or in a file becomes a sanitised, canonical `Molecule`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlcli.api import Source
from vlcli.data.files import check_file
from vlcli.data.names import printable
from vlcli_molecules.guard import shared_guard
from vlcli_molecules.molecule import Molecule
from vlcli_molecules.options import Notation, environment_options

MAX_MOL_BYTES = 1_000_000


class MoleculesModality:
    """Molecules. Canonical form: `vlcli_molecules.molecule.Molecule`.

    RDKit runs in worker processes (`vlcli_molecules.guard`). What happens to salts, charges, and to molecules that
    SELFIES can not write is read from the environment variable `VLCLI_MOLECULES`.
    """

    name = "molecules"
    templates = ("{}", "a molecule that is {}")

    def expand(self, path: Path) -> Iterator[Source]:
        """Each line of `.smi`, `.selfies`, `.inchi` and other text, each record of an SDF as `file#NUMBER`; a MOL file.

        Raises:
            VlcliError: D111-D115 for the file itself, D606 no text, D607 damaged gzip data.
        """
        from vlcli_molecules.readers.structures import expand

        return expand(path)

    def load(self, source: Source) -> Molecule:
        """The molecule of a source. `metadata["notation"]`, or the name of its column, says what its value is.

        Raises:
            VlcliError: D111-D115 for a file itself, D60x what RDKit should not see, D611-D614 with RDKit's own reason,
                D621-D623 for SELFIES, D631-D633 when RDKit crashed, hung or ran out of memory on it.
        """
        text, notation = source.value, notation_of(source)
        if text is None:
            assert source.path is not None
            check_file(source.path, limit=MAX_MOL_BYTES)
            text = source.path.read_bytes().decode("utf-8-sig", "surrogateescape").replace("\r\n", "\n")
            notation = "molblock"
        found = shared_guard().parse(text, printable(source.id), notation, environment_options())
        columns = {name: value for name, value in source.metadata.items() if name not in ("notation", "column")}
        return Molecule(found.smiles, found.selfies, found.source, found.notes, columns)

    def collate(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Pad ids and masks at the end to the longest item, `[B, T]`."""
        from vlcli.data.collate import pad_and_stack

        return pad_and_stack(inputs)

    def preview(self, source: Source, size: int = 256) -> bytes:
        """A 2-D drawing as PNG, `size` pixels a side, dark on white."""
        molecule = self.load(source)
        return shared_guard().draw(molecule.smiles, printable(source.id), size)


def notation_of(source: Source) -> Notation:
    """What a source says about its value: by its reader, or by the name of the column that it stood in."""
    said = source.metadata.get("notation")
    if said in ("smiles", "selfies", "inchi", "molblock"):
        return said  # type: ignore[no-any-return]
    column = str(source.metadata.get("column", "")).lower()
    known: tuple[Notation, ...] = ("selfies", "inchi", "smiles")
    return next((notation for notation in known if notation in column and "inchikey" not in column), "auto")
