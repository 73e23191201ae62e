"""From a file to a `PointCloud`, as the environment's options say."""

from __future__ import annotations

from pathlib import Path

from vlcli.data.names import printable
from vlcli_pointclouds.cloud import PointCloud, from_shape
from vlcli_pointclouds.options import CloudOptions, environment_options
from vlcli_pointclouds.readers import read_shape
from vlcli_pointclouds.turning import turn_up


def load_cloud(path: Path, options: CloudOptions | None = None) -> PointCloud:
    """The shape in a file, sampled, turned so that y points up, and scaled to the unit sphere.

    Raises:
        VlcliError: as `vlcli_pointclouds.readers.read_shape` and `vlcli_pointclouds.cloud.from_shape`.
    """
    chosen = options or environment_options()
    return from_shape(turn_up(read_shape(path), chosen.up), printable(path), chosen.points)
