"""The modality: contracts, readers that stream, hostile files that are refused with a reason."""

from __future__ import annotations

import gzip
import io
import itertools
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from rdkit import Chem
from vlcli_molecules.modality import MoleculesModality
from vlcli_molecules.molecule import Molecule
from vlcli_molecules.readers.structures import MAX_BLOCK_CHARACTERS

from vlcli.api import Source
from vlcli.errors import VlcliError
from vlcli.testing import check_plugin, check_registered_modality

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
ALANINE = "C[C@H](N)C(=O)O"


def block(smiles: str, *, v3000: bool = False) -> str:
    mol = Chem.MolFromSmiles(smiles)
    return str(Chem.MolToV3KMolBlock(mol) if v3000 else Chem.MolToMolBlock(mol))


@pytest.fixture(scope="module")
def modality() -> MoleculesModality:
    return MoleculesModality()


def load_all(modality: MoleculesModality, path: Path) -> list[Molecule | str]:
    """The molecules of a file, and the codes of what is refused."""
    found: list[Molecule | str] = []
    try:
        for source in modality.expand(path):
            try:
                found.append(modality.load(source))
            except VlcliError as error:
                assert error.message
                found.append(error.code)
    except VlcliError as error:
        found.append(error.code)
    return found


def test_contracts(tmp_path: Path) -> None:
    registry = check_plugin("molecules")
    (tmp_path / "one.mol").write_text(block(ASPIRIN))
    (tmp_path / "bad.mol").write_text("no molecule")
    items = check_registered_modality(
        registry, "molecules",
        [Source(id="a", value="CCO"), Source(id="b", value="[C][C][O]"), Source(id="c", path=tmp_path / "one.mol")],
        bad=[Source(id="d", value="C1CC"), Source(id="e", path=tmp_path / "bad.mol"), Source(id="f", value="")],
    )  # fmt: skip
    assert [item.smiles for item in items] == ["CCO", "CCO", ASPIRIN]


def test_lines(modality: MoleculesModality, tmp_path: Path) -> None:
    path = tmp_path / "a.smi"
    path.write_text(f"smiles name\n# note\nOCC ethanol\n\n{ASPIRIN}\taspirin\tdrug\nC1CC broken\nCC |$a;b$| ethane\n")
    sources = list(modality.expand(path))
    assert [source.id.rpartition("#")[2] for source in sources] == ["3", "5", "6", "7"]
    assert [source.metadata.get("title") for source in sources] == ["ethanol", "aspirin\tdrug", "broken", "ethane"]
    found = load_all(modality, path)
    assert [item if isinstance(item, str) else item.smiles for item in found] == ["CCO", ASPIRIN, "D611", "CC"]
    assert isinstance(found[0], Molecule)
    assert found[0].properties == {"title": "ethanol"}
    packed = tmp_path / "b.smi.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert len(load_all(modality, packed)) == 4
    (tmp_path / "c.selfies").write_text("[C]\n[C][=O]\n")
    (tmp_path / "d.inchi").write_text(f"{Chem.MolToInchi(Chem.MolFromSmiles(ASPIRIN))}\n")
    (tmp_path / "e.smi").write_text("[C]\n")
    smiles = [item.smiles for name in ("c.selfies", "d.inchi", "e.smi") for item in load_all(modality, tmp_path / name)]
    assert smiles == ["C", "C=O", ASPIRIN, "[C]"]


def test_sdf_records_and_their_fields(modality: MoleculesModality, tmp_path: Path) -> None:
    path = tmp_path / "a.sdf"
    named = "aspirin" + block(ASPIRIN)
    fields = "> <LOGP> (1)\n1.31\n\n>  <NOTE>\nfirst line\nsecond line\n\n> 25 <ID>\n007\n\n"
    bad = block("CCO").replace(" O ", " Xx")
    path.write_text(f"{named}{fields}$$$$\n{bad}$$$$\n{block(ALANINE, v3000=True)}$$$$\n\n")
    first, second, third = modality.expand(path)
    assert first.value == ASPIRIN
    assert dict(first.metadata) == {
        "LOGP": 1.31, "NOTE": "first line | second line", "ID": "007", "notation": "smiles", "title": "aspirin",
    }  # fmt: skip
    assert second.metadata["notation"] == "molblock"
    with pytest.raises(VlcliError, match="Element 'Xx' not found"):
        modality.load(second)
    assert third.value == ALANINE
    assert third.id == f"{path}#3"


