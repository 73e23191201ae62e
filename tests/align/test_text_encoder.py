"""Text encoders over any checkpoint: every pooling equals sentence-transformers' definition, module files are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_toys import TEXT, TEXTS, embed, tokenizer
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from vlcli.align import Space, load_space
from vlcli.align.text_encoder import pool
from vlcli.errors import VlcliError
from vlcli.registry import Registry


def save_bert(folder: Path) -> Any:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    model = BertModel(BertConfig(**TEXT, max_position_embeddings=16)).eval()
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return model


def modules(folder: Path, *kinds: str, **pooling: Any) -> None:
    """Write the files of sentence-transformers."""
    rows = [{"idx": i, "name": str(i), "path": "" if kind == "Transformer" else f"{i}_{kind}",
             "type": f"sentence_transformers.models.{kind}"} for i, kind in enumerate(kinds)]  # fmt: skip
    (folder / "modules.json").write_text(json.dumps(rows))
    for row in rows:
        if row["path"]:
            (folder / row["path"]).mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


def hidden(model: Any) -> tuple[Tensor, Tensor]:
    rows = tokenizer()(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        return model(**{k: rows[k] for k in ("input_ids", "attention_mask")}).last_hidden_state, rows["attention_mask"]


def test_without_module_files_it_is_mean_pooling(registry: Registry, tmp_path: Path) -> None:
    tokens, mask = hidden(save_bert(tmp_path))
    space = load_space(f"hf:{tmp_path}", registry, "cpu")
    expected = torch.stack([row[: int(m.sum())].mean(0) for row, m in zip(tokens, mask, strict=True)])
    torch.testing.assert_close(embed(space, "text", TEXTS), functional.normalize(expected, dim=1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("config", "per_text"),
    [
        ({"pooling_mode_cls_token": True}, lambda t: t[0]),
        ({"pooling_mode_mean_tokens": True}, lambda t: t.mean(0)),
        ({"pooling_mode_max_tokens": True}, lambda t: t.amax(0)),
        ({"pooling_mode_lasttoken": True}, lambda t: t[-1]),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, lambda t: t.sum(0) / len(t) ** 0.5),
        ({"pooling_mode": "mean"}, lambda t: t.mean(0)),
        ({"pooling_mode": ["cls", "mean"]}, lambda t: torch.cat([t[0], t.mean(0)])),
        ({"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True}, lambda t: torch.cat([t[0], t.amax(0)])),
        (
            {"pooling_mode_weightedmean_tokens": True},
            lambda t: (t * torch.arange(1, len(t) + 1)[:, None]).sum(0) / sum(range(1, len(t) + 1)),
        ),
    ],
)
def test_poolings(config: dict[str, Any], per_text: Any, registry: Registry, tmp_path: Path) -> None:
    tokens, mask = hidden(save_bert(tmp_path))
    modules(tmp_path, "Transformer", "Pooling", "Normalize", **config)
    space = load_space(f"hf:{tmp_path}", registry, "cpu")
    expected = torch.stack([per_text(row[: int(m.sum())]) for row, m in zip(tokens, mask, strict=True)])
    assert space.dim == expected.shape[1]
    torch.testing.assert_close(embed(space, "text", TEXTS), functional.normalize(expected, dim=1), atol=1e-5, rtol=0)


def test_left_padding_changes_no_pooling() -> None:
    tokens, mask = torch.randn(1, 3, 4), torch.tensor([[1, 1, 1]])
    padded, padded_mask = torch.cat([torch.randn(1, 2, 4), tokens], 1), torch.tensor([[0, 0, 1, 1, 1]])
    for name in ("cls", "max", "mean", "mean_sqrt_len_tokens", "lasttoken"):
        torch.testing.assert_close(pool(padded, padded_mask, [name]), pool(tokens, mask, [name]))


def test_dense_module_prompt_and_length(registry: Registry, tmp_path: Path) -> None:
    model = save_bert(tmp_path)
    modules(tmp_path, "Transformer", "Pooling", "Dense", "Normalize", pooling_mode_mean_tokens=True)
    dense = {"linear.weight": torch.randn(5, 16), "linear.bias": torch.randn(5)}
    save_file(dense, tmp_path / "2_Dense" / "model.safetensors")
    config = {"in_features": 16, "out_features": 5, "activation_function": "torch.nn.modules.activation.Tanh"}
    (tmp_path / "2_Dense" / "config.json").write_text(json.dumps(config))
    tokens, mask = hidden(model)
    mean = torch.stack([row[: int(m.sum())].mean(0) for row, m in zip(tokens, mask, strict=True)])
    expected = functional.normalize(torch.tanh(mean @ dense["linear.weight"].T + dense["linear.bias"]), dim=1)
    space = load_space(f"hf:{tmp_path}", registry, "cpu")
    torch.testing.assert_close(embed(space, "text", TEXTS), expected, atol=1e-5, rtol=0)

    with torch.no_grad():
        for parameter in space.parameters():
            parameter.add_(0.01)
    space.save(tmp_path / "tuned")
    loaded = Space.load(tmp_path / "tuned", registry)
    assert torch.equal(embed(loaded, "text", TEXTS), embed(space, "text", TEXTS))

    settings = {"prompts": {"query": "a man "}, "default_prompt_name": "query"}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(settings))
    (tmp_path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 6, "do_lower_case": True}))
    prompted = load_space(f"hf:{tmp_path}", registry, "cpu")
    rows = prompted.preprocess("text", "DOG on the beach and street")
    assert rows["input_ids"].tolist() == tokenizer()("a man dog on")["input_ids"]


def test_unsupported_parts_are_refused(registry: Registry, tmp_path: Path) -> None:
    save_bert(tmp_path)
    modules(tmp_path, "Transformer", "Pooling", "CNN", pooling_mode_mean_tokens=True)
    with pytest.raises(VlcliError, match="the module 'CNN' is not supported"):
        load_space(f"hf:{tmp_path}", registry, "cpu")
    (tmp_path / "modules.json").write_text(json.dumps([{"path": "../..", "type": "x.Pooling"}]))
    with pytest.raises(VlcliError, match="leads out of the checkpoint"):
        load_space(f"hf:{tmp_path}", registry, "cpu")
    (tmp_path / "modules.json").write_text(json.dumps([{"path": "1_Pooling", "type": "x.Pooling"}]))
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "magic"}))
    with pytest.raises(VlcliError, match="the pooling 'magic' is not supported"):
        load_space(f"hf:{tmp_path}", registry, "cpu")


def test_options_of_the_adapter(registry: Registry, tmp_path: Path) -> None:
    tokens, _ = hidden(save_bert(tmp_path))
    space = load_space(f"hf:{tmp_path}", registry, "cpu", {"pooling": "cls"})
    torch.testing.assert_close(
        embed(space, "text", TEXTS), functional.normalize(tokens[:, 0], dim=1), atol=1e-5, rtol=0
    )
    assert space.identity != load_space(f"hf:{tmp_path}", registry, "cpu").identity
    short = load_space(f"hf:{tmp_path}", registry, "cpu", {"max_length": 4})
    assert len(short.preprocess("text", TEXTS[2])["input_ids"]) == 4
    with pytest.raises(VlcliError, match="P206"):
        load_space(f"hf:{tmp_path}", registry, "cpu", {"pooling": "magic"})
