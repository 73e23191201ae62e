"""A trained LaMP with its captioner, as the command `vlcli motion caption` uses it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from vlcli.errors import VlcliError
from vlcli_motion.methods.lamp.captioning import FOLDER, Captioner
from vlcli_motion.methods.lamp.encoders import motion_features
from vlcli_motion.methods.lamp.model import Lamp
from vlcli_motion.methods.lamp.parts import pad_motions
from vlcli_motion.methods.lamp.saved import load_lamp
from vlcli_motion.motion import Motion

ROWS = 64
"""Motions that are captioned together."""


@torch.no_grad()
def describe(lamp: Lamp, captioner: Captioner, motions: Sequence[Tensor], device: torch.device) -> list[str]:
    """Captions of motions, each features `[T, F]`."""
    texts: list[str] = []
    for start in range(0, len(motions), ROWS):
        features, mask = pad_motions(motions[start : start + ROWS])
        texts += captioner.write(lamp.motion_states(features.to(device), mask.to(device)))
    return texts


class MotionDescriber:
    """Captions of motions from a model's folder.

    Raises:
        VlcliError: W codes when the folder holds no captioner or a file is damaged.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        saved = load_lamp(folder, device)
        self.lamp, self.device = saved.lamp, device
        self.captioner = Captioner.load(folder / FOLDER, device)
        if self.captioner.prefix_width != self.lamp.config.width:
            what = f"reads queries of {self.captioner.prefix_width} numbers, the model's have {self.lamp.config.width}"
            raise VlcliError("W332", str(folder / FOLDER), what, "restore the folder, or train the model again")

    def features(self, motion: Motion, where: str) -> Tensor:
        """What the model reads of a motion, `[T, F]`.

        Raises:
            VlcliError: T352 for a skeleton that the model was not trained on.
        """
        return motion_features(motion, self.lamp.config, where)

    def describe(self, motions: Sequence[Tensor]) -> list[str]:
        """A caption of each motion's features; it does not depend on the others."""
        return describe(self.lamp, self.captioner, motions, self.device)