def test_one_molecule_as_a_query(modality: MoleculesModality, tmp_path: Path) -> None:
    one, two = tmp_path / "one.smi", tmp_path / "two.smi"
    one.write_text("CCO ethanol\n")
    two.write_text("C\nCC\n")
    assert modality.load(Source(id="q", path=one)).smiles == "CCO"
    for path in (two, tmp_path / "none.smi"):
        path.touch()
        with pytest.raises(VlcliError, match=r"D608|D114"):
            modality.load(Source(id="q", path=path))


def test_columns_tell_the_notation(modality: MoleculesModality) -> None:
    for column, smiles in (("canonical_smiles", "[C]"), ("selfies", "C"), ("structure", "C"), ("InChI", None)):
        source = Source(id="x", value="[C]", metadata={"column": column})
        if smiles is None:
            with pytest.raises(VlcliError, match="an InChI"):
                modality.load(source)
        else:
            assert modality.load(source).smiles == smiles


def test_options_come_from_the_environment(modality: MoleculesModality, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLCLI_MOLECULES", "salts=largest selfies=skip")
    assert modality.load(Source(id="x", value="CCO.Cl")).notes == ("largest of 2 fragments kept",)
    with pytest.raises(VlcliError, match="D621"):
        modality.load(Source(id="x", value="*C"))


def test_memory_does_not_grow_with_the_file(modality: MoleculesModality, tmp_path: Path) -> None:
    peaks = []
    for rows in (2_000, 40_000):
        path = tmp_path / f"{rows}.smi"
        path.write_text("".join(f"{ASPIRIN} compound {row}\n" for row in range(rows)))
        tracemalloc.start()
        assert sum(1 for _ in modality.expand(path)) == rows
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0] + 100_000


def big_counts(version: str) -> str:
    lines = block("CCO", v3000=version == "V3000").split("\n")
    if version == "V3000":
        return "\n".join(lines).replace("COUNTS 3 2", "COUNTS 2000000000 2000000000")
    lines[3] = "999999" + lines[3][6:]
    return "\n".join(lines)


def spoilt(packed: bytes) -> bytes:
    """Gzip data whose head and tail are right."""
    return packed[:30] + b"\xff" * 40 + packed[70:]


def many_atoms(count: int) -> str:
    atoms = "".join("    0.0000    0.0000    0.0000 C   0  0\n" for _ in range(count))
    return f"\n\n\n{count:>3}  0  0  0  0  0  0  0  0  0999 V2000\n{atoms}M  END\n"


