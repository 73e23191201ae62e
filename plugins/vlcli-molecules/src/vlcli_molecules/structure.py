"""Text to molecule: limits before RDKit sees it, sanitisation with RDKit's own reasons, one canonical form.

Everything here runs in the caller's process. RDKit walks molecules recursively, so a long chain overflows the stack
(observed at 20,000 atoms); the limits keep well below. What comes from files goes through `vlcli_molecules.guard`,
which calls this module in a process of its own.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rdkit import Chem, rdBase
from rdkit.Chem import rdinchi

from vlcli.errors import VlcliError
from vlcli_molecules.conversion import SELFIES, shown, to_selfies, to_smiles
from vlcli_molecules.molecule import Molecule
from vlcli_molecules.options import DEFAULT, Fallback, Notation, StructureOptions

__all__ = ["DEFAULT", "MAX_ATOMS", "MAX_CHARACTERS", "Notation", "StructureOptions", "detect", "parse"]

MAX_ATOMS = 2_000
MAX_NESTING = 300
MAX_OPEN_RINGS = 200
MAX_SMARTS_CHARACTERS = 5_000
MAX_SMARTS_NESTING = 100
MAX_CHARACTERS: Mapping[str, int] = {"smiles": 10_000, "selfies": 50_000, "inchi": 10_000, "molblock": 400_000}

ATOM = re.compile(r"\[[^\]]*\]|Br|Cl|[BCNOPSFIbcnops*]")
RING = re.compile(r"%\(([0-9]+)\)|%([0-9]{2})|([0-9])")
BRACKETS = re.compile(r"\[[^\]]*\]")
COUNTS = re.compile(r"^M  V30 COUNTS +(\S+)", re.MULTILINE)
# SELFIES has symbols that no SMILES has, and atoms of the organic subset in brackets without hydrogens, which a SMILES
# writer leaves bare. What is neither ([Na+].[Cl-]) is SMILES.
ONLY_SELFIES = re.compile(r"\[(?:[=#/\\-]?[A-Z]?[a-z]*(?:Branch|Ring)[0-9]|[=#/\\]|[BCNOPSFI]\]|Cl\]|Br\]|nop\])")
POSITION = re.compile(r"around position (\d+)")
PREFIX = re.compile(r"^(?:ERROR:|SMILES Parse Error:|SMARTS Parse Error:)\s*")
TIME = re.compile(r"^\[[0-9:]{8}\]\s*")

# RDKit's log, from which its reasons are read, is one for the whole process.
_LOG_LOCK = threading.Lock()


def parse(text: str, *, where: str = "", notation: Notation = "auto", options: StructureOptions = DEFAULT) -> Molecule:
    """The molecule that a text describes, in canonical form.

    Args:
        text: SMILES, SELFIES, InChI, or a MOL block (V2000 or V3000).
        where: its place, for errors; by default the text itself.
        notation: what the text is; `auto` tells by its form (`[C]`, ambiguous, counts as SELFIES).
        options: salts, charges, and what happens when SELFIES can not write it.

    Raises:
        VlcliError: D601 empty, D602 not clean text, D603 too long, D604 too many atoms, D605 nested or ringed too
            deep, D611 unreadable with RDKit's reason, D612 chemically impossible with RDKit's reason, D613 a reaction,
            D614 no atoms, D621-D623 SELFIES.
    """
    found = detect(text) if notation == "auto" else notation
    text = text if found == "molblock" else text.strip()
    where = where or ("MOL block" if found == "molblock" else shown(text))
    try:
        check_text(text, found)
        mol = read(text, found)
        check_size(mol.GetNumAtoms())
        mol, notes = standardise(mol, options)
        smiles = Chem.MolToSmiles(mol)
        if read_smiles(smiles) is None:
            raise refusal("D611", "RDKit can not read its own canonical SMILES of it")
        selfies, note = selfies_of(smiles, options.selfies)
    except VlcliError as error:
        raise VlcliError(error.code, where, error.message, error.help) from error
    notes += (note,) if note else ()
    return Molecule(smiles, selfies, "" if found == "molblock" else text, notes)


def holds(text: str, notation: Notation, pattern: Chem.Mol, chirality: bool = False) -> bool:
    """Whether a structure holds a pattern.

    Raises:
        VlcliError: as `parse`.
    """
    found = detect(text) if notation == "auto" else notation
    text = text if found == "molblock" else text.strip()
    check_text(text, found)
    mol = read(text, found)
    check_size(mol.GetNumAtoms())
    return bool(mol.HasSubstructMatch(pattern, useChirality=chirality))


def read_smarts(smarts: str) -> Chem.Mol:
    """A pattern.

    Raises:
        VlcliError: U602 when it is too long, nested too deep, empty, or not what RDKit reads, with its reason.
    """
    help = "write a SMARTS pattern, such as c1ccccc1[NX3] for an aromatic amine"
    if len(smarts) > MAX_SMARTS_CHARACTERS or not smarts.strip() or not smarts.isprintable():
        raise refusal("U602", "a pattern has between 1 and "
                      f"{MAX_SMARTS_CHARACTERS:,} characters, all of them printable", help)  # fmt: skip
    depth = 0
    for letter in smarts:
        depth += (letter in "([") - (letter in ")]" and depth > 0)
        if depth > MAX_SMARTS_NESTING:
            raise refusal("U602", f"the pattern is nested deeper than {MAX_SMARTS_NESTING}", help)
    with captured() as reasons:
        pattern = Chem.MolFromSmarts(smarts)
    if pattern is None:
        said = spoken(reasons)
        raise refusal("U602", "is not a SMARTS pattern that RDKit reads" + (f": {said}" if said else ""), help)
    return pattern


def detect(text: str) -> Notation:
    """What a text is, by its form."""
    if "\n" in text.strip() and ("M  END" in text or "V2000" in text or "V3000" in text):
        return "molblock"
    text = text.strip()
    if text.startswith("InChI="):
        return "inchi"
    return "selfies" if ONLY_SELFIES.search(text[:5_000]) and SELFIES.fullmatch(text) else "smiles"


def refusal(code: str, message: str, help: str = "correct the structure or leave it out") -> VlcliError:
    """An error whose place the caller knows."""
    return VlcliError(code, "", message, help)


def check_text(text: str, notation: Notation) -> None:
    """Refuse what RDKit should not see, in time linear in the text."""
    limit = MAX_CHARACTERS[notation]
    if len(text) > limit:
        raise refusal("D603", f"has {len(text):,} characters, more than the limit of {limit:,}", "leave it out")
    if not text.strip():
        raise refusal("D601", "the structure is empty", "remove it from the inputs")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise refusal("D602", "is not valid UTF-8", "save the file as UTF-8") from error
    if "\0" in text:
        raise refusal("D602", "holds NUL bytes, so it is not text", "remove it from the inputs")
    if notation == "molblock":
        check_counts(text)
        return
    if any(letter.isspace() or not letter.isprintable() for letter in text):
        raise refusal("D602", "holds white space or control characters", "give the structure alone")
    if notation == "smiles":
        if ">" in BRACKETS.sub("", text):
            raise refusal("D613", "is a reaction, not a molecule", "give its molecules one by one")
        check_smiles(text)


def check_smiles(text: str) -> None:
    """Atoms, open branches and open rings of a SMILES, counted without parsing it."""
    check_size(sum(1 for _ in ATOM.finditer(text)))
    outside = BRACKETS.sub("", text)
    depth = 0
    for letter in outside:
        depth += (letter == "(") - (letter == ")" and depth > 0)
        if depth > MAX_NESTING:
            raise refusal("D605", f"has branches nested deeper than {MAX_NESTING}", "leave it out")
    open_rings: set[str] = set()
    for match in RING.finditer(outside):
        open_rings ^= {next(group for group in match.groups() if group).lstrip("0")}
        if len(open_rings) > MAX_OPEN_RINGS:
            raise refusal("D605", f"has more than {MAX_OPEN_RINGS} rings open at once", "leave it out")


def check_counts(block: str) -> None:
    """The number of atoms that a MOL block announces, before anything is allocated for it."""
    lines = block.split("\n", 4)
    if len(lines) < 4:
        raise refusal("D611", "the MOL block ends before its counts line")
    announced = lines[3][:3]
    if "V3000" in lines[3]:
        match = COUNTS.search(block)
        announced = match.group(1) if match else ""
    if not announced.strip().isdecimal():
        raise refusal("D611", f"the MOL block's counts line gives no number of atoms ('{announced.strip()[:20]}')")
    check_size(int(announced[:12]))


def check_size(atoms: int) -> None:
    """Refuse too many atoms, and none."""
    if atoms > MAX_ATOMS:
        raise refusal("D604", f"has {atoms:,} atoms, more than the limit of {MAX_ATOMS:,}", "leave it out")


def read(text: str, notation: Notation) -> Chem.Mol:
    """A sanitised molecule with atoms.

    Raises:
        VlcliError: D611-D614, D622, D623.
    """
    if notation == "selfies":
        text = to_smiles(text)
        if not text:
            raise refusal("D614", "these symbols make no atom")
        check_smiles(text)
        notation = "smiles"
    with captured() as reasons:
        if notation == "smiles":
            mol = read_smiles(text)
        elif notation == "inchi":
            mol, _, message, _ = rdinchi.InchiToMol(text, True, True)
        else:
            mol = read_block(text)
    if mol is None:
        raise diagnosis(text, notation, [message] if notation == "inchi" and message else reasons)
    if not mol.GetNumAtoms():
        raise refusal("D614", "has no atoms")
    return mol


def read_smiles(text: str, sanitize: bool = True) -> Chem.Mol | None:
    """RDKit's parser, for a SMILES alone: no name after it, no extension."""
    parameters: Any = Chem.SmilesParserParams()
    parameters.sanitize = sanitize
    parameters.removeHs = sanitize
    parameters.parseName = False
    parameters.allowCXSMILES = False
    return Chem.MolFromSmiles(text, parameters)


