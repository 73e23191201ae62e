"""Running a recipe with fake steps: order, records, resume after a kill, refusals, and what may not be mixed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from vlcli.cli import steps
from vlcli.cli.main import run as vlcli
from vlcli.cli.pipeline import Context, Outcome
from vlcli.errors import VlcliError
from vlcli.recipe.schema import STEPS
from vlcli.runtime.runs import RunFolder, default_folder

RECIPE = """\
schema = 1
seed = 7
[steps.first]
use = "embed"
inputs = ["a"]
store = "@run/s"
[steps.second]
use = "search"
store = "@run/s"
queries = ["q"]
[steps.third]
use = "report"
"""


class Fakes:
    """Step functions that note their calls; `fail` maps a step's name to what it raises or does."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fail: dict[str, Any] = {}
        self.refused = 0

    def __call__(self, context: Context, name: str, step: Any) -> Outcome:
        self.calls.append(name)
        failure = self.fail.get(name)
        if callable(failure) and not isinstance(failure, type):
            failure()
        elif failure is not None:
            raise failure
        return Outcome(f"{name} is done", {"use": step.use}, self.refused, {"value": 1.5, "bad": float("nan")})


@pytest.fixture
def fakes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    """The recipe as clip.toml, and all step functions replaced."""
    (folder / "clip.toml").write_text(RECIPE)
    found = Fakes()
    for use in list(steps.STEP_FUNCTIONS):
        monkeypatch.setitem(steps.STEP_FUNCTIONS, use, found)
    return found


def start(*arguments: str) -> int:
    return vlcli(["--no-plugins", "--quiet", "run", *arguments])


def record(run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(run, "run.json").read_text())
    return found


def events(run: str) -> list[tuple[Any, ...]]:
    lines = Path(run, "events.jsonl").read_text().splitlines()
    return [(event["event"], event.get("name"), event.get("status")) for event in map(json.loads, lines)]


def test_every_verb_of_the_schema_has_a_function() -> None:
    assert set(steps.STEP_FUNCTIONS) == set(STEPS)


def test_run_folder_holds_everything(fakes: Fakes, capsys: pytest.CaptureFixture[str]) -> None:
    assert start("clip.toml", "--out", "out", "--json", "--device", "cpu") == 0
    assert fakes.calls == ["first", "second", "third"]
    result = json.loads(capsys.readouterr().out)
    assert result["schema"] == 1 and result["status"] == "done" and list(result["steps"]) == [
        "steps.first", "steps.second", "steps.third"]  # fmt: skip
    found = record("out")
    assert (found["recipe"], found["seed"], found["device"], found["status"]) == ("clip", 7, "cpu", "done")
    assert len(found["recipe_hash"]) == 64 and found["ended"] >= found["started"]
    assert {"vlcli", "python", "torch", "plugins"} <= set(found["versions"])
    assert found["steps"]["steps.first"]["summary"] == "first is done"
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert metrics["steps.second"] == {"value": 1.5, "bad": None}
    assert 'queries = ["q"]  # clip.toml:10\n' in Path("out/recipe.toml").read_text()
    assert 'device = "cpu"  # --set device="cpu"\n' in Path("out/recipe.toml").read_text()
    assert "<html" in Path("out/report.html").read_text()
    assert events("out")[0] == ("step", "steps.first", "started") and events("out")[-1] == ("end", None, "done")


def test_default_folder_is_new_each_time(folder: Path) -> None:
    names = {default_folder("core/clip") for _ in range(3)}
    assert len(names) == 3 and all(str(name).startswith("runs/core-clip-20") and name.is_dir() for name in names)


