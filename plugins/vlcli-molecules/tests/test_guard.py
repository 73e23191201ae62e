"""The worker processes: a crash, a hang or an interrupt costs one input, and the next one is answered."""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from vlcli_molecules.guard import Guard, shared_guard

from vlcli.errors import VlcliError

# A worker without our limits and with little stack: a chain overflows it while RDKit writes its canonical SMILES.
UNLIMITED = (
    "import resource as r; r.setrlimit(r.RLIMIT_STACK, (1 << 19, r.getrlimit(r.RLIMIT_STACK)[1])); "
    "from vlcli_molecules import structure, worker; structure.MAX_ATOMS = 10**9; "
    "structure.MAX_CHARACTERS = dict.fromkeys(structure.MAX_CHARACTERS, 10**9); worker.serve()"
)
SLOW = "import sys, time\nfor line in sys.stdin:\n    time.sleep(60)"


@pytest.mark.skipif(os.name != "posix", reason="stack limits")
def test_a_crash_costs_only_its_input() -> None:
    guard = Guard(1, command=(sys.executable, "-c", UNLIMITED))
    try:
        assert guard.parse("OCC", "first").smiles == "CCO"
        with pytest.raises(VlcliError, match="crashed") as refused:
            guard.parse("C" * 5_000, "long.smi#1")
        assert (refused.value.code, refused.value.where) == ("D631", "long.smi#1")
        assert guard.parse("OCC", "next").smiles == "CCO"
    finally:
        guard.close()


def test_a_hang_is_ended() -> None:
    guard = Guard(1, seconds=0.2, command=(sys.executable, "-c", SLOW))
    try:
        for _ in range(2):
            with pytest.raises(VlcliError, match="did not finish") as refused:
                guard.parse("C", "x")
            assert refused.value.code == "D632"
    finally:
        guard.close()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("/nowhere/python",), "No such file"),
        ((sys.executable, "-c", "import no_such_module"), "before it could answer"),
    ],
)
def test_a_worker_that_does_not_start_is_told_apart_from_a_crash(command: tuple[str, ...], reason: str) -> None:
    guard = Guard(1, command=command)
    for _ in range(2):
        with pytest.raises(VlcliError, match=reason) as refused:
            guard.parse("C", "x")
        assert refused.value.code == "X601"
    guard.close()


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_worker_that_was_killed_is_replaced() -> None:
    guard = Guard(1)
    try:
        assert guard.parse("C", "x").smiles == "C"
        worker = guard.slots.get()
        assert worker is not None
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
        guard.slots.put(worker)
        assert guard.parse("OCC", "x").smiles == "CCO"
    finally:
        guard.close()


def test_threads_get_their_own_answers() -> None:
    chains = ["C" * length for length in range(1, 60)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda text: shared_guard().parse(text, text).smiles, chains))
    assert found == chains


def test_an_interrupted_call_leaves_no_answer_behind() -> None:
    guard = Guard(1, seconds=30)

    class Interrupted(BaseException):
        pass

    try:
        assert guard.parse("C", "x").smiles == "C"
        worker = guard.slots.get()
        assert worker is not None
        guard.slots.put(worker)
        asked = worker.ask

        def interrupted(request: bytes, seconds: float) -> bytes:
            asked(request, seconds)
            raise Interrupted

        worker.ask = interrupted  # type: ignore[method-assign]
        with pytest.raises(Interrupted):
            guard.parse("CC", "x")
        assert guard.parse("CCC", "x").smiles == "CCC"
    finally:
        guard.close()


def test_errors_keep_their_place_and_code() -> None:
    with pytest.raises(VlcliError) as refused:
        shared_guard().parse("CN(C)(C)(C)C", "t.csv#7")
    assert (refused.value.code, refused.value.where) == ("D612", "t.csv#7")
    assert threading.active_count() < 50
