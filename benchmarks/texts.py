"""Real English texts of mixed length for the benchmarks, and where they come from."""

from __future__ import annotations

import csv
import gzip
import os
import random
import re
from importlib.util import find_spec
from pathlib import Path

# Shares of the mix: captions and sentences (about 15 tokens), abstracts (about 200).
ABSTRACTS = 0.06


def mixed_texts(count: int, seed: int = 0) -> tuple[list[str], str]:
    """`count` different texts in a random order, and their sources in words.

    With `VLCLI_SHARED`: Multi30k captions, STS-B sentences and Cranfield abstracts (6 %). Elsewhere: emoji names, and
    paragraphs of the data set descriptions that scikit-learn installs, repeated with a number when they do not suffice.
    """
    draw = random.Random(seed)
    if "VLCLI_SHARED" in os.environ:
        root = Path(os.environ["VLCLI_SHARED"]) / "data"
        long = cranfield(root)
        short = sorted({*multi30k(root, "val"), *sts(root)})
        source = "Multi30k captions, STS-B sentences, Cranfield abstracts"
    else:
        short, long = emoji_names(), paragraphs()
        source = "emoji names, paragraphs of scikit-learn's data set descriptions"
    many = min(round(count * ABSTRACTS), len(long))
    chosen = draw.sample(long, many) + draw.sample(short, min(count - many, len(short)))
    chosen += [f"{chosen[number % len(chosen)]} ({number})" for number in range(count - len(chosen))]
    draw.shuffle(chosen)
    return chosen, source


def cranfield(root: Path) -> list[str]:
    """The abstracts of Cranfield."""
    text = (root / "cranfield" / "cran.all.1400").read_text(encoding="utf-8", errors="replace")
    bodies = [part.partition("\n.I ")[0] for part in text.split("\n.W\n")[1:]]
    return sorted({" ".join(body.split()) for body in bodies} - {""})


def multi30k(root: Path, split: str) -> list[str]:
    """Multi30k's English captions of a split."""
    text = gzip.decompress((root / "multi30k" / "raw" / f"{split}.en.gz").read_bytes()).decode("utf-8")
    return [line.strip() for line in text.splitlines() if line.strip()]


def sts(root: Path) -> list[str]:
    """The sentences of STS-B."""
    found = []
    for file in sorted((root / "stsb_multi_mt").glob("stsb-en-*.csv")):
        with file.open(encoding="utf-8", newline="") as stream:
            found += [text.strip() for row in csv.reader(stream) for text in row[:2] if text.strip()]
    return found


def emoji_names() -> list[str]:
    """English names of emoji."""
    import emoji

    return sorted({str(names["en"]).strip(":").replace("_", " ") for names in emoji.EMOJI_DATA.values()})


def paragraphs() -> list[str]:
    """Paragraphs that scikit-learn installs as descriptions of its data sets."""
    spec = find_spec("sklearn")
    places = list(spec.submodule_search_locations or []) if spec is not None else []
    found: set[str] = set()
    for file in sorted(path for place in places for path in (Path(place) / "datasets" / "descr").glob("*.rst")):
        for block in re.split(r"\n\s*\n", file.read_text(encoding="utf-8")):
            text = " ".join(block.split())
            if len(text) > 200:
                found.add(text)
    return sorted(found)