def test_dry_run_prints_the_plan_and_does_nothing(
    fakes: Fakes, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start("clip.toml", "--dry-run", "--set", "seed=9") == 0
    text = capsys.readouterr().out
    assert "# clip: 3 parts, nothing was run\n# 1. steps.first (embed)\n# 2. steps.second (search)\n" in text
    assert "seed = 9  # --set seed=9\n" in text
    assert fakes.calls == [] and [path.name for path in folder.iterdir()] == ["clip.toml"]


def test_refused_inputs_give_exit_code_3(fakes: Fakes) -> None:
    fakes.refused = 2
    assert start("clip.toml", "--out", "out") == 3
    assert record("out")["status"] == "done"


def test_failure_is_recorded_and_resumed(fakes: Fakes, capsys: pytest.CaptureFixture[str]) -> None:
    fakes.fail["second"] = VlcliError("E101", "here", "went wrong", "mend it")
    assert start("clip.toml", "--out", "out") == 1
    found = record("out")
    assert found["status"] == "failed" and "went wrong" in found["error"] and list(found["steps"]) == ["steps.first"]
    fakes.fail.clear()
    fakes.calls.clear()
    assert start("clip.toml", "--resume", "out") == 0
    assert fakes.calls == ["second", "third"]
    assert record("out")["status"] == "done" and record("out")["error"] is None
    assert start("--resume", "out") == 0
    assert fakes.calls == ["second", "third"]


def test_interruption_is_told_from_failure(fakes: Fakes) -> None:
    fakes.fail["third"] = KeyboardInterrupt()
    assert start("clip.toml", "--out", "out") == 130
    assert record("out")["status"] == "interrupted" and record("out")["error"] is None
    assert events("out")[-1] == ("end", None, "interrupted")


def run_and_die() -> None:
    """In a process of its own: run, and be killed within the second step, an event half written."""

    def die(context: Context, name: str, step: Any) -> Outcome:
        if name == "second":
            with open("out/events.jsonl", "a") as file:
                file.write('{"event": "half')
            os.kill(os.getpid(), signal.SIGKILL)
        return Outcome("done")

    for use in list(steps.STEP_FUNCTIONS):
        steps.STEP_FUNCTIONS[use] = die
    start("clip.toml", "--out", "out")


def test_resume_after_kill_between_steps(fakes: Fakes) -> None:
    process = multiprocessing.get_context("fork").Process(target=run_and_die)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert record("out")["status"] == "running" and list(record("out")["steps"]) == ["steps.first"]
    assert start("--resume", "out") == 0
    assert fakes.calls == ["second", "third"]
    kinds = [event[0] for event in events("out")]
    assert kinds.count("resumed") == 1 and kinds[-1] == "end"


def test_resume_refuses_a_changed_recipe(fakes: Fakes, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert start("clip.toml", "--out", "out") == 0
    (folder / "clip.toml").write_text(RECIPE.replace('queries = ["q"]', 'queries = ["q"]\ntop = 3'))
    assert start("clip.toml", "--resume", "out", "--set", "seed=8") == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "error[R201] --set seed=8: seed: the run was begun with 7, not 8 — begin a new run for this change",
        "error[R201] clip.toml:11: steps.second.top: the run was begun with 12, not 3 — begin a "
        "new run for this change",
    ]
    assert start("--resume", "out", "--device", "cpu", "--set", "threads=1") == 0
    assert fakes.calls == ["first", "second", "third"]


def test_one_process_at_a_time(fakes: Fakes, capsys: pytest.CaptureFixture[str]) -> None:
    assert start("clip.toml", "--out", "out") == 0
    with RunFolder.open(Path("out")).lock():
        assert start("--resume", "out") == 2
    assert "error[R204] out: is being run by another process" in capsys.readouterr().err


def test_places_that_are_refused(fakes: Fakes, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert start("clip.toml", "--out", ".") == 2
    assert "error[R203] .: is not empty" in capsys.readouterr().err
    assert start("--resume", "nowhere") == 2
    assert "error[R202] nowhere: is not a run" in capsys.readouterr().err
    (folder / "bad").mkdir()
    (folder / "bad" / "run.json").write_text("[" * 100_000)
    assert start("--resume", "bad") == 2
    assert "error[R202] bad/run.json" in capsys.readouterr().err
    assert start() == 2
    assert "error[U171]" in capsys.readouterr().err
    assert start("clip.toml", "--resume", "bad", "--out", "x") == 2
    assert "error[U172]" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../x", "/etc/x", "run.json", "recipe.toml", ".", "a/../../x", "run.json/x"])
def test_output_stays_in_the_run_folder(folder: Path, name: str) -> None:
    run = RunFolder.create(folder / "out", "schema = 1\n")
    for call in (run.inside, lambda text: run.resolve(f"@run/{text}")):
        with pytest.raises(VlcliError) as caught:
            call(name)
        assert caught.value.code == "R206"


def test_run_prefix_is_this_folder(folder: Path) -> None:
    run = RunFolder.create(folder / "out", "schema = 1\n")
    assert run.resolve("@run/store") == str(folder / "out" / "store")
    assert run.resolve("photos") == "photos"
    with pytest.raises(RuntimeError):
        run.event("x")
