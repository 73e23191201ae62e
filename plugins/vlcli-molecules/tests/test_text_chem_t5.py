"""Text+Chem T5: the tokenizer loses nothing, the method trains, resumes and saves, the commands answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration
from vlcli_molecules.chemistry_tasks.procedural import TextChemDataset, nci_file
from vlcli_molecules.chemistry_tasks.templates import TASK_NAMES, task_of
from vlcli_molecules.methods.text_chem_t5.find import find_model
from vlcli_molecules.methods.text_chem_t5.method import IGNORED, TextChemT5, spread
from vlcli_molecules.methods.text_chem_t5.model import TextChemModel
from vlcli_molecules.methods.text_chem_t5.tokenizer import (
    END,
    SMILES_CHARACTERS,
    load_tokenizer,
    lost_characters,
    train_tokenizer,
    without_blanks,
)

from vlcli.cli.main import run as vlcli
from vlcli.errors import VlcliError
from vlcli.plugins import load_plugins
from vlcli.recipe import load_recipe
from vlcli.testing import check_method, check_recipe
from vlcli.train import LoaderSpec, Stage
from vlcli.train.loop import Trainer
from vlcli.train.run import Training, run_training

TINY = [
    "method.width=16", "method.layers=1", "method.heads=2", "method.feed_forward=32", "method.vocabulary=400",
    "method.beams=2", "method.test_examples=3", "method.validation_examples=2", "train.batch_size=10",
    "data.options={max_atoms=7, paragraphs=60, sentences=1}", "device='cpu'", "threads=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def registry() -> Any:
    return load_plugins(third_party=True).registry


@pytest.fixture(scope="module")
def small_data() -> TextChemDataset:
    return TextChemDataset(max_atoms=7, paragraphs=60, sentences=1)


@pytest.fixture(scope="module")
def tokenizer(small_data: TextChemDataset) -> PreTrainedTokenizerFast:
    texts = [text for row in small_data.examples for text in (row.sources["text"].value or "", row.captions[0])]
    return train_tokenizer([*texts, *(task_of(name).prompt for name in TASK_NAMES)], 500)


@pytest.fixture(scope="module")
def trained(registry: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Training]:
    """A run of a few steps."""
    folder = tmp_path_factory.mktemp("text-chem") / "run"
    folder.mkdir()
    recipe = load_recipe("molecules/text-chem-t5", registry, [*TINY, "train.steps=6"])
    return folder, run_training(recipe.model, folder, registry, recipe_hash="t", quiet=True)


def decoded(tokenizer: Any, text: str) -> str:
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    return str(tokenizer.decode(ids, skip_special_tokens=True))


# Tokenizer


def test_all_nci_structures_come_back_unchanged(tokenizer: PreTrainedTokenizerFast) -> None:
    lines = nci_file().read_text(encoding="utf-8").splitlines()
    texts = [line.split()[0] for line in lines if line.strip()]
    # With stereo, isotopes and ions, which the file itself rarely has.
    texts += ["C/C=C\\C", "[13CH4]", "[Na+]~[OH-]", "C[C@@H](N)C(=O)O.[Cl-]", "C%12CCC%12", "*c1ccccc1", "CC>>CO"]
    ids = tokenizer(texts)["input_ids"]
    assert tokenizer.batch_decode(ids, skip_special_tokens=True) == texts
    assert len(texts) > 4900 and not any(tokenizer.unk_token_id in row for row in ids)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text(alphabet=SMILES_CHARACTERS, max_size=60)))
def test_no_text_at_all_is_lost(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    # The names of the special tokens are the only texts that stand for something else.
    if not any(name in text for name in ("<pad>", "</s>", "<unk>")) and text == text.encode("utf-8", "ignore").decode():
        assert decoded(tokenizer, text) == text


def test_atoms_are_tokens_and_words_are_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    pieces = tokenizer.tokenize("Clc1ccccc1Br")
    assert pieces == ["Cl", "c", "1", *"ccccc", "1", "Br"]
    assert tokenizer.tokenize("CCO") == ["C", "C", "O"]
    assert len(tokenizer.tokenize("The molecule is")) <= 6
    assert tokenizer("CCO")["input_ids"][-1] == tokenizer.eos_token_id == 1 and tokenizer.pad_token_id == 0


def sentencepiece_like(missing: str, folder: Path) -> Path:
    """A tokenizer as T5's: unigrams, blanks as a mark, `<unk>` for what is in no token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    letters = [(letter, -3.0) for letter in SMILES_CHARACTERS + " abcdefghijklmnopqrstuvwxyz" if letter not in missing]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *dict(letters).items()]
    inner = Tokenizer(models.Unigram(pieces, unk_id=2))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    inner.decoder = decoders.Metaspace(prepend_scheme="always")
    inner.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, 1)])
    made = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token=END, unk_token="<unk>")
    made.save_pretrained(folder)
    return folder


