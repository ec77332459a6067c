"""The learned analysis: everything between the departures and the members, in units of σ_b.

    μ, log σ, f = VRE(observations, first guess, anomaly, static)            the virtual reconstruction of δ
    μ_z = E(μ),  log σ_z = g(f)                                              its image in the latent space
    r = sampler(D(·; σ | f, μ_z, log σ_z)),   z = μ_z + σ_z r                N times
    δ_i = μ + D(z_i) − D(μ_z)

Decoding differences makes the autoencoder's floor cancel in the mean. Members come in antithetic pairs (noise ε and
−ε), so that the noise of a small ensemble's mean, which is odd in ε to first order, cancels too. Source: paper,
section 3; the residual around a regression mean: Mardani et al. (2023), CorrDiff.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from phyda_cli.model import edm
from phyda_cli.model.config import ModelConfig
from phyda_cli.model.gridded import GriddedObservations
from phyda_cli.model.score import ScoreNetwork
from phyda_cli.model.vae import Autoencoder
from phyda_cli.model.vre import Reconstruction, VirtualReconstructionEncoder


class PhyDA(nn.Module):
    """All networks for C channels on H × W points. In and out: fields in units of σ_b."""

    def __init__(self, channels: int, shape: tuple[int, int], config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.autoencoder = Autoencoder(channels, config.latent_channels, config.autoencoder_width)
        self.encoder = VirtualReconstructionEncoder(channels, shape, config)
        self.latent_log_sigma = nn.Conv2d(self.encoder.feature_width, config.latent_channels, 1)
        self.score = ScoreNetwork(config.latent_channels, self.encoder.feature_width, config.score_widths)

    def reconstruct(
        self,
        observations: GriddedObservations,
        first_guess: torch.Tensor,
        background: torch.Tensor,
        static: torch.Tensor,
    ) -> tuple[Reconstruction, torch.Tensor, torch.Tensor]:
        """The virtual reconstruction, and μ_z and log σ_z (batch, c, H/2, W/2)."""
        reconstruction: Reconstruction = self.encoder(observations, first_guess, background, static)
        mean, _ = self.autoencoder.encode(reconstruction.mean)
        return reconstruction, mean, self.latent_scale(reconstruction.features)

    def latent_scale(self, features: torch.Tensor) -> torch.Tensor:
        """log σ_z = g(f)."""
        result: torch.Tensor = self.latent_log_sigma(features).clamp(-7.0, 3.0)
        return result

    def denoise(
        self,
        noisy: torch.Tensor,
        sigma: torch.Tensor,
        mean: torch.Tensor,
        log_sigma: torch.Tensor,
        features: torch.Tensor,
    ) -> torch.Tensor:
        """D(r_σ; σ | conditions): all (batch, …), sigma (batch,)."""

        def network(x: torch.Tensor, c_noise: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.score(x, c_noise, mean, log_sigma, features)
            return result

        return edm.denoise(network, noisy, sigma)

    def members(
        self,
        reconstruction: Reconstruction,
        mean: torch.Tensor,
        log_sigma: torch.Tensor,
        *,
        count: int,
        evaluations: int,
        seed: int,
        churn: float = 0.0,
    ) -> torch.Tensor:
        """δ_i of one case (batch of one): (count, C, H, W). The same seed draws the same members."""
        generator = torch.Generator().manual_seed(seed)
        half = torch.randn((count + 1) // 2, *mean.shape[1:], generator=generator, dtype=torch.float64)
        noise = torch.stack([half, -half], dim=1).flatten(0, 1)[:count].to(mean)
        conditions = [x.expand(count, -1, -1, -1) for x in (mean, log_sigma, reconstruction.features)]

        def denoiser(noisy: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            return self.denoise(noisy, sigma, *conditions)

        r = edm.sample(denoiser, noise, evaluations=evaluations, churn=churn, seed=seed + 1)
        decoded = self.autoencoder.decode(mean + log_sigma.exp() * r)
        return reconstruction.mean + decoded - self.autoencoder.decode(mean)


def reconstruction_loss(reconstruction: Reconstruction, truth: torch.Tensor, area: torch.Tensor) -> torch.Tensor:
    """Gaussian negative log likelihood ½ ⟨((δ − μ)/σ)² + 2 log σ⟩ plus ½ ⟨(δ − μ)²⟩, area-weighted (H, 1).

    The second term keeps the mean from neglecting what the first calls uncertain.
    """
    error = truth - reconstruction.mean
    likelihood = (error * torch.exp(-reconstruction.log_sigma)).square() + 2.0 * reconstruction.log_sigma
    return 0.5 * ((likelihood + error.square()) * area).mean()


def latent_loss(latent: torch.Tensor, mean: torch.Tensor, log_sigma: torch.Tensor) -> torch.Tensor:
    """Gaussian negative log likelihood of the true latent under N(μ_z, σ_z²), for σ_z."""
    return functional.gaussian_nll_loss(mean.detach(), latent.detach(), torch.exp(2.0 * log_sigma), full=False)
