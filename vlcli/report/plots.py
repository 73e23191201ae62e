"""Plots as SVG text that takes its colour from the page, so that it reads in light and dark."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

INK = "#010203"
"""Stands for the page's text colour; no plot uses it otherwise."""
COLOURS = ("#0b8a82", "#c8702a", "#5a78c8", "#a44a8c", "#7a9a2a", "#8a6a4a")
MOST_POINTS = 600

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "vlcli", "font.size": 10, "text.color": INK, "axes.labelcolor": INK,
    "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False,
    "axes.spines.right": False, "legend.frameon": False, "text.parse_math": False,
}  # fmt: skip


def line_plot(series: Mapping[str, Sequence[tuple[float, float]]], *, x: str = "step", y: str = "") -> str:
    """Curves by name, each a list of (x, y); long ones are thinned to 600 points. Gives SVG text."""
    with new_figure(7.2, 3.2) as (figure, axes):
        for (name, points), colour in zip(series.items(), cycle_colours(len(series)), strict=True):
            kept = points[:: -(-len(points) // MOST_POINTS)] if points else points
            axes.plot([p[0] for p in kept], [p[1] for p in kept], label=name, color=colour, linewidth=1.6)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        if len(series) > 1:
            axes.legend()
        return as_svg(figure)


def interval_plot(arms: Mapping[str, tuple[float, tuple[float, float] | None]], *, x: str = "",
                  chance: float | None = None) -> str:  # fmt: skip
    """Values with their 95 % intervals, one row an arm, and a dashed line at chance. Gives SVG text."""
    with new_figure(7.2, 0.9 + 0.42 * len(arms)) as (figure, axes):
        for row, (value, bounds) in enumerate(arms.values()):
            if bounds is not None:
                axes.plot(bounds, [row, row], color=COLOURS[0], linewidth=3, alpha=0.45, solid_capstyle="round")
            axes.plot([value], [row], "o", color=COLOURS[0])
        if chance is not None:
            axes.axvline(chance, color=COLOURS[1], linestyle="--", linewidth=1.2, label="chance")
            axes.legend(loc="best")
        axes.set_yticks(range(len(arms)), list(arms))
        axes.set_ylim(len(arms) - 0.5, -0.5)
        axes.set_xlabel(x)
        return as_svg(figure)


def confusion_plot(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """A confusion matrix, each row scaled to its sum. Gives SVG text."""
    import numpy as np

    counts = np.asarray(matrix, np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 1.8 + 0.34 * len(labels)
    with new_figure(side + 1.0, side) as (figure, axes):
        for row, column in np.argwhere(shares > 0):
            axes.add_patch(_square(column, row, float(shares[row, column])))
            axes.text(column, row, f"{int(counts[row, column])}", ha="center", va="center", fontsize=8)
        axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right")
        axes.set_yticks(range(len(labels)), labels)
        axes.set_xlim(-0.5, len(labels) - 0.5)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_aspect("equal")
        axes.set_xlabel("given label")
        axes.set_ylabel("true label")
        return as_svg(figure)


def _square(column: float, row: float, share: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=COLOURS[0], alpha=0.12 + 0.6 * share)


@contextlib.contextmanager
def new_figure(width: float, height: float) -> Iterator[tuple[MatplotlibFigure, Any]]:
    """A figure (inches) and its axes under the page's style, which holds inside the block only."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure, figure.subplots()


def cycle_colours(count: int) -> list[str]:
    """As many colours as asked for, repeated when they run out."""
    return [COLOURS[index % len(COLOURS)] for index in range(count)]


def as_svg(figure: MatplotlibFigure) -> str:
    """The figure as an SVG element for a page: no XML head, no metadata, the page's text colour."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Inside HTML the namespaces are implied.
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    return text.replace(INK, "currentColor").replace("xlink:href", "href")


def as_file(svg: str) -> str:
    """A plot as a file of its own: outside HTML the namespace has to be named, else browsers show the source."""
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
