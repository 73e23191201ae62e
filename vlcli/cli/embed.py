"""`vlcli embed`: inputs into a store, with a ledger line for each."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlcli.cli.output import emit_json
from vlcli.cli.state import State, state_of
from vlcli.errors import ExitCode, VlcliError

if TYPE_CHECKING:
    from vlcli.align.space import Space
    from vlcli.data.inputs import Expanded, SkippedInput
    from vlcli.registry import Registry
    from vlcli.store.ingest import IngestReport, LateSpace

app = typer.Typer(rich_markup_mode=None, add_completion=False)

SHOWN_REFUSALS = 20
EPILOG = """Examples:

\b
vlcli embed ~/Pictures --space images/starter --store photos
vlcli embed "scans/**/*.tif" captions.csv --store photos
find . -name '*.jpg' -print0 | vlcli embed - --store photos
vlcli embed data:images/emoji --store emoji --max-memory 2GiB
vlcli embed ~/Pictures --store photos --engine ray --ray-workers 2
"""


@app.command(epilog=EPILOG)
def embed(
    ctx: typer.Context,
    inputs: Annotated[
        list[str], typer.Argument(help="Files, folders, globs, manifests, data:NAME, or - for a list on stdin.")
    ],
    store: Annotated[
        str | None, typer.Option("--store", help="A path, or a bare name under VLCLI_HOME/stores.")
    ] = None,
    space: Annotated[
        str | None, typer.Option("--space", help="Default: the store's, else the modality's starter.")
    ] = None,
    modality: Annotated[str | None, typer.Option("--modality", help="Read every input as this modality.")] = None,
    column: Annotated[
        str | None, typer.Option("--column", help="Column of tables that holds the items of --modality.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Hash every file, even if its date is unchanged.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Afterwards forget what is gone or stale.")] = False,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Items a forward pass.")] = 32,
    workers: Annotated[int, typer.Option("--workers", min=1, max=256, help="Threads that read and load.")] = 2,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="fp32, bf16 or fp16.")] = "fp32",
    dim: Annotated[int | None, typer.Option("--dim", min=1, help="Keep so many numbers a vector (Matryoshka).")] = None,
    batch_invariant: Annotated[
        bool, typer.Option("--batch-invariant", help="The same bits whatever the batch size and order; slower.")
    ] = False,
    engine: Annotated[str, typer.Option("--engine", help="local (this process), or ray.")] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option("--ray-address", help="A running Ray cluster: auto or HOST:PORT; default: one here."),
    ] = None,
    ray_workers: Annotated[
        int | None,
        typer.Option("--ray-workers", min=1, help="Processes; default 2, in a cluster one per GPU or CPU."),
    ] = None,
    shards: Annotated[
        Path | None, typer.Option("--shards", help="Write Parquet shards into this folder; --store then imports them.")
    ] = None,
    max_memory: Annotated[
        str | None, typer.Option("--max-memory", help="Ceiling of host memory, e.g. 2GiB (default VLCLI_MAX_MEMORY).")
    ] = None,
    backend: Annotated[str, typer.Option("--backend", help="Of a new store: sqlite or lance.")] = "sqlite",
    max_file_size: Annotated[
        str | None, typer.Option("--max-file-size", help="Refuse larger files, e.g. 500MB (default 1GB).")
    ] = None,
    max_pixels: Annotated[
        str | None, typer.Option("--max-pixels", help="Refuse larger pictures, e.g. 200M (default 100M).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Embed files into a store; what is unchanged is skipped, an interrupted run is resumed by the same command."""
    from vlcli.cli.embed_scale import (
        check_effect,
        check_engine,
        embed_shards,
        import_written,
        ray_engine,
        worker_setup,
    )  # fmt: skip
    from vlcli.data.inputs import expand_inputs
    from vlcli.runtime.memory import memory_ceiling
    from vlcli.runtime.paths import store_path
    from vlcli.store import SpaceInfo, is_store, open_or_create_store, open_store
    from vlcli.store.ingest import WINDOW, LateSpace, ingest

    check_engine(engine, store, shards)
    check_effect(engine, store, shards, ray_address, ray_workers, prune=prune, verify=verify)
    state = state_of(ctx)
    registry = state.registry
    path = None if store is None else store_path(store)
    with memory_ceiling(max_memory, "lower --batch-size or --workers"), limits(max_file_size, max_pixels):
        # Inputs first: a typing error shows at once, before a space is loaded or a store is made. Which modalities
        # settle an ambiguous extension is known only later, so the list is filled below.
        accepted: list[str] = []
        expanded: Iterator[Expanded] = expand_inputs(inputs, registry, modality, accepted=accepted, column=column)
        info = None
        if path is not None and is_store(path):
            with open_store(path, registry) as existing:
                info = existing.info
        remembered = registered_modalities(registry, info.load) if info and space is None and dim is None else None
        chosen: Space | LateSpace
        # The workers of Ray have the devices; here the space only tells its identity.
        own_device = "cpu" if engine == "ray" else device
        if info is not None and remembered is not None:
            place = info.load
            chosen = LateSpace(info.name, remembered, lambda: loaded_space(place, registry, own_device))
        else:
            if space is None and info is None:
                expanded, space = choose_space(expanded, registry)
            place = space or (info.load if info else "")
            chosen = loaded_space(place, registry, own_device)
            if dim is not None:
                chosen.check_dim(dim)
            width = dim or (info.dim if info else chosen.dim)
            info = SpaceInfo(chosen.name, chosen.identity, width, lasting_name(place))
        accepted += chosen.modalities
        setup = worker_setup(info, device, batch_size, workers, precision, batch_invariant, state.third_party)
        watcher = Watcher(state)
        with contextlib.ExitStack() as stack:
            advance = stack.enter_context(watcher.bar())
            start = ray_engine(stack, setup, ray_address, ray_workers)
            if shards is not None:
                report, written = embed_shards(
                    shards, setup, chosen, registry, expanded, start if engine == "ray" else None, advance, watcher.skip
                )
            if path is not None:
                opened = stack.enter_context(open_or_create_store(path, info, registry, backend))
                if shards is not None:
                    report = import_written(opened, written, report)
                    report.pruned = opened.prune() if prune else []
                    report.stale = opened.stale()
                else:
                    report = ingest(
                        opened, chosen, registry, expanded, modality=modality, verify=verify, prune=prune,
                        batch_size=batch_size, workers=workers, precision=precision, batch_invariant=batch_invariant,
                        engine=(lambda loaded, width: start().embedder()) if engine == "ray" else None,
                        window=WINDOW if engine == "local" else WINDOW * (ray_workers or 8),
                        advance=advance, on_skip=watcher.skip,
                    )  # fmt: skip
    print_report(state, report, store or str(shards), as_json)
    if report.refused:
        raise typer.Exit(ExitCode.REFUSED if report.embedded + report.unchanged else ExitCode.FAILED)
    if not report.inputs:
        raise VlcliError("D102", "", f"there was nothing to embed; {skip_note(report)}".removesuffix("; "),
                         "name inputs that the space can take, or another space with --space")  # fmt: skip


