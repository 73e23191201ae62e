"""English descriptions of molecules, computed from their structure and their names: no model, no look-up, no chance.

`facts_of` finds functional groups, ring systems, families, elements, charges, chains and stereo by RDKit; `describe`
words them. Which wording a molecule gets is decided by a hash of its SMILES, so a data set holds all of them.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from vlcli_molecules.data.groups import FAMILIES, GROUPS, RINGS, SUBSTITUTION, Pattern
from vlcli_molecules.data.roles import roles_of

if TYPE_CHECKING:
    from rdkit import Chem

VERSION = "1"  # of the wording and the patterns; cached descriptions of another version are made anew
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
HALOGENS = {9: "fluorine", 17: "chlorine", 35: "bromine", 53: "iodine"}
# Elements that are worth a word; carbon, hydrogen, nitrogen and oxygen go without saying.
ORDINARY = frozenset({1, 6, 7, 8, *HALOGENS})
LONG_CHAIN = 8
LARGEST_SEARCHED = 150  # heavy atoms: the patterns of larger molecules would take seconds


@dataclass(frozen=True)
class Facts:
    """What is said of a molecule.

    Attributes:
        families, groups, rings: patterns that hold, without those that others hide.
        substitution: words such as "para-disubstituted benzene".
        elements: words such as "two chlorine atoms", "sulfur".
        traits: adjectives and phrases: "aromatic", "a cation", "a hydrate", "with three stereocentres".
        formula: Hill formula.
        salt: names of the counter-ions, empty without.
        fragments: number of disconnected parts.
        chain: length of the longest open chain of carbons when it is long, else 0.
    """

    families: tuple[Pattern, ...]
    groups: tuple[Pattern, ...]
    rings: tuple[Pattern, ...]
    substitution: tuple[str, ...]
    elements: tuple[str, ...]
    traits: tuple[str, ...]
    formula: str
    salt: tuple[str, ...]
    fragments: int
    chain: int

    @property
    def classes(self) -> tuple[Pattern, ...]:
        """Families, rings and groups, the telling ones first."""
        return (*self.families, *(ring for ring in self.rings if ring.name != "benzene"), *self.groups)


@cache
def compiled(patterns: tuple[Pattern, ...]) -> tuple[tuple[Pattern, Any, Counter[int], bool], ...]:
    """The patterns with their RDKit queries, the elements that a match needs, and whether it needs a ring."""
    from rdkit import Chem

    found = []
    for pattern in patterns:
        query = Chem.MolFromSmarts(pattern.smarts)
        Chem.FastFindRings(query)
        found.append((pattern, query, needed_elements(query), query.GetRingInfo().NumRings() > 0))
    return tuple(found)


def needed_elements(query: Chem.Mol) -> Counter[int]:
    """How many atoms of which element a match can not do without; atoms that may be several are not counted."""
    from rdkit import Chem

    table = Chem.GetPeriodicTable()
    needed: Counter[int] = Counter()
    for atom in query.GetAtoms():
        head = atom.GetSmarts().strip("[]").partition(";")[0]
        found = re.match(r"#(\d+)|([A-Z][a-z]?|[cnops])", head)
        if found and "," not in head:
            needed[int(found[1]) if found[1] else table.GetAtomicNumber(found[2].capitalize())] += 1
    return needed


def matches(mol: Chem.Mol, patterns: tuple[Pattern, ...]) -> list[Pattern]:
    """The patterns that hold, in their order."""
    held = Counter(atom.GetAtomicNum() for atom in mol.GetAtoms())
    rings = mol.GetRingInfo().NumRings() > 0 if mol.GetNumAtoms() else False
    return [pattern for pattern, query, needed, ring in compiled(patterns)
            if (rings or not ring) and needed <= held and mol.HasSubstructMatch(query)]  # fmt: skip


def facts_of(mol: Chem.Mol) -> Facts:
    """What is said of a molecule; patterns are left out for one of more than 150 heavy atoms."""
    from rdkit import Chem
    from rdkit.Chem import rdMolDescriptors

    searched = mol if mol.GetNumHeavyAtoms() <= LARGEST_SEARCHED else Chem.Mol()
    found = {kind: matches(searched, kind) for kind in (FAMILIES, GROUPS, RINGS)}
    hidden = {name for patterns in found.values() for pattern in patterns for name in pattern.hides}
    families, groups, rings = (
        tuple(pattern for pattern in found[kind] if pattern.name not in hidden) for kind in (FAMILIES, GROUPS, RINGS)
    )
    counts = Counter(atom.GetAtomicNum() for atom in mol.GetAtoms())
    elements = [f"{count_word(counts[number])} {name} atom{'s' if counts[number] > 1 else ''}"
                for number, name in HALOGENS.items() if number in counts]  # fmt: skip
    table = Chem.GetPeriodicTable()
    elements += [table.GetElementName(number).lower() for number in sorted(counts) if number not in ORDINARY]
    fragments = Chem.GetMolFrags(mol)
    return Facts(
        families, groups, rings,
        tuple(pattern.name for pattern in matches(searched, SUBSTITUTION)),
        tuple(elements), tuple(traits_of(mol, counts)), rdMolDescriptors.CalcMolFormula(mol),
        salt_of(mol, fragments) if len(fragments) > 1 else (), len(fragments), longest_chain(mol),
    )  # fmt: skip


def traits_of(mol: Chem.Mol, counts: Counter[int]) -> list[str]:
    """Adjectives and phrases about the whole molecule."""
    from rdkit import Chem
    from rdkit.Chem import rdMolDescriptors

    found = []
    aromatic, rings = rdMolDescriptors.CalcNumAromaticRings(mol), rdMolDescriptors.CalcNumRings(mol)
    if not counts.get(6):
        found.append("inorganic")
    elif set(counts) == {6} or set(counts) == {1, 6}:
        found.append("hydrocarbon")
    if aromatic:
        found.append(f"{count_word(aromatic)} aromatic ring{'s' if aromatic > 1 else ''}")
    if rings > aromatic:
        found.append(f"{count_word(rings)} ring{'s' if rings > 1 else ''}")
    if not rings and counts.get(6):
        found.append("acyclic")
    charge = Chem.GetFormalCharge(mol)
    if charge:
        found.append("cation" if charge > 0 else "anion")
    centres = rdMolDescriptors.CalcNumAtomStereoCenters(mol)
    unspecified = rdMolDescriptors.CalcNumUnspecifiedAtomStereoCenters(mol)
    if centres > unspecified:
        found.append(f"{count_word(centres - unspecified)} stereocentre{'s' if centres - unspecified > 1 else ''}")
    if any(atom.GetIsotope() for atom in mol.GetAtoms()):
        found.append("isotopically labelled")
    if any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()):
        found.append("radical")
    return found


IONS = {
    "[Na+]": "sodium", "[K+]": "potassium", "[Li+]": "lithium", "[Ca+2]": "calcium", "[Mg+2]": "magnesium",
    "[NH4+]": "ammonium", "[Cl-]": "chloride", "[Br-]": "bromide", "[I-]": "iodide", "Cl": "hydrochloride",
    "Br": "hydrobromide", "I": "hydroiodide", "O": "hydrate", "O=S(=O)(O)O": "sulfate", "O=P(O)(O)O": "phosphate",
    "[Zn+2]": "zinc", "[Ba+2]": "barium", "[Cu+2]": "copper", "CS(=O)(=O)O": "mesylate", "O=C(O)C(=O)O": "oxalate",
    "O=C(O)/C=C\\C(=O)O": "maleate", "O=C(O)/C=C/C(=O)O": "fumarate", "CC(=O)O": "acetate", "[OH-]": "hydroxide",
    "O=[N+]([O-])O": "nitrate", "[O-][Cl+3]([O-])([O-])[O-]": "perchlorate", "F[B-](F)(F)F": "tetrafluoroborate",
}  # fmt: skip


def salt_of(mol: Chem.Mol, fragments: Sequence[Sequence[int]]) -> tuple[str, ...]:
    """Names of the well-known ions and partners among the parts of a molecule."""
    from rdkit import Chem

    parts = {Chem.MolFragmentToSmiles(mol, atoms) for atoms in fragments if len(atoms) <= 8}
    return tuple(sorted({IONS[part] for part in parts if part in IONS}))


def longest_chain(mol: Chem.Mol) -> int:
    """Carbons in the longest open chain, 0 when it is shorter than eight."""
    chain = {atom.GetIdx(): [n.GetIdx() for n in atom.GetNeighbors() if n.GetAtomicNum() == 6 and not n.IsInRing()]
             for atom in mol.GetAtoms() if atom.GetAtomicNum() == 6 and not atom.IsInRing()}  # fmt: skip
    if len(chain) < LONG_CHAIN:
        return 0
    best = 0
    seen: set[int] = set()
    for start in chain:
        if start not in seen:
            # Two sweeps find the longest path of a tree: from anywhere to the end, from there to the other end.
            reached = depths(chain, start)
            seen |= set(reached)
            best = max(best, *depths(chain, max(reached, key=lambda index: reached[index])).values())
    return best if best >= LONG_CHAIN else 0


def depths(chain: dict[int, list[int]], start: int) -> dict[int, int]:
    """Atoms reachable from `start` with the number of atoms on the way."""
    reached = {start: 1}
    front = [start]
    while front:
        index = front.pop()
        for neighbour in chain[index]:
            if neighbour not in reached:
                reached[neighbour] = reached[index] + 1
                front.append(neighbour)
    return reached


def count_word(count: int) -> str:
    """A small number in words."""
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def with_article(noun: str) -> str:
    """`a ketone`, `an ester`, `an N-oxide`."""
    vowel = noun[0].lower() in "aeio" or noun.startswith(("N-", "unsat", "un"))
    return f"{'an' if vowel else 'a'} {noun}"


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def describe(mol: Chem.Mol, names: Sequence[str] = (), count: int = 3) -> tuple[str, ...]:
    """Up to `count` different descriptions.

    Args:
        mol: the molecule.
        names: its names, the most systematic first; they are woven in, and tell roles.
        count: at most so many.
    """
    from rdkit import Chem

    return word(facts_of(mol), Chem.MolToSmiles(mol), names, count)


def word(facts: Facts, smiles: str, names: Sequence[str], count: int) -> tuple[str, ...]:
    """Descriptions of given facts; see `describe`."""
    roles = roles_of(names)
    makers = (class_sentence, phrase, inventory, named_sentence, short_phrase)
    offset = int(hashlib.sha256(smiles.encode()).hexdigest()[:8], 16)
    found: dict[str, None] = {}
    for turn in range(len(makers)):
        text = makers[(offset + turn) % len(makers)](facts, roles, names, offset >> 4)
        if text:
            found[text] = None
    return tuple(found)[:count]


def class_sentence(facts: Facts, roles: Sequence[str], names: Sequence[str], choice: int) -> str:
    """`The molecule is a member of pyridines, an aromatic amine and a nitrile. It has a role as a dye.`"""
    classes = facts.classes
    if not classes:
        return ""
    first = classes[choice % min(3, len(classes))]
    others = [pattern for pattern in classes if pattern is not first][:5]
    lead = (f"The molecule is a member of the class of {first.members}",
            f"The molecule is {with_article(first.name)}")[choice % 2]  # fmt: skip
    text = [f"{lead}{carrying(facts)}."]
    if roles:
        text.append(f"It has a role as {listed(roles[:2])}.")
    if others:
        said = [f"a member of {pattern.members}" if (choice >> number) % 2 else with_article(pattern.name)
                for number, pattern in enumerate(others)]  # fmt: skip
        text.append(f"It is {listed(said)}.")
    if facts.salt:
        text.append(f"It contains {listed(facts.salt)}.")
    return " ".join(text)


def carrying(facts: Facts) -> str:
    """` carrying two chlorine atoms`, or nothing."""
    return f" carrying {listed(facts.elements[:3])}" if facts.elements else ""


def phrase(facts: Facts, roles: Sequence[str], names: Sequence[str], choice: int) -> str:
    """`aromatic amine with a pyridine ring, two chlorine atoms, used as a dye`."""
    heads = [pattern.name for pattern in (*facts.families, *facts.groups)][:3] or [facts.traits[0] if facts.traits
                                                                                  else "compound"]  # fmt: skip
    details = [with_article(f"{ring.name} ring") for ring in facts.rings[:3]] + list(facts.elements[:3])
    if facts.chain:
        details.append(f"a chain of {count_word(facts.chain)} carbon atoms")
    text = listed(heads) + (f" with {listed(details)}" if details else "")
    if facts.salt:
        text += f", {listed(facts.salt)} salt"
    return text + (f", used as {listed(roles[:2])}" if roles else "")


def short_phrase(facts: Facts, roles: Sequence[str], names: Sequence[str], choice: int) -> str:
    """A few words, as one types them into a search."""
    words = [pattern.name for pattern in facts.classes]
    if not words:
        return ""
    kept = [words[(choice + step * 3) % len(words)] for step in range(min(3, len(words)))]
    return " ".join(dict.fromkeys([*kept, *(role.partition(" ")[2] for role in roles[:1])]))


def inventory(facts: Facts, roles: Sequence[str], names: Sequence[str], choice: int) -> str:
    """`C6H6ClN: one aromatic ring, para-disubstituted benzene; aromatic amine, chlorobenzene.`"""
    parts = [*facts.traits, *facts.substitution, *facts.elements]
    if facts.fragments > 1:
        parts.append(f"{count_word(facts.fragments)} components")
    text = f"molecular formula {facts.formula}: {', '.join(parts) or 'a small molecule'}"
    words = [pattern.name for pattern in facts.classes[:6]]
    return text + (f"; {', '.join(words)}" if words else "")


def named_sentence(facts: Facts, roles: Sequence[str], names: Sequence[str], choice: int) -> str:
    """`The molecule is a nitrile that is 2-aminobenzonitrile. It is a member of …`, with one of the names."""
    if not names or not facts.classes:
        return ""
    classes = facts.classes
    first = classes[choice % len(classes)]
    others = [pattern for pattern in classes if pattern is not first][:4]
    text = f"The molecule is {with_article(first.name)} that is {names[choice % len(names)]}{carrying(facts)}."
    if roles:
        text += f" It has a role as {roles[0]}."
    if others:
        text += f" It is {listed([with_article(pattern.name) for pattern in others])}."
    return text
