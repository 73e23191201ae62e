"""The data set `molecules/nci-logp`: NCI structures with a calculated octanol-water partition coefficient.

The labels come from RDKit (Wildman and Crippen's atom contributions, J. Chem. Inf. Comput. Sci. 1999, 39, 868), so they
are no measurements: the set stands in where no measured property is at hand. Its structures are those that the training
split of `molecules/nci` does not hold.
"""

from __future__ import annotations

from dataclasses import replace

from vlcli.data.dataset import Example
from vlcli_molecules.data.nci import NciDataset
from vlcli_molecules.data.scaffold import scaffold_split

TARGET = "logP"


class NciLogp:
    """`molecules/nci-logp`, split by scaffold.

    Args:
        labels: training examples; the rest of the training scaffolds is left out.
    """

    def __init__(self, labels: int = 200) -> None:
        from rdkit import Chem
        from rdkit.Chem.rdMolDescriptors import CalcCrippenDescriptors

        held_out = [example for split in ("val", "test") for example in NciDataset(split=split).examples]
        smiles = [example.sources["molecules"].value or "" for example in held_out]
        self.examples: list[Example] = []
        given = 0
        for example, text, split in zip(held_out, smiles, scaffold_split(smiles), strict=True):
            given += split == "train"
            if split == "train" and given > labels:
                continue
            value = float(CalcCrippenDescriptors(Chem.MolFromSmiles(text))[0])
            self.examples.append(replace(example, split=split, metadata={"targets": {TARGET: value}}))

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int, /) -> Example:
        return self.examples[index]
