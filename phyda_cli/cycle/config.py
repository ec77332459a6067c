"""The settings of `phyda cycle`: one TOML file. Paths are relative to the directory of that file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from phyda_cli.observations.errors import known_variables
from phyda_cli.settings.assimilate import Run, merge_config
from phyda_cli.settings.toml import read_settings
from phyda_cli.settings.values import duration, moment

_IN_CYCLES: Final = {"surface": "off"}
"""Settings of analyses where a cycle says nothing else: a model makes its fields near the ground itself."""


def asked_in(directory: Path, settings: Mapping[str, Any]) -> Run:
    """Return the checked settings of the analyses of cycles in a directory. Raises as `merge_config`."""
    here = {"background": [directory], "observations": [directory], "output": directory}
    return merge_config(None, {**_IN_CYCLES, **settings, **here})


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CommandSettings(_Settings):
    """A program as the forecast model (`forecast/command.py`)."""

    kind: Literal["command"]
    command: str
    """Its words, with {analysis}, {background}, {hours} and others in braces."""
    start: Path
    """The first background; with several members its name holds {member}."""
    members: int = Field(default=1, ge=1, le=1000)
    """How many the program runs for, once for each: {member} in the command. An ensemble in one file counts as 1."""
    timeout: Annotated[timedelta, BeforeValidator(duration), Field(gt=timedelta(0))] = timedelta(hours=1)
    place: Path = Path()
    """Where it runs."""


class JcmSettings(_Settings):
    """The circulation model of a simulation (needs phyda[simulate])."""

    kind: Literal["jcm"]
    simulation: Path
    """Directory of the simulation, whose forecast model it is and whose states the cycle starts from."""
    start_days_before: int = Field(default=30, ge=1)
    """The first state is that of the simulation so many days before: weather of the season, nothing more [d]."""
    members: int = Field(default=1, ge=1, le=1000)
    """Of an ensemble."""
    member_days: float = Field(default=1.0, gt=0)
    """Their first states are those of so many days before one another [d]."""
    start_error: float = Field(default=1.0, gt=0, le=1)
    """Below 1 they begin near the truth: at its state plus so much of their difference from one more."""


class DrawnSettings(_Settings):
    """Observations drawn from the truth: y = H(x_t) + σ_o ε, at the same stations every cycle, and occultations."""

    stations: Path
    """CSV with station, latitude, longitude."""
    levels_hpa: tuple[float, ...] = (1000, 925, 850, 700, 500, 400, 300, 250, 200, 100)
    variables: tuple[str, ...] = ("u", "v", "t", "q", "z")
    single: tuple[str, ...] = ("msl",)
    lowest_q_hpa: float = 300.0
    """Humidity is observed from the ground up to here [hPa]."""
    errors: float = Field(default=1.0, gt=0)
    """Factor on the errors of the table."""
    sigma: Annotated[
        dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]], BeforeValidator(known_variables)
    ] = Field(default_factory=dict)
    """Errors of variables at all levels, in place of the table's [SI]."""
    occultations: int = Field(default=0, ge=0, le=100_000)
    """Profiles of refractivity at places drawn anew for every cycle, evenly on the sphere."""
    heights_km: tuple[Annotated[float, Field(ge=0, le=60)], ...] = tuple(0.5 * k for k in range(4, 41))
    """Of their levels, as far as the truth has them."""
    radiances: int = Field(default=0, ge=0, le=100_000)
    """Places, drawn anew for every cycle, where a sounder measures brightness temperatures."""
    radiance_bias: float = Field(default=0.0, ge=-10, le=10)
    """What is added to them [K], for the correction to find."""
    seed: int = Field(default=0, ge=0)


class ObservationSettings(_Settings):
    """Where observations come from: files, or drawn from the truth."""

    files: tuple[str, ...] = ()
    """Patterns with the time as strftime writes it: obs/%Y%m%d%H*.bufr."""
    stations: Path | None = None
    units: dict[str, str] = Field(default_factory=dict)
    drawn: DrawnSettings | None = None


class CycleConfig(_Settings):
    """A whole experiment."""

    directory: Path
    """Where everything is written."""
    start: Annotated[datetime, BeforeValidator(moment)]
    """Valid time of the first background, UTC."""
    cycles: int = Field(ge=1)
    """How many; a longer run goes on where a shorter one ended."""
    hours: int = Field(default=6, ge=1, le=240)
    forecast: Annotated[CommandSettings | JcmSettings, Field(discriminator="kind")]
    observations: ObservationSettings = Field(default_factory=ObservationSettings)
    """Without any the cycle is a free run of the model."""
    truth: str | None = None
    """To judge by: a pattern of files as above, or the directory of a simulation."""
    assimilate: dict[str, Any] = Field(default_factory=dict)
    """Settings of phyda assimilate: method, window, members, errors, quality, …"""
    lagged: int = Field(default=0, ge=0, le=100)
    """How many cycles forecasts go on beyond the next, as members of the background error of method envar."""
    spin_up: int = Field(default=0, ge=0)
    """Cycles that the summary leaves out."""
    keep: int = Field(default=2, ge=1)
    """Directories of cycles that are kept; a restart needs the last."""


def read_cycle_config(path: Path) -> CycleConfig:
    """Return the settings of a file, its paths made absolute. Raises InputMissingError or ConfigError with one line."""
    config = read_settings(path, CycleConfig)
    base = path.resolve().parent

    def absolute(settings: Any) -> Any:
        if isinstance(settings, BaseModel):
            return settings.model_copy(update={name: absolute(value) for name, value in settings})
        return base / settings if isinstance(settings, Path) else settings

    made: CycleConfig = absolute(config)
    files = tuple(str(base / pattern) for pattern in made.observations.files)
    truth = None if made.truth is None else str(base / made.truth)
    observations = made.observations.model_copy(update={"files": files})
    return made.model_copy(update={"observations": observations, "truth": truth})
