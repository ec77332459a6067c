"""The losses of the three stages, each a module that a process group can share.

    autoencoder   L = ⟨(D(z) − δ)²⟩ + β KL                                           all of E and D
    encoder       L = ½⟨(δ − μ)²⟩ + w · ½⟨((δ − [μ])/σ)² + 2 ln σ⟩, [·]: held           the VRE
    score         L = EDM(r), r = (E(δ) − μ_z)/σ_z, + likelihood of E(δ) under σ_z    the score network and g
                      + λ(σ) ‖physics of the decoded estimate − physics of the truth‖²    (`model.prdo`)

Each stage trains its own networks and takes those before as they are. A stage gives the loss and its parts.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from phyda_cli.networks import edm
from phyda_cli.networks.phyda import Base, PhyDA, latent_loss, reconstruction_loss
from phyda_cli.networks.prdo import PhysicsMismatch
from phyda_cli.networks.statistics import Statistics
from phyda_cli.training.batches import Batch, Shapes
from phyda_cli.training.config import StageName, TrainConfig

Losses = dict[str, torch.Tensor]
"""`loss`, which is minimised, and its parts for the log."""


class Stage(nn.Module):
    """A stage's loss. `trained` names the networks that it changes; all others are frozen.

    states: (n, C, H, W) [SI] give the climatological spread of the physics, on its device.
    """

    trained: tuple[str, ...]

    def __init__(self, model: PhyDA, config: TrainConfig, statistics: Statistics, states: torch.Tensor) -> None:
        super().__init__()
        self.model, self.config = model, config
        rows, columns = statistics.grid.shape
        self.latent_shape = (model.config.latent_channels, rows // 2, columns // 2)
        self.register_buffer("area", statistics.area.float(), persistent=False)
        self.area: torch.Tensor
        model.requires_grad_(False)
        for name in self.trained:
            getattr(model, name).requires_grad_(True)

    @property
    def noise(self) -> Shapes:
        """Of the noise that the loss needs of each case."""
        return ()

    def mean_square(self, error: torch.Tensor) -> torch.Tensor:
        """⟨error²⟩, area-weighted."""
        return (error.square() * self.area).mean()


class AutoencoderStage(Stage):
    """The loss of E and D."""

    trained = ("autoencoder",)

    @property
    def noise(self) -> Shapes:
        return (self.latent_shape,)

    def forward(self, batch: Batch) -> Losses:
        x = self.model.described(batch.increment, batch.base)
        (noise,) = batch.noise
        loss, reconstruction = self.model.autoencoder.loss(x, self.area, beta=self.config.beta, noise=noise)
        return {"loss": loss, "mse": reconstruction}


class EncoderStage(Stage):
    """The loss of the VRE."""

    trained = ("encoder",)

    def forward(self, batch: Batch) -> Losses:
        result = self.model.encoder(batch.observations, batch.first_guess, batch.background, batch.static)
        mse = self.mean_square(batch.increment - result.mean)
        likelihood = reconstruction_loss(result, batch.increment, self.area)
        loss = self.config.likelihood * likelihood + 0.5 * mse
        return {"loss": loss, "mse": mse, "likelihood": likelihood}


class ScoreStage(Stage):
    """The loss of the score network and of g."""

    trained = ("score", "latent_log_sigma")

    def __init__(self, model: PhyDA, config: TrainConfig, statistics: Statistics, states: torch.Tensor) -> None:
        super().__init__(model, config, statistics, states)
        self.physics: PhysicsMismatch | None = None
        if config.prdo.active:
            self.physics = PhysicsMismatch(
                config.prdo, statistics.channels, statistics.grid, statistics.area, states, device=states.device
            )

    @property
    def noise(self) -> Shapes:
        return ((), self.latent_shape)

    def forward(self, batch: Batch) -> Losses:
        with torch.no_grad():
            result, mean, log_sigma = self.model.reconstruct(
                batch.observations, batch.first_guess, batch.background, batch.static, batch.base
            )
            latent, _ = self.model.autoencoder.encode(self.model.described(batch.increment, batch.base))
        if self.config.model.conditional:
            log_sigma = self.model.latent_scale(result.features)
        width = latent_loss(latent, mean, log_sigma)
        r = ((latent - mean) * torch.exp(-log_sigma)).detach().float()
        drawn, noise = batch.noise
        levels = edm.sigma_of(drawn)  # on the host, which then knows without waiting for which cases physics counts
        sigma = levels.to(r)
        noisy = r + sigma[:, None, None, None] * noise
        condition = self.model.score.condition(mean, log_sigma.detach(), result.features)
        denoised = self.model.denoise(noisy, sigma, condition)
        weight = edm.loss_weight(sigma)
        score = (weight * (denoised - r).square().mean((1, 2, 3))).mean()
        losses = {"loss": score + width, "score": score, "width": width}
        if self.physics is None:
            return losses
        scale = torch.exp(log_sigma.detach())
        physics, gradient = self._physics(self.physics, batch, result.mean, mean, scale, levels, denoised)
        of_score = 2.0 * weight[:, None, None, None] * (denoised - r).detach() / r.numel()
        share = gradient.norm() / of_score.norm()
        return {**losses, "loss": losses["loss"] + physics, "physics": physics, "share": share}

    def _physics(
        self,
        mismatch: PhysicsMismatch,
        batch: Batch,
        reconstruction: torch.Tensor,
        mean: torch.Tensor,
        scale: torch.Tensor,
        levels: torch.Tensor,
        denoised: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean of λ(σ) times the mismatch, and its gradient with respect to the denoised latents.

        The gradient is taken once at a copy of the latents and then handed on, so that its size is known.
        """
        weights = self.config.prdo.weights(levels, batch.progress)
        chosen = torch.nonzero(weights > 0).flatten()
        weights = weights[chosen].to(denoised)
        if chosen.numel() == 0:  # the first step of the ramp, or a batch of large noise
            return denoised.new_zeros(()), denoised.new_zeros(())
        copy = denoised[chosen].detach().requires_grad_()
        with torch.enable_grad():
            base = Base(*(x[chosen] for x in batch.base))
            with torch.no_grad():
                centre = reconstruction[chosen] - self.model.decode(mean[chosen], base)
            increment = centre + self.model.decode(mean[chosen] + scale[chosen] * copy, base)
            state = batch.state[chosen]
            estimate = state + batch.sigma[chosen] * increment.float()
            truth = state + batch.sigma[chosen] * batch.increment[chosen]
            value = (weights * mismatch(estimate, truth)).sum() / levels.numel()
        (gradient,) = torch.autograd.grad(value, copy)
        handed = (gradient * denoised[chosen]).sum()
        return value.detach() + handed - handed.detach(), gradient


STAGES: Final[dict[StageName, type[Stage]]] = {
    "autoencoder": AutoencoderStage,
    "encoder": EncoderStage,
    "score": ScoreStage,
}
