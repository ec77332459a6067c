"""The denoiser and the sampler, against a Gaussian, whose posterior is known."""

import pytest
import torch

from phyda_cli.networks import edm


def gaussian(mean: float, std: float) -> edm.Denoiser:
    """E[r | r_σ] for r ~ N(mean, std²): (std² r_σ + σ² mean)/(std² + σ²)."""

    def denoiser(noisy: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        s2 = sigma.square()[:, None]
        return (std**2 * noisy + s2 * mean) / (std**2 + s2)

    return denoiser


def test_preconditioning_by_hand() -> None:
    """At σ = 1: c_skip = 1/2, c_out = c_in = 1/√2, c_noise = 0; at σ = 2: 1/5, 2/√5, 1/√5, ¼ ln 2."""
    seen: list[torch.Tensor] = []

    def network(x: torch.Tensor, c_noise: torch.Tensor) -> torch.Tensor:
        seen.extend((x, c_noise))
        return torch.ones_like(x)

    noisy = torch.tensor([[3.0], [5.0]], dtype=torch.float64)
    result = edm.denoise(network, noisy, torch.tensor([1.0, 2.0], dtype=torch.float64))
    assert torch.allclose(seen[0], torch.tensor([[3 / 2**0.5], [5**0.5]], dtype=torch.float64))
    assert torch.allclose(seen[1], torch.tensor([0.0, 0.25 * 0.6931471805599453], dtype=torch.float64))
    expected = torch.tensor([[1.5 + 1 / 2**0.5], [1.0 + 2 / 5**0.5]], dtype=torch.float64)
    assert torch.allclose(result, expected)


def test_the_loss_weight_is_one_over_c_out_squared() -> None:
    assert edm.loss_weight(torch.tensor([1.0, 2.0])).tolist() == pytest.approx([2.0, 1.25])


def test_the_schedule_falls_from_the_largest_noise_to_zero() -> None:
    sigmas = edm.schedule(12)
    assert sigmas[0].item() == pytest.approx(edm.SIGMA_MAX)
    assert sigmas[-2].item() == pytest.approx(edm.SIGMA_MIN)
    assert sigmas[-1] == 0
    assert bool((sigmas.diff() < 0).all())
    assert edm.schedule(1).tolist() == pytest.approx([edm.SIGMA_MAX, 0.0])
    with pytest.raises(ValueError, match="0 evaluations"):
        edm.schedule(0)


def test_training_noise_has_the_stated_distribution_and_bounds() -> None:
    sigma = edm.sigma_of(torch.randn(40_000, generator=torch.Generator().manual_seed(0)))
    assert sigma.log().median().item() == pytest.approx(edm.LOG_SIGMA_MEAN, abs=0.03)
    assert sigma.min() >= edm.SIGMA_MIN
    assert sigma.max() <= edm.SIGMA_MAX


@pytest.mark.parametrize(("mean", "churn", "evaluations"), [(0.7, 0.0, 12), (0.0, 0.05, 24)])
def test_the_sampler_draws_from_a_gaussian(mean: float, churn: float, evaluations: int) -> None:
    noise = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    drawn = edm.sample(gaussian(mean, 0.6), noise, evaluations=evaluations, churn=churn)
    # the flow starts at mean 0 instead of its own, of which 0.6/√(0.6² + σ_max²) is never forgotten
    assert drawn.mean().item() == pytest.approx(mean * (1 - 0.6 / (0.6**2 + edm.SIGMA_MAX**2) ** 0.5), abs=0.02)
    assert drawn.std().item() == pytest.approx(0.6, rel=0.05)


def test_more_evaluations_come_closer_to_the_flow_s_exact_end() -> None:
    """For N(0, s²) the flow keeps r/√(s² + σ²): it ends at noise σ_max s/√(s² + σ_max²)."""
    s = 0.6
    noise = torch.tensor([[1.0], [-2.0]], dtype=torch.float64)
    exact = noise * edm.SIGMA_MAX * s / (s**2 + edm.SIGMA_MAX**2) ** 0.5
    errors = [float((edm.sample(gaussian(0.0, s), noise, evaluations=n) - exact).abs().max()) for n in (10, 20, 40)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.005


def test_one_evaluation_is_the_denoised_mean_of_pure_noise() -> None:
    noise = torch.tensor([[1.5]], dtype=torch.float64)
    denoiser = gaussian(2.0, 1.0)
    expected = denoiser(noise * edm.SIGMA_MAX, torch.tensor([edm.SIGMA_MAX], dtype=torch.float64))
    assert torch.equal(edm.sample(denoiser, noise, evaluations=1), expected)


def test_opposite_noise_gives_opposite_members_around_the_mean() -> None:
    noise = torch.randn(4, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    plus = edm.sample(gaussian(0.7, 0.6), noise, evaluations=10)
    minus = edm.sample(gaussian(0.7, 0.6), -noise, evaluations=10)
    zero = edm.sample(gaussian(0.7, 0.6), torch.zeros_like(noise), evaluations=10)
    assert torch.allclose(0.5 * (plus + minus), zero, atol=1e-12)


def test_the_seed_of_the_churn_decides() -> None:
    noise = torch.ones(1, 2, dtype=torch.float64)
    runs = [edm.sample(gaussian(0, 1), noise, evaluations=6, churn=0.1, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
