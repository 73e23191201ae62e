"""Text-to-image retrieval of the starter image-text space against plain ConSE, on COCO-MINI (51 photos, 255 captions).

Run: ``VLCLI_SHARED=/path/to/shared python benchmarks/starter_space.py --out starter_space.json``
The data lie in ``$VLCLI_SHARED/data/coco_mini`` (``images/`` and ``captions.json``). COCO-MINI is a test set: it was
not used to make or to choose anything. The JSON holds R@1/5/10 (text to image, and image to text), the paired bootstrap
interval of the R@5 difference (10,000 resamples of photos, with their captions) and the time per photo.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor
from vlcli_images import efficientnet, starter_build, starter_head

RESAMPLES = 10_000


def load_coco_mini(shared: Path) -> tuple[list[Path], list[str], Tensor]:
    """Photo files, captions, and the photo of every caption ``[M]``."""
    folder = shared / "data" / "coco_mini"
    data = json.loads((folder / "captions.json").read_text(encoding="utf-8"))
    images = sorted(data["images"], key=lambda image: image["id"])
    row = {image["id"]: i for i, image in enumerate(images)}
    annotations = sorted(data["annotations"], key=lambda item: item["id"])
    captions = [item["caption"].strip() for item in annotations]
    owner = torch.tensor([row[item["image_id"]] for item in annotations])
    return [folder / "images" / image["file_name"] for image in images], captions, owner


def read_image(path: Path) -> Tensor:
    """One photo as 8-bit RGB ``[3, H, W]``."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).contiguous()


def encode_images(files: list[Path], cache: Path, size: int, batch_size: int) -> tuple[Tensor, Tensor, float]:
    """Starter vectors ``[N, 384]``, plain ConSE vectors ``[N, 384]``, and seconds per photo of the starter tower."""
    network = efficientnet.load_efficientnet_lite0(cache).to(memory_format=torch.channels_last)
    head, _ = starter_head.load_starter_heads()
    names = starter_head.load_class_embeddings()
    starter, baseline, seconds = [], [], 0.0
    with torch.inference_mode():
        for start in range(0, len(files), batch_size):
            photos = [read_image(path) for path in files[start : start + batch_size]]
            begun = time.perf_counter()
            batch = torch.stack([efficientnet.squash(photo, size) for photo in photos])
            starter.append(head(network.dense_logits(batch.contiguous(memory_format=torch.channels_last))))
            seconds += time.perf_counter() - begun
            batch = torch.stack([efficientnet.resize_and_crop(photo) for photo in photos])
            baseline.append(starter_head.conse(network(batch.contiguous(memory_format=torch.channels_last)), names))
    return torch.cat(starter), torch.cat(baseline), seconds / len(files)


def text_ranks(texts: Tensor, images: Tensor, owner: Tensor) -> Tensor:
    """For every text, how many wrong photos score at least as high as its own ``[M]`` (ties count against)."""
    scores = texts @ images.T
    own = scores.gather(1, owner[:, None])
    return (scores >= own).sum(1) - 1


def image_ranks(texts: Tensor, images: Tensor, owner: Tensor) -> Tensor:
    """For every photo, how many wrong texts score at least as high as its best own text ``[N]``."""
    scores = images @ texts.T
    mine = owner[None, :] == torch.arange(len(images))[:, None]
    best = scores.masked_fill(~mine, -torch.inf).amax(1, keepdim=True)
    return ((scores >= best) & ~mine).sum(1)


def recalls(ranks: Tensor) -> dict[str, float]:
    """R@1, R@5 and R@10 of ranks that count from 0."""
    return {f"R@{k}": round((ranks < k).float().mean().item(), 4) for k in (1, 5, 10)}


def paired_interval(new: Tensor, old: Tensor, owner: Tensor, k: int, seed: int = 0) -> dict[str, float]:
    """95 % interval of R@k(new) - R@k(old) by resampling photos, each with all its captions."""
    count = int(owner.max()) + 1
    gain = (new < k).double() - (old < k).double()
    per_image = torch.zeros(count, dtype=torch.float64).index_add_(0, owner, gain)
    captions = torch.bincount(owner, minlength=count).double()
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(count, (RESAMPLES, count), generator=generator)
    differences = per_image[drawn].sum(1) / captions[drawn].sum(1)
    low, high = torch.quantile(differences, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return {"difference": round(gain.mean().item(), 4), "low": round(low, 4), "high": round(high, 4)}


def evaluate(files: list[Path], captions: list[str], owner: Tensor, cache: Path, size: int, batch_size: int) -> dict:
    """All numbers for one set of photos and captions."""
    starter, baseline, seconds = encode_images(files, cache, size, batch_size)
    _, text_head = starter_head.load_starter_heads()
    texts = starter_build.embed_texts(captions)
    headed = text_head(texts)
    new, old = text_ranks(headed, starter, owner), text_ranks(texts, baseline, owner)
    return {
        "photos": len(files),
        "captions": len(captions),
        "text_to_image": {"starter": recalls(new), "conse": recalls(old)},
        "image_to_text": {
            "starter": recalls(image_ranks(headed, starter, owner)),
            "conse": recalls(image_ranks(texts, baseline, owner)),
        },
        "paired_bootstrap": {f"R@{k}": paired_interval(new, old, owner, k) for k in (1, 5, 10)},
        "resamples": RESAMPLES,
        "image_size": size,
        "ms_per_photo": round(1000 * seconds, 1),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the numbers here as JSON")
    parser.add_argument("--size", type=int, default=starter_head.STARTER_IMAGE_SIZE)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if "VLCLI_SHARED" not in os.environ:
        parser.error("set VLCLI_SHARED to the folder that holds data/coco_mini")
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    files, captions, owner = load_coco_mini(Path(os.environ["VLCLI_SHARED"]))
    with tempfile.TemporaryDirectory() as cache:
        report = evaluate(files, captions, owner, Path(cache), args.size, args.batch_size)
    text = json.dumps(report, indent=2)
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
