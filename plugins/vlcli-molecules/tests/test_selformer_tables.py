"""Files whose rows come back with further columns: nothing is lost, moved or silently skipped."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from vlcli_molecules.methods.selformer.tables import MoleculeFile, check_output, kind_of, read_molecules

from vlcli.api import VlcliError

CSV = 'id,smiles,note\n1,CCO,"a, b"\n2,,\n3,c1ccccc1,"two\nlines"\n4,CC\n5,CN,x,surplus\n'


def added(file: MoleculeFile) -> dict[str, list[object]]:
    return {"p": [float(index) for index in range(len(file))], "ok": [True] * len(file), "why": [None] * len(file)}


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize(("name", "out"), [("a.csv", "b.csv"), ("a.csv.gz", "b.csv.gz"), ("a.csv", "b.tsv")])
def test_delimited_rows_keep_order_columns_and_cells(tmp_path: Path, name: str, out: str) -> None:
    file = read_molecules(write(tmp_path, name, CSV))
    assert [source.value for source in file.structures] == ["CCO", "", "c1ccccc1", "CC", "CN"]
    assert set(file.problems) == {1, 3, 4} and "4 cells" in file.problems[4]
    file.write(tmp_path / out, added(file))
    content = (tmp_path / out).read_bytes()
    text = (gzip.decompress(content) if out.endswith(".gz") else content).decode()
    rows = list(csv.reader(text.splitlines(keepends=True), delimiter="\t" if ".tsv" in out else ","))
    assert rows[0] == ["id", "smiles", "note", "p", "ok", "why"]
    assert rows[1] == ["1", "CCO", "a, b", "0", "true", ""]
    assert rows[3][2] == "two\nlines" and rows[4] == ["4", "CC", "", "3", "true", ""]
    assert rows[5] == ["5", "CN", "x", "4", "true", "", "surplus"]


def test_bytes_that_are_no_text_come_back_as_they_were(tmp_path: Path) -> None:
    file = read_molecules(write(tmp_path, "a.csv", b"smiles,name\nCCO,caf\xe9\nCC,\xc3\xa9\n"))
    assert file.problems == {0: "is not UTF-8 text"}
    file.write(tmp_path / "b.csv", {"p": [None, 1.0]})
    assert (tmp_path / "b.csv").read_bytes() == b"smiles,name,p\nCCO,caf\xe9,\nCC,\xc3\xa9,1\n"


def test_a_column_of_the_same_name_is_kept(tmp_path: Path) -> None:
    file = read_molecules(write(tmp_path, "a.csv", "smiles,p\nCC,7\n"))
    file.write(tmp_path / "b.csv", {"p": [1.5]})
    assert (tmp_path / "b.csv").read_text() == "smiles,p,p_2\nCC,7,1.5\n"


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    table = pa.table({"n": pa.array([1, None], pa.int16()), "smiles": ["CC", None], "v": [[1.0], [2.0, 3.0]]})
    pq.write_table(table, tmp_path / "a.parquet")
    file = read_molecules(tmp_path / "a.parquet")
    assert file.problems == {1: "holds no structure"}
    file.write(tmp_path / "b.parquet", {"p": [0.5, None], "ok": [True, None]})
    found = pq.read_table(tmp_path / "b.parquet")
    assert found.select(table.column_names).equals(table)
    assert found["p"].to_pylist() == [0.5, None] and found["ok"].to_pylist() == [True, None]
    file.write(tmp_path / "b.csv", {"p": [0.5, None]})
    assert (tmp_path / "b.csv").read_text().splitlines()[0] == "n,smiles,v,p"


def test_smiles_lines_become_a_table(tmp_path: Path) -> None:
    file = read_molecules(write(tmp_path, "a.smi.gz", "# comment\nCCO ethanol\n\nCC\tethane gas\n"))
    file.write(tmp_path / "b.csv", {"p": [1.0, 2.0]})
    assert (tmp_path / "b.csv").read_text() == "structure,name,p\nCCO,ethanol,1\nCC,ethane gas,2\n"
    file.write(tmp_path / "b.parquet", {"p": [1.0, 2.0]})
    assert pq.read_table(tmp_path / "b.parquet")["name"].to_pylist() == ["ethanol", "ethane gas"]


def test_json_lines_become_a_table(tmp_path: Path) -> None:
    content = '{"smiles": "CCO", "x": 1}\n\n{"x": 2.5, "note": "a\\u2028b"}\n'
    file = read_molecules(write(tmp_path, "a.jsonl", content))
    assert file.names == ["smiles", "x", "note"] and file.problems == {1: "holds no structure"}
    assert file.structures[1].id.endswith("a.jsonl#3")
    file.write(tmp_path / "b.csv", {"p": [1.0, None]})
    text = (tmp_path / "b.csv").read_text(encoding="utf-8")
    assert text == "smiles,x,note,p\nCCO,1,,1\n,2.5,a\u2028b,\n"
    file.write(tmp_path / "b.parquet", {"p": [1.0, None]})
    assert pq.read_table(tmp_path / "b.parquet")["x"].to_pylist() == [1.0, 2.5]
    mixed = read_molecules(write(tmp_path, "m.jsonl", '{"smiles": "C", "x": 1}\n{"smiles": "C", "x": "one"}\n'))
    with pytest.raises(VlcliError, match=r"U631.*mixes types"):
        mixed.write(tmp_path / "c.parquet", {"p": [1.0, 2.0]})


def test_semicolons_part_cells_where_the_header_has_them(tmp_path: Path) -> None:
    file = read_molecules(write(tmp_path, "a.csv", "smiles;name\nCCO;a, b\n"))
    assert file.names == ["smiles", "name"] and file.cells == [["CCO", "a, b"]]


def test_two_columns_of_one_name_both_reach_parquet(tmp_path: Path) -> None:
    file = read_molecules(write(tmp_path, "a.csv", "smiles,x,x\nCCO,1,2\n"))
    file.write(tmp_path / "b.parquet", {"p": [1.0]})
    table = pq.ParquetFile(tmp_path / "b.parquet").read()
    assert table.column_names == ["smiles", "x", "x", "p"] and table.column(2).to_pylist() == ["2"]


def sdf() -> str:
    from rdkit import Chem

    block = Chem.MolToMolBlock(Chem.MolFromSmiles("CCO"))
    return f"first{block}>  <logS>\n-0.77\n\n$$$$\nbroken\n\nnonsense\nM  END\n$$$$\n{block}$$$$\n"


def test_sdf_records_keep_their_text(tmp_path: Path) -> None:
    from rdkit import Chem

    original = sdf()
    file = read_molecules(write(tmp_path, "a.sdf", original))
    assert file.names == ["title", "logS"] and file.cells == [["first", "-0.77"], ["broken", ""], ["", ""]]
    file.write(tmp_path / "b.sdf", {"p": [1.25, None, 2.5], "why": [None, "bad", None]})
    text = (tmp_path / "b.sdf").read_text()
    for before, after in zip(original.split("$$$$\n"), text.split("$$$$\n"), strict=True):
        assert after.startswith(before.rstrip("\n"))
    records = list(Chem.SDMolSupplier(str(tmp_path / "b.sdf")))
    assert records[0].GetPropsAsDict() == {"logS": -0.77, "p": 1.25} and records[1] is None
    assert records[2].GetPropsAsDict() == {"p": 2.5} and "<why>\nbad\n" in text
    file.write(tmp_path / "b.csv", {"p": [1.25, None, 2.5]})
    assert (tmp_path / "b.csv").read_text() == "title,logS,p\nfirst,-0.77,1.25\nbroken,,\n,,2.5\n"


@pytest.mark.parametrize(
    ("name", "content", "column", "code"),
    [
        ("a.xyz", "x", None, "U632"),
        ("a.csv", "one,two\n1,2\n", None, "D651"),
        ("a.csv", "smiles\nC\n", "smile", "D651.*did you mean"),
        ("a.smi", "CCO\n", "smiles", "U632"),
        ("a.csv", "smiles\n", None, "D671"),
        ("a.parquet", "no parquet", None, "D671"),
        ("a.jsonl", '{"smiles": "C"}\n{"smiles"\n', None, "D671.*line 2 is no JSON"),
        ("a.jsonl", "[1]\n", None, "D671.*no JSON object"),
        ("a.jsonl", '{"smiles": "\\ud800"}\n', None, "D671.*line 1"),
        ("a.jsonl", '{"a": 1}\n', None, "D651"),
        ("a.jsonl", "\n", None, "D671.*no row"),
        ("missing.csv", None, None, "D111"),
    ],
)
def test_refusals_name_the_file(
    tmp_path: Path, name: str, content: str | None, column: str | None, code: str
) -> None:  # fmt: skip
    path = tmp_path / name if content is None else write(tmp_path, name, content)
    with pytest.raises(VlcliError, match=code):
        read_molecules(path, column)


def test_truncated_gzip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(CSV.encode() * 50)[:60])
    with pytest.raises(VlcliError, match=r"D671.*gzip"):
        read_molecules(tmp_path / "a.csv.gz")


def test_output_formats_are_checked_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(VlcliError, match=r"U631.*is a folder"):
        check_output(tmp_path / "folder.csv", ".csv")
    assert kind_of(Path("a.b.CSV.gz")) == (".csv", True)
    for out, kind in (("x.xlsx", ".csv"), ("x", ".csv"), ("x.sdf", ".csv")):
        with pytest.raises(VlcliError, match="U631"):
            check_output(Path(out), kind)
    check_output(Path("x.sdf.gz"), ".sdf")
