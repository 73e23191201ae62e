"""ALBEF's two encoders: a vision transformer, and a BERT whose upper layers also attend to the image.

Parameter names are those of the released checkpoints (timm's and BERT's), so their weights load.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class AlbefConfig:
    """Sizes of the model; the defaults are the paper's.

    Attributes:
        fusion_layer: text layers below it see text only; those from it on also attend to the image.
        queue: slots of each feature queue.
        init_std: deviation of the initial weights; the paper's 0.02 belongs to its width.
        special_ids: ids that are never masked; `mask_id` replaces masked ones.
    """

    image_size: int = 256
    patch: int = 16
    image_width: int = 768
    image_layers: int = 12
    image_heads: int = 12
    vocabulary: int = 30522
    text_width: int = 768
    text_layers: int = 12
    text_heads: int = 12
    text_hidden: int = 3072
    fusion_layer: int = 6
    max_tokens: int = 512
    dim: int = 256
    queue: int = 65536
    momentum: float = 0.995
    temperature: float = 0.07
    mask_probability: float = 0.15
    mask_id: int = 103
    special_ids: tuple[int, ...] = (0, 101, 102)
    dropout: float = 0.1
    init_std: float = 0.02


def _attend(query: Tensor, key: Tensor, value: Tensor, heads: int, mask: Tensor | None, dropout: float) -> Tensor:
    """Multi-head attention `[B, T, D]` over `[B, S, D]`; `mask` `[B, S]` is true where a key is real."""
    q, k, v = (tensor.reshape(*tensor.shape[:2], heads, -1).transpose(1, 2) for tensor in (query, key, value))
    allowed = None if mask is None else mask.bool()[:, None, None, :]
    mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=dropout)
    return mixed.transpose(1, 2).flatten(2)


class _ImageAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        result: Tensor = self.proj(_attend(query, key, value, self.heads, None, 0.0))
        return result


class _ImageFeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.fc2(nn.functional.gelu(self.fc1(x)))
        return result


class _ImageBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = _ImageAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = _ImageFeedForward(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        result: Tensor = x + self.mlp(self.norm2(x))
        return result


class ImageEncoder(nn.Module):
    """A pre-norm vision transformer: `[B, 3, H, W]` to `[B, 1 + patches, D]`, class token first."""

    def __init__(self, config: AlbefConfig) -> None:
        super().__init__()
        width = config.image_width
        patches = (config.image_size // config.patch) ** 2
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, patches + 1, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, config.patch, config.patch)})
        self.blocks = nn.ModuleList(_ImageBlock(width, config.image_heads) for _ in range(config.image_layers))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        for parameter in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(parameter, std=config.init_std)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch_embed["proj"](image).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        result: Tensor = self.norm(x)
        return result


class _AddAndNorm(nn.Module):
    def __init__(self, width_in: int, width: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width_in, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        result: Tensor = self.LayerNorm(self.dropout(self.dense(x)) + residual)
        return result


class _TextAttention(nn.Module):
    """BERT's attention with its parameter names; keys and values may come from another width."""

    def __init__(self, config: AlbefConfig, key_width: int) -> None:
        super().__init__()
        width = config.text_width
        self.heads, self.dropout = config.text_heads, config.dropout
        self.self = nn.ModuleDict(
            {"query": nn.Linear(width, width), "key": nn.Linear(key_width, width), "value": nn.Linear(key_width, width)}
        )
        self.output = _AddAndNorm(width, width, config.dropout)

    def forward(self, x: Tensor, source: Tensor, mask: Tensor | None) -> Tensor:
        query, key, value = self.self["query"](x), self.self["key"](source), self.self["value"](source)
        mixed = _attend(query, key, value, self.heads, mask, self.dropout if self.training else 0.0)
        result: Tensor = self.output(mixed, x)
        return result


class _TextLayer(nn.Module):
    def __init__(self, config: AlbefConfig, fusing: bool) -> None:
        super().__init__()
        self.attention = _TextAttention(config, config.text_width)
        self.crossattention = _TextAttention(config, config.image_width) if fusing else None
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(config.text_width, config.text_hidden)})
        self.output = _AddAndNorm(config.text_hidden, config.text_width, config.dropout)

    def forward(self, x: Tensor, mask: Tensor, image: Tensor | None) -> Tensor:
        x = self.attention(x, x, mask)
        if self.crossattention is not None and image is not None:
            x = self.crossattention(x, image, None)
        result: Tensor = self.output(nn.functional.gelu(self.intermediate["dense"](x)), x)
        return result


class _Embeddings(nn.Module):
    def __init__(self, config: AlbefConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocabulary, config.text_width)
        self.position_embeddings = nn.Embedding(config.max_tokens, config.text_width)
        self.token_type_embeddings = nn.Embedding(2, config.text_width)
        self.LayerNorm = nn.LayerNorm(config.text_width, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, input_ids: Tensor) -> Tensor:
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.word_embeddings(input_ids) + self.token_type_embeddings.weight[0] + self.position_embeddings(positions)
        result: Tensor = self.dropout(self.LayerNorm(x))
        return result


class _LayerStack(nn.Module):
    def __init__(self, config: AlbefConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(_TextLayer(config, i >= config.fusion_layer) for i in range(config.text_layers))


class _Bert(nn.Module):
    def __init__(self, config: AlbefConfig) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.encoder = _LayerStack(config)


class _WordHead(nn.Module):
    def __init__(self, config: AlbefConfig) -> None:
        super().__init__()
        width = config.text_width
        self.transform = nn.ModuleDict({"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, eps=1e-12)})
        self.decoder = nn.Linear(width, config.vocabulary)

    def forward(self, fused: Tensor) -> Tensor:
        hidden = nn.functional.gelu(self.transform["dense"](fused))
        result: Tensor = self.decoder(self.transform["LayerNorm"](hidden))
        return result


class _Heads(nn.Module):
    def __init__(self, config: AlbefConfig) -> None:
        super().__init__()
        self.predictions = _WordHead(config)


class TextEncoder(nn.Module):
    """BERT cut in two: lower layers read text, upper ones also attend to the image; with a masked-word head.

    Parameter names are those of `transformers.BertForMaskedLM`, so its weights can start this encoder.
    """

    def __init__(self, config: AlbefConfig) -> None:
        super().__init__()
        self.fusion_layer = config.fusion_layer
        self.bert = _Bert(config)
        self.cls = _Heads(config)
        self.apply(partial(_initialise, std=config.init_std))
        self.cls.predictions.decoder.weight = self.bert.embeddings.word_embeddings.weight

    def text(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Ids and mask `[B, T]` to text-only states `[B, T, D]`."""
        x: Tensor = self.bert.embeddings(input_ids)
        for layer in self.bert.encoder.layer[: self.fusion_layer]:
            x = layer(x, mask, None)
        return x

    def fuse(self, text: Tensor, mask: Tensor, image: Tensor) -> Tensor:
        """Text states `[B, T, D]` and image states `[B, P, D_i]` to fused states `[B, T, D]`."""
        for layer in self.bert.encoder.layer[self.fusion_layer :]:
            text = layer(text, mask, image)
        return text

    def words(self, fused: Tensor) -> Tensor:
        """Fused states `[B, T, D]` to word logits `[B, T, V]`."""
        result: Tensor = self.cls.predictions(fused)
        return result


def _initialise(module: nn.Module, std: float) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=std)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
