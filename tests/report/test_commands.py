import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vlcli.align.embedder import Embedder
from vlcli.api import Source
from vlcli.cli.main import run
from vlcli.errors import ExitCode, VlcliError
from vlcli.registry import Registry
from vlcli.store import Refusal, Row, SpaceInfo, create_store, open_store
from vlcli.store.query import query_vector, search_store

pytestmark = pytest.mark.usefixtures("command_line")


@pytest.fixture
def store(tmp_path: Path, swatches: ModuleType, command_line: Registry) -> Path:
    """A store of 8 swatches (two per colour) with captions, and one refusal."""
    folder = tmp_path / "home" / "stores" / "colours"
    space = swatches.starter(command_line)
    files = swatches.write_swatches(tmp_path / "in", 2)
    embedder = Embedder(space, command_line)
    with create_store(folder, SpaceInfo(space.name, space.identity, space.dim, "swatches/starter")) as opened:
        opened.begin_run("embed in")
        rows = [
            Row(str(found.source.path), str(found.source.path), "swatch", found.content_hash or "", 1, 1, 1,
                f"a {Path(found.source.id).parent.name} patch", {"index": i}, found.vector)
            for i, found in enumerate(embedder.embed_sources("swatch", [Source(str(f), path=f) for f in files]))
            if found.vector is not None
        ]  # fmt: skip
        opened.add(rows, [Refusal("<script>x</script>.swatch", "D999", "is not a swatch")])
        opened.end_run()
    return folder


