"""Tokenizers of molecules: whole SELFIES symbols, SMILES atoms, and SELFormer's two released definitions.

Source: SELFormer (Yüksel et al. 2023, arXiv:2304.04662). Its `bpe.json` cuts SELFIES at brackets and drops them, so
that a symbol is (mostly) one token; its `RobertaTokenizerFast` wraps the same vocabulary in a byte-level pre-tokenizer
that cuts symbols at punctuation (`[=Branch1]` becomes `=`, `Branch`, `1`). Both load from the user's copy of the file;
the order of special tokens (pad 3, bos 1) is theirs. SMILES atoms: Schwaller et al. 2019 (arXiv:1811.02633).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vlcli.errors import VlcliError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Kind = Literal["selfies_symbol", "official_bpe", "official_byte_level", "smiles"]
SPECIAL_TOKENS = ("<unk>", "<s>", "</s>", "<pad>", "<mask>")
UNKNOWN, BEGIN, END, PADDING, MASK = SPECIAL_TOKENS
PATTERNS = {
    "selfies_symbol": r"\[[^\[\]]*\]|\.",
    "smiles": r"\[[^\[\]]*\]|Br|Cl|%\([0-9]+\)|%[0-9]{2}|[A-Za-z0-9=#$:~@?>*()./\\+%-]",
}
MAX_FILE_BYTES = 50_000_000
BATCH = 4096


class SelfiesTokenizer:
    """A `tokenizers.Tokenizer` for molecules, with its special tokens checked.

    Args:
        tokenizer: the definition; `tokenizer.json` holds all of it.
        where: the file that it came from, for errors.

    Raises:
        VlcliError: W602 when the vocabulary has no `<s>`, `</s>` or `<pad>`.
    """

    def __init__(self, tokenizer: Tokenizer, where: str = "") -> None:
        self.tokenizer = tokenizer
        self.kind = kind_of(tokenizer)
        found: dict[str, Any] = {token: tokenizer.token_to_id(token) for token in SPECIAL_TOKENS}
        missing = [token for token in (BEGIN, END, PADDING) if found[token] is None]
        if missing:
            raise VlcliError("W602", where, f"the vocabulary has no {', '.join(missing)}",
                             "use a tokenizer for molecules, such as SELFormer's bpe.json")  # fmt: skip
        self.pad_id: int = found[PADDING]
        self.bos_id: int = found[BEGIN]
        self.eos_id: int = found[END]
        self.unk_id: int | None = found[UNKNOWN]
        self.mask_id: int | None = found[MASK]
        tokenizer.no_padding()
        tokenizer.no_truncation()

    @property
    def vocab_size(self) -> int:
        """One more than the largest id: the number of rows that an embedding needs."""
        return max(self.vocabulary.values()) + 1

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Token -> id, the special tokens included."""
        found: dict[str, int] = self.tokenizer.get_vocab(with_added_tokens=True)
        return found

    def encode(self, text: str, max_length: int | None = None) -> list[int]:
        """The ids of one molecule, `<s>` and `</s>` included."""
        return self.encode_lists([text], max_length)[0]

    def tokens(self, text: str) -> list[str]:
        """The tokens of one molecule, `<s>` and `</s>` included."""
        names: list[str] = self.tokenizer.encode(text).tokens
        return names

    def encode_batch(self, texts: Sequence[str], max_length: int | None = 128) -> dict[str, NDArray[np.int64]]:
        """Molecules as ids, padded at the end to the longest.

        Args:
            texts: N strings, SELFIES or (kind `smiles`) SMILES.
            max_length: keep at most so many tokens, the first ones and `</s>`; None keeps all.

        Returns:
            `input_ids` and `attention_mask`, both `[N, T]` int64.
        """
        lists = self.encode_lists(texts, max_length)
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        width = int(lengths.max(initial=0))
        mask = np.arange(width) < lengths[:, None]
        ids = np.full((len(lists), width), self.pad_id, np.int64)
        ids[mask] = np.fromiter(chain.from_iterable(lists), np.int64, int(lengths.sum()))
        return {"input_ids": ids, "attention_mask": mask.astype(np.int64)}

    def encode_lists(self, texts: Sequence[str], max_length: int | None = None) -> list[list[int]]:
        """Molecules as lists of ids, not padded.

        Raises:
            ValueError: when `max_length` leaves no room for `<s>` and `</s>`.
        """
        if max_length is not None and max_length < 2:
            raise ValueError(f"max_length {max_length} leaves no room for {BEGIN} and {END}")
        if self.kind in PATTERNS and self.unk_id is not None:
            return [self._look_up(text, max_length) for text in texts]
        lists: list[list[int]] = []
        for start in range(0, len(texts), BATCH):
            lists += [shorten(found.ids, max_length)
                      for found in self.tokenizer.encode_batch_fast(list(texts[start : start + BATCH]))]  # fmt: skip
        return lists

    def _look_up(self, text: str, max_length: int | None) -> list[int]:
        """What the tokenizer gives, by a dictionary: several times faster when every token is one whole symbol."""
        if "<" in text:  # perhaps a special token in the text, which the library finds before it splits
            return shorten(self.tokenizer.encode(text).ids, max_length)
        symbols = self._pattern.findall(text)
        if sum(map(len, symbols)) != len(text):  # the library keeps what lies between symbols as pieces
            symbols = [piece for piece in self._isolating.split(text) if piece]
        if max_length is not None:
            symbols = symbols[: max_length - 2]
        unknown = self.unk_id
        look_up = self.vocabulary.get
        return [self.bos_id, *[look_up(symbol, unknown) for symbol in symbols], self.eos_id]  # type: ignore[list-item]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(PATTERNS[self.kind])

    @cached_property
    def _isolating(self) -> re.Pattern[str]:
        return re.compile(f"({PATTERNS[self.kind]})")

    def decode(self, ids: Iterable[int]) -> str:
        """The molecule of some ids, without special tokens.

        For the released kinds, whose vocabulary has no brackets, it is the tokens with spaces between them: a symbol
        that was cut into several tokens can not be put together again.
        """
        special = {self.vocabulary[token] for token in SPECIAL_TOKENS if token in self.vocabulary}
        names = [self.tokenizer.id_to_token(int(number)) for number in ids if int(number) not in special]
        return ("" if self.kind in PATTERNS else " ").join(name for name in names if name is not None)

    def save(self, path: Path) -> None:
        """Write the definition as `tokenizer.json`, atomically."""
        from vlcli.runtime.files import write_atomic

        write_atomic(path, self.tokenizer.to_str(pretty=True))

    @classmethod
    def load(cls, path: Path, kind: Kind | None = None) -> SelfiesTokenizer:
        """A definition from a file: one saved here, SELFormer's `bpe.json` or `tokenizer.json`, or a folder with one.

        Args:
            path: the file, or a folder that holds `tokenizer.json` or `bpe.json`.
            kind: `official_byte_level` wraps a `bpe.json` as the released `RobertaTokenizerFast` does, `official_bpe`
                undoes that; by default the file decides.

        Raises:
            VlcliError: D111-D115 for the file itself, W601 when it is no tokenizer, W602 when special tokens are
                missing, W603 when it can not be of the asked kind.
        """
        from tokenizers import Tokenizer

        from vlcli.data.files import check_file

        file = Path(path)
        if file.is_dir():
            file = next((file / name for name in ("tokenizer.json", "bpe.json") if (file / name).is_file()),
                        file / "tokenizer.json")  # fmt: skip
        check_file(file, limit=MAX_FILE_BYTES)
        try:
            tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
        except Exception as error:  # tokenizers raises a bare Exception for malformed files
            raise VlcliError("W601", str(file), f"is not a tokenizer ({str(error)[:150]})",
                             "give a tokenizer.json or SELFormer's bpe.json") from error  # fmt: skip
        found = cls(tokenizer, str(file))
        if kind is None or kind == found.kind:
            return found
        if not {kind, found.kind} <= {"official_bpe", "official_byte_level"}:
            raise VlcliError("W603", str(file), f"is of kind {found.kind}, not {kind}", "leave the kind out")
        wrap(tokenizer, kind)
        return cls(tokenizer, str(file))

    @classmethod
    def train(cls, corpus: Iterable[str], kind: Kind = "selfies_symbol", size: int | None = None) -> SelfiesTokenizer:
        """A vocabulary from molecules.

        Args:
            corpus: SELFIES, or SMILES for the kind `smiles`.
            kind: `selfies_symbol` one token a symbol; `smiles` one token an atom, bond or ring number;
                `official_bpe` and `official_byte_level` byte-pair encoding within symbols, as SELFormer's.
            size: largest number of tokens; by default all symbols, or 800 (SELFormer) for byte pairs.

        Raises:
            ValueError: for an unknown kind.
        """
        from tokenizers import Tokenizer, models, trainers

        if kind not in get_args(Kind):
            raise ValueError(f"unknown kind of tokenizer '{kind}'")
        special = list(SPECIAL_TOKENS)
        trainer: Any
        if kind in PATTERNS:
            tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
            trainer = trainers.WordLevelTrainer(vocab_size=size or 1_000_000, special_tokens=special,
                                                show_progress=False)  # fmt: skip
        else:
            tokenizer = Tokenizer(models.BPE(unk_token=None if kind == "official_byte_level" else UNKNOWN))
            trainer = trainers.BpeTrainer(vocab_size=size or 800, special_tokens=special, show_progress=False)
        # Byte pairs are learnt within symbols; the byte-level kind is the same vocabulary, read another way.
        wrap(tokenizer, "official_bpe" if kind == "official_byte_level" else kind)
        tokenizer.train_from_iterator(corpus, trainer)
        wrap(tokenizer, kind)
        return cls(tokenizer)


