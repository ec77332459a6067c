"""What the user decides about quality control, thinning and superobbing: one class for each table of `--quality FILE`.

Every default is here and nowhere else; docs/quality.md says what they do and where they come from.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from phyda_cli.fields.refractivity import ConstantsName


def _several(value: Any) -> Any:
    """Return one entry stands for a list of one."""
    return [value] if isinstance(value, str | dict) else value


Patterns = Annotated[tuple[str, ...], BeforeValidator(_several)]
"""Names with * ? [] as in file names, compared without case; none: any name."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _besides_speeds(own: Any) -> Any:
    """Return the user's speeds besides the defaults, which they replace where both name a family."""
    return _SPEEDS | own if isinstance(own, dict) else own


_SPEEDS: Final = {"aircraft": 400.0, "ship": 30.0, "buoy": 10.0}


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Selection(_Table):
    """Which rows: those that fit all that is given; nothing given is all rows."""

    station: Patterns = ()
    report: Patterns = ()
    """Report types or their families (`kinds.py`)."""
    variable: Patterns = ()
    """Short names of what is assimilated (u, v, t, q, z, …)."""
    source: Patterns = ()
    """File names, or paths as given."""
    pressure_hpa: tuple[float, float] | None = None
    """Lowest and highest pressure; rows without pressure do not fit."""
    latitude: tuple[Annotated[float, Field(ge=-90, le=90)], Annotated[float, Field(ge=-90, le=90)]] | None = None
    """Southern and northern limit, degrees."""
    longitude: tuple[float, float] | None = None
    """Western and eastern limit, degrees in any convention; the range goes eastward from the first to the second."""

    @model_validator(mode="after")
    def _in_order(self) -> Selection:
        for name in ("pressure_hpa", "latitude"):
            limits = getattr(self, name)
            if limits is not None and limits[0] > limits[1]:
                raise ValueError(f"{name} = [{limits[0]:g}, {limits[1]:g}] is not in ascending order")
        return self


class Rule(Selection):
    """Rows to reject, and why."""

    reason: str = ""


class Domain(_Table):
    """Places where the background says nothing."""

    enabled: bool = True
    below_ground_hpa: NotNegative = 50.0
    """How far below the background's surface pressure an observation may be."""


class Surface(_Table):
    """How far from a station's height the background's ground may be."""

    enabled: bool = True
    height_difference: NotNegative = 500.0
    """Of the two heights [m]; up to here the equivalent is brought to the station's."""
    require_height: bool = True
    """Refuse t2m and sp where either height is not known."""
    sea_level_elevation: NotNegative = 1000.0
    """Highest station [m] whose pressure reduced to sea level is used."""


class Duplicates(_Table):
    """How near two rows of one station are the same observation."""

    enabled: bool = True
    degrees: Positive = 0.02
    hpa: NotNegative = 0.5
    minutes: NotNegative = 30.0


class Track(_Table):
    """Moving platforms."""

    enabled: bool = True
    speed: Annotated[dict[str, Positive], BeforeValidator(_besides_speeds)] = Field(
        default_factory=lambda: dict(_SPEEDS)
    )
    """Highest speed [m s-1] by family of report types; families without one are not checked."""
    default_speed: Positive = 400.0
    """For reports without a type."""
    neighbours: int = Field(default=2, ge=1)
    """Reports before and after that each is compared with."""
    kilometres: NotNegative = 20.0
    """Rounding of a position."""
    minutes: NotNegative = 2.0
    """Rounding of a time."""
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """A report is rejected when more than this part of its comparisons fails."""


class Stuck(_Table):
    """A station that repeats one value."""

    enabled: bool = True
    reports: int = Field(default=24, ge=1)
    """Longest credible run of reports with the same value."""
    hours: NotNegative = 6.0
    """Longest credible time with the same value."""
    variable: Patterns = ("t", "u", "v", "q", "z", "msl", "sp", "t2m", "d2m", "u10", "v10")


class Profile(_Table):
    """Soundings that contradict themselves."""

    enabled: bool = True
    superadiabatic_k: Positive = 6.0
    """How much colder than dry adiabatic ascent the upper of two levels may be."""
    thickness_m: NotNegative = 40.0
    thickness_k: NotNegative = 6.0
    """Credible thickness residual: metres, and the layer's mean temperature it may amount to besides."""
    errors: Positive = 4.5
    """Multiple of what the observation errors make of either difference; no smaller one is rejected."""


