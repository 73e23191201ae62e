"""Damage to bytes that were safely on the disk: it may cost data, but it is never silent."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from harness.power import Tally
from harness.stores import near_answers
from vlcli.errors import VlcliError
from vlcli.store import open_store
from vlcli.store.base import BaseStore

Answers = object


def flip(path: Path, numbers: random.Random) -> int:
    """Change one to eight bytes at one place of a file; gives the offset."""
    data = bytearray(path.read_bytes())
    offset = numbers.randrange(len(data))
    for place in range(offset, min(len(data), offset + numbers.choice((1, 1, 2, 8)))):
        data[place] ^= numbers.randint(1, 255)
    path.write_bytes(bytes(data))
    return offset


def store_answers(folder: Path) -> Answers:
    """Everything a user reads from a store: items, vectors, searches, full text, export's content."""
    with open_store(folder) as store:
        items = [(item.id, item.path, item.modality, item.content_hash, item.text, sorted(item.metadata.items()))
                 for item in store.items()]  # fmt: skip
        vectors = store.vectors([item[0] for item in items])
        queries = np.eye(4, store.info.dim, dtype=np.float32)
        hits = [[(hit.id, round(hit.score, 6)) for hit in line] for line in store.search(queries, 5)]
        words = sorted(hit.id for hit in store.fulltext("png", 1000))
        return items, vectors.tobytes(), hits, words


def index_answers(folder: Path) -> Answers:
    """The items nearest to some of a store's own, asked of its approximate index.

    Raises:
        VlcliError: S110, with what the search said, when it did not use the index.
    """
    with open_store(folder) as store:
        answers = near_answers(store)
        if store.searched.kind != "approximate":
            raise VlcliError("S110", str(folder), store.searched.note)
        return answers


def names_of_repair(error: VlcliError) -> bool:
    """Whether an error says what to do about the damage."""
    return any(word in str(error) for word in ("repair", "check", "restore", "embed again", "train", "delete", "again"))


def try_rot(
    name: str, template: Path, file: str, copy: Path, count: int, seed: int,
    read: Callable[[Path], Answers], check: Callable[[Path], str] = lambda folder: "",
) -> Tally:  # fmt: skip
    """Damage a file `count` times, each time anew, and read everything.

    Args:
        read: everything there is to read; it must give what it gave before, or raise an error that names the remedy,
            or one that `check` explains.
        check: the command that looks for damage; gives what it found. Where reading gave less than before, it must
            find something; a reading that gives anything else than before is always a loss.
    """
    tally, numbers = Tally(), random.Random(seed)
    expected = read(template)
    for _ in range(count):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(template, copy)
        offset = flip(copy / file, numbers)
        tally.tried += 1
        tally.faults += 1
        where = f"{name}, {file} damaged at byte {offset}"
        try:
            found = read(copy)
        except VlcliError as error:
            tally.add("reported when read")
            if not names_of_repair(error) and not check(copy):
                tally.problems.append(f"{where}: the message names no remedy: {error}")
            continue
        if found == expected:
            tally.add("without effect on what is read")
        elif report := check(copy):
            tally.add("reported by the check")
            if not is_part(found, expected):
                tally.problems.append(f"{where}: a wrong answer, which only the check reports ({report})")
        else:
            tally.problems.append(f"{where}: silent")
    shutil.rmtree(copy, ignore_errors=True)
    return tally


def is_part(found: Answers, expected: Answers) -> bool:
    """Whether what was read is less than before, but nothing else: rows are missing, none is another."""
    if not (isinstance(found, tuple) and isinstance(expected, tuple)):
        return False
    return all(item in expected[0] for item in found[0])


def store_check(folder: Path) -> str:
    """What `store check` finds."""
    try:
        with open_store(folder) as store:
            problems = store.check()
    except VlcliError as error:
        return str(error)
    return problems[0].detail if problems else ""


def store_with_log(template: Path, folder: Path) -> Path:
    """A copy of a store whose last commits are still in its write-ahead log, as after a crash."""
    source = folder / "source"
    shutil.copytree(template, source)
    store: BaseStore = open_store(source, mode="w")
    try:
        store.begin_run("a run that is cut off")
        items = list(store.items())[:4]
        store.remove([item.id for item in items])
        copy = folder / "with-log"
        shutil.copytree(source, copy)
    finally:
        store.close()
    (copy / "writer.json").unlink(missing_ok=True)
    return copy
