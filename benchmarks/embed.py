"""`vlcli embed`: files that did not change, and growth with the number of files.

    python benchmarks/embed.py --out embed.json [--only unchanged|growth]

Unchanged: 10,000 small PNG files in a store; the command line is run on them again, with and without `--verify`, in
processes of their own, start-up included. The first time would take minutes with the real space: it is measured on 200
and on 1,000 of the files with `images/starter`, and its time per file counted for the other 9,000. Only the vectors of
the store of 10,000 come from a cheap stand-in; nothing reads them.

Growth: the whole ingestion (listing, hashing, decoding, commits) at three sizes a factor of 4 apart, each in a process
of its own, with a stand-in encoder that pools pixels, so that what grows is ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
from common import MIB, Part, Report, Settings, Spec

FILES = 10_000
SAMPLE = (200, 1000)
LONG_AGO = 10**18  # files that were written just now are always hashed again


@dataclass
class Embedded:
    """What a stand-in gives for a source."""

    source: Any
    vector: Any
    error: None = None


class Pooling:
    """Decodes pictures and pools their pixels to unit vectors; without BLAS, whose threads wait on a busy machine."""

    def __init__(self, modality: Any, dim: int) -> None:
        self.modality = modality
        self.dim = dim

    def embed_sources(self, modality: str, sources: Iterable[Any]) -> Iterator[Embedded]:
        """One vector a picture."""
        import numpy as np

        for source in sources:
            pixels = np.asarray(self.modality.load(source).convert("RGB"), dtype=np.float32).ravel() - 127
            vector = pixels[: len(pixels) // self.dim * self.dim].reshape(self.dim, -1).mean(axis=1)
            yield Embedded(source, vector / np.linalg.norm(vector))


def write_pictures(folder: Path, count: int) -> None:
    """Small PNG files, all different, a thousand a folder."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number // 1000:03}" / f"{number:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path, compress_level=1)
        os.utime(path, ns=(LONG_AGO, LONG_AGO))


def take_in(folder: str, store: str, identity: str, dim: int) -> dict[str, float]:
    """Ingest a folder with the stand-in; seconds and the process's peak of resident memory, MiB. Run by `fresh`."""
    from vlcli.data.inputs import expand_inputs
    from vlcli.plugins import load_plugins
    from vlcli.store import SpaceInfo, open_or_create_store
    from vlcli.store.ingest import Ingestion, run_ingestion

    registry = load_plugins().registry
    modality = registry.load(registry.find("modality", "images"))()
    name = "images/starter"
    start = time.perf_counter()
    with open_or_create_store(Path(store), SpaceInfo(name, identity, dim, name)) as opened:
        ingestion = Ingestion(opened, Pooling(modality, dim), {"images"}, name)
        report = run_ingestion(ingestion, expand_inputs([folder], registry))
    if report.refused:
        raise RuntimeError(f"{len(report.refused)} pictures were refused, first: {report.refused[0]}")
    seconds = time.perf_counter() - start
    return {"items": report.embedded, "seconds": seconds, "peak": common.status_bytes("VmHWM") / MIB}


def embed(threads: int, *arguments: str) -> float:
    """Seconds of a `vlcli embed` in a process of its own.

    Raises:
        RuntimeError: when it fails.
    """
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "vlcli", "embed", *arguments], capture_output=True, text=True,
                          env=common.environment(threads))  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"vlcli embed failed with {done.returncode}: {done.stderr[-500:].strip()}")
    return time.perf_counter() - start


def measure_unchanged(report: Report, settings: Settings) -> None:
    """The same files again, by stat and by content, against the first time."""
    count, sample = settings.pick(FILES, 60), SAMPLE if not settings.quick else (10, 40)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        write_pictures(root / "all", count)
        times = {}
        for size in sample:
            write_pictures(root / f"some{size}", size)
            store = str(root / f"first{size}")
            times[size] = embed(
                settings.threads, str(root / f"some{size}"), "--space", "images/starter", "--store", store
            )
        each = (times[sample[1]] - times[sample[0]]) / (sample[1] - sample[0])
        first = times[sample[1]] + each * (count - sample[1])
        identity, dim = pinned(root / f"first{sample[0]}")
        common.fresh("embed", "take_in", settings.threads, folder=str(root / "all"), store=str(root / "store"),
                     identity=identity, dim=dim)  # fmt: skip
        runs = {
            "stat": lambda: embed(settings.threads, str(root / "all"), "--store", str(root / "store")),
            "verify": lambda: embed(settings.threads, str(root / "all"), "--store", str(root / "store"), "--verify"),
        }
        found = common.medians(common.interleave(runs, settings.pick(3, 1)))
    told = (f"{count:,} files; the first time {first:.0f} s: {sample[1]:,} files {times[sample[1]]:.1f} s, "
            f"{each * 1000:.1f} ms for each further one")  # fmt: skip
    report.add("embed: unchanged files, times faster than the first time", first / found["stat"],
               detail=f"{found['stat']:.2f} s for {told}")  # fmt: skip
    report.add("embed: unchanged files with --verify, times faster", first / found["verify"],
               detail=f"{found['verify']:.2f} s for {told}")  # fmt: skip


def pinned(store: Path) -> tuple[str, int]:
    """Identity and dimension of a store's space."""
    from vlcli.store import open_store

    with open_store(store) as opened:
        return opened.info.identity, opened.info.dim


def measure_growth(report: Report, settings: Settings) -> None:
    """Time per item and peak of memory of an ingestion at three sizes."""
    sizes = [settings.pick(FILES, 160) // factor for factor in (16, 4, 1)]
    found: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    with tempfile.TemporaryDirectory() as scratch:
        for size in sizes:
            write_pictures(Path(scratch) / str(size), size)
        for number in range(settings.pick(3, 1)):
            for size in sizes:
                found[size].append(common.fresh(
                    "embed", "take_in", settings.threads, folder=str(Path(scratch) / str(size)),
                    store=str(Path(scratch) / f"store{size}-{number}"), identity="sha256:" + "0" * 64, dim=384,
                ))  # fmt: skip
    each = {size: min(one["seconds"] for one in runs) * 1000 / size for size, runs in found.items()}
    peak = {size: max(one["peak"] for one in runs) for size, runs in found.items()}
    told = ", ".join(f"{size:,}: {each[size]:.2f} ms" for size in sizes)
    report.add("growth: embed, time per item", each[sizes[-1]] / each[sizes[0]], detail=f"largest / smallest; {told}")
    told = ", ".join(f"{size:,}: {peak[size]:.0f} MiB" for size in sizes)
    report.add("growth: embed, peak memory", peak[sizes[-1]] / peak[sizes[0]],
               detail=f"largest / smallest; {told}, libraries included")  # fmt: skip


PARTS = (
    Part("unchanged", (
        Spec("embed: unchanged files, times faster than the first time", "unchanged files", "times", 50.0, "higher"),
        Spec("embed: unchanged files with --verify, times faster", "unchanged files", "times", 5.0, "higher"),
    ), measure_unchanged),
    Part("growth", (
        Spec("growth: embed, time per item", "growth", "ratio", 1.3),
        Spec("growth: embed, peak memory", "growth", "ratio", 1.1),
    ), measure_growth),
)  # fmt: skip

if __name__ == "__main__":
    common.main(__doc__, PARTS)
