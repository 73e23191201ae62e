"""Many broken plugins installed together: vlcli works, stdout stays clean, and each culprit is named once."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

GOOD = """
@hookimpl
def vlcli_commands():
    yield CommandSpec(name="hello", summary="Say hello.", target="{module}.app:app")
"""
APP = """
import typer
app = typer.Typer()
@app.command()
def hello(): print("hello")
"""
OBJECTIVE = """
@hookimpl
def vlcli_objectives():
    yield ObjectiveSpec(name="loss", summary="a loss", target={target!r})
"""
FILTER = OBJECTIVE.replace("vlcli_objectives", "vlcli_filters").replace("ObjectiveSpec", "FilterSpec")

# name -> (code, options of Site.add, state, part of the error)
BROKEN: dict[str, tuple[str | bytes, dict[str, Any], str, str]] = {
    "import-error": ("import a_module_that_is_not_there", {}, "broken", "ModuleNotFoundError"),
    "system-exit": ("import sys; sys.exit(3)", {}, "broken", "SystemExit"),
    "syntax-error": ("def broken(:\n", {}, "broken", "SyntaxError"),
    "not-utf8": (b"# \xff\xfe\nx = '\xe9'\n", {}, "broken", "SyntaxError"),
    "base-exception": ("class Odd(BaseException): pass\nraise Odd('odd')", {}, "broken", "Odd: odd"),
    "unprintable-error": (
        "class Odd(Exception):\n    def __str__(self): raise RuntimeError\nraise Odd", {}, "broken", "can not be shown",
    ),
    "endless-import": ("while True: pass", {}, "broken", "PluginTimeout"),
    "swallows-alarm": (
        "import time\nfor _ in range(3):\n    try: time.sleep(60)\n    except BaseException: pass\n"
        "time.sleep(60)", {}, "broken", "PluginTimeout",
    ),
    "imports-torch": ("import torch", {}, "broken", "must not import 'torch'"),
    "imports-align": ("import vlcli.align", {}, "broken", "must not import"),
    "removes-fence": ("import sys\nsys.meta_path.clear()\nraise ValueError('no finders')", {}, "broken", "no finders"),
    "raises-in-hook": ("@hookimpl\ndef vlcli_encoders(): raise KeyError('no')", {}, "broken", "KeyError"),
    "half-generator": (
        OBJECTIVE.format(target="x.y:z") + "    raise RuntimeError('half way')\n", {}, "broken", "half way",
    ),
    "returns-none": ("@hookimpl\ndef vlcli_encoders(): pass", {}, "broken", "returned None"),
    "wrong-type": ("@hookimpl\ndef vlcli_encoders(): yield {'name': 'x'}", {}, "broken", "yielded dict"),
    "wrong-spec": (
        OBJECTIVE.format(target="x.y:z").replace("vlcli_objectives", "vlcli_metrics"), {}, "broken",
        "instead of MetricSpec",
    ),
    "unknown-field": (
        "@hookimpl\ndef vlcli_metrics(): yield MetricSpec(name='m', summary='', target='a.b:c', colour=1)",
        {}, "broken", "colour",
    ),
    "text-for-tuple": (
        "@hookimpl\ndef vlcli_modalities(): yield ModalitySpec(name='m', summary='', target='a:b', extensions='.x')",
        {}, "broken", "must be a tuple of strings",
    ),
    "number-as-name": (
        "@hookimpl\ndef vlcli_metrics(): yield MetricSpec(name=7, summary='', target='a.b:c')",
        {}, "broken", "'name' must be a string",
    ),
    "malformed-target": (OBJECTIVE.format(target="no colon"), {}, "broken", "not of the form"),
    "name-twice": (
        OBJECTIVE.format(target="x.y:z") + "    yield ObjectiveSpec(name='loss', summary='', target='x.y:z')\n",
        {}, "broken", "given twice",
    ),
    "unknown-hook": ("@hookimpl\ndef vlcli_encoder(): return []", {}, "broken", "did you mean 'vlcli_encoders'"),
    "hook-with-argument": ("@hookimpl\ndef vlcli_encoders(registry): return []", {}, "broken", "registry"),
    "shadows-verb": (
        "@hookimpl\ndef vlcli_commands(): yield CommandSpec(name='search', summary='', target='a.b:c')",
        {}, "broken", "a verb of vlcli itself",
    ),
    "no-recipe-folder": (
        "@hookimpl\ndef vlcli_recipes(): yield RecipeFolderSpec(package='vlcli_no_recipe_folder')",
        {}, "broken", "has no folder 'recipes'",
    ),
    "not-a-module": ("thing = 1", {"value": "vlcli_not_a_module:thing"}, "broken", "instead of a module"),
    "malformed-value": ("", {"value": "not a module!"}, "broken", "not of the form"),
    "future-api": ("raise SystemError('never imported')", {"group": "vlcli.plugins.v2"}, "incompatible", "API v2"),
    "core": ("", {"distribution": "vlcli-takes-core"}, "shadowed", "taken by vlcli"),
    "Bad_Name": ("", {}, "broken", "lower case"),
    "pops-verb": ("import vlcli.cli\nvlcli.cli.CORE_COMMANDS.pop('search')", {}, "broken", "AttributeError"),
    "rebinds-registry": (
        "import vlcli.registry, vlcli.cli\nvlcli.registry.Registry.find = None\nvlcli.cli.CORE_COMMANDS = {}",
        {}, "broken", "that was undone",
    ),
    "no-metadata": ("", {"metadata": ""}, "broken", "metadata is damaged"),
}  # fmt: skip
# Loads well; only the doctor can see what is wrong: name -> (code, files, part of the finding)
DOCTOR_ONLY: dict[str, tuple[str, dict[str, str], str]] = {
    "no-target": (FILTER.format(target="vlcli_no_target.losses:Loss"), {}, "can not be loaded"),
    "target-exits": (
        FILTER.format(target="vlcli_target_exits.losses:Loss"), {"losses.py": "raise SystemExit(9)"},
        "ended with exit code 9",
    ),
    "wrong-target": (
        OBJECTIVE.format(target="vlcli_wrong_target.losses:Loss"), {"losses.py": "class Loss: pass"},
        "must be a subclass of torch.nn",
    ),
    "invalid-recipe": (
        "@hookimpl\ndef vlcli_recipes(): yield RecipeFolderSpec(package='vlcli_invalid_recipe')",
        {"recipes/bad.toml": "schema = 1\n[steps.x]\nuse = \"dance\"\n"}, "dance",
    ),
    "segfaults": (
        FILTER.format(target="vlcli_segfaults.losses:Loss"),
        {"losses.py": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"}, "killed by SIGSEGV while importing",
    ),
    "hangs": (
        FILTER.format(target="vlcli_hangs.losses:Loss"), {"losses.py": "while True: pass"},
        "did not finish within 4 s, while importing the target",
    ),
    "missing-requirement": ("", {}, "is not installed"),
    "unhealthy": (
        "@hookimpl\ndef vlcli_health_checks():\n    "
        "yield HealthCheckSpec(name='pulse', summary='', target='vlcli_unhealthy.checks:pulse')",
        {"checks.py": "def pulse(): raise RuntimeError('no pulse')"}, "no pulse",
    ),
}  # fmt: skip
PRINTS = """
import os, subprocess, sys
print("noise from print")
sys.__stdout__.write("noise from the original stdout\\n")
os.write(1, b"noise from the descriptor\\n")
subprocess.run(["echo", "noise from a child process"])
sys.stdout.close()
"""


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory, site_class: Any) -> Any:
    """All of them, and one good plugin, installed together."""
    base: Path = tmp_path_factory.mktemp("zoo")
    site = site_class(base / "site", base / "home", {"VLCLI_PLUGIN_TIMEOUT": "0.3"})
    site.folder.mkdir()
    site.home.mkdir()
    for name, (code, options, _, _) in BROKEN.items():
        site.add(name, code, **options)
    for name, (text, files, _) in DOCTOR_ONLY.items():
        requires = ("vlcli", "vlcli-that-nobody-wrote>=3") if name == "missing-requirement" else ("vlcli",)
        site.add(name, text, files=files, requires=requires)
    site.add("good", GOOD.format(module="vlcli_good"), files={"app.py": APP})
    site.add("good", "", distribution="vlcli-second-good")
    site.add("prints", PRINTS)
    site.add("bad-command", GOOD.format(module="vlcli_bad_command").replace("hello", "hollow"),
             files={"app.py": "import sys\nsys.exit(0)"})  # fmt: skip
    return site


def test_there_are_enough_specimens() -> None:
    assert len(BROKEN) + len(DOCTOR_ONLY) >= 40


def named_once(stderr: str) -> Counter[str]:
    """How often each plugin of the zoo is named by a line of vlcli on stderr."""
    lines = [line for line in stderr.splitlines() if line.startswith("vlcli: plugin '")]
    names = [line.split("'")[1] for line in lines]
    return Counter(name for name in names if name not in ("images", "text"))


def test_list_tells_the_state_of_each(zoo: Any) -> None:
    result = zoo.run("plugins", "list", "--json")
    assert result.returncode == 0, result.stderr
    plugins = json.loads(result.stdout)["plugins"]
    by_name = {(p["name"], p["distribution"]): p for p in plugins}
    for name, (_, options, state, part) in BROKEN.items():
        distribution = options.get("distribution", f"vlcli-{name}")
        record = by_name[(distribution if name == "no-metadata" else name, distribution)]
        assert record["state"] == state, record
        assert part in record["error"], record
        assert "\n" not in record["error"]
    assert by_name[("good", "vlcli-good")]["state"] == "ok"
    assert by_name[("good", "vlcli-second-good")]["state"] == "shadowed"
    assert by_name[("prints", "vlcli-prints")]["state"] == "ok"
    assert {p["name"] for p in plugins if p["state"] == "ok"} >= {"core", *DOCTOR_ONLY}


def test_each_culprit_is_named_once_on_stderr(zoo: Any) -> None:
    result = zoo.run("--help")
    assert result.returncode == 0
    assert "embed" in result.stdout and "Say hello. [good]" in result.stdout
    assert "noise" not in result.stdout
    assert re.search(r"search +Search a store", result.stdout)
    expected = Counter([f"vlcli-{n}" if n == "no-metadata" else n for n in BROKEN])
    expected.update(["good", "prints"])
    assert named_once(result.stderr) == expected


def test_a_good_plugin_works_among_them(zoo: Any) -> None:
    result = zoo.run("hello")
    assert (result.returncode, result.stdout) == (0, "hello\n")


def test_a_command_whose_module_exits_is_an_error_of_the_plugin(zoo: Any) -> None:
    result = zoo.run("hollow")
    assert result.returncode == 4
    assert "error[P204] bad-command/hollow" in result.stderr and "plugins doctor bad-command" in result.stderr


def test_no_plugins_and_disabling(zoo: Any) -> None:
    quiet = zoo.run("plugins", "list", "--json", "--no-plugins")
    assert [p["name"] for p in json.loads(quiet.stdout)["plugins"]] == ["core"]
    assert quiet.stderr == ""
    result = zoo.run("plugins", "list", "--json", VLCLI_DISABLE_PLUGINS="import-error, endless-import")
    states = {p["name"]: p["state"] for p in json.loads(result.stdout)["plugins"]}
    assert states["import-error"] == states["endless-import"] == "disabled"
    assert "'import-error'" not in result.stderr


def test_strict_mode_refuses(zoo: Any) -> None:
    result = zoo.run("plugins", "list", VLCLI_STRICT_PLUGINS="1")
    assert result.returncode == 4
    assert result.stdout == "" and "error[P102]" in result.stderr and "more" in result.stderr


def test_doctor_finds_what_only_it_can_see(zoo: Any) -> None:
    names = [*(name for name in DOCTOR_ONLY if name != "hangs"), "good", "imports-torch", "future-api"]
    result = zoo.run("plugins", "doctor", "--json", "--timeout", "60", *names, timeout=120)
    assert result.returncode == 1, result.stderr
    payload = json.loads(result.stdout)
    assert payload["ok"] is False
    reports = {(r["name"], r["distribution"]): r for r in payload["plugins"]}
    hanging = zoo.run("plugins", "doctor", "--json", "--timeout", "4", "hangs")
    assert hanging.returncode == 1
    reports[("hangs", "vlcli-hangs")] = json.loads(hanging.stdout)["plugins"][0]
    for name, (_, _, part) in DOCTOR_ONLY.items():
        report = reports[(name, f"vlcli-{name}")]
        failed = [check["message"] for check in report["checks"] if check["status"] == "failed"]
        assert not report["ok"] and any(part in text for text in [report["error"], *failed]), report
    assert reports[("good", "vlcli-good")]["ok"]
    assert reports[("good", "vlcli-second-good")]["state"] == "shadowed"
    assert "must not import 'torch'" in reports[("imports-torch", "vlcli-imports-torch")]["error"]
    assert reports[("future-api", "vlcli-future-api")]["state"] == "incompatible"


def test_search_and_recipes_work_among_them(zoo: Any) -> None:
    words = zoo.home / "words.txt"
    words.write_text("a cat on a sofa\nthe stock market fell\n")
    embedded, found, planned = zoo.several(
        ["embed", str(words), "--space", "text/minilm", "--store", "words", "--device", "cpu", "--json"],
        ["search", "words", "a pet", "--top", "1", "--device", "cpu", "--json"],
        ["run", "quickstart", "--dry-run"],
    )
    assert embedded[0] == 0, embedded
    assert json.loads(embedded[1])["embedded"] == 2
    assert found[0] == 0, found
    assert json.loads(found[1])["results"][0]["id"].endswith("words.txt#1")
    assert planned[0] == 0, planned
    for _, _, errors in (embedded, found, planned):
        assert max(named_once(errors).values()) == 1


def test_torn_entry_points_cost_a_line(site: Any) -> None:
    site.add("torn", entry_points="[vlcli.plugins.v1]\ntorn")
    site.add("coded", entry_points=b"[vlcli.plugins.v1]\nx\xff = y")
    result = site.run("plugins", "list", "--json")
    records = {p["name"]: p for p in json.loads(result.stdout)["plugins"]}
    for name in ("vlcli-torn", "vlcli-coded"):
        assert records[name]["state"] == "broken" and "metadata is damaged" in records[name]["error"]
        assert result.stderr.count(f"plugin '{name}'") == 1
