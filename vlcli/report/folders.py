"""`vlcli report`: the page of a run folder, and the page of a store."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlcli.data.names import printable
from vlcli.errors import VlcliError
from vlcli.report.page import (
    Code,
    Facts,
    Figure,
    Grid,
    Link,
    Links,
    Metrics,
    Page,
    Section,
    Table,
    data_uri,
    write_page,
)
from vlcli.report.pictures import Previews
from vlcli.report.plots import line_plot
from vlcli.report.results import caption_lines, card

if TYPE_CHECKING:
    from vlcli.evaluate.statistics import Metric
    from vlcli.registry import Registry
    from vlcli.store.types import Item, VectorStore

SAMPLE = 48
MOST_REFUSALS = 500
MOST_EVENTS = 200
IMAGE_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp",
               ".gif": "image/gif"}  # fmt: skip
MOST_PICTURE_BYTES = 8_000_000


def write_store_report(path: Path, store: VectorStore, registry: Registry, *, title: str = "") -> Path:
    """Counts, runs, refusals, the space that the store is pinned to, and a sample of its items."""
    by_modality: Counter[str] = Counter()
    # Evenly spread over the store and not its first folder only.
    step = max(1, len(store) // SAMPLE)
    sample: list[Item] = []
    for place, item in enumerate(store.items()):
        by_modality[item.modality] += 1
        if place % step == 0 and len(sample) < SAMPLE:
            sample.append(item)
    info = store.info
    facts = {"items": len(store), **{f"of modality {name}": count for name, count in sorted(by_modality.items())},
             "space": info.name, "space identity": info.identity, "vector length": info.dim,
             "folder": printable(store.path)}  # fmt: skip
    runs = [(run.id, run.command, run.started, run.status, run.embedded, run.unchanged, run.refused)
            for run in store.runs()]  # fmt: skip
    lines = [line for line in store.ledger() if line.outcome in ("refused", "quarantined")]
    # The last word on an input counts: one that was refused and later embedded is not refused.
    last: dict[str, Any] = {line.input: line for line in lines}
    known = store.known_map(list(last))
    refused = [(line.input, line.code, line.reason, line.time) for name, line in last.items() if name not in known]
    previews = Previews(registry, 192)
    cards = [card(previews.of_stored(item.modality, item.id, item.path, item.text), item.path or item.text or item.id,
                  lines=caption_lines(item.text if item.path else None)) for item in sample]  # fmt: skip
    note = f"The first {MOST_REFUSALS} of {len(refused)}." if len(refused) > MOST_REFUSALS else ""
    sections: list[Section] = [
        Facts(facts, "Store"),
        Table(["run", "command", "started", "state", "embedded", "unchanged", "refused"], runs, "Runs"),
        Table(["input", "code", "why", "when"], refused[:MOST_REFUSALS], f"Refused inputs ({len(refused)})", note),
        Grid(cards, f"A sample of {len(cards)}"),
    ]
    return write_page(path, Page(title or f"Store {printable(store.path.name)}", sections))


def is_run(folder: Path) -> bool:
    """True for the folder of a run."""
    return (folder / "run.json").is_file() or (folder / "recipe.toml").is_file()


def write_run_report(path: Path, run: Path) -> Path:
    """Metrics, curves, pictures, environment, the resolved recipe and the last events of a run folder.

    Parts of a run that are missing (it was interrupted, say) are left out.

    Raises:
        VlcliError: E502 when the folder is no run, E503 when one of its files is damaged.
    """
    if not is_run(run):
        raise VlcliError("E502", printable(run), "is neither a run nor a store",
                         "name a folder under ./runs, or a store")  # fmt: skip
    facts = read_json(run / "run.json")
    metrics = read_json(run / "metrics.json")
    events = list(read_events(run / "events.jsonl"))
    sections: list[Section] = run_steps(run, facts)
    for heading, found in metric_tables(metrics):
        sections.append(Metrics(found, heading))
    curves = loss_curves(events)
    if curves:
        sections.append(Figure("curves over steps", line_plot(curves), heading="Curves"))
    for file in pictures_of(run):
        picture = data_uri(file.read_bytes(), IMAGE_TYPES[file.suffix.lower()])
        sections.append(Figure(file.stem, image=picture, heading=file.stem))
    sections += run_facts(run, facts)
    recipe = run / "recipe.toml"
    if recipe.is_file():
        sections.append(Code(recipe.read_text(encoding="utf-8", errors="replace"), "Recipe, resolved"))
    if events:
        told = [(str(event.get("time", "")), str(event.get("event", event.get("kind", ""))), flat(without(event)))
                for event in events[-MOST_EVENTS:]]  # fmt: skip
        note = f"The last {MOST_EVENTS} of {len(events)}." if len(events) > MOST_EVENTS else ""
        sections.append(Table(["time", "event", "what"], told, "Events", note))
    name = str(facts.get("recipe", run.name)) if isinstance(facts.get("recipe"), str) else run.name
    return write_page(path, Page(f"Run {printable(name)}", sections, printable(run.name)))


def run_steps(run: Path, facts: Mapping[str, Any]) -> list[Section]:
    """What each step did, the pages it wrote beside this one, and what it refused."""
    steps = facts.get("steps")
    if not isinstance(steps, Mapping):
        return []
    rows, pages, refused = [], [], []
    for name, step in steps.items():
        if not isinstance(step, Mapping):
            continue
        short = str(name).removeprefix("steps.")
        rows.append((short, step.get("summary", ""), step.get("seconds", "")))
        files = [str(file) for file in step.get("files") or ()]
        pages += [Link(file, file) for file in files if (run / file).is_file() and file != "report.html"]
        result = step.get("result")
        listed = result.get("refused") if isinstance(result, Mapping) else None
        for item in listed if isinstance(listed, list) else ():
            if isinstance(item, Mapping):
                refused.append((short, item.get("path", ""), item.get("code", ""), item.get("reason", "")))
    sections: list[Section] = [Table(["step", "what it did", "seconds"], rows, "Steps")] if rows else []
    if pages:
        sections.append(Links(pages, "Pages", "They lie in the folder of this run."))
    if refused:
        note = f"The first {MOST_REFUSALS} of {len(refused)}." if len(refused) > MOST_REFUSALS else ""
        sections.append(Table(["step", "input", "code", "why"], refused[:MOST_REFUSALS], "Refused inputs", note))
    return sections


def run_facts(run: Path, facts: Mapping[str, Any]) -> list[Section]:
    """How the run was made, and the versions of everything."""
    versions = facts.get("versions")
    plain = {name: value for name, value in facts.items() if name not in ("steps", "versions") and value is not None}
    sections: list[Section] = [Facts(flat(plain), "Run")] if plain else []
    if isinstance(versions, Mapping):
        sections.append(Facts(flat(versions), "Versions"))
    return sections


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object from a file, empty when the file is absent."""
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise VlcliError("E503", printable(file), f"is damaged ({error})", "run the recipe again") from error
    return found if isinstance(found, dict) else {"values": found}


