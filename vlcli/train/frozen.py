"""Filling and reading the feature cache of a frozen tower.

A feature is found again only for the same encoder (name, options, weights, vocabulary), content and view, made by the
same code of the encoder and the modality.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlcli.align.encoder import Encoder, to_device
from vlcli.align.weights import weights_sha256
from vlcli.api import Modality, Source
from vlcli.runtime.files import sha256_bytes, sha256_file
from vlcli.train.batches import derive_seed
from vlcli.train.features import FeatureCache, encoder_digest, feature_key

if TYPE_CHECKING:
    from vlcli.align.space import Tower


def content_hash(source: Source) -> str:
    """SHA-256 of a source's file or value."""
    if source.path is not None:
        return sha256_file(source.path)
    return sha256_bytes((source.value or "").encode())


def assets_sha256(encoder: Encoder) -> str:
    """SHA-256 over what the encoder's preprocessing needs beside the weights, such as a learnt vocabulary."""
    with tempfile.TemporaryDirectory() as folder:
        encoder.save_assets(Path(folder))
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        names = [f"{path.relative_to(folder).as_posix()} {sha256_file(path)}" for path in files]
    return sha256_bytes("\n".join(names).encode())


def code_sha256(*parts: object) -> str:
    """SHA-256 over the source files that define the classes of some objects, bases of ours included.

    Preprocessing and augmentation are code: a new version of it must not find the features of the old one.
    """
    files = {}
    for kind in dict.fromkeys(base for part in parts for base in type(part).__mro__):
        if not kind.__module__.startswith(("torch.", "builtins", "abc", "typing")):
            file = getattr(sys.modules.get(kind.__module__), "__file__", None)
            if file is not None and Path(file).is_file():
                files[kind.__module__] = sha256_file(Path(file))
    return sha256_bytes("\n".join(f"{name} {files[name]}" for name in sorted(files)).encode())


class FeatureBank:
    """The features of all views of all items of one frozen tower, in memory, backed by the cache on disk."""

    def __init__(self, features: NDArray[np.float32], rows: dict[tuple[str, int], int]) -> None:
        self.features = torch.from_numpy(features)
        self.index = rows

    def rows(self, keys: Sequence[tuple[str, int]]) -> Tensor:
        """`[B, D]` features of `(source id, view)` keys."""
        return self.features[[self.index[key] for key in keys]]


def build_bank(
    tower: Tower,
    modality: Modality,
    sources: Iterable[Source],
    *,
    views: int,
    folder: Path,
    device: torch.device,
    batch_size: int = 32,
    progress: bool = True,
) -> FeatureBank:
    """Encode what the cache lacks and return a bank of everything.

    View 0 is the plain item; view `v > 0` is the encoder's augmentation, seeded by the content and `v`, so that every
    run and every process sees the same views.
    """
    encoder = tower.encoder
    weights = weights_sha256(encoder.state_dict()) + assets_sha256(encoder) + code_sha256(encoder, modality)
    digest = encoder_digest(tower.name, tower.options, weights)
    cache = FeatureCache(folder, digest, encoder.dim)
    by_id = {source.id: source for source in sources}
    hashes = {identifier: content_hash(source) for identifier, source in by_id.items()}
    wanted = [(identifier, view) for identifier in by_id for view in range(views)]
    keys = {key: feature_key(hashes[key[0]], key[1]) for key in wanted}
    found = cache.read(sorted(set(keys.values())))
    missing = [key for key in dict.fromkeys(wanted) if keys[key] not in found]
    # Equal content under two ids is encoded once.
    todo = list({keys[key]: key for key in missing}.values())
    encoder.eval()
    for chunk in chunks(todo, batch_size, label=f"encoding {tower.name}", progress=progress):
        prepared = []
        for identifier, view in chunk:
            item = modality.load(by_id[identifier])
            if view:
                item = encoder.augment(item, random.Random(derive_seed(hashes[identifier], view)))
            prepared.append(encoder.preprocess(item))
        with torch.inference_mode():
            inputs = to_device(modality.collate(prepared), device)
            pooled = encoder(inputs).pooled.float().cpu().numpy()
        rows = [(keys[key], vector) for key, vector in zip(chunk, pooled, strict=True)]
        cache.write(rows)
        found.update(rows)
    cache.close()
    features = np.stack([found[keys[key]] for key in wanted]).astype(np.float32)
    return FeatureBank(features, {key: row for row, key in enumerate(wanted)})


def chunks(
    keys: Sequence[tuple[str, int]], size: int, *, label: str, progress: bool
) -> Iterable[Sequence[tuple[str, int]]]:
    """Pieces of at most `size` keys, with a progress bar."""
    from vlcli.runtime.progress import track

    pieces = [keys[start : start + size] for start in range(0, len(keys), size)]
    return track(pieces, label=label, total=len(pieces), quiet=not progress)
