"""Discovery in process: names and clashes, partial failure, the registry, options that may stand anywhere."""

from __future__ import annotations

import dataclasses
import signal
import sys
import time
from typing import Any

import pytest

from vlcli import api, hookspecs
from vlcli.cli.main import hoist_global_options, run
from vlcli.errors import VlcliError
from vlcli.isolation import PluginTimeout, time_limit
from vlcli.plugins import load_plugins
from vlcli.validation import FIELD_TYPES, check_spec

METRIC = "@hookimpl\ndef vlcli_metrics(): yield MetricSpec(name='{name}', summary='', target='{target}')\n"


def test_short_name_works_while_unique_and_a_clash_names_both(site: Any) -> None:
    site.add("one", METRIC.format(name="recall", target="a.b:c"))
    assert load_plugins().registry.find("metric", "recall").name == "one/recall"
    site.add("two", METRIC.format(name="recall", target="a.b:c"))
    registry = load_plugins().registry
    assert {"one/recall", "two/recall"} <= set(registry.names("metric"))
    with pytest.raises(VlcliError, match="ambiguous — write one/recall or two/recall"):
        registry.find("metric", "recall")
    assert registry.find("metric", "two/recall").plugin == "two"


def test_a_hook_that_fails_leaves_the_other_hooks_of_the_plugin(site: Any) -> None:
    code = METRIC.format(name="kept", target="a.b:c") + "@hookimpl\ndef vlcli_spaces(): raise RuntimeError('lost')\n"
    site.add("half", code)
    plugins = load_plugins()
    record = next(record for record in plugins.records if record.name == "half")
    assert (record.state, record.error, record.provides) == ("broken", "RuntimeError: lost", {"metric": ["kept"]})
    assert "RuntimeError: lost" in record.trace
    with pytest.raises(VlcliError, match="plugin 'half' is broken \\(RuntimeError: lost\\)"):
        plugins.registry.find("space", "half/starter")


