"""Ray with two workers on this machine: the rows and the ledger of one process, on the loopback interface alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from vlcli.align import Space, Tower
from vlcli.cli.main import run
from vlcli.errors import VlcliError
from vlcli.plugins import load_plugins
from vlcli.store import open_store

Vlcli = Callable[..., subprocess.CompletedProcess[str]]


def rows(folder: Path) -> tuple[list[Any], np.ndarray, list[tuple[str, str, str, str]]]:
    with open_store(folder) as store:
        items = list(store.items())
        ledger = [(line.input, line.outcome, line.code, line.reason) for line in store.ledger()]
        return items, store.vectors([item.id for item in items]), sorted(ledger)


@pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra [ray]")
def test_two_workers_give_the_rows_of_one_process(pictures: Path, tmp_path: Path) -> None:
    """Through the lance back end, and through shards; the workers are pooled once for both."""
    from vlcli.scale.cluster import ray_running

    registry = load_plugins().registry
    options = {"width": 8, "dim": 8}
    tower = Tower(registry.build("encoder", "images/small-cnn", options), name="images/small-cnn", options=options)
    Space("small", {"images": tower}).eval().save(tmp_path / "space")
    before = {path.name for path in Path("/tmp").glob("vlcli-ray-*")}
    assert run(["embed", str(pictures), "--store", "./one", "--space", "./space", "--quiet"]) == 3
    expected = rows(tmp_path / "one")
    with ray_running(None, 2) as ray:
        addresses = {node["NodeManagerAddress"] for node in ray.nodes()}
        raylets = psutil.Process().children(recursive=True)
        listening = {
            connection.laddr.ip
            for process in [psutil.Process(), *raylets]
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        common = ["--engine", "ray", "--space", "./space", "--quiet"]
        assert run(["embed", str(pictures), "--store", "./two", "--backend", "lance", *common]) == 3
        assert run(["embed", str(pictures), "--shards", "parts", "--store", "./three", *common]) == 3
        assert run(["embed", str(pictures), "--store", "./two", *common]) == 3
    assert addresses == {"127.0.0.1"}
    assert listening and listening <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}, listening
    for name in ("two", "three"):
        items, vectors, ledger = rows(tmp_path / name)
        assert items == expected[0]
        np.testing.assert_allclose(vectors, expected[1], atol=1e-6, rtol=0)
        if name == "three":
            assert ledger == expected[2]
    with open_store(tmp_path / "two") as store:
        first, second = store.runs()
        assert (first.embedded, first.unchanged, first.refused) == (41, 0, len(expected[2]) - 41)
        assert (second.embedded, second.unchanged, second.refused) == (0, 41, first.refused)
        assert store.check() == []
    assert {path.name for path in Path("/tmp").glob("vlcli-ray-*")} <= before
    assert not [p for p in psutil.Process().children(recursive=True) if "raylet" in p.name() or "gcs" in p.name()]


def test_without_ray_the_extra_is_named(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    from vlcli.scale import cluster

    with pytest.raises(VlcliError, match=r"X207.*vlcli\[ray\]"):
        cluster.import_ray()
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    assert run(["embed", str(pictures), "--store", "s", "--engine", "ray"]) == 1
    assert "error[X207]" in capsys.readouterr().err


class FakeRay:
    """What `Pool` uses of Ray: tasks are functions, `hold` are those that have not ended."""

    class exceptions:
        class RayError(Exception):
            pass

        class RayTaskError(RayError):
            def __init__(self, cause: Exception) -> None:
                super().__init__(str(cause))
                self.cause = cause

    def __init__(self) -> None:
        self.hold: set[int] = set()

    def get(self, reference: Any) -> Any:
        self.hold.discard(reference[0])
        if isinstance(reference[1], Exception):
            raise reference[1]
        return reference[1]

    def wait(self, references: list[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        return [r for r in references if r[0] not in self.hold], [r for r in references if r[0] in self.hold]


def test_tasks_come_back_in_order_and_go_where_there_is_room() -> None:
    from vlcli.scale.cluster import DEPTH, Pool

    ray = FakeRay()
    pool = Pool(ray, ["a", "b"])
    sent: list[tuple[str, int]] = []
    taken = 0

    def tasks() -> Any:
        nonlocal taken
        for number in range(20):
            taken += 1
            yield number

    def send(actor: str, number: int) -> Any:
        sent.append((actor, number))
        if actor == "a":
            ray.hold.add(number)
        return number, number * 10

    stream = pool.ordered(send, tasks())
    assert next(stream) == (0, 0)
    assert taken <= DEPTH * 2 + 1
    assert list(stream) == [(n, n * 10) for n in range(1, 20)]
    assert sum(actor == "b" for actor, _ in sent) > sum(actor == "a" for actor, _ in sent)


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (FakeRay.exceptions.RayTaskError(VlcliError("M503", "s", "another space")), "M503"),
        (FakeRay.exceptions.RayTaskError(ValueError("odd")), "X209"),
        (FakeRay.exceptions.RayError("the worker died"), "X209"),
    ],
)
def test_what_goes_wrong_in_a_worker_is_told_here(raised: Exception, code: str) -> None:
    from vlcli.scale.cluster import Pool

    with pytest.raises(VlcliError, match=code):
        Pool(FakeRay(), ["a"]).get((0, raised))


def test_a_worker_with_another_space_is_refused(registry_space: Any) -> None:
    from vlcli.scale.worker import Worker, WorkerSetup
    from vlcli.store import SpaceInfo

    space, registry = registry_space
    info = SpaceInfo(space.name, "sha256:" + "0" * 64, space.dim, "demo")
    with pytest.raises(VlcliError, match="M503"):
        Worker(WorkerSetup("demo", info), registry, space)