def read_block(text: str, sanitize: bool = True) -> Chem.Mol | None:
    """RDKit's parser of SDF, which unlike that of a lone MOL block writes its reasons into the error log."""
    supplier = Chem.SDMolSupplier()
    supplier.SetData(text, sanitize=sanitize, removeHs=sanitize)
    return supplier[0] if len(supplier) else None


def diagnosis(text: str, notation: Notation, reasons: list[str]) -> VlcliError:
    """Why RDKit gave nothing: chemistry that it can name, else what it wrote into its log."""
    with captured():
        raw = None
        if notation == "smiles":
            raw = read_smiles(text, sanitize=False)
        elif notation == "molblock":
            raw = read_block(text, sanitize=False)
        problems = [problem.Message() for problem in Chem.DetectChemistryProblems(raw)] if raw is not None else []
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return refusal("D612", f"is no possible molecule: {' '.join(problems[0].split())[:200]}{more}")
    kind = {"smiles": "a SMILES", "inchi": "an InChI", "molblock": "a MOL block"}[notation]
    said = spoken(reasons)
    return refusal("D611", f"is not {kind} that RDKit reads" + (f": {said}" if said else ""))


def spoken(lines: list[str]) -> str:
    """RDKit's log lines in one phrase, without the input, which the error names already."""
    for line in lines:
        if match := POSITION.search(line):
            return f"syntax error around position {match.group(1)}"
    told = [PREFIX.sub("", line).split(" for input:")[0].strip() for line in lines]
    return next((line[:200] for line in told if any(letter.isalpha() for letter in line)
                 and not line.startswith(("moving to", "Post-condition", "Pre-condition"))), "")  # fmt: skip


