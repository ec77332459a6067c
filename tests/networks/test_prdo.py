"""The physically regularised objective: its weights and its mismatch, by hand, and its symmetry."""

from __future__ import annotations

import pytest
import torch

from phyda_cli.fields.state import Channel
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.networks.prdo import PhysicsMismatch, PrdoConfig

GRID = LatLonGrid.equiangular(16, 32)
LEVELS = (85_000.0, 50_000.0, 25_000.0)
CHANNELS = (*(Channel(name, level) for name in ("u", "v", "t", "q", "z") for level in LEVELS), Channel("msl"))
AREA = torch.as_tensor(GRID.area_weights)[:, None] * GRID.shape[0]
Z = [i for i, channel in enumerate(CHANNELS) if channel.variable == "z"]


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def states(count: int, seed: int) -> torch.Tensor:
    """Smooth anomalies about a resting atmosphere."""
    size = torch.tensor([10.0] * 6 + [5.0] * 3 + [1e-3] * 3 + [500.0] * 3 + [500.0])[:, None, None]
    base = torch.tensor([0.0] * 6 + [280.0, 255.0, 225.0] + [5e-3, 1e-3, 1e-4] + [14e3, 54e3, 100e3] + [1e5])
    wave = torch.nn.functional.interpolate(draw(count, len(CHANNELS), 4, 8, seed=seed), GRID.shape, mode="bicubic")
    return base[:, None, None] + size * wave


def mismatch(**choices: object) -> PhysicsMismatch:
    config = PrdoConfig.model_validate(choices)
    return PhysicsMismatch(config, CHANNELS, GRID, AREA, states(24, 0))


def test_the_weights_by_hand() -> None:
    """σ = 1 gives 2c, σ = ½ gives 5c, σ = 0.1 the cap, above 1 nothing; half-way up the ramp a half."""
    config = PrdoConfig(weight=0.5, cap=20.0, ramp=0.2)
    sigma = torch.tensor([1.0, 0.5, 0.1, 1.0001, 8.0])
    assert config.weights(sigma, 1.0).tolist() == pytest.approx([1.0, 2.5, 10.0, 0.0, 0.0])
    assert config.weights(sigma, 0.1).tolist() == pytest.approx([0.5, 1.25, 5.0, 0.0, 0.0])
    assert not config.weights(sigma, 0.0).any()
    assert config.model_copy(update={"ramp": 0.0}).weights(sigma, 0.0)[0] == 1.0


def test_the_truth_has_no_mismatch_and_anything_else_has() -> None:
    made, truth = mismatch(), states(3, 1)
    assert not made(truth, truth).any()
    other = truth.clone()
    other[1, 0] += 5 * draw(*GRID.shape, seed=2)
    value = made(other, truth)
    assert value[1] > 0
    assert not value[[0, 2]].any()


def test_a_geopotential_off_by_a_constant_is_seen_by_the_hydrostatic_part_alone() -> None:
    """z of the middle level + 100: each of its two layers is off by ±100/its own climatological spread."""
    truth = states(2, 1)
    wrong = truth.clone()
    wrong[:, Z[1]] += 100.0
    part = mismatch(hydrostatic=1.0, operator={"physics": "hydrostatic"})
    residual = part.operator.hydrostatic_residual(states(24, 0))
    variance = ((residual - residual.mean(0)).square() * AREA).mean((0, -2, -1))
    expected = (100.0**2 / variance).mean()
    assert part(wrong, truth).tolist() == pytest.approx([float(expected)] * 2, rel=1e-4)
    twice = mismatch(hydrostatic=2.0, operator={"physics": "hydrostatic"})
    assert twice(wrong, truth)[0] == pytest.approx(2 * float(expected), rel=1e-4)
    # a constant has no gradient: the momentum equations do not see it
    assert mismatch(hydrostatic=0.0, operator={"equations": ("u", "v")})(wrong, truth).max() < 1e-6 * expected


def test_a_climatological_sample_against_another_scores_two() -> None:
    """Independent draws of the sample's own distribution differ by twice its variance in every counted channel."""
    made = mismatch(hydrostatic=0.0, operator={"equations": ("t",), "latitudes": (0.0, 90.0)})
    value = made(states(40, 3), states(40, 4)).mean()
    counted = len(LEVELS) / len(CHANNELS)
    assert float(value) == pytest.approx(2 * counted, rel=0.15)


def test_the_papers_target_is_no_residual_at_all() -> None:
    truth = states(2, 1)
    paper = mismatch(target="zero")
    assert paper(truth, truth).min() > 0
    assert torch.allclose(paper(truth, states(2, 5)), paper(truth, truth))


def test_the_reflection_at_the_equator_keeps_the_mismatch() -> None:
    """Rows reversed and v negated: the equations of motion do not change, so training may use it."""
    north = torch.tensor([-1.0 if channel.variable == "v" else 1.0 for channel in CHANNELS])[:, None, None]
    made, estimate, truth = mismatch(), states(3, 6), states(3, 7)
    turned = made(estimate.flip(-2) * north, truth.flip(-2) * north)
    assert torch.allclose(turned, made(estimate, truth), rtol=2e-3)
    assert not torch.allclose(made(estimate.flip(-2), truth.flip(-2)), made(estimate, truth), rtol=2e-2)


def test_the_gradient_reaches_the_estimate_and_not_the_truth() -> None:
    estimate, truth = states(2, 8).requires_grad_(), states(2, 9).requires_grad_()
    mismatch()(estimate, truth).sum().backward()
    assert estimate.grad is not None
    assert estimate.grad[:, :15].flatten(2).abs().amax(-1).min() > 0  # all of u, v, t, q, z; msl has no equation
    assert truth.grad is None


def test_no_physics_is_no_term() -> None:
    assert not PrdoConfig.model_validate({"operator": {"physics": "none"}}).active
    assert not PrdoConfig(weight=0.0).active
    assert PrdoConfig().active
