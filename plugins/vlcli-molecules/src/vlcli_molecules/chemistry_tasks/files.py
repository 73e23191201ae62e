"""`molecules/text-chem-files`: the five tasks from files that the user brings.

Three kinds of rows are known: prompted pairs as the released sample has them (`{"source": "Caption the following
SMILES: CCO", "target": "…"}`, one a line), ChEBI-20 (`CID`, `SMILES`, `description`) and reactions in the form of the
USPTO collections (`reactants>agents>products`). The latter two become two tasks each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from vlcli.api import Source, VlcliError
from vlcli.data.dataset import Example
from vlcli.data.files import check_file
from vlcli.data.inputs import RefusedInput
from vlcli.data.names import printable
from vlcli_molecules.chemistry_tasks.templates import TASK_NAMES, TASKS, Task, split_prompt, task_of
from vlcli_molecules.data.chebi import COLUMNS as CHEBI_COLUMNS
from vlcli_molecules.data.chebi import ChebiDataset
from vlcli_molecules.data.reactions import ReactionsDataset
from vlcli_molecules.metrics.molecules import canonical_side, molecule_of

SPLITS = {"train": "train", "training": "train", "valid": "val", "validation": "val", "val": "val", "dev": "val",
          "test": "test"}  # fmt: skip
"""What a file's name says of its split."""


