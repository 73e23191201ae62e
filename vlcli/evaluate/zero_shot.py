"""Zero-shot classification: labels become text embeddings, and every input takes the nearest one.

Prompt ensembling as in Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision",
section 3.1.4: the sentence of each template is embedded and normalised, the mean over templates is normalised again.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vlcli.data.inputs import Expanded, InputItem, RefusedInput
from vlcli.data.names import printable
from vlcli.errors import VlcliError
from vlcli.evaluate.classification import Floats, classification_metrics, true_label_ranks
from vlcli.evaluate.statistics import RESAMPLES, IntArray, Metric

if TYPE_CHECKING:
    from vlcli.align.space import Space
    from vlcli.api import Source
    from vlcli.registry import Registry

PLAIN = ("{}",)
EmbedTexts = Callable[[list[str]], Floats]
Track = Callable[[Any, int, str], Any]
"""(iterable, total, label) -> the same iterable, with a progress bar."""


def read_labels(text: str | None, file: Path | None) -> list[str]:
    """Labels from `"dog,cat,car"` or from a file: one a line, a JSON list, or the first column of a CSV.

    Raises:
        VlcliError: U201 when neither or both are given, U202 when a label is empty, repeated or there are fewer than 2.
    """
    if (text is None) == (file is None):
        raise VlcliError(
            "U201", "--labels", "say the labels once", 'write --labels "dog,cat,car" or --labels-file FILE'
        )
    where = "--labels"
    if text is not None:
        labels = [label.strip() for label in next(csv.reader([text], skipinitialspace=True), [])]
    else:
        assert file is not None
        where = str(file)
        labels = _labels_in(file)
    labels = [label for label in labels if label]
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise VlcliError("U202", where, f"the label '{repeated[0]}' is given more than once", "say each label once")
    if len(labels) < 2:
        raise VlcliError("U202", where, f"needs two labels or more, got {len(labels)}", "separate them by commas")
    return labels


def _labels_in(file: Path) -> list[str]:
    content = file.read_text(encoding="utf-8-sig")
    if file.suffix.lower() == ".json":
        try:
            found = json.loads(content)
        except ValueError as error:
            raise VlcliError("U202", str(file), f"is not JSON ({error})") from error
        if not isinstance(found, list) or not all(isinstance(label, str) for label in found):
            raise VlcliError("U202", str(file), "must hold a list of strings")
        return [label.strip() for label in found]
    if file.suffix.lower() == ".csv":
        rows = [row[0].strip() for row in csv.reader(content.splitlines()) if row]
        return rows[1:] if rows and rows[0].lower() in ("label", "labels", "class", "name") else rows
    return [line.strip() for line in content.splitlines()]


def check_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """The templates, each holding `{}` exactly once.

    Raises:
        VlcliError: U203 when one does not.
    """
    for template in templates:
        if template.count("{}") != 1:
            raise VlcliError("U203", "--template", f"'{template}' must hold {{}} once, where the label goes",
                             'for example --template "a photo of a {}"')  # fmt: skip
    return tuple(templates) or PLAIN


def templates_of(modality: str, registry: Registry) -> tuple[str, ...]:
    """The prompt templates that a modality states in its attribute `templates`, else the bare label."""
    stated = getattr(registry.load(registry.find("modality", modality)), "templates", None)
    return check_templates(tuple(stated)) if stated else PLAIN


def label_embeddings(embed_texts: EmbedTexts, labels: Sequence[str], templates: Sequence[str] = PLAIN) -> Floats:
    """One unit vector per label `[C, D]`: normalise each prompt, average over templates, normalise."""
    prompts = [template.replace("{}", label) for label in labels for template in templates]
    vectors = unit(embed_texts(prompts)).reshape(len(labels), len(templates), -1)
    return unit(vectors.mean(axis=1))


def unit(vectors: npt.NDArray[Any]) -> Floats:
    """Rows scaled to length 1; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    found: Floats = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return found