def read_events(file: Path) -> Iterator[dict[str, Any]]:
    """The events of a run; a last line torn by a crash is left out."""
    if not file.is_file():
        return
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event


def metric_tables(found: Mapping[str, Any], heading: str = "Measurements") -> Iterator[tuple[str, dict[str, Metric]]]:
    """Tables of metrics in a nested JSON object: a leaf is a number, or an object with a `value`."""
    from vlcli.evaluate.statistics import Metric

    here: dict[str, Metric] = {}
    for name, value in found.items():
        if name == "schema" or isinstance(value, bool):
            continue
        if isinstance(value, int | float):
            here[name] = Metric(float(value))
        elif isinstance(value, Mapping) and isinstance(value.get("value"), int | float):
            bounds, chance = value.get("ci95"), value.get("chance")
            usable = isinstance(bounds, list) and len(bounds) == 2 and all(isinstance(b, int | float) for b in bounds)
            higher = "rank" not in name and "loss" not in name
            here[name] = Metric(float(value["value"]), (bounds[0], bounds[1]) if usable and bounds else None,
                                float(chance) if isinstance(chance, int | float) else None, higher)  # fmt: skip
    if here:
        yield heading, here
    for name, value in found.items():
        if isinstance(value, Mapping) and not isinstance(value.get("value"), int | float):
            inner = "" if name in ("metrics", "steps") else name
            outer = "" if heading == "Measurements" else heading
            yield from metric_tables(value, " · ".join(part for part in (outer, inner) if part) or "Measurements")


def loss_curves(events: list[dict[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """Losses over steps, from events that hold a `step` and numbers named `loss…` (also one level down)."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for event in events:
        step = event.get("step")
        if not isinstance(step, int | float) or isinstance(step, bool):
            continue
        values = {**event, **(event["metrics"] if isinstance(event.get("metrics"), dict) else {})}
        for name, value in values.items():
            if "loss" in name and isinstance(value, int | float):
                curves.setdefault(name, []).append((float(step), float(value)))
    return {name: points for name, points in curves.items() if len(points) > 1}


def pictures_of(run: Path) -> list[Path]:
    """Pictures that the run wrote into its folder, up to a size that a page can carry."""
    found = sorted(file for file in run.iterdir() if file.suffix.lower() in IMAGE_TYPES and file.is_file())
    return [file for file in found if file.stat().st_size <= MOST_PICTURE_BYTES]


def without(event: Mapping[str, Any]) -> dict[str, Any]:
    """What an event says besides its time and kind."""
    return {name: value for name, value in event.items() if name not in ("time", "event", "kind", "schema")}


def flat(found: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested object with dotted names."""
    result: dict[str, Any] = {}
    for name, value in found.items():
        if name == "schema" and not prefix:
            continue
        if isinstance(value, Mapping):
            result.update(flat(value, f"{prefix}{name}."))
        else:
            result[f"{prefix}{name}"] = value
    return result
