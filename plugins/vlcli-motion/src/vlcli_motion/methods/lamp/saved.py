"""LaMP on disk.

    lamp.json           sizes, which text condition the generator was trained with, metrics
    lamp.safetensors    the model, VQ-VAE included; and the static condition, where there is one
    tokenizer.json      words

Generator and captioner write their own files beside these.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from torch import Tensor, nn

from vlcli.align.checkpoints import read_json
from vlcli.align.vocabulary import load_tokenizer, save_tokenizer
from vlcli.align.weights import read_safetensors
from vlcli.api import VlcliError
from vlcli.runtime.tensors import save_tensors
from vlcli_motion.methods.lamp.config import LampConfig
from vlcli_motion.methods.lamp.model import Lamp
from vlcli_motion.methods.lamp.static import StaticCondition
from vlcli_motion.methods.lamp.text import encode_texts

if TYPE_CHECKING:
    from tokenizers import Tokenizer

JSON_FILE, WEIGHTS_FILE = "lamp.json", "lamp.safetensors"
MODEL_FOLDER = "model"
"""Where a run puts its model, inside its own folder."""
RESTORE = "restore the folder, or train the model again"
MAX_SIZE = 8192
"""Largest size that a file may ask for: the paper's largest is a tenth of it, but for the vocabulary."""

Size = Annotated[int, Field(ge=1, le=MAX_SIZE)]


class ConfigFile(BaseModel):
    """The sizes in `lamp.json`, bounded: a damaged file must not ask for all memory."""

    model_config = ConfigDict(extra="forbid", strict=True)
    features: Size
    codes: Size
    code_dim: Size
    vq_width: Size
    vq_depth: Annotated[int, Field(ge=1, le=12)]
    dilation: Annotated[int, Field(ge=1, le=8)]
    max_tokens: Size
    vocabulary: Annotated[int, Field(ge=1, le=200_000)]
    width: Size
    layers: Annotated[int, Field(ge=1, le=96)]
    heads: Size
    hidden: Annotated[int, Field(ge=1, le=4 * MAX_SIZE)]
    cross_every: Size
    max_words: Size
    dim: Size
    dropout: Annotated[float, Field(ge=0, lt=1)]
    text_context: Literal["states", "embeddings"]
    init_std: Annotated[float, Field(gt=0)]


class LampFile(BaseModel):
    """`lamp.json`."""

    model_config = ConfigDict(extra="forbid", strict=True)
    format_version: Literal[1] = Field(alias="schema")
    config: ConfigFile
    condition: Literal["lamp", "static"]
    metrics: dict[str, float] = {}
    extra: dict[str, Any] = {}


@dataclass
class SavedLamp:
    """A trained model.

    Attributes:
        lamp: in evaluation mode. static: the baseline's condition, where the run trained with it.
        tokenizer: of the texts. folder: where the files are. content: of `lamp.json`.
    """

    lamp: Lamp
    static: StaticCondition | None
    tokenizer: Tokenizer
    folder: Path
    content: LampFile

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.lamp.log_scale.device

    @torch.no_grad()
    def condition(self, texts: Sequence[str]) -> Tensor:
        """`[B, D]` of texts, as the generator was trained with."""
        ids, mask = encode_texts(self.tokenizer, texts, self.lamp.config.max_words)
        model = self.lamp if self.static is None else self.static
        return model.text_condition(ids.to(self.device), mask.to(self.device))


def save_lamp(
    lamp: Lamp, tokenizer: Tokenizer, folder: Path, *, static: StaticCondition | None = None,
    metrics: dict[str, float] | None = None, extra: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Write the three files."""
    content = {
        "schema": 1, "config": asdict(lamp.config), "condition": "lamp" if static is None else "static",
        "metrics": metrics or {}, "extra": extra or {},
    }  # fmt: skip
    parts = nn.ModuleDict({"lamp": lamp} | ({} if static is None else {"static": static}))
    tensors = {name: value.detach().cpu().contiguous() for name, value in parts.state_dict().items()}
    save_tensors(tensors, folder / WEIGHTS_FILE, {"format": "pt"})
    save_tokenizer(tokenizer, folder)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / JSON_FILE).write_text(text, encoding="utf-8")


def lamp_folder(name: str | Path) -> Path:
    """The model inside a run's folder, or the folder itself.

    Raises:
        VlcliError: W321 when there is none.
    """
    path = Path(name).expanduser()
    for folder in (path, path / MODEL_FOLDER):
        if (folder / JSON_FILE).is_file():
            return folder
    if (path / "run.json").is_file():
        raise VlcliError("W321", str(name), "the run holds no LaMP model (yet)", "let it finish, or resume it")
    what = f"holds no {JSON_FILE}, so it is no LaMP model"
    raise VlcliError("W321", str(name), what, "train one: vlcli run lamp --out FOLDER, then name that FOLDER")


def load_lamp(name: str | Path, device: torch.device | str = "cpu") -> SavedLamp:
    """The model of a run or a folder, in evaluation mode.

    Raises:
        VlcliError: W321 when there is none, W322 when `lamp.json` is not what is written here; other W codes for
            damaged weights or words.
    """
    folder = lamp_folder(name)
    path = folder / JSON_FILE
    try:
        content = TypeAdapter(LampFile).validate_python(read_json(path))
        config = LampConfig(**content.config.model_dump())
        if config.width % config.heads:
            raise VlcliError("W322", str(path), f"{config.heads} heads do not divide the width {config.width}", RESTORE)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise VlcliError("W322", str(path), f"{key + ': ' if key else ''}{first['msg']}", RESTORE) from error
    with torch.device("meta"):
        # Without memory first: the file's header is compared with these shapes before anything is allocated.
        modules: dict[str, nn.Module] = {"lamp": Lamp(config)}
        if content.condition == "static":
            modules["static"] = StaticCondition(config)
    parts = nn.ModuleDict(modules)
    tensors = read_safetensors(folder / WEIGHTS_FILE, parts.state_dict())
    parts.load_state_dict(tensors, assign=True)
    parts.to(device).eval()
    lamp, static = modules["lamp"], modules.get("static")
    assert isinstance(lamp, Lamp) and (static is None or isinstance(static, StaticCondition))
    return SavedLamp(lamp, static, load_tokenizer(folder, config.vocabulary), folder, content)