def wrap(tokenizer: Tokenizer, kind: Kind) -> None:
    """Set how text is cut before the vocabulary is used, and `<s>` and `</s>` around it when they are known."""
    from tokenizers import Regex, decoders, pre_tokenizers, processors

    if kind in PATTERNS:
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PATTERNS[kind]), "isolated")
        tokenizer.decoder = decoders.Fuse()
    elif kind == "official_byte_level":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(r"[\[\]]"), "removed"), pre_tokenizers.Split(".", "isolated")]
        )
    begin, end = tokenizer.token_to_id(BEGIN), tokenizer.token_to_id(END)
    if begin is not None and end is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BEGIN} $A {END}", special_tokens=[(BEGIN, begin), (END, end)]
        )


def kind_of(tokenizer: Tokenizer) -> Kind:
    """What a definition does, read from the definition itself."""
    definition = json.loads(tokenizer.to_str())
    if definition["model"].get("type") == "WordLevel":
        pattern = ((definition.get("pre_tokenizer") or {}).get("pattern") or {}).get("Regex")
        for kind in ("selfies_symbol", "smiles"):
            if pattern == PATTERNS[kind] and not definition.get("normalizer"):
                return kind  # type: ignore[return-value]
    text = json.dumps(definition.get("pre_tokenizer"))
    return "official_byte_level" if '"ByteLevel"' in text else "official_bpe"


def shorten(ids: list[int], max_length: int | None) -> list[int]:
    """Keep the first ids and the last one, `</s>`."""
    return ids if max_length is None or len(ids) <= max_length else [*ids[: max_length - 1], ids[-1]]
