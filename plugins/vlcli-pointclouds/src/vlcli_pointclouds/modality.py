"""The modality `pointclouds`: a file of points or of a mesh becomes a normalised `PointCloud`, or is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlcli.api import Source, View, VlcliError
from vlcli.data.names import printable

if TYPE_CHECKING:
    from vlcli_pointclouds.cloud import PointCloud


class PointcloudsModality:
    """Point clouds and meshes in files. Canonical form: `vlcli_pointclouds.cloud.PointCloud`.

    How many points are drawn and which axis points up is read from the environment variable `VLCLI_POINTCLOUDS`.
    """

    name = "pointclouds"
    templates = ("{}", "a point cloud of {}", "a 3D model of {}")

    def expand(self, path: Path) -> Iterator[Source]:
        """The one shape that the file holds; the parts of a scene are one shape."""
        yield Source(id=printable(path), path=path)

    def load(self, source: Source) -> PointCloud:
        """The shape, sampled and scaled to the unit sphere.

        Raises:
            VlcliError: D111-D115 for the file itself, D701-D716 for what it holds, U701 for the environment variable.
        """
        from vlcli_pointclouds.loading import load_cloud

        return load_cloud(path_of(source))

    def collate(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Stack points `[B, N, C]`; encoders take the same number of points of every cloud."""
        from vlcli.data.collate import pad_and_stack

        return pad_and_stack(inputs)

    def preview(self, source: Source, size: int = 256) -> bytes:
        """A shaded PNG, `size` pixels a side: the shape from the front and, small, from three more sides."""
        from vlcli_pointclouds.preview import preview_png

        return preview_png(self.load(source), size)

    def view(self, source: Source) -> View:
        """The shape to turn in a page."""
        from vlcli_pointclouds.page_view import view_of

        return view_of(self.load(source))


def path_of(source: Source) -> Path:
    """The file of a source.

    Raises:
        VlcliError: D715 for a text.
    """
    if source.path is None:
        raise VlcliError("D715", source.id, "is a text, not a file of points or of a mesh", "give paths of files")
    return source.path
