"""The generator `motion/lamp`: a sentence and a length in, a motion out.

The text's condition comes from the frozen LaMP (or from the static baseline, whichever the run trained with), the
masked transformer fills the motion's tokens in, the VQ-VAE's decoder makes features of them, and these give joints.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from torch import Tensor

from vlcli.align.checkpoints import read_json
from vlcli.align.vocabulary import UNK
from vlcli.align.weights import read_safetensors
from vlcli.errors import VlcliError
from vlcli.runtime.tensors import save_tensors
from vlcli_motion.features import features_to_joints, place
from vlcli_motion.methods.lamp.config import STRIDE, LampConfig
from vlcli_motion.methods.lamp.find import GENERATOR_FILE, find_model
from vlcli_motion.methods.lamp.generation_options import GeneratorOptions
from vlcli_motion.methods.lamp.masked_transformer import MaskedTransformer, fill_in
from vlcli_motion.methods.lamp.model import Lamp
from vlcli_motion.methods.lamp.saved import MAX_SIZE, load_lamp
from vlcli_motion.motion import Motion
from vlcli_motion.skeleton import skeleton_of

WEIGHTS_FILE = "generator.safetensors"
FPS = 20.0
"""Frames a second of the features."""
RESTORE = "restore the folder, or train the model again"

Size = Annotated[int, Field(ge=1, le=MAX_SIZE)]


class GeneratorFile(BaseModel):
    """`generator.json`: sizes, bounded, and how motions are sampled unless the user says otherwise."""

    model_config = ConfigDict(extra="forbid", strict=True)
    format_version: Literal[1] = Field(alias="schema")
    attention: Literal["causal", "bidirectional", "official"]
    code_width: Size
    width: Size
    layers: Annotated[int, Field(ge=1, le=96)]
    heads: Size
    feed_forward: Annotated[int, Field(ge=1, le=4 * MAX_SIZE)]
    guidance: Annotated[float, Field(ge=0)]
    steps: Annotated[int, Field(ge=1, le=1000)]
    temperature: Annotated[float, Field(ge=0)]
    threshold: Annotated[float, Field(ge=0, lt=1)]


def new_transformer(
    options: GeneratorOptions | GeneratorFile, config: LampConfig, dropout: float = 0.0
) -> MaskedTransformer:
    """A masked transformer of these sizes over LaMP's codebook and condition."""
    return MaskedTransformer(
        config.codes, config.width, options.code_width, options.width, options.layers, options.heads,
        options.feed_forward, dropout, options.attention,
    )  # fmt: skip


def save_generator(transformer: MaskedTransformer, options: GeneratorOptions, folder: Path) -> None:
    """Write `generator.json` and `generator.safetensors` beside LaMP's files."""
    fields = {name: getattr(options, name) for name in GeneratorFile.model_fields if name != "format_version"}
    (folder / GENERATOR_FILE).write_text(json.dumps({"schema": 1} | fields, indent=2) + "\n", encoding="utf-8")
    tensors = {name: value.detach().cpu().contiguous() for name, value in transformer.state_dict().items()}
    save_tensors(tensors, folder / WEIGHTS_FILE, {"format": "pt"})


