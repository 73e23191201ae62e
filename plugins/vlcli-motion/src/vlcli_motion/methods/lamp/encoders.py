"""The two sides of a trained LaMP as encoders, so that it is a space for every verb."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from vlcli.align.encoder import Encoded, Encoder
from vlcli.align.vocabulary import load_tokenizer, save_tokenizer, train_word_tokenizer
from vlcli.api import VlcliError
from vlcli_motion.features import joints_to_features
from vlcli_motion.methods.lamp.config import STRIDE, LampConfig
from vlcli_motion.methods.lamp.model import Lamp
from vlcli_motion.methods.lamp.options import SizeOptions
from vlcli_motion.methods.lamp.qformer import QFormer
from vlcli_motion.methods.lamp.text import encode_texts

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from vlcli_motion.motion import Motion


def motion_features(motion: Motion, config: LampConfig, where: str = "motion") -> Tensor:
    """Features `[T, F]` of a motion, at least one token long; frames beyond `max_tokens` are cut.

    Raises:
        VlcliError: T352 when the skeleton gives another number of features.
    """
    features = torch.from_numpy(joints_to_features(motion.joints)).float()[: config.max_tokens * STRIDE]
    if features.shape[1] != config.features:
        what = f"a frame has {features.shape[1]} features, the model takes {config.features}"
        raise VlcliError("T352", where, what, "set method.features, or use motions of one skeleton")
    if len(features) < STRIDE:
        features = torch.cat([features, features[-1:].expand(STRIDE - len(features), -1)])
    return features


class LampMotion(Encoder):
    """A motion by LaMP: pooled is the mean of the queries' unit features `[B, dim]`, tokens are these `[B, Q, dim]`.

    In training and in the paper's own retrieval a text is compared with the best query; a space has one vector for an
    item, and the released code returns this mean beside its losses.

    Args:
        model: the trained model itself; by default a new one of the given sizes.
        sizes: `SizeOptions`.
    """

    modality = "motion"

    def __init__(self, model: Lamp | None = None, **sizes: Any) -> None:
        super().__init__()
        self.config = model.config if model is not None else SizeOptions(**sizes).config()
        check_sizes(self.config)
        self.dim = self.config.dim
        self.lamp = model if model is not None else Lamp(self.config)

    def preprocess(self, item: Motion) -> dict[str, Tensor]:
        """`features` `[T, F]` and `attention_mask` `[T]`."""
        features = motion_features(item, self.config)
        return {"features": features, "attention_mask": torch.ones(len(features), dtype=torch.long)}

    def length(self, inputs: dict[str, Tensor]) -> int:
        """Frames."""
        return len(inputs["features"])

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """Mean of the unit query features, and these."""
        features = inputs["features"]
        mask = inputs.get("attention_mask")
        states = self.lamp.motion_states(features, None if mask is None else mask.bool())
        queries = self.lamp.motion_features(states)
        return Encoded(queries.mean(dim=1), queries)


class LampText(Encoder):
    """A text by LaMP: pooled is the projected first token `[B, dim]`, tokens are the states of all words.

    Args:
        model: the trained model itself; by default a new one of the given sizes.
        sizes: `SizeOptions`.
    """

    modality = "text"

    def __init__(self, model: Lamp | None = None, **sizes: Any) -> None:
        super().__init__()
        self.config = model.config if model is not None else SizeOptions(**sizes).config()
        check_sizes(self.config)
        self.dim = self.config.dim
        self.tokenizer: Tokenizer | None = None
        self.qformer = model.qformer if model is not None else QFormer(self.config)
        self.text_proj = model.text_proj if model is not None else torch.nn.Linear(self.config.width, self.config.dim)

    def fit(self, items: list[Any]) -> None:
        """Learn the vocabulary."""
        self.tokenizer = train_word_tokenizer(items, self.config.vocabulary, wrap=True)

    def preprocess(self, item: str) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` `[L]`, class token first.

        Raises:
            VlcliError: W140 before a vocabulary was learnt or loaded.
        """
        if self.tokenizer is None:
            raise VlcliError("W140", "motion/lamp-text", "has no vocabulary yet", "train it by a recipe")
        ids, mask = encode_texts(self.tokenizer, [item], self.config.max_words)
        return {"input_ids": ids[0], "attention_mask": mask[0].long()}

    def length(self, inputs: dict[str, Tensor]) -> int:
        """Tokens."""
        return len(inputs["input_ids"])

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """First token in the joint space, and all states."""
        mask = inputs["attention_mask"].bool()
        states = self.qformer.read(inputs["input_ids"], mask)
        return Encoded(self.text_proj(states[:, 0]), states, mask)

    def save_assets(self, folder: Path) -> None:
        """Write the tokenizer, once there is one."""
        if self.tokenizer is not None:
            save_tokenizer(self.tokenizer, folder)

    def load_assets(self, folder: Path) -> None:
        """Read the tokenizer."""
        self.tokenizer = load_tokenizer(folder, self.config.vocabulary)

    @classmethod
    def of(cls, model: Lamp, tokenizer: Tokenizer) -> Self:
        """The text side of a model."""
        encoder = cls(model)
        encoder.tokenizer = tokenizer
        return encoder


def check_sizes(config: LampConfig) -> None:
    """Refuse sizes that do not go together.

    Raises:
        VlcliError: T353.
    """
    if config.width % config.heads:
        raise VlcliError("T353", "heads", f"{config.heads} heads do not divide the width {config.width}",
                         "choose a divisor")  # fmt: skip
