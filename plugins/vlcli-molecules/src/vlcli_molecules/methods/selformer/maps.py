"""A map of molecules: their embeddings in two dimensions, coloured by a property."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlcli.runtime.files import write_atomic

MOST_POINTS = 20_000
MOST_COLOURS = 9
"""Matplotlib's ten without grey, which is for the others."""
LONGEST_LABEL = 40


def project(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """The two principal components `[N, 2]` of the embeddings `[N, D]`."""
    from sklearn.decomposition import PCA

    if len(embeddings) < 2:
        return np.zeros((len(embeddings), 2))
    found: NDArray[np.float64] = PCA(2, random_state=0).fit_transform(embeddings.astype(np.float64))
    return found


def write_map(path: Path, embeddings: NDArray[np.float32], values: Sequence[float | str | None], title: str) -> None:
    """A PNG of the molecules' two principal components; numbers are a colour scale, words have a colour each.

    Args:
        path: of the picture.
        embeddings: `[N, D]`.
        values: of the property, one per molecule; None is grey.
        title: what the colours mean.
    """
    from matplotlib.figure import Figure

    # Evenly spread, so that a large file gives a picture as well.
    step = -(-len(embeddings) // MOST_POINTS)
    points, shown = project(embeddings)[::step], list(values)[::step]
    figure = Figure(figsize=(7.2, 5.4), dpi=140, layout="constrained")
    axes = figure.add_subplot()
    known = np.array([value is not None for value in shown])
    if not known.all():
        axes.scatter(points[~known, 0], points[~known, 1], s=14, color="#b8b8b8", linewidths=0, label="not known")
    numbers = [value for value in shown if value is not None]
    if numbers and all(isinstance(value, int | float) for value in numbers):
        drawn = axes.scatter(
            points[known, 0], points[known, 1], c=np.array(numbers, float), s=14, cmap="viridis", linewidths=0
        )
        figure.colorbar(drawn, ax=axes, label=plain(title))
        if not known.all():
            axes.legend(frameon=False)
    else:
        # The most frequent first, and among equals the first in the file: the same colours each time.
        words = [word for word, _ in Counter(str(value) for value in numbers).most_common()]
        for index, word in enumerate(words[:MOST_COLOURS]):
            chosen = np.array([value is not None and str(value) == word for value in shown])
            axes.scatter(
                points[chosen, 0],
                points[chosen, 1],
                s=14,
                color=f"C{index + (index >= 7)}",
                linewidths=0,
                label=plain(word),
            )
        if len(words) > MOST_COLOURS:
            named = set(words[:MOST_COLOURS])
            chosen = np.array([value is not None and str(value) not in named for value in shown])
            axes.scatter(points[chosen, 0], points[chosen, 1], s=14, color="#707070", linewidths=0, label="others")
        figure.legend(title=plain(title), frameon=False, loc="outside right upper")
    axes.set_xlabel("first principal component of the embedding")
    axes.set_ylabel("second")
    axes.spines[["top", "right"]].set_visible(False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_atomic(path, picture.getvalue())


def plain(text: str) -> str:
    """A text as a label: not too long, and its dollars are no formula."""
    return (text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…").replace("$", r"\$")
