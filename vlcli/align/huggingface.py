"""Spaces over Hugging Face checkpoints: CLIP, SigLIP, SigLIP 2, ALIGN and CLAP with both towers, and text encoders.

The features are those of transformers' own `get_image_features`, `get_text_features` and `get_audio_features`; items
are prepared by the checkpoint's own image processor, tokenizer or feature extractor.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from vlcli.align.checkpoints import checkpoint_sha256, load_pretrained, open_checkpoint
from vlcli.align.encoder import Encoded, Encoder
from vlcli.align.space import Space, Tower
from vlcli.align.text_encoder import TextEncoder, token_limit
from vlcli.errors import VlcliError
from vlcli.runtime.tensors import system_errors

if TYPE_CHECKING:
    from vlcli.registry import Registry

# These text towers were trained on texts padded to the full length, without a mask.
FULL_LENGTH_TYPES = ("siglip", "siglip2")


def load_model(folder: Path) -> Any:
    """The whole two-tower model of a checkpoint folder."""
    from transformers import AutoModel

    return load_pretrained(AutoModel, folder)


def one_side(model: Any, prefixes: tuple[str, ...]) -> Any:
    """The model without the modules of its other side; the weights are shared, not copied."""
    side = copy.copy(model)
    side._modules = {name: module for name, module in model._modules.items() if name.startswith(prefixes)}
    side._parameters = {}
    return side


class DualEncoder(Encoder):
    """One side of a two-tower checkpoint; subclasses say which.

    Args:
        checkpoint: a folder, or a hub name.

    Raises:
        VlcliError: a W code when the checkpoint is missing or damaged.
    """

    prefixes: ClassVar[tuple[str, ...]]
    preparer: ClassVar[str]
    """Name of the transformers auto class that prepares items."""
    model: nn.Module

    def __init__(self, checkpoint: str) -> None:
        super().__init__()
        folder = open_checkpoint(checkpoint)
        self.set_up(load_model(folder), folder)
        self._reference = {"source": f"hf:{checkpoint}", "sha256": checkpoint_sha256(folder)}

    @classmethod
    def of_model(cls, model: Any, folder: Path, reference: dict[str, str]) -> Self:
        """One side of a model that is loaded already."""
        encoder = cls.__new__(cls)
        Encoder.__init__(encoder)
        encoder.set_up(model, folder)
        encoder._reference = dict(reference)
        return encoder

    @classmethod
    def restore(cls, folder: Path, **options: Any) -> Self:
        """The structure from saved assets, weights random until they are loaded."""
        from transformers import AutoConfig, AutoModel

        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return cls.of_model(AutoModel.from_config(config), folder, {})

    def set_up(self, model: Any, folder: Path) -> None:
        """Keep one side of the model and load what prepares the items."""
        import transformers

        self.model = one_side(model, self.prefixes)
        self.config: Any = model.config
        self.dim = self.width()
        try:
            self.prepare: Any = getattr(transformers, self.preparer).from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
            reason = (str(error).strip().splitlines() or [""])[0]
            raise VlcliError("W204", str(folder), f"what prepares its inputs can not be loaded ({reason})",
                             "restore the checkpoint from its source") from error  # fmt: skip
        self.eval()

    def width(self) -> int:
        """Width of the features."""
        return int(self.config.projection_dim)

    def reference(self) -> dict[str, str] | None:
        """The checkpoint and the hash of its files."""
        return dict(self._reference) or None

    def save_assets(self, folder: Path) -> None:
        """The config, and what prepares the items."""
        with system_errors(folder):
            self.config.save_pretrained(folder)
            self.prepare.save_pretrained(folder)


class ImageSide(DualEncoder):
    """The image side. Items are RGB `PIL.Image`s; inputs are what the checkpoint's image processor gives."""

    modality = "images"
    prefixes = ("vision", "visual")
    preparer = "AutoImageProcessor"

    def width(self) -> int:
        """SigLIP has no projection; ALIGN's image side is as wide as its network."""
        if self.config.model_type in FULL_LENGTH_TYPES:
            return int(self.config.vision_config.hidden_size)
        if self.config.model_type == "align":
            return int(self.config.vision_config.hidden_dim)
        return super().width()

    def preprocess(self, item: Any) -> dict[str, Tensor]:
        """A picture to `pixel_values` (SigLIP 2: patches, their mask and the grid's shape)."""
        return {name: tensor[0] for name, tensor in self.prepare(images=item, return_tensors="pt").items()}

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """`pixel_values` `[B, 3, H, W]` to features `[B, D]` and tokens `[B, T, D_hidden]`."""
        output = self.model.get_image_features(**inputs)  # type: ignore[operator]
        mask = inputs.get("pixel_attention_mask")
        return Encoded(
            output.pooler_output, grid_tokens(output.last_hidden_state), None if mask is None else mask.bool()
        )