def results(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == 1
    listed: list[dict[str, Any]] = found["results"]
    return listed


def colour(result: dict[str, Any]) -> str:
    return Path(result["path"]).parent.name


def test_text_search(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "out.html"
    assert run(["-q", "search", "colours", "something red", "--top", "3", "--json", "--html", str(page)]) == 0
    found = results(capsys)
    assert [colour(result) for result in found[:2]] == ["red", "red"] and len(found) == 3
    assert set(found[0]) >= {"rank", "score", "id", "path", "modality", "metadata"}
    assert [result["rank"] for result in found] == [1, 2, 3] and "index" in found[0]["metadata"]
    assert found[0]["score"] >= found[1]["score"] >= found[2]["score"]
    html = page.read_text()
    assert html.count("<img") == 3 and "something red" in html and "<script" not in html


def test_file_search_and_filters(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.swatch"
    other.write_text("10 20 240")
    assert run(["search", str(store), "--file", str(other), "--top", "2", "--json"]) == ExitCode.OK
    assert [colour(result) for result in results(capsys)] == ["blue", "blue"]
    both = ["search", str(store), "red", "--file", str(other), "--top", "1", "--json"]
    assert run([*both, "--text-weight", "0.9"]) == ExitCode.OK
    assert colour(results(capsys)[0]) == "red"
    assert run([*both, "--text-weight", "0.1"]) == ExitCode.OK
    assert colour(results(capsys)[0]) == "blue"
    assert run([*both, "--where", "path like '%green%'"]) == ExitCode.OK
    assert colour(results(capsys)[0]) == "green"
    assert run(["search", str(store), "yellow", "--text-match", "--json"]) == ExitCode.OK
    assert {colour(result) for result in results(capsys)} == {"yellow"}
    assert run(["search", str(store), "red", "--modality", "text", "--json"]) == ExitCode.OK
    assert results(capsys) == []


def test_search_prints_a_table(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["search", "colours", "green", "--top", "1"]) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rank", "score", "item"] and lines[1].startswith("1 ") and len(lines) == 2


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (["colours"], ExitCode.USAGE, "U301"),
    (["colours", "  "], ExitCode.USAGE, "U301"),
    (["colours", "red", "--top", "0"], ExitCode.USAGE, "U305"),
    (["colours", "red", "--file", "absent.swatch"], ExitCode.FAILED, "X303"),
    (["colours", "--file", "{readme}"], ExitCode.USAGE, "U303"),
    (["colours", "red", "--file", "{good}", "--text-weight", "2"], ExitCode.USAGE, "U302"),
    (["colours", "--file", "{bad}"], ExitCode.FAILED, "D999"),
    (["colours", "--file", "{good}", "--text-match"], ExitCode.USAGE, "U305"),
    (["colours", "red", "--space", "flat"], ExitCode.MISMATCH, "error[M"),
    (["colors", "red"], ExitCode.FAILED, "colors"),
])  # fmt: skip
def test_search_errors_are_one_sentence(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, says: str
) -> None:
    names = {"good": "good.swatch", "bad": "bad.swatch", "readme": "readme.md"}
    for key, content in (("good", "1 2 3"), ("bad", "?"), ("readme", "x")):
        (tmp_path / names[key]).write_text(content)
    places = {key: str(tmp_path / name) for key, name in names.items()}
    assert run(["search", *(argument.format(**places) for argument in arguments)]) == code
    error = capsys.readouterr().err
    assert says in error and len(error.strip().splitlines()) == 1, error


def test_a_space_of_another_identity_is_refused_before_searching(
    store: Path, swatches: ModuleType, registry: Registry
) -> None:
    with open_store(store, registry) as opened, pytest.raises(VlcliError) as caught:
        search_store(opened, swatches.flat(registry), registry, text="red")
    assert caught.value.exit_code == ExitCode.MISMATCH


def test_the_query_vector_is_of_unit_length(tmp_path: Path, swatches: ModuleType, registry: Registry) -> None:
    file = swatches.write_swatches(tmp_path, 1)[0]
    vector = query_vector(swatches.starter(registry), registry, text="blue", file=file)
    assert float((vector**2).sum()) == pytest.approx(1.0, abs=1e-6)


def test_report_of_a_store(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "store.html"
    assert run(["report", "colours", "-o", str(page), "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["report"] == str(page)
    html = page.read_text()
    assert html.count("<img") == 8 and "swatches/starter" in html and "sha256:" in html
    assert "&lt;script&gt;x" in html and "<script" not in html and "Refused inputs (1)" in html


def test_report_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "runs" / "mine-1"
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text('title = "<script>"\n')
    (folder / "search.html").write_text("x")
    (folder / "javascript:alert(1)").write_text("x")
    (folder / "run.json").write_text(
        json.dumps(
            {
                "schema": 1,
                "seed": 3,
                "versions": {"torch": "2"},
                "steps": {
                    "steps.embed": {
                        "summary": "<script> embedded",
                        "seconds": 1.5,
                        "files": [],
                        "result": {"refused": [{"path": "a.png", "code": "D111", "reason": "is truncated"}]},
                    },
                    "steps.search": {
                        "summary": "6 queries",
                        "files": ["search.html", "javascript:alert(1)", "gone.html"],
                    },
                },
            }
        )
    )
    (folder / "metrics.json").write_text(json.dumps({"schema": 1, "metrics": {
        "steps.eval": {"R@1": {"value": 0.4, "ci95": [0.3, 0.5], "chance": 0.1}, "n": 30}}}))  # fmt: skip
    (folder / "events.jsonl").write_text(
        "\n".join(json.dumps({"time": "now", "event": "train", "step": s, "loss": 1 / (s + 1)}) for s in range(9))
        + '\n{"torn'
    )
    assert run(["report", str(folder)]) == ExitCode.OK
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    html = (folder / "report.html").read_text()
    assert "0.300 – 0.500" in html and "steps.eval" in html and "<dt>torch</dt>" in html and "<svg" in html
    assert "is truncated" in html and 'href="./search.html"' in html and "gone.html" not in html
    assert 'href="./javascript%3Aalert%281%29"' in html and 'href="javascript' not in html
    assert "<script" not in html


def test_report_of_neither(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(tmp_path)]) != ExitCode.OK
    assert run(["report", "nothing-here"]) == ExitCode.USAGE
    assert "neither the folder of a run nor a store" in capsys.readouterr().err
    broken = tmp_path / "run"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    assert run(["report", str(broken)]) == ExitCode.FAILED
    assert "E503" in capsys.readouterr().err
