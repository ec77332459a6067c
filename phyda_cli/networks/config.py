"""The shape of the learned model: what the paper varies is a field here, and travels in the weights' header."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ModelConfig(BaseModel):
    """The architecture. Channels, grid and statistics are not choices: they come from the training store."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    latent: Literal["increment", "state"] = "increment"
    """What the autoencoder describes: δ = (x − x_b)/σ_b, or the state as in the paper's wording."""

    latent_channels: int = Field(default=96, ge=1)
    """c of the latent (c, H/2, W/2). The linear part alone leaves out 1.3 % of the variance with 96, 5.9 % with 64."""

    autoencoder_width: int = Field(default=64, ge=8)
    encoder_widths: tuple[int, ...] = Field(default=(96, 128, 160), min_length=1)
    """Channels after each of the M strided convolutions of the VRE."""

    score_widths: tuple[int, ...] = Field(default=(64, 128), min_length=1)
    """Channels of the score network at the latent's resolution and after each of its strided convolutions."""

    heads: int = Field(default=4, ge=1)
    revin: bool = True
    """Reversible instance normalisation of the departures over observed points; off in the weights that ship."""

    columns: bool = False
    """The VRE sees observations of whole columns too, as brightness temperatures; else the first guess alone does."""

    attention: bool = True
    """Self-attention over the coarsest tokens of the VRE."""

    backbone: int = Field(default=1, ge=1)
    """Blocks over the coarsest tokens of the VRE, each self-attention (where it is on) and a convolution."""

    conditional: bool = True
    """False: the score network learns the prior of increments, for guidance alone; the VRE is not used."""

    @model_validator(mode="after")
    def _heads_divide(self) -> ModelConfig:
        if self.encoder_widths[-1] % self.heads:
            raise ValueError(f"heads {self.heads} must divide the last of encoder_widths {self.encoder_widths[-1]}")
        return self

    @property
    def scales(self) -> int:
        """M, the number of strided convolutions of the VRE."""
        return len(self.encoder_widths)
