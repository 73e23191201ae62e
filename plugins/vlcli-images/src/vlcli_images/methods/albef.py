"""ALBEF: align image and text by contrast before fusing them, with targets softened by a momentum model.

Li et al., "Align before fuse: vision and language representation learning with momentum distillation", NeurIPS 2021.
With momentum features `v', t'`, queues of past ones, candidates `T = [t', queue_t]`, `V = [v', queue_v]`, temperature
tau and `p(q, C) = softmax(q C^T / tau)`:

    ITA  1/2 * [ CE(alpha p(v', T) + (1 - alpha) onehot, p(v, T))  +  the same with image and text swapped ]
    ITM  two-way cross entropy of the fused class token over B pairs, B pairs with a hard negative image and B with a
         hard negative text, drawn from p(t, v') and p(v, t') with the own pair at 0
    MLM  (1 - alpha) CE + alpha * cross entropy to the momentum model's distribution, at masked tokens
    L    ITA + ITM + MLM

The momentum copies move before they are used; the batch enters the queues after the loss. A released checkpoint's
state dict loads through `released_state`. Differs from the released code in: attention by torch's fused kernel, losses
without the `B x (B + K)` matrix of the contrast in memory, queues that take batches of any size, and negatives drawn
from renormalised weights, so that a model sure of its pairs still finds one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vlcli.align.gather import Group
from vlcli.align.logit_scale import Temperature
from vlcli.align.momentum import MomentumCopy
from vlcli.align.objectives.info_nce import Teacher, check_batch, contrastive_direction
from vlcli.align.objectives.masked_lm import MaskedLanguageModel, mask_tokens
from vlcli.align.objectives.matching import Matching, sample_hard_negatives
from vlcli.align.queue import FeatureQueue


@dataclass(frozen=True)
class AlbefConfig:
    """Sizes of the model; the defaults are the paper's.

    Attributes:
        fusion_layer: text layers below it see text only; those from it on also attend to the image.
        queue: slots of each feature queue.
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
            nn.init.trunc_normal_(parameter, std=0.02)

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
        self.apply(_initialise)
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


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


