"""`vlcli search` with filters of plugins: applied before the ranking, refused when they are not what they should be."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

from vlcli.api import FilterSpec, Source
from vlcli.cli.main import run
from vlcli.cli.search import filter_options
from vlcli.errors import VlcliError
from vlcli.registry import Registry


class Within(BaseModel):
    """Options of the filter."""

    part: str


class Named:
    """Items whose id holds a text; `odd` items can not be judged."""

    def __init__(self, part: str) -> None:
        if part == "bad":
            raise VlcliError("U399", part, "is no part")
        self.part = part

    def __call__(self, examples: Sequence[object]) -> list[object]:
        return list(examples)

    def select(self, modality: str, sources: Iterable[Source]) -> Iterator[bool | VlcliError]:
        for source in sources:
            odd = self.part == "red" and "red-0" in source.id
            yield VlcliError("D399", source.id, "is odd") if odd else modality == "swatch" and self.part in source.id


@pytest.fixture
def colours(command_line: Registry, swatches: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of swatches, and the filter registered."""
    where = "search_filters_of_the_test"
    monkeypatch.setitem(sys.modules, where, sys.modules[__name__])
    command_line.add("swatches", "filter", FilterSpec(
        name="named", summary="items by a part of their id", target=f"{where}:Named", options=f"{where}:Within",
        search_option="part"))  # fmt: skip
    command_line.add("swatches", "filter", FilterSpec(name="training", summary="", target="x:Y"))
    swatches.write_swatches(tmp_path / "files")
    assert run(["embed", str(tmp_path / "files"), "--store", str(tmp_path / "s"), "--quiet"]) == 0
    return tmp_path / "s"


def search(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, object]]:
    capsys.readouterr()
    assert run(["search", *map(str, arguments), "--json", "--quiet"]) == 0
    results: list[dict[str, object]] = json.loads(capsys.readouterr().out)["results"]
    return results


def test_a_filter_narrows_before_the_ranking(colours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    everything = [hit["id"] for hit in search(capsys, colours, "red", "-n", 100)]
    wanted = [name for name in everything if "blue" in str(name)]
    assert wanted
    assert not set(everything[:3]) & set(wanted)
    for arguments in (("--named", "blue"), ("--named=blue",), ("--filter", "named=blue")):
        assert [hit["id"] for hit in search(capsys, colours, "red", "-n", 3, *arguments)] == wanted[:3]
    both = search(capsys, colours, "red", "-n", 9, "--named", "blue", "--where", "path like '%blue-2%'")
    assert [Path(str(hit["path"])).name for hit in both] == ["blue-2.swatch"]
    assert search(capsys, colours, "red", "--named", "blue", "--named", "green") == []


def test_without_a_query_the_items_come_in_order(colours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hits = search(capsys, colours, "--named", "blue", "-n", 2)
    assert [Path(str(hit["path"])).name for hit in hits] == ["blue-0.swatch", "blue-1.swatch"]
    assert [hit["score"] for hit in hits] == [None, None]
    assert run(["search", str(colours), "--named", "blue", "--html", str(colours.parent / "page.html")]) == 0
    assert "blue-0" in (colours.parent / "page.html").read_text()


def test_items_that_can_not_be_judged_are_told(colours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["search", str(colours), "red", "--named", "red", "-n", "100"]) == 0
    told = capsys.readouterr()
    assert "red-0" not in told.out
    assert "red-1" in told.out
    assert "1 item could not be read for the filter" in told.err
    assert "is odd" in told.err


def test_words_are_filtered_too(colours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = search(capsys, colours, "swatch", "--text-match", "--named", "blue-3")
    assert [Path(str(hit["path"])).name for hit in found] == ["blue-3.swatch"]


def test_an_item_may_be_given_inline(colours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["search", str(colours), "--item", "x", "--file", "y.swatch"]) == 2
    assert "--item" in capsys.readouterr().err
    assert run(["search", str(colours), "--item", "200 30 30", "--file-modality", "nonsense"]) != 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("--named",), "U307"), (("--filter", "nmed=x"), "U307"), (("--filter", "named"), "U307"),
     (("--filter", "training=x"), "U307"), (("--named", "bad"), "U399")],
)  # fmt: skip
def test_wrong_filters_are_refused(
    colours: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: str
) -> None:
    assert run(["search", str(colours), "red", *arguments]) == 2
    assert code in capsys.readouterr().err


def test_help_names_them(colours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["search", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--named TEXT" in shown
    assert "--training" not in shown


def test_options_are_rewritten_up_to_a_double_dash() -> None:
    own = {"--top", "-n"}
    assert filter_options(["s", "--part", "x", "--top", "3"], own, ["part"]) == [
        "s",
        "--filter",
        "part=x",
        "--top",
        "3",
    ]
    assert filter_options(["--part=a=b", "--", "--part"], own, ["part"]) == ["--filter", "part=a=b", "--", "--part"]
    assert filter_options(["--other", "x"], own, ["part"]) == ["--other", "x"]
