"""SELFormer: masking, embedding, heads, checkpoints of Hugging Face, kill and resume, commands."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from vlcli_molecules.methods.selformer.encoder import SelformerEncoder, mean_over_tokens
from vlcli_molecules.methods.selformer.method import Selformer
from vlcli_molecules.methods.selformer.saved import PropertyModel
from vlcli_molecules.structure import parse
from vlcli_molecules.tokenizers import SelfiesTokenizer

from vlcli.align.objectives.masked_lm import IGNORED
from vlcli.api import VlcliError
from vlcli.cli.main import run as vlcli
from vlcli.plugins import load_plugins
from vlcli.recipe import load_recipe
from vlcli.train.loop import Trainer
from vlcli.train.run import Training, run_training

CHAINS = ["C", "CC", "CCC", "CCCC", "CCO", "CCCO", "CCCCO", "CC(C)O", "CCN", "CCCN", "CC(=O)O", "CCC(=O)O",
          "CCCl", "CCBr", "C1CCCCC1", "C1CCCC1", "OC1CCCCC1", "NC1CCCCC1", "CC1CCCCC1", "C1CCNCC1"]  # fmt: skip
RINGS = ["c1ccccc1", "Cc1ccccc1", "Oc1ccccc1", "Nc1ccccc1", "Clc1ccccc1", "c1ccncc1", "Cc1ccncc1",
         "c1ccoc1", "c1ccsc1", "c1ccc2ccccc2c1", "OC(=O)c1ccccc1", "CC(=O)c1ccccc1", "COc1ccccc1",
         "Cc1ccccc1C", "Oc1ccncc1", "Brc1ccccc1"]  # fmt: skip
SMALL = ["method.width=16", "method.layers=1", "method.heads=2", "train.epochs=2", "train.batch_size=8", "device='cpu'",
         "train.eval_every=3", "threads=1"]  # fmt: skip


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Molecules with their number of carbons, whether they are aromatic, a class, and rows that are no molecule."""
    path = tmp_path_factory.mktemp("data") / "molecules.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "smiles", "carbons", "aromatic", "kind"])
        for index, smiles in enumerate([*CHAINS, *RINGS]):
            aromatic = int(smiles in RINGS)
            carbons = smiles.upper().replace("CL", "").count("C")
            label = "" if index == 3 else ("ring" if aromatic else "chain")
            writer.writerow([f"m{index}", smiles, "" if index == 5 else carbons, aromatic, label])
        writer.writerow(["bad", "C1CC", 3, 0, "chain"])
    return path


def options(command: list[str]) -> list[str]:
    return [*command, *(part for setting in SMALL for part in ("--set", setting))]


