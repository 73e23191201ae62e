"""A page from sections: one HTML file with its style and pictures inside, which needs no network.

Every text is escaped by the template engine, so a file named `<script>` shows as its name. A content security policy
in the page forbids every request besides the pictures it carries, and all scripts but the viewers of
`vlcli.report.views`, which it names by their hashes.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from vlcli import __version__
from vlcli.data.names import printable
from vlcli.report.views import as_json, view_scripts
from vlcli.runtime.files import write_atomic

if TYPE_CHECKING:
    import jinja2

    from vlcli.api import View
    from vlcli.evaluate.statistics import Metric

SHORT_FACT = 34
"""Characters of a name and its value that fit side by side in a column."""


@dataclass(frozen=True)
class Prose:
    """Paragraphs of plain text."""

    kind: ClassVar[str] = "prose"
    paragraphs: Sequence[str]
    heading: str = ""
    note: str = ""


@dataclass(frozen=True)
class Facts:
    """Names and values side by side."""

    kind: ClassVar[str] = "facts"
    facts: Mapping[str, Any]
    heading: str = ""
    note: str = ""

    @property
    def rows(self) -> list[tuple[str, str, bool]]:
        """Name and value as text, and whether the two need a whole line."""
        texts = [(name, as_text(value)) for name, value in self.facts.items()]
        return [(name, text, len(name) + len(text) > SHORT_FACT) for name, text in texts]


@dataclass(frozen=True)
class Table:
    """Rows under a header. Columns that hold only numbers are aligned to the right."""

    kind: ClassVar[str] = "table"
    header: Sequence[str]
    cells: Sequence[Sequence[Any]]
    heading: str = ""
    note: str = ""

    @property
    def rows(self) -> list[list[str]]:
        """The cells as text."""
        return [[as_text(cell) for cell in row] for row in self.cells]

    @property
    def numeric(self) -> set[int]:
        """Columns of numbers."""
        return {
            column for column in range(len(self.header))
            if self.cells and all(isinstance(row[column], int | float) for row in self.cells)
        }  # fmt: skip


@dataclass(frozen=True)
class Metrics:
    """Measured values with their 95 % interval and chance, as numbers and on a line."""

    kind: ClassVar[str] = "metrics"
    metrics: Mapping[str, Metric]
    heading: str = ""
    note: str = ""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row a metric: texts, and places on the line in percent of its width."""
        return [metric_row(name, metric) for name, metric in self.metrics.items()]


@dataclass(frozen=True)
class Line:
    """A line under a picture: a text, a number, and a bar that is filled to `share` (0 … 1), or none."""

    text: str
    number: str = ""
    share: float | None = None


@dataclass(frozen=True)
class Card:
    """A picture with its name. `image` is a data URI; without one `missing` says why. `view` takes its place."""

    title: str
    image: str = ""
    alt: str = ""
    rank: int | None = None
    lines: Sequence[Line] = ()
    missing: str = ""
    view: View | None = None

    @property
    def short(self) -> str:
        """The end of a path, or the text itself."""
        return self.title.rstrip("/").rpartition("/")[2] or self.title


@dataclass(frozen=True)
class Grid:
    """Cards side by side."""

    kind: ClassVar[str] = "grid"
    cards: Sequence[Card]
    heading: str = ""
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A plot: `svg` from `vlcli.report.plots`, or `image`, a data URI."""

    kind: ClassVar[str] = "figure"
    alt: str
    svg: str = ""
    image: str = ""
    caption: str = ""
    heading: str = ""
    note: str = ""


@dataclass(frozen=True)
class Code:
    """Text in a fixed-width font."""

    kind: ClassVar[str] = "code"
    text: str
    heading: str = ""
    note: str = ""


@dataclass(frozen=True)
class Link:
    """A file beside the page: `target` is its path relative to the page."""

    text: str
    target: str

    @property
    def href(self) -> str:
        """The target as a relative address; it can name neither a scheme nor a host."""
        return "./" + quote(printable(self.target).lstrip("/"))


@dataclass(frozen=True)
class Links:
    """Links to files beside the page."""

    kind: ClassVar[str] = "links"
    links: Sequence[Link]
    heading: str = ""
    note: str = ""


Section = Prose | Facts | Table | Metrics | Grid | Figure | Code | Links
"""Part of a page; its `kind` chooses how the template shows it."""


@dataclass(frozen=True)
class Page:
    """A page before it is written."""

    title: str
    sections: Sequence[Section] = field(default_factory=tuple)
    subtitle: str = ""


def as_text(value: Any) -> str:
    """A value for people: four significant digits, lists joined by commas, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list | tuple):
        return ", ".join(as_text(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {as_text(item)}" for name, item in value.items())
    return printable(str(value))


def number(value: float) -> str:
    """A measured number: three decimals below ten, one below a thousand, none above."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.3f}" if size >= 0.001 or size == 0 else f"{value:.1e}"


def metric_row(name: str, metric: Metric) -> dict[str, Any]:
    """Texts and places on a line for one metric. Shares use the whole line; other values scale to the largest."""
    known = [metric.value, *(metric.ci95 or ()), *([metric.chance] if metric.chance is not None else [])]
    drawn = all(math.isfinite(value) and value >= 0 for value in known)
    top = 1.0 if max(known) <= 1 and metric.higher_is_better else max(known) * 1.05 or 1.0

    def place(value: float | None) -> float | None:
        return None if value is None or not drawn else 100 * value / top

    low, high = metric.ci95 or (None, None)
    return {
        "name": name, "value": number(metric.value), "interval": interval(metric.ci95),
        "chance": "" if metric.chance is None else number(metric.chance), "place": place(metric.value),
        "low": place(low), "high": place(high), "guess": place(metric.chance),
    }  # fmt: skip


def interval(bounds: tuple[float, float] | None) -> str:
    """`0.41 – 0.52`, or nothing."""
    return "" if bounds is None else f"{number(bounds[0])} – {number(bounds[1])}"


def data_uri(data: bytes, mime: str) -> str:
    """Bytes as a URI that a page carries inside."""
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"


@cache
def environment() -> jinja2.Environment:
    """The template engine, with escaping always on."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("vlcli.report"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def render_page(page: Page) -> str:
    """The page as HTML text."""
    from markupsafe import Markup

    engine = environment()
    assert engine.loader is not None
    style = engine.loader.get_source(engine, "page.css")[0]
    contents = [(place, part.heading) for place, part in enumerate(page.sections, 1) if part.heading]
    scripts = view_scripts([card.view for part in page.sections if isinstance(part, Grid) for card in part.cards])
    html = engine.get_template("page.html.j2").render(
        scripts=scripts, script_sources=" ".join(f"'{script.hash}'" for script in scripts), as_json=as_json,
        title=printable(page.title), subtitle=printable(page.subtitle), sections=page.sections, contents=contents,
        style=Markup(style), safe=Markup, footer=f"Written by vlcli {__version__}.",
    )  # fmt: skip
    # A caption may hold lone surrogates, which no file encoding takes.
    return html.encode("utf-8", "replace").decode("utf-8")


def write_page(path: Path, page: Page) -> Path:
    """Write a page atomically; gives its path."""
    write_atomic(path, render_page(page))
    return path


def write_results_page(path: Path, title: str, sections: Sequence[Section], subtitle: str = "") -> Path:
    """Write a page of these sections; gives its path."""
    return write_page(path, Page(title, tuple(sections), subtitle))
