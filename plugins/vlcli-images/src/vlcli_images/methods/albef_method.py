"""ALBEF as a method: its two encoders as the towers of a space, its model as the training step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vlcli.align.encoder import Encoded, Encoder
from vlcli.align.momentum import MomentumCopy
from vlcli.align.projection import Linear
from vlcli.align.space import Space, Tower
from vlcli.align.vocabulary import CLS, MASK, PAD, SEP, load_tokenizer, save_tokenizer, train_word_tokenizer
from vlcli.errors import VlcliError
from vlcli.train.batches import Batch
from vlcli.train.method import Method, Setup, Stage, StepState
from vlcli_images.methods.albef import Albef
from vlcli_images.methods.albef_layers import AlbefConfig, ImageEncoder, TextEncoder

if TYPE_CHECKING:
    from tokenizers import Tokenizer


# 0.02 at a width of 768 keeps signals alive; at 64 attention would start as good as silent.
SMALL_INIT_STD = 0.1


class AlbefImage(Encoder):
    """The vision transformer; pooled is the class token `[B, width]`, tokens all states.

    Args:
        size: side of the square that pictures become. patch: side of a patch.
        width, layers, heads: of the transformer.
    """

    modality = "images"

    def __init__(self, size: int = 32, patch: int = 8, width: int = 64, layers: int = 3, heads: int = 4) -> None:
        super().__init__()
        self.size, self.dim, self.min_side = size, width, size
        self.sizes: dict[str, Any] = {"image_size": size, "patch": patch, "image_width": width, "image_layers": layers,
                      "image_heads": heads, "init_std": SMALL_INIT_STD}  # fmt: skip
        self.network = ImageEncoder(AlbefConfig(**self.sizes))

    def preprocess(self, item: Any) -> dict[str, Tensor]:
        """`pixels` `[3, size, size]` in [-1, 1]."""
        import numpy as np

        image = item if item.size == (self.size, self.size) else item.resize((self.size, self.size))
        pixels = torch.from_numpy(np.asarray(image.convert("RGB"), np.float32).transpose(2, 0, 1).copy())
        return {"pixels": pixels / 127.5 - 1}

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """Class token and states."""
        states = self.network(inputs["pixels"])
        return Encoded(states[:, 0], states)


class AlbefText(Encoder):
    """The text transformer below its fusion layers; pooled is the class token.

    Args:
        vocabulary_size: rows of the embedding, filled by the training captions' words.
        width, layers, heads, hidden: of the transformer; fusion_layer: the first layer that sees the image.
        max_words: longer texts are cut.
        image_width: width of the image states that the fusion layers attend to.
    """

    modality = "text"

    def __init__(
        self, vocabulary_size: int = 1000, width: int = 64, layers: int = 4, heads: int = 4, hidden: int = 128,
        fusion_layer: int = 2, max_words: int = 64, dropout: float = 0.0, image_width: int = 64,
    ) -> None:  # fmt: skip
        super().__init__()
        self.dim, self.max_words, self.vocabulary_size = width, max_words, vocabulary_size
        self.tokenizer: Tokenizer | None = None
        self.sizes: dict[str, Any] = {
            "vocabulary": vocabulary_size, "text_width": width, "text_layers": layers, "text_heads": heads,
            "text_hidden": hidden, "fusion_layer": fusion_layer, "max_tokens": max_words, "dropout": dropout,
            "image_width": image_width, "init_std": SMALL_INIT_STD,
        }  # fmt: skip
        self.network = TextEncoder(AlbefConfig(**self.sizes))

    def fit(self, items: list[Any]) -> None:
        """Learn the vocabulary."""
        self.tokenizer = train_word_tokenizer(items, self.vocabulary_size, wrap=True)

    def preprocess(self, item: str) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` `[T]`, class token first.

        Raises:
            VlcliError: W140 before a vocabulary was learnt or loaded.
        """
        if self.tokenizer is None:
            raise VlcliError("W140", "images/albef-text", "has no vocabulary yet", "train it by a recipe")
        ids = self.tokenizer.encode(item).ids[: self.max_words]
        return {"input_ids": torch.tensor(ids), "attention_mask": torch.ones(len(ids), dtype=torch.long)}

    def length(self, inputs: dict[str, Tensor]) -> int:
        """Tokens."""
        return len(inputs["input_ids"])

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """Class token and states."""
        mask = inputs["attention_mask"]
        states = self.network.text(inputs["input_ids"], mask)
        return Encoded(states[:, 0], states, mask.bool())

    def save_assets(self, folder: Path) -> None:
        """Write the tokenizer, once there is one."""
        if self.tokenizer is not None:
            save_tokenizer(self.tokenizer, folder)

    def load_assets(self, folder: Path) -> None:
        """Read the tokenizer."""
        self.tokenizer = load_tokenizer(folder, self.vocabulary_size)