def softmax(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Softmax over the last axis."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponential = np.exp(shifted)
    found: npt.NDArray[np.float64] = exponential / exponential.sum(axis=-1, keepdims=True)
    return found


def zero_shot_metrics(
    items: Floats, classes: Floats, targets: IntArray, labels: Sequence[str], *, seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[dict[str, Metric], dict[str, Any]]:  # fmt: skip
    """Accuracy, top-5 and macro accuracy with intervals over items; per-class accuracy and confusion as details.

    Args:
        items: unit rows `[N, D]`. classes: unit rows `[C, D]`. targets: `[N]` indices into `labels`.
    """
    scores = items @ classes.T
    uniform = np.full(len(labels), 1 / len(labels))
    return classification_metrics(true_label_ranks(scores, targets), scores, targets, labels, guess=uniform, seed=seed,
                                  resamples=resamples)  # fmt: skip


@dataclass(frozen=True)
class Guess:
    """One label for an input: cosine similarity, and its share under the space's temperature over the given labels."""

    label: str
    score: float
    probability: float


@dataclass(frozen=True)
class Classified:
    """The labels of one input, best first; when it was refused there are none, and `code` and `reason` say why."""

    path: str
    source: Source | None = None
    modality: str = ""
    guesses: tuple[Guess, ...] = ()
    code: str = ""
    reason: str = ""

    @property
    def refused(self) -> bool:
        """True when the input could not be used."""
        return bool(self.code)


def classify_sources(
    space: Space, registry: Registry, inputs: Iterable[Expanded], labels: Sequence[str], *,
    templates: Sequence[str] = (), top: int = 5, batch_size: int = 32, track: Track | None = None,
) -> list[Classified]:  # fmt: skip
    """Give each input its nearest labels, in input order; a refused input keeps its place.

    Args:
        inputs: what `vlcli.data.inputs.expand_inputs` yields; skipped files of unknown type are left out.
        templates: prompts with `{}`; empty takes what each modality states, else the bare label.
        top: how many labels each input gets.
    """
    from vlcli.align.embedder import Embedder

    embedder = Embedder(space, registry, batch_size=batch_size)
    gathered: dict[str, list[tuple[int, Source]]] = {}
    found: dict[int, Classified] = {}
    for position, item in enumerate(inputs):
        if isinstance(item, InputItem):
            gathered.setdefault(item.modality, []).append((position, item.source))
        elif isinstance(item, RefusedInput):
            found[position] = Classified(item.path, code=item.code, reason=item.reason)
    scale = float(space.logit_scale.detach().exp())
    for modality, members in gathered.items():
        if modality not in space.modalities:
            reason = f"space '{space.name}' embeds {', '.join(space.modalities)}, not {modality}"
            found.update({place: Classified(source_path(source), source, modality, code="E201", reason=reason)
                          for place, source in members})  # fmt: skip
            continue
        prompts = check_templates(templates) if templates else templates_of(modality, registry)
        classes = label_embeddings(embedder.embed_texts, labels, prompts)
        results = embedder.embed_sources(modality, [source for _, source in members])
        if track is not None:
            results = track(results, len(members), f"classifying {modality}")
        for (place, source), result in zip(members, results, strict=True):
            path = source_path(source)
            if result.vector is None:
                code, reason = refusal_of(result.error)
                found[place] = Classified(path, source, modality, code=code, reason=reason)
            else:
                guesses = _guesses(result.vector, classes, labels, scale, top)
                found[place] = Classified(path, source, modality, guesses)
    return [found[place] for place in sorted(found)]


def source_path(source: Source) -> str:
    """How a source is named to the user: its path as printed, or its id."""
    return printable(source.path) if source.path is not None else source.id


def refusal_of(error: VlcliError | None) -> tuple[str, str]:
    """Code and reason of an input that gave no vector."""
    return (error.code, error.message) if error is not None else ("E407", "gave no vector")


def _guesses(vector: Floats, classes: Floats, labels: Sequence[str], scale: float, top: int) -> tuple[Guess, ...]:
    scores = classes @ vector
    shares = softmax(scores * scale)
    best = np.argsort(-scores, kind="stable")[:top]
    return tuple(Guess(labels[i], float(scores[i]), float(shares[i])) for i in best)