class Buddy(_Table):
    """Neighbouring observations that disagree."""

    enabled: bool = True
    length_km: Positive = 200.0
    """Correlation length of background errors."""
    radius_km: Positive = 300.0
    """Farthest buddy."""
    log_pressure: Positive = 0.17
    """Correlation length in ln p: exp(−½ (Δ ln p / this)²)."""
    hours: Positive = 3.0
    """Correlation length in time: exp(−½ (Δt / this)²)."""
    buddies: int = Field(default=8, ge=1, le=30)
    """Most buddies of one observation, the best correlated."""


class Consistency(_Table):
    """Stations that disagree with those around them."""

    enabled: bool = True
    limit: Positive = 4.0
    """Multiple of the standard deviation of what the neighbours say."""
    neighbours: int = Field(default=3, ge=1)
    """Fewest others within a correlation length that judge a station."""


class Mesh(Selection):
    """Rows to sort into cells, and the size of these."""

    horizontal_km: Positive
    vertical_hpa: Positive | None = None
    """Depth of a cell; without it and `vertical_ln` only equal pressures share a cell."""
    vertical_ln: Positive | None = None
    """Depth of a cell in ln p, instead of `vertical_hpa`."""
    hours: Positive | None = None
    """Length of a cell in time; without it the whole window is one."""

    @model_validator(mode="after")
    def _one_depth(self) -> Mesh:
        if self.vertical_hpa is not None and self.vertical_ln is not None:
            raise ValueError("vertical_hpa and vertical_ln both give the depth of a cell; keep one")
        return self


class Superob(Mesh):
    """Rows to average within cells."""

    correlation: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Correlation of the errors of observations in one cell."""
    minimum: int = Field(default=2, ge=2)
    """Fewest rows that make a superob; fewer stay as they are."""


class Refractivity(_Table):
    """Radio occultations: the constants of N, and the checks of their own."""

    enabled: bool = True
    constants: ConstantsName = "bevis"
    """Bevis et al. (1994), or Rüger (2002)."""
    departure: Positive = 1.0
    """Factor on the largest relative departures."""
    gradient: Positive = 0.75
    """Part of the critical gradient of refractivity, −157 km⁻¹, from which on a level and all below it are refused."""


class Sounder(_Table):
    """Brightness temperatures: the ground below and clouds between (`quality/sounder.py`)."""

    enabled: bool = True
    emissivity: NotNegative = 0.05
    """Standard deviation of the emissivity where the ground is known and the air there above freezing."""
    frozen_emissivity: NotNegative = 0.15
    """The same of snow and ice, and of ground that is not known."""
    ground_k: Positive = 1.5
    """Largest error that the ground may make [K]."""
    cloud: Positive = 2.5
    """Multiple of the expected departure of the lowest channels from which on it is a cloud or rain."""


class Bias(_Table):
    """The bias of brightness temperatures (`methods/bias.py`)."""

    enabled: bool = True
    """Correct them, and learn from analysis to analysis."""
    inertia: Positive = 200.0
    """Rows of an analysis that count as much as what earlier analyses have told."""


class Ambiguity(_Table):
    """The sense of scatterometers' winds (`quality/ambiguity.py`)."""

    enabled: bool = True
    """Turn those that are nearer to the background then."""


class Quality(_Table):
    """All of it. `blacklist`, `allow`, `thinning` and `superob` are lists of rules, empty by default."""

    blacklist: Annotated[tuple[Rule, ...], BeforeValidator(_several)] = ()
    allow: Annotated[tuple[Selection, ...], BeforeValidator(_several)] = ()
    """Rows that the blacklist spares."""
    domain: Domain = Domain()
    surface: Surface = Surface()
    duplicates: Duplicates = Duplicates()
    track: Track = Track()
    stuck: Stuck = Stuck()
    profile: Profile = Profile()
    ambiguity: Ambiguity = Ambiguity()
    refractivity: Refractivity = Refractivity()
    sounder: Sounder = Sounder()
    bias: Bias = Bias()
    buddy: Buddy = Buddy()
    consistency: Consistency = Consistency()
    thinning: Annotated[tuple[Mesh, ...], BeforeValidator(_several)] = ()
    superob: Annotated[tuple[Superob, ...], BeforeValidator(_several)] = ()
