"""The applicability domain of a property model: how like the training molecules a molecule has to be to be trusted.

The measure is the Tanimoto similarity of Morgan fingerprints to the nearest training molecule. The threshold is learnt
on the validation molecules, on which the model's error was measured: 95 % of them are at least this similar. A molecule
below is farther from the training set than almost all for which anything is known about the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vlcli.api import VlcliError

RADIUS, BITS = 2, 2048
OUTSIDE_SHARE = 0.05
"""Share of the validation molecules that lie below the threshold."""
CHUNK = 512
FINGERPRINTS_FILE, MOLECULES_FILE = "training.safetensors", "training.smi"


def fingerprints(smiles: Sequence[str], radius: int = RADIUS, bits: int = BITS) -> NDArray[np.uint8]:
    """Morgan fingerprints `[N, bits]` of 0 and 1. The SMILES must be ones that RDKit reads."""
    from rdkit import Chem
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits)
    found = np.zeros((len(smiles), bits), np.uint8)
    for index, text in enumerate(smiles):
        found[index] = generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(text))
    return found


@dataclass
class Domain:
    """The training molecules and the threshold.

    Attributes:
        bits: their fingerprints `[N, BITS]`.
        smiles: the molecules, in the same order.
        threshold: of the similarity to the nearest one.
    """

    bits: NDArray[np.uint8]
    smiles: list[str]
    threshold: float

    @classmethod
    def fit(cls, training: Sequence[str], validation: Sequence[str]) -> Self:
        """Learn the threshold; without validation molecules from each training molecule's nearest other one."""
        domain = cls(fingerprints(training), list(training), 0.0)
        if validation:
            similarity = domain.nearest(validation)[0]
        elif len(training) > 1:
            similarity = domain.nearest(training, leave_out=True)[0]
        else:
            return domain
        domain.threshold = float(np.quantile(similarity, OUTSIDE_SHARE))
        return domain

    def nearest(self, smiles: Sequence[str], *, leave_out: bool = False) -> tuple[NDArray[np.float64], list[int]]:
        """Similarity to the nearest training molecule `[M]`, and its number.

        Args:
            leave_out: the molecules are the training molecules themselves, and none counts as its own neighbour.
        """
        known = self.bits.astype(np.float32)
        sizes = known.sum(1)
        similarity, index = np.zeros(len(smiles)), []
        for start in range(0, len(smiles), CHUNK):
            asked = fingerprints(smiles[start : start + CHUNK]).astype(np.float32)
            shared = asked @ known.T
            either = asked.sum(1)[:, None] + sizes[None, :] - shared
            # Two molecules without any bit are equal.
            found = np.where(either > 0, shared / np.maximum(either, 1), 1.0)
            if leave_out:
                rows = np.arange(len(asked))
                found[rows, start + rows] = -1.0
            best = found.argmax(1)
            similarity[start : start + len(asked)] = found[np.arange(len(asked)), best]
            index += best.tolist()
        return similarity, index

    def save(self, folder: Path) -> dict[str, Any]:
        """Write fingerprints and molecules; gives what belongs into the model's description."""
        from safetensors.numpy import save_file

        save_file({"fingerprints": np.packbits(self.bits, axis=1)}, folder / FINGERPRINTS_FILE)
        (folder / MOLECULES_FILE).write_text("".join(f"{text}\n" for text in self.smiles), encoding="utf-8")
        return {"measure": f"Tanimoto, Morgan radius {RADIUS}, {BITS} bits", "threshold": self.threshold,
                "molecules": len(self.smiles)}  # fmt: skip

    @classmethod
    def load(cls, folder: Path, content: Any) -> Self:
        """Read what `save` wrote.

        Raises:
            VlcliError: W314 when it is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            packed = load_file(folder / FINGERPRINTS_FILE)["fingerprints"]
            smiles = (folder / MOLECULES_FILE).read_text(encoding="utf-8").splitlines()
            threshold = float(content["threshold"])
            if packed.dtype != np.uint8 or packed.shape != (len(smiles), BITS // 8) or not 0 <= threshold <= 1:
                raise ValueError("its parts do not fit each other")
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise VlcliError("W314", str(folder), f"the applicability domain can not be read ({error})",
                             "train the model again") from error  # fmt: skip
        return cls(np.unpackbits(packed, axis=1), smiles, threshold)
