"""The settings of `phyda train`: one TOML file, or a preset that ships with phyda."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from phyda_cli.errors import ConfigError
from phyda_cli.networks.config import ModelConfig
from phyda_cli.networks.prdo import PrdoConfig
from phyda_cli.settings.toml import parse_toml, read_settings, validated

Preset = Literal["tiny", "small", "base"]
PRESETS: Final = get_args(Preset)

StageName = Literal["autoencoder", "encoder", "score"]
"""The stages that train networks; `cases` comes before them and `calibration` after."""


class CasesConfig(BaseModel):
    """How many training cases are made, and from which generator."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: int = Field(default=13_056, ge=1)
    validation: int = Field(default=384, ge=1)
    seed: int = Field(default=7, ge=0)

    fresh: bool = False
    """Whether each step's cases are made from the store anew, so that none is seen twice and none is kept on disk."""

    operational: float = Field(default=0.5, ge=0, le=1)
    """Share of the cases whose network is one as a forecast centre has it; the others have random ones [1]."""

    sounder: float = Field(default=0.0, ge=0, le=1)
    """Share of the cases that have brightness temperatures besides [1]."""

    occultations: float = Field(default=0.0, ge=0, le=1)
    """Share of the cases that have profiles of refractivity besides [1]."""


class StageConfig(BaseModel):
    """One stage: AdamW with a warm-up, then a cosine to zero."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(ge=1)
    batch: int = Field(default=32, ge=1)
    """Cases of a step, over all processes together."""

    learning_rate: float = Field(default=1e-3, gt=0)
    warm_up: int = Field(default=200, ge=1)
    weight_decay: float = Field(default=0.01, ge=0)
    clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""

    ema: float = Field(default=0.999, ge=0, lt=1)
    validate_every: int = Field(default=500, ge=1)
    save_every: int = Field(default=500, ge=1)


class TrainConfig(BaseModel):
    """All of a training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelConfig = ModelConfig()
    cases: CasesConfig = CasesConfig()
    stages: dict[StageName, StageConfig]
    """In the order in which they run; a model without a score stage is a direct regression."""

    beta: float = Field(default=1e-4, ge=0)
    """Weight of the autoencoder's divergence."""

    likelihood: float = Field(default=1.0, ge=0)
    """w, of the likelihood that teaches the encoder its spread; 0 leaves the mean squared error alone."""

    prdo: PrdoConfig = PrdoConfig()
    """The physical regularisation of the score stage."""

    signed: bool = False
    """Whether errors keep their signs and hemispheres: the systematic errors of the one forecast model of the store are
    then learned, and the weights are for that model alone."""

    seed: int = Field(default=0, ge=0)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of convolutions and products; parameters and sums stay float32. auto: bfloat16 where the device computes in it,
    CUDA and processors with AVX-512 BF16, else float32."""

    recompute: bool = False
    """Whether blocks keep their inputs alone for the backward pass (activation checkpointing)."""

    compiled: bool = False
    """Whether blocks are compiled (torch.compile)."""

    sharded: bool = False
    """Whether several processes share out parameters and moments (FSDP) in place of holding all of them (DDP)."""


def read_config(source: Path | str) -> TrainConfig:
    """A TOML file, or the name of a preset. Raises InputMissingError, or ConfigError naming the wrong setting."""
    if isinstance(source, Path):
        return read_settings(source, TrainConfig)
    if source not in PRESETS:
        raise ConfigError(f"no preset {source}; there are {', '.join(PRESETS)}")
    preset = resources.files("phyda_cli.training") / "presets" / f"{source}.toml"
    return validated(TrainConfig, parse_toml(preset.read_bytes(), source), source)