@contextmanager
def captured() -> Iterator[list[str]]:
    """What RDKit writes into its error log meanwhile, as lines without time; the list is filled at the end."""
    lines: list[str] = []
    with _LOG_LOCK, rdBase.CaptureErrorLog() as log:
        try:
            yield lines
        finally:
            lines += [TIME.sub("", line).strip() for line in log.messages.splitlines()]


def standardise(mol: Chem.Mol, options: StructureOptions) -> tuple[Chem.Mol, tuple[str, ...]]:
    """Salts and charges as the options say, and what was changed."""
    notes: list[str] = []
    if options.salts == "keep" and options.charges == "keep":
        return mol, ()
    from rdkit.Chem.MolStandardize import rdMolStandardize

    with rdBase.BlockLogs():
        if options.salts == "largest" and (count := len(Chem.GetMolFrags(mol))) > 1:
            mol = rdMolStandardize.LargestFragmentChooser(preferOrganic=True).choose(mol)
            notes.append(f"largest of {count} fragments kept")
        if options.charges == "neutralise" and any(atom.GetFormalCharge() for atom in mol.GetAtoms()):
            before = Chem.MolToSmiles(mol)
            mol = rdMolStandardize.Uncharger().uncharge(mol)
            if Chem.MolToSmiles(mol) != before:
                notes.append("charges neutralised")
    return mol, tuple(notes)


def selfies_of(smiles: str, fallback: Fallback) -> tuple[str | None, str]:
    """The SELFIES of a canonical SMILES, and a note where it is not the plain one."""
    try:
        return to_selfies(smiles), ""
    except VlcliError as error:
        if fallback == "skip":
            raise
        if fallback == "keep-smiles":
            return None, f"kept as SMILES: {error.message}"
        return to_selfies(smiles, relaxed=True), f"SELFIES with relaxed constraints: {error.message}"
