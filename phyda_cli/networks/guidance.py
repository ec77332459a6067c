"""Guidance: observations that the encoder does not see, assimilated while sampling. A guided denoiser is a denoiser.

    D′(r_σ; σ) = D(r_σ; σ) + σ² ∇_{r_σ} log N( y | H(x̂), R + γ σ²/(σ² + 1) Σ ),    x̂ = decode(D(r_σ; σ))

H is any differentiable operator on decoded fields. σ²/(σ² + 1) is the variance of r given r_σ for r ~ N(0, 1), and Σ
that of H(x) without these observations, one number an observation: R + … is how far y may be from H(x̂), a diagonal
likelihood. For a Gaussian prior, linear H and observations whose H(x) are uncorrelated, D′ with γ = 1 is exactly the
posterior's denoiser. Where they are correlated, variances as Σ count more than once at large σ what the observations
share. The gradient goes through decoder and network (torch.autograd).

The sampler starts from N(0, σ_max²), so a guided mean m with spread s comes out short by s/σ_max of m.
Source: Rozet and Louppe (2023), Score-based Data Assimilation; Chung et al. (2023), Diffusion Posterior Sampling.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from phyda_cli.networks.edm import Denoiser

Equivalent = Callable[[torch.Tensor], torch.Tensor]
"""H(decode(r)): residuals (batch, …) → (batch, n), differentiable."""


def guided(
    denoiser: Denoiser,
    equivalent: Equivalent,
    observed: torch.Tensor,
    variance: torch.Tensor,
    prior_variance: torch.Tensor,
    *,
    strength: float = 1.0,
) -> Denoiser:
    """D′ for observations y (n,) with error variance R (n,) and Σ (n,), in any units that belong together.

    strength: γ. Without observations D′ is D.
    """

    def denoise(noisy: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        square = sigma.square()
        total = variance + (strength * square / (square + 1.0))[:, None] * prior_variance
        with torch.enable_grad():
            start = noisy.detach().requires_grad_(True)
            estimate = denoiser(start, sigma)
            log_likelihood = -0.5 * ((observed - equivalent(estimate)).square() / total).sum()
            (gradient,) = torch.autograd.grad(log_likelihood, start)
        return estimate.detach() + square.reshape(-1, *(1,) * (noisy.dim() - 1)) * gradient

    return denoise
