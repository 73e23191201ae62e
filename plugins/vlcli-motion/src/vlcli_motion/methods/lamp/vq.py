"""The motion VQ-VAE: features of a motion to one code for every four frames, and back.

An encoder of strided convolutions and residual dilated blocks, a codebook that follows its inputs by moving averages,
and a mirrored decoder, as in T2M-GPT (Zhang et al., CVPR 2023), whose tokenizer LaMP uses. Loss: smooth L1 of the
normalised features + 0.5 * velocity term + 0.02 * commitment. Differs from the released code in:

- the term called velocity compares joint positions a second time there; here it compares their differences between
  frames (`official=True` gives the released term);
- padded frames are held at zero in every layer, so a motion has the same codes alone and in a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlcli_motion.methods.lamp.config import STRIDE, LampConfig

LEVELS = 2
"""Halvings of the frame rate; `STRIDE` is 2 ** LEVELS."""
POSITIONS = slice(4, 67)
"""Local joint positions in HumanML3D's 263 features: 21 joints, three numbers each."""
HEAVIER = 5.0
"""HumanML3D's feature bias: where the root goes and which feet rest are 8 of 263 numbers, but decide what is done."""
DECAY = 0.99
"""Of the codebook's moving averages, as in the released code."""
DEAD = 1.0
"""A code whose averaged count of a batch is lower is put on a random input of the batch."""


