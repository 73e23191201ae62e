"""The benchmarks' harness: rows, verdicts, failures that cost their own rows only, and the committed results."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
EVIDENCE = ROOT / "docs" / "evidence" / "bench.json"

# What must be reached, row by row: topic, bar, and whether it is the most or the least.
ISSUE = [
    *((f"{loss}: {row}", "losses", bar, "lower") for loss in ("info-nce", "siglip") for row, bar in (
        ("extra memory", 256), ("time / full matrix", 0.75), ("memory of twice the batch", 2.2),
        ("largest difference of loss and gradients", 1e-5))),
    *((f"{loss} over two processes: {row}", "losses", bar, "lower") for loss in ("info-nce", "siglip")
      for row, bar in (("extra memory of each", 256), ("largest difference", 1e-5), ("time / open_clip", 0.75))),
    ("gradcache: gradient difference, relative", "gradcache", 1e-4, "lower"),
    ("gradcache: time / full batch", "gradcache", 1.5, "lower"),
    ("gradcache: growth of memory from 1 to 64 micro-batches", "gradcache", 1.0, "lower"),
    ("frozen towers: speed of a later epoch / encoding again", "frozen towers", 10, "higher"),
    ("text encoding: speed / sentence-transformers", "text encoding", 0.95, "higher"),
    ("text encoding: padded / useful tokens", "text encoding", 1.15, "lower"),
    ("text encoding: largest difference, row by row", "text encoding", 1e-5, "lower"),
    ("image decoding: speed / plain decode and resize", "image embedding", 3, "higher"),
    ("image embedding: smallest cosine to full decoding", "image embedding", 0.995, "higher"),
    ("search: 1 query, share of the memory read", "search", 0.5, "higher"),
    ("search: 64 queries, share of the product", "search", 0.5, "higher"),
    ("search: recall@10 of the approximate index", "search", 0.98, "higher"),
    ("search: throughput of the approximate index / exact", "search", 10, "higher"),
    ("embed: unchanged files, times faster than the first time", "unchanged files", 50, "higher"),
    ("embed: unchanged files with --verify, times faster", "unchanged files", 5, "higher"),
    ("training step: speed / open_clip", "training step", 0.95, "higher"),
    ("training step: speed / sentence-transformers", "training step", 0.95, "higher"),
    *((f"bf16, {side}: {row}", "cpu back end", bar, better) for side in ("text", "images")
      for row, bar, better in (("speed / fp32", 1.5, "higher"), ("R@10 lost", 0.01, "lower"))),
    ("growth: train, time per item, largest / smallest size", "growth", 1.3, "lower"),
    ("growth: embed, time per item", "growth", 1.3, "lower"),
    ("growth: search, 1 query, time per item", "growth", 1.3, "lower"),
]  # fmt: skip


@pytest.fixture(scope="module")
def benchmarks() -> Iterator[tuple[Any, Any]]:
    """The modules `common` and `run` of the benchmarks' folder."""
    sys.path.insert(0, str(FOLDER))
    try:
        import common
        import run

        yield common, run
    finally:
        sys.path.remove(str(FOLDER))


def test_rows_are_judged_by_value_and_bar(benchmarks: tuple[Any, Any]) -> None:
    common, _ = benchmarks
    assert common.verdict(0.75, 0.75, "lower") and common.verdict(3.0, 3.0, "higher")
    assert not common.verdict(0.76, 0.75, "lower") and not common.verdict(2.9, 3.0, "higher")
    assert common.verdict(1.0, None, "lower") is None
    assert common.verdict(None, None, "lower") is False and common.verdict(float("nan"), 1.0, "higher") is False


