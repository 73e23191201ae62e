"""Ingestion into a real store: the ledger adds up, nothing is encoded twice, interruptions lose nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlcli.api import Source
from vlcli.data.inputs import InputItem, RefusedInput, SkippedInput
from vlcli.errors import VlcliError

sys.path.insert(0, str(Path(__file__).parent))
from toy_ingest import ToyEmbedder, open_toy_store, take_in, toy_items, vector_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(12):
        write_long_ago(folder / f"{number:03}.toy", f"content {number}")
    return folder


def write_long_ago(path: Path, content: str) -> None:
    """Write a file whose time is past doubt."""
    path.write_text(content)
    os.utime(path, ns=(10**18, 10**18))


def contents(store) -> dict[str, tuple]:
    """Everything that matters of a store, by file name."""
    items = list(store.items())
    vectors = store.vectors([item.id for item in items])
    return {
        Path(item.id).name: (item.content_hash, item.modality, item.text, item.metadata, vector.tobytes())
        for item, vector in zip(items, vectors, strict=True)
    }


def test_new_unchanged_changed_refused_and_gone(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.toy").write_text("something bad")
    (folder / "empty.toy").write_text("")
    embedder = ToyEmbedder()
    with open_toy_store(tmp_path / "store") as store:
        first = take_in(store, toy_items(folder), embedder)
        assert (first.embedded, first.unchanged, [line.code for line in first.refused]) == (12, 0, ["D114", "D399"])
        assert first.inputs == 14

        embedder.encoded.clear()
        again = take_in(store, toy_items(folder), embedder)
        assert (again.embedded, again.unchanged, len(again.refused)) == (0, 12, 2)
        assert [Path(name).name for name in embedder.encoded] == ["broken.toy"]

        (folder / "003.toy").write_text("another content")
        (folder / "004.toy").unlink()
        embedder.encoded.clear()
        third = take_in(store, toy_items(folder), embedder, prune=True)
        assert (third.embedded, third.unchanged) == (1, 10)
        assert [Path(name).name for name in third.pruned] == ["004.toy"]
        assert len(store) == 11
        assert np.allclose(store.vectors([str(folder / "003.toy")])[0], vector_of(b"another content"))
        for run in store.runs():
            assert run.status == "done"
            assert run.inputs == sum(1 for line in store.ledger(run.id) if line.outcome != "quarantined")


def test_unchanged_is_settled_without_reading(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_toy_store(tmp_path / "store") as store:
        take_in(store, toy_items(folder))

        def no_reading(path: Path) -> str:
            raise AssertionError(f"{path} was read")

        monkeypatch.setattr("vlcli.store.examine.sha256_file", no_reading)
        assert take_in(store, toy_items(folder)).unchanged == 12
        with pytest.raises(AssertionError, match="was read"):
            take_in(store, toy_items(folder), verify=True)


def test_verify_finds_what_the_stat_hides(folder: Path, tmp_path: Path) -> None:
    path = folder / "000.toy"
    with open_toy_store(tmp_path / "store") as store:
        take_in(store, toy_items(folder))
        status = path.stat()
        path.write_text("CONTENT 0")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert take_in(store, toy_items(folder)).unchanged == 12
        assert take_in(store, toy_items(folder), verify=True).embedded == 1
        assert np.allclose(store.vectors([str(path)])[0], vector_of(b"CONTENT 0"))


def test_a_file_written_again_within_one_tick_of_its_time_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    path = folder / "a.toy"
    path.write_text("one")
    status = path.stat()
    with open_toy_store(tmp_path / "store") as store:
        take_in(store, toy_items(folder))
        path.write_text("two")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert take_in(store, toy_items(folder)).embedded == 1


def test_a_new_date_alone_is_no_change(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_toy_store(tmp_path / "store") as store:
        take_in(store, toy_items(folder))
        os.utime(folder / "001.toy", ns=(10**17, 10**17))
        embedder = ToyEmbedder()
        assert take_in(store, toy_items(folder), embedder).unchanged == 12
        assert embedder.encoded == []
        assert store.get([str(folder / "001.toy")])[str(folder / "001.toy")].mtime_ns == 10**17


def test_equal_content_is_encoded_once(folder: Path, tmp_path: Path) -> None:
    for number in range(3):
        (folder / f"copy{number}.toy").write_text("content 5")
    embedder = ToyEmbedder()
    with open_toy_store(tmp_path / "store") as store:
        report = take_in(store, toy_items(folder), embedder)
        assert (report.embedded, report.reused, len(embedder.encoded)) == (15, 3, 12)
        (folder / "late.toy").write_text("content 7")
        (folder / "001.toy").rename(folder / "moved.toy")
        embedder.encoded.clear()
        report = take_in(store, toy_items(folder), embedder)
        assert (report.embedded, report.reused, embedder.encoded) == (2, 2, [])
        assert np.allclose(store.vectors([str(folder / "moved.toy")])[0], vector_of(b"content 1"))


def test_copies_of_a_refused_file_are_refused(folder: Path, tmp_path: Path) -> None:
    for name in ("x.toy", "y.toy"):
        (folder / name).write_text("bad twins")
    with open_toy_store(tmp_path / "store") as store:
        report = take_in(store, toy_items(folder))
        assert [Path(line.path).name for line in report.refused] == ["x.toy", "y.toy"]


def test_a_repeated_input_counts_once(folder: Path, tmp_path: Path) -> None:
    with open_toy_store(tmp_path / "store") as store:
        report = take_in(store, [*toy_items(folder), *toy_items(folder)])
        assert (report.embedded, report.unchanged, report.repeated) == (12, 0, 12)
        assert store.runs()[-1].inputs == 12


def test_an_edited_caption_is_stored_without_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.toy"
    path.write_text("content")
    embedder = ToyEmbedder()

    def item(**metadata: object) -> InputItem:
        return InputItem("toys", Source(id=str(path), path=path, metadata=metadata))

    with open_toy_store(tmp_path / "store") as store:
        take_in(store, [item(caption="a first", year=1)], embedder)
        assert take_in(store, [item(caption="a first", year=1)], embedder).unchanged == 1
        assert take_in(store, [item(caption="a second", year=2)], embedder).reused == 1
        assert len(embedder.encoded) == 1
        (stored,) = store.items()
        assert (stored.text, stored.metadata["year"]) == ("a second", 2)


def test_texts_without_files(tmp_path: Path) -> None:
    lines = [InputItem("text", Source(id=f"t.csv#{n}", value=text)) for n, text in enumerate(("a", "b", "a", "bad"))]
    with open_toy_store(tmp_path / "store") as store:
        report = take_in(store, lines)
        assert (report.embedded, report.reused, [r.path for r in report.refused]) == (3, 1, ["t.csv#3"])
        assert take_in(store, lines).unchanged == 3
        assert sorted(str(item.text) for item in store.items()) == ["a", "a", "b"]


def test_other_modalities_are_refused_when_named_and_skipped_in_folders(tmp_path: Path) -> None:
    source = Source(id="/x.wav", path=Path("/x.wav"))
    other = Source(id="/y.wav", path=Path("/y.wav"))
    given = [
        InputItem("speech", source),
        InputItem("speech", other, named=False),
        SkippedInput("/n.md", "no modality reads '.md' files"),
        RefusedInput("/z", "D101", "not there"),
    ]
    skipped: list[str] = []
    with open_toy_store(tmp_path / "store") as store:
        report = take_in(store, given, on_skip=lambda entry: skipped.append(entry.path))
        assert [line.code for line in report.refused] == ["D121", "D101"]
        assert skipped == ["/y.wav", "/n.md"]
        assert sum(report.skipped.values()) == 2
        assert report.inputs == store.runs()[-1].inputs == 2


def test_commits_are_due_after_seconds(folder: Path, tmp_path: Path) -> None:
    ticks = iter(range(0, 10_000, 3))
    with open_toy_store(tmp_path / "store") as store:
        sizes: list[int] = []

        def look(count: int) -> None:
            sizes.append(len(store))

        take_in(store, toy_items(folder), ToyEmbedder(look), clock=lambda: float(next(ticks)))
        assert sizes == list(range(12))  # every item was durable before the next was looked at


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), VlcliError("X999", "", "the model broke")])
def test_an_interruption_keeps_what_was_done(folder: Path, tmp_path: Path, failure: BaseException) -> None:
    def fail(count: int) -> None:
        if count == 7:
            raise failure

    with open_toy_store(tmp_path / "store") as store:
        with pytest.raises(type(failure)):
            take_in(store, toy_items(folder), ToyEmbedder(fail))
        assert len(store) == 7
        assert store.runs()[-1].status == ("interrupted" if isinstance(failure, KeyboardInterrupt) else "failed")
        embedder = ToyEmbedder()
        report = take_in(store, toy_items(folder), embedder)
        assert (report.embedded, report.unchanged, len(embedder.encoded)) == (5, 7, 5)


def test_kill_and_resume_equals_an_uninterrupted_run(folder: Path, tmp_path: Path) -> None:
    for number in range(12, 45):
        write_long_ago(folder / f"{number:03}.toy", f"content {number}")
    (folder / "zz.toy").write_text("something bad")
    script = Path(__file__).parent / "toy_ingest.py"
    killed = subprocess.run([sys.executable, str(script), str(folder), str(tmp_path / "killed"), "37"],
                            capture_output=True, text=True, timeout=120, check=False)  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    embedder = ToyEmbedder()
    with open_toy_store(tmp_path / "killed") as store:
        assert len(store) == 30  # three commits of ten; what came after them was never acknowledged
        resumed = take_in(store, toy_items(folder), embedder)
        assert (resumed.embedded, resumed.unchanged, len(resumed.refused)) == (15, 30, 1)
        assert len(embedder.encoded) == 16
        assert store.check() == []
        after = contents(store)
    with open_toy_store(tmp_path / "whole") as store:
        take_in(store, toy_items(folder))
        assert contents(store) == after


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["a", "b", "bad", "", None])), max_size=6),
                      min_size=1, max_size=4), seed=st.integers(0, 10**9))  # fmt: skip
def test_the_ledger_adds_up_whatever_happens_to_the_files(tmp_path: Path, steps: list, seed: int) -> None:
    folder = tmp_path / f"f{seed}"
    folder.mkdir(exist_ok=True)
    with open_toy_store(tmp_path / f"s{seed}") as store:
        for changes in steps:
            for number, content in changes:
                path = folder / f"{number}.toy"
                if content is None:
                    path.unlink(missing_ok=True)
                else:
                    path.write_text(content)
            files = {path.name: path.read_text() for path in folder.iterdir()}
            embedder = ToyEmbedder()
            report = take_in(store, toy_items(folder), embedder, prune=True)
            good = {name for name, content in files.items() if content in ("a", "b")}
            assert report.inputs == len(files)
            assert report.embedded + report.unchanged == len(good)
            assert len(set(embedder.encoded)) == len(embedder.encoded)
            stored = {Path(item.id).name for item in store.items()}
            assert good <= stored <= set(files)
            for name in good:
                assert np.allclose(store.vectors([str(folder / name)])[0], vector_of(files[name].encode()))