HOSTILE: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    "long-line.smi": (lambda: b"C" * 10_000_000 + b"\nCCO\n", {"D603", "CCO"}),
    "long-line.selfies": (lambda: b"[C]" * 3_400_000, {"D603"}),
    "long-line.inchi": (lambda: b"InChI=1S/" + b"C" * 10_000_000, {"D603"}),
    "many-atoms.smi": (lambda: b"C" * 9_000, {"D604"}),
    "many-symbols.selfies": (lambda: b"[C]" * 6_000, {"D623"}),
    "nested.smi": (lambda: b"C(" * 4_000 + b"C" + b")" * 1_000, {"D604", "D605"}),
    "nested-brackets.smi": (lambda: b"[" * 9_000, {"D611"}),
    "open-rings.smi": (lambda: b"".join(b"C%%(%d)" % n for n in range(999)), {"D605"}),
    "ring-numbers.smi": (lambda: b"C1%99CC%99%01%(99999)%(0)", {"D611"}),
    "same-ring.smi": (lambda: b"C" + b"1" * 5_000, {"D611"}),
    "dots.smi": (lambda: b"." * 5_000, {"D611"}),
    "many-dots.smi": (lambda: b".".join([b"C"] * 4_000), {"D604"}),
    "isotope.smi": (lambda: b"[999999999999C]", {"D611"}),
    "charge.smi": (lambda: b"[C+99999999999]", {"D611"}),
    "not-utf8.smi": (lambda: b"C\xff\xfeC\nCCO\n", {"D602", "CCO"}),
    "utf16.smi": (lambda: "CCO\n".encode("utf-16"), {"D606"}),
    "nul.smi": (lambda: b"CC\0O\n", {"D606"}),
    "late-nul.smi": (lambda: b"CCO\n" * 2_000 + b"C\0C\n", {"D602", "CCO"}),
    "binary.smi": (lambda: bytes(range(1, 256)) * 50, {"D602", "D611", "D612"}),
    "empty.smi": (lambda: b"", {"D114"}),
    "blank.smi": (lambda: b"\n \n\t\n", set()),
    "picture.sdf": (lambda: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", {"D606"}),
    "reaction.smi": (lambda: b"CC>>CO", {"D613"}),
    "counts.mol": (lambda: big_counts("V2000").encode(), {"D611"}),
    "counts.sdf": (lambda: (big_counts("V3000") + "$$$$\n" + block("CCO") + "$$$$\n").encode(), {"D604", "CCO"}),
    "no-counts.mol": (lambda: b"a\nb\nc\nd\ne\n", {"D611"}),
    "short.mol": (lambda: block("CCO")[:120].encode(), {"D611"}),
    "three-lines.mol": (lambda: b"a\nb\n", {"D611"}),
    "atoms.sdf": (lambda: many_atoms(100_000).encode(), {"D604", "D611", "D603"}),
    "atoms.mol": (lambda: many_atoms(10_000).encode(), {"D603", "D604", "D611"}),
    "huge.mol": (lambda: b"\n" * 2_000_000, {"D115"}),
    "field.sdf": (lambda: block("CCO").encode() + b"> <A>\n" + b"x" * 3_000_000 + b"\n\n$$$$\n", {"CCO"}),
    "fields.sdf": (lambda: (block("CCO") + "".join(f"> <F{n}>\n1\n\n" for n in range(9_999))).encode(), {"CCO"}),
    "endless.sdf": (lambda: b"x\n" * 400_000, {"D603", "D611"}),
    "bond-to-nowhere.mol": (lambda: block("CCO").replace("  1  2  1", "  1 99  1").encode(), {"D611"}),
    "bad-gzip.smi.gz": (lambda: b"\x1f\x8b" + b"\0" * 40, {"D607", "D606"}),
    "cut-gzip.smi.gz": (lambda: gzip.compress(b"CCO\n" * 300)[:-12], {"D607"}),
    "wrong-bits.smi.gz": (lambda: spoilt(gzip.compress(b"".join(b"C" * n + b"\n" for n in range(99)))), {"D607"}),
    "not-gzip.smi.gz": (lambda: b"CCO\n", {"D607"}),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_with_a_reason(modality: MoleculesModality, tmp_path: Path, name: str) -> None:
    content, expected = HOSTILE[name]
    path = tmp_path / name
    path.write_bytes(content())
    found = load_all(modality, path)
    seen = {item if isinstance(item, str) else item.smiles for item in found}
    assert seen <= expected
    assert bool(seen) == bool(expected)
    if "CCO" in expected:
        assert "CCO" in seen


def test_a_bomb_stops_at_the_limit(
    modality: MoleculesModality, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLCLI_MAX_FILE_SIZE", "1MB")
    path = tmp_path / "bomb.smi.gz"
    path.write_bytes(gzip.compress(b"CCO\n" * 1_000_000))
    with pytest.raises(VlcliError, match="when decompressed"):
        list(modality.expand(path))


def test_blocks_are_cut(modality: MoleculesModality, tmp_path: Path) -> None:
    path = tmp_path / "a.sdf"
    path.write_text("x" * 70 + "\n" + ("y" * 70 + "\n") * 20_000)
    (source,) = itertools.islice(modality.expand(path), 2)
    assert len(str(source.value)) == MAX_BLOCK_CHARACTERS + 1


def test_previews_are_small_pictures(modality: MoleculesModality) -> None:
    for value in (ASPIRIN, "[Na+].[Cl-]", "C", "C" * 1_500):
        picture = Image.open(io.BytesIO(modality.preview(Source(id="x", value=value), 128)))
        assert picture.size == (128, 128)
        corner, dark = picture.convert("L").getpixel((0, 0)), sum(picture.convert("L").histogram()[:160])
        assert corner == 255
        assert dark > 10
    with pytest.raises(VlcliError, match="D612"):
        modality.preview(Source(id="x", value="CN(C)(C)(C)C"))
