"""A `Motion` as a file: BVH, or arrays of joints or features."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from vlcli.errors import VlcliError
from vlcli.runtime.files import write_atomic
from vlcli_motion.features import joints_to_features
from vlcli_motion.motion import Motion


def write_motion(path: Path, motion: Motion, form: str = "joints") -> None:
    """Write a motion by the suffix of the path, whole or not at all.

    Args:
        form: what `.npy` and `.npz` hold, `joints` `[T, J, 3]` or `features` `[T - 1, 12 J - 1]`. An `.npz` file also
            holds `fps`.

    Raises:
        VlcliError: U803 for another suffix, X-codes when the file can not be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".bvh":
        from vlcli_motion.bvh_writing import write_bvh

        write_bvh(path, motion)
    elif suffix in (".npy", ".npz"):
        values: Any = joints_to_features(motion.joints) if form == "features" else motion.joints
        buffer = io.BytesIO()
        if suffix == ".npy":
            np.save(buffer, values, allow_pickle=False)
        else:
            np.savez_compressed(buffer, **{form: values, "fps": np.float64(motion.fps)})
        write_atomic(path, buffer.getvalue())
    else:
        raise VlcliError("U803", str(path), "is none of .bvh, .npy and .npz", "name one with --output")