class _Towers(nn.Module):
    """What has a momentum copy: both encoders and both projections."""

    def __init__(self, config: AlbefConfig) -> None:
        super().__init__()
        self.visual_encoder = ImageEncoder(config)
        self.text_encoder = TextEncoder(config)
        self.vision_proj = nn.Linear(config.image_width, config.dim)
        self.text_proj = nn.Linear(config.text_width, config.dim)

    def image(self, image: Tensor) -> tuple[Tensor, Tensor]:
        states = self.visual_encoder(image)
        return states, nn.functional.normalize(self.vision_proj(states[:, 0]), dim=-1)

    def text(self, input_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        states = self.text_encoder.text(input_ids, mask)
        return states, nn.functional.normalize(self.text_proj(states[:, 0]), dim=-1)

    def guess(self, input_ids: Tensor, mask: Tensor, image_states: Tensor) -> Tensor:
        states = self.text_encoder.fuse(self.text_encoder.text(input_ids, mask), mask, image_states)
        return self.text_encoder.words(states)


@dataclass
class Draws:
    """The random choices of a step, so that a step can be repeated.

    Attributes:
        image_for_text, text_for_image: `[B]` index of the hard negative of each text and of each image.
        masked_ids, labels: `[B, T]` ids with masked tokens and what they were (-100 elsewhere).
    """

    image_for_text: Tensor
    text_for_image: Tensor
    masked_ids: Tensor
    labels: Tensor


@dataclass
class PretrainingLosses:
    """The losses of a step, scalars, and the choices behind them."""

    ita: Tensor
    itm: Tensor
    mlm: Tensor
    draws: Draws

    @property
    def total(self) -> Tensor:
        """Their plain sum, as in the paper."""
        return self.ita + self.itm + self.mlm


class Albef(nn.Module):
    """The model with its momentum copy and queues; `pretraining_losses` is one pre-training step.

    Args:
        config: sizes.
        group: the processes whose batches count as one for the contrast; None is all of them.
    """

    def __init__(self, config: AlbefConfig | None = None, group: Group = None) -> None:
        super().__init__()
        self.config = config = config or AlbefConfig()
        self.group = group
        self.online = _Towers(config)
        self.momentum = MomentumCopy(self.online, config.momentum)
        self.itm_head = nn.Linear(config.text_width, 2)
        self.temperature = Temperature(config.temperature, 0.001, 0.5)
        self.image_queue = FeatureQueue(config.queue, config.dim, random=True)
        self.text_queue = FeatureQueue(config.queue, config.dim, random=True)
        self.matching = Matching()
        self.masked_language_model = MaskedLanguageModel()

    def match(self, text: Tensor, mask: Tensor, image: Tensor) -> Tensor:
        """Two-way logits `[B, 2]` of text states `[B, T, D]` with image states `[B, P, D_i]`; class 1 is "a pair"."""
        logits: Tensor = self.itm_head(self.online.text_encoder.fuse(text, mask, image)[:, 0])
        return logits

    def pretraining_losses(
        self,
        image: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        alpha: float = 0.4,
        *,
        ids: Tensor | None = None,
        draws: Draws | None = None,
        momentum: float | None = None,
        generator: torch.Generator | None = None,
    ) -> PretrainingLosses:
        """One step's losses; moves the momentum copy before and fills the queues after (both are state).

        Args:
            image: `[B, 3, H, W]`; input_ids, attention_mask: `[B, T]`, class token first.
            alpha: weight of the soft targets; ramp it up from 0 over the first epoch.
            ids: `[B]`; pairs with the same id are positives of each other (retrieval fine-tuning). Pre-training: None.
            draws: repeat these random choices instead of drawing.
            momentum: overrides the configured one for this step (short runs need a smaller one).
            generator: for the draws, on the inputs' device.
        """
        towers, teacher = self.online, self.momentum.module
        self.temperature.clamp_()
        scale = self.temperature()
        image_states, image_features = towers.image(image)
        text_states, text_features = towers.text(input_ids, attention_mask)
        self.momentum.update(towers, momentum)
        with torch.no_grad():
            image_states_m, image_features_m = teacher.image(image)
            _, text_features_m = teacher.text(input_ids, attention_mask)
        ita = self._contrast(image_features, text_features, image_features_m, text_features_m, scale, alpha, ids)
        draws = draws or self._draw(
            image_features, text_features, image_features_m, text_features_m, scale, input_ids, ids, generator
        )
        self.image_queue.enqueue(image_features_m, ids, self.group)
        self.text_queue.enqueue(text_features_m, ids, self.group)

        positive = self.match(text_states, attention_mask, image_states)
        negative = self.match(
            torch.cat([text_states, text_states[draws.text_for_image]]),
            torch.cat([attention_mask, attention_mask[draws.text_for_image]]),
            torch.cat([image_states[draws.image_for_text], image_states]),
        )
        soft = None
        if alpha:
            with torch.no_grad():
                soft = teacher.guess(draws.masked_ids, attention_mask, image_states_m)
        guessed = towers.guess(draws.masked_ids, attention_mask, image_states)
        mlm = self.masked_language_model(guessed, draws.labels, soft, alpha)
        return PretrainingLosses(ita, self.matching(positive, negative), mlm, draws)

    def _contrast(
        self, image: Tensor, text: Tensor, image_m: Tensor, text_m: Tensor, scale: Tensor, alpha: float,
        ids: Tensor | None,
    ) -> Tensor:  # fmt: skip
        sizes = check_batch(image, text, self.group, self.text_queue.features)
        total = image.new_zeros(())
        for queries, queries_m, keys, queue in (
            (image, image_m, text_m, self.text_queue),
            (text, text_m, image_m, self.image_queue),
        ):
            extra = queue.features
            rows = contrastive_direction(
                queries, keys, scale, extra_keys=extra, ids=ids, extra_ids=None if ids is None else queue.ids,
                teacher=Teacher(queries_m, keys, scale.detach(), alpha, extra), group=self.group,
            )  # fmt: skip
            total = total + rows.sum() / 2
        return total * (len(sizes) / sum(sizes))

    def _draw(
        self, image: Tensor, text: Tensor, image_m: Tensor, text_m: Tensor, scale: Tensor, input_ids: Tensor,
        ids: Tensor | None, generator: torch.Generator | None,
    ) -> Draws:  # fmt: skip
        config = self.config
        masked_ids, labels = mask_tokens(
            input_ids, mask_id=config.mask_id, vocabulary_size=config.vocabulary, special_ids=config.special_ids,
            probability=config.mask_probability, generator=generator,
        )  # fmt: skip
        factor = float(scale.detach())
        return Draws(
            sample_hard_negatives(text, image_m, factor, generator, ids),
            sample_hard_negatives(image, text_m, factor, generator, ids),
            masked_ids,
            labels,
        )


def released_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict in the released names to this module's names (queues turned from `[D, K]` to `[K, D]`)."""
    mapped: dict[str, Tensor] = {}
    towers = ("visual_encoder", "text_encoder", "vision_proj", "text_proj")
    for name, value in state.items():
        head, _, rest = name.partition(".")
        if name.endswith("position_ids") or name.endswith("predictions.bias"):
            continue  # a constant; and a second name of the decoder's bias
        if head in towers:
            mapped[f"online.{name}"] = value
        elif head.removesuffix("_m") in towers:
            mapped[f"momentum.module.{head.removesuffix('_m')}.{rest}"] = value
        elif name == "temp":
            mapped["temperature.value"] = value
        elif name in ("image_queue", "text_queue"):
            size = value.shape[1]
            mapped[f"{name}.features_buffer"] = value.T.contiguous()
            mapped[f"{name}.ids_buffer"] = state.get("idx_queue", torch.full((1, size), -1)).reshape(-1).long()
            mapped[f"{name}.pointer"] = state["queue_ptr"].reshape(())
            mapped[f"{name}.filled"] = torch.tensor(size)
        elif head == "itm_head":
            mapped[name] = value
    return mapped
