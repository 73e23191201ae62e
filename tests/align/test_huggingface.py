"""Adapters over checkpoints that the tests save themselves: equal to transformers' own features to 1e-5."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_toys import TEXT, TEXTS, embed, tokenizer
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from vlcli.align import Space, load_space
from vlcli.data.collate import pad_and_stack
from vlcli.errors import VlcliError
from vlcli.registry import Registry

VISION = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
          "image_size": 32, "patch_size": 8}  # fmt: skip


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    tops = np.array([[255, 30, 30], [30, 255, 30], [90, 90, 255]])
    return [Image.fromarray(rng.integers(0, top, (40 + 9 * i, 60, 3), dtype=np.uint8)) for i, top in enumerate(tops)]


def image_processor(kind: str) -> Any:
    import transformers

    size = {"height": 32, "width": 32}
    if kind == "clip":
        return transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size)
    if kind == "siglip":
        return transformers.SiglipImageProcessor(size=size)
    if kind == "siglip2":
        return transformers.Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
    return transformers.EfficientNetImageProcessor(size=size, rescale_offset=False)


def save_dual(kind: str, folder: Path) -> Any:
    """A tiny random checkpoint of a type, with tokenizer and processor."""
    import transformers as t

    torch.manual_seed(0)
    places = {"max_position_embeddings": 16}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    if kind == "clip":
        config = t.CLIPConfig(text_config=TEXT | places | special, vision_config=VISION, projection_dim=12)
        model = t.CLIPModel(config)
    elif kind == "siglip":
        model = t.SiglipModel(t.SiglipConfig(text_config=TEXT | places | special, vision_config=VISION))
    elif kind == "siglip2":
        vision = {key: value for key, value in VISION.items() if key != "image_size"} | {"num_patches": 16}
        model = t.Siglip2Model(t.Siglip2Config(text_config=TEXT | places | special, vision_config=vision))
    elif kind == "align":
        vision = {"image_size": 32, "hidden_dim": 12, "depth_divisor": 4,
                  "in_channels": [32, 8], "out_channels": [8, 12],
                  "kernel_sizes": [3, 3], "strides": [1, 2], "num_block_repeats": [1, 1], "expand_ratios": [1, 2],
                  "width_coefficient": 1.0, "depth_coefficient": 1.0, "depthwise_padding": []}  # fmt: skip
        model = t.AlignModel(t.AlignConfig(text_config=TEXT | places, vision_config=vision, projection_dim=12))
    else:
        audio = {"hidden_size": 32, "depths": [1, 1], "num_attention_heads": [2, 2], "patch_embeds_hidden_size": 16,
                 "spec_size": 128, "num_mel_bins": 64, "window_size": 4, "projection_dim": 12,
                 "enable_fusion": kind == "clap-fused"}  # fmt: skip
        text = TEXT | {"max_position_embeddings": 20, "pad_token_id": 0}
        model = t.ClapModel(t.ClapConfig(text_config=text, audio_config=audio, projection_dim=12))
        truncation = "fusion" if kind == "clap-fused" else "rand_trunc"
        t.ClapFeatureExtractor(sampling_rate=8000, hop_length=125, max_length_s=1, truncation=truncation,
                               frequency_max=4000).save_pretrained(folder)  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():  # the published start values give nearly equal features
            if parameter.ndim > 0:
                parameter.add_((0.5 if kind == "align" else 0.05) * torch.randn_like(parameter))
    model.eval().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    if not kind.startswith("clap"):
        image_processor(kind).save_pretrained(folder)
    return model


def text_inputs(kind: str, folder: Path) -> dict[str, Tensor]:
    """What transformers' documentation tells to feed."""
    from transformers import AutoTokenizer

    if kind.startswith("siglip"):
        # SigLIP 2 has a tokenizer class of its own, which reads the same file.
        reader = AutoTokenizer.from_pretrained(folder)
        rows = reader(TEXTS, padding="max_length", max_length=16, truncation=True, return_tensors="pt")
        return {"input_ids": rows["input_ids"]}
    rows = tokenizer()(TEXTS, padding=True, truncation=True, return_tensors="pt")
    return {name: rows[name] for name in ("input_ids", "attention_mask")}


