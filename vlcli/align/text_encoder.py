"""Text encoders with the pooling of sentence-transformers (arXiv:1908.10084) over any transformers model.

A folder is read as sentence-transformers wrote it (`modules.json`, `1_Pooling/config.json`, `2_Dense`, …); a folder
without these gets mean pooling.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from vlcli.align.checkpoints import checkpoint_sha256, load_pretrained, open_checkpoint, read_config, read_json
from vlcli.align.encoder import Encoded, Encoder
from vlcli.align.weights import read_safetensors
from vlcli.errors import VlcliError

POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
# Name in the files of sentence-transformers -> ours, in the order in which it concatenates them.
POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
ACTIVATIONS: dict[str, type[nn.Module]] = {
    name: getattr(nn, name) for name in ("Identity", "Tanh", "ReLU", "GELU", "Sigmoid", "SiLU")
}
ASSET_FILES = (
    "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model",
    "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json",
)  # fmt: skip
MAX_TOKENS_WITHOUT_LIMIT = 512
# These count positions from 2.
OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "mpnet")


@dataclass
class SentenceModules:
    """What a sentence-transformers folder says beyond the transformer itself.

    Attributes:
        poolings: names from `POOLINGS`, concatenated in this order.
        dense: folders of Dense modules, in order.
        normalise: whether a Normalize module ends the list; spaces normalise anyway.
        max_length: tokens, or None when not said.
        lower: lower-case the text before the tokenizer.
        prompt: put before every text.
        transformer: folder of the transformer itself.
    """

    poolings: tuple[str, ...] = ("mean",)
    dense: tuple[Path, ...] = ()
    normalise: bool = False
    max_length: int | None = None
    lower: bool = False
    prompt: str = ""
    transformer: Path = field(default_factory=Path)


def read_sentence_modules(folder: Path) -> SentenceModules:
    """Read `modules.json` and the configs that it names; without it: mean pooling.

    Raises:
        VlcliError: W210 when a module or pooling is of a kind that is not supported.
    """
    found = SentenceModules(transformer=folder)
    if (folder / "modules.json").is_file():
        dense: list[Path] = []
        for module in read_json(folder / "modules.json"):
            kind = str(module.get("type", "")).rpartition(".")[2]
            path = module_folder(folder, str(module.get("path", "")))
            if kind == "Transformer":
                found.transformer = path
            elif kind == "Pooling":
                found.poolings = read_poolings(path / "config.json")
            elif kind == "Dense":
                dense.append(path)
            elif kind == "Normalize":
                found.normalise = True
            elif kind != "Dropout":
                raise VlcliError("W210", str(folder / "modules.json"), f"the module '{kind}' is not supported",
                                 "use a model of Transformer, Pooling, Dense and Normalize")  # fmt: skip
        found.dense = tuple(dense)
    settings = found.transformer / "sentence_bert_config.json"
    if settings.is_file():
        values = read_json(settings)
        found.max_length, found.lower = values.get("max_seq_length"), bool(values.get("do_lower_case"))
    prompts = folder / "config_sentence_transformers.json"
    if prompts.is_file():
        values = read_json(prompts)
        found.prompt = str((values.get("prompts") or {}).get(values.get("default_prompt_name"), ""))
    return found


def module_folder(folder: Path, name: str) -> Path:
    """A module's folder; a name that leads out of the checkpoint is refused."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise VlcliError("W210", str(folder / "modules.json"), f"the path '{name}' leads out of the checkpoint")
    return path


def read_poolings(path: Path) -> tuple[str, ...]:
    """The pooling names in a Pooling module's config, old style (booleans) or new (`pooling_mode`)."""
    config = read_json(path)
    mode = config.get("pooling_mode")
    if mode is not None:
        names = tuple([mode] if isinstance(mode, str) else mode)
    else:
        names = tuple(name for key, name in POOLING_KEYS.items() if config.get(key))
    unknown = [name for name in names if name not in POOLINGS]
    if unknown or not names:
        raise VlcliError("W210", str(path), f"the pooling {unknown[0]!r} is not supported" if unknown else
                         "names no pooling", f"supported: {', '.join(POOLINGS)}")  # fmt: skip
    return names


