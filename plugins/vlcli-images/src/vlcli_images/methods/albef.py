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
from vlcli_images.methods.albef_layers import AlbefConfig, ImageEncoder, TextEncoder


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
