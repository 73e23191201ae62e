import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from vlcli.plugins import Plugins
from vlcli.registry import Registry


@pytest.fixture
def swatches() -> Iterator[ModuleType]:
    """The test plugin of the evaluation tests, importable by name as its targets need."""
    folder = str(Path(__file__).parents[1] / "evaluate")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("swatches")
    finally:
        sys.path.remove(folder)


@pytest.fixture
def registry(swatches: ModuleType) -> Registry:
    built: Registry = swatches.build_registry()
    return built


@pytest.fixture
def command_line(registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Registry:
    """Lets `vlcli.cli.main.run` see the test plugin only, with an empty home."""
    monkeypatch.setattr("vlcli.plugins.load_plugins", lambda **options: Plugins(registry))
    monkeypatch.setenv("VLCLI_HOME", str(tmp_path / "home"))
    return registry
