"""Diffusion in the latent space: EDM's preconditioned denoiser, its training, and the sampler.

    r_σ = r + σ ε,    r ~ data of standard deviation σ_d = 1
    D(r_σ; σ) = c_skip r_σ + c_out F(c_in r_σ; c_noise)
    c_skip = σ_d²/(σ² + σ_d²),   c_out = σ σ_d/√(σ² + σ_d²),   c_in = 1/√(σ² + σ_d²),   c_noise = ¼ ln σ
    L = E_{ln σ ~ N(P_m, P_s²)} (σ² + σ_d²)/(σ σ_d)² ‖D(r + σ ε; σ) − r‖²

D is the posterior mean E[r | r_σ], so (D − r_σ)/σ² is the score. Sampling follows dr/dσ = (r − D)/σ over
σ_i = (σ_max^{1/ρ} + i/(n−1) (σ_min^{1/ρ} − σ_max^{1/ρ}))^ρ and 0, by DPM-Solver++(2M): with λ = −ln σ, h = λ′ − λ,
h₀ the step before and w = h₀/h,

    r′ = (σ′/σ) r − (e^{−h} − 1) D̄,    D̄ = (1 + 1/(2w)) D_i − 1/(2w) D_{i−1}

(first order in the first step and to σ = 0), n evaluations in all. `churn` > 0 makes it stochastic: before each
evaluation noise raises σ to σ(1 + churn). Source: Karras et al. (2022), equations 5–8, table 1, algorithm 2;
Lu et al. (2022), DPM-Solver++, algorithm 2.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Final

import torch

Network = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""F(input (batch, …), c_noise (batch,)) → (batch, …)."""
Denoiser = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""D(r_σ (batch, …), σ (batch,)) → (batch, …)."""

SIGMA_DATA: Final = 1.0
SIGMA_MIN: Final = 0.05
SIGMA_MAX: Final = 8.0
RHO: Final = 7.0
LOG_SIGMA_MEAN: Final = -0.6
LOG_SIGMA_STD: Final = 1.4


def denoise(network: Network, noisy: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """D(r_σ; σ): noisy (batch, …), sigma (batch,)."""
    s = sigma.reshape(-1, *(1,) * (noisy.dim() - 1))
    total = s.square() + SIGMA_DATA**2
    prediction = network(noisy * total.rsqrt(), 0.25 * sigma.log())
    return SIGMA_DATA**2 / total * noisy + s * SIGMA_DATA * total.rsqrt() * prediction


def sigma_of(normal: torch.Tensor) -> torch.Tensor:
    """Noise levels for training, between σ_min and σ_max, from numbers of N(0, 1)."""
    return torch.exp(LOG_SIGMA_MEAN + LOG_SIGMA_STD * normal).clamp(SIGMA_MIN, SIGMA_MAX)


def loss_weight(sigma: torch.Tensor) -> torch.Tensor:
    """(σ² + σ_d²)/(σ σ_d)²."""
    return (sigma.square() + SIGMA_DATA**2) / (sigma * SIGMA_DATA).square()


def schedule(evaluations: int) -> torch.Tensor:
    """σ_0 = σ_max > … > σ_{n−1} = σ_min, then 0: (evaluations + 1,)."""
    if evaluations < 1:
        raise ValueError(f"{evaluations} evaluations: at least one is needed")
    steps = torch.linspace(0.0, 1.0, evaluations, dtype=torch.float64) if evaluations > 1 else torch.zeros(1).double()
    first, last = SIGMA_MAX ** (1 / RHO), SIGMA_MIN ** (1 / RHO)
    return torch.cat([(first + steps * (last - first)) ** RHO, torch.zeros(1, dtype=torch.float64)])


def sample(
    denoiser: Denoiser, noise: torch.Tensor, *, evaluations: int, churn: float = 0.0, seed: int = 0
) -> torch.Tensor:
    """Draw r from noise (batch, …) ~ N(0, I) with `evaluations` evaluations of the denoiser.

    churn: relative rise of σ by fresh noise before each evaluation but the first; 0 is deterministic given the noise.
    """
    sigmas: list[float] = schedule(evaluations).tolist()
    generator = torch.Generator().manual_seed(seed)
    r = noise * sigmas[0]
    previous: torch.Tensor | None = None
    last_step = 0.0
    for i, (sigma, following) in enumerate(itertools.pairwise(sigmas)):
        if churn > 0 and i > 0:
            raised = sigma * (1.0 + churn)
            fresh = torch.randn(r.shape, generator=generator, dtype=torch.float64).to(r)
            r, sigma = r + (raised**2 - sigma**2) ** 0.5 * fresh, raised
        estimate = denoiser(r, torch.full((r.shape[0],), sigma, dtype=r.dtype, device=r.device))
        if following == 0.0:
            return estimate
        ratio = following / sigma
        direction = estimate
        step = -math.log(ratio)
        if previous is not None:
            half = step / (2.0 * last_step)
            direction = (1.0 + half) * estimate - half * previous
        r = ratio * r + (1.0 - ratio) * direction
        previous, last_step = estimate, step
    return r
