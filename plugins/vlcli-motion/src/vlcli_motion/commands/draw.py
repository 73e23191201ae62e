"""`vlcli motion draw` and `vlcli motion samples`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlcli.errors import VlcliError

FORMATS = ("bvh", "npy", "npz")


def add_to(app: typer.Typer) -> None:
    """Add this module's commands to `vlcli motion`."""
    app.command("draw", help="Draw a motion: a strip of poses as PNG, or an animated GIF.",
                epilog="Example: vlcli motion draw walk.bvh -o walk.gif")(draw)  # fmt: skip
    app.command("samples", help="Write captioned motions to try things on, made by a kinematic generator.",
                epilog="Example: vlcli motion samples -o clips --n 40")(samples)  # fmt: skip


def draw(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A .bvh, .npy or .npz file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .png or .gif file.")] = Path("motion.png"),
    size: Annotated[
        int | None, typer.Option(min=64, max=2000, help="Pixels of its width; default: 900, of a GIF 320.")
    ] = None,
    poses: Annotated[int, typer.Option(min=1, max=60, help="Poses of a strip.")] = 8,
    rows: Annotated[int, typer.Option(min=1, max=20, help="Rows of a strip.")] = 1,
) -> None:
    """Write the picture and print its path."""
    from vlcli.runtime.files import write_atomic
    from vlcli_motion.drawing import animation_gif, strip_png
    from vlcli_motion.readers import read_motion

    suffix = output.suffix.lower()
    if suffix not in (".png", ".gif"):
        raise VlcliError("U821", str(output), "is neither a .png nor a .gif file", "name one with --output")
    motion = read_motion(source)
    if suffix == ".gif":
        write_atomic(output, animation_gif(motion, size=size or 320))
    else:
        write_atomic(output, strip_png(motion, size or 900, poses, rows))
    typer.echo(str(output))


def samples(
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder; made when missing.")],
    count: Annotated[int, typer.Option("--n", min=1, max=10_000, help="How many motions.")] = 40,
    form: Annotated[str, typer.Option("--format", help="bvh, npy or npz.")] = "bvh",
    seed: Annotated[int, typer.Option(min=0, help="Other motions with another number.")] = 0,
) -> None:
    """Write the files and `captions.csv` beside them, and print its path."""
    import csv
    import io
    import random

    from vlcli.runtime.files import write_atomic
    from vlcli_motion.data.procedural import ProceduralMotions
    from vlcli_motion.readers import read_motion
    from vlcli_motion.writers import write_motion

    if form not in FORMATS:
        raise VlcliError("U822", "--format", f"can not be '{form}'", f"use {', '.join(FORMATS)}")
    output.mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["path", "caption", "caption_2", "caption_3", "label", "style"])
    # The training clips begin with every movement alone; half of the samples are some of these, the rest longer ones.
    clips = ProceduralMotions(size=count + 200, held_out=2, seed=seed, split="train", captions=3).examples
    alone = [clip for clip in clips[:count] if "," not in str(clip.label)]
    chosen = random.Random(seed).sample(alone, min(count // 2, len(alone)))
    longer = [clip for clip in clips if "," in str(clip.label)]
    chosen = [clip for clip in alone if clip in chosen] + longer[: count - len(chosen)]
    for number, example in enumerate(chosen, start=1):
        path = example.sources["motion"].path
        assert path is not None
        name = f"{number:03d}-{str(example.label).replace(', ', '-').replace(' ', '_')}.{form}"
        write_motion(output / name, read_motion(path))
        captions = [*example.captions, "", ""][:3]
        writer.writerow([name, *captions, example.label, example.metadata["style"]])
    write_atomic(output / "captions.csv", table.getvalue().encode())
    typer.echo(str(output / "captions.csv"))