class TextChemFiles:
    """Examples of the five tasks from files; what can not be used is listed in `refused` with the reason.

    A molecule that occurs in `val` or `test` is left out of `train` in every task, and so are reactions with a
    product that occurs there; `overlapping` counts them.

    Args:
        path: a file, or a folder with one file for each split.
        format: `auto` looks at the first line.
        tasks: which are made of the rows.

    Raises:
        VlcliError: D641 when no file or no usable row is found.
    """

    def __init__(self, path: str, format: str = "auto", tasks: Sequence[str] = TASK_NAMES) -> None:
        self.refused: list[RefusedInput] = []
        wanted = {task_of(name).name for name in tasks}
        root = Path(path).expanduser()
        rows: list[Example] = []
        for file, split in files_of(root):
            kind = format if format != "auto" else format_of(file)
            reader = {"jsonl": self.prompted, "chebi20": self.chebi, "uspto": self.reactions}[kind]
            rows.extend(row for row in reader(file, split) if row.label in wanted)
        if not rows:
            first = f" (first: {self.refused[0].reason})" if self.refused else ""
            raise VlcliError("D641", printable(root), f"holds no usable row{first}", "check the format")
        self.examples, self.overlapping = without_overlap(rows)

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        return self.examples[index]

    def refuse(self, where: str, reason: str) -> None:
        """Note a row that can not be used."""
        self.refused.append(RefusedInput(where, "D642", reason))

    def prompted(self, file: Path, split: str | None) -> Iterator[Example]:
        """Rows with `source` and `target`."""
        with open(file, encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                where = f"{printable(file)}#{number}"
                try:
                    row = json.loads(line)
                    source, target = str(row["source"]), str(row["target"]).strip()
                except (ValueError, KeyError, TypeError, RecursionError) as error:
                    self.refuse(where, f"row {number} is no object with source and target ({type(error).__name__})")
                    continue
                found = split_prompt(source)
                if found is not None:
                    found, target = unescaped(found, target)
                if found is None:
                    self.refuse(where, f"row {number} begins with none of the {len(TASKS)} prompts")
                elif not found[1] or not target:
                    self.refuse(where, f"row {number} is empty behind its prompt or has no target")
                elif (reason := unreadable(found[0].name, found[1], target)) is not None:
                    self.refuse(where, f"row {number}: {reason}")
                else:
                    yield example(where, found[0].name, found[1], target, split)

    def chebi(self, file: Path, split: str | None) -> Iterator[Example]:
        """Molecules with descriptions, in both directions."""
        data = ChebiDataset(str(file))
        self.refused.extend(data.refused)
        for row in data.examples:
            where, smiles = row.sources["molecules"].id, row.sources["molecules"].value or ""
            if not row.captions:
                self.refuse(where, "the description is empty")
                continue
            yield example(where, "caption", smiles, row.captions[0], split or row.split)
            yield example(where, "from-text", row.captions[0], smiles, split or row.split)

    def reactions(self, file: Path, split: str | None) -> Iterator[Example]:
        """Reactions, in both directions; agents stand among the reactants, as in the released data."""
        data = ReactionsDataset(str(file), split="none" if split else "random")
        self.refused.extend(data.refused)
        for row in data.examples:
            left = ".".join(
                sorted(".".join(filter(None, (row.metadata["reactants"], row.metadata["agents"]))).split("."))
            )
            product = str(row.metadata["products"])
            yield example(row.id, "forward", left, product, split or row.split)
            yield example(row.id, "retro", product, left, split or row.split)


def example(where: str, task: str, source: str, target: str, split: str | None) -> Example:
    """One pair of one task."""
    name = f"{where}/{task}"
    return Example(name, {"text": Source(id=name, value=source)}, (target,), task, split)


def unescaped(found: tuple[Task, str], target: str) -> tuple[tuple[Task, str], str]:
    """The pair with single backslashes in its structures.

    The released sample escapes them twice, and two of them in a row are never a SMILES.
    """
    task, source = found
    if task.reads in ("molecule", "reaction-side"):
        source = source.replace("\\\\", "\\")
    if task.writes in ("molecule", "reaction-side"):
        target = target.replace("\\\\", "\\")
    return (task, source), target


def unreadable(task: str, source: str, target: str) -> str | None:
    """Why a pair's structures can not be used, or None."""
    which = task_of(task)
    for text, kind in ((source, which.reads), (target, which.writes)):
        if kind in ("molecule", "reaction-side") and molecule_of(text) is None:
            return f"RDKit refuses the structure '{text[:60]}'"
    return None


def files_of(root: Path) -> list[tuple[Path, str | None]]:
    """The files with the splits that their names say.

    Raises:
        VlcliError: D641 when there is none.
    """
    found: list[tuple[Path, str | None]]
    if root.is_dir():
        found = [(file, SPLITS[file.stem.lower()]) for file in sorted(root.iterdir())
                 if file.is_file() and file.stem.lower() in SPLITS]  # fmt: skip
        if not found:
            raise VlcliError("D641", printable(root), "holds no file named train, valid or test",
                             "name the files so, or name one file itself")  # fmt: skip
    else:
        found = [(root, SPLITS.get(root.stem.lower()))]
    for file, _ in found:
        check_file(file)
    return found


def format_of(file: Path) -> str:
    """What the first line that is not empty looks like.

    Raises:
        VlcliError: D641 when it is none of the three kinds.
    """
    if file.suffix.lower() == ".jsonl":
        return "jsonl"
    with open(file, encoding="utf-8", errors="replace") as lines:
        first = next((line for line in lines if line.strip()), "")
    if first.lstrip().startswith("{"):
        return "jsonl"
    if first.rstrip("\r\n").split("\t") == CHEBI_COLUMNS:
        return "chebi20"
    if first.count(">") >= 2 or "reaction" in first.lower() or "rxn" in first.lower():
        return "uspto"
    raise VlcliError("D641", printable(file), "is neither prompted JSONL, nor ChEBI-20, nor reactions",
                     "name the format: --set data.options.format=jsonl, chebi20 or uspto")  # fmt: skip


def key_molecules(row: Example) -> frozenset[str]:
    """The molecules that make a row what it is, canonical: the captioned one, or a reaction's products.

    Reactants and agents are left out: many reactions share them.
    """
    source, target = row.sources["text"].value or "", row.captions[0]
    text = {"caption": source, "from-text": target, "forward": target, "retro": source}.get(str(row.label), "")
    side = canonical_side(text) if text else None
    return frozenset(side.split(".")) if side else frozenset()


def without_overlap(rows: list[Example]) -> tuple[list[Example], int]:
    """The rows without those of `train` that share a molecule with `val` or `test`; and how many were left out."""
    held = set().union(*(key_molecules(row) for row in rows if row.split in ("val", "test")))
    if not held:
        return rows, 0
    kept = [row for row in rows if row.split != "train" or not key_molecules(row) & held]
    return kept, len(rows) - len(kept)
