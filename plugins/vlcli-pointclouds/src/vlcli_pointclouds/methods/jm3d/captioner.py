"""A captioner of points: a point encoder, a linear adapter, and a causal language model that reads adapted points.

As in JM3D-LLM, which follows LLaVA: the points' tokens go through one linear map into the language model's embeddings
and stand before the text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlcli.align.projection import Identity
from vlcli.align.space import Space, Tower
from vlcli.align.weights import read_safetensors
from vlcli.errors import VlcliError
from vlcli.runtime.tensors import save_tensors
from vlcli_pointclouds.methods.jm3d.find import CAPTIONER_FILE
from vlcli_pointclouds.methods.jm3d.language import (
    first_token,
    ids_of,
    load_language_model,
    padding_token,
    save_language_model,
)

if TYPE_CHECKING:
    from vlcli.align.encoder import Encoded
    from vlcli.registry import Registry

ADAPTER_FILE = "adapter.safetensors"
POINTS_FOLDER = "points"
SCHEMA = 1
NO_LOSS = -100
"""The label that torch's cross entropy leaves out."""


class Captioner(nn.Module):
    """Points to text.

    Args:
        tower: whose encoder reads the points; its head is not used.
        language: a causal language model of transformers, with its tokenizer.
        tokens: how many of the encoder's tokens are read, in the encoder's order; an encoder without tokens gives its
            pooled vector alone.
        token_width: width of the encoder's tokens, 0 without any.
        prompt: text between points and caption.
        longest: tokens of a caption at most.
        blank: put zeros in the place of the points.
    """

    def __init__(
        self, tower: Tower, language: Any, tokenizer: Any, *, tokens: int, token_width: int, prompt: str = "",
        longest: int = 48, blank: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.tower, self.language, self.tokenizer = tower, language, tokenizer
        self.tokens, self.token_width = tokens if token_width else 1, token_width
        self.prompt, self.longest, self.blank = prompt, longest, blank
        # Tokens of a set abstraction know their surroundings alone, so each carries the whole object's vector too.
        self.adapter = nn.Linear(token_width + tower.encoder.dim, language.get_input_embeddings().embedding_dim)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.adapter.weight.device

    def points(self, inputs: dict[str, Tensor]) -> Tensor:
        """A collated batch of points to what the adapter reads, `[B, K, token_width + F]`."""
        encoded: Encoded = self.tower.encoder(inputs)
        if encoded.tokens is None or not self.token_width:
            rows = encoded.pooled.unsqueeze(1)
        else:
            tokens = encoded.tokens[:, : self.tokens]
            rows = torch.cat([tokens, encoded.pooled.unsqueeze(1).expand(-1, tokens.shape[1], -1)], dim=-1)
        return torch.zeros_like(rows) if self.blank else rows

    def prefix(self, points: Tensor) -> Tensor:
        """Adapted points, the token that begins a text, and the prompt, as embeddings `[B, P, H]`."""
        adapted = self.adapter(points)
        ids = torch.tensor([first_token(self.tokenizer), *ids_of(self.tokenizer, self.prompt)], device=adapted.device)
        words = self.language.get_input_embeddings()(ids).to(adapted.dtype)
        return torch.cat([adapted, words.unsqueeze(0).expand(len(adapted), -1, -1)], dim=1)

    def loss(self, points: Tensor, caption_ids: Tensor, mask: Tensor) -> Tensor:
        """Cross entropy per token of the captions `[B, L]`, each ended by the token that ends a text."""
        prefix = self.prefix(points)
        words = self.language.get_input_embeddings()(caption_ids).to(prefix.dtype)
        ahead = mask.new_ones(prefix.shape[:2])
        logits = self.language(
            inputs_embeds=torch.cat([prefix, words], dim=1), attention_mask=torch.cat([ahead, mask], dim=1),
            use_cache=False,
        ).logits  # fmt: skip
        # The last token of the prefix foretells the first of the caption.
        return token_loss(logits[:, prefix.shape[1] - 1 : -1], caption_ids, mask)

    @torch.no_grad()
    def captions(self, inputs: dict[str, Tensor]) -> list[str]:
        """Greedy captions of a collated batch; the module has to be in evaluation mode."""
        return self.write(self.points(inputs))

    @torch.no_grad()
    def write(self, points: Tensor) -> list[str]:
        """Greedy captions of what `points` gave."""
        prefix = self.prefix(points)
        made = self.language.generate(
            inputs_embeds=prefix, attention_mask=torch.ones(prefix.shape[:2], dtype=torch.long, device=prefix.device),
            max_new_tokens=self.longest, do_sample=False, num_beams=1,
            eos_token_id=self.tokenizer.eos_token_id, pad_token_id=padding_token(self.tokenizer),
        )  # fmt: skip
        return [text.strip() for text in self.tokenizer.batch_decode(made, skip_special_tokens=True)]

    def caption_rows(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Captions as `caption_ids` and `mask` `[B, L]`, cut to the longest that is written."""
        end = int(self.tokenizer.eos_token_id)
        rows = [[*ids_of(self.tokenizer, caption)[: self.longest - 1], end] for caption in captions]
        return padded(rows, padding_token(self.tokenizer), "caption_ids")

    def save(self, folder: Path) -> None:
        """Write the language model, the adapter and the point encoder, each in its usual form."""
        save_language_model(self.language, self.tokenizer, folder)
        save_tensors({name: tensor.detach().cpu() for name, tensor in self.adapter.state_dict().items()},
                     folder / ADAPTER_FILE, {"format": "pt"})  # fmt: skip
        encoder = self.tower.encoder
        points = Tower(encoder, Identity(encoder.dim), self.tower.name, self.tower.options)
        Space("points", {"pointclouds": points}).save(folder / POINTS_FOLDER)
        content = {"schema": SCHEMA, "tokens": self.tokens, "token_width": self.token_width, "prompt": self.prompt,
                   "longest": self.longest, "blank": self.blank}  # fmt: skip
        (folder / CAPTIONER_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: Path, registry: Registry) -> Captioner:
        """Read what `save` wrote; in evaluation mode, on the CPU.

        Raises:
            VlcliError: W241 when `captioner.json` is missing or malformed, W codes for damaged weights.
        """
        content = read_content(folder)
        language, tokenizer = load_language_model(str(folder))
        tower = Space.load(folder / POINTS_FOLDER, registry).tower("pointclouds")
        captioner = Captioner(tower, language, tokenizer, **content)
        tensors = read_safetensors(folder / ADAPTER_FILE, captioner.adapter.state_dict())
        captioner.adapter.load_state_dict(tensors)
        return captioner.eval()


def token_loss(logits: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Mean cross entropy of logits `[B, L, V]` that foretell ids `[B, L]`, where the mask is 1."""
    return functional.cross_entropy(logits.float().transpose(1, 2), ids.masked_fill(mask == 0, NO_LOSS))


def padded(rows: Sequence[Sequence[int]], padding: int, name: str) -> dict[str, Tensor]:
    """Rows of different lengths as one tensor `[B, L]` of the given name, and its mask."""
    width = max(len(row) for row in rows)
    ids = torch.tensor([[*row, *[padding] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return {name: ids, "mask": mask}


def read_content(folder: Path) -> dict[str, Any]:
    """`captioner.json`, checked.

    Raises:
        VlcliError: W241.
    """
    path = folder / CAPTIONER_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("schema") != SCHEMA:
            raise ValueError("it is of another version")
        kinds = {"tokens": int, "token_width": int, "prompt": str, "longest": int, "blank": bool}
        wrong = [name for name, kind in kinds.items() if type(content.get(name)) is not kind]
        if wrong or content.keys() != kinds.keys():
            raise ValueError(f"the entry '{(wrong or sorted(content.keys() ^ kinds.keys()))[0]}' is not as saved")
        if not (1 <= content["tokens"] <= 1024 and 0 <= content["token_width"] <= 65_536
                and 1 <= content["longest"] <= 4096):  # fmt: skip
            raise ValueError("a number is out of range")
    except FileNotFoundError as error:
        raise VlcliError("W241", str(folder), f"holds no captioner of points (no {CAPTIONER_FILE})",
                         "name a run of `vlcli run jm3d-llm`, or its folder model") from error  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"can not be read ({error})"
        raise VlcliError("W241", str(path), what, "restore it, or train the model again") from error
    checked: dict[str, Any] = content
    return checked
