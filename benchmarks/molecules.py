"""Molecules: SELFIES to ids, and SMILES to molecules."""

from __future__ import annotations

import time

import common
from common import Part, Spec

FAST = "SELFIES to ids, molecules a second"
GUARDED = "SMILES to molecules in worker processes, a second"


def nci_selfies(count: int) -> tuple[list[str], list[str]]:
    """SMILES and SELFIES of the NCI molecules in RDKit's data, repeated up to `count`."""
    from pathlib import Path

    from rdkit import Chem, RDConfig, rdBase
    from vlcli_molecules.conversion import to_selfies

    from vlcli.errors import VlcliError

    smiles: list[str] = []
    texts: list[str] = []
    with rdBase.BlockLogs(), (Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi").open(encoding="utf-8") as file:
        for line in file:
            mol = Chem.MolFromSmiles(line.split()[0])
            if mol is None:
                continue
            try:
                texts.append(to_selfies(Chem.MolToSmiles(mol)))
                smiles.append(Chem.MolToSmiles(mol))
            except VlcliError:
                continue
            if len(texts) == min(count, 2000):
                break
    times = -(-count // len(texts))
    return (smiles * times)[:count], (texts * times)[:count]


def tokenizers(report: common.Report, settings: common.Settings) -> None:
    """Batches of 1,000, padded, at most 128 tokens; the peer is the same definition by the `tokenizers` library."""
    import os

    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    from vlcli_molecules.tokenizers import SelfiesTokenizer

    _, texts = nci_selfies(settings.pick(50_000, 4_000))
    tokenizer = SelfiesTokenizer.train(texts[:2000])
    batches = [texts[start : start + 1000] for start in range(0, len(texts), 1000)]

    def ours() -> None:
        for batch in batches:
            tokenizer.encode_batch(batch, 128)

    def library() -> None:
        for batch in batches:
            for found in tokenizer.tokenizer.encode_batch_fast(batch):
                found.ids  # noqa: B018 (making the list is the work)

    times = common.medians(common.interleave({"ours": ours, "tokenizers": library}, settings.pick(3, 2)))
    report.add(FAST, len(texts) / times["ours"], peers={"tokenizers": len(texts) / times["tokenizers"]},
               detail="one thread; the library uses all")  # fmt: skip


def structures(report: common.Report, settings: common.Settings) -> None:
    """One caller; what the modality does for each row of a file."""
    from vlcli_molecules.guard import Guard

    smiles, _ = nci_selfies(settings.pick(2_000, 200))
    guard = Guard(1)
    guard.parse("C", "")
    started = time.perf_counter()
    for text in smiles:
        guard.parse(text, text, "smiles")
    report.add(GUARDED, len(smiles) / (time.perf_counter() - started), detail="canonical SMILES and SELFIES")
    guard.close()


PARTS: tuple[Part, ...] = (
    Part("molecule tokenizers", (Spec(FAST, "molecules", "1/s", 50_000, better="higher"),), tokenizers, ("rdkit",)),
    Part("molecule structures", (Spec(GUARDED, "molecules", "1/s", None, better="higher"),), structures, ("rdkit",)),
)

if __name__ == "__main__":
    common.main(__doc__ or "", PARTS)
