"""Image embedding of JPEGs of 1600 × 1200: decoding, loading beside computing, and what fast decoding changes.

    VLCLI_SHARED=… python benchmarks/image_embedding.py --out images.json [--quick]

The photographs are those that scikit-image and scikit-learn install and, with `VLCLI_SHARED`, some of COCO-MINI, cut
and scaled to 1600 × 1200 and saved as JPEG of quality 90. The encoder is the starter space's (288 pixels a side).
"""

from __future__ import annotations

import os
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import common
from common import Part, Report, Settings, Spec

if TYPE_CHECKING:
    from torch import Tensor

    from vlcli.align.space import Space
    from vlcli.api import Source
    from vlcli.registry import Registry

SIZE, QUALITY = (1600, 1200), 90
COCO = 28


def photographs(folder: Path, settings: Settings) -> tuple[list[Path], str]:
    """JPEG files of `SIZE` made of real photographs, and their sources in words."""
    from PIL import Image, ImageOps
    from vlcli_images.sample_data import SamplesDataset

    samples = SamplesDataset()
    files = [samples[number].sources["images"].path for number in range(len(samples))]
    source = "photographs of scikit-image and scikit-learn"
    if "VLCLI_SHARED" in os.environ:
        coco = sorted((Path(os.environ["VLCLI_SHARED"]) / "data" / "coco_mini" / "images").glob("*.jpg"))
        files += coco[:COCO]
        source += " and COCO-MINI"
    made = []
    for file in files[: settings.pick(len(files), 3)]:
        assert file is not None
        with Image.open(file) as picture:
            fitted = ImageOps.fit(picture.convert("RGB"), SIZE, Image.Resampling.LANCZOS)
        made.append(folder / f"{file.stem}.jpg")
        fitted.save(made[-1], quality=QUALITY)
    return made, source


def plain(path: Path, side: int) -> Any:
    """Decode and resize as one would with Pillow alone."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.BICUBIC))


def starter() -> tuple[Space, Registry]:
    """The starter space."""
    from vlcli.align.load import load_space
    from vlcli.plugins import load_plugins

    registry = load_plugins().registry
    return load_space("images/starter", registry, "cpu"), registry


def measure(report: Report, settings: Settings) -> None:
    """All rows."""
    with tempfile.TemporaryDirectory(prefix="vlcli-photos-") as folder:
        measure_in(Path(folder), report, settings)


def measure_in(folder: Path, report: Report, settings: Settings) -> None:
    """The rows, with photographs in a scratch folder."""
    import torch

    from vlcli.align.embedder import Embedder
    from vlcli.align.loading import Loader
    from vlcli.api import Source

    common.set_threads(settings.threads)
    files, source = photographs(folder, settings)
    space, registry = starter()
    encoder: Any = space.tower("images").encoder
    modality: Any = registry.load(registry.find("modality", "images"))()
    sources: list[Source] = [Source(id=str(path), path=path) for path in files]
    rounds, side = settings.pick(5, 1), encoder.backbone.size

    def load(some: list[Source] = sources) -> list[Any]:
        return list(Loader(modality, encoder, 2)(some))

    def plain_threads() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda path: plain(path, side), files))

    times = common.interleave(
        {"ours": load, "plain": lambda: [plain(path, side) for path in files],
         "plain, 2 threads": plain_threads}, rounds,
    )  # fmt: skip
    rates = {name: len(files) / seconds for name, seconds in common.medians(times).items()}
    detail = f"{len(files)} JPEGs of {SIZE[0]} × {SIZE[1]} to {side} pixels ({source})"
    speed = common.ratio(times["plain"], times["ours"])
    report.add("image decoding: speed / plain decode and resize", speed,
               peers={f"{name}, images/s": rates[name] for name in ("plain", "plain, 2 threads")},
               detail=f"{detail}; 2 workers, hashing included; {rates['ours']:.0f} images/s")  # fmt: skip
    loaded = [item.inputs["pixels"] for item in load()]

    def compute(pixels: list[Tensor]) -> Tensor:
        with torch.inference_mode():
            rows = [space.embed("images", {"pixels": torch.stack(pixels[at : at + 32])})
                    for at in range(0, len(pixels), 32)]  # fmt: skip
        return torch.cat(rows)

    def whole(some: list[Source] = sources) -> None:
        results = list(Embedder(space, registry).embed_sources("images", some))
        assert all(result.vector is not None for result in results)

    def straight() -> None:
        compute([torch.from_numpy(plain(path, side).copy()).permute(2, 0, 1) for path in files])

    times = common.interleave({"ours": whole, "plain": straight}, settings.pick(3, 1))
    rates = {name: len(files) / seconds for name, seconds in common.medians(times).items()}
    report.add("image embedding, end to end: speed / plain loop", common.ratio(times["plain"], times["ours"]),
               peers={"plain loop, images/s": rates["plain"]},
               detail=f"{detail}; {rates['ours']:.1f} images/s")  # fmt: skip
    torch.set_num_threads(1)  # One core computes, so that the other is free to load.
    again, prepared = sources * 2, loaded * 2
    times = common.interleave(
        {"whole": lambda: whole(again), "load": lambda: load(again), "compute": lambda: compute(prepared)},
        settings.pick(3, 1), warmup=0,
    )  # fmt: skip
    middle = common.medians(times)
    hidden = [(a + b - c) / a for a, b, c in zip(times["load"], times["compute"], times["whole"], strict=True)]
    report.add("image embedding: share of loading hidden behind computing", statistics.median(hidden),
               peers={f"{name}, s": value for name, value in middle.items()},
               detail=f"{detail}, twice; 2 workers load, one thread computes; share = "
               "(loading + computing - whole) / loading")  # fmt: skip
    torch.set_num_threads(settings.threads)
    fast, full = compute(loaded), compute([encoder.preprocess(modality.load(one))["pixels"] for one in sources])
    cosines = (fast * full).sum(1)
    report.add("image embedding: smallest cosine to full decoding", float(cosines.min()),
               detail=f"{detail}; mean {float(cosines.mean()):.5f}")  # fmt: skip


PARTS = (
    Part(
        "images",
        (
            Spec("image decoding: speed / plain decode and resize", "image embedding", "ratio", 3, "higher"),
            Spec("image embedding, end to end: speed / plain loop", "image embedding", "ratio", None, "higher"),
            Spec(
                "image embedding: share of loading hidden behind computing", "image embedding", "share", 0.5, "higher"
            ),
            Spec("image embedding: smallest cosine to full decoding", "image embedding", "cosine", 0.995, "higher"),
        ),
        measure,
    ),
)

if __name__ == "__main__":
    common.main(__doc__, PARTS)
