"""LaMP's masked transformer: it fills hidden motion tokens in, given a text condition as the first token.

Li et al., "LaMP: Language-Motion Pretraining for Motion Generation, Retrieval, and Captioning" (ICLR 2025); the network
is MoMask's (Guo et al., CVPR 2024). The paper replaces the bidirectional mask by a lower-triangular one:
softmax attention matrices of full width may lose rank, a triangular one has a positive diagonal and keeps it.

What differs from the released code:

- The released code hands the encoder a *float* triangle of ones, which PyTorch **adds** to the logits. Future tokens
  are weighed down by one nat, not hidden. `attention="official"` does that, for parity; `"causal"` hides them.
- The released code computes the padding mask and does not use it. Here padding is hidden, but for `"official"`.
- The number of tokens to hide is a share of a motion's own length, not of the longest one's in the batch.

Under the causal mask a hidden position sees the condition, the tokens before it and itself, and no token after it:
"autoregressive masked prediction". What is revealed later in a motion therefore can not correct what comes before.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

AttentionKind = Literal["causal", "bidirectional", "official"]


def cosine_schedule(time: Tensor) -> Tensor:
    """Share of the tokens that is hidden at a time in 0 … 1: all at 0, none at 1."""
    return torch.cos(time * (math.pi / 2))


def keep_top(logits: Tensor, threshold: float = 0.9) -> Tensor:
    """The `ceil((1 - threshold) · K)` largest logits of the last dimension; the others become -inf."""
    count = max(1, math.ceil((1 - threshold) * logits.shape[-1]))
    values, indices = logits.topk(count, dim=-1)
    return torch.full_like(logits, -torch.inf).scatter(-1, indices, values)


def positions(length: int, width: int, device: torch.device | None = None) -> Tensor:
    """Sinusoidal position codes `[length, width]` (Vaswani et al. 2017, section 3.5)."""
    place = torch.arange(length, dtype=torch.float32, device=device)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32, device=device) * (-math.log(10000.0) / width))
    codes = torch.zeros(length, width, device=device)
    codes[:, 0::2] = torch.sin(place * rate)
    codes[:, 1::2] = torch.cos(place * rate)[:, : width // 2]
    return codes


class AttentionInput(nn.Linear):
    """Queries, keys and values in one projection, with the initial values of PyTorch's own attention."""

    def reset_parameters(self) -> None:
        """Xavier's uniform weights, zero biases."""
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)


