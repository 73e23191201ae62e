"""`vlcli motion convert` and `vlcli motion info`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlcli.cli.output import emit_json, table
from vlcli.errors import VlcliError

if TYPE_CHECKING:
    from vlcli_motion.motion import Motion

FORMS = ("joints", "features")


def add_to(app: typer.Typer) -> None:
    """Add this module's commands to `vlcli motion`."""
    app.command("convert", help="Write a motion in another format.",
                epilog="Example: vlcli motion convert walk.bvh -o walk.npy --as features")(convert)  # fmt: skip
    app.command("info", help="Tell what a file of a motion holds.",
                epilog="Example: vlcli motion info walk.bvh --json")(info)  # fmt: skip


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A .bvh, .npy or .npz file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .bvh, .npy or .npz file.")],
    form: Annotated[
        str, typer.Option("--as", help="What .npy and .npz hold: joints, or HumanML3D's features.")
    ] = "joints",
) -> None:
    """Write the motion, 20 frames a second, on the floor and facing +z at its start, and print the path."""
    from vlcli_motion.readers import read_motion
    from vlcli_motion.writers import write_motion

    if form not in FORMS:
        raise VlcliError("U802", "--as", f"can not be '{form}'", "use joints or features")
    motion = read_motion(source)
    write_motion(output, motion, form)
    typer.echo(str(output))


def info(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A .bvh, .npy or .npz file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what was read, and what was changed while reading."""
    from vlcli_motion.readers import read_motion

    facts = describe(read_motion(source))
    if as_json:
        emit_json({"path": str(source), **facts})
        return
    rows = [(name.replace("_", " "), "; ".join(value) if isinstance(value, list) else str(value))
            for name, value in facts.items()]  # fmt: skip
    typer.echo(table(["fact", "value"], rows))


def describe(motion: Motion) -> dict[str, Any]:
    """Facts about a motion."""
    import numpy as np

    from vlcli_motion.features import headings
    from vlcli_motion.normalise import height_of

    joints = motion.joints.astype(np.float64)
    steps = np.linalg.norm(np.diff(joints[:, 0][:, [0, 2]], axis=0), axis=1)
    turned = np.unwrap(headings(joints, motion.bones))
    return {
        "skeleton": motion.skeleton,
        "frames": motion.frames,
        "frames_per_second": motion.fps,
        "seconds": round(motion.seconds, 3),
        "height_metres": round(height_of(joints, motion.bones), 3),
        "path_metres": round(float(steps.sum()), 3),
        "distance_metres": round(float(np.linalg.norm(joints[-1, 0, [0, 2]] - joints[0, 0, [0, 2]])), 3),
        "turned_left_degrees": round(float(np.degrees(turned[-1] - turned[0])), 1),
        "notes": list(motion.notes),
    }