def test_missing_and_disabled_plugins_are_named_in_look_ups(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add("asleep", METRIC.format(name="recall", target="a.b:c"))
    monkeypatch.setenv("VLCLI_DISABLE_PLUGINS", "asleep")
    registry = load_plugins().registry
    with pytest.raises(VlcliError, match="plugin 'asleep' is disabled"):
        registry.find("metric", "asleep/recall")
    with pytest.raises(VlcliError, match="no plugin 'absent' is installed"):
        registry.find("metric", "absent/recall")


def test_the_registry_is_read_only_after_discovery(site: Any) -> None:
    registry = load_plugins().registry
    spec = api.MetricSpec(name="late", summary="", target="a.b:c")
    with pytest.raises(ValueError, match="register through a hook"):
        registry.add("late", "metric", spec)
    with pytest.raises(TypeError):
        registry.entries["metric"] = {}


def test_target_that_exits_is_an_error_not_an_exit(site: Any) -> None:
    site.add("quits", METRIC.format(name="m", target="vlcli_quits.impl:m"), files={"impl.py": "raise SystemExit(0)"})
    registry = load_plugins().registry
    with pytest.raises(VlcliError, match=r"error\[P204\] quits/m.*SystemExit: 0.*plugins doctor quits"):
        registry.load(registry.find("metric", "m"))


def test_a_damaged_plugins_file_costs_a_line(site: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("disabled = [", "disabled = 'images'", "disabled = [1]", "installed = 3"):
        (site.home / "plugins.toml").write_text(text)
        assert run(["plugins", "list"]) == 0
        assert capsys.readouterr().err.count("plugins.toml") == 1


def test_a_malformed_timeout_is_a_usage_error(site: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("VLCLI_PLUGIN_TIMEOUT", "soon")
    assert run(["plugins", "list"]) == 2
    assert "'soon' is not a number of seconds" in capsys.readouterr().err


def test_every_field_type_of_every_spec_is_checked() -> None:
    spec_types = {spec_type for _, spec_type in hookspecs.HOOKS.values()}
    assert {str(field.type) for spec in spec_types for field in dataclasses.fields(spec)} <= set(FIELD_TYPES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Upper"}, "the name 'Upper' is not lower case"),
        ({"name": ""}, "the name '' is not"),
        ({"name": "a/b"}, "the name 'a/b' is not"),
        ({"target": "module"}, "the target 'module' is not of the form"),
        ({"target": "a.b:c()"}, "is not of the form"),
        ({"options": "a.b"}, "the options 'a.b' is not of the form"),
        ({"options": 3}, "'options' must be a string or None"),
        ({"summary": None}, "'summary' must be a string"),
        ({"requires": ["x"]}, "'requires' must be a tuple of strings"),
        ({"extensions": (".PNG",)}, "the extension '.PNG' is not lower case"),
        ({"extensions": ("png",)}, "the extension 'png' is not"),
    ],
)
def test_fields_are_checked(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"name": "m", "summary": "", "target": "a.b:c", **changes}
    with pytest.raises((TypeError, ValueError), match=message.replace("(", r"\(")):
        check_spec(api.ModalitySpec(**given), api.ModalitySpec, "vlcli_modalities")


def test_method_kinds_are_checked() -> None:
    spec = api.MethodSpec(name="m", summary="", target="a.b:c", kind=("guess",))
    with pytest.raises(ValueError, match="the kind 'guess' is not one of align"):
        check_spec(spec, api.MethodSpec, "vlcli_methods")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the platform has no timer")
def test_an_outer_timer_goes_on_after_an_inner_limit() -> None:
    def outer(signum: int, frame: Any) -> None:
        raise TimeoutError("outer")

    handler = signal.signal(signal.SIGALRM, outer)
    before = signal.setitimer(signal.ITIMER_REAL, 0.15)
    try:
        with pytest.raises(PluginTimeout), time_limit(0.05):
            while True:
                pass
        with pytest.raises(TimeoutError, match="outer"):
            while True:
                pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if before[0]:
            signal.setitimer(signal.ITIMER_REAL, before[0])


def test_the_fence_also_refuses_what_is_loaded_already(site: Any) -> None:
    import numpy

    site.add("needs-numpy", "import numpy")
    record = next(record for record in load_plugins().records if record.name == "needs-numpy")
    assert "must not import 'numpy'" in record.error
    assert sys.modules["numpy"] is numpy


def test_loading_leaves_the_process_as_it_was(site: Any) -> None:
    site.add("tidy", "import sys\nsys.meta_path.append(object())\nsys.stdout = None\n")
    meta_path, stdout, handler = list(sys.meta_path), sys.stdout, signal.getsignal(signal.SIGALRM)
    started = time.monotonic()
    load_plugins()
    assert (list(sys.meta_path), sys.stdout, signal.getsignal(signal.SIGALRM)) == (meta_path, stdout, handler)
    assert time.monotonic() >= started


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["embed", "x", "--debug"], ["--debug", "embed", "x"]),
        (["plugins", "list", "--no-plugins", "--quiet"], ["--no-plugins", "--quiet", "plugins", "list"]),
        (["theirs", "--verbose", "--debug"], ["--debug", "theirs", "--verbose"]),
        (["search", "s", "--", "--debug"], ["search", "s", "--", "--debug"]),
    ],
)
def test_global_options_may_stand_anywhere(given: list[str], expected: list[str]) -> None:
    assert hoist_global_options(given) == expected


def test_unknown_and_ambiguous_commands(site: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        site.add(name, "@hookimpl\ndef vlcli_commands(): yield CommandSpec(name='greet', summary='', target='a:b')")
    assert run(["serch"]) == 2
    assert "there is no command 'serch' — did you mean 'search'?" in capsys.readouterr().err
    assert run(["greet"]) == 4
    assert "command 'greet' is ambiguous — write one/greet or two/greet" in capsys.readouterr().err


def test_command_that_is_no_typer_app(site: Any, capsys: pytest.CaptureFixture[str]) -> None:
    site.add("odd", "@hookimpl\ndef vlcli_commands():\n    yield CommandSpec(name='odd', summary='', "
             "target='vlcli_odd.app:app')\n    yield CommandSpec(name='untyped', summary='', "
             "target='vlcli_odd.app:untyped')",
             files={"app.py": "import typer\napp = 3\nuntyped = typer.Typer()\n@untyped.command()\n"
                              "def f(x: 'Missing'): ...\n"})  # fmt: skip
    assert run(["odd"]) == 4
    assert "is not a typer.Typer" in capsys.readouterr().err
    assert run(["untyped"]) == 4
    assert "error[P207] odd/untyped: its Typer app can not be built" in capsys.readouterr().err


def test_show_tells_what_a_plugin_provides(site: Any, capsys: pytest.CaptureFixture[str]) -> None:
    site.add("one", METRIC.format(name="recall", target="a.b:c"))
    assert run(["plugins", "show", "one"]) == 0
    output = capsys.readouterr().out
    assert "vlcli-one 1.0, API v1, ok" in output and "metric:" in output and "recall" in output
    assert run(["plugins", "show", "on"]) == 4
    assert "no plugin is named 'on' — did you mean 'one'" in capsys.readouterr().err
