"""The modality `molecules`: a structure in text or in a file becomes a sanitised, canonical `Molecule`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from vlcli.api import Source, VlcliError
from vlcli.data.files import check_file
from vlcli.data.names import printable
from vlcli_molecules.guard import shared_guard
from vlcli_molecules.molecule import Molecule
from vlcli_molecules.options import Notation, environment_options

MAX_MOL_BYTES = 1_000_000
BLOCK_SUFFIXES = (".mol", ".mdl")


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
            VlcliError: D111-D115 for a file itself, D608 when it does not hold one molecule, D60x what RDKit should not
                see, D611-D614 with RDKit's own reason, D621-D623 for SELFIES, D631-D633 when RDKit crashed, hung or
                ran out of memory on it, X601 when RDKit's worker process can not be started.
        """
        text, notation = text_and_notation(source)
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


def text_and_notation(source: Source) -> tuple[str, Notation]:
    """The structure that a source holds: its value, or the content of its file, which holds one molecule.

    Raises:
        VlcliError: D111-D115 for the file, D606-D608 when it does not hold one molecule's text.
    """
    if source.value is not None:
        return source.value, notation_of(source)
    assert source.path is not None
    if source.path.suffix.lower() in BLOCK_SUFFIXES:
        check_file(source.path, limit=MAX_MOL_BYTES)
        return source.path.read_bytes().decode("utf-8-sig", "surrogateescape").replace("\r\n", "\n"), "molblock"
    from vlcli_molecules.readers.structures import expand

    entries = list(islice(expand(source.path), 2))
    if len(entries) != 1:
        count = "no molecule" if not entries else "more than one molecule"
        raise VlcliError("D608", printable(source.path), f"holds {count}", "give a file with one")
    return str(entries[0].value), notation_of(entries[0])


def notation_of(source: Source) -> Notation:
    """What a source says about its value: by its reader, or by the name of the column that it stood in."""
    said = source.metadata.get("notation")
    if said in ("smiles", "selfies", "inchi", "molblock"):
        return said  # type: ignore[no-any-return]
    column = str(source.metadata.get("column", "")).lower()
    known: tuple[Notation, ...] = ("selfies", "inchi", "smiles")
    return next((notation for notation in known if notation in column and "inchikey" not in column), "auto")
