"""Pages of results: answers to queries, labels given to files, and measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlcli.report.page import Card, Facts, Figure, Grid, Line, Metrics, Page, Section, Table, number, write_page
from vlcli.report.pictures import Preview, Previews
from vlcli.report.plots import confusion_plot

if TYPE_CHECKING:
    from vlcli.evaluate.run import EvalResult
    from vlcli.evaluate.zero_shot import Classified
    from vlcli.registry import Registry
    from vlcli.store.types import Hit

MOST_CARDS = 500
"""A page with more pictures than this is too heavy for a phone; the rest is counted in a note."""
MOST_CLASSES_DRAWN = 30
CAPTIONS = ("caption", "title", "name")
"""Columns that say what an inline item is, the first that it has."""


def write_search_page(
    path: Path, title: str, queries: Sequence[tuple[str, Sequence[Hit]]], registry: Registry, *, subtitle: str = "",
    size: int = 256,
) -> Path:  # fmt: skip
    """The answers to one or more queries, each as a grid of pictures with score bars.

    Args:
        queries: text that names the query, and its hits.
        size: pixels of a thumbnail's longer side.
    """
    previews = Previews(registry, size)
    best = max((hit.score for _, hits in queries for hit in hits if not math.isnan(hit.score)), default=0.0)
    sections = [Grid([hit_card(hit, previews, best) for hit in hits], heading=query) for query, hits in queries]
    return write_page(path, Page(title, sections, subtitle))


def hit_card(hit: Hit, previews: Previews, best: float) -> Card:
    """A hit as a card; its bar is relative to the best score on the page."""
    preview = previews.of_stored(hit.modality, hit.id, hit.path, hit.text, hit.metadata)
    share = max(0.0, min(1.0, hit.score / best)) if best > 0 else None
    scored = () if math.isnan(hit.score) else (Line("", number(hit.score), share),)
    caption = (
        hit.text if hit.path else next((str(hit.metadata[key]) for key in CAPTIONS if hit.metadata.get(key)), None)
    )
    return card(preview, title=hit.path or hit.text or hit.id, rank=hit.rank, lines=(*scored, *caption_lines(caption)))


def caption_lines(text: str | None) -> tuple[Line, ...]:
    """The caption that a stored file carries, if any."""
    return (Line(text),) if text else ()


def card(preview: Preview, title: str, rank: int | None = None, lines: Sequence[Line] = ()) -> Card:
    """A card whose alternative text is its title."""
    return Card(title, preview.image, alt=title, rank=rank, lines=lines, missing=preview.missing, view=preview.view)


def write_classify_page(
    path: Path, results: Sequence[Classified], labels: Sequence[str], registry: Registry, *, space: str,
    size: int = 256,
) -> Path:  # fmt: skip
    """Every input with its labels, the refused ones in a table."""
    previews = Previews(registry, size)
    done = [result for result in results if not result.refused]
    cards = []
    for result in done[:MOST_CARDS]:
        assert result.source is not None
        lines = [Line(guess.label, f"{guess.probability:.0%}", guess.probability) for guess in result.guesses]
        cards.append(card(previews.of(result.modality, result.source), result.path, lines=lines))
    counted = {label: sum(result.guesses[0].label == label for result in done) for label in labels}
    more = f"The first {MOST_CARDS} of {len(done)} inputs." if len(done) > MOST_CARDS else ""
    sections: list[Section] = [
        Table(["label", "inputs"], sorted(counted.items(), key=lambda pair: -pair[1]), "Labels"),
        Grid(cards, "Inputs", more),
    ]
    refused = [(result.path, result.code, result.reason) for result in results if result.refused]
    if refused:
        sections.append(Table(["input", "code", "why"], refused, "Refused"))
    return write_page(path, Page(f"{len(done)} inputs, {len(labels)} labels", sections, f"space {space}"))


def write_eval_page(path: Path, result: EvalResult, *, space: str, data: str) -> Path:
    """Metrics with intervals and chance, per-class results, the confusion matrix, refusals."""
    details = dict(result.details)
    per_class, confusion = details.pop("per_class", None), details.pop("confusion", None)
    labels = details.pop("labels", [])
    probe: Mapping[str, Any] = details.pop("probe", {})
    facts = {"examples": result.n, "refused": len(result.refused), **details}
    facts.update({name: value for name, value in probe.items() if name != "validation_accuracy"})
    sections: list[Section] = [
        Metrics(result.metrics, "Measurements", "Bar: 95 % bootstrap interval. Upright line: chance."),
        Facts(facts, "Setting"),
    ]
    if per_class:
        rows = [(label, entry["n"], entry["accuracy"]) for label, entry in per_class.items()]
        sections.append(Table(["class", "examples", "accuracy"], rows, "Per class"))
    if confusion and len(labels) <= MOST_CLASSES_DRAWN:
        sections.append(Figure("confusion matrix", confusion_plot(confusion, labels), heading="Confusion"))
    if result.refused:
        rows = [(item.path, item.code, item.reason) for item in result.refused]
        sections.append(Table(["input", "code", "why"], rows, "Refused"))
    return write_page(path, Page(f"{result.task}: {space} on {data}", sections))
