"""Short versions of the torture's fuzz and unsafe-file parts, and proof that both would notice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.append(str(HERE))

SOME_WAYS = ("space:", "hf: pytorch_model.bin", "store:", "checkpoint:", "cache: features", "inputs: table.csv",
             "recipe", "plugins.toml", "images/images: *.png", "text/text: *.txt")  # fmt: skip


def test_no_payload_is_executed(tmp_path: Path) -> None:
    """Some loading paths with every payload: nothing runs, nothing crashes; pickled weights are refused by name."""
    out = tmp_path / "out.json"
    command = [sys.executable, str(HERE / "unsafe_paths.py"), str(tmp_path / "work"), str(out), *SOME_WAYS]
    done = subprocess.run(command, env=os.environ | {"VLCLI_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"},
                          capture_output=True, text=True, timeout=240, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = {result["name"]: result for result in json.loads(out.read_text())}
    assert len(results) >= len(SOME_WAYS)
    assert [text for result in results.values() for text in result["executed"]] == []
    assert [text for result in results.values() for text in result["crashed"]] == []
    for name in ("space: weights", "hf: pytorch_model.bin", "checkpoint: tensors", "images/images: *.png"):
        assert results[name]["refused"] == results[name]["tried"] >= 25, results[name]


def test_an_executed_payload_would_be_noticed(tmp_path: Path) -> None:
    """A path that unpickles is found out by the marker, by the hook, and by both for every kind of pickle."""
    script = f"""
import json, pickle, sys
from pathlib import Path
sys.path.insert(0, {str(HERE)!r})
from unsafe_paths import Watch, Way, nothing, try_way
def load(folder):
    return pickle.loads((folder / "victim").read_bytes())
print(json.dumps(try_way(Way("control", "victim", nothing, load), Path({str(tmp_path / "control")!r}), Watch())))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    executed = json.loads(done.stdout.splitlines()[-1])["executed"]
    assert sum("the marker is there" in text for text in executed) >= 10
    assert any("pickle.find_class" in text for text in executed)


def test_recipes_can_not_run_code_or_leave_their_folder(tmp_path: Path) -> None:
    """Targets, paths and deep nesting are refused when the recipe is read."""
    from unsafe_recipes import check_all, copies_stay_inside

    count, wrong = check_all(tmp_path)
    assert (count >= 40, wrong) == (True, [])
    assert copies_stay_inside(tmp_path) == []


@pytest.mark.parametrize("name", ["image", "recipe", "manifest", "space.json", "safetensors"])
def test_damaged_files_are_read_or_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eighty damaged inputs a reader, other ones than the torture's."""
    from fuzz_run import MAX_PIXELS, fuzz

    monkeypatch.setenv("VLCLI_MAX_PIXELS", MAX_PIXELS)
    result = fuzz(name, 80, 99, tmp_path)
    assert result.problems == []
    assert result.tried >= 80
    assert result.outcomes["accepted"] < result.tried


def test_a_reader_that_crashes_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that is no refusal is reported with the input that causes it."""
    import fuzz_targets
    from fuzz_run import fuzz

    original = fuzz_targets.TARGETS["manifest"]

    def fragile(folder: Path) -> fuzz_targets.Target:
        return fuzz_targets.Target(original(folder).cases, lambda path: path.read_bytes().index(b"a"))

    monkeypatch.setitem(fuzz_targets.TARGETS, "manifest", fragile)
    assert "ValueError" in fuzz("manifest", 60, 1, tmp_path).problems[0]


def test_a_child_that_dies_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends by itself is a problem, and the input is kept."""
    import fuzz_run

    script = tmp_path / "dies.py"
    script.write_text("import sys, os, pathlib\n"
                      "(pathlib.Path(sys.argv[4]) / 'current.bin').write_bytes(b'x')\nos.abort()\n")  # fmt: skip
    monkeypatch.setattr(fuzz_run, "__file__", str(script))
    result = fuzz_run.fuzz_in_child("image", 3, 0, tmp_path / "work", 60)
    assert len(result.problems) == 3 and "-6" in result.problems[0]
    assert (tmp_path / "work-died-0.bin").read_bytes() == b"x"
