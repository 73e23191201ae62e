"""Options of SELFormer and its baseline (no torch here: recipes are checked without it)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from vlcli_molecules.options import Options, as_tuple

TokenizerKind = Literal["selfies_symbol", "official_bpe", "official_byte_level", "smiles"]
TaskKind = Literal["auto", "mlm", "regression", "classification", "multilabel"]
Corpus = Literal["molecules", "random"]


Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
Numbers = Annotated[tuple[float, ...], BeforeValidator(as_tuple), Field(min_length=1)]


class NetworkOptions(Options):
    """Tokenizer and sizes of the transformer. The released model: width 768, layers 12, heads 4, hidden 3072."""

    tokenizer: TokenizerKind = Field("selfies_symbol", description="One SELFIES symbol a token; the released "
                                     "byte-level cut, which shreds symbols; or SMILES.")  # fmt: skip
    tokenizer_file: str = Field("", description="A tokenizer.json to use instead of one learnt from the data.")
    vocabulary: int = Field(800, ge=16, description="Rows of the embedding; a learnt tokenizer has no more tokens.")
    width: int = Field(128, ge=8, description="Width of the states.")
    layers: int = Field(2, ge=1, description="Transformer layers.")
    heads: int = Field(4, ge=1, description="Attention heads; divide the width.")
    hidden: int = Field(0, ge=0, description="Width of the feed-forward layers; 0: four times the width.")
    max_length: int = Field(128, ge=8, le=4096, description="Tokens; longer strings are cut.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout in the transformer and its head.")


class EncoderOptions(NetworkOptions):
    """Options of the encoder `molecules/selformer`."""

    checkpoint: str = Field("", description="A model folder of a run, or a Hugging Face folder of a RoBERTa; its "
                            "sizes and tokenizer then count.")  # fmt: skip


class SelformerOptions(NetworkOptions):
    """Options of the method `molecules/selformer`."""

    start: str = Field("", description="Begin with this model: a run's folder, or a Hugging Face folder.")
    task: TaskKind = Field("auto", description="mlm pre-trains alone; auto looks at the targets' values.")
    targets: Names = Field((), description="Columns to predict; default: all that the data set names as targets.")
    scale: bool = Field(True, description="Regression: train on standardised targets.")
    mask_probability: float = Field(0.15, gt=0, lt=1, description="Share of the tokens to guess.")
    pretraining_steps: int = Field(0, ge=0, description="Steps of masked-symbol training before a property task, of "
                                   "the run's steps.")  # fmt: skip
    pretraining_data: dict[str, Any] = Field(default_factory=dict, description="The molecules to pre-train and to "
                                             "learn the tokenizer on: `use` and the data set's options.")  # fmt: skip
    pretraining_batch: int = Field(32, ge=1, description="Batch size of that stage.")
    pretraining_lr_scale: float = Field(1.0, gt=0, description="Multiplies the learning rate in that stage.")
    corpus: Corpus = Field("molecules", description="random: pre-train on random symbols, a negative control.")
    corruption: float = Field(0.15, gt=0, lt=1, description="Share of the symbols that the robustness test changes.")
    corrupted_copies: int = Field(5, ge=0, description="Corrupted strings for each test molecule; 0 skips the test.")


class RidgeOptions(Options):
    """Options of the baseline `molecules/fingerprint-ridge`."""

    targets: Names = Field((), description="Columns to predict; default: all that the data set names as targets.")
    radius: int = Field(2, ge=0, le=6, description="Of the Morgan fingerprint, in bonds.")
    bits: int = Field(2048, ge=64, le=65_536, description="Width of the fingerprint.")
    alphas: Numbers = Field((0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0), description="Penalties; validation chooses.")


class LogpOptions(Options):
    """Options of the data set `molecules/nci-logp`."""

    labels: int = Field(200, ge=2, description="Training examples.")


class EsolOptions(Options):
    """Options of the data set `molecules/esol`."""

    path: str = Field("", description="MoleculeNet's delaney-processed.csv.")
