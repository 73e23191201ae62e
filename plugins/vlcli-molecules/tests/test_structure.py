"""Text to molecule: canonical forms, RDKit's reasons, options, limits."""

from __future__ import annotations

import itertools
import socket
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, RDConfig
from vlcli_molecules import worker
from vlcli_molecules.conversion import MAX_SYMBOLS, split_selfies, to_selfies, to_smiles
from vlcli_molecules.options import StructureOptions, environment_options, options_from
from vlcli_molecules.structure import MAX_ATOMS, MAX_CHARACTERS, detect, parse

from vlcli.errors import VlcliError

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


@pytest.mark.parametrize(
    ("text", "smiles"),
    [
        ("OCC", "CCO"),
        ("[C][=C][C][=C][C][=C][Ring1][=Branch1]", "c1ccccc1"),
        ("InChI=1S/C9H8O4/c1-6(10)13-8-5-3-2-4-7(8)9(11)12/h2-5H,1H3,(H,11,12)", ASPIRIN),
        (Chem.MolToMolBlock(Chem.MolFromSmiles(ASPIRIN)), ASPIRIN),
        (Chem.MolToV3KMolBlock(Chem.MolFromSmiles("C[C@H](N)C(=O)O")), "C[C@H](N)C(=O)O"),
        ("  CCO\n", "CCO"),
        ("C[C@@H](C(=O)O)N", "C[C@H](N)C(=O)O"),
        ("F\\C=C\\F", "F/C=C/F"),
        ("[13CH4]", "[13CH4]"),
        ("OC([2H])([2H])[2H]", "[2H]C([2H])([2H])O"),
        ("[Na+].[Cl-]", "[Cl-].[Na+]"),
        ("[C]", "C"),
        ("C[N](=O)=O", "C[N+](=O)[O-]"),
        ("C%12CCCCC%12", "C1CCCCC1"),
        ("C%(123)CCCCC%(123)", "C1CCCCC1"),
    ],
)
def test_canonical_forms(text: str, smiles: str) -> None:
    found = parse(text)
    assert found.smiles == smiles
    assert Chem.MolToSmiles(found.mol) == smiles
    assert found.selfies is not None
    assert Chem.CanonSmiles(to_smiles(found.selfies)) == smiles


def test_notation_overrules_the_form() -> None:
    assert detect("[C]") == "selfies"
    assert parse("[C]", notation="smiles").smiles == "[C]"
    assert detect("[Na+].[Cl-]") == detect("[13CH4]") == detect("C[C]") == "smiles"
    assert detect("[C@@H1][Branch1][C][N][C]") == detect("[=O]") == detect("[C].[Na+1]") == "selfies"


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("", "D601", "empty"),
        ("CC\udcffC", "D602", "UTF-8"),
        ("C\0C", "D602", "NUL"),
        ("CCO ethanol", "D602", "white space"),
        ("C" * (MAX_CHARACTERS["smiles"] + 1), "D603", "characters"),
        ("C" * (MAX_ATOMS + 1), "D604", "2,001 atoms"),
        ("C(" * 301 + "C" + ")" * 301, "D605", "nested"),
        ("".join(f"C%({number})" for number in range(300)), "D605", "rings open"),
        ("C1CC", "D611", "unclosed ring"),
        ("CC(", "D611", "around position 3"),
        ("InChI=1S/foo", "D611", "an InChI"),
        ("CN(C)(C)(C)C", "D612", "Explicit valence for atom # 1 N, 5, is greater than permitted"),
        ("c1cccc1", "D612", "Can't kekulize mol"),
        ("CC>>CO", "D613", "reaction"),
        ("[nop]", "D614", "no atom"),
        ("[C][=Foo]", "D622", "invalid symbol"),
        ("[C]" * (MAX_SYMBOLS + 1), "D623", "5,001 symbols"),
    ],
)
def test_refusals_say_why(text: str, code: str, reason: str) -> None:
    with pytest.raises(VlcliError) as refused:
        parse(text, where="place")
    assert (refused.value.code, refused.value.where) == (code, "place")
    assert reason in refused.value.message


def test_salts_and_charges() -> None:
    text = "CC(=O)[O-].[Na+]"
    assert parse(text).smiles == text
    largest = parse(text, options=StructureOptions(salts="largest"))
    assert (largest.smiles, largest.notes) == ("CC(=O)[O-]", ("largest of 2 fragments kept",))
    neutral = parse(text, options=StructureOptions(salts="largest", charges="neutralise"))
    assert (neutral.smiles, neutral.notes[-1]) == ("CC(=O)O", "charges neutralised")
    kept = parse("C[N+](C)(C)C", options=StructureOptions(charges="neutralise"))
    assert (kept.smiles, kept.notes) == ("C[N+](C)(C)C", ())


