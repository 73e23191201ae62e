"""`vlcli embed` and `vlcli data` in process: real store, real embedder, a tiny space instead of the large one."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from vlcli.align import Encoded, Encoder
from vlcli.align.space import Space, Tower
from vlcli.cli.main import run
from vlcli.store import open_store


class MeanColour(Encoder):
    """The mean colour of a picture, and a constant."""

    modality = "images"
    dim = 4
    min_side = 32

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(4))

    def preprocess(self, item: Image.Image) -> dict[str, Tensor]:
        colour = item.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        return {"colour": torch.tensor([*colour, 64], dtype=torch.float32) / 255}

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        return Encoded(inputs["colour"] * self.scale)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of pictures, and a space that takes pictures alone."""
    pytest.importorskip("vlcli_images")
    monkeypatch.setenv("VLCLI_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def load(name: str, registry: object, device: str = "auto", options: object = None) -> Space:
        torch.manual_seed(0)
        space = Space("tiny", {"images": Tower(MeanColour(), name="tests/mean-colour")})
        if name == "other":
            with torch.no_grad():
                space.tower("images").encoder.scale.mul_(2.0)
        return space

    monkeypatch.setattr("vlcli.align.load.load_space", load)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, colour in enumerate(["red", "green", "blue", "white"]):
        path = folder / f"{number}-{colour}.png"
        Image.new("RGB", (40, 30), colour).save(path)
        os.utime(path, ns=(10**18, 10**18))
    return folder


def embed(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict, str]:
    code = run(["embed", *map(str, arguments), "--json", "--device", "cpu"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if captured.out.strip() else {}, captured.err


def test_embed_and_embed_again(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, first, _ = embed(capsys, tiny, "--space", "tiny", "--store", "photos")
    assert (code, first["schema"], first["embedded"], first["unchanged"], first["refused"]) == (0, 1, 4, 0, [])
    code, again, _ = embed(capsys, tiny, "--store", "photos")  # the store remembers its space
    assert (code, again["embedded"], again["unchanged"]) == (0, 0, 4)


def test_nothing_is_loaded_when_all_is_unchanged(
    tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # `images/starter` is registered, so its modalities are known without loading it
    embed(capsys, tiny, "--space", "images/starter", "--store", "photos")

    def no_loading(*arguments: object) -> Space:
        raise AssertionError("the space was loaded")

    monkeypatch.setattr("vlcli.align.load.load_space", no_loading)
    assert embed(capsys, tiny, "--store", "photos")[1]["unchanged"] == 4
    Image.new("RGB", (9, 9), "black").save(tiny / "new.png")
    with pytest.raises(AssertionError, match="was loaded"):
        run(["--debug", "embed", str(tiny), "--store", "photos"])


def test_the_ledger_on_the_terminal(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tiny / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
    (tiny / "empty.png").write_bytes(b"")
    (tiny / "folder.jpg").mkdir()
    (tiny / "index.html").write_text("<html>")
    code = run(["embed", str(tiny), "--space", "tiny", "--store", "./photos", "--device", "cpu"])
    captured = capsys.readouterr()
    assert code == 3
    assert captured.out.startswith("./photos: 4 embedded, 0 unchanged, 2 refused (1 × ")
    assert "the file is empty" in captured.out
    assert f"refused[D114] {tiny}/empty.png: the file is empty" in captured.err
    assert "skipped 1 files (1 × no modality reads '.html' files)" in captured.err
    with open_store(Path("photos")) as store:
        assert store.runs()[-1].inputs == 6


def test_exit_codes(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert embed(capsys, tiny / "0-red.png", "--space", "tiny", "--store", "photos")[0] == 0
    code, _, error = embed(capsys, tiny, "--space", "other", "--store", "photos")
    assert code == 5
    assert "space" in error
    code, _, error = embed(capsys, tiny / "nowhere", "--space", "tiny", "--store", "new")
    assert (code, "D101" in error) == (1, True)
    (tiny / "bad.png").write_bytes(b"bad")
    code, report, _ = embed(capsys, tiny / "bad.png", "--space", "tiny", "--store", "new")
    assert (code, len(report["refused"])) == (1, 1)
    for amount in ("many", "0", "9999999T", "9" * 400):
        code, _, error = embed(capsys, tiny, "--space", "tiny", "--store", "new", "--max-pixels", amount)
        assert (code, "U130" in error) == (2, True)
    note = tiny.parent / "note.txt"
    note.write_text("words")
    code, report, _ = embed(capsys, note, tiny, "--modality", "images", "--space", "tiny", "--store", "forced")
    assert (code, report["embedded"], [line["code"] for line in report["refused"]]) == (3, 4, ["D302", "D302"])


def test_a_typing_error_makes_no_store(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert embed(capsys, tiny / "nowhere", "--space", "tiny", "--store", "./made")[0] == 1
    assert not Path("made").exists()


def test_limits_hold_for_this_run_only(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report, _ = embed(capsys, tiny, "--space", "tiny", "--store", "s", "--max-pixels", "1000")
    assert (code, {line["code"] for line in report["refused"]}) == (1, {"D301"})
    assert "VLCLI_MAX_PIXELS" not in os.environ
    assert embed(capsys, tiny, "--store", "s")[1]["embedded"] == 4


def test_names_that_are_not_utf8(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open(os.fsencode(tiny) + b"/caf\xe9.png", "wb") as file:
        file.write((tiny / "0-red.png").read_bytes())
    with open(os.fsencode(tiny) + b"/b\xe4d.png", "wb") as file:
        file.write(b"bad")
    code, report, _ = embed(capsys, tiny, "--space", "tiny", "--store", "s")
    assert (code, report["embedded"], report["reused"]) == (3, 5, 1)
    assert report["refused"][0]["path"].endswith("b\\xe4d.png")
    assert embed(capsys, tiny, "--store", "s", "--prune")[1]["unchanged"] == 5


def test_a_list_and_a_manifest(tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (tiny / "list.csv").write_text("file,caption,year\n0-red.png,a red card,2020\n1-green.png,a green one,2021\n")
    code, report, _ = embed(capsys, tiny / "list.csv", "--space", "tiny", "--store", "s")
    assert (code, report["embedded"]) == (0, 2)
    with open_store(Path("home/stores/s")) as store:
        (found,) = store.items(where="year > 2020")
        assert (found.text, Path(found.path or "").name) == ("a green one", "1-green.png")

    class Stdin:
        buffer = io.BytesIO(b"\0".join(os.fsencode(path) for path in sorted(tiny.glob("*.png"))))

    monkeypatch.setattr("sys.stdin", Stdin())
    _, report, _ = embed(capsys, "-", "--store", "s")
    assert (report["embedded"], report["unchanged"]) == (2, 2)
    with open_store(Path("home/stores/s")) as store:
        assert len(list(store.items(where="year >= 2020"))) == 2  # a list has no columns, so it takes none away


def test_preview_and_show(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "preview", str(tiny), "-o", "sheet.png", "--n", "3", "--seed", "1", "--columns", "3"]) == 0
    first = Path("sheet.png").read_bytes()
    assert Image.open(io.BytesIO(first)).width > 3 * 160
    assert run(["data", "preview", str(tiny), "-o", "sheet.png", "--n", "3", "--seed", "1", "--columns", "3"]) == 0
    assert Path("sheet.png").read_bytes() == first
    (tiny / "0-red.png").write_bytes(b"bad")
    capsys.readouterr()
    assert run(["data", "preview", str(tiny), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["shown"] == 3
    assert run(["data", "show", "images/emoji", "--option", "language=de", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["splits"]["test"] == 300
    assert {row["name"] for row in facts["options"]} == {"captions", "language", "split"}
    assert run(["data", "list", "--json"]) == 0
    assert "images/samples" in {row["name"] for row in json.loads(capsys.readouterr().out)["datasets"]}
    assert (
        run(["data", "preview", "images/emoji", "--option", "langauge=de"]) == 2
        or "language" in capsys.readouterr().err
    )
    assert run(["data", "show", "images/emoj"]) == 1
    assert "did you mean" in capsys.readouterr().err
