"""Mod-X: InfoNCE on the current data plus distillation of the previous model's off-diagonal similarities.

Ni et al., "Continual vision-language representation learning with off-diagonal information", ICML 2023. With
`S = cos(f, g)` of the current and `O` of the previous, frozen model:

    L = InfoNCE(scale * S) + alpha * 1/2 * [ sum_i KL(softmax(O'_i) || softmax(S_i)) + the same on columns ]

`O'` is `O` with each row that the previous model ranks wrongly (its own pair is not the largest) replaced by the
current model's row. For such a row the divergence is 0 and so is its gradient, so it is left out here.

As in the released code, and unlike what the name suggests: the diagonal stays in the rows, the KL uses plain cosines
(temperature 1), and it is a *sum* over rows, so alpha (20 there, for 280 rows) must shrink when rows are fewer.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from vlcli.align.gather import Group
from vlcli.align.objectives.distillation import ranked_first_distillation
from vlcli.align.objectives.info_nce import InfoNCE


@dataclass
class OffDiagonalLoss:
    """The parts of the loss, scalars: `total = contrastive + alpha * distillation`."""

    total: Tensor
    contrastive: Tensor
    distillation: Tensor


class OffDiagonal(nn.Module):
    """Mod-X's loss in linear memory.

    Args:
        alpha: weight of the distillation term.
        group: the processes whose batches count as one; None is all of them.
    """

    def __init__(self, alpha: float = 20.0, group: Group = None) -> None:
        super().__init__()
        self.alpha = alpha
        self.contrast = InfoNCE(group=group)
        self.distillation = ranked_first_distillation(group)

    def forward(self, x: Tensor, y: Tensor, scale: Tensor, teacher_x: Tensor, teacher_y: Tensor) -> Tensor:
        """The total loss; arguments as in `parts`."""
        return self.parts(x, y, scale, teacher_x, teacher_y).total

    def parts(self, x: Tensor, y: Tensor, scale: Tensor, teacher_x: Tensor, teacher_y: Tensor) -> OffDiagonalLoss:
        """The loss and its parts.

        Args:
            x, y: `[N, D]` unit rows of the current model.
            scale: multiplier of the cosines in the contrastive part only.
            teacher_x, teacher_y: `[N, D]` unit rows of the previous phase's model; constants.
        """
        contrastive = self.contrast(x, y, scale)
        distillation = self.distillation(x, y, x.new_ones(()), teacher_x, teacher_y)
        return OffDiagonalLoss(contrastive + self.alpha * distillation, contrastive, distillation)


def mod_x_loss(
    x: Tensor, y: Tensor, scale: Tensor, teacher_x: Tensor, teacher_y: Tensor, alpha: float = 20.0
) -> OffDiagonalLoss:
    """Mod-X's loss of one batch; see `OffDiagonal.parts`."""
    return OffDiagonal(alpha).parts(x, y, scale, teacher_x, teacher_y)