def test_what_selfies_can_not_write() -> None:
    unknown_atom, hypervalent = "*C", "CI(=O)=O"
    kept = parse(unknown_atom)
    assert kept.selfies is None
    assert kept.notes[0].startswith("kept as SMILES: can not be written in SELFIES")
    with pytest.raises(VlcliError, match="D621"):
        parse(unknown_atom, options=StructureOptions(selfies="skip"))
    with pytest.raises(VlcliError, match="D621"):
        parse(unknown_atom, options=StructureOptions(selfies="relax"))
    assert parse(hypervalent).selfies is None
    relaxed = parse(hypervalent, options=StructureOptions(selfies="relax"))
    assert relaxed.notes[0].startswith(
        "SELFIES with relaxed constraints: can not be written in SELFIES (input violates"
    )
    assert Chem.CanonSmiles(to_smiles(str(relaxed.selfies), relaxed=True)) == relaxed.smiles
    with pytest.raises(VlcliError, match="D621"):
        to_selfies(hypervalent)
    text = to_selfies(hypervalent, relaxed=True)
    assert to_smiles(text, relaxed=True).count("=") == 2
    assert to_smiles(text).count("=") < 2  # the constraints are back


def test_options_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert options_from("salts=largest, selfies=skip") == StructureOptions(salts="largest", selfies="skip")
    monkeypatch.setenv("VLCLI_MOLECULES", "charges=neutralise")
    assert environment_options() == StructureOptions(charges="neutralise")
    for text, hint in (("salt=largest", "salts"), ("salts=all", "keep or largest"), ("nonsense", "known")):
        with pytest.raises(VlcliError, match="U601") as refused:
            options_from(text)
        assert hint in refused.value.help


def random_smiles(draw: Any) -> str:
    """A molecule grown atom by atom, so that it is always possible: chains, branches, rings, charges, stereo."""
    mol = Chem.RWMol(Chem.MolFromSmiles("C"))
    for _ in range(draw(st.integers(0, 12))):
        open_atoms = [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetNumImplicitHs() > 0]
        if not open_atoms:
            break
        place = draw(st.sampled_from(open_atoms))
        new = mol.AddAtom(Chem.Atom(draw(st.sampled_from(["C", "N", "O", "F", "S", "Cl", "Br", "P"]))))
        double = draw(st.booleans()) and mol.GetAtomWithIdx(place).GetNumImplicitHs() > 1
        element = mol.GetAtomWithIdx(new).GetSymbol()
        double = double and element in "CNOSP"
        mol.AddBond(place, new, Chem.BondType.DOUBLE if double else Chem.BondType.SINGLE)
        mol.UpdatePropertyCache()
        Chem.SanitizeMol(mol)
    return str(Chem.MolToSmiles(mol))


@settings(max_examples=60)
@given(st.data())
def test_round_trips_of_grown_molecules(data: st.DataObject) -> None:
    smiles = random_smiles(data.draw)
    found = parse(smiles, notation="smiles")
    if found.selfies is None:
        assert found.notes
        return
    assert Chem.CanonSmiles(to_smiles(found.selfies)) == found.smiles
    assert parse(found.selfies).smiles == found.smiles
    assert "".join(split_selfies(found.selfies)) == found.selfies


def test_decoding_stays_near_linear() -> None:
    """The decoder's own time grows with the square of the length; up to the limit that does not matter yet."""
    assert len(to_smiles("[C]" * MAX_SYMBOLS)) == MAX_SYMBOLS
    for symbols in (MAX_SYMBOLS + 1, 200_000):
        with pytest.raises(VlcliError, match="D623"):
            to_smiles("[C]" * symbols)
    with pytest.raises(VlcliError, match="D622"):
        to_smiles("[=C][Branch2][Ring2][Ring2]" * 1200)  # nested branches overflow the library's recursion


def test_nothing_is_looked_up_on_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object) -> NoReturn:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    parsed = worker.answer({"operation": "parse", "text": "aspirin", "notation": "auto", "options": {}})
    assert parsed["error"][0] == "D611"
    for operation in ("parse", "draw", "match", "check_smarts"):
        arguments = {
            "parse": {"text": ASPIRIN, "notation": "auto", "options": {"salts": "largest", "charges": "neutralise"}},
            "draw": {"smiles": ASPIRIN, "size": 64},
            "match": {"smarts": "c1ccccc1", "chirality": False, "structures": [[ASPIRIN, "smiles"]]},
            "check_smarts": {"smarts": "c1ccccc1"},
        }[operation]
        assert "result" in worker.answer({"operation": operation, **arguments})


def nci_round_trips(step: int) -> tuple[int, int, int, int]:
    """Of the NCI molecules in RDKit's data: lines, molecules that RDKit reads, that SELFIES writes, that come back."""
    lines = read = written = same = 0
    with (Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi").open(encoding="utf-8") as file:
        for line in itertools.islice(file, 0, None, step):
            lines += 1
            try:
                found = parse(line.split()[0], notation="smiles")
            except VlcliError:
                continue
            read += 1
            if found.selfies is not None:
                written += 1
                same += Chem.CanonSmiles(to_smiles(found.selfies)) == found.smiles
    return lines, read, written, same


def test_molecules_come_back_from_selfies() -> None:
    lines, read, written, same = nci_round_trips(12)
    assert read >= lines - 2
    assert written >= read - 3
    assert same == written


@pytest.mark.slow
def test_all_nci_molecules_come_back_from_selfies() -> None:
    assert nci_round_trips(1) == (4999, 4991, 4982, 4982)
