"""The settings of a run: a command-line flag wins over the configuration file (TOML), which wins over the default."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from phyda_cli.errors import ConfigError, UsageError
from phyda_cli.settings_file import Model, read_toml, reason, unknown_key

_DURATION: Final = re.compile(
    r"(?:PT)?(?:(?P<hours>\d+(?:\.\d+)?)H)?(?:(?P<minutes>\d+)M(?:IN)?)?(?:(?P<seconds>\d+)S)?", re.IGNORECASE
)

_LONGEST: Final = timedelta(days=3653)
"""The longest duration of any setting."""
_MOST_MEMBERS: Final = 100_000
_MOST_THREADS: Final = 1024


def _duration(text: str) -> timedelta:
    """3h, 90min, 1h30min, 30s and the ISO 8601 forms of the same. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"{text!r} is no duration; write 3h, 90min or PT3H")
    hours, minutes, seconds = (float(match[unit] or 0) for unit in ("hours", "minutes", "seconds"))
    total = 3600 * hours + 60 * minutes + seconds
    if total > _LONGEST.total_seconds():
        raise ValueError(f"{text[:60]!r} is longer than {_LONGEST.days} days; write a shorter one")
    return timedelta(seconds=total)


def _utc(value: str | datetime) -> datetime:
    """A moment in UTC without a time zone; one that names no zone is UTC. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"{value!r} is no ISO 8601 time; write 2008-12-08T12") from None
    if not 1678 < moment.year < 2262:  # what 64 bits of nanoseconds hold
        raise ValueError(f"{value!r} is not between the years 1679 and 2261")
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo is not None else moment


def _read_duration(value: Any) -> Any:
    return _duration(value) if isinstance(value, str) else value


def _read_time(value: Any) -> Any:
    return _utc(value) if isinstance(value, str | datetime) else value


def _several(value: Any) -> Any:
    """One file stands for a list of one."""
    return [value] if isinstance(value, str | Path) else value


def _members(value: Any) -> Any:
    """3 is one member, 0,3-7 or a list several. Raises ValueError for what is neither, or names one twice."""
    if isinstance(value, int):
        return value
    if not isinstance(value, str):
        return tuple(value)
    parts = [re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip()) for part in value.split(",")]
    numbers: list[int] = []
    for part in parts:
        if part is None or (part[2] is not None and int(part[2]) < int(part[1])):
            raise ValueError(f"{value!r} names no members; write 3, or 0,3-7")
        first, last = int(part[1]), int(part[2] or part[1])
        if last - first >= _MOST_MEMBERS:
            raise ValueError(f"{value!r} names more than {_MOST_MEMBERS} members")
        numbers += range(first, last + 1)
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"{value!r} names a member twice")
    return numbers[0] if value.strip().isdigit() else tuple(numbers)


Paths = Annotated[tuple[Path, ...], BeforeValidator(_several), Field(min_length=1)]


class AssimilateConfig(BaseModel):
    """The settings of `phyda assimilate`; the keys of its configuration file are the fields' names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    background: Paths
    """Background files (GRIB, NetCDF); several of the same fields are members, others are merged (one a variable)."""

    observations: Paths
    """Tables of observations (CSV)."""

    stations: Path | None = None
    """Places of stations (CSV: station, latitude, longitude, elevation), for reports without one, such as METAR."""

    units: dict[str, str] = Field(default_factory=dict)
    """Units of columns of the tables that do not say their own: name → unit."""

    withhold: str | None = None
    """A rule that names observations to withhold, such as station % 5 == 0 (docs/observations.md)."""

    fgat: Annotated[tuple[Path, ...], BeforeValidator(_several)] = ()
    """Backgrounds at other times of the window (GRIB, NetCDF), for observations before and after the analysis."""

    output: Path
    """The analysis (NetCDF)."""

    method: Literal["phyda", "3dvar", "oi", "letkf"] = "phyda"
    """The assimilation method."""

    feedback: Path | None = None
    """Where to write what became of every observation (NetCDF)."""

    feedback_format: Literal["phyda", "ioda"] = "phyda"
    """Layout of the feedback: one row for each observation, or groups as JEDI's UFO writes them."""

    increment: Path | None = None
    """Where to write analysis minus background (NetCDF)."""

    time: Annotated[datetime | None, BeforeValidator(_read_time)] = None
    """Valid time of the analysis, UTC; chooses from a background that holds several."""

    window: Annotated[timedelta, BeforeValidator(_read_duration), Field(gt=timedelta(0))] = timedelta(hours=3)
    """Observations farther than this from the valid time are rejected."""

    member: Annotated[int | tuple[int, ...] | None, BeforeValidator(_members)] = None
    """The member of a background ensemble to use, or several, by the file's numbers: 3, or 0,3-7; None is all."""

    select: dict[str, str] = Field(default_factory=dict)
    """Choices along further dimensions of the background: name → value."""

    members: int | None = Field(default=None, ge=0, le=_MOST_MEMBERS)
    """Samples of the analysis for its uncertainty; None is the method's own number (phyda 16, 3D-Var 8, OI has none), 0
    makes none, phyda needs 2 otherwise. With a background of several members: use the first so many; None is all."""

    members_out: Path | None = None
    """Where to write the members (NetCDF)."""

    evaluations: int | None = Field(default=None, ge=1, le=100_000)
    """Evaluations of the score network for each member (phyda); None is 12."""

    churn: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Relative fresh noise before each evaluation (phyda); None is 0, a deterministic path from the first noise."""

    localisation: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Horizontal cut-off radius [km] (letkf), from where on an observation weighs zero, 2c of Gaspari and Cohn; None is
    1000."""

    vertical_localisation: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Vertical cut-off radius in ln p (letkf); None is 1."""

    relaxation: float | None = Field(default=None, ge=0, le=1)
    """Relaxation of the analysis spread to the background's, RTPS (letkf): 0 is none, 1 keeps it; None is 0."""

    dry_run: bool = False
    """Read and check everything, write nothing."""

    overwrite: bool = False
    """Replace outputs that exist."""

    wait: Annotated[timedelta, BeforeValidator(_read_duration), Field(ge=timedelta(0))] = timedelta(0)
    """How long to wait for another run that holds an output."""

    carry: Path | None = None
    """What the cycles before left (JSON): read first, written at the end."""

    carry_new: bool = False
    """Begin a new carry file; without it a missing one is an error."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes CUDA where there is one."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of every random number."""

    threads: int = Field(default=1, ge=1, le=_MOST_THREADS)
    """Processor threads. One is fastest for grids of this size: several wait for each other more than they gain."""

    background_error_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["auto"] | None = None
    """Factor on the background-error standard deviations, for letkf the inflation of the members' perturbations; auto
    estimates it from the departures; None is auto, for letkf 1."""

    weights: Path | None = None
    """The learned model for phyda, background-error statistics for 3D-Var and OI; None takes those that ship. letkf
    has none."""

    background_error: Path | None = None
    """Background-error statistics that the learned model was trained with (phyda); None takes those that ship."""

    errors: Path | None = None
    """Observation errors and background-check limits (TOML) that extend those that ship."""

    quality: Path | None = None
    """Settings of quality control, thinning and superobbing (TOML)."""

    on_empty: Literal["background", "fail"] = "background"
    """What to do without a usable observation: write the background, or fail."""

    max_reject_fraction: float = Field(default=1.0, ge=0, le=1)
    """Fail when a greater share of the observations is rejected."""