def test_a_checkpoints_tokenizer_that_loses_characters_is_refused_or_mended(tmp_path: Path) -> None:
    whole = load_tokenizer(sentencepiece_like("", tmp_path / "whole"), add_missing=False)
    assert not lost_characters(whole)
    folder = sentencepiece_like("\\~", tmp_path / "lossy")
    with pytest.raises(VlcliError, match="W231") as caught:
        load_tokenizer(folder, add_missing=False)
    assert "\\" in caught.value.message and "~" in caught.value.message
    assert "add_missing_characters" in caught.value.help
    mended = load_tokenizer(folder, add_missing=True)
    assert not lost_characters(mended)
    assert without_blanks(decoded(mended, "C/C=C\\C.[Na+]~[Cl-]")) == "C/C=C\\C.[Na+]~[Cl-]"
    with pytest.raises(VlcliError, match="W204"):
        load_tokenizer(tmp_path, add_missing=False)


# Method


def test_contract_and_recipe(registry: Any, tmp_path: Path) -> None:
    check_recipe("molecules/text-chem-t5", registry)
    check_recipe("molecules/text-chem-own", registry)
    metrics = check_method("molecules/text-chem-t5", registry, tmp_path, [*TINY, "train.steps=3"])
    assert {f"test/{name}" for name in TASK_NAMES} <= {key.rpartition("/")[0] for key in metrics}
    pair = metrics["test/caption/bleu4"], metrics["test/from-text/morgan"]
    assert metrics["test/cross-domain"] == pytest.approx(sum(pair) / 2)


def built(registry: Any, *overrides: str) -> tuple[TextChemT5, Any]:
    """A method that is built, not trained, and its examples."""
    from vlcli.train.data import TrainingData
    from vlcli.train.method import Setup

    recipe = load_recipe("molecules/text-chem-t5", registry, [*TINY, *overrides]).model
    data = TrainingData(recipe, registry)
    method = registry.build("method", "molecules/text-chem-t5", recipe.method.options)
    method.build(Setup(None, registry, 0, 10, data.captions, data.examples))
    return method, data


def test_tasks_are_drawn_equally_and_batches_depend_on_the_step_alone(registry: Any) -> None:
    method, data = built(registry)
    examples = data.examples("train")
    spec = LoaderSpec(Stage(), 10, seed=3)
    counted = dict.fromkeys(TASK_NAMES, 0)
    batches = list(method.loader(examples, spec).stream(0, 8))
    for batch in batches:
        for row in batch.examples:
            counted[str(row.label)] += 1
    assert set(counted.values()) == {16}
    # What a killed run goes on with at step 5 is what it would have seen.
    for step, late in enumerate(method.loader(examples, spec).stream(5, 8), start=5):
        assert [row.id for row in late.examples] == [row.id for row in batches[step].examples]
        for key, value in late.inputs["batch"].items():
            assert torch.equal(value, batches[step].inputs["batch"][key])


def test_a_batch_holds_prompts_and_ignores_padding(registry: Any) -> None:
    import random

    method, data = built(registry)
    rows = [next(row for row in data.examples("train") if row.label == task) for task in ("caption", "actions")]
    batch = method.collate(rows, random.Random(0))
    texts = method.tokenizer.batch_decode(batch["input_ids"], skip_special_tokens=True)
    assert texts[0] == f"Caption the following SMILES: {rows[0].sources['text'].value}"
    assert texts[1] == f"Which actions are described in the following paragraph: {rows[1].sources['text'].value}"
    for row, labels in zip(rows, batch["labels"], strict=True):
        kept = labels[labels != IGNORED]
        assert method.tokenizer.decode(kept, skip_special_tokens=True) == row.captions[0]
        assert kept[-1] == 1 and bool((labels[len(kept) :] == IGNORED).all())


def test_separate_models_share_the_steps_and_nothing_else(registry: Any, tmp_path: Path) -> None:
    recipe = load_recipe("molecules/text-chem-t5", registry, [*TINY, "train.steps=10", "method.separate=true"])
    log: list[dict[str, Any]] = []
    recipe_model = recipe.model.model_copy(update={"train": recipe.model.train.model_copy(update={"log_every": 1})})
    done = run_training(recipe_model, tmp_path, registry, recipe_hash="t", log=log.append, quiet=True)
    steps = [record["stage"] for record in log if record["event"] == "step"]
    assert {name: steps.count(name) for name in TASK_NAMES} == dict.fromkeys(TASK_NAMES, 2)
    assert done.model_folder is not None
    weights = {task: load_file(done.model_folder / task / "model.safetensors") for task in TASK_NAMES}
    assert not torch.equal(weights["caption"]["shared.weight"], weights["forward"]["shared.weight"])
    loaded = TextChemModel.load(done.model_folder)
    assert set(loaded.models) == set(TASK_NAMES)
    assert loaded.generate("caption", ["CCO"])[0][0].text == done.method.product.generate("caption", ["CCO"])[0][0].text


