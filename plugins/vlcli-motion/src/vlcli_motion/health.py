"""Health checks for `vlcli plugins doctor`."""

from __future__ import annotations


def check_features() -> str:
    """A motion becomes features and comes back."""
    import numpy as np

    from vlcli_motion.features import features_to_joints, joints_to_features, place
    from vlcli_motion.skeleton import HUMANML3D, forward

    swing = np.sin(np.linspace(0, 3, 12))[:, None] * [0.1, 0.0, 0.4] + [0.0, 0.9, 0.0]
    still = np.tile(np.eye(3), (12, HUMANML3D.count, 1, 1))
    joints = place(forward(HUMANML3D, still, swing))
    apart = float(np.abs(features_to_joints(joints_to_features(joints), closing=True) - joints).max())
    if apart > 1e-4:
        raise RuntimeError(f"joints came back {apart:.3g} metres away")
    return "joints become features and come back"
