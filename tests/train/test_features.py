"""The feature cache of frozen towers: encoded once, never mixed up, repaired, safe for several processes."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vlcli.train.features import FeatureCache, encoder_digest, feature_key

FROZEN = ("towers.numbers.trainable=[]", 'optim.use="sgd"')


@pytest.fixture
def calls() -> list[int]:
    import train_toys

    train_toys.Net.calls.clear()
    return train_toys.Net.calls


def database() -> Path:
    """The cache file of the numbers' tower (six numbers a row would be another's)."""
    folder = Path(os.environ["VLCLI_HOME"]) / "cache" / "features"
    (found,) = folder.glob("*.db")
    return found


def encoded(train: Any, calls: list[int], *overrides: str) -> int:
    """Trains, and gives how many items the frozen tower encoded for training (the test split apart)."""
    calls.clear()
    train(*FROZEN, 'data.test=""', 'data.validation=""', *overrides)
    return sum(calls)


def test_a_second_run_encodes_nothing(train: Any, calls: list[int]) -> None:
    assert encoded(train, calls) == 24
    assert encoded(train, calls) == 0
    assert encoded(train, calls, "seed=5", "optim.lr=0.5", "train.steps=3") == 0


def test_another_encoder_or_view_shares_no_row(train: Any, calls: list[int]) -> None:
    assert encoded(train, calls) == 24
    # Options that change what an item becomes, other weights of the same structure, other content.
    assert encoded(train, calls, "towers.numbers.options.scale=2.0") == 24
    assert encoded(train, calls, "towers.numbers.options.weights=1") == 24
    assert encoded(train, calls, "data.options.seed=1") == 24
    # Of three views only the plain one is there.
    assert encoded(train, calls, "train.views=3") == 48
    assert encoded(train, calls, "train.views=2") == 0


def test_cached_training_equals_encoding_anew(train: Any) -> None:
    cold, warm = train(*FROZEN, "train.views=2"), train(*FROZEN, "train.views=2")
    assert cold.bytes == warm.bytes
    live = train(*FROZEN, "train.cache_features=false")
    torch.testing.assert_close(train(*FROZEN).curve(), live.curve(), atol=1e-5, rtol=0)


def test_views_do_not_depend_on_the_run(train: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train(*FROZEN, "train.views=3")
    monkeypatch.setenv("VLCLI_HOME", str(tmp_path / "another"))
    assert train(*FROZEN, "train.views=3").bytes == first.bytes
    assert train(*FROZEN, "train.views=2").bytes != first.bytes


def test_a_damaged_row_is_encoded_again(train: Any, calls: list[int]) -> None:
    encoded(train, calls)
    with sqlite3.connect(database()) as connection:
        rows = connection.execute("SELECT key, vector FROM features ORDER BY key LIMIT 3").fetchall()
        for (key, blob), damaged in zip(rows, (rows[0][1][:-1] + b"\x55", b"", None), strict=True):
            connection.execute("UPDATE features SET vector = ? WHERE key = ?", (damaged or blob[:4], key))
    connection.close()
    assert encoded(train, calls) == 3
    assert encoded(train, calls) == 0


def test_a_file_that_is_no_database_is_made_again(train: Any, calls: list[int]) -> None:
    encoded(train, calls)
    place = database()
    for file in place.parent.glob(f"{place.name}-*"):
        file.unlink()
    place.write_bytes(b"not a database, but long enough to be looked at" * 50)
    assert encoded(train, calls) == 24
    assert encoded(train, calls) == 0


def test_a_learnt_vocabulary_is_part_of_the_key(toys: Any, tmp_path: Path) -> None:
    from vlcli.train.frozen import assets_sha256

    digests = []
    for words in (["red circle"], ["red square"], ["red circle"]):
        encoder = toys.build("encoder", "text/small-gru", {"width": 8, "dim": 8})
        encoder.fit(words)
        digests.append(assets_sha256(encoder))
    assert digests[0] == digests[2] != digests[1]


def test_the_code_of_preprocessing_is_part_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    from vlcli.train.frozen import code_sha256

    monkeypatch.syspath_prepend(tmp_path)
    source = "class Base:\n    def augment(self, item):\n        return item\n"
    (tmp_path / "augmenting_base.py").write_text(source)
    (tmp_path / "augmenting.py").write_text("import augmenting_base\n\nclass Mine(augmenting_base.Base):\n    pass\n")
    mine = importlib.import_module("augmenting").Mine()
    before = code_sha256(mine, {})
    assert before == code_sha256(mine, {})
    (tmp_path / "augmenting_base.py").write_text(source.replace("return item", "return item + 1"))
    assert code_sha256(mine, {}) != before


def test_an_edited_file_is_another_content(tmp_path: Path) -> None:
    from vlcli.api import Source
    from vlcli.train.frozen import content_hash

    file = tmp_path / "item.bin"
    hashes = []
    for content in (b"one", b"two", b"one"):
        file.write_bytes(content)
        os.utime(file, (1_000_000, 1_000_000))  # neither time nor size nor name tell them apart
        hashes.append(content_hash(Source(id="item", path=file)))
    assert hashes[0] == hashes[2] != hashes[1]


def write(folder: Path, number: int) -> None:
    cache = FeatureCache(folder, "e" * 64, 4)
    for start in range(50):
        row = np.full(4, start, np.float32)
        cache.write([(f"shared:{start}", row), (f"{number}:{start}", row)])
        assert cache.read([f"shared:{start}"])[f"shared:{start}"][0] == start
    cache.close()


def test_processes_write_at_once(tmp_path: Path) -> None:
    # fork, so that nothing is imported again; the children use SQLite and numpy only
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=write, args=(tmp_path, number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    cache = FeatureCache(tmp_path, "e" * 64, 4)
    keys = [f"{name}:{start}" for name in ("shared", 0, 1, 2, 3) for start in range(50)]
    assert len(cache.read(keys)) == 250
    assert len(cache.read(["absent"] * 3)) == 0
    cache.close()


def test_keys() -> None:
    one = encoder_digest("a/b", {"x": 1}, "w")
    assert one == encoder_digest("a/b", {"x": 1}, "w")
    assert len({one, encoder_digest("a/b", {"x": 2}, "w"), encoder_digest("a/c", {"x": 1}, "w"),
                encoder_digest("a/b", {"x": 1}, "v")}) == 4  # fmt: skip
    assert feature_key("c", 0) != feature_key("c", 1)