@pytest.mark.parametrize("kind", ["clip", "siglip", "siglip2", "align"])
def test_image_and_text_features_equal_transformers(kind: str, registry: Registry, tmp_path: Path) -> None:
    model = save_dual(kind, tmp_path)
    space = load_space(f"hf:{tmp_path}", registry, "cpu")
    assert sorted(space.modalities) == ["images", "text"]
    with torch.inference_mode():
        images = model.get_image_features(**image_processor(kind)(images=pictures(), return_tensors="pt")).pooler_output
        texts = model.get_text_features(**text_inputs(kind, tmp_path)).pooler_output
    mine = embed(space, "images", pictures())
    torch.testing.assert_close(mine, functional.normalize(images, dim=-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(embed(space, "text", TEXTS), functional.normalize(texts, dim=-1), atol=1e-5, rtol=0)
    assert float((mine[0] - mine[1]).abs().max()) > 1e-4
    scale = 1 / model.temperature.item() if kind == "align" else model.logit_scale.exp().item()
    assert space.logit_scale.exp().item() == pytest.approx(scale, rel=1e-5)
    assert (space.logit_bias is not None) == kind.startswith("siglip")
    encoded = space.encode("images", pad_and_stack([space.preprocess("images", pictures()[0])]))
    assert encoded.tokens is not None and encoded.tokens.ndim == 3


@pytest.mark.parametrize("kind", ["clap", "clap-fused"])
def test_audio_and_text_features_equal_transformers(kind: str, registry: Registry, tmp_path: Path) -> None:
    import transformers

    model = save_dual(kind, tmp_path)
    space = load_space(f"hf:{tmp_path}", registry, "cpu")
    assert sorted(space.modalities) == ["speech", "text"]
    rng = np.random.default_rng(0)
    clips = [rng.normal(0, 0.3, length).astype(np.float32) for length in (3000, 8000, 5000)]
    extractor = transformers.ClapFeatureExtractor.from_pretrained(tmp_path)
    with torch.inference_mode():
        rows = [extractor(clip, sampling_rate=8000, return_tensors="pt") for clip in clips]
        audio = torch.cat([model.get_audio_features(**row).pooler_output for row in rows])
        texts = model.get_text_features(**text_inputs(kind, tmp_path)).pooler_output
    mine = embed(space, "speech", [(clip, 8000) for clip in clips])
    torch.testing.assert_close(mine, functional.normalize(audio, dim=-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(embed(space, "text", TEXTS), functional.normalize(texts, dim=-1), atol=1e-5, rtol=0)


def test_long_audio_is_the_same_each_time_and_other_rates_are_resampled(registry: Registry, tmp_path: Path) -> None:
    save_dual("clap", tmp_path)
    space = load_space(f"hf:{tmp_path}", registry, "cpu")
    clip = np.random.default_rng(1).normal(0, 0.3, 40_000).astype(np.float32)
    assert torch.equal(embed(space, "speech", [(clip, 8000)]), embed(space, "speech", [(clip, 8000)]))
    tone = np.sin(np.arange(16_000) * 0.05).astype(np.float32)
    fast, slow = embed(space, "speech", [(tone, 16_000)]), embed(space, "speech", [(tone[::2], 8000)])
    assert float((fast * slow).sum()) > 0.99
    for wrong in ((np.zeros(0, np.float32), 8000), (tone, 0)):
        with pytest.raises(VlcliError, match="D330"):
            space.preprocess("speech", wrong)


@pytest.mark.parametrize("kind", ["clip", "siglip2", "clap"])
def test_a_tuned_checkpoint_saves_and_loads_without_its_source(kind: str, registry: Registry, tmp_path: Path) -> None:
    source = tmp_path / "source"
    save_dual(kind, source)
    space = load_space(f"hf:{source}", registry, "cpu")
    space.save(tmp_path / "same")
    assert not load_file(tmp_path / "same" / "weights.safetensors")
    assert Space.load(tmp_path / "same", registry).identity == space.identity
    with torch.no_grad():
        for parameter in space.parameters():
            parameter.add_(0.01)
    space.save(tmp_path / "tuned")
    source.rename(tmp_path / "gone")
    loaded = Space.load(tmp_path / "tuned", registry)
    assert loaded.identity == space.identity
    assert torch.equal(embed(loaded, "text", TEXTS), embed(space, "text", TEXTS))
    with pytest.raises(VlcliError, match="W201"):
        Space.load(tmp_path / "same", registry)


def test_a_moved_checkpoint_keeps_its_identity(registry: Registry, tmp_path: Path) -> None:
    save_dual("clip", tmp_path / "one")
    before = load_space(f"hf:{tmp_path / 'one'}", registry, "cpu").identity
    (tmp_path / "one").rename(tmp_path / "two")
    assert load_space(f"hf:{tmp_path / 'two'}", registry, "cpu").identity == before


def write_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_weights(folder: Path, change: Any) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda f: (f / "config.json").unlink(), "W201"),
        (lambda f: (f / "config.json").write_text("{"), "W204"),
        (lambda f: (f / "config.json").write_text("[]"), "W204"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "W203"),
        (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-50]), "W103"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "W103"),
        (lambda f: write_config(f, projection_dim=13), "W103"),
        (lambda f: write_config(f, text_config=TEXT | {"hidden_size": 10**7}), "W103"),
        (lambda f: change_weights(f, lambda w: w.pop("visual_projection.weight")), "W104"),
        (lambda f: change_weights(f, lambda w: w["visual_projection.weight"].fill_(float("nan"))), "W105"),
        (lambda f: (f / "preprocessor_config.json").unlink(), "W204"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "W204"),
    ],
)
def test_a_damaged_checkpoint_is_one_sentence(damage: Any, code: str, registry: Registry, tmp_path: Path) -> None:
    save_dual("clip", tmp_path)
    damage(tmp_path)
    with pytest.raises(VlcliError) as caught:
        load_space(f"hf:{tmp_path}", registry, "cpu")
    assert caught.value.code == code, str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_hub_name_offline_says_how_to_get_it(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(VlcliError, match="hf download nobody/nothing") as caught:
        load_space("hf:nobody/nothing", registry, "cpu")
    assert caught.value.code == "W202"
    for name, code in (("/nowhere", "W201"), ("./nowhere", "W201"), ("a/b/c", "W201"), ("bad name!", "W201")):
        with pytest.raises(VlcliError) as caught:
            load_space(f"hf:{name}", registry, "cpu")
        assert caught.value.code == code, name


def test_code_in_a_checkpoint_is_never_run(registry: Registry, tmp_path: Path) -> None:
    save_dual("clip", tmp_path)
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    write_config(tmp_path, auto_map={"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"}, model_type="evil-type")
    with pytest.raises(VlcliError):
        load_space(f"hf:{tmp_path}", registry, "cpu")
    assert not (tmp_path / "ran").exists()
