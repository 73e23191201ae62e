"""The data sets: sizes, splits without overlap, and that nothing unreadable is lost silently."""

from __future__ import annotations

import csv
import gzip
import os
from collections import Counter
from pathlib import Path

import pytest
from vlcli_molecules.data import cache
from vlcli_molecules.data.chebi import ChebiDataset
from vlcli_molecules.data.chemicals import ChemicalsDataset
from vlcli_molecules.data.drugs import DrugsDataset
from vlcli_molecules.data.moleculenet import MoleculeNetDataset
from vlcli_molecules.data.names import distinct_names, is_name
from vlcli_molecules.data.nci import NciDataset
from vlcli_molecules.data.reactions import ReactionsDataset, read_reaction
from vlcli_molecules.data.scaffold import random_split, scaffold_split, split_groups
from vlcli_molecules.data.structures import UnreadableStructure, connectivity_key, read_structure
from vlcli_molecules.data.table import TableDataset

from vlcli.errors import VlcliError
from vlcli.plugins import load_plugins
from vlcli.testing import check_dataset


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> object:
    """A cache of its own."""
    before = os.environ.get("VLCLI_HOME")
    os.environ["VLCLI_HOME"] = str(tmp_path_factory.mktemp("home"))
    yield
    os.environ.pop("VLCLI_HOME") if before is None else os.environ.__setitem__("VLCLI_HOME", before)


@pytest.fixture(scope="module")
def chemicals() -> ChemicalsDataset:
    return ChemicalsDataset(part="small", captions="all")


def shared(relative: str) -> str:
    folder = os.environ.get("VLCLI_SHARED")
    if not folder:
        pytest.skip("VLCLI_SHARED names no folder of real data")
    return str(Path(folder) / "data" / relative)


def test_chemicals(chemicals: ChemicalsDataset) -> None:
    check_dataset(chemicals, modalities=["molecules"])
    examples = [chemicals[index] for index in range(len(chemicals))]
    counts = Counter(example.split for example in examples)
    assert len(chemicals) == 5128
    assert counts == {"train": 4102, "val": 513, "test": 513}
    assert len(chemicals.refused) == 19
    assert all("RDKit" in line.reason or "structure" in line.reason for line in chemicals.refused)
    assert chemicals.repeated == 6
    ethanol = next(example for example in examples if example.id == "78-96-6")
    assert ethanol.captions[0] == "1-azanylpropan-2-ol"
    assert ethanol.metadata["name"] == "1-amino-2-propanol"


def test_chemicals_test_shares_nothing_with_training(chemicals: ChemicalsDataset) -> None:
    train, rest = set(), []
    for row in chemicals.records:
        key = row["key"] or row["smiles"]
        train.add(key) if row["split"] == "train" else rest.append((key, row["smiles"]))
    assert rest
    assert not train & {key for key, _ in rest}
    scaffolds = {read_structure(row["smiles"]).scaffold for row in chemicals.records if row["split"] == "train"}
    outside = [smiles for _, smiles in rest if read_structure(smiles).scaffold in scaffolds]
    # A tautomer follows its first-seen form, so a handful may differ in the scaffold that is computed for them alone.
    assert len(outside) <= 0.01 * len(rest)


def test_caption_options(chemicals: ChemicalsDataset) -> None:
    iupac = ChemicalsDataset(part="small", captions="iupac", split="test")
    assert {iupac[index].split for index in range(len(iupac))} == {"test"}
    assert max(len(iupac[index].captions) for index in range(len(iupac))) == 1
    described = ChemicalsDataset(part="small", captions="descriptions", descriptions=2)
    assert all(1 <= len(described[index].captions) <= 2 for index in range(len(described)))


def test_drugs() -> None:
    drugs = DrugsDataset(by="year")
    years = {name: [e.metadata["year"] for e in drugs.examples if e.split == name] for name in ("train", "val", "test")}
    assert max(years["train"]) < 2000 <= min(years["val"]) <= max(years["val"]) < 2010 <= min(years["test"])
    assert next(e for e in drugs.examples if e.captions == ("prazosin",)).metadata["year"] == 1976
    check_dataset(DrugsDataset(split="test"), modalities=["molecules"])


def test_nci() -> None:
    nci = NciDataset()
    assert len(nci) + len(nci.refused) + nci.repeated == 4999
    assert Counter(e.split for e in nci.examples) == {"train": 3914, "val": 489, "test": 489}


