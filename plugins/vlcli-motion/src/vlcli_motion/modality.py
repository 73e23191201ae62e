"""The modality `motion`: a file becomes a `Motion` of one person, 20 frames a second, or is refused with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlcli.api import Source, View, VlcliError
from vlcli.data.names import printable

if TYPE_CHECKING:
    from vlcli_motion.motion import Motion


class MotionModality:
    """Human motion in files. Canonical form: `vlcli_motion.motion.Motion`.

    What a file does not say (frames a second, which axis points up) is read from the environment variable
    `VLCLI_MOTION`.
    """

    name = "motion"
    templates = ("{}", "a person {}", "a motion of {}")

    def expand(self, path: Path) -> Iterator[Source]:
        """The one motion that the file holds."""
        yield Source(id=printable(path), path=path)

    def load(self, source: Source) -> Motion:
        """The motion in metres, y up, on the floor, facing +z at its start, 20 frames a second.

        Raises:
            VlcliError: D111-D115 for the file itself, D801-D815 for what it holds, U801 for the environment variable.
        """
        from vlcli_motion.readers import read_motion

        if source.path is None:
            raise VlcliError(
                "D815", source.id, "is a text, not a file of a motion", "name a file; search takes it with --file"
            )
        return read_motion(source.path)

    def collate(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Pad frames at the end to the longest motion, `[B, T, F]`."""
        from vlcli.data.collate import pad_and_stack

        return pad_and_stack(inputs)

    def preview(self, source: Source, size: int = 256) -> bytes:
        """A PNG with stick figures in two rows, `size` pixels a side."""
        from vlcli_motion.drawing import preview_png

        return preview_png(self.load(source), size)

    def view(self, source: Source) -> View:
        """The motion to play and turn in a page."""
        from vlcli_motion.drawing import view_data

        return View("vlcli_motion:viewer.js", view_data(self.load(source)))
