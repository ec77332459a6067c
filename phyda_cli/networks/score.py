"""The latent score network F of the denoiser (`edm`), a U-Net conditioned on the VRE at every point of the latent.

    F(c_in r_σ, c_noise | features, log σ_z, μ_z)

The noise level enters every block (FiLM of its Fourier features), the conditions at the input. Source: paper, section
3; the noise embedding as in Karras et al. (2022).
"""

from __future__ import annotations

import itertools
from typing import Final

import torch
from torch import nn
from torch.nn import functional

from phyda_cli.networks.layers import Down, Residual, SphereConv, Up

EMBEDDING: Final = 64


class ScoreNetwork(nn.Module):
    """F for latents of c channels; `features`: channels of the conditioning map."""

    def __init__(self, latent: int, features: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2.0 * torch.pi * 0.25 * 2.0 ** torch.arange(EMBEDDING // 16).float())
        self.frequencies: torch.Tensor
        self.embed = nn.Sequential(
            nn.Linear(2 * self.frequencies.numel() + 1, EMBEDDING),
            nn.SiLU(),
            nn.Linear(EMBEDDING, EMBEDDING),
            nn.SiLU(),
        )
        self.first = SphereConv(latent, widths[0])
        self.conditions = nn.Conv2d(2 * latent + features, widths[0], 1)
        self.downs = nn.ModuleList(Down(a, b) for a, b in itertools.pairwise(widths))
        self.encoders = nn.ModuleList(Residual(width, embedding=EMBEDDING) for width in widths)
        self.ups = nn.ModuleList(Up(b, a) for a, b in reversed(list(itertools.pairwise(widths))))
        self.decoders = nn.ModuleList(Residual(width, embedding=EMBEDDING) for width in reversed(widths[:-1]))
        self.norm = nn.GroupNorm(8 if widths[0] % 8 == 0 else 1, widths[0])
        self.output = SphereConv(widths[0], latent, zero=True)

    def condition(self, mean: torch.Tensor, log_sigma: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return what is known of a case, for any noise: (case, width, h, w) of mean and log_sigma (case, c, h, w)."""
        result: torch.Tensor = self.conditions(torch.cat([mean, log_sigma, features], dim=1))
        return result

    def forward(self, r: torch.Tensor, c_noise: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """R (batch, c, h, w); c_noise (batch,); condition (batch, width, h, w) → (batch, c, h, w)."""
        phase = c_noise[:, None] * self.frequencies
        embedding = self.embed(torch.cat([phase.cos(), phase.sin(), c_noise[:, None]], dim=1))
        x = self.first(r) + condition
        skips = []
        for level, encoder in enumerate(self.encoders):
            x = encoder(self.downs[level - 1](x) if level else x, embedding)
            skips.append(x)
        for position, (up, decoder) in enumerate(zip(self.ups, self.decoders, strict=True)):
            x = decoder(up(x) + skips[-2 - position], embedding)
        result: torch.Tensor = self.output(functional.silu(self.norm(x)))
        return result
