"""The learned analysis: everything between the departures and the members, in units of σ_b.

    μ, log σ, f = VRE(observations, first guess, anomaly, static)            the virtual reconstruction of δ
    μ_z = E(μ),  log σ_z = g(f)                                              its image in the latent space
    r = sampler(D(·; σ | f, μ_z, log σ_z)),   z = μ_z + σ_z r                N times
    δ_i = μ + D(z_i) − D(μ_z)

With `latent = "state"` the autoencoder describes states instead: with b the background's anomaly and ρ = std/(s σ_b),

    μ_z = E(b + μ/ρ),    δ_i = μ + ρ (D(z_i) − D(μ_z))                       so x_a = x_b + μ + D(z) − D(E(x_b + μ))

With `conditional = false` nothing is known: μ = 0, σ_z = 1, f = 0, and r is the latent itself (the prior of increments
that guidance starts from).

Decoding differences makes the autoencoder's floor cancel in the mean. Members are independent, so that the truth may
lie anywhere among them (pairs of opposite noise would leave a gap around the mean). Source: paper, section 3; the
residual around a regression mean: Mardani et al. (2023), CorrDiff.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn

from phyda_cli.networks import edm
from phyda_cli.networks.config import ModelConfig
from phyda_cli.networks.gridded import GriddedObservations
from phyda_cli.networks.score import ScoreNetwork
from phyda_cli.networks.vae import Autoencoder
from phyda_cli.networks.vre import Reconstruction, VirtualReconstructionEncoder

Guide = Callable[[edm.Denoiser, Callable[[torch.Tensor], torch.Tensor]], edm.Denoiser]
"""Of a denoiser and the decoder of its residuals to δ (batch, C, H, W), the denoiser to sample with."""


class Base(NamedTuple):
    """What the increments stand on. anomaly: b (batch, C, H, W). ratio: ρ (batch, C, H, 1)."""

    anomaly: torch.Tensor
    ratio: torch.Tensor


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
        base: Base,
    ) -> tuple[Reconstruction, torch.Tensor, torch.Tensor]:
        """Return the virtual reconstruction, and μ_z and log σ_z (batch, c, H/2, W/2)."""
        if not self.config.conditional:
            nothing = torch.zeros_like(first_guess)
            shape = (first_guess.shape[-2] // 2, first_guess.shape[-1] // 2)
            features = nothing.new_zeros(nothing.shape[0], self.encoder.feature_width, *shape)
            latent = nothing.new_zeros(nothing.shape[0], self.config.latent_channels, *shape)
            return Reconstruction(nothing, nothing, features), latent, latent
        reconstruction: Reconstruction = self.encoder(observations, first_guess, background, static)
        mean, _ = self.autoencoder.encode(self.described(reconstruction.mean, base))
        return reconstruction, mean, self.latent_scale(reconstruction.features)

    def described(self, increment: torch.Tensor, base: Base) -> torch.Tensor:
        """Return what the autoencoder is given for an increment: itself, or the state's anomaly."""
        return increment if self.config.latent == "increment" else base.anomaly + increment / base.ratio

    def decode(self, latent: torch.Tensor, base: Base) -> torch.Tensor:
        """D(z) in units of σ_b, up to what does not depend on z."""
        decoded = self.autoencoder.decode(latent)
        return decoded if self.config.latent == "increment" else base.ratio * decoded

    def latent_scale(self, features: torch.Tensor) -> torch.Tensor:
        """log σ_z = g(f)."""
        result: torch.Tensor = self.latent_log_sigma(features).clamp(-7.0, 3.0)
        return result

    def denoise(self, noisy: torch.Tensor, sigma: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """D(r_σ; σ | condition), the condition that of the score network: all (batch, …), sigma (batch,)."""

        def network(x: torch.Tensor, c_noise: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.score(x, c_noise, condition)
            return result

        return edm.denoise(network, noisy, sigma)

    def members(
        self,
        reconstruction: Reconstruction,
        mean: torch.Tensor,
        log_sigma: torch.Tensor,
        base: Base,
        *,
        count: int,
        evaluations: int,
        seeds: Sequence[int],
        churn: float = 0.0,
        guide: Guide | None = None,
    ) -> torch.Tensor:
        """δ_i of a batch of cases: (batch, count, C, H, W).

        seeds: of each case, whose first noise depends on nothing else; fresh noise (churn) is drawn for the batch.
        guide: makes a guided denoiser (`guidance`).
        """
        noise = torch.cat([_noise(count, mean.shape[1:], seed) for seed in seeds]).to(mean)
        condition = self.score.condition(mean, log_sigma, reconstruction.features).repeat_interleave(count, 0)
        middle, width = mean.repeat_interleave(count, 0), log_sigma.exp().repeat_interleave(count, 0)

        def denoiser(noisy: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            return self.denoise(noisy, sigma, condition)

        repeated = Base(*(x.repeat_interleave(count, 0) for x in base))
        centre = (reconstruction.mean - self.decode(mean, base)).repeat_interleave(count, 0)

        def increments(r: torch.Tensor) -> torch.Tensor:
            return centre + self.decode(middle + width * r, repeated)

        chosen = denoiser if guide is None else guide(denoiser, increments)
        r = edm.sample(chosen, noise, evaluations=evaluations, churn=churn, seed=seeds[0] + 1)
        return increments(r).reshape(len(seeds), count, *centre.shape[1:])


def _noise(count: int, shape: torch.Size, seed: int) -> torch.Tensor:
    """(count, *shape) of N(0, 1)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *shape, generator=generator, dtype=torch.float64)


def reconstruction_loss(reconstruction: Reconstruction, truth: torch.Tensor, area: torch.Tensor) -> torch.Tensor:
    """Gaussian negative log likelihood ½ ⟨((δ − μ)/σ)² + 2 log σ⟩, area-weighted (H, 1), for σ alone.

    μ is taken as it is: a likelihood that moved it would neglect what is uncertain, and the squared error suffers.
    """
    error = truth - reconstruction.mean.detach()
    likelihood = (error * torch.exp(-reconstruction.log_sigma)).square() + 2.0 * reconstruction.log_sigma
    return 0.5 * (likelihood * area).mean()


def latent_loss(latent: torch.Tensor, mean: torch.Tensor, log_sigma: torch.Tensor) -> torch.Tensor:
    """Gaussian negative log likelihood of the true latent under N(μ_z, σ_z²), for σ_z."""
    # written out: torch's own waits for the device to say that no variance is negative
    error = (latent.detach() - mean.detach()) * torch.exp(-log_sigma)
    return 0.5 * (error.square() + 2.0 * log_sigma).mean()
