"""`vlcli pointclouds caption`: words for a shape, by a language model that reads its points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlcli.cli.output import emit_json
from vlcli.cli.state import state_of
from vlcli.errors import ExitCode

if TYPE_CHECKING:
    from vlcli.align.loading import Loaded
    from vlcli.data.inputs import RefusedInput
    from vlcli.registry import Registry
    from vlcli_pointclouds.methods.jm3d.captioner import Captioner

MODEL_HELP = "A run of `vlcli run jm3d-llm`, or its folder model; by default the newest such run in ./runs."
BATCH = 16


def add_to(app: typer.Typer) -> None:
    """Add the command to `vlcli pointclouds`."""
    example = "Example: vlcli pointclouds caption chair.off meshes/ --model runs/jm3d-llm"
    app.command("caption", help="Describe shapes in words.", epilog=example)(caption)


def caption(
    ctx: typer.Context,
    inputs: Annotated[list[str], typer.Argument(help="Files or folders of point clouds and meshes.")],
    model: Annotated[Path | None, typer.Option("--model", "-m", help=MODEL_HELP)] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print a caption of each shape; refused inputs are listed and set exit code 3."""
    from vlcli_pointclouds.methods.jm3d.find import find_captioner

    state = state_of(ctx)
    # Looked for before anything heavy is imported.
    folder = find_captioner(model)
    from vlcli.runtime.device import resolve_device, set_threads
    from vlcli_pointclouds.methods.jm3d.captioner import Captioner

    set_threads()
    captioner = Captioner.load(folder, state.registry).to(resolve_device(device))
    written: list[tuple[str, str]] = []
    refused: list[RefusedInput] = []
    for path, text in captions_of(captioner, inputs, state.registry, refused):
        written.append((path, text))
        if not json:
            typer.echo(f"{path}: {text or '(nothing)'}")
    if json:
        results = [{"path": path, "caption": text} for path, text in written]
        listed = [{"path": one.path, "code": one.code, "reason": one.reason} for one in refused]
        emit_json({"model": str(folder), "results": results, "refused": listed})
    for one in refused:
        state.note(f"refused[{one.code}] {one.path}: {one.reason}")
    if refused:
        raise typer.Exit(ExitCode.REFUSED)


def captions_of(
    captioner: Captioner, inputs: Sequence[str], registry: Registry, refused: list[RefusedInput]
) -> Iterator[tuple[str, str]]:
    """Path and caption of every input that can be read, in order; why others can not goes into `refused`."""
    from vlcli.align.loading import Loader
    from vlcli.data.inputs import InputItem, RefusedInput, SkippedInput, expand_inputs
    from vlcli.data.names import printable
    from vlcli.train.batches import load_modality

    modality = load_modality(registry, "pointclouds")
    sources = []
    for item in expand_inputs(inputs, registry, "pointclouds"):
        if isinstance(item, InputItem):
            sources.append(item.source)
        elif isinstance(item, SkippedInput):
            refused.append(RefusedInput(item.path, "D103", item.reason))
        else:
            refused.append(item)
    waiting: list[Loaded] = []

    def flush() -> Iterator[tuple[str, str]]:
        rows = [item.inputs for item in waiting if item.inputs is not None]
        if rows:
            batch = {name: value.to(captioner.device) for name, value in modality.collate(rows).items()}
            paths = [printable(item.source.path) if item.source.path else item.source.id for item in waiting]
            yield from zip(paths, captioner.captions(batch), strict=True)
        waiting.clear()

    for loaded in Loader(modality, captioner.tower.encoder, workers=1)(sources):
        if loaded.error is not None:
            refused.append(RefusedInput(loaded.source.id, loaded.error.code, str(loaded.error.message)))
            continue
        waiting.append(loaded)
        if len(waiting) == BATCH:
            yield from flush()
    yield from flush()
