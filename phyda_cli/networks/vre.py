"""The Virtual Reconstruction Encoder: sparse observations and a background in, a reconstruction everywhere out.

RevIN (`ModelConfig.revin`; off in the weights that ship, so that m = 0, s = 1) works over the observed points of each
channel (n of them, d′ = departure/σ_b, ε = σ_o/σ_b), shrunk to climatology:

    m = Σ n v d′ / (Σ n v + n₀),    s² = (Σ n v² ((d′ − m)² − ε²) + n₀) / (Σ n v² + n₀),    v = 1/(1 + ε²)
    d″ = (d′ − m)/s,    μ = s μ̂ + m,    log σ = log σ̂ + log s                 (reversed at the output)

m and s are those of the error that is sought, not of the departures: their noise is taken off, and they count by what
they tell (v is the inverse variance of d′ where the error has the size of the climatology). In between M strided
convolutions, the first of them on the fields themselves (2 × 2 points ↔ one token), `ModelConfig.backbone` blocks of
self-attention and convolution over the coarsest tokens, and the way back with skip connections:

    x = [w d″, w, density, first guess, background anomaly, static]  →  features at every scale  →  μ̂, log σ̂
    w = 1/(1 + (σ_o/(s σ_b))²)                       the weight that a lone observation has at its own place

With the first guess x_g (the 3D-Var increment/σ_b) the reconstruction is its correction: μ = x_g + s μ̂. log σ̂ is read
off the features and does not shape them: only the squared error of μ does. Without observations μ is zero by
construction of the training (the signs of departures and increments are drawn at random) and of this module where the
density is zero everywhere. Source: paper, section 3 (VRE); RevIN: Kim et al. (2022).
"""

from __future__ import annotations

import itertools
from typing import Final, NamedTuple

import torch
from torch import nn

from phyda_cli.networks.config import ModelConfig
from phyda_cli.networks.gridded import GriddedObservations
from phyda_cli.networks.layers import Attention, Down, Residual, Unpatch, Up

SHRINKAGE: Final = 64.0
"""n₀: as many observations as make the climatology weigh as much as they do."""

LEAST_VARIANCE: Final = 0.1
"""Of s²: departures smaller than their noise do not say that there is no error."""

STATIC_CHANNELS: Final = 8
"""See `statistics.Statistics.static`."""


class Reconstruction(NamedTuple):
    """mean, log_sigma: of δ/σ_b (batch, C, H, W). features: (batch, width, H/2, W/2) for the score network."""

    mean: torch.Tensor
    log_sigma: torch.Tensor
    features: torch.Tensor


class Normalisation(NamedTuple):
    """m and s of RevIN, (batch, C, 1, 1)."""

    mean: torch.Tensor
    scale: torch.Tensor


def instance_normalisation(observations: GriddedObservations) -> Normalisation:
    """m and s over the observed points of each channel, shrunk to 0 and 1; s² is not less than LEAST_VARIANCE."""
    n = observations.count()
    noise = observations.noise.square()
    worth = 1.0 / (1.0 + noise)
    mean = (n * worth * observations.signal).sum((-2, -1), keepdim=True)
    mean = mean / ((n * worth).sum((-2, -1), keepdim=True) + SHRINKAGE)
    excess = (observations.signal - mean).square() - noise
    square = (n * worth.square() * excess).sum((-2, -1), keepdim=True)
    variance = (square + SHRINKAGE) / ((n * worth.square()).sum((-2, -1), keepdim=True) + SHRINKAGE)
    return Normalisation(mean, variance.clamp_min(LEAST_VARIANCE).sqrt())


class VirtualReconstructionEncoder(nn.Module):
    """The encoder for fields of C channels on H × W points; H and W divisible by 2^M."""

    def __init__(self, channels: int, shape: tuple[int, int], config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.encoder_widths
        inputs = 5 * channels + STATIC_CHANNELS
        self.downs = nn.ModuleList(Down(a, b) for a, b in itertools.pairwise((inputs, *widths)))
        self.encoders = nn.ModuleList(Residual(width) for width in widths)
        coarse = (shape[0] // 2**config.scales, shape[1] // 2**config.scales)
        self.attention = Attention(widths[-1], config.heads, coarse) if config.attention else None
        self.middle = Residual(widths[-1])
        deeper: list[nn.Module] = []
        for _ in range(config.backbone - 1):
            deeper += [Attention(widths[-1], config.heads, coarse)] if config.attention else []
            deeper += [Residual(widths[-1])]
        self.deeper = nn.Sequential(*deeper)
        self.ups = nn.ModuleList(Up(b, a) for a, b in reversed(list(itertools.pairwise(widths))))
        self.decoders = nn.ModuleList(Residual(width) for width in reversed(widths[:-1]))
        self.mean = Unpatch(widths[0], channels)
        self.log_sigma = Unpatch(widths[0], channels)

    @property
    def feature_width(self) -> int:
        """Channels of `Reconstruction.features`."""
        return self.config.encoder_widths[0]

    def forward(
        self,
        observations: GriddedObservations,
        first_guess: torch.Tensor,
        background: torch.Tensor,
        static: torch.Tensor,
    ) -> Reconstruction:
        """first_guess: (batch, C, H, W)/σ_b. background: anomaly in climatological standard deviations (zero: not
        known). static: (batch, STATIC_CHANNELS, H, W)."""
        norm = instance_normalisation(observations)
        if not self.config.revin:
            norm = Normalisation(torch.zeros_like(norm.mean), torch.ones_like(norm.scale))
        seen = observations.density > 0
        weight = torch.where(seen, 1.0 / (1.0 + (observations.noise / norm.scale).square()), 0.0)
        signal = weight * (observations.signal - norm.mean) / norm.scale
        guess = (first_guess - norm.mean) / norm.scale
        x = torch.cat([signal, weight, observations.density, guess, background, static], dim=1)
        skips: list[torch.Tensor] = []
        for down, encoder in zip(self.downs, self.encoders, strict=True):
            x = encoder(down(x))
            skips.append(x)
        if self.attention is not None:
            x = self.attention(x)
        x = self.deeper(self.middle(x))
        for position, (up, decoder) in enumerate(zip(self.ups, self.decoders, strict=True)):
            x = decoder(up(x) + skips[-2 - position])
        observed = seen.flatten(1).any(1)[:, None, None, None]
        mean = torch.where(observed, first_guess + norm.scale * self.mean(x), 0.0)
        return Reconstruction(mean, (self.log_sigma(x.detach()) + torch.log(norm.scale)).clamp(-7.0, 3.0), x)
