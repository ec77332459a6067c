"""The losses of the three stages, each a module that a process group can share.

    autoencoder   L = ⟨(D(z) − δ)²⟩ + β KL                                           all of E and D
    encoder       L = w · ½⟨((δ − μ)/σ)² + 2 ln σ⟩ + ½⟨(δ − μ)²⟩                      the VRE
    score         L = EDM(r), r = (E(δ) − μ_z)/σ_z, + likelihood of E(δ) under σ_z    the score network and g

Each stage trains its own networks and takes those before as they are. A stage gives the loss and its parts.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from phyda_cli.model import edm
from phyda_cli.model.phyda import PhyDA, latent_loss, reconstruction_loss
from phyda_cli.training.batches import Batch
from phyda_cli.training.config import StageName, TrainConfig

Losses = dict[str, torch.Tensor]
"""`loss`, which is minimised, and its parts for the log."""


class Stage(nn.Module):
    """A stage's loss. trained: the networks that it changes; all others are frozen."""

    def __init__(self, model: PhyDA, config: TrainConfig, area: torch.Tensor, trained: list[nn.Module]) -> None:
        super().__init__()
        self.model, self.config = model, config
        self.register_buffer("area", area.float(), persistent=False)
        self.area: torch.Tensor
        model.requires_grad_(False)
        for network in trained:
            network.requires_grad_(True)

    def mean_square(self, error: torch.Tensor) -> torch.Tensor:
        """⟨error²⟩, area-weighted."""
        return (error.square() * self.area).mean()


class AutoencoderStage(Stage):
    """See the module."""

    def __init__(self, model: PhyDA, config: TrainConfig, area: torch.Tensor) -> None:
        super().__init__(model, config, area, [model.autoencoder])

    def forward(self, batch: Batch) -> Losses:
        x = batch.increment
        shape = (self.model.config.latent_channels, x.shape[-2] // 2, x.shape[-1] // 2)
        noise = batch.normal(*shape).to(x)
        loss, reconstruction = self.model.autoencoder.loss(x, self.area, beta=self.config.beta, noise=noise)
        return {"loss": loss, "mse": reconstruction}


class EncoderStage(Stage):
    """See the module."""

    def __init__(self, model: PhyDA, config: TrainConfig, area: torch.Tensor) -> None:
        super().__init__(model, config, area, [model.encoder])

    def forward(self, batch: Batch) -> Losses:
        result = self.model.encoder(batch.observations, batch.first_guess, batch.background, batch.static)
        mse = self.mean_square(batch.increment - result.mean)
        likelihood = reconstruction_loss(result, batch.increment, self.area) - 0.5 * mse
        loss = self.config.likelihood * likelihood + 0.5 * mse
        return {"loss": loss, "mse": mse, "likelihood": likelihood}


class ScoreStage(Stage):
    """See the module."""

    def __init__(self, model: PhyDA, config: TrainConfig, area: torch.Tensor) -> None:
        super().__init__(model, config, area, [model.score, model.latent_log_sigma])

    def forward(self, batch: Batch) -> Losses:
        with torch.no_grad():
            result = self.model.encoder(batch.observations, batch.first_guess, batch.background, batch.static)
            latent, _ = self.model.autoencoder.encode(batch.increment)
            mean, _ = self.model.autoencoder.encode(result.mean)
        log_sigma = self.model.latent_scale(result.features)
        width = latent_loss(latent, mean, log_sigma)
        r = ((latent - mean) * torch.exp(-log_sigma)).detach().float()
        sigma = edm.sigma_of(batch.normal()).to(r)
        noisy = r + sigma[:, None, None, None] * batch.normal(*r.shape[1:]).to(r)
        denoised = self.model.denoise(noisy, sigma, mean, log_sigma.detach(), result.features)
        error = (denoised - r).square().mean((1, 2, 3))
        score = (edm.loss_weight(sigma) * error).mean()
        return {"loss": score + width, "score": score, "width": width}


STAGES: Final[dict[StageName, type[AutoencoderStage] | type[EncoderStage] | type[ScoreStage]]] = {
    "autoencoder": AutoencoderStage,
    "encoder": EncoderStage,
    "score": ScoreStage,
}
