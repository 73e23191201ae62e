"""One world and one process that runs commands for all fault tests."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import shim
from harness.commands import Commands
from harness.operations import Operation, Workshop
from harness.shim import Faults
from harness.world import trained_world


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    """A process that runs commands in forked children, with the shim preloaded."""
    if reason := shim.why_not():
        pytest.skip(reason)
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() else None
    with (
        tempfile.TemporaryDirectory(dir=place, prefix="vlcli-faults-") as folder,
        Commands(Path(folder) / "commands") as running,
    ):
        yield running


@pytest.fixture(scope="session")
def shop(commands: Commands) -> Workshop:
    """The operations of a small world."""
    folder = commands.folder.parent
    return Workshop(trained_world(folder / "world", commands), commands, folder / "operations")


@pytest.fixture(scope="session")
def operations(shop: Workshop) -> dict[str, Operation]:
    """All operations by name."""
    stores = shop.store_operations()
    every = [*stores, shop.train(), shop.save_space(), *shop.file_operations(stores[1].root)]
    return {operation.name: operation for operation in every}


@pytest.fixture(scope="session")
def changes(commands: Commands, operations: dict[str, Operation]) -> dict[str, int]:
    """How many changes to the disk each operation makes."""
    found = {}
    for name, operation in operations.items():
        operation.restore()
        found[name] = operation.run(commands, Faults(str(operation.root))).changes
    return found