class TextSide(DualEncoder):
    """The text side. Items are strings; inputs are `input_ids` (and `attention_mask`) `[B, T]`."""

    modality = "text"
    prefixes = ("text",)
    preparer = "AutoTokenizer"

    def set_up(self, model: Any, folder: Path) -> None:
        """Also find how many tokens the model takes."""
        super().set_up(model, folder)
        self.full = self.config.model_type in FULL_LENGTH_TYPES
        self.max_length = token_limit(self.prepare, self.config.text_config.to_dict(), None, None)

    def width(self) -> int:
        """SigLIP's head has a width of its own."""
        if self.config.model_type in FULL_LENGTH_TYPES:
            text = self.config.text_config
            return int(getattr(text, "projection_size", None) or text.hidden_size)
        return super().width()

    def preprocess(self, item: Any) -> dict[str, Tensor]:
        """A string to `input_ids` `[T]`."""
        return self.preprocess_many([item])[0]

    def preprocess_many(self, items: Sequence[Any]) -> list[dict[str, Tensor]]:
        """All texts in one call of the tokenizer."""
        texts = [str(item) for item in items]
        padding = "max_length" if self.full else False
        rows = self.prepare(texts, truncation=True, max_length=self.max_length, padding=padding)
        names = ["input_ids"] if self.full else [name for name in rows if name in ("input_ids", "attention_mask")]
        return [{name: torch.tensor(rows[name][i], dtype=torch.long) for name in names} for i in range(len(texts))]

    def length(self, inputs: dict[str, Tensor]) -> int:
        """Number of tokens."""
        return int(inputs["input_ids"].shape[-1])

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """`input_ids` `[B, T]` to features `[B, D]` and tokens `[B, T, D_hidden]`."""
        output = self.model.get_text_features(**inputs)  # type: ignore[operator]
        mask = inputs.get("attention_mask")
        return Encoded(output.pooler_output, output.last_hidden_state, None if mask is None else mask.bool())


class AudioSide(DualEncoder):
    """The audio side of CLAP. Items are `(samples, rate)`: mono float32 `[N]` and its rate in Hz.

    Clips longer than the model's window (10 s) are cut to their middle: the feature extractor itself would crop at
    random, and the same file must give the same vector.
    """

    modality = "speech"
    prefixes = ("audio",)
    preparer = "AutoFeatureExtractor"

    def preprocess(self, item: Any) -> dict[str, Tensor]:
        """A clip to `input_features` `[C, T, 64]` and `is_longer` `[1]`."""
        samples, rate = item
        wanted = int(self.prepare.sampling_rate)
        samples = resampled(np.asarray(samples, dtype=np.float32).reshape(-1), int(rate), wanted)
        window = int(self.prepare.nb_max_samples)
        start = max(0, (len(samples) - window) // 2)
        features = self.prepare(samples[start : start + window], sampling_rate=wanted, return_tensors="pt")
        return {name: tensor[0] for name, tensor in features.items()}

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """`input_features` `[B, C, T, 64]` to features `[B, D]` and tokens `[B, T', D_hidden]`."""
        output = self.model.get_audio_features(**inputs)  # type: ignore[operator]
        return Encoded(output.pooler_output, grid_tokens(output.last_hidden_state))


def grid_tokens(hidden: Tensor) -> Tensor:
    """`[B, T, D]` as it is, `[B, D, H, W]` as `[B, H * W, D]`."""
    return hidden.flatten(2).transpose(1, 2) if hidden.ndim == 4 else hidden


def resampled(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Samples at another rate in Hz (polyphase filter).

    Raises:
        VlcliError: D330 when the clip is empty or its rate is not positive.
    """
    if rate <= 0 or samples.size == 0:
        raise VlcliError("D330", "", f"a clip of {samples.size} samples at {rate} Hz can not be embedded")
    if rate == wanted:
        return samples
    from scipy.signal import resample_poly

    divisor = math.gcd(rate, wanted)
    return np.asarray(resample_poly(samples, wanted // divisor, rate // divisor), dtype=np.float32)


def dual(registry: Registry, device: torch.device, *, checkpoint: str) -> Space:
    """The space of a CLIP, SigLIP, SigLIP 2, ALIGN or CLAP checkpoint."""
    folder = open_checkpoint(checkpoint)
    model = load_model(folder)
    reference = {"source": f"hf:{checkpoint}", "sha256": checkpoint_sha256(folder)}
    other: type[DualEncoder] = AudioSide if model.config.model_type == "clap" else ImageSide
    names = {ImageSide: "core/hf-image", AudioSide: "core/hf-audio", TextSide: "core/hf-text"}
    towers = {
        side.modality: Tower(
            side.of_model(model, folder, reference), name=names[side], options={"checkpoint": checkpoint}
        )
        for side in (other, TextSide)
    }
    scale, bias = temperature(model)
    return Space(f"hf:{checkpoint}", towers, logit_scale=scale, logit_bias=bias).to(device)


def temperature(model: Any) -> tuple[float, float | None]:
    """Logarithm of the factor on cosines, and the bias: ALIGN divides by a temperature, CLAP has a scale a side."""
    kind = model.config.model_type
    if kind == "align":
        return -math.log(max(model.temperature.item(), 1e-6)), None
    if kind == "clap":
        return model.logit_scale_a.item(), None
    return model.logit_scale.item(), model.logit_bias.item() if kind in FULL_LENGTH_TYPES else None


def sentences(
    registry: Registry, device: torch.device, *, checkpoint: str, max_length: int | None = None,
    pooling: str | None = None,
) -> Space:  # fmt: skip
    """The space of a text encoder with sentence-transformers pooling."""
    options = {"checkpoint": checkpoint, "max_length": max_length, "pooling": pooling}
    tower = Tower(TextEncoder(checkpoint, max_length, pooling), name="core/hf-sentences", options=options)
    return Space(f"hf:{checkpoint}", {"text": tower}).to(device)
