"""The entries of molecule files as sources: `.smi`, `.selfies`, `.inchi`, `.sdf`, `.mol`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlcli.api import Source
from vlcli.data.names import printable
from vlcli.errors import VlcliError
from vlcli_molecules.guard import Guard, shared_guard
from vlcli_molecules.options import Notation, StructureOptions
from vlcli_molecules.readers.lines import opened, read_lines

NOTATIONS: dict[str, Notation] = {
    ".smi": "smiles", ".smiles": "smiles", ".selfies": "selfies", ".inchi": "inchi", ".sdf": "molblock",
    ".sd": "molblock", ".mol": "molblock", ".mdl": "molblock",
}  # fmt: skip
HEADERS = frozenset({"smiles", "canonical_smiles", "isomeric_smiles", "selfies", "inchi", "structure", "smile"})
MAX_BLOCK_CHARACTERS = 400_000
MAX_FIELDS = 200
MAX_FIELD_CHARACTERS = 10_000
END_OF_RECORD = "$$$$"


def notation_of(path: Path) -> Notation:
    """What a file holds, by its name; `auto` for other names."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return NOTATIONS.get(suffixes[-1], "auto") if suffixes else "auto"


def expand(path: Path, guard: Guard | None = None) -> Iterator[Source]:
    """One source an entry, with its place and data as metadata; memory does not grow with the file.

    Raises:
        VlcliError: D111-D115 for the file itself, D606 no text, D607 damaged gzip data.
    """
    notation = notation_of(path)
    if notation == "molblock" and path.suffix.lower() in (".mol", ".mdl"):
        yield Source(id=printable(path), path=path)
    elif notation == "molblock":
        yield from sdf_sources(path, guard or shared_guard())
    else:
        yield from line_sources(path, notation)


def line_sources(path: Path, notation: Notation) -> Iterator[Source]:
    """Each line: a structure, then white space and a name. A heading and lines that begin with `#` are no entries."""
    where = printable(path)
    with opened(path) as file:
        for number, line in read_lines(file, where):
            structure, _, name = line.strip().partition("\t") if "\t" in line.strip() else line.strip().partition(" ")
            if not structure or structure.startswith("#") or (number == 1 and structure.lower() in HEADERS):
                continue
            metadata: dict[str, Any] = {} if notation == "auto" else {"notation": notation}
            if name := printable(without_extension(name)).strip()[:MAX_FIELD_CHARACTERS]:
                metadata["title"] = name
            yield Source(id=f"{where}#{number}", value=structure, metadata=metadata)


def without_extension(name: str) -> str:
    """The name after a SMILES without a CXSMILES extension, which stands between bars before it."""
    text = name.strip()
    return text[end + 1 :] if text.startswith("|") and (end := text.find("|", 1)) > 0 else text


def sdf_sources(path: Path, guard: Guard) -> Iterator[Source]:
    """Each record, its structure as isomeric SMILES and its data fields as metadata.

    A record that can not be read is given as its MOL block (cut when it is too long), so that loading it refuses it
    with the reason, and the file goes on.
    """
    where = printable(path)
    with opened(path) as file:
        for index, (block, fields) in enumerate(sdf_records(file, where), start=1):
            metadata: dict[str, Any] = {**fields, "notation": "smiles"}
            if title := printable(block.split("\n", 1)[0].strip())[:MAX_FIELD_CHARACTERS]:
                metadata["title"] = title
            try:
                value = guard.parse(block, "", "molblock", StructureOptions(selfies="keep-smiles")).smiles
            except VlcliError:
                value, metadata["notation"] = block, "molblock"
            yield Source(id=f"{where}#{index}", value=value, metadata=metadata)


def sdf_records(file: Any, where: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The MOL block and the data fields of each record; a block is cut one character after its limit."""
    block: list[str] = []
    fields: dict[str, str] = {}
    size, name, in_block, anything = 0, "", True, False
    for _, line in read_lines(file, where):
        if line.startswith(END_OF_RECORD):
            if anything:
                yield "\n".join(block)[: MAX_BLOCK_CHARACTERS + 1], clean(fields)
            block, size, fields, name, in_block, anything = [], 0, {}, "", True, False
            continue
        anything = anything or bool(line.strip())
        if in_block and not line.startswith(">"):
            if size <= MAX_BLOCK_CHARACTERS:
                block.append(line)
                size += len(line) + 1
            in_block = line.rstrip() != "M  END"
        elif line.startswith(">"):
            in_block = False
            name = line[line.find("<") + 1 : line.rfind(">")].strip() if "<" in line else ""
        elif name and line.strip() and (name in fields or len(fields) < MAX_FIELDS):
            known = fields.get(name, "")
            if len(known) < MAX_FIELD_CHARACTERS:
                fields[name] = f"{known} | {line.strip()}" if known else line.strip()
        elif not line.strip():
            name = ""
    if anything:
        yield "\n".join(block)[: MAX_BLOCK_CHARACTERS + 1], clean(fields)


def clean(fields: dict[str, str]) -> dict[str, Any]:
    """Data fields as metadata: numbers where that loses nothing."""
    from vlcli.data.manifests import typed

    found = {printable(name)[:200]: typed(printable(text)[:MAX_FIELD_CHARACTERS]) for name, text in fields.items()}
    return {name: value for name, value in found.items() if value is not None}
