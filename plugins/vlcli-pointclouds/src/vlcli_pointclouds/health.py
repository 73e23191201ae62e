"""Health checks for `vlcli plugins doctor`."""

from __future__ import annotations


def check_reading() -> str:
    """A cube is written and read in each format, and its points lie on it."""
    import tempfile
    from pathlib import Path

    import numpy as np

    from vlcli_pointclouds.loading import load_cloud
    from vlcli_pointclouds.options import CloudOptions
    from vlcli_pointclouds.shape import Shape
    from vlcli_pointclouds.writers import WRITERS, write_shape

    corners = np.array([[x, y, z] for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)])
    sides = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    cube = Shape(corners, np.concatenate([sides[:, :3], sides[:, [0, 2, 3]]]))
    with tempfile.TemporaryDirectory() as folder:
        for ending in WRITERS:
            path = Path(folder) / f"cube{ending}"
            write_shape(path, cube)
            cloud = load_cloud(path, CloudOptions(points=512))
            if abs(float(np.linalg.norm(cloud.points, axis=1).max()) - 1) > 1e-5:
                raise RuntimeError(f"a cube read from {ending} is not scaled to the unit sphere")
    return f"reads and writes {', '.join(WRITERS)}"
