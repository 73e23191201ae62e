"""How well a space tells test objects apart by their names, by points or by rendered views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlcli_pointclouds.methods.material import Material, View, one_by_one
from vlcli_pointclouds.methods.objectives import AZIMUTHS

if TYPE_CHECKING:
    from vlcli.align.space import Space
    from vlcli.data.dataset import Example

BATCH = 64


class ZeroShot:
    """Accuracies over the test objects.

    Args:
        space: in evaluation mode.
        material: gives points and views.
        name_vectors: names to unit vectors `[C, D]`.
        labels: all labels.
        unseen: those that the alignment never saw.
    """

    def __init__(
        self, space: Space, material: Material, name_vectors: Callable[[Sequence[str]], Tensor],
        labels: Sequence[str], unseen: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.space, self.material, self.name_vectors = space, material, name_vectors
        self.labels, self.unseen = list(labels), list(unseen)

    def by_points(self, examples: Sequence[Example]) -> dict[str, float]:
        """Points are embedded and take the nearest label; so do their finer names, where they have any."""
        return self.accuracies(self.embed_points(examples), examples)

    def by_depth_maps(self, examples: Sequence[Example]) -> dict[str, float]:
        """PointCLIP (Zhang et al., CVPR 2022): depth from six sides through the image tower, their logits averaged."""
        return self.by_pictures(self.material.depth_rows, examples)

    def by_renders(self, examples: Sequence[Example]) -> dict[str, float]:
        """The same with six coloured views around the object, which the image tower knows the like of."""
        views: list[View] = [(index, "rgb") for index in range(0, AZIMUTHS, AZIMUTHS // 6)]
        return self.by_pictures(lambda part: self.material.view_rows(part, [views] * len(part), blank=False), examples)

    def by_pictures(
        self, rows_of: Callable[[Sequence[Example]], dict[str, Tensor]], examples: Sequence[Example]
    ) -> dict[str, float]:
        """Pictures `[B, V, …]` are embedded; the mean of their cosines is the product with their mean vector."""
        rows = []
        for start in range(0, len(examples), BATCH):
            inputs = rows_of(examples[start : start + BATCH])
            count, views = next(iter(inputs.values())).shape[:2]
            rows.append(self.embed("images", one_by_one(inputs)).reshape(count, views, -1).mean(1))
        return self.accuracies(torch.cat(rows), examples)

    def embed_points(self, examples: Sequence[Example]) -> Tensor:
        """Unit vectors `[N, D]`."""
        parts = [examples[start : start + BATCH] for start in range(0, len(examples), BATCH)]
        return torch.cat([self.embed("pointclouds", self.material.point_rows(part)) for part in parts])

    @torch.no_grad()
    def embed(self, modality: str, inputs: dict[str, Tensor]) -> Tensor:
        """Unit vectors of a collated batch."""
        return self.space.embed(modality, {name: value.to(self.space.device) for name, value in inputs.items()})

    def accuracies(self, vectors: Tensor, examples: Sequence[Example]) -> dict[str, float]:
        """Top-1 among all labels; with unseen labels also of seen and unseen objects among their own and all labels."""
        truth = [str(example.label) for example in examples]
        found = {"top1": self.top1(vectors, truth, self.labels)}
        if self.unseen:
            seen = [label for label in self.labels if label not in self.unseen]
            for name, group in (("seen", seen), ("unseen", self.unseen)):
                rows = [index for index, label in enumerate(truth) if label in group]
                own = [truth[index] for index in rows]
                found[f"{name}_top1"] = self.top1(vectors[rows], own, group)
                found[f"{name}_top1_of_all"] = self.top1(vectors[rows], own, self.labels)
        finer = [str(example.metadata.get("subtype") or "") for example in examples]
        if all(finer) and len(set(finer)) > 1:
            found["subtype_top1"] = self.top1(vectors, finer, sorted(set(finer)))
        return found

    def top1(self, vectors: Tensor, truth: Sequence[str], names: Sequence[str]) -> float:
        """Share of the rows whose nearest name is the true one."""
        nearest = (vectors @ self.name_vectors(names).T).argmax(1).tolist()
        right = [names[index] == label for index, label in zip(nearest, truth, strict=True)]
        return right.count(True) / max(1, len(truth))

    @torch.no_grad()
    def classified(self, classifier: nn.Module, examples: Sequence[Example]) -> float:
        """Top-1 of a classifier over the labels."""
        right = 0
        for start in range(0, len(examples), BATCH):
            part = examples[start : start + BATCH]
            rows = {name: value.to(self.space.device) for name, value in self.material.point_rows(part).items()}
            guesses = functional.softmax(classifier(rows), dim=1).argmax(1).tolist()
            right += sum(self.labels[guess] == example.label for guess, example in zip(guesses, part, strict=True))
        return right / max(1, len(examples))


def labels_of(examples: Sequence[Example]) -> list[str]:
    """The labels of examples, sorted."""
    return sorted({example.label for example in examples if example.label})