def test_scaffold_split_is_deepchems_rule() -> None:
    benzenes = [f"{'C' * n}c1ccccc1" for n in range(1, 9)]
    splits = scaffold_split([*benzenes, "c1ccncc1", "C1CCCC1"])
    assert splits == ["train"] * 8 + ["val", "test"]
    assert split_groups(list("aabc"), (0.5, 0.25, 0.25)) == ["train", "train", "val", "test"]
    assert scaffold_split(["C[C@H](N)C(=O)O", "CCO"]) == scaffold_split(["C[C@@H](N)C(=O)O", "OCC"])
    with pytest.raises(VlcliError, match="molecule 2"):
        scaffold_split(["CCO", "C(C"])
    with pytest.raises(VlcliError, match="add up to 1"):
        split_groups(["a"], (0.5, 0.5, 0.5))


def test_random_split_keeps_groups_together() -> None:
    groups = [str(index // 2) for index in range(200)]
    splits = random_split(groups, seed=3)
    assert all(splits[index] == splits[index + 1] for index in range(0, 200, 2))
    assert Counter(splits) == {"train": 160, "val": 20, "test": 20}
    assert splits != random_split(groups, seed=4)


def test_table(tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    with open(table, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "SMILES", "caption", "logS"])
        writer.writerows([["ethanol", "OCC", "an alcohol", "0.5"], ["bad", "C(C", "broken", "1"],
                          ["benzene", "c1ccccc1", "a ring", ""]])  # fmt: skip
    data = TableDataset(path=str(table), targets=["logS"], split="none")
    check_dataset(data, modalities=["molecules"])
    assert [e.sources["molecules"].value for e in data.examples] == ["CCO", "c1ccccc1"]
    assert [e.metadata["logS"] for e in data.examples] == [0.5, None]
    assert data[0].captions == ("an alcohol",)
    assert data[0].metadata["name"] == "ethanol"
    assert [(line.path, line.code) for line in data.refused] == [(f"{table}#3", "D652")]
    assert "syntax" in data.refused[0].reason or "notation" in data.refused[0].reason
    packed = tmp_path / "mine.csv.gz"
    packed.write_bytes(gzip.compress(table.read_bytes()))
    assert len(TableDataset(path=str(packed))) == 2
    packed.write_bytes(packed.read_bytes()[:40])
    with pytest.raises(VlcliError, match="gzip"):
        TableDataset(path=str(packed))
    packed.write_bytes(gzip.compress(table.read_bytes())[:20] + b"\xff" * 60)
    with pytest.raises(VlcliError, match="gzip"):
        TableDataset(path=str(packed))
    with pytest.raises(VlcliError, match=r"logP.*|no column"):
        TableDataset(path=str(table), targets=["logP"])
    lines = tmp_path / "more.smi"
    lines.write_text("CCO ethanol\nCCN ethylamine\n")
    assert len(TableDataset(paths=[str(table), str(lines)], split="random")) == 4
    assert dict(TableDataset(path=str(lines), split="none")[0].metadata) == {}


def test_selfies_that_could_be_smiles_keep_their_notation(tmp_path: Path) -> None:
    table, lines, smiles = tmp_path / "t.csv", tmp_path / "t.selfies", tmp_path / "t.smi"
    table.write_text("selfies,caption\n[C][C][O],ethanol\n[C],methane\n")
    lines.write_text("[C][C][O]\n[C]\n")
    smiles.write_text("CCO\n[C]\n")
    values = [[str(e.sources["molecules"].value) for e in TableDataset(path=str(path)).examples]
              for path in (table, lines, smiles)]  # fmt: skip
    assert values == [["CCO", "C"], ["CCO", "C"], ["CCO", "[C]"]]
    table.write_text("smiles,caption\n[C][Branch1][C][O][C],x\n[C],an atom\n")
    mixed = TableDataset(path=str(table), split="none")
    assert [e.sources["molecules"].value for e in mixed.examples] == ["CCO", "[C]"]


@pytest.mark.parametrize("smiles", ["C" * 9_999, "C" * 20_000, "C(" * 4_000, "[" * 9_000])
def test_structures_that_could_end_the_process_are_refused(smiles: str) -> None:
    with pytest.raises(UnreadableStructure):
        read_structure(smiles)


def test_split_column(tmp_path: Path) -> None:
    table = tmp_path / "split.csv"
    table.write_text("smiles,split\nCCO,training\nCCN,valid\nCCC,test\n")
    assert [e.split for e in TableDataset(path=str(table)).examples] == ["train", "val", "test"]


def test_moleculenet_files() -> None:
    esol = MoleculeNetDataset(shared("moleculenet/delaney-processed.csv"))
    assert (esol.task.name, esol.task.kind, len(esol)) == ("esol", "regression", 1128)
    assert esol[0].metadata["measured log solubility in mols per litre"] == -0.77
    sider = MoleculeNetDataset(shared("moleculenet/sider.csv.gz"))
    assert (sider.task.name, len(sider), len(sider.targets)) == ("sider", 1427, 27)
    clintox = MoleculeNetDataset(shared("moleculenet/clintox.csv.gz"))
    assert len(clintox) + len(clintox.refused) == 1491
    for data in (esol, sider, clintox):
        by_split = {name: {e.sources["molecules"].value for e in data.examples if e.split == name}
                    for name in ("train", "val", "test")}  # fmt: skip
        assert not by_split["train"] & (by_split["val"] | by_split["test"])


def test_moleculenet_refuses_other_tables(tmp_path: Path) -> None:
    table = tmp_path / "other.csv"
    table.write_text("smiles,price\nCCO,3\n")
    with pytest.raises(VlcliError, match=r"molecules/table|no benchmark"):
        MoleculeNetDataset(str(table))


def test_chebi(tmp_path: Path) -> None:
    header = "CID\tSMILES\tdescription\n"
    (tmp_path / "training.txt").write_text(
        header + '1\tCCO\tThe molecule is "ethanol".\n2\tCCN\tAn amine.\n3\tC(C\tx\n'
    )
    (tmp_path / "test.txt").write_text(header + "4\tOCC\tEthanol again.\n")
    data = ChebiDataset(str(tmp_path))
    assert [(e.id, e.split) for e in data.examples] == [("2", "train"), ("4", "test")]
    assert data.overlapping == 1
    assert len(data.refused) == 1
    with pytest.raises(VlcliError, match="columns"):
        (tmp_path / "test.txt").write_text("a,b\n")
        ChebiDataset(str(tmp_path / "test.txt"))


def test_chebi_file() -> None:
    assert len(ChebiDataset(shared("chebi20/validation.txt"), limit=50)) == 50


def test_reactions(tmp_path: Path) -> None:
    file = tmp_path / "reactions.csv"
    file.write_text("reaction,year\n[CH3:1][OH:2]>>[CH3:1][Cl:3],1999\nCO>>CCl,2000\nCCO>>,1\nnonsense,2\n")
    data = ReactionsDataset(str(file))
    assert data[0].metadata["reaction"] == "CO>>CCl"
    assert data[0].metadata["year"] == 1999
    assert (len(data), data.repeated, len(data.refused)) == (1, 1, 2)
    assert read_reaction("[Na+]~[OH-].CC(=O)OC>O>CO |f:0.1|").reactants == ("[Na+]~[OH-]", "COC(C)=O")
    with pytest.raises(UnreadableStructure, match="no product"):
        read_reaction("CC>O>")


def test_names() -> None:
    assert is_name("4-ethylaniline")
    assert not any(map(is_name, ("64-17-5", "agn-pc-00bfbi", "einecs 293-816-3", "nsc 12345", "ctk1g5857", "b 95")))
    assert distinct_names(["Ethyl alcohol", "ethyl-alcohol", "64-17-5", "ethanol"], 5) == ["Ethyl alcohol", "ethanol"]


def test_connectivity_key_ignores_stereo_and_isotopes() -> None:
    assert connectivity_key("C[C@H](N)C(=O)O") == connectivity_key("[2H]C[C@@H](N)C(=O)O")
    assert connectivity_key("CCO") != connectivity_key("COC")


def test_a_damaged_cache_is_made_again(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("x")
    calls = []

    def make() -> list[dict[str, int]]:
        calls.append(1)
        return [{"a": 1}]

    assert cache.cached_table("test", [source], "1", make) == cache.cached_table("test", [source], "1", make)
    assert len(calls) == 1
    next(cache.cache_dir("molecules").glob("test-*")).write_bytes(b"not parquet")
    assert cache.cached_table("test", [source], "1", make) == [{"a": 1}]
    source.write_text("y")
    cache.cached_table("test", [source], "1", make)
    assert len(calls) == 3


def test_registered() -> None:
    registry = load_plugins().registry
    names = {entry.name for entry in registry.list("dataset")}
    wanted = {"chemicals", "drugs", "nci", "table", "moleculenet", "chebi-20", "reactions"}
    assert {f"molecules/{name}" for name in wanted} <= names
