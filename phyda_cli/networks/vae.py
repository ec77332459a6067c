"""The autoencoder of the increments (or states), a mildly compressing VAE:

    E(x) = (μ, log s²) (c, H/2, W/2),    z = μ + s ε,    D(z) ≈ x (C, H, W)
    L = ⟨(D(z) − x)²⟩ + β KL( N(μ, s²) ‖ N(0, 1) ),    KL = ½ ⟨μ² + s² − 1 − log s²⟩

Both halves are a linear patch map (2 × 2 points ↔ one token) plus a network that corrects it, so that the start of the
training is a linear compression and not noise. Source: Kingma and Welling (2014); paper, the VAE of section 3.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from phyda_cli.networks.layers import Down, Residual, SphereConv, Up


class Autoencoder(nn.Module):
    """E and D for fields of C channels on H × W points (both even), normalised to about unit variance."""

    def __init__(self, channels: int, latent: int, width: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(channels, latent, 2, stride=2)
        self.encoder = nn.Sequential(Down(channels, width), Residual(width), Residual(width))
        self.mean = SphereConv(width, latent, zero=True)
        self.log_variance = SphereConv(width, latent, zero=True)
        self.unpatch = nn.ConvTranspose2d(latent, channels, 2, stride=2)
        self.decoder = nn.Sequential(
            SphereConv(latent, width), Residual(width), Residual(width), Up(width, width // 2), Residual(width // 2)
        )
        self.output = SphereConv(width // 2, channels, zero=True)
        nn.init.constant_(self.log_variance.convolution.bias, -4.0)  # type: ignore[arg-type]

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, C, H, W) → μ and log s², each (batch, c, H/2, W/2)."""
        hidden = self.encoder(x)
        return self.patch(x) + self.mean(hidden), self.log_variance(hidden).clamp(-12.0, 4.0)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """(batch, c, H/2, W/2) → (batch, C, H, W)."""
        result: torch.Tensor = self.unpatch(z) + self.output(self.decoder(z))
        return result

    def loss(
        self, x: torch.Tensor, weights: torch.Tensor, *, beta: float, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """L and its reconstruction part. weights (H, 1): area, mean one; noise: ε ~ N(0, I), of the latent's shape."""
        mean, log_variance = self.encode(x)
        z = mean + torch.exp(0.5 * log_variance) * noise
        reconstruction = ((self.decode(z) - x).square() * weights).mean()
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean()
        return reconstruction + beta * divergence, reconstruction


def initialise_linear(autoencoder: Autoencoder, samples: Iterable[torch.Tensor]) -> None:
    """Set the linear maps to the c leading principal components of the samples' 2 × 2 patches.

    z = Λ^{-1/2} Vᵀ patch, patch ≈ V Λ^{1/2} z: whitened, so that the latent starts with unit variance. samples: batches
    (n, C, H, W) that are read once, one at a time.
    """
    channels, count = autoencoder.patch.in_channels, 0
    products = torch.zeros(channels * 4, channels * 4, dtype=torch.float64)
    for batch in samples:
        n, _, rows, columns = batch.shape
        patches = batch.reshape(n, channels, rows // 2, 2, columns // 2, 2).permute(0, 2, 4, 1, 3, 5)
        flat = patches.reshape(-1, channels * 4).double()
        products += flat.mT @ flat
        count += flat.shape[0]
    values, vectors = torch.linalg.eigh(products / count)
    latent = autoencoder.patch.out_channels
    root = values.flip(0)[:latent].clamp_min(1e-12).sqrt()
    leading = vectors.flip(1)[:, :latent]
    with torch.no_grad():
        autoencoder.patch.weight.copy_((leading / root).mT.reshape(latent, channels, 2, 2))
        autoencoder.unpatch.weight.copy_((leading * root).mT.reshape(latent, channels, 2, 2))
        for bias in (autoencoder.patch.bias, autoencoder.unpatch.bias):
            if bias is not None:
                bias.zero_()