class Quantiser(nn.Module):
    """A codebook `[K, C]` that follows the inputs by exponential moving averages; unused codes are put on inputs.

    The first batch in training mode starts it. All state is in buffers, so checkpoints hold it.
    """

    codebook: Tensor
    sums: Tensor
    counts: Tensor
    started: Tensor

    def __init__(self, codes: int, dim: int, decay: float = DECAY) -> None:
        super().__init__()
        self.codes, self.decay = codes, decay
        self.register_buffer("codebook", torch.zeros(codes, dim))
        self.register_buffer("sums", torch.zeros(codes, dim))
        self.register_buffer("counts", torch.ones(codes))
        self.register_buffer("started", torch.tensor(False))

    def nearest(self, latents: Tensor) -> Tensor:
        """Codes `[N]` of the nearest rows to latents `[N, C]`."""
        distance = self.codebook.pow(2).sum(1) - 2 * latents @ self.codebook.T
        nearest: Tensor = distance.argmin(dim=1)
        return nearest

    @torch.no_grad()
    def update(self, latents: Tensor, generator: torch.Generator | None = None) -> None:
        """Move the codebook towards latents `[N, C]` of a batch."""
        candidates = self.candidates(latents, generator)
        if not bool(self.started):
            self.codebook.copy_(candidates)
            self.sums.copy_(candidates)
            self.started.fill_(True)
        codes = self.nearest(latents)
        chosen = functional.one_hot(codes, self.codes).to(latents.dtype)
        self.sums.mul_(self.decay).add_(chosen.T @ latents, alpha=1 - self.decay)
        self.counts.mul_(self.decay).add_(chosen.sum(0), alpha=1 - self.decay)
        # A count is an average a batch, so the threshold shrinks for batches that can not feed all codes.
        threshold = min(DEAD, 0.5 * len(latents) / self.codes)
        alive = (self.counts >= threshold).unsqueeze(1)
        followed = self.sums / self.counts.clamp(min=1e-6).unsqueeze(1)
        self.codebook.copy_(torch.where(alive, followed, candidates))

    def candidates(self, latents: Tensor, generator: torch.Generator | None) -> Tensor:
        """For each code an input `[K, C]` of the batch, drawn at random, with a little noise where inputs repeat."""
        rows = len(latents)
        order = torch.cat([torch.randperm(rows, generator=generator) for _ in range(-(-self.codes // rows))])
        drawn = latents[order[: self.codes].to(latents.device)]
        if rows < self.codes:
            noise = torch.randn(drawn.shape, generator=generator).to(drawn)
            drawn = drawn + noise * 0.01 / latents.shape[1] ** 0.5
        return drawn


class _Residual(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        hidden = self.first(functional.relu(x) * mask)
        result: Tensor = x + self.second(functional.relu(hidden)) * mask
        return result


class _Level(nn.Module):
    """Residual blocks, the widest dilation first."""

    def __init__(self, config: LampConfig) -> None:
        super().__init__()
        dilations = [config.dilation**index for index in range(config.vq_depth)][::-1]
        self.blocks = nn.ModuleList(_Residual(config.vq_width, dilation) for dilation in dilations)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, mask)
        return x


class MotionEncoder(nn.Module):
    """Normalised features `[B, F, T]` to latents `[B, C, T / 4]`; `mask` `[B, 1, T]` is 1 on real frames."""

    def __init__(self, config: LampConfig) -> None:
        super().__init__()
        width = config.vq_width
        self.into = nn.Conv1d(config.features, width, 3, padding=1)
        self.down = nn.ModuleList(nn.Conv1d(width, width, 4, stride=2, padding=1) for _ in range(LEVELS))
        self.levels = nn.ModuleList(_Level(config) for _ in range(LEVELS))
        self.out = nn.Conv1d(width, config.code_dim, 3, padding=1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = functional.relu(self.into(x * mask)) * mask
        for down, level in zip(self.down, self.levels, strict=True):
            mask = mask[:, :, ::2]
            x = level(down(x) * mask, mask)
        result: Tensor = self.out(x * mask) * mask
        return result


class MotionDecoder(nn.Module):
    """Quantised latents `[B, C, N]` to normalised features `[B, F, 4N]`; `mask` `[B, 1, N]`."""

    def __init__(self, config: LampConfig) -> None:
        super().__init__()
        width = config.vq_width
        self.into = nn.Conv1d(config.code_dim, width, 3, padding=1)
        self.levels = nn.ModuleList(_Level(config) for _ in range(LEVELS))
        self.up = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in range(LEVELS))
        self.last = nn.Conv1d(width, width, 3, padding=1)
        self.out = nn.Conv1d(width, config.features, 3, padding=1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = functional.relu(self.into(x * mask)) * mask
        for level, up in zip(self.levels, self.up, strict=True):
            x = level(x, mask).repeat_interleave(2, dim=2)
            mask = mask.repeat_interleave(2, dim=2)
            x = up(x) * mask
        x = functional.relu(self.last(x)) * mask
        result: Tensor = self.out(x) * mask
        return result


class MotionVq(nn.Module):
    """The VQ-VAE. Features come and go in their own units; mean and deviation are buffers (`fit`)."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: LampConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.features))
        self.register_buffer("std", torch.ones(config.features))
        self.encoder = MotionEncoder(config)
        self.quantiser = Quantiser(config.codes, config.code_dim)
        self.decoder = MotionDecoder(config)

    @torch.no_grad()
    def fit(
        self, motions: list[Tensor], groups: tuple[slice, ...] = (), heavy: tuple[slice, ...] = ()
    ) -> None:  # fmt: skip
        """Take mean and deviation from training motions `[T, F]`.

        Args:
            motions: features.
            groups: columns that share the mean of their deviations, so that numbers of one kind keep their relations
                (HumanML3D's own normalisation). Columns that never change keep deviation 1 times a small floor.
            heavy: columns whose deviation is divided by `HEAVIER`, so that losses weigh them more.
        """
        frames = torch.cat([motion.double() for motion in motions])
        std = frames.std(dim=0, correction=0)
        for group in groups:
            std[group] = std[group].mean()
        for group in heavy:
            std[group] /= HEAVIER
        self.mean.copy_(frames.mean(dim=0))
        self.std.copy_(std.clamp(min=1e-3))

    def token_mask(self, frame_mask: Tensor) -> Tensor:
        """`[B, T // 4]`: true where all four frames are real (`frame_mask` `[B, T]`)."""
        whole = frame_mask[:, : frame_mask.shape[1] // STRIDE * STRIDE]
        return whole.reshape(len(whole), -1, STRIDE).all(dim=2)

    def latents(self, features: Tensor, frame_mask: Tensor | None = None) -> Tensor:
        """What is quantised: `[B, T // 4, C]` of features `[B, T, F]`. Frames beyond the last whole token are cut."""
        frames = features.shape[1] // STRIDE * STRIDE
        features = features[:, :frames]
        if frame_mask is None:
            mask = features.new_ones(len(features), 1, frames)
        else:
            mask = self.token_mask(frame_mask).repeat_interleave(STRIDE, dim=1).unsqueeze(1).to(features.dtype)
        normal = (features - self.mean) / self.std
        encoded: Tensor = self.encoder(normal.transpose(1, 2), mask)
        return encoded.transpose(1, 2)

    def codes(self, latents: Tensor, token_mask: Tensor | None = None) -> Tensor:
        """Codes `[B, N]` of latents `[B, N, C]`; 0 on padding."""
        found = self.quantiser.nearest(latents.flatten(0, 1)).view(latents.shape[:2])
        return found if token_mask is None else found.masked_fill(~token_mask, 0)

    @torch.no_grad()
    def encode(self, features: Tensor, frame_mask: Tensor | None = None) -> Tensor:
        """Codes `[B, T // 4]` of features `[B, T, F]`; 0 on padding."""
        mask = None if frame_mask is None else self.token_mask(frame_mask)
        return self.codes(self.latents(features, frame_mask), mask)

    def decode(self, codes: Tensor, token_mask: Tensor | None = None) -> Tensor:
        """Features `[B, 4N, F]` of codes `[B, N]`; 0 on padding."""
        return self.decode_latents(self.quantiser.codebook[codes], token_mask)

    def decode_latents(self, latents: Tensor, token_mask: Tensor | None = None) -> Tensor:
        """Features `[B, 4N, F]` of quantised latents `[B, N, C]`; 0 on padding."""
        if token_mask is None:
            token_mask = torch.ones(latents.shape[:2], dtype=torch.bool, device=latents.device)
        mask = token_mask.unsqueeze(1).to(latents.dtype)
        normal = self.decoder(latents.transpose(1, 2), mask).transpose(1, 2)
        features = normal * self.std + self.mean
        result: Tensor = features * token_mask.repeat_interleave(STRIDE, dim=1).unsqueeze(2)
        return result

    def losses(
        self, features: Tensor, frame_mask: Tensor | None = None, *, official: bool = False,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """`reconstruction`, `velocity` and `commitment` of a batch, unweighted; in training mode the codebook moves.

        Args:
            features: `[B, T, F]`; frame_mask: `[B, T]`.
            official: the released "velocity" term, which compares positions.
            generator: for the inputs that unused codes are put on (CPU).
        """
        latents = self.latents(features, frame_mask)
        frames = latents.shape[1] * STRIDE
        if frame_mask is None:
            frame_mask = torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)
        tokens = self.token_mask(frame_mask)
        real = latents[tokens]
        if self.training:
            self.quantiser.update(real.detach(), generator)
        quantised = self.quantiser.codebook[self.codes(latents, tokens)]
        commitment = functional.mse_loss(real, quantised[tokens])
        # Straight through: the decoder's gradient goes to the encoder as if nothing had been rounded.
        straight = latents + (quantised - latents).detach()
        decoded = (self.decode_latents(straight, tokens) - self.mean) / self.std
        wanted = (features[:, :frames] - self.mean) / self.std
        mask = tokens.repeat_interleave(STRIDE, dim=1)
        reconstruction = functional.smooth_l1_loss(decoded[mask], wanted[mask])
        places = POSITIONS if self.config.features > POSITIONS.stop else slice(None)
        a, b = decoded[..., places], wanted[..., places]
        if not official:
            a, b, mask = a.diff(dim=1), b.diff(dim=1), mask[:, 1:] & mask[:, :-1]
        velocity = functional.smooth_l1_loss(a[mask], b[mask])
        return {"reconstruction": reconstruction, "velocity": velocity, "commitment": commitment}
