"""The filter `substructure`: molecules that hold a SMARTS pattern, in searches and in training data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from vlcli.api import Source
from vlcli.data.dataset import Example
from vlcli.errors import VlcliError
from vlcli_molecules.guard import shared_guard
from vlcli_molecules.modality import text_and_notation

BATCH = 200
GUARD_CODES = ("D631", "D632", "D633")


class Substructure:
    """Molecules that hold (or do not hold) a substructure.

    Args:
        smarts: the pattern, as RDKit reads it.
        keep: `matching`, or the `others`.
        chirality: stereocentres of the pattern must agree.

    Raises:
        VlcliError: U602 when RDKit does not read the pattern, with its reason.
    """

    def __init__(self, smarts: str, keep: str = "matching", chirality: bool = False) -> None:
        self.smarts = smarts
        self.wanted = keep == "matching"
        self.chirality = chirality
        shared_guard().call(smarts[:80], "check_smarts", smarts=smarts)

    def __call__(self, examples: Sequence[Example]) -> list[Example]:
        """The examples that pass; one without a molecule, or whose molecule can not be read, does not."""
        sources = [example.sources.get("molecules") for example in examples]
        verdicts = self.select("molecules", [source for source in sources if source is not None])
        return [example for example, source in zip(examples, sources, strict=True)
                if source is not None and next(verdicts) is True]  # fmt: skip

    def select(self, modality: str, sources: Iterable[Source]) -> Iterator[bool | VlcliError]:
        """See `vlcli.store.filters.ItemFilter`. Items of other modalities hold no substructure."""
        stream = iter(sources)
        while batch := list(islice(stream, BATCH)):
            yield from [False] * len(batch) if modality != "molecules" else self.match(batch)

    def match(self, sources: list[Source]) -> list[bool | VlcliError]:
        """One call for many molecules; when RDKit fails at one of them, each is asked about alone."""
        verdicts: list[bool | VlcliError | None] = [None] * len(sources)
        texts: list[tuple[int, str, str]] = []
        for index, source in enumerate(sources):
            try:
                text, notation = text_and_notation(source)
                texts.append((index, text, notation))
            except VlcliError as error:
                verdicts[index] = error
        try:
            answers = self.ask(sources[0].id, texts)
        except VlcliError as error:
            if error.code not in GUARD_CODES:
                raise
            answers = [self.ask_alone(sources[entry[0]].id, entry) for entry in texts]
        for (index, _, _), answer in zip(texts, answers, strict=True):
            verdicts[index] = answer
        return [verdict for verdict in verdicts if verdict is not None]

    def ask(self, where: str, texts: Sequence[tuple[int, str, str]]) -> list[bool | VlcliError]:
        """The worker's verdicts."""
        found = shared_guard().call(
            where, "match", smarts=self.smarts, chirality=self.chirality,
            structures=[[text, notation] for _, text, notation in texts],
        )  # fmt: skip
        return [(one is self.wanted) if isinstance(one, bool) else VlcliError(one[0], where, one[1], one[2])
                for one in found]  # fmt: skip

    def ask_alone(self, where: str, entry: tuple[int, str, str]) -> bool | VlcliError:
        """One molecule; a crash or a time limit is its own."""
        try:
            return self.ask(where, [entry])[0]
        except VlcliError as error:
            return error
