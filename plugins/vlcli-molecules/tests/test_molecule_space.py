"""The towers of the molecule-text space, and the recipes that train them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from vlcli_molecules.encoders import HashedTextEncoder, normalised
from vlcli_molecules.fingerprints import sparse_features
from vlcli_molecules.hashing import feature_ids
from vlcli_molecules.modality import MoleculesModality

from vlcli.api import Source
from vlcli.cli.main import run
from vlcli.data.collate import pad_and_stack
from vlcli.plugins import load_plugins
from vlcli.registry import Registry
from vlcli.testing import check_method, check_recipe, check_registered_encoder

SMILES = ("CCO", "Nc1ccccc1", "[Na+].[Cl-]", "OC[C@H]1OC(O)[C@H](O)[C@@H](O)[C@@H]1O", "CC(C)Cc1ccc(C(C)C(=O)O)cc1")
NAMES = ("ethanol", "aniline", "sodium chloride", "glucose", "ibuprofen")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins().registry


@pytest.fixture(scope="module")
def molecules() -> list[object]:
    modality = MoleculesModality()
    return [modality.load(Source(id=smiles, value=smiles, metadata={"notation": "smiles"})) for smiles in SMILES]


def test_encoders_keep_the_contract(registry: Registry, molecules: list[object]) -> None:
    check_registered_encoder(registry, "molecules/fingerprint", molecules, {"dim": 16, "hidden": 16})
    check_registered_encoder(registry, "molecules/hashed-text", list(NAMES), {"dim": 16, "hidden": 16})


def test_hashes_do_not_depend_on_the_batch() -> None:
    texts = ["2-chloroaniline", "N,N-dimethyl-4-[(E)-phenyldiazenyl]aniline", "β-D-glucose", "x"]
    coded = [{"bytes": torch.tensor(list(normalised(text)), dtype=torch.uint8)} for text in texts]
    ids, counts = feature_ids(pad_and_stack(coded)["bytes"], (3, 4, 5), 1000)
    for part, one in zip(ids.split(counts.tolist()), coded, strict=True):
        alone, number = feature_ids(one["bytes"][None], (3, 4, 5), 1000)
        assert torch.equal(part, alone)
        assert int(number) == len(alone)
    assert int(ids.min()) >= 1
    assert int(ids.max()) < 1000


def test_equal_words_have_equal_features_wherever_they_stand() -> None:
    def words(text: str) -> set[int]:
        coded = torch.tensor([list(normalised(text))], dtype=torch.uint8)
        return set(feature_ids(coded, (), 1 << 30)[0].tolist())

    assert words("aniline") <= words("chlorinated aniline, dimethyl") & words("ANILINE")
    assert not words("aniline") & words("anilines")
    assert words("methyl ethyl") != words("ethyl methyl")


def test_features_tell_mirror_images_apart_and_count() -> None:
    from rdkit import Chem

    left, right, flat = (
        dict(zip(*(part.tolist() for part in sparse_features(Chem.MolFromSmiles(smiles), 1 << 20)), strict=True))
        for smiles in ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CC(N)C(=O)O")
    )
    assert left != right != flat
    assert 0 not in left


def test_texts_are_normalised() -> None:
    assert normalised("  .ALPHA.-Pinene \n x") == b" alpha-pinene x "
    assert HashedTextEncoder(dim=8, hidden=8, max_bytes=16).preprocess("a" * 99)["bytes"].shape == (16,)


def test_recipes_are_valid(registry: Registry) -> None:
    check_recipe("molecules/molecule-text", registry)
    check_recipe("align-molecules", registry)


def test_molecule_text_trains_and_repeats(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLCLI_HOME", str(tmp_path / "home"))
    metrics = check_method(
        "molecules/molecule-text", registry, tmp_path,
        ['data.options={ part = "small", captions = "all" }', 'data.test_options={ captions = "iupac" }',
         "data.limit=150", "train.epochs=20", "train.batch_size=75", "train.micro_batch=75", "schedule.warmup=2",
         "towers.text.options={ buckets = 4096, dim = 32, hidden = 32 }",
         "towers.molecules.options={ buckets = 4096, dim = 32, hidden = 32 }"],
    )  # fmt: skip
    assert metrics["test/text_to_molecules/R@10"] > 1.5 * 10 / 150  # chance is 10 / 150


def test_ones_own_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("VLCLI_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    rows = [f"{'C' * n}{end},{'long' if n > 5 else 'short'} chain of {n} {name}" for n in range(1, 11)
            for end, name in (("O", "alcohol"), ("N", "amine"), ("c1ccccc1", "benzene"))]  # fmt: skip
    (tmp_path / "mine.csv").write_text("smiles,caption\n" + "\n".join(rows) + "\nC(C,broken\n")
    small = "{ buckets = 1024, dim = 16, hidden = 16 }"
    train = ["run", "align-molecules", "--set", 'data.options={ path = "mine.csv", split = "random" }']
    towers = [f"towers.{name}.options={small}" for name in ("text", "molecules")]
    first = [*train, "--set", "train.epochs=2", "--set", towers[0], "--set", towers[1], "--out", "out"]
    assert run(first) == 0
    assert run(["embed", "mine.csv", "--space", "out/space", "--store", "./mine"]) == 3  # the broken row is refused
    capsys.readouterr()
    assert run(["search", "./mine", "an amine", "--html", "hits.html"]) == 0
    assert "image/" in (tmp_path / "hits.html").read_text()
    taken = [f'towers.{name}.use="space:out/space"' for name in ("text", "molecules")]
    assert run([*train, "--set", "train.epochs=1", "--set", taken[0], "--set", taken[1], "--out", "finer"]) == 0