def loaded_space(name: str, registry: Registry, device: str) -> Space:
    """The space, with torch imported only now: a run in which all is unchanged never needs it."""
    from vlcli.align.load import load_space

    return load_space(name, registry, device)


def registered_modalities(registry: Registry, name: str) -> list[str] | None:
    """What a registered space embeds, known without loading it; None for folders and checkpoints."""
    found = [entry for entry in registry.list("space") if name == entry.name and not entry.spec.model_types]
    return list(found[0].spec.modalities) or None if found else None


def lasting_name(space: str) -> str:
    """The name to keep in the store: a folder's becomes absolute, since the next run may start elsewhere."""
    prefix, name = ("hf:", space.removeprefix("hf:")) if space.startswith("hf:") else ("", space)
    folder = Path(name).expanduser()
    if folder.is_dir() and (prefix or name.startswith((".", "~")) or (folder / "space.json").is_file()):
        return prefix + os.path.abspath(folder)  # noqa: PTH100 (links are kept)
    return space


def choose_space(expanded: Iterator[Expanded], registry: Registry) -> tuple[Iterator[Expanded], str]:
    """The starter of the first input's modality; the inputs are given back whole.

    Raises:
        VlcliError: U220 when there is none; D103 when no input is of a known type.
    """
    from vlcli.cli.starter import starter_space
    from vlcli.data.inputs import InputItem

    head: list[Expanded] = []
    found = None
    for entry in expanded:
        head.append(entry)
        if isinstance(entry, InputItem):
            found = entry.modality
            break
    if found is None:
        refused = [entry for entry in head if hasattr(entry, "code")]
        if refused:
            first: Any = refused[0]
            raise VlcliError(first.code, first.path, first.reason)
        raise VlcliError("D102", "", "there is nothing to embed", "name files of a known type")
    return chain(head, expanded), starter_space(registry, [found])


