"""Text-to-molecule retrieval of the space of `vlcli run molecule-text` against fingerprints and tf-idf joined by ridge.

Run: ``VLCLI_SHARED=/path/to/shared python benchmarks/molecule_space.py --space runs/molecule-text/space --out X.json``

Two tests. (1) `molecules/chemicals`: all names of the substances of the test split, whose scaffolds training lacks,
against all its molecules. (2) ChEBI-20: 500 rows of ``$VLCLI_SHARED/data/chebi20/validation.txt``, descriptions against
their molecules. They are drawn with seed 0 among the rows whose molecule has the connectivity (first block of the
InChIKey) of no training molecule. ChEBI's text was used neither for training nor for choosing anything.

Baseline: count Morgan fingerprints (radius 2, 2,048 bits, log(1 + count), centred) and tf-idf, joined by ridge
regression from the fingerprint to the mean tf-idf of a molecule's captions, on the same training pairs. Its text
analysis (words and pairs of words alone, or with the n-grams of the space's text tower) and alpha are chosen on names
of the validation split, by R@10. The JSON holds both, with paired bootstrap intervals over molecules.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.sparse
import torch
from vlcli_molecules.data.chebi import ChebiDataset
from vlcli_molecules.data.chemicals import ChemicalsDataset, chemical_records
from vlcli_molecules.data.structures import connectivity_key
from vlcli_molecules.encoders import normalised
from vlcli_molecules.hashing import feature_ids

from vlcli.align import Embedder, Space, load_space
from vlcli.data.dataset import Example
from vlcli.evaluate.retrieval import hit_probability, rank
from vlcli.plugins import load_plugins

Floats = npt.NDArray[np.float32]
BUCKETS = 1 << 16
BITS = 2048
ANALYSES: dict[str, tuple[int, ...]] = {"words": (), "words and n-grams": (3, 4, 5)}
ALPHAS = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
RESAMPLES = 10_000
CHEBI_ROWS = 500
TUNING_QUERIES = 8000
CHUNK = 1024


@dataclass
class Test:
    """Queries, each with the place of its molecule among the candidates."""

    queries: list[str]
    owners: npt.NDArray[np.int64]
    examples: list[Example]


def test_of(examples: list[Example]) -> Test:
    """All captions of the examples against all their molecules."""
    pairs = [(caption, place) for place, example in enumerate(examples) for caption in example.captions]
    return Test([caption for caption, _ in pairs], np.array([place for _, place in pairs], np.int64), examples)


def text_matrix(texts: list[str], sizes: tuple[int, ...]) -> scipy.sparse.csr_matrix:
    """Which features each text has, `[N, BUCKETS]`."""
    rows, columns = [], []
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    for start in range(0, len(order), CHUNK):
        part = order[start : start + CHUNK]
        coded = [torch.frombuffer(bytearray(normalised(texts[index])[:1000]), dtype=torch.uint8) for index in part]
        batch = torch.nn.utils.rnn.pad_sequence(coded, batch_first=True)
        ids, counts = feature_ids(batch, sizes, BUCKETS)
        rows.append(np.repeat(np.array(part), counts.numpy()))
        columns.append(ids.numpy())
    where = (np.concatenate(rows), np.concatenate(columns))
    matrix = scipy.sparse.csr_matrix((np.ones(len(where[0]), np.float32), where), shape=(len(texts), BUCKETS))
    matrix.data[:] = 1.0
    return matrix


def fingerprints(examples: list[Example]) -> Floats:
    """`log(1 + count)` of Morgan fingerprints, `[N, BITS]`."""
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=BITS)
    found = np.zeros((len(examples), BITS), np.float32)
    with rdBase.BlockLogs():
        for place, example in enumerate(examples):
            mol = Chem.MolFromSmiles(example.sources["molecules"].value)
            found[place] = generator.GetCountFingerprintAsNumPy(mol)
    return np.log1p(found)


class Ridge:
    """The baseline for one text analysis; `solve` fits it for one alpha."""

    def __init__(self, train: list[Example], bits: Floats, sizes: tuple[int, ...]) -> None:
        self.sizes = sizes
        test = test_of(train)
        counts = text_matrix(test.queries, sizes)
        held = np.asarray((counts > 0).sum(0)).ravel()
        self.idf = scipy.sparse.diags((np.log((1 + len(test.queries)) / (1 + held)) + 1).astype(np.float32))
        weights = self.weigh(counts)
        share = (1 / np.bincount(test.owners)[test.owners]).astype(np.float32)
        mean = scipy.sparse.csr_matrix((share, (test.owners, np.arange(len(test.owners)))))
        self.centre = bits.mean(0)
        centred = bits - self.centre
        self.gram = centred.T @ centred
        # Uncentred fingerprints are sparse, so the product is taken with them and the mean's part subtracted.
        mean_rows = (mean @ weights).tocsr()
        moment = np.asarray((scipy.sparse.csr_matrix(bits).T @ mean_rows).todense(), np.float32)
        self.moment = moment - np.outer(self.centre, np.asarray(mean_rows.sum(0)).ravel()).astype(np.float32)
        self.spread = self.moment @ self.moment.T  # [BITS, BITS]

    def weigh(self, counts: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
        """tf-idf rows of unit length."""
        weighted = counts @ self.idf
        length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(1)).ravel())
        return scipy.sparse.diags((1 / np.maximum(length, 1e-9)).astype(np.float32)) @ weighted

    def solve(self, alpha: float) -> None:
        """Fit the map from fingerprints to tf-idf, `inverse @ moment` `[BITS, BUCKETS]`, which is never written out."""
        self.inverse = scipy.linalg.inv(self.gram + alpha * np.eye(BITS, dtype=np.float32)).astype(np.float32)
        self.norms = self.inverse @ self.spread @ self.inverse.T

    def seen(self, texts: list[str]) -> Floats:
        """tf-idf vectors times the moment, `[N, BITS]`: what does not depend on alpha."""
        return np.asarray(self.weigh(text_matrix(texts, self.sizes)) @ self.moment.T, np.float32)

    def texts(self, seen: Floats) -> Floats:
        """Texts where molecules are, `[N, BITS]`: their product with `molecules` is the cosine of tf-idf vectors."""
        return seen @ self.inverse.T

    def molecules(self, bits: Floats) -> Floats:
        """Centred fingerprints over the length of what they predict, `[N, BITS]`."""
        centred = bits - self.centre
        length = np.sqrt(np.maximum(np.einsum("nd,nd->n", centred @ self.norms, centred), 1e-12))
        return (centred / length[:, None]).astype(np.float32)


def hits(texts: Floats, molecules: Floats, owners: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.float64]]:
    """For each query the probability (ties in random order) that its molecule is the first, or among the first 10."""
    ranks = rank(texts, molecules, owners, np.arange(len(molecules)))
    return {f"R@{k}": hit_probability(ranks, k) for k in (1, 10)}


def choose(
    train: list[Example], bits: Floats, validation: Test, analyses: list[str], note: Any
) -> tuple[Ridge, dict[str, Any]]:
    """The baseline with the highest R@10 on (a draw of) the validation names, and all that were tried."""
    drawn = sorted(
        random.Random(0).sample(range(len(validation.queries)), min(TUNING_QUERIES, len(validation.queries)))
    )
    queries, owners = [validation.queries[place] for place in drawn], validation.owners[drawn]
    candidates = fingerprints(validation.examples)
    tried, best = [], (-1.0, "", 0.0)
    kept: Ridge | None = None
    for name in analyses:
        ridge = Ridge(train, bits, ANALYSES[name])
        seen = ridge.seen(queries)
        for alpha in ALPHAS:
            ridge.solve(alpha)
            found = hits(ridge.texts(seen), ridge.molecules(candidates), owners)
            values = {key: round(float(value.mean()), 4) for key, value in found.items()}
            tried.append({"text": name, "alpha": alpha, **values})
            note(f"ridge {name} alpha {alpha:g}: {values}")
            if values["R@10"] > best[0]:
                best, kept = (values["R@10"], name, alpha), ridge
    assert kept is not None
    kept.solve(best[2])
    return kept, {"text": best[1], "alpha": best[2], "validation": tried}


def space_vectors(space: Space, embedder: Embedder, test: Test) -> tuple[Floats, Floats]:
    """Texts and molecules in the space."""
    found = list(embedder.embed_sources("molecules", [example.sources["molecules"] for example in test.examples]))
    failed = [str(item.error) for item in found if item.vector is None]
    if failed:
        raise SystemExit(f"{len(failed)} molecules were refused, first: {failed[0]}")
    return embedder.embed_texts(test.queries), np.stack([item.vector for item in found if item.vector is not None])


def compare(
    ours: dict[str, npt.NDArray[np.float64]], theirs: dict[str, npt.NDArray[np.float64]],
    owners: npt.NDArray[np.int64], count: int,
) -> dict[str, Any]:  # fmt: skip
    """Both means and the paired interval of their difference, molecules being resampled with all their queries."""
    units = np.unique(owners, return_inverse=True)[1]
    number = np.bincount(units).astype(np.float64)
    rng = np.random.default_rng(0)
    report: dict[str, Any] = {"queries": len(owners), "candidates": count}
    for key, values in ours.items():
        gain = np.bincount(units, weights=values - theirs[key])
        differences = np.empty(RESAMPLES)
        for start in range(0, RESAMPLES, 500):
            drawn = rng.integers(len(number), size=(500, len(number)))
            differences[start : start + 500] = gain[drawn].sum(1) / number[drawn].sum(1)
        low, high = np.quantile(differences, [0.025, 0.975])
        report[key] = {
            "space": round(float(values.mean()), 4), "baseline": round(float(theirs[key].mean()), 4),
            "chance": round(int(key.removeprefix("R@")) / count, 5),
            "difference": round(float((values - theirs[key]).mean()), 4),
            "ci95": [round(float(low), 4), round(float(high), 4)], "passed": bool(low > 0),
        }  # fmt: skip
    return report


def chebi_test(shared: Path) -> tuple[Test, dict[str, int]]:
    """500 rows without training molecules, drawn with seed 0, and how many rows there were to draw from."""
    trained = [row for row in chemical_records("all") if row["split"] == "train"]
    # A few substances have no InChIKey, or another one than RDKit gives them: their SMILES tell them.
    seen = {row["key"] for row in trained} | {row["smiles"] for row in trained}
    examples = ChebiDataset(str(shared / "data" / "chebi20" / "validation.txt")).examples
    smiles = [str(example.sources["molecules"].value) for example in examples]
    new = [example for example, text in zip(examples, smiles, strict=True)
           if text not in seen and connectivity_key(text) not in seen]  # fmt: skip
    drawn = sorted(random.Random(0).sample(range(len(new)), CHEBI_ROWS))
    return test_of([new[place] for place in drawn]), {"rows": len(examples), "without training molecules": len(new)}


def measure(folder: Path, shared: Path, final: bool, analyses: list[str]) -> dict[str, Any]:
    """All numbers; without `final` those of the validation split alone."""
    begun = time.perf_counter()

    def note(text: str) -> None:
        print(f"[{time.perf_counter() - begun:6.0f} s] {text}", flush=True)

    registry = load_plugins().registry
    everything = ChemicalsDataset(captions="all")
    train = [example for example in (everything[place] for place in range(len(everything))) if example.split == "train"]
    names = ChemicalsDataset(captions="names")
    parts: dict[str, list[Example]] = {"val": [], "test": []}
    for example in (names[place] for place in range(len(names))):
        if example.split in parts:
            parts[example.split].append(example)
    bits = fingerprints(train)
    note(f"{len(train)} training molecules with {sum(len(example.captions) for example in train)} captions")
    ridge, chosen = choose(train, bits, test_of(parts["val"]), analyses, note)
    space = load_space(str(folder), registry, "cpu")
    embedder = Embedder(space, registry, batch_size=256)
    tests = {"validation": test_of(parts["val"])}
    rows: dict[str, dict[str, int]] = {}
    if final:
        chebi, rows["chebi_rows"] = chebi_test(shared)
        tests = {"chebi": chebi, "chemicals": test_of(parts["test"])}
    report: dict[str, Any] = {
        "schema": 1, "what": "text-to-molecule retrieval", "space_identity": space.identity, "baseline": chosen,
        "training": {"molecules": len(train), "captions": sum(len(example.captions) for example in train)}, **rows,
    }  # fmt: skip
    for name, test in tests.items():
        texts, molecules = space_vectors(space, embedder, test)
        ours = hits(texts, molecules, test.owners)
        candidates = ridge.molecules(fingerprints(test.examples))
        theirs = hits(ridge.texts(ridge.seen(test.queries)), candidates, test.owners)
        report[name] = compare(ours, theirs, test.owners, len(test.examples))
        note(f"{name}: {json.dumps(report[name])}")
    if final:
        report["passed"] = all(report[name][key]["passed"] for name in tests for key in ("R@1", "R@10"))
    report["seconds"] = round(time.perf_counter() - begun)
    return report


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", type=Path, required=True, help="folder of the trained space")
    parser.add_argument("--out", type=Path, help="write the numbers here as JSON")
    parser.add_argument("--validation", action="store_true", help="measure the validation split instead of the tests")
    parser.add_argument("--analyses", nargs="*", choices=list(ANALYSES), help="text analyses to try; all of them")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if not args.validation and "VLCLI_SHARED" not in os.environ:
        parser.error("set VLCLI_SHARED to the folder that holds data/chebi20")
    torch.set_num_threads(args.threads)
    report = measure(
        args.space, Path(os.environ.get("VLCLI_SHARED", ".")), not args.validation, args.analyses or list(ANALYSES)
    )
    text = json.dumps(report, indent=2)
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
