"""Measure a space on a data set: embed what the task needs, leave out what is refused, and say both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vlcli.api import Source
from vlcli.data.dataset import Dataset, Example
from vlcli.errors import VlcliError, did_you_mean
from vlcli.evaluate.classification import Floats
from vlcli.evaluate.knn import knn_metrics
from vlcli.evaluate.linear_probe import draw_validation, probe_metrics
from vlcli.evaluate.registered import registered_metrics
from vlcli.evaluate.retrieval import retrieval_metrics
from vlcli.evaluate.statistics import RESAMPLES, IntArray, Metric
from vlcli.evaluate.zero_shot import (
    Track,
    check_templates,
    label_embeddings,
    refusal_of,
    source_path,
    templates_of,
    zero_shot_metrics,
)

if TYPE_CHECKING:
    from vlcli.align.embedder import Embedder
    from vlcli.align.space import Space
    from vlcli.registry import Registry

TEXT = "text"
TASKS = ("retrieval", "zero-shot", "linear-probe", "knn")


@dataclass(frozen=True)
class RefusedItem:
    """An input that could not be embedded, and why."""

    path: str
    code: str
    reason: str


@dataclass(frozen=True)
class EvalResult:
    """The outcome of one evaluation.

    Attributes:
        task: one of `TASKS`.
        n: examples measured (not those refused).
        metrics: name -> value, interval, chance.
        refused: inputs left out, those that the data set itself refused included; they count in no metric.
        details: split, modality, prompts, per-class results … (JSON-serialisable).
    """

    task: str
    n: int
    metrics: dict[str, Metric]
    refused: list[RefusedItem] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """What `vlcli eval --json` prints."""
        return {
            "task": self.task, "n": self.n,
            "metrics": {name: metric.as_json() for name, metric in self.metrics.items()},
            "refused": [vars(item) for item in self.refused], "details": self.details,
        }  # fmt: skip


@dataclass
class _Embedded:
    """Examples whose source was embedded, and their unit vectors in the same order."""

    examples: list[Example]
    vectors: Floats


def evaluate_space(
    space: Space, dataset: Dataset, task: str, registry: Registry, *, split: str | None = None,
    modality: str | None = None, against: str = TEXT, templates: Sequence[str] = (), k: int = 20, seed: int = 0,
    resamples: int = RESAMPLES, batch_size: int = 32, dim: int | None = None, metrics: Sequence[str] = (),
    track: Track | None = None,
) -> EvalResult:  # fmt: skip
    """Measure `space` on `dataset`.

    Args:
        task: `retrieval` (both directions between `modality` and `against`), `zero-shot`, `linear-probe` or `knn`.
        split: the part that is measured; by default `test` when the data set has one, else everything. Probes learn
            from `train`; without splits a seeded, stratified fifth is measured and the rest is learnt from.
        modality: what is measured; by default the only one that space and data share besides text.
        against: the other side of retrieval: `text` (the captions), or a second modality of the examples.
        templates: prompts with `{}` for zero-shot; empty takes what the modality states.
        k: neighbours of `knn`.
        resamples: bootstrap resamples; 0 for no intervals.
        dim: evaluate the first `dim` components (Matryoshka).
        metrics: names of registered metrics to add, for retrieval and zero-shot.

    Raises:
        VlcliError: E401 unknown task, E402 empty data or split, E403 no shared modality, E404 no captions, E405 no
            labels, E408 `metrics` with a probe; what `vlcli.evaluate.retrieval` and the probes raise.
    """
    from vlcli.align.embedder import Embedder

    if task not in TASKS:
        raise VlcliError("E401", "--task", f"'{task}' is not a task",
                         did_you_mean(task, list(TASKS)) or f"choose from {', '.join(TASKS)}")  # fmt: skip
    for name in metrics:
        registry.find("metric", name)
    if metrics and task not in ("retrieval", "zero-shot"):
        raise VlcliError("E408", "--metric", f"a registered metric can not score {task}", "use retrieval or zero-shot")
    examples = [dataset[index] for index in range(len(dataset))]
    if not examples:
        raise VlcliError("E402", "--data", "the data set has no example", "check its path and columns")
    measured = modality or shared_modality(space, examples, task, against)
    embedder = Embedder(space, registry, batch_size=batch_size, dim=dim)
    refused = [RefusedItem(item.path, item.code, item.reason) for item in getattr(dataset, "refused", ())]

    def embed(members: list[Example], name: str = measured) -> _Embedded:
        return _embed(embedder, members, name, refused, track)

    facts: dict[str, Any] = {"space": space.name, "modality": measured, "seed": seed, "bootstrap": resamples}
    if dim is not None:
        facts["dim"] = dim
    if task == "retrieval":
        part, facts["split"] = choose_split(examples, split)
        pairs = _retrieval(embedder, embed, part, measured, against, refused)
        found = retrieval_metrics(pairs.texts, pairs.items, pairs.owners, text_name=against, item_name=measured,
                                  seed=seed, resamples=resamples)  # fmt: skip
        found |= _registered_both_ways(pairs, metrics, registry, (against, measured), seed, resamples)
        n, more = len(np.unique(pairs.owners)), pairs.facts
    elif task == "zero-shot":
        part, facts["split"] = choose_split(examples, split)
        labels = labels_of(part)
        prompts = check_templates(templates) if templates else templates_of(measured, registry)
        got = embed(with_label(part))
        _need(got.examples)
        classes = label_embeddings(embedder.embed_texts, labels, prompts)
        targets = targets_of(got.examples, labels)
        found, more = zero_shot_metrics(got.vectors, classes, targets, labels, seed=seed, resamples=resamples)
        found |= registered_metrics(metrics, registry, got.vectors, classes, targets, np.arange(len(labels)),
                                    np.arange(len(targets)), seed=seed, resamples=resamples)  # fmt: skip
        n, more["templates"] = len(got.examples), list(prompts)
    else:
        train, test, facts["split"] = train_and_test(examples, split, seed)
        labels = labels_of([*train, *test])
        learnt, got = embed(with_label(train)), embed(with_label(test))
        _need(learnt.examples)
        _need(got.examples)
        arguments = (learnt.vectors, targets_of(learnt.examples, labels), got.vectors,
                     targets_of(got.examples, labels), labels)  # fmt: skip
        if task == "knn":
            found, more = knn_metrics(*arguments, k=k, seed=seed, resamples=resamples)
        else:
            held_out = np.array([example.split in ("val", "validation") for example in learnt.examples])
            usable = held_out.any() and not held_out.all()
            found, more = probe_metrics(
                *arguments, validation=held_out if usable else None, seed=seed, resamples=resamples
            )
        n = len(got.examples)
    return EvalResult(task, n, found, refused, {**facts, **more})


def shared_modality(space: Space, examples: list[Example], task: str, against: str) -> str:
    """The one modality that the examples hold and the space takes, apart from the other side of retrieval.

    Raises:
        VlcliError: E403 when there is none or a choice must be made.
    """
    held = Counter(name for example in examples for name in example.sources)
    usable = [name for name in held if name in space.modalities and (task != "retrieval" or name != against)]
    if len(usable) > 1 and TEXT in usable:
        usable.remove(TEXT)
    if len(usable) == 1:
        return usable[0]
    if usable:
        raise VlcliError(
            "E403", "--modality", f"the data hold {', '.join(sorted(usable))}", "say which with --modality"
        )
    raise VlcliError("E403", "--data", f"space '{space.name}' takes {', '.join(space.modalities)}, the data hold "
                     f"{', '.join(sorted(held)) or 'nothing'}", "use a space for what the data hold")  # fmt: skip


def choose_split(examples: list[Example], split: str | None) -> tuple[list[Example], str]:
    """The examples to measure and a word that says which they are.

    Raises:
        VlcliError: E402 when the split that was asked for is absent.
    """
    present = sorted({example.split for example in examples if example.split})
    if split is not None and split != "all":
        part = [example for example in examples if example.split == split]
        if not part:
            known = f"they have {', '.join(present)}" if present else "they have no splits; leave it out"
            raise VlcliError("E402", "--split", f"the data have no split '{split}'", known)
        return part, split
    if split is None and "test" in present:
        return [example for example in examples if example.split == "test"], "test"
    return examples, "all"


def train_and_test(examples: list[Example], split: str | None, seed: int) -> tuple[list[Example], list[Example], str]:
    """What a probe learns from, what it is measured on, and a word that says how they were parted."""
    present = {example.split for example in examples if example.split}
    if "train" in present:
        chosen = split or next((name for name in ("test", "val", "validation") if name in present), None)
        if chosen == "train":
            raise VlcliError("E402", "--split", "a probe can not be measured on what it learns from",
                             "choose another split")  # fmt: skip
        if chosen is not None:
            part, name = choose_split(examples, chosen)
            learn = {"train", "val", "validation"} - {chosen}
            return [example for example in examples if example.split in learn], part, name
    elif split is not None:
        raise VlcliError("E402", "--split", "the data have no split 'train' to learn from",
                         "leave --split out: a fifth is then measured")  # fmt: skip
    usable = with_label([example for example in examples if example.split in (None, "train")])
    labels = labels_of(usable)
    held_out = draw_validation(targets_of(usable, labels), seed)
    train = [example for example, out in zip(usable, held_out, strict=True) if not out]
    test = [example for example, out in zip(usable, held_out, strict=True) if out]
    return train, test, f"a stratified fifth, seed {seed}"


def with_label(examples: list[Example]) -> list[Example]:
    """The examples that have a label."""
    return [example for example in examples if example.label is not None]


def labels_of(examples: list[Example]) -> list[str]:
    """The labels that occur, sorted.

    Raises:
        VlcliError: E405 when there are fewer than two.
    """
    labels = sorted({example.label for example in examples if example.label is not None})
    if len(labels) < 2:
        raise VlcliError("E405", "--data", f"this task needs two labels or more, the data have {len(labels)}",
                         "add a label column, or one folder per class")  # fmt: skip
    return labels


def targets_of(examples: list[Example], labels: list[str]) -> IntArray:
    """Index of each example's label `[N]`."""
    place = {label: index for index, label in enumerate(labels)}
    return np.array([place[str(example.label)] for example in examples], np.int64)