class AlbefMethod(Method):
    """Pre-training with ITA, ITM and MLM, targets softened by a momentum model.

    Args:
        alpha: weight of the momentum model's targets at the end of the ramp; 0 switches distillation off.
        ramp: share of the run over which alpha grows from 0 (the paper: the first of 30 epochs).
        momentum: of the teacher. The paper's 0.995 belongs to long runs: in one of 900 steps such a teacher would stay
            where it began, so the default is smaller.
        queue: slots of each feature queue.
        dim: width of the joint space.
        terms: which losses are summed.
    """

    def __init__(
        self, alpha: float = 0.4, ramp: float = 1 / 3, momentum: float = 0.99, queue: int = 768, dim: int = 64,
        temperature: float = 0.07, mask_probability: float = 0.15, terms: tuple[str, ...] = ("ita", "itm", "mlm"),
    ) -> None:  # fmt: skip
        super().__init__()
        self.alpha, self.ramp, self.terms = alpha, ramp, terms
        self.sizes: dict[str, Any] = {"momentum": momentum, "queue": queue, "dim": dim, "temperature": temperature,
                      "mask_probability": mask_probability}  # fmt: skip

    def build(self, setup: Setup) -> None:
        """Make the model over the recipe's two towers, which must be ALBEF's own encoders.

        Raises:
            VlcliError: T101 when they are not.
        """
        given = setup.require_space("images/albef", "images", "text")
        image, text = given.tower("images").encoder, given.tower("text").encoder
        if isinstance(text, AlbefText) and text.sizes["image_width"] != image.dim:
            what = (
                f"the text tower fuses states of width {text.sizes['image_width']}, the image tower's are {image.dim}"
            )
            raise VlcliError("T101", "towers.text.options.image_width", what, f"set it to {image.dim}")
        if not isinstance(image, AlbefImage) or not isinstance(text, AlbefText):
            raise VlcliError("T101", "images/albef", "fuses inside its own encoders",
                             "use images/albef-image and images/albef-text as towers")  # fmt: skip
        sizes = {**text.sizes, **image.sizes, **self.sizes}
        config = AlbefConfig(mask_id=MASK, special_ids=(PAD, CLS, SEP), **sizes)
        self.albef = Albef(config)
        # The model moves into the towers' own networks, and the teacher starts as their copy.
        self.albef.online.visual_encoder, self.albef.online.text_encoder = image.network, text.network
        self.albef.momentum = MomentumCopy(self.albef.online, config.momentum)
        heads = {"images": self.albef.online.vision_proj, "text": self.albef.online.text_proj}
        towers = {}
        for name, projection in heads.items():
            tower = given.tower(name)
            head = Linear(tower.encoder.dim, config.dim, bias=True)
            # One module in two places: what training moves is what the space saves.
            head.linear = projection
            towers[name] = Tower(tower.encoder, head, tower.name, tower.options)
        self.space = Space(given.name, towers)
        self.space.logit_scale.requires_grad_(False)
        self.space.logit_scale.stays_frozen = True  # type: ignore[attr-defined]

    def stages(self) -> list[Stage]:
        """One stage; the momentum copy moves by itself."""
        return [Stage(frozen=("albef.momentum.*",))]

    def training_step(self, batch: Batch, state: StepState, optimizer: str = "main") -> dict[str, Tensor]:
        """The three losses of a batch."""
        ramp = self.ramp * state.stage_steps
        alpha = self.alpha * min(1.0, state.step / ramp) if ramp else self.alpha
        text = batch.inputs["text"]
        losses = self.albef.pretraining_losses(
            batch.inputs["images"]["pixels"], text["input_ids"], text["attention_mask"], alpha,
            generator=state.generator,
        )  # fmt: skip
        return {name: getattr(losses, name) for name in self.terms}

    @torch.no_grad()
    def after_step(self, state: StepState) -> None:
        """The space's scale is 1 / tau."""
        self.space.logit_scale.copy_(self.albef.temperature().log())

    def result_space(self) -> Space:
        """The trained space."""
        return self.space
