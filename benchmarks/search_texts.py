"""Real short English texts of the shared data sets, for benchmarks that need real embeddings; see `shared_texts`."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import random
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vlcli.runtime.files import atomic_path

SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
LONGEST = 300  # characters; about 70 tokens


def sentences(text: str) -> Iterator[str]:
    """The sentences of running text, split at full stops."""
    yield from SENTENCE_END.split(" ".join(text.split()))


def multi30k(root: Path) -> Iterator[str]:
    """Captions of photographs."""
    for file in sorted((root / "multi30k" / "raw").glob("*.en.gz")):
        yield from gzip.decompress(file.read_bytes()).decode().splitlines()


def speech(root: Path) -> Iterator[str]:
    """Sentences that were read aloud."""
    for line in (root / "ljtext_reread_20" / "LJSpeech_metadata_all.csv").open(encoding="utf-8"):
        yield line.split("|")[1]


def pairs(root: Path) -> Iterator[str]:
    """Sentence pairs of the similarity benchmark."""
    for file in sorted((root / "stsb_multi_mt").glob("stsb-en-*.csv")):
        for row in csv.reader(file.open(encoding="utf-8", newline="")):
            yield from row[:2]


def tables(root: Path) -> Iterator[str]:
    """Columns of tables: news sentences, molecules, prompts, movie titles, chemistry abstracts."""
    wanted = {"sib200/eng_Latn/*.tsv": "text", "chebi20/*.txt": "description", "t2i_prompts/*.tsv": "prompt"}
    for pattern, column in wanted.items():
        for file in sorted(root.glob(pattern)):
            for row in csv.DictReader(file.open(encoding="utf-8", newline=""), delimiter="\t", quoting=csv.QUOTE_NONE):
                yield from sentences(row.get(column) or "")
    for row in csv.DictReader((root / "movielens_small_part" / "movies.csv").open(encoding="utf-8", newline="")):
        yield row["title"]
    for file in sorted((root / "scibert_tasks").glob("*/*/*.txt")):
        for line in file.open(encoding="utf-8"):
            yield re.sub(r"\s*(<<|>>|\[\[|\]\])\s*", " ", json.loads(line)["text"])
    for file in sorted((root / "t2i_prompts" / "T2I-CompBench").glob("*.txt")):
        for line in file.open(encoding="utf-8"):
            yield line.split("\t")[0]


def abstracts(root: Path) -> Iterator[str]:
    """Sentences of abstracts: aerodynamics and medicine."""
    for part in (
        (root / "cranfield" / "cran.all.1400").read_text(encoding="utf-8", errors="replace").split("\n.W\n")[1:]
    ):
        yield from sentences(part.partition("\n.I ")[0].replace(" .", "."))
    for file in sorted((root / "bioasq").glob("*.json")):
        for group in json.loads(file.read_text(encoding="utf-8")).get("data", []):
            for paragraph in group["paragraphs"]:
                yield from sentences(paragraph["context"])
                yield from (question["question"] for question in paragraph["qas"])


def corpora(root: Path) -> Iterator[str]:
    """Sentences of reviews, questions, news, speeches and papers."""
    for name, pattern, kind in (
        ("sentence_polarity", "*rt-polarity*", "lines"), ("subjectivity", "*.5000", "lines"), ("qc", "*t*.txt", "qc"),
        ("product_reviews_1", "*.txt", "review"), ("comparative_sentences", "*labeledSentences.txt", "lines"),
        ("conll2000", "*.txt", "conll"), ("inaugural", "*.txt", "prose"), ("state_union", "*.txt", "prose"),
        ("biocreative_ppi", "*bc_sentences.xml", "xml"),
    ):  # fmt: skip
        with zipfile.ZipFile(root / "nltk_data" / f"{name}.zip") as archive:
            for member in sorted(archive.namelist()):
                if Path(member).match(pattern) and "README" not in member:
                    yield from KINDS[kind](archive.read(member).decode("utf-8", "replace"))


def conll(text: str) -> Iterator[str]:
    """Sentences of a file with a token a line."""
    for block in text.split("\n\n"):
        yield " ".join(line.split(" ")[0] for line in block.splitlines())


KINDS: dict[str, Callable[[str], Iterator[str]]] = {
    "lines": lambda text: iter(text.splitlines()),
    "qc": lambda text: (line.partition(" ")[2] for line in text.splitlines()),
    "review": lambda text: (line.partition("##")[2] for line in text.splitlines()),
    "conll": conll,
    "prose": sentences,
    "xml": lambda text: (re.sub(r"<[^>]+>", "", line) for line in io.StringIO(text)),
}


def shared_texts(root: Path) -> list[str]:
    """Distinct texts of 12 … 300 characters with at least two words, in a fixed order."""
    found: dict[str, None] = {}
    for source in (multi30k, pairs, speech, corpora, tables, abstracts):
        for text in source(root):
            line = " ".join(text.split())
            if 12 <= len(line) <= LONGEST and " " in line and "<" not in line:
                found.setdefault(line)
    return list(found)


def shared_embeddings(root: Path, count: int, queries: int, folder: Path, skip: int = 0) -> tuple[Any, Any]:
    """MiniLM vectors of a seeded sample of `shared_texts`: `[count, 384]` to search in, `[queries, 384]` to search for.

    The queries are other texts of the same sample; `skip` leaves out its beginning. What was embedded once is kept in
    `folder`, under a name that holds the hash of the texts and the space: another sample never takes its place.
    """
    import numpy as np

    from vlcli.align.embedder import Embedder
    from vlcli.align.load import load_space
    from vlcli.plugins import load_plugins

    texts = shared_texts(root)
    random.Random(0).shuffle(texts)
    texts = texts[skip : skip + count + queries]
    registry = load_plugins().registry
    space = load_space("text/minilm", registry, "cpu")
    key = hashlib.sha256("\n".join([space.identity, *texts]).encode()).hexdigest()[:16]
    file = folder / f"minilm-{len(texts)}-{key}.npy"
    if not file.is_file():
        embedder = Embedder(space, registry, batch_size=64)
        vectors = np.concatenate([embedder.embed_texts(texts[at : at + 8192]) for at in range(0, len(texts), 8192)])
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as temporary, temporary.open("wb") as stream:
            np.save(stream, vectors)
    vectors = np.load(file)
    return vectors[:count], vectors[count:]