def _need(examples: list[Example]) -> None:
    if not examples:
        raise VlcliError("E101", "", "there is nothing to measure: no item was left", "look at the refusals")


def _embed(
    embedder: Embedder, examples: list[Example], modality: str, refused: list[RefusedItem], track: Track | None
) -> _Embedded:
    """Embed one source per example. A refused one is noted and left out together with its example."""
    held = [example for example in examples if modality in example.sources]
    for example in examples:
        if modality not in example.sources:
            refused.append(RefusedItem(example.id, "E406", f"the example holds no {modality}"))
    results = embedder.embed_sources(modality, [example.sources[modality] for example in held])
    if track is not None:
        results = track(results, len(held), f"embedding {modality}")
    kept: list[Example] = []
    vectors: list[npt.NDArray[np.float32]] = []
    for example, result in zip(held, results, strict=True):
        if result.vector is None:
            refused.append(RefusedItem(source_path(result.source), *refusal_of(result.error)))
            continue
        kept.append(example)
        vectors.append(result.vector)
    stacked = (
        np.stack(vectors).astype(np.float32)
        if vectors
        else np.zeros((0, embedder.dim or embedder.space.dim), np.float32)
    )
    return _Embedded(kept, stacked)


@dataclass
class _Pairs:
    """Both sides of retrieval: `texts[i]` belongs to `items[owners[i]]`."""

    texts: Floats
    items: Floats
    owners: IntArray
    facts: dict[str, Any]


