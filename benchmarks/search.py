"""Search in a store: exact against the memory read or product that it can not do without, approximate against exact.

    python benchmarks/search.py --out search.json [--only exact|ann|growth]

Exact: 200,000 random unit vectors of 384 numbers in a store; the limit is the same product over the same mapping, with
numpy alone. Approximate: 65,536 MiniLM vectors of real sentences (`VLCLI_SHARED` names the data sets; they are embedded
once, 8 minutes of one core, and kept in `$VLCLI_HOME/benchmarks`); the parameters were chosen with other queries than
those that are reported. All times are those of `store.search`: filter, ranking, verification of the answers and their
metadata included.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import common
from common import Part, Report, Settings, Spec

DIM = 384
TOP = 10
ROWS = 200_000
REAL = 65_536
QUERIES = 64
TUNING = 1024  # queries with which the index's parameters were chosen


@contextmanager
def filled_store(vectors: Iterator[Any]) -> Iterator[Any]:
    """A store on disk with these blocks of vectors `[n, D]`, open for writing."""
    from vlcli.store import Row, SpaceInfo, create_store

    with tempfile.TemporaryDirectory() as folder:
        info = SpaceInfo("benchmark", "sha256:" + "0" * 64, DIM, "benchmark")
        with create_store(Path(folder) / "store", info) as store:
            count = 0
            for block in vectors:
                numbers = range(count, count + len(block))
                store.add([
                    Row(f"/files/{n}", f"/files/{n}", "text", f"{n:064x}", n, n, n, f"item {n}", {"year": n % 20},
                        vector) for n, vector in zip(numbers, block, strict=True)
                ])  # fmt: skip
                count += len(block)
            yield store


def random_unit(count: int, seed: int = 0, block: int = 4000) -> Iterator[Any]:
    """Random unit vectors in blocks."""
    import numpy as np

    random = np.random.default_rng(seed)
    for start in range(0, count, block):
        vectors = random.standard_normal((min(block, count - start), DIM), dtype=np.float32)
        yield vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def mapping(store: Any) -> Any:
    """The mapped matrix that the store searches."""
    import numpy as np

    store.build_cache()
    return np.load(store.path / "vectors.npy", mmap_mode="r").view(np.ndarray)


def measure_exact(report: Report, settings: Settings) -> None:
    """One and many queries against numpy alone; a filter; the first search after a small change."""
    common.set_threads(settings.threads)
    (queries,) = random_unit(QUERIES, seed=1)
    count, rounds = settings.pick(ROWS, 3000), settings.pick(15, 1)
    with filled_store(random_unit(count)) as store:
        matrix = mapping(store)
        one, many = queries[:1], queries
        runs = {
            "one": lambda: store.search(one, TOP), "read": lambda: matrix @ one[0],
            "many": lambda: store.search(many, TOP), "product": lambda: matrix @ many.T,
            "half": lambda: store.search(one, TOP, where="year < 10"),
        }  # fmt: skip
        times = common.interleave(runs, rounds)
        middle = {name: value * 1000 for name, value in common.medians(times).items()}
        size = f"{count:,} × {DIM}, top {TOP}"
        report.add("search: 1 query, share of the memory read", common.ratio(times["read"], times["one"]),
                   detail=f"{size}: {middle['one']:.1f} ms, matrix times vector alone {middle['read']:.1f} ms; with a "
                   f"filter that half of the items pass {middle['half']:.1f} ms")  # fmt: skip
        report.add("search: 64 queries, share of the product", common.ratio(times["product"], times["many"]),
                   detail=f"{size}: {middle['many']:.0f} ms, product alone {middle['product']:.0f} ms")  # fmt: skip
        (changed,) = random_unit(100, seed=2)
        before = [row.id for row in store.items(limit=100)]
        kept = store.get(before)
        from vlcli.store import Row

        store.add([Row(id, id, "text", kept[id].content_hash, None, None, None, None, {}, vector)
                   for id, vector in zip(before, changed, strict=True)])  # fmt: skip
        start = time.perf_counter()
        store.search(one, TOP)
        patched = time.perf_counter() - start
        (store.path / "vectors.npy").unlink()
        start = time.perf_counter()
        store.build_cache()
        rebuilt = time.perf_counter() - start
        report.add("search: first search after 100 changes / building the cache anew", patched / rebuilt,
                   detail=f"{size}: {patched * 1000:.0f} ms, {rebuilt * 1000:.0f} ms")  # fmt: skip


def real_vectors(settings: Settings) -> tuple[Any, Any]:
    """Vectors to search in, and queries that no parameter was chosen with."""
    from search_texts import shared_embeddings

    from vlcli.runtime.paths import home

    if "VLCLI_SHARED" not in os.environ:
        raise RuntimeError("VLCLI_SHARED does not name the folder of the shared data sets")
    root = Path(os.environ["VLCLI_SHARED"])
    root = root / "data" if (root / "data").is_dir() else root
    folder, count = home() / "benchmarks", settings.pick(REAL, 512)
    vectors, _ = shared_embeddings(root, count, TUNING if not settings.quick else 64, folder)
    queries, _ = shared_embeddings(root, settings.pick(1024, 64), 0, folder, skip=REAL + TUNING)
    return vectors, queries


def measure_ann(report: Report, settings: Settings) -> None:
    """Recall and throughput of the approximate index, one query at a time and 64 at once."""
    import numpy as np

    from vlcli.store.ann import build_index

    common.set_threads(settings.threads)
    vectors, queries = real_vectors(settings)
    with filled_store(iter(np.array_split(vectors, max(1, len(vectors) // 4000)))) as store:
        mapping(store)
        start = time.perf_counter()
        build_index(store)
        built = time.perf_counter() - start
        exact = [hits for at in range(0, len(queries), 64) for hits in store.search(queries[at : at + 64], TOP)]
        found = [store.search(query[None], TOP, approximate=True)[0] for query in queries]
        if store.searched.kind != "approximate":
            raise RuntimeError(store.searched.note)
        shares = [len({hit.id for hit in a} & {hit.id for hit in b}) / TOP for a, b in zip(exact, found, strict=True)]
        recall = sum(shares) / len(shares)
        size = f"{len(vectors):,} MiniLM vectors of real sentences, {len(queries):,} other queries"
        report.add("search: recall@10 of the approximate index", recall,
                   detail=f"{size}; built in {built:.0f} s")  # fmt: skip
        few, rounds = settings.pick(24, 2), settings.pick(9, 1)

        def singly(approximate: bool) -> None:
            for query in queries[:few]:
                store.search(query[None], TOP, approximate=approximate)

        runs = {"exact": lambda: singly(False), "ann": lambda: singly(True),
                "exact 64": lambda: store.search(queries[:QUERIES], TOP),
                "ann 64": lambda: store.search(queries[:QUERIES], TOP, approximate=True)}  # fmt: skip
        times = common.interleave(runs, rounds)
        middle = {name: value * 1000 for name, value in common.medians(times).items()}
        report.add("search: throughput of the approximate index / exact", common.ratio(times["exact"], times["ann"]),
                   detail=f"{size}, one at a time: {middle['ann'] / few:.2f} ms a query, exact "
                   f"{middle['exact'] / few:.2f} ms")  # fmt: skip
        report.add("search: throughput of the approximate index / exact, 64 at once",
                   common.ratio(times["exact 64"], times["ann 64"]),
                   detail=f"{middle['ann 64'] / QUERIES:.2f} ms a query, exact "
                   f"{middle['exact 64'] / QUERIES:.2f} ms")  # fmt: skip


def measure_growth(report: Report, settings: Settings) -> None:
    """Time per item at three sizes a factor of 4 apart."""
    common.set_threads(settings.threads)
    (queries,) = random_unit(QUERIES, seed=1)
    sizes = [settings.pick(ROWS, 3200) // factor for factor in (16, 4, 1)]
    each: dict[int, dict[str, float]] = {}
    for size in sizes:
        with filled_store(random_unit(size)) as store:
            store.build_cache()
            runs = {"one": lambda store=store: store.search(queries[:1], TOP),
                    "many": lambda store=store: store.search(queries, TOP)}  # fmt: skip
            times = common.interleave(runs, settings.pick(11, 1), warmup=2)
            each[size] = {name: 1e6 * min(values) / size for name, values in times.items()}
    for name, row in (("one", "1 query"), ("many", "64 queries")):
        told = ", ".join(f"{size:,}: {each[size][name]:.3f} µs" for size in sizes)
        report.add(
            f"growth: search, {row}, time per item",
            each[sizes[-1]][name] / each[sizes[0]][name],
            detail=f"largest / smallest; {told}",
        )


PARTS = (
    Part("exact", (
        Spec("search: 1 query, share of the memory read", "search", "share", 0.5, "higher"),
        Spec("search: 64 queries, share of the product", "search", "share", 0.5, "higher"),
        Spec("search: first search after 100 changes / building the cache anew", "search", "ratio", None),
    ), measure_exact),
    Part("ann", (
        Spec("search: recall@10 of the approximate index", "search", "recall", 0.98, "higher"),
        Spec("search: throughput of the approximate index / exact", "search", "ratio", 10.0, "higher"),
        Spec("search: throughput of the approximate index / exact, 64 at once", "search", "ratio", None),
    ), measure_ann, ("usearch",)),
    Part("growth", (
        Spec("growth: search, 1 query, time per item", "growth", "ratio", 1.3),
        Spec("growth: search, 64 queries, time per item", "growth", "ratio", 1.3),
    ), measure_growth),
)  # fmt: skip

if __name__ == "__main__":
    common.main(__doc__, PARTS)
