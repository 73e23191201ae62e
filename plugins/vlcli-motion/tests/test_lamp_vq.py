"""The motion VQ-VAE: shapes, padding, the codebook, and that it learns."""

from __future__ import annotations

import torch
from torch import Tensor
from vlcli_motion.methods.lamp.config import LampConfig
from vlcli_motion.methods.lamp.vq import MotionVq, Quantiser

SMALL = LampConfig(codes=32, code_dim=16, vq_width=32, vq_depth=2)


def waves(count: int = 24, frames: int = 32) -> Tensor:
    """Smooth features `[B, T, 263]` of a few frequencies."""
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(frames).view(1, frames, 1) / 8
    speed = torch.randint(1, 4, (count, 1, 1), generator=generator)
    mixing = torch.randn(2, 263, generator=generator)
    return torch.cat([(time * speed).sin(), (time * speed).cos()], dim=2) @ mixing * 3 + 5


def fitted(features: Tensor) -> MotionVq:
    """A VQ-VAE that knows the features' scale and has a codebook."""
    torch.manual_seed(0)
    vq = MotionVq(SMALL)
    vq.fit(list(features))
    vq.train()
    vq.losses(features, generator=torch.Generator().manual_seed(0))
    return vq.eval()


def test_shapes_and_rest_frames() -> None:
    features = waves(frames=34)
    vq = fitted(features)
    codes = vq.encode(features)
    assert codes.shape == (24, 8) and codes.dtype == torch.int64
    assert vq.decode(codes).shape == (24, 32, 263)
    # The two frames beyond the last whole token say nothing.
    torch.testing.assert_close(vq.encode(features[:, :32]), codes)


def test_a_motion_has_the_same_codes_alone_and_in_a_batch() -> None:
    features = waves()
    vq = fitted(features)
    mask = torch.ones(24, 32, dtype=torch.bool)
    mask[3, 18:] = False
    garbage = features.clone()
    garbage[3, 18:] = 1e3
    codes = vq.encode(garbage, mask)
    assert vq.token_mask(mask)[3].tolist() == [True] * 4 + [False] * 4
    alone = vq.encode(features[3:4, :18])
    assert codes[3].tolist() == [*alone[0].tolist(), 0, 0, 0, 0]
    decoded = vq.decode(codes, vq.token_mask(mask))
    torch.testing.assert_close(decoded[3, :16], vq.decode(alone)[0], atol=1e-4, rtol=1e-4)
    assert not bool(decoded[3, 16:].any())


def test_losses_do_not_see_padding() -> None:
    features = waves()
    vq = fitted(features)
    mask = torch.ones(24, 32, dtype=torch.bool)
    mask[:, 20:] = False
    garbage = features.masked_fill(~mask.unsqueeze(2), 77.0)
    inside, outside = vq.losses(features[:, :20]), vq.losses(garbage, mask)
    for name in ("reconstruction", "velocity", "commitment"):
        torch.testing.assert_close(outside[name], inside[name], atol=1e-5, rtol=1e-4)


def test_released_velocity_term_compares_positions() -> None:
    features = waves()
    vq = fitted(features)
    ours, released = vq.losses(features)["velocity"], vq.losses(features, official=True)["velocity"]
    decoded = (vq.decode(vq.encode(features)) - vq.mean) / vq.std
    wanted = (features - vq.mean) / vq.std
    expected = torch.nn.functional.smooth_l1_loss(decoded[..., 4:67], wanted[..., 4:67])
    torch.testing.assert_close(released, expected, atol=1e-5, rtol=1e-4)
    assert abs(float(ours - released)) > 1e-3


def test_gradient_goes_straight_through_to_the_encoder() -> None:
    features = waves(4)
    vq = fitted(features)
    vq.losses(features)["reconstruction"].backward()
    assert all(parameter.grad is not None for parameter in vq.encoder.parameters())


def test_codebook_follows_its_inputs_and_revives_dead_codes() -> None:
    quantiser = Quantiser(8, 4, decay=0.5)
    generator = torch.Generator().manual_seed(0)
    clusters = torch.randn(4, 4, generator=generator) * 10
    for _ in range(30):
        noise = 0.01 * torch.randn(64, 4, generator=generator)
        quantiser.update(clusters.repeat(16, 1) + noise, generator)
    distance = torch.cdist(clusters, quantiser.codebook).amin(dim=1)
    assert float(distance.max()) < 0.1
    # A code far from everything is put on an input.
    quantiser.codebook[0] = 1e4
    quantiser.sums[0] = 1e4
    quantiser.counts[0] = 1e-3
    quantiser.update(clusters.repeat(16, 1), generator)
    assert float(quantiser.codebook.abs().max()) < 100


def test_codebook_can_be_larger_than_the_first_batch() -> None:
    quantiser = Quantiser(50, 4)
    quantiser.update(torch.randn(7, 4, generator=torch.Generator().manual_seed(0)))
    assert bool(quantiser.codebook.isfinite().all())


def test_it_learns_to_reconstruct() -> None:
    features = waves()
    torch.manual_seed(0)
    vq = MotionVq(SMALL)
    vq.fit(list(features))
    vq.train()
    optimizer = torch.optim.Adam(vq.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    first = float(vq.losses(features, generator=generator)["reconstruction"])
    for _ in range(60):
        losses = vq.losses(features, generator=generator)
        optimizer.zero_grad()
        (losses["reconstruction"] + 0.5 * losses["velocity"] + 0.02 * losses["commitment"]).backward()
        optimizer.step()
    vq.eval()
    assert float(vq.losses(features)["reconstruction"]) < 0.3 * first
    assert len(vq.encode(features).unique()) > 8


def test_normalisation_keeps_groups_together_and_weighs_the_root_more() -> None:
    motions = [torch.randn(50, 263, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.5, 2, 263)]
    plain, grouped, heavy = MotionVq(SMALL), MotionVq(SMALL), MotionVq(SMALL)
    plain.fit(motions)
    grouped.fit(motions, (slice(4, 67),))
    heavy.fit(motions, (slice(4, 67),), (slice(0, 4),))
    torch.testing.assert_close(grouped.std[4:67], plain.std[4:67].mean().expand(63))
    torch.testing.assert_close(heavy.std[:4] * 5, plain.std[:4])
    assert torch.equal(heavy.std[67:], plain.std[67:]) and torch.equal(heavy.mean, plain.mean)