def _retrieval(
    embedder: Embedder, embed: Callable[..., _Embedded], part: list[Example], measured: str, against: str,
    refused: list[RefusedItem],
) -> _Pairs:  # fmt: skip
    """Embed `measured`, and the captions or a second modality of the same examples."""
    if against != TEXT:
        got = embed(part)
        other = embed(got.examples, against)
        place = {example.id: index for index, example in enumerate(got.examples)}
        owners = np.array([place[example.id] for example in other.examples], np.int64)
        return _Pairs(other.vectors, got.vectors, owners, {"against": against, "candidates": len(got.examples)})
    described = [example for example in part if any(caption.strip() for caption in example.captions)]
    if not described:
        raise VlcliError("E404", "--data", "retrieval needs captions and no example has one",
                         "add a caption or text column, or a captions.csv beside the files")  # fmt: skip
    got = embed(part)
    _need(got.examples)
    places: list[int] = []
    sources: list[Source] = []
    for index, example in enumerate(got.examples):
        for number, caption in enumerate(example.captions, 1):
            if caption.strip():
                places.append(index)
                sources.append(Source(id=f"{example.id} caption {number}", value=caption))
    texts: list[npt.NDArray[np.float32]] = []
    kept: list[int] = []
    for owner, result in zip(places, embedder.embed_sources(TEXT, sources), strict=True):
        if result.vector is None:
            refused.append(RefusedItem(source_path(result.source), *refusal_of(result.error)))
        else:
            kept.append(owner)
            texts.append(result.vector)
    if not texts:
        raise VlcliError("E101", "", "there is nothing to measure: every example with a caption was refused",
                         "look at the refusals")  # fmt: skip
    facts = {"against": TEXT, "captions": len(texts), "candidates": len(got.examples)}
    return _Pairs(np.stack(texts), got.vectors, np.array(kept, np.int64), facts)


def _registered_both_ways(
    pairs: _Pairs, names: Sequence[str], registry: Registry, sides: tuple[str, str], seed: int, resamples: int
) -> dict[str, Metric]:
    """Registered metrics of text to items and of items to text; intervals are over items."""
    if not names:
        return {}
    described = np.unique(pairs.owners)
    forward = registered_metrics(names, registry, pairs.texts, pairs.items, pairs.owners, np.arange(len(pairs.items)),
                                 pairs.owners, seed=seed, resamples=resamples)  # fmt: skip
    backward = registered_metrics(names, registry, pairs.items[described], pairs.texts, described, pairs.owners,
                                  described, seed=seed, resamples=resamples)  # fmt: skip
    found = {f"{sides[0]}_to_{sides[1]}/{name}": metric for name, metric in forward.items()}
    return found | {f"{sides[1]}_to_{sides[0]}/{name}": metric for name, metric in backward.items()}
