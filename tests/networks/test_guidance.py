"""Guidance against the exact posterior of a linear Gaussian problem, whose denoisers are known in closed form.

r ~ N(0, I): D(r_σ; σ) = r_σ/(1 + σ²). With y = A r + N(0, R) the posterior's denoiser is
P⁻¹ (r_σ/σ² + Aᵀ R⁻¹ y), P = (1 + 1/σ²) I + Aᵀ R⁻¹ A.
"""

from __future__ import annotations

import pytest
import torch

from phyda_cli.networks.edm import SIGMA_MAX, sample
from phyda_cli.networks.guidance import guided

A = torch.tensor([[0.8, -0.6, 0.0, 0.0], [0.9, 1.2, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]], dtype=torch.float64)
"""Rows at right angles: the H(x) are uncorrelated."""
Y = torch.tensor([1.0, -0.7, 2.0], dtype=torch.float64)
R = torch.tensor([0.25, 1.0, 0.5], dtype=torch.float64)
SPREAD = (A @ A.mT).diagonal()


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def prior(noisy: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    return noisy / (1.0 + sigma[:, None].square())


def linear(r: torch.Tensor) -> torch.Tensor:
    return r @ A.mT


def posterior(y: torch.Tensor = Y, a: torch.Tensor = A, r: torch.Tensor = R) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance of r given y."""
    covariance = torch.linalg.inv(torch.eye(a.shape[1]).double() + a.mT @ (a / r[:, None]))
    return covariance @ a.mT @ (y / r), covariance


@pytest.mark.parametrize("sigma", [0.05, 0.5, 2.0, 8.0])
def test_the_guided_denoiser_is_the_posterior_s(sigma: float) -> None:
    noisy, level = draw(5, 4, seed=1), torch.full((5,), sigma, dtype=torch.float64)
    precision = (1.0 + sigma**-2) * torch.eye(4).double() + A.mT @ (A / R[:, None])
    expected = torch.linalg.solve(precision, (noisy / sigma**2 + A.mT @ (Y / R)).mT).mT
    found = guided(prior, linear, Y, R, SPREAD)(noisy, level)
    assert torch.allclose(found, expected, atol=1e-10)


def started(mean: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """Where the sampler's start at N(0, σ_max²) leads: m − C^{1/2} (C + σ_max²)^{-1/2} m, short by s/σ_max."""
    values, vectors = torch.linalg.eigh(covariance)
    return mean - vectors @ ((values / (values + SIGMA_MAX**2)).sqrt() * (vectors.mT @ mean))


def test_the_sampler_draws_from_the_posterior() -> None:
    """20 000 draws: their mean has a standard error below 0.007; the sampler's steps leave 2 % of a spread."""
    mean, covariance = posterior()
    drawn = sample(guided(prior, linear, Y, R, SPREAD), draw(20_000, 4, seed=2), evaluations=40)
    assert torch.allclose(drawn.mean(0), started(mean, covariance), atol=0.015)
    assert torch.allclose(drawn.mean(0), mean, rtol=0.07, atol=0.01)
    assert torch.allclose(drawn.std(0), covariance.diagonal().sqrt(), atol=0.02)
    found = torch.corrcoef(drawn.mT)
    scale = covariance.diagonal().sqrt()
    assert torch.allclose(found, covariance / (scale[:, None] * scale), atol=0.03)
    # far from the prior: the test would see a sampler that ignores y
    assert (mean.abs() > 0.3).sum() >= 3
    assert (covariance.diagonal() < 0.8).sum() >= 3


def test_without_observations_nothing_changes() -> None:
    nothing = torch.zeros(0, dtype=torch.float64)
    unguided = guided(prior, lambda r: r[:, :0], nothing, nothing, nothing)
    noisy, sigma = draw(5, 4, seed=3), torch.full((5,), 0.7, dtype=torch.float64)
    assert torch.equal(unguided(noisy, sigma), prior(noisy, sigma))
    noise = draw(6, 4, seed=4)
    assert torch.equal(sample(unguided, noise, evaluations=5), sample(prior, noise, evaluations=5))


def test_an_observation_without_information_changes_nothing() -> None:
    noisy, sigma = draw(5, 4, seed=5), torch.full((5,), 1.0, dtype=torch.float64)
    found = guided(prior, linear, Y, R * 1e12, SPREAD)(noisy, sigma)
    assert torch.allclose(found, prior(noisy, sigma), atol=1e-9)


def test_any_differentiable_operator_by_finite_differences() -> None:
    """Wind speed √(u² + v²) behind a denoiser that is not linear either."""

    def network(noisy: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return torch.tanh(noisy) + 0.3 * noisy.roll(1, -1)

    def speed(r: torch.Tensor) -> torch.Tensor:
        return torch.stack([(1.0 + r[:, 0]).hypot(r[:, 1]), r[:, 2].hypot(r[:, 3] - 2.0)], dim=1)

    observed, error, spread = torch.tensor([2.0, 1.0]), torch.tensor([0.3, 0.2]), torch.tensor([1.0, 0.7])
    level = 0.8
    total = error + 2.0 * level**2 / (level**2 + 1) * spread

    def log_likelihood(noisy: torch.Tensor) -> float:
        x = network(noisy[None], torch.tensor([level]))
        return float(-0.5 * ((observed - speed(x)[0]).square() / total).sum())

    start = draw(4, seed=6)
    found = guided(network, speed, observed, error, spread, strength=2.0)(start[None], torch.tensor([level]))[0]
    for i, step in enumerate(1e-5 * torch.eye(4).double()):
        slope = (log_likelihood(start + step) - log_likelihood(start - step)) / 2e-5
        change = found[i] - network(start[None], torch.tensor([level]))[0, i]
        assert float(change) == pytest.approx(level**2 * slope, rel=1e-6)


def test_observations_that_say_the_same_need_strength() -> None:
    """Five copies of one observation: at σ = 2 the diagonal pulls too hard, with γ = 5 just as the exact posterior."""
    copies, five = torch.ones(5, 1, dtype=torch.float64), torch.ones(5, dtype=torch.float64)
    noisy, sigma = torch.zeros(1, 1, dtype=torch.float64), torch.full((1,), 2.0, dtype=torch.float64)

    def pull(strength: float) -> float:
        denoiser = guided(prior, lambda r: r @ copies.mT, 2.0 * five, 0.1 * five, five, strength=strength)
        return float(denoiser(noisy, sigma))

    exact = (5 * 2.0 / 0.1) / (1.0 + 1.0 / 4.0 + 5 / 0.1)
    assert pull(5.0) == pytest.approx(exact)
    assert pull(1.0) > 3.0 * exact
