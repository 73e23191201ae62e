"""SELFormer's encoder: a RoBERTa over the symbols of a molecule's string.

Yüksel et al., "SELFormer: molecular representation learning via SELFIES language models", Machine Learning: Science and
Technology 4 (2023) 025035. The embedding is the mean over all tokens, `<s>` and `</s>` included, as the released code
computes it. Padding takes no part, so a molecule's vector does not depend on its batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from vlcli.align.checkpoints import load_pretrained, open_checkpoint, read_config, read_json
from vlcli.align.encoder import Encoded, Encoder
from vlcli.api import VlcliError
from vlcli_molecules.molecule import Molecule
from vlcli_molecules.tokenizers import Kind, SelfiesTokenizer

if TYPE_CHECKING:
    from transformers import RobertaConfig

TOKENIZER_FILE = "tokenizer.json"
NOTATION_FILE = "selformer.json"
ROWS_PER_PART = 8
SMILES_TOKENS = r"C N O c n o s S P F Cl Br I B = # ( ) 1 2 3 4 5 6 7 8 9 / \ . [nH] [C@@H] [C@H] [N+] [O-]"
MODEL_FOLDER = "model"
"""Where a run puts its model, inside its own folder."""


def make_config(
    tokenizer: SelfiesTokenizer, *, vocabulary: int, width: int, layers: int, heads: int, hidden: int, max_length: int,
    dropout: float,
) -> RobertaConfig:  # fmt: skip
    """The transformer's sizes, with this tokenizer's special ids (padding is 3, not RoBERTa's 1).

    Raises:
        VlcliError: T343 when the sizes do not go together.
    """
    from transformers import RobertaConfig

    if width % heads:
        raise VlcliError("T343", "heads", f"{heads} heads do not divide the width {width}", "choose a divisor")
    if tokenizer.vocab_size > vocabulary:
        what = f"the tokenizer has {tokenizer.vocab_size} tokens, the embedding {vocabulary} rows"
        raise VlcliError("T343", "vocabulary", what, f"set it to {tokenizer.vocab_size} or more")
    return RobertaConfig(
        vocab_size=vocabulary, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=hidden or 4 * width, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
        classifier_dropout=dropout, type_vocab_size=1, pad_token_id=tokenizer.pad_id, bos_token_id=tokenizer.bos_id,
        eos_token_id=tokenizer.eos_id,
        # RoBERTa counts positions from its padding id on.
        max_position_embeddings=max_length + tokenizer.pad_id + 1,
    )  # fmt: skip


def model_folder(name: str) -> Path:
    """The model inside a run's folder, or the folder itself.

    Raises:
        VlcliError: W201 or W203 when it is no checkpoint.
    """
    path = Path(name).expanduser()
    inner = path / MODEL_FOLDER
    if not (path / "config.json").is_file() and (inner / "config.json").is_file():
        return inner
    if path.is_dir() and (path / "run.json").is_file():
        raise VlcliError("W201", name, "the run holds no model yet", "let it finish, or resume it")
    return open_checkpoint(name)


def read_tokenizer(folder: Path, tokenizer_file: str = "") -> SelfiesTokenizer:
    """A folder's tokenizer, or the file that the user names instead.

    Raises:
        VlcliError: W312 when there is none.
    """
    path = Path(tokenizer_file).expanduser() if tokenizer_file else folder / TOKENIZER_FILE
    if not path.is_file():
        raise VlcliError("W312", str(path), "there is no tokenizer", "name its file with tokenizer_file")
    return SelfiesTokenizer.load(path)


class SelformerEncoder(Encoder):
    """Molecules to vectors. Items are `Molecule`s; inputs `input_ids` and `attention_mask` `[B, T]`.

    Args:
        checkpoint: a model folder; its config, tokenizer and notation count, and the sizes below do not.
        tokenizer: `selfies_symbol`, `official_bpe`, `official_byte_level` or `smiles`.
        tokenizer_file: a tokenizer to use instead.
        vocabulary, width, layers, heads, hidden, max_length, dropout: see `NetworkOptions`.

    Raises:
        VlcliError: W codes for what can not be loaded.
    """

    modality = "molecules"

    def __init__(
        self, checkpoint: str = "", tokenizer: Kind = "selfies_symbol", tokenizer_file: str = "", vocabulary: int = 800,
        width: int = 128, layers: int = 2, heads: int = 4, hidden: int = 0, max_length: int = 128, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        from transformers import RobertaModel

        self.notation = "smiles" if tokenizer == "smiles" else "selfies"
        if checkpoint:
            folder = model_folder(checkpoint)
            self.read_structure(folder, tokenizer_file)
            self.roberta = load_body(folder)
            return
        if tokenizer_file:
            self.tokenizer = read_tokenizer(Path(), tokenizer_file)
        else:
            self.tokenizer = default_tokenizer(tokenizer, vocabulary)
        self.config = make_config(
            self.tokenizer, vocabulary=vocabulary, width=width, layers=layers, heads=heads, hidden=hidden,
            max_length=max_length, dropout=dropout,
        )  # fmt: skip
        self.dim, self.max_length = width, max_length
        self.roberta = RobertaModel(self.config, add_pooling_layer=False)

    def read_structure(self, folder: Path, tokenizer_file: str = "") -> None:
        """Config, tokenizer and notation of a folder.

        Raises:
            VlcliError: W313 when it is of another architecture, W312 without a tokenizer.
        """
        from transformers import RobertaConfig

        config = read_config(folder)
        if config.get("model_type") != "roberta":
            raise VlcliError("W313", str(folder), f"is a '{config.get('model_type')}', not a RoBERTa",
                             "name a SELFormer checkpoint")  # fmt: skip
        self.config = RobertaConfig.from_dict(config)
        self.tokenizer = read_tokenizer(folder, tokenizer_file)
        if self.tokenizer.vocab_size > self.config.vocab_size:
            what = f"has {self.tokenizer.vocab_size} tokens for {self.config.vocab_size} rows of the embedding"
            raise VlcliError("W312", str(folder / TOKENIZER_FILE), what, "use the tokenizer that belongs to the model")
        if (folder / NOTATION_FILE).is_file():
            content = read_json(folder / NOTATION_FILE)
            self.notation = str(content.get("notation", "selfies")) if isinstance(content, dict) else "selfies"
        self.dim = int(self.config.hidden_size)
        self.max_length = int(self.config.max_position_embeddings) - int(self.config.pad_token_id or 0) - 1

    @classmethod
    def restore(cls, folder: Path, **options: Any) -> Self:
        """The structure from saved assets, weights random until they are loaded."""
        from transformers import RobertaModel

        encoder = cls.__new__(cls)
        Encoder.__init__(encoder)
        encoder.notation = "selfies"
        encoder.read_structure(folder)
        encoder.roberta = RobertaModel(encoder.config, add_pooling_layer=False)
        return encoder.eval()

    def text(self, molecule: Molecule | str) -> str:
        """The string that the tokenizer reads.

        Raises:
            VlcliError: D621 when the molecule can not be written in SELFIES and the model reads nothing else.
        """
        if isinstance(molecule, str):
            return molecule
        if self.notation == "smiles":
            return molecule.smiles
        if molecule.selfies is None:
            raise VlcliError("D621", molecule.smiles, "can not be written in SELFIES", "take it out of the data")
        return molecule.selfies

    def token_ids(self, texts: Sequence[str]) -> list[Tensor]:
        """Ids `[T]` of each string, `<s>` and `</s>` included, cut at `max_length`."""
        rows = self.tokenizer.encode_batch(list(texts), max_length=self.max_length) if texts else None
        if rows is None:
            return []
        ids, mask = torch.from_numpy(rows["input_ids"]), torch.from_numpy(rows["attention_mask"]).bool()
        return [row[real].clone() for row, real in zip(ids, mask, strict=True)]

    def preprocess(self, item: Any) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` `[T]`."""
        return self.preprocess_many([item])[0]

    def preprocess_many(self, items: Sequence[Any]) -> list[dict[str, Tensor]]:
        """All molecules in one call of the tokenizer."""
        rows = self.token_ids([self.text(item) for item in items])
        return [{"input_ids": row, "attention_mask": torch.ones_like(row)} for row in rows]

    def pad(self, rows: Sequence[Tensor]) -> dict[str, Tensor]:
        """Rows of ids to `input_ids` and `attention_mask` `[B, T]`."""
        ids = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=self.tokenizer.pad_id)
        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(ids.shape[1])[None, :] < lengths[:, None]
        return {"input_ids": ids, "attention_mask": mask.long()}

    def length(self, inputs: dict[str, Tensor]) -> int:
        """Tokens."""
        return int(inputs["input_ids"].shape[-1])

    def states(self, inputs: dict[str, Tensor]) -> Tensor:
        """States of all tokens `[B, T, D]`."""
        mask = inputs["attention_mask"]
        # A collator that knows nothing of this tokenizer pads with 0; the model finds padding by its id.
        ids = inputs["input_ids"].masked_fill(mask == 0, self.tokenizer.pad_id)
        found: Tensor = self.roberta(input_ids=ids, attention_mask=mask).last_hidden_state
        return found

    def parts(self, inputs: dict[str, Tensor]) -> Iterator[tuple[slice, Tensor]]:
        """States of eight rows at a time, each part without the columns that are padding in all its rows.

        With rows sorted by length this saves most of the padding; the states are those of the whole batch.
        """
        mask = inputs["attention_mask"]
        for start in range(0, len(mask), ROWS_PER_PART):
            rows = slice(start, start + ROWS_PER_PART)
            width = int(mask[rows].sum(1).max())
            yield (
                rows,
                self.states({"input_ids": inputs["input_ids"][rows, :width], "attention_mask": mask[rows, :width]}),
            )

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """The mean over the tokens `[B, D]`, and the tokens."""
        tokens = self.states(inputs)
        return Encoded(mean_over_tokens(tokens, inputs["attention_mask"]), tokens, inputs["attention_mask"].bool())

    def save_assets(self, folder: Path) -> None:
        """Write config, tokenizer and notation."""
        self.config.save_pretrained(folder)
        self.tokenizer.save(folder / TOKENIZER_FILE)
        content = {"schema": 1, "notation": self.notation}
        (folder / NOTATION_FILE).write_text(json.dumps(content) + "\n", encoding="utf-8")