class Block(nn.Module):
    """A post-norm transformer layer that can also give its attention matrices."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide the width {width}")
        self.heads = heads
        self.in_proj = AttentionInput(width, 3 * width)
        self.out_proj = nn.Linear(width, width)
        self.linear1 = nn.Linear(width, feed_forward)
        self.linear2 = nn.Linear(feed_forward, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """States `[B, L, W]` and what is added to the attention logits `[B or 1, 1, L, L]` -> states, attention."""
        batch, length, width = states.shape
        query, key, value = self.in_proj(states).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attention = (query @ key.mT / math.sqrt(width // self.heads) + bias).softmax(-1)
        mixed = (self.dropout(attention) @ value).transpose(1, 2).reshape(batch, length, width)
        states = self.norm1(states + self.dropout(self.out_proj(mixed)))
        inner = self.linear2(self.dropout(functional.gelu(self.linear1(states))))
        return self.norm2(states + self.dropout(inner)), attention


class MaskedTransformer(nn.Module):
    """Token ids with holes, a condition and lengths -> logits over the codebook.

    Args:
        codes: K, size of the codebook; the id K stands for a hidden token, K + 1 for padding.
        condition_width: of the condition's vectors.
        code_width: of the token embeddings, before they are projected to `width`.
        attention: see this module's docstring.
    """

    def __init__(
        self,
        codes: int,
        condition_width: int,
        code_width: int = 512,
        width: int = 384,
        layers: int = 8,
        heads: int = 6,
        feed_forward: int = 1024,
        dropout: float = 0.1,
        attention: AttentionKind = "causal",
    ) -> None:
        super().__init__()
        self.codes, self.hidden, self.padding = codes, codes, codes + 1
        self.attention: AttentionKind = attention
        self.token_embedding = nn.Embedding(codes + 2, code_width)
        self.input_projection = nn.Linear(code_width, width)
        self.condition_projection = nn.Linear(condition_width, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, feed_forward, dropout) for _ in range(layers))
        self.head_dense = nn.Linear(width, width)
        self.head_norm = nn.LayerNorm(width, eps=1e-12)
        self.head_out = nn.Linear(width, codes)
        self.apply(initialise)

    def attention_bias(self, ids: Tensor) -> Tensor:
        """What is added to attention logits, `[B or 1, 1, N + 1, N + 1]`; the condition is the first position."""
        size = ids.shape[1] + 1
        triangle = torch.ones(size, size, device=ids.device).tril()
        if self.attention == "official":
            return triangle[None, None]
        seen = torch.cat([torch.ones_like(ids[:, :1]), ids != self.padding], dim=1).bool()[:, None, None, :]
        if self.attention == "causal":
            seen = seen & triangle.bool()
        return torch.zeros(seen.shape, device=ids.device).masked_fill(~seen, -torch.inf).expand(-1, -1, size, -1)

    def states(self, ids: Tensor, condition: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Final states `[B, N + 1, W]`, and each layer's attention matrices `[B, heads, N + 1, N + 1]`.

        Args:
            ids: `[B, N]`; positions beyond a motion's length hold `padding`.
            condition: `[B, C]`; None is the unconditional model (a zero vector, as in training).
        """
        if condition is None:
            condition = self.condition_projection.weight.new_zeros(len(ids), self.condition_projection.in_features)
        first = self.condition_projection(condition)[:, None]
        tokens = self.input_projection(self.token_embedding(ids))
        # The condition has no position: its projection tells it apart.
        tokens = self.dropout(tokens + positions(ids.shape[1], tokens.shape[-1], ids.device))
        states, bias = torch.cat([first, tokens], dim=1), self.attention_bias(ids)
        maps = []
        for block in self.blocks:
            states, attention = block(states, bias)
            maps.append(attention)
        return states, maps

    def forward(self, ids: Tensor, condition: Tensor | None) -> Tensor:
        """Logits over the codebook `[B, N, K]`; the arguments are those of `states`."""
        states, _ = self.states(ids, condition)
        logits: Tensor = self.head_out(self.head_norm(functional.gelu(self.head_dense(states[:, 1:]))))
        return logits

    def guided(self, ids: Tensor, condition: Tensor, scale: float) -> Tensor:
        """Classifier-free guidance: `unconditional + scale · (conditional - unconditional)`, `[B, N, K]`."""
        both: Tensor = self(torch.cat([ids, ids]), torch.cat([condition, torch.zeros_like(condition)]))
        with_text, without = both.chunk(2)
        return without + scale * (with_text - without)

    def pad(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Ids `[B, N]` with `padding` beyond the lengths `[B]`."""
        return ids.masked_fill(~within(lengths, ids.shape[1]), self.padding)

    def loss(
        self, ids: Tensor, condition: Tensor, lengths: Tensor, drop: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Cross-entropy and accuracy on hidden tokens of motions `[B, N]`, with a share of the conditions dropped."""
        holes, labels = corrupt(ids, lengths, self.codes, generator)
        dropped = uniform((len(ids), 1), ids.device, generator) < drop
        logits = self(holes, condition.masked_fill(dropped, 0.0))
        return hidden_cross_entropy(logits, labels, ignored=self.hidden)


def initialise(module: nn.Module) -> None:
    """MoMask's initial values: normal with deviation 0.02, biases zero; attention's input keeps its own."""
    if isinstance(module, AttentionInput):
        return
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


def within(lengths: Tensor, size: int) -> Tensor:
    """`[B, size]`: true inside each length."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def uniform(shape: tuple[int, ...], device: torch.device, generator: torch.Generator | None) -> Tensor:
    """Random numbers in 0 … 1, drawn on the CPU so that every device sees the same ones."""
    return torch.rand(shape, generator=generator).to(device)


def corrupt(
    ids: Tensor, lengths: Tensor, codes: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Hide tokens as in training (the released code's BERT-like scheme).

    A cosine schedule at a random time says what share of a motion is chosen, at least one token. Of the chosen ones
    10 % are replaced by random codes, of the others 88 % by the hidden token; the rest stays as it is.

    Args:
        ids: `[B, N]` codes.
        lengths: `[B]`.

    Returns:
        the input (padding beyond the lengths) and labels `[B, N]`, which are `codes` where nothing is asked.
    """
    batch, size = ids.shape
    valid = within(lengths, size)
    share = cosine_schedule(uniform((batch,), ids.device, generator))
    count = (lengths * share).round().clamp(min=1)
    order = uniform((batch, size), ids.device, generator).masked_fill(~valid, 2.0)
    chosen = (order.argsort(1).argsort(1) < count[:, None]) & valid
    labels = ids.masked_fill(~chosen, codes)
    random_ones = chosen & (uniform((batch, size), ids.device, generator) < 0.1)
    holes = chosen & ~random_ones & (uniform((batch, size), ids.device, generator) < 0.88)
    replaced = torch.randint(codes, (batch, size), generator=generator).to(ids.device)
    inputs = torch.where(random_ones, replaced, ids).masked_fill(holes, codes)
    return inputs.masked_fill(~valid, codes + 1), labels


def hidden_cross_entropy(logits: Tensor, labels: Tensor, ignored: int) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy and accuracy over the positions whose label is not `ignored`.

    Args:
        logits: `[B, N, K]`.
        labels: `[B, N]`.
    """
    loss = functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=ignored)
    asked = labels != ignored
    accuracy = (logits.argmax(-1) == labels)[asked].float().mean()
    return loss, accuracy


@torch.no_grad()
def fill_in(
    model: MaskedTransformer,
    condition: Tensor,
    lengths: Tensor,
    generators: list[torch.Generator],
    *,
    steps: int = 10,
    guidance: float = 4.0,
    temperature: float = 1.0,
    threshold: float = 0.9,
) -> Tensor:
    """Token ids of new motions `[B, N]`, padding beyond the lengths: hide the least certain tokens, guess, repeat.

    Each motion draws from its own generator, so its tokens do not depend on what else is in the batch.

    Args:
        condition: `[B, C]`.
        lengths: `[B]` in tokens.
        generators: one for each motion, on the CPU.
        steps: passes, at times evenly from 0 to 1: all tokens are hidden in the first, one in the last.
        guidance: scale of classifier-free guidance; 1 is the conditional model alone.
        temperature: of the Gumbel noise's distribution; 0 takes the most probable token.
        threshold: of `keep_top`.
    """
    size = int(lengths.max())
    valid = within(lengths, size)
    ids = torch.full((len(lengths), size), model.hidden, device=lengths.device).masked_fill(~valid, model.padding)
    certainty = torch.zeros(ids.shape, device=ids.device).masked_fill(~valid, torch.inf)
    for time in torch.linspace(0, 1, steps):
        count = (lengths * cosine_schedule(time).item()).round().clamp(min=1)
        open_ = (certainty.argsort(stable=True, dim=1).argsort(1) < count[:, None]) & valid
        ids = ids.masked_fill(open_, model.hidden)
        logits = model.guided(ids, condition, guidance)
        guesses = draw(keep_top(logits, threshold), lengths, generators, temperature)
        ids = torch.where(open_, guesses, ids)
        chosen = logits.softmax(-1).gather(-1, ids.clamp(max=model.codes - 1)[..., None])[..., 0]
        # A token once kept stays; so does padding.
        certainty = torch.where(open_, chosen, torch.inf)
    return ids


def draw(logits: Tensor, lengths: Tensor, generators: list[torch.Generator], temperature: float) -> Tensor:
    """One code at each position `[B, N]` from logits `[B, N, K]`, by the Gumbel trick."""
    if temperature == 0:
        return logits.argmax(-1)
    noise = torch.zeros(logits.shape)
    for row, (length, generator) in enumerate(zip(lengths.tolist(), generators, strict=True)):
        values = torch.rand((length, logits.shape[-1]), generator=generator).clamp(1e-20, 1 - 1e-7)
        noise[row, :length] = -torch.log(-torch.log(values))
    return (logits / temperature + noise.to(logits.device)).argmax(-1)