def pool(tokens: Tensor, mask: Tensor, poolings: Sequence[str]) -> Tensor:
    """Token vectors `[B, T, D]` and mask `[B, T]` to `[B, D * len(poolings)]`, as sentence-transformers computes it."""
    weights = mask.unsqueeze(-1).to(tokens.dtype)
    pooled: list[Tensor] = []
    for name in poolings:
        if name == "cls":
            pooled.append(tokens[torch.arange(len(tokens), device=tokens.device), mask.int().argmax(1)])
        elif name == "max":
            pooled.append(tokens.masked_fill(weights == 0, float("-inf")).amax(1))
        elif name == "lasttoken":
            last = mask.shape[1] - 1 - mask.int().flip(1).argmax(1)
            pooled.append(tokens[torch.arange(len(tokens), device=tokens.device), last])
        else:
            scale = weights
            if name == "weightedmean":
                scale = weights * torch.arange(1, tokens.shape[1] + 1, device=tokens.device)[None, :, None]
            total, count = (tokens * scale).sum(1), scale.sum(1).clamp(min=1e-9)
            pooled.append(total / (count.sqrt() if name == "mean_sqrt_len_tokens" else count))
    return torch.cat(pooled, dim=1)


class Dense(nn.Module):
    """A Dense module of sentence-transformers: linear map and activation, `[B, D_in] -> [B, D_out]`."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        config = read_json(folder / "config.json")
        name = str(config.get("activation_function", "Tanh")).rpartition(".")[2]
        if name not in ACTIVATIONS:
            raise VlcliError("W210", str(folder / "config.json"), f"the activation '{name}' is not supported",
                             f"supported: {', '.join(ACTIVATIONS)}")  # fmt: skip
        with torch.device("meta"):
            self.linear = nn.Linear(
                int(config["in_features"]), int(config["out_features"]), bool(config.get("bias", True))
            )
        self.activation = ACTIVATIONS[name]()
        self.config = config

    def forward(self, pooled: Tensor) -> Tensor:
        """`[B, D_in] -> [B, D_out]`."""
        output: Tensor = self.activation(self.linear(pooled))
        return output


class TextEncoder(Encoder):
    """A transformers model with pooling. Items are strings; inputs are `input_ids` and `attention_mask` `[B, T]`.

    Args:
        checkpoint: a folder, or a hub name.
        max_length: cut texts to so many tokens; by default what the checkpoint says.
        pooling: instead of the checkpoint's own (`mean`, `cls`, `max`, `lasttoken`, …).

    Raises:
        VlcliError: a W code when the checkpoint is missing, damaged or of an unsupported kind.
    """

    modality = "text"
    model: nn.Module

    def __init__(self, checkpoint: str, max_length: int | None = None, pooling: str | None = None) -> None:
        super().__init__()
        folder = open_checkpoint(checkpoint)
        self.read_structure(folder, max_length, pooling)
        self.model = load_pretrained(model_class(self.settings.transformer), self.settings.transformer)
        for module, place in zip(self.dense, self.settings.dense, strict=True):
            module.load_state_dict(read_safetensors(place / "model.safetensors", module.state_dict()), assign=True)
        self._reference = self.published(checkpoint)
        self.eval()

    def published(self, checkpoint: str) -> dict[str, str]:
        """The reference of freshly loaded weights."""
        return {"source": f"hf:{checkpoint}", "sha256": checkpoint_sha256(self.folder)}

    def read_structure(self, folder: Path, max_length: int | None, pooling: str | None) -> None:
        """Everything but the weights: tokenizer, pooling, dense modules, limits."""
        from transformers import AutoTokenizer

        self.folder = folder
        self.settings = read_sentence_modules(folder)
        if pooling is not None:
            if pooling not in POOLINGS:
                raise VlcliError("W210", "pooling", f"'{pooling}' is not a pooling", f"known: {', '.join(POOLINGS)}")
            self.settings.poolings = (pooling,)
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(
                self.settings.transformer, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
            reason = (str(error).strip().splitlines() or [""])[0]
            raise VlcliError("W204", str(self.settings.transformer), f"the tokenizer can not be loaded ({reason})",
                             "restore the checkpoint from its source") from error  # fmt: skip
        self.dense = nn.ModuleList(Dense(place) for place in self.settings.dense)
        config = read_config(self.settings.transformer)
        self.max_length = token_limit(self.tokenizer, config, self.settings.max_length, max_length)
        width = int(config.get("hidden_size") or config.get("d_model") or config.get("dim") or 0)
        self.dim = width * len(self.settings.poolings)
        for module in self.dense:
            assert isinstance(module, Dense)
            if module.linear.in_features != self.dim:
                raise VlcliError("W104", str(folder), f"a Dense module takes {module.linear.in_features} numbers, "
                                 f"but gets {self.dim}", "restore the checkpoint from its source")  # fmt: skip
            self.dim = module.linear.out_features

    @classmethod
    def restore(cls, folder: Path, **options: Any) -> Self:
        """The structure from saved assets, weights random until they are loaded."""
        encoder = cls.__new__(cls)
        Encoder.__init__(encoder)
        encoder.read_structure(folder, options.get("max_length"), options.get("pooling"))
        source = encoder.settings.transformer
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False)
        found = model_class(source)
        # Auto classes have the public name alone, concrete ones the private one alone.
        make = getattr(found, "from_config", None) or found._from_config
        encoder.model = make(config)
        encoder.dense = encoder.dense.to_empty(device="cpu")
        encoder._reference = {}
        return encoder.eval()

    def reference(self) -> dict[str, str] | None:
        """The checkpoint and the hash of its files."""
        return dict(self._reference) or None

    def preprocess(self, item: Any) -> dict[str, Tensor]:
        """A string to `input_ids`, `attention_mask` (and `token_type_ids` where the model has them), each `[T]`."""
        return self.preprocess_many([item])[0]

    def preprocess_many(self, items: Sequence[Any]) -> list[dict[str, Tensor]]:
        """All texts in one call of the fast tokenizer."""
        texts = [self.settings.prompt + str(item) for item in items]
        if self.settings.lower:
            texts = [text.lower() for text in texts]
        rows = self.tokenizer(texts, truncation=True, max_length=self.max_length, padding=False)
        names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in rows]
        return [
            {name: torch.tensor(rows[name][index], dtype=torch.long) for name in names} for index in range(len(texts))
        ]

    def length(self, inputs: dict[str, Tensor]) -> int:
        """Number of tokens."""
        return int(inputs["input_ids"].shape[-1])

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """`[B, T]` ids to `pooled` `[B, dim]` and `tokens` `[B, T, D]`."""
        mask = inputs["attention_mask"]
        tokens: Tensor = self.model(**inputs).last_hidden_state
        pooled = pool(tokens, mask, self.settings.poolings)
        for module in self.dense:
            pooled = module(pooled)
        return Encoded(pooled, tokens, mask.bool())

    def save_assets(self, folder: Path) -> None:
        """Copy config, tokenizer and module configs; the weights are stored with the space."""
        for source in {self.folder, self.settings.transformer, *self.settings.dense, *self.pooling_folders()}:
            place = folder / source.resolve().relative_to(self.folder.resolve())
            place.mkdir(parents=True, exist_ok=True)
            for name in ASSET_FILES:
                if (source / name).is_file():
                    shutil.copyfile(source / name, place / name)

    def pooling_folders(self) -> list[Path]:
        """Folders of modules that hold a config and no weights."""
        return [path.parent for path in self.folder.glob("*_Pooling/config.json")]


def model_class(folder: Path) -> Any:
    """The transformers class for a text checkpoint: the encoder alone where the type is an encoder-decoder."""
    import transformers

    encoders_only = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}
    name = encoders_only.get(str(read_config(folder).get("model_type", "")), "AutoModel")
    return getattr(transformers, name)


def token_limit(tokenizer: Any, config: dict[str, Any], said: int | None, asked: int | None) -> int:
    """How many tokens a text is cut to: asked for, else said by the checkpoint, never more than the model has places.

    A RoBERTa has 514 positions for 512 tokens; its tokenizer's own limit knows that.
    """
    limits = [int(tokenizer.model_max_length)] if tokenizer.model_max_length < 1e9 else []
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int) and positions > 0:
        limits.append(positions - (2 if config.get("model_type") in OFFSET_POSITIONS else 0))
    bound = min(limits, default=0)
    wanted = asked or said or bound or MAX_TOKENS_WITHOUT_LIMIT
    return max(1, min(wanted, bound) if bound else wanted)