def load_generator(folder: Path, config: LampConfig) -> tuple[MaskedTransformer, GeneratorFile]:
    """What `save_generator` wrote, in evaluation mode.

    Raises:
        VlcliError: W334 when the folder holds no generator, W335 when a file is damaged, further W codes for weights.
    """
    path = folder / GENERATOR_FILE
    if not path.is_file():
        raise VlcliError("W334", str(folder), "holds no motion generator",
                         "train with method.generator.share above 0: vlcli run lamp-generation")  # fmt: skip
    try:
        content = TypeAdapter(GeneratorFile).validate_python(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise VlcliError("W335", str(path), f"{key + ': ' if key else ''}{first['msg']}", RESTORE) from error
    if content.width % content.heads:
        raise VlcliError("W335", str(path), f"{content.heads} heads do not divide the width {content.width}", RESTORE)
    with torch.device("meta"):
        # Without memory first: the file's header is compared with these shapes before anything is allocated.
        transformer = new_transformer(content, config)
    transformer.load_state_dict(read_safetensors(folder / WEIGHTS_FILE, transformer.state_dict()), assign=True)
    return transformer.eval(), content


@torch.no_grad()
def decode(lamp: Lamp, ids: Tensor, lengths: Tensor) -> list[Tensor]:
    """Token ids `[B, N]` and lengths `[B]` in tokens to features `[4 · length, F]` of each motion, on the CPU."""
    mask = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
    features = lamp.vq.decode(ids.masked_fill(~mask, 0), mask).cpu()
    return [rows[: length * STRIDE] for rows, length in zip(features, lengths.tolist(), strict=True)]


def own_seed(seed: int, prompt: str, repetition: int) -> int:
    """The seed of one motion: of the call's seed, its prompt, and how often that prompt came before in the call."""
    digest = hashlib.sha256(f"{seed}|{repetition}|{prompt}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 2**63


class LampGenerator:
    """Motions from sentences. A motion depends on its prompt, its place among equal prompts, and the seed alone.

    The arguments are the options of `MotionGeneratorOptions`; what is None is as the model was saved.

    Raises:
        VlcliError: W330 when no model is found, W334 when it has no generator, U813 for motions longer than it makes,
            other W codes for damaged files.
    """

    modality = "motion"

    def __init__(
        self, model: str | None = None, seconds: float = 4.0, guidance: float | None = None, steps: int | None = None,
        temperature: float | None = None, device: str = "cpu",
    ) -> None:  # fmt: skip
        from vlcli.runtime.device import resolve_device

        self.device = resolve_device(device)
        self.folder = find_model(None if model is None else Path(model), GENERATOR_FILE)
        self.saved = load_lamp(self.folder, self.device)
        config = self.saved.lamp.config
        self.transformer, defaults = load_generator(self.folder, config)
        self.transformer.to(self.device)
        self.guidance = defaults.guidance if guidance is None else guidance
        self.steps = defaults.steps if steps is None else steps
        self.temperature = defaults.temperature if temperature is None else temperature
        self.threshold = defaults.threshold
        self.tokens = max(1, round(seconds * FPS / STRIDE))
        if self.tokens > config.max_tokens:
            longest = config.max_tokens * STRIDE / FPS
            raise VlcliError("U813", f"{seconds:g} seconds", f"this model makes at most {longest:g}",
                             f"ask for {longest:g} seconds or fewer")  # fmt: skip

    def unknown_words(self, prompt: str) -> list[str]:
        """The words of a prompt that the model's vocabulary lacks."""
        words = self.saved.tokenizer.encode(prompt, add_special_tokens=False)
        return sorted({prompt[start:end] for number, (start, end) in zip(words.ids, words.offsets, strict=True)
                       if number == UNK})  # fmt: skip

    def generate(self, prompts: Sequence[str], *, seed: int = 0) -> list[Motion]:
        """One motion for each prompt, in their order; a prompt given twice gives two motions."""
        seen: Counter[str] = Counter()
        made = []
        for prompt in prompts:
            # One at a time: sums of floats, and so rare choices, would else depend on the size of the batch.
            made.append(self.motion(prompt, own_seed(seed, prompt, seen[prompt])))
            seen[prompt] += 1
        return made

    def motion(self, prompt: str, seed: int) -> Motion:
        """One motion."""
        generator = torch.Generator().manual_seed(seed)
        lengths = torch.tensor([self.tokens], device=self.device)
        ids = fill_in(
            self.transformer, self.saved.condition([prompt]), lengths, [generator], steps=self.steps,
            guidance=self.guidance, temperature=self.temperature, threshold=self.threshold,
        )  # fmt: skip
        return motion_of(decode(self.saved.lamp, ids, lengths)[0])


def motion_of(features: Tensor) -> Motion:
    """Features `[T, 263]` (or 251) as a motion with its feet on the floor."""
    joints = features_to_joints(features.numpy(), closing=True)
    skeleton = skeleton_of(joints.shape[1])
    return Motion(place(joints, skeleton).astype("float32"), FPS, skeleton.name)
