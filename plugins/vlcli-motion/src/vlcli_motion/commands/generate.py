"""`vlcli motion generate`: motions from sentences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlcli.cli.output import emit_json
from vlcli.cli.state import state_of
from vlcli.errors import VlcliError

if TYPE_CHECKING:
    from vlcli_motion.motion import Motion

SUFFIXES = (".bvh", ".npy", ".npz")
MODEL_HELP = "A run of `vlcli run lamp-generation`, or its folder model; by default the newest such run in ./runs."

Model = Annotated[Path | None, typer.Option("--model", "-m", help=MODEL_HELP)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands to `vlcli motion`."""
    example = 'Example: vlcli motion generate "a person walks forward, then turns left" -o out.bvh --preview out.gif'
    app.command("generate", help="Make a motion from a sentence.", epilog=example)(generate)


def generate(
    ctx: typer.Context,
    prompt: Annotated[str, typer.Argument(help="What the person does, in words.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .bvh, .npy or .npz file.")],
    model: Model = None,
    seconds: Annotated[float, typer.Option(min=0.2, help="Length of the motion.")] = 4.0,
    seed: Annotated[int, typer.Option(help="Another seed gives another motion.")] = 0,
    num: Annotated[int, typer.Option("--num", "-n", min=1, max=1000, help="Motions; -1, -2, … in their names.")] = 1,
    guidance: Annotated[float | None, typer.Option(min=0, help="How strongly the text counts; 1 is plain.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, max=1000, help="Passes of filling tokens in.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, help="0 takes the most probable tokens.")] = None,
    preview: Annotated[Path | None, typer.Option(help="Draw the motion too: a .gif or .png file.")] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Write the motions; the same sentence, seed and model give the same files on the CPU."""
    from vlcli_motion.methods.lamp.find import GENERATOR_FILE, find_model

    if not prompt.strip():
        raise VlcliError("U811", "the sentence", "is empty", 'say what the person does: "a person walks forward"')
    check_suffix(output, SUFFIXES, "--output")
    if preview is not None:
        check_suffix(preview, (".gif", ".png"), "--preview")
    state = state_of(ctx)
    # Looked for before anything heavy is imported.
    folder = find_model(model, GENERATOR_FILE)
    from vlcli.runtime.device import set_threads
    from vlcli_motion.methods.lamp.generate import LampGenerator
    from vlcli_motion.writers import write_motion

    set_threads()
    generator = LampGenerator(str(folder), seconds, guidance, steps, temperature, device)
    unknown = generator.unknown_words(prompt)
    if unknown:
        state.note(f"the model was trained without these words and can not tell them apart: {', '.join(unknown)}")
    written = []
    for number, motion in enumerate(generator.generate([prompt] * num, seed=seed), start=1):
        path = numbered(output, number, num)
        write_motion(path, motion)
        shown = None if preview is None else numbered(preview, number, num)
        if shown is not None:
            draw(motion, shown)
        written.append({"path": str(path), "preview": None if shown is None else str(shown),
                        "frames": motion.frames, "seconds": round(motion.seconds, 3)})  # fmt: skip
    if json:
        emit_json({"prompt": prompt, "seed": seed, "model": str(folder), "unknown_words": unknown, "motions": written})
    else:
        for one in written:
            typer.echo("  ".join(str(one[key]) for key in ("path", "preview") if one[key] is not None))


def check_suffix(path: Path, allowed: tuple[str, ...], option: str) -> None:
    """Refuse other files before any work is done.

    Raises:
        VlcliError: U812.
    """
    if path.suffix.lower() not in allowed:
        raise VlcliError("U812", str(path), f"is none of {', '.join(allowed)}", f"name one with {option}")


def numbered(path: Path, number: int, count: int) -> Path:
    """The path itself for one motion, `walk-2.bvh` for the second of several."""
    return path if count == 1 else path.with_stem(f"{path.stem}-{number}")


def draw(motion: Motion, path: Path) -> None:
    """An animation or a strip of poses."""
    from vlcli.runtime.files import write_atomic
    from vlcli_motion.drawing import animation_gif, strip_png

    picture = animation_gif(motion) if path.suffix.lower() == ".gif" else strip_png(motion, 512)
    write_atomic(path, picture)