def test_a_killed_run_ends_with_the_same_bits(
    registry: Any, trained: tuple[Path, Training], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe("molecules/text-chem-t5", registry, [*TINY, "train.steps=6", "train.checkpoint_every=2"])
    plain = Trainer.after_step

    def killed(self: Trainer, *arguments: Any) -> None:
        plain(self, *arguments)
        if self.global_step == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "after_step", killed)
        with pytest.raises(KeyboardInterrupt):
            run_training(recipe.model, tmp_path, registry, recipe_hash="t", quiet=True)
    resumed = run_training(recipe.model, tmp_path, registry, recipe_hash="t", resume=True, quiet=True)
    assert resumed.metrics == trained[1].metrics
    ours, theirs = (load_file(run / "model" / "model.safetensors") for run in (tmp_path, trained[0]))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_saved_model_writes_what_the_trained_one_does(trained: tuple[Path, Training]) -> None:
    folder, done = trained
    loaded = TextChemModel.load(folder / "model")
    inputs = ["CCO", "c1ccccc1Cl", "C"]
    for beams, count in ((1, 1), (3, 3)):
        ours = loaded.generate("caption", inputs, beams=beams, count=count)
        theirs = done.method.product.generate("caption", inputs, beams=beams, count=count)
        assert ours == theirs and [len(row) for row in ours] == [count] * 3
        assert all(row[0].score >= row[-1].score and row[0].score <= 0 for row in ours)
    # One by one as in a batch.
    assert [loaded.generate("retro", [text], beams=2)[0][0].text for text in inputs] == [
        row[0].text for row in loaded.generate("retro", inputs, beams=2)
    ]
    tasks = json.loads((folder / "model" / "tasks.json").read_text())
    assert tasks["schema"] == 1 and set(tasks["tasks"]) == set(TASK_NAMES)
    assert T5ForConditionalGeneration.from_pretrained(folder / "model").config.d_model == 16


def test_public_weights_from_a_folder(registry: Any, tmp_path: Path) -> None:
    folder = sentencepiece_like("\\", tmp_path / "t5")
    size = len(load_tokenizer(folder, add_missing=True)) - 1
    start = T5ForConditionalGeneration(T5Config(vocab_size=size, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2,
                                                pad_token_id=0, eos_token_id=1, decoder_start_token_id=0))  # fmt: skip
    start.save_pretrained(folder)
    wanted = f"method.checkpoint={json.dumps(str(folder))}"
    with pytest.raises(VlcliError, match="W231"):
        built(registry, wanted)
    method, _ = built(registry, wanted, "method.add_missing_characters=true")
    grown = method.product.model_for("caption").get_input_embeddings().weight
    assert len(grown) == size + 1
    assert torch.equal(grown[:size], start.shared.weight)