@pytest.fixture(scope="module")
def pretrained(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "pretrained"
    command = ["molecules", "pretrain", str(table), "-o", str(folder), "--set", "data.options.split='random'"]
    assert vlcli(options(command)) == 0
    return folder


@pytest.fixture(scope="module")
def finetuned(table: Path, pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "finetuned"
    command = ["molecules", "finetune", str(table), "--target", "carbons", "--from", str(pretrained), "-o", str(folder),
               "--split", "random"]  # fmt: skip
    assert vlcli(options(command)) == 0
    return folder


def method_for(texts: list[str], **settings: Any) -> Selformer:
    method = Selformer(task="mlm", **settings)
    method.encoder = SelformerEncoder(width=16, layers=1, heads=2)
    method.encoder.tokenizer = SelfiesTokenizer.train(texts)
    return method


def test_masking_follows_bert() -> None:
    """15 % of the tokens, of these 80 % masked, 10 % random, 10 % kept; specials and padding never."""
    texts = [parse(smiles).selfies or "" for smiles in [*CHAINS, *RINGS]]
    method = method_for(texts)
    tokenizer = method.encoder.tokenizer
    rows = method.encoder.token_ids(texts * 60)
    inputs = method.encoder.pad(rows)
    hidden = method.hide(inputs, 3)
    labels, ids = hidden["labels"], hidden["input_ids"]
    chosen = labels != IGNORED
    special = torch.isin(inputs["input_ids"], torch.tensor([tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id]))
    assert not (chosen & special).any() and torch.equal(ids[~chosen], inputs["input_ids"][~chosen])
    assert torch.equal(labels[chosen], inputs["input_ids"][chosen])
    count, total = int(chosen.sum()), int((~special).sum())
    assert count / total == pytest.approx(0.15, abs=0.01)
    masked = ids[chosen] == tokenizer.mask_id
    same = ids[chosen] == labels[chosen]
    assert float(masked.float().mean()) == pytest.approx(0.8, abs=0.03)
    # A random token is the same one by chance as well.
    expected = 0.1 + 0.1 / tokenizer.vocab_size
    assert float(same.float().mean()) == pytest.approx(expected, abs=0.03)
    assert torch.equal(ids, method.hide(inputs, 3)["input_ids"]) and not torch.equal(
        ids, method.hide(inputs, 4)["input_ids"]
    )


def test_loss_in_parts_is_the_loss_of_the_whole_batch() -> None:
    from transformers import RobertaForMaskedLM

    texts = [parse(smiles).selfies or "" for smiles in [*CHAINS, *RINGS]]
    method = method_for(texts)
    model = RobertaForMaskedLM(method.encoder.config)
    method.encoder.roberta, method.lm_head = model.roberta, model.lm_head
    method.eval()
    batch = method.hide(method.encoder.pad(sorted(method.encoder.token_ids(texts), key=len)), 1)
    expected = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"]).loss
    assert torch.isclose(method.guess(batch)[0], expected, atol=1e-5)


def test_the_embedding_is_the_mean_over_all_tokens_specials_included() -> None:
    encoder = SelformerEncoder(width=16, layers=1, heads=2).eval()
    short, long = parse("CCO"), parse("CC(=O)Oc1ccccc1C(=O)O")
    rows = encoder.preprocess_many([short, long])
    assert rows[0]["input_ids"].tolist()[0] == encoder.tokenizer.bos_id == 1 and encoder.tokenizer.pad_id == 3
    alone = encoder({name: value[None] for name, value in rows[0].items()})
    assert alone.tokens is not None and alone.tokens.shape == (1, 5, 16)
    assert torch.allclose(alone.pooled, alone.tokens.mean(1), atol=1e-6)
    together = encoder(encoder.pad([row["input_ids"] for row in rows]))
    assert torch.allclose(together.pooled[0], alone.pooled[0], atol=1e-5)
    # Padding with another id, as a collator would that does not know the tokenizer, changes nothing.
    inputs = encoder.pad([row["input_ids"] for row in rows])
    other = {**inputs, "input_ids": inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, 0)}
    assert torch.allclose(encoder(other).pooled, together.pooled)
    assert torch.allclose(mean_over_tokens(torch.ones(1, 3, 2), torch.tensor([[1, 1, 0]])), torch.ones(1, 2))


def test_the_head_is_dropout_dense_tanh_dropout_linear_on_the_first_token(finetuned: Path) -> None:
    model = PropertyModel.load(str(finetuned))
    states = torch.randn(3, 7, 16)
    dense, out = model.classifier.dense, model.classifier.out_proj
    assert dense.weight.shape == (16, 16) and out.weight.shape == (1, 16)
    assert torch.allclose(model.classifier(states), out(torch.tanh(dense(states[:, 0]))), atol=1e-6)
    assert any(isinstance(part, torch.nn.Dropout) for part in model.classifier.modules())


def test_long_strings_are_cut() -> None:
    encoder = SelformerEncoder(width=16, layers=1, heads=2, max_length=16)
    row = encoder.preprocess(parse("C" * 100))["input_ids"]
    assert len(row) == 16 and row[-1] == encoder.tokenizer.eos_id
    assert encoder.roberta.config.max_position_embeddings == 16 + 3 + 1
    encoder({"input_ids": row[None], "attention_mask": torch.ones(1, 16, dtype=torch.long)})


def test_a_pretrained_model_is_a_hugging_face_folder(pretrained: Path, finetuned: Path) -> None:
    from transformers import PreTrainedTokenizerFast, RobertaForMaskedLM, RobertaForSequenceClassification

    folder = pretrained / "model"
    model, info = RobertaForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and model.config.pad_token_id == 3
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    encoder = SelformerEncoder(checkpoint=str(pretrained))
    assert tokenizer("[C][C][O]")["input_ids"] == encoder.token_ids(["[C][C][O]"])[0].tolist()
    for (name, one), (_, other) in zip(
        model.roberta.state_dict().items(), encoder.roberta.state_dict().items(), strict=True
    ):
        assert torch.equal(one, other), name
    _, info = RobertaForSequenceClassification.from_pretrained(finetuned / "model", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]


def test_the_released_architecture_loads(tmp_path: Path) -> None:
    """12 layers, 4 heads, 800 rows for fewer tokens, RoBERTa's own padding id in the config, no notation file."""
    from transformers import RobertaConfig, RobertaForMaskedLM

    config = RobertaConfig(vocab_size=800, hidden_size=48, num_hidden_layers=12, num_attention_heads=4,
                           intermediate_size=64, max_position_embeddings=514, type_vocab_size=1)  # fmt: skip
    model = RobertaForMaskedLM(config).eval()
    model.save_pretrained(tmp_path)
    tokenizer = SelfiesTokenizer.train([parse(text).selfies or "" for text in CHAINS], "official_byte_level")
    with pytest.raises(VlcliError, match="W312"):
        SelformerEncoder(checkpoint=str(tmp_path))
    tokenizer.save(tmp_path / "tokenizer.json")
    encoder = SelformerEncoder(checkpoint=str(tmp_path)).eval()
    assert encoder.dim == 48 and encoder.notation == "selfies" and encoder.max_length == 512
    ids = encoder.token_ids(["[C][C][O]"])[0][None]
    expected = model.roberta(input_ids=ids).last_hidden_state.mean(1)
    assert torch.allclose(
        encoder({"input_ids": ids, "attention_mask": torch.ones_like(ids)}).pooled, expected, atol=1e-5
    )
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    with pytest.raises(VlcliError, match="W313"):
        SelformerEncoder(checkpoint=str(tmp_path))


def test_a_model_saved_and_loaded_predicts_the_same(finetuned: Path) -> None:
    model = PropertyModel.load(str(finetuned))
    molecules = [parse(smiles) for smiles in CHAINS]
    first = model.predict(molecules)
    again = PropertyModel.load(str(finetuned / "model")).predict(molecules[::-1])
    assert np.allclose(first.scores, again.scores[::-1], atol=1e-5)
    assert np.allclose(first.embeddings, again.embeddings[::-1], atol=1e-5)
    assert (first.similarity <= 1).all() and first.applicable.any()


def test_a_model_without_a_property_says_what_to_do(pretrained: Path) -> None:
    with pytest.raises(VlcliError, match="W315") as caught:
        PropertyModel.load(str(pretrained))
    assert "molecules finetune" in caught.value.help


def test_a_model_of_another_method_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(VlcliError, match=r"W313.*'t5'"):
        PropertyModel.load(str(tmp_path))


def test_predict_writes_every_row_in_its_place(
    table: Path, finetuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, vectors, picture = tmp_path / "out.csv", tmp_path / "vectors.npy", tmp_path / "map.png"
    command = ["molecules", "predict", str(table), "--model", str(finetuned), "-o", str(out), "--json", "--embeddings",
               str(vectors), "--map", str(picture), "--map-by", "kind"]  # fmt: skip
    assert vlcli(command) == 3
    summary = json.loads(capsys.readouterr().out)
    assert summary["rows"] == 37 and summary["predicted"] == 36 and len(summary["refused"]) == 1
    held_out = 36 - len((finetuned / "model" / "training.smi").read_text().splitlines())
    # One held-out row has no target; training molecules do not count.
    assert summary["metrics"]["rmse"] > 0 and summary["metrics"]["rows"] == held_out
    assert summary["refused"][0]["code"] == "D611"
    before, after = (list(csv.reader(path.read_text().splitlines())) for path in (table, out))
    assert [row[:5] for row in after] == before
    assert after[0][5:] == [
        "carbons_predicted",
        "nearest_similarity",
        "nearest_training_molecule",
        "applicable",
        "refused",
    ]
    assert after[-1][5:9] == ["", "", "", ""] and "D611" in after[-1][9]
    assert all(row[8] in ("true", "false") and float(row[5]) == float(row[5]) for row in after[1:-1])
    found = np.load(vectors)
    assert found.shape == (37, 16) and np.isnan(found[-1]).all() and np.isfinite(found[:-1]).all()
    assert picture.read_bytes().startswith(b"\x89PNG")
    # The threshold decides, and rows outside are marked.
    threshold = summary["threshold"]
    assert all((row[8] == "true") == (float(row[6]) >= threshold - 1e-5) for row in after[1:-1])


def test_predict_of_bad_rows_alone_writes_why_and_draws_nothing(
    finetuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.csv").write_text("name,smiles\na,C1CC\nb,xx\n")
    out, picture = tmp_path / "out.csv", tmp_path / "map.png"
    command = ["molecules", "predict", str(tmp_path / "bad.csv"), "-m", str(finetuned), "-o", str(out), "--map",
               str(picture), "--embeddings", str(tmp_path / "vectors.parquet")]  # fmt: skip
    assert vlcli(command) == 3
    assert "was not drawn" in capsys.readouterr().err and not picture.exists()
    assert [row["refused"][:4] for row in csv.DictReader(out.read_text().splitlines())] == ["D611", "D611"]


def test_a_map_by_words_is_the_same_each_time_and_takes_any_word(tmp_path: Path) -> None:
    from vlcli_molecules.methods.selformer.maps import write_map

    points = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    words = [None, *(f"${'w' * 50}\\frac{{{index % 14}" for index in range(29))]
    for name in ("a.png", "b.png"):
        write_map(tmp_path / name, points, words, "price in $ or $")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_map_is_refused_before_anything_is_written(
    table: Path, finetuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder.png").mkdir()
    for words, code in ((("m.png", "--map-by", "nothing"), "U633"), (("m.svg",), "U631"), (("folder.png",), "U631")):
        command = ["molecules", "predict", str(table), "-m", str(finetuned), "-o", str(tmp_path / "out.csv")]
        assert vlcli([*command, "--map", str(tmp_path / words[0]), *words[1:]]) == 2
        assert code in capsys.readouterr().err and not (tmp_path / "out.csv").exists()


def test_classes_get_probabilities(table: Path, pretrained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kind"
    command = ["molecules", "finetune", str(table), "--target", "kind", "--from", str(pretrained), "-o", str(folder),
               "--split", "random", "--json"]  # fmt: skip
    assert vlcli(options(command)) == 0
    (tmp_path / "in.smi").write_text("CCO ethanol\nc1ccccc1 benzene\n")
    assert (
        vlcli(["molecules", "predict", str(tmp_path / "in.smi"), "-m", str(folder), "-o", str(tmp_path / "o.tsv")]) == 0
    )
    rows = list(csv.DictReader((tmp_path / "o.tsv").read_text().splitlines(), delimiter="\t"))
    assert [row["name"] for row in rows] == ["ethanol", "benzene"]
    for row in rows:
        assert (float(row["kind_probability_ring"]) >= 0.5) == (row["kind_predicted"] == "ring")


def test_several_labels_with_gaps_train(table: Path, tmp_path: Path) -> None:
    rows = list(csv.DictReader(table.read_text().splitlines()))
    path = tmp_path / "labels.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["smiles", "x", "y"])
        for index, row in enumerate(rows[:-1]):
            writer.writerow([row["smiles"], row["aromatic"], "" if index % 3 else index % 2])
    folder = tmp_path / "run"
    command = ["molecules", "finetune", str(path), "-t", "x", "-t", "y", "-o", str(folder), "--split", "random"]
    assert vlcli(options(command)) == 0
    content = json.loads((folder / "model" / "selformer.json").read_text())
    assert content["task"]["kind"] == "multilabel" and content["domain"]["threshold"] > 0


def test_embed_takes_the_trained_space(pretrained: Path, table: Path, tmp_path: Path, capsys: Any) -> None:
    assert (
        vlcli(["embed", str(table), "--store", str(tmp_path / "store"), "--space", str(pretrained / "space"), "--json"])
        == 3
    )
    result = json.loads(capsys.readouterr().out)
    assert result["embedded"] == 36 and len(result["refused"]) == 1


class Killed(Exception):
    """Stands for the end of the process."""


def train(folder: Path, settings: list[str], *, resume: bool = False) -> Training:
    registry = load_plugins().registry
    recipe = load_recipe("molecules/selformer", registry, settings, ["claim"])
    return run_training(recipe.model, folder, registry, recipe_hash=recipe.hash, resume=resume, quiet=True)


def test_a_run_killed_in_either_stage_goes_on_to_the_same_bits(table: Path, tmp_path: Path) -> None:
    data = f"data.options={{ path = '{table}', targets = ['carbons'], split = 'random' }}"
    source = f"method.pretraining_data={{ use = 'molecules/table', path = '{table}', split = 'random' }}"
    settings = ["data.use='molecules/table'", data, "method.targets=['carbons']", source, "method.pretraining_steps=6",
                "method.pretraining_batch=8", "train.steps=12", "train.checkpoint_every=2", "method.width=16",
                "method.layers=1", "method.heads=2", "train.batch_size=8", "device='cpu'"]  # fmt: skip
    whole = train(tmp_path / "whole", settings)
    assert "embedding/aromatic_knn" in whole.metrics
    for step in (3, 6, 9):
        folder = tmp_path / f"killed-{step}"
        plain = Trainer.after_step

        def after_step(self: Trainer, *rest: Any, step: int = step, plain: Any = plain) -> None:
            if self.global_step == step:
                raise Killed
            plain(self, *rest)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Trainer, "after_step", after_step)
            with pytest.raises(Killed):
                train(folder, settings)
        resumed = train(folder, settings, resume=True)
        assert resumed.metrics == whole.metrics
        names = ("model.safetensors", "selformer.json", "training.safetensors")
        for name in names:
            one, other = (run / "model" / name for run in (folder, tmp_path / "whole"))
            assert one.read_bytes() == other.read_bytes(), name


def test_random_strings_have_the_lengths_and_symbols_of_the_corpus() -> None:
    from vlcli_molecules.methods.selformer.corruption import alphabet_of, random_string, symbols_of

    texts = [parse(smiles).selfies or "" for smiles in CHAINS]
    drawn = random_string(9, alphabet_of(texts, "selfies"), random.Random(0))
    assert len(symbols_of(drawn, "selfies")) == 9 and set(symbols_of(drawn, "selfies")) <= set(
        alphabet_of(texts, "selfies")
    )


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (["method.pretraining_steps=12"], "T344"),
        (["method.heads=3"], "T343"),
        (["method.vocabulary=16"], None),
        (["method.targets=['nothing']"], "T341"),
    ],
)
def test_what_can_not_train_says_why(table: Path, tmp_path: Path, settings: list[str], code: str | None) -> None:
    data = f"data.options={{ path = '{table}', targets = ['carbons'], split = 'random' }}"
    common = ["data.use='molecules/table'", data, "method.targets=['carbons']", "method.pretraining_steps=0",
              "method.pretraining_data={}", "train.steps=12", "method.width=16", "method.layers=1", "device='cpu'",
              "method.heads=2", "train.batch_size=8"]  # fmt: skip
    if code is None:
        # Rare symbols become unknown: the vocabulary is a limit, not an error.
        assert train(tmp_path / "run", [*common, *settings]).metrics["test/rmse"] > 0
        return
    with pytest.raises(VlcliError, match=code):
        train(tmp_path / "run", [*common, *settings])


def test_the_fingerprint_ridge_chooses_its_penalty_on_validation(table: Path, tmp_path: Path) -> None:
    data = f"data.options={{ path = '{table}', targets = ['carbons'], split = 'random' }}"
    found = train(tmp_path / "run", ["data.use='molecules/table'", data, "method.use='molecules/fingerprint-ridge'",
                                     "method.targets=['carbons']", "method.alphas=[0.1, 1000.0]"])  # fmt: skip
    assert found.metrics["alpha"] == 0.1 and found.metrics["test/rmse"] > 0