def mean_over_tokens(tokens: Tensor, mask: Tensor) -> Tensor:
    """States `[B, T, D]` and mask `[B, T]` to the mean `[B, D]` over the tokens that are there, specials included."""
    weights = mask.unsqueeze(-1).to(tokens.dtype)
    return (tokens * weights).sum(1) / weights.sum(1).clamp(min=1)


def load_body(folder: Path) -> Any:
    """The `RobertaModel` of a checkpoint with or without a head."""
    import transformers

    kind = (read_config(folder).get("architectures") or [""])[0]
    if kind in ("RobertaForMaskedLM", "RobertaForSequenceClassification"):
        return load_pretrained(getattr(transformers, kind), folder).roberta
    # No checkpoint of SELFormer needs the pooler, and most do not hold it.
    made = partial(transformers.RobertaModel.from_pretrained, add_pooling_layer=False)
    return load_pretrained(SimpleNamespace(from_pretrained=made), folder)


def default_tokenizer(kind: Kind, size: int) -> SelfiesTokenizer:
    """A tokenizer for a model that no data was shown to: selfies' own alphabet, or the usual tokens of SMILES."""
    import selfies

    if kind == "smiles":
        corpus = SMILES_TOKENS.split()
    else:
        corpus = sorted(selfies.get_semantic_robust_alphabet())
    return SelfiesTokenizer.train(corpus, kind=kind, size=size)
