"""`vlcli motion caption`: motions in words."""

from __future__ import annotations

from typing import Annotated

import typer

from vlcli.cli.output import emit_json
from vlcli.cli.state import state_of
from vlcli.errors import ExitCode, VlcliError
from vlcli_motion.commands.generate import Device, Json, Model


def add_to(app: typer.Typer) -> None:
    """Add this module's commands to `vlcli motion`."""
    example = "Example: vlcli motion caption walk.bvh clips/ --json"
    app.command("caption", help="Describe motions in words.", epilog=example)(caption)


def caption(
    ctx: typer.Context,
    inputs: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files or folders of motions.")],
    model: Model = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Print a caption of each motion; what can not be read is listed and sets exit code 3."""
    from vlcli_motion.methods.lamp.find import CAPTIONER_FILE, find_model

    state = state_of(ctx)
    # Looked for before anything heavy is imported.
    folder = find_model(model, CAPTIONER_FILE)
    from vlcli.data.inputs import InputItem, RefusedInput, SkippedInput, expand_inputs
    from vlcli.runtime.device import resolve_device, set_threads
    from vlcli_motion.methods.lamp.describe import MotionDescriber

    set_threads()
    describer = MotionDescriber(folder, resolve_device(device))
    modality = state.registry.load(state.registry.find("modality", "motion"))()
    names, motions, refused = [], [], []
    for item in expand_inputs(inputs, state.registry, "motion"):
        if isinstance(item, InputItem):
            try:
                motions.append(describer.features(modality.load(item.source), item.source.id))
                names.append(item.source.id)
            except VlcliError as error:
                refused.append(RefusedInput(item.source.id, error.code, str(error.message)))
        else:
            code = "D103" if isinstance(item, SkippedInput) else item.code
            refused.append(RefusedInput(item.path, code, item.reason))
    captions = describer.describe(motions)
    if json:
        results = [{"path": name, "caption": text} for name, text in zip(names, captions, strict=True)]
        listed = [{"path": one.path, "code": one.code, "reason": one.reason} for one in refused]
        emit_json({"model": str(folder), "results": results, "refused": listed})
    else:
        for name, text in zip(names, captions, strict=True):
            typer.echo(f"{name}: {text}" if len(names) + len(refused) > 1 else text)
    for one in refused:
        state.note(f"refused[{one.code}] {one.path}: {one.reason}")
    if refused:
        raise typer.Exit(ExitCode.REFUSED)