def test_own_pairs_through_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"source": f"Caption the following SMILES: {'C' * size}O", "target": f"An alcohol of {size} carbons."}
            for size in range(1, 21)]  # fmt: skip
    (tmp_path / "pairs.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    sizes = [text for part in TINY if part.startswith("method.") for text in ("--set", part)]
    wanted = ["--set", f"data.options.path={json.dumps(str(tmp_path / 'pairs.jsonl'))}", "--set", "train.epochs=1",
              "--set", 'method.tasks=["caption"]', "--out", str(tmp_path / "run")]  # fmt: skip
    assert vlcli(["--quiet", "run", "text-chem-own", *sizes, *wanted]) == 0
    capsys.readouterr()
    assert ask(capsys, "caption", "CCO", "-m", str(tmp_path / "run"))[0] == 0
    code, _, err = ask(capsys, "retro", "CCO", "-m", str(tmp_path / "run"))
    assert code == 1 and "T602" in err


def test_a_task_without_examples_is_told(registry: Any) -> None:
    with pytest.raises(VlcliError, match="T604"):
        built(registry, 'data.options={max_atoms=7, paragraphs=60, sentences=1, tasks=["caption"]}')
    method, _ = built(registry, 'method.tasks=["caption"]', 'data.options={max_atoms=7, tasks=["caption"]}')
    with pytest.raises(VlcliError, match="T602"):
        method.product.generate("retro", ["CCO"])


def test_damaged_models_are_refused(trained: tuple[Path, Training], tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(trained[0] / "model", folder)
    content = json.loads((folder / "tasks.json").read_text())
    content["tasks"]["caption"]["folder"] = "../elsewhere"
    for text in ("{", '{"tasks": {}}', '{"tasks": {"dance": {}}}', json.dumps(content)):
        (folder / "tasks.json").write_text(text)
        with pytest.raises(VlcliError, match="W232"):
            TextChemModel.load(folder)
    shutil.copy(trained[0] / "model" / "tasks.json", folder)
    (folder / "model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(VlcliError, match="W103"):
        TextChemModel.load(folder)


def test_rows_are_spread_evenly(small_data: TextChemDataset) -> None:
    rows = small_data.examples[:10]
    assert spread(rows, 20) == rows
    assert spread(rows, 5) == rows[::2]


# Commands


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = vlcli(["molecules", *words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_every_command_answers(trained: tuple[Path, Training], capsys: pytest.CaptureFixture[str]) -> None:
    run = str(trained[0])
    for command, text in (("caption", "OCC"), ("from-text", "a phenol"), ("react", "CC(=O)O.NC"), ("retro", "CC=O")):
        code, out, _ = ask(capsys, command, text, "--model", run, "--num", "2", "--beams", "3", "--json")
        assert code == 0
        answer = json.loads(out)
        assert answer["schema"] == 1 and not answer["refused"]
        [result] = answer["results"]
        assert result["input"] == text and len(result["outputs"]) == 2
        for output in result["outputs"]:
            assert ("valid" in output) == (command != "caption")
            if "valid" in output:
                assert output["valid"] == (output["canonical"] is not None)
                if output["valid"] and command == "from-text":
                    assert Chem.MolFromSmiles(output["text"]) is not None
    # Structures are read in canonical form.
    assert json.loads(ask(capsys, "caption", "OCC", "-m", run, "--json")[1])["results"][0]["read_as"] == "CCO"
    code, out, _ = ask(capsys, "retro", "CC=O", "-m", run)
    assert code == 0 and out.strip().endswith(("valid", "INVALID"))


def test_files_and_bad_inputs(
    trained: tuple[Path, Training], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(trained[0])
    (tmp_path / "some.smi").write_text("CCO ethanol\nC1CC broken\nCCN\n")
    code, out, err = ask(capsys, "caption", str(tmp_path / "some.smi"), "CCC", "C(C", "-m", run, "--json")
    assert code == 3
    answer = json.loads(out)
    assert [result["read_as"] for result in answer["results"]] == ["CCO", "CCN", "CCC"]
    assert [refused["path"].rpartition("/")[2] for refused in answer["refused"]] == ["some.smi#2", "C(C"]
    assert all(refused["reason"] for refused in answer["refused"]) and "some.smi#2" in err
    # Beside a refused one, the only answer still says what it answers.
    code, out, _ = ask(capsys, "caption", "CCO", "C(C", "-m", run)
    assert code == 3 and out.startswith("CCO\n  ")
    (tmp_path / "reactions.txt").write_text("CC(=O)O.[Na+]~[OH-]\n\nnonsense\n")
    code, out, _ = ask(capsys, "react", str(tmp_path / "reactions.txt"), "-m", run, "--json")
    assert code == 3
    answer = json.loads(out)
    assert [result["read_as"] for result in answer["results"]] == ["CC(=O)O.[Na+]~[OH-]"]
    assert [refused["code"] for refused in answer["refused"]] == ["D643"]
    # An empty argument is an empty text, not the folder one is in.
    assert json.loads(ask(capsys, "react", "", "-m", run, "--json")[1])["refused"][0]["code"] == "D313"
    code, out, _ = ask(capsys, "caption", "C" * 2000, "-m", run, "--json")
    assert code == 3 and json.loads(out)["refused"][0]["code"] == "D644"


def test_a_missing_model_says_how_to_get_one(
    trained: tuple[Path, Training], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in ([], ["--model", str(tmp_path)], ["--model", "absent"]):
        code, _, err = ask(capsys, "caption", "CCO", *words)
        assert code == 1 and "W232" in err and "vlcli run text-chem-t5" in err
    assert ask(capsys, "retro", "CCO", "--beams", "2", "--num", "3")[0] == 2
    # Without --model the newest run in ./runs is taken.
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "text-chem-t5-1").symlink_to(trained[0])
    assert find_model(None).resolve() == (trained[0] / "model").resolve()
    assert find_model(trained[0] / "model") == trained[0] / "model"
    assert ask(capsys, "caption", "CCO")[0] == 0