def parse_time(text: str) -> datetime:
    """A --time option as UTC without a time zone. Raises UsageError."""
    try:
        return _utc(text)
    except ValueError as error:
        raise UsageError(f"--time: {error}") from error


def parse_duration(text: str) -> timedelta:
    """A --window option. Raises UsageError."""
    try:
        return _duration(text)
    except ValueError as error:
        raise UsageError(f"--window: {error}") from error


def parse_choices(texts: Sequence[str], option: str = "--select", example: str = "month=1") -> dict[str, str]:
    """KEY=VALUE options as a mapping. Raises UsageError for one without a key or value, or a key given twice."""
    choices: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise UsageError(f"{option} {text}: write KEY=VALUE, for example {example}")
        if key in choices:
            raise UsageError(f"{option} {text}: {key} is chosen already, as {choices[key]}")
        choices[key] = value
    return choices


def merge_config(model: type[Model], file: Path | None, flags: Mapping[str, Any]) -> Model:
    """The settings from a configuration file and the flags that were given (those that are not None).

    Raises InputMissingError when the file is not there, ConfigError naming file, key and value when it is wrong, and
    UsageError naming the option when a flag is wrong or a required setting is missing.
    """
    given = {key: value for key, value in flags.items() if value is not None}
    settings = {} if file is None else {key.replace("-", "_"): value for key, value in read_toml(file).items()}
    for key in settings:
        if key not in model.model_fields:
            raise unknown_key(str(file), key, model.model_fields)
    try:
        return model.model_validate({**settings, **given})
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        option = f"--{key.replace('_', '-')}"
        if first["type"] == "missing":
            raise UsageError(f"{option} is missing; give it, or set {key} in a file given with --config") from error
        if key in given or file is None:
            raise UsageError(f"{option}: {reason(error)}") from error
        raise ConfigError(f"{file}: key {key!r}: {reason(error)}") from error