def test_a_failing_part_stops_no_other(benchmarks: tuple[Any, Any], tmp_path: Path) -> None:
    common, run = benchmarks

    def broken(report: Any, settings: Any) -> None:
        report.add("one", 1.0)
        raise RuntimeError("the peer\nbroke")

    def works(report: Any, settings: Any) -> None:
        report.add("three", settings.pick(10, 2), peers={"peer": {"seconds": 1.23456}}, detail="sizes")

    parts = [
        common.Part("a", (common.Spec("one", "losses", "s", 2), common.Spec("two", "losses", "s", 2)), broken),
        common.Part("b", (common.Spec("three", "growth", "ratio", 5, "higher"),), works),
        common.Part("c", (common.Spec("four", "growth", "ratio", None),), works, ("no_such_peer",)),
    ]
    seen: list[int] = []
    settings = common.Settings(quick=True)
    rows = common.measure(parts, settings, lambda rows: seen.append(len(rows)))
    assert seen == [2, 3, 4]
    assert [row["passed"] for row in rows] == [True, False, False, False]
    assert "the peer broke" in rows[1]["detail"] and rows[1]["value"] is None
    assert rows[2]["peers"] == {"peer": {"seconds": 1.235}}
    assert rows[3]["detail"] == "not measured: no_such_peer is not installed"
    common.write(tmp_path / "bench.json", rows, settings)
    written = json.loads((tmp_path / "bench.json").read_text())
    assert written["schema"] == 1 and written["quick"] and written["rows"] == rows
    table = run.text_table(rows)
    assert "1 of 4 bars reached" in table and table.splitlines()[0].startswith("pass ")
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table: written by benchmarks/run.py -->\nold\n<!-- end of table -->\nafter\n")
    run.write_page(rows, page)
    run.write_page(rows, page)
    assert "old" not in page.read_text() and page.read_text().count("| **fail** | three | 2 ratio | ≥ 5 |") == 1
    assert page.read_text().startswith("before\n") and page.read_text().endswith("after\n")


def test_runs_take_turns(benchmarks: tuple[Any, Any]) -> None:
    common, _ = benchmarks
    calls: list[str] = []
    times = common.interleave({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)
    assert calls == ["a", "b"] * 3
    assert [len(values) for values in times.values()] == [2, 2]
    assert common.ratio([4.0, 9.0, 1.0], [2.0, 3.0, 1.0]) == 2.0


def test_memory_of_a_fresh_process(
    benchmarks: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    common, _ = benchmarks
    (tmp_path / "hungry.py").write_text(
        "import common\n\n\ndef take(size):\n    return common.extra_memory(lambda: bytearray(size * 2**20))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert 64 <= common.fresh("hungry", "take", 1, size=64) < 80
    with pytest.raises(RuntimeError, match=r"hungry\.take failed with 1"):
        common.fresh("hungry", "take", 1, size="much")


def test_rows_of_the_issue_are_registered(benchmarks: tuple[Any, Any]) -> None:
    common, run = benchmarks
    specs = run.all_specs()
    names = [spec.name for spec in specs]
    assert len(set(names)) == len(names)
    assert {spec.topic for spec in specs} == set(common.TOPICS)
    judged = {spec.name: (spec.topic, spec.bar, spec.better) for spec in specs if spec.bar is not None}
    for name, *bar in ISSUE:
        assert judged[name] == tuple(bar)


def test_listing_rows_imports_nothing_heavy() -> None:
    code = "import sys, run; run.all_specs(); print({'torch', 'numpy', 'transformers', 'open_clip'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=FOLDER, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_committed_results_are_consistent(benchmarks: tuple[Any, Any]) -> None:
    common, run = benchmarks
    written = json.loads(EVIDENCE.read_text(encoding="utf-8"))
    assert written["schema"] == 1 and written["quick"] is False
    rows = written["rows"]
    specs = {spec.name: spec for spec in run.all_specs()}
    assert [row["name"] for row in rows] == list(specs)
    for row in rows:
        spec = specs[row["name"]]
        assert (row["topic"], row["unit"], row["bar"], row["better"]) == (spec.topic, spec.unit, spec.bar, spec.better)
        assert row["passed"] is common.verdict(row["value"], row["bar"], row["better"])
        assert row["value"] is not None or row["detail"].startswith("not measured")
    assert run.page_table(rows) in run.PAGE.read_text(encoding="utf-8")


def test_the_runner_runs_a_script(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    command = [sys.executable, str(FOLDER / "run.py"), "--quick", "--threads", "1", "--only", "gradcache"]
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True)
    rows = json.loads(out.read_text())["rows"]
    assert [row["topic"] for row in rows] == ["gradcache"] * 3, done.stderr
    assert all(row["value"] is not None for row in rows)
    assert rows[0]["passed"], "GradCache's gradient is that of the whole batch"
    assert done.returncode == int(any(row["passed"] is False for row in rows))
    assert "bars reached" in done.stdout