def limits(max_file_size: str | None, max_pixels: str | None) -> contextlib.AbstractContextManager[None]:
    """The ceilings on one input for the duration, in the environment, where every modality looks."""
    from vlcli.data.limits import MAX_BYTES_VARIABLE, MAX_PIXELS_VARIABLE, parse_amount
    from vlcli.runtime.environment import environment

    wanted = {MAX_BYTES_VARIABLE: (max_file_size, "--max-file-size"), MAX_PIXELS_VARIABLE: (max_pixels, "--max-pixels")}
    given = {name: str(parse_amount(text, option)) for name, (text, option) in wanted.items() if text is not None}
    return environment(given)


class Watcher:
    """Progress on a terminal, and a line for each skipped file with `--verbose`."""

    def __init__(self, state: State) -> None:
        self.state = state

    @contextlib.contextmanager
    def bar(self) -> Iterator[Any]:
        """A function that moves the progress bar, or does nothing where there is none."""
        if self.state.quiet or not sys.stderr.isatty():
            yield lambda count: None
            return
        from tqdm import tqdm

        with tqdm(desc="embed", file=sys.stderr, unit=" inputs", dynamic_ncols=True, leave=False) as progress:
            yield progress.update

    def skip(self, skipped: SkippedInput) -> None:
        """Tell of a skipped file."""
        if self.state.verbose:
            self.state.note(f"skipped {skipped.path}: {skipped.reason}")


def skip_note(report: IngestReport) -> str:
    """How many files were skipped and why, for the end of a sentence."""
    if not report.skipped:
        return ""
    parts = ", ".join(
        f"{count} × {reason}" for reason, count in sorted(report.skipped.items(), key=lambda p: -p[1])[:5]
    )
    return f"skipped {sum(report.skipped.values()):,} files ({parts})"


def short(reason: str, width: int = 70) -> str:
    """A reason without its remedy and its details in brackets, for the one line of the sum."""
    text = reason.partition(" — ")[0].partition(" (")[0]
    return text if len(text) <= width else text[: width - 1] + "…"


def print_report(state: State, report: IngestReport, store: str, as_json: bool) -> None:
    """The ledger's sum on stdout; refusals and notes on stderr."""
    if as_json:
        emit_json({
            "store": store, "embedded": report.embedded, "reused": report.reused, "unchanged": report.unchanged,
            "refused": [{"path": line.path, "code": line.code, "reason": line.reason} for line in report.refused],
            "skipped": report.skipped, "repeated": report.repeated, "pruned": report.pruned,
            "stale": report.stale,
        })  # fmt: skip
    else:
        reasons = Counter(line.code for line in report.refused)
        first = {line.code: line.reason for line in reversed(report.refused)}
        why = "; ".join(f"{count} × {short(first[code])}" for code, count in reasons.most_common(5))
        typer.echo(f"{store}: {report.embedded:,} embedded, {report.unchanged:,} unchanged, "
                   f"{len(report.refused):,} refused{f' ({why})' if why else ''}")  # fmt: skip
    for line in report.refused[:SHOWN_REFUSALS]:
        state.note(f"refused[{line.code}] {line.path}: {line.reason}")
    if len(report.refused) > SHOWN_REFUSALS:
        state.note(f"… and {len(report.refused) - SHOWN_REFUSALS:,} more: vlcli report {store}, or --json")
    if report.skipped:
        state.note(f"note: {skip_note(report)}; --verbose lists them")
    if report.reused:
        state.note(f"note: {report.reused:,} of the embedded had the content of another item and took its vector")
    if report.repeated:
        state.note(f"note: {report.repeated:,} inputs named an item a second time and were left out")
    if report.pruned:
        state.note(f"note: forgot {len(report.pruned):,} items that are gone or stale")
    if report.stale:
        state.note(f"note: {len(report.stale):,} items are stale: their inputs were refused when last met, so search "
                   f"leaves them out (vlcli store show {store} --stale; --prune forgets them)")  # fmt: skip
