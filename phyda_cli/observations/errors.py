"""Observation errors σ_o(variable, p, report type) and background-check limits; `errors.toml` beside this file ships.

    σ(p) = σ_k + (σ_{k+1} − σ_k)·ln(p/p_k)/ln(p_{k+1}/p_k)     between levels, constant outside them
    σ_o  = f · √(σ² + σ_r²)      f: inflation, σ_r: representativeness, by variable; 1 and 0 as shipped

σ is the row's own error where it comes with one, and the table's otherwise: that of the report type, of its family
(`kinds.py`), or of the variable. f and σ_r apply to both. The table's sources are written in the file itself.

The layout of an error table in TOML, that of `errors.toml` and of the user's `--errors FILE`, which extends it:

[sigma.t]            units, pressure, sigma: σ of a variable, [sigma.t.aircraft] the same for a report type,
                     [sigma.t.tropics] within 20° of the equator, for every report type
[inflation]          factor on σ, by variable
[representativeness] σ_r to add in quadrature, by variable, SI
[background_check]   k, by variable; `default` for all others
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.observations.kinds import family_of
from phyda_cli.observations.table import Flag, Observations

DOUBLING: Final = 100e3
"""D [m]: in a global forecast of 1° at 30 to 60° the values 111 km poleward or equatorward differ by 1.0 K, 3 to 5 m/s
(RMS, 300 and 700 hPa), about the errors of sondes."""
DOUBLING_OF_MASS: Final = 35e3
"""D [m] of heights and pressures: there z differs by 163 to 318 m2/s2, three errors of sondes."""
_MASS: Final = ("z", "msl", "sp")

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _one_or_several(value: Any) -> Any:
    return [value] if isinstance(value, int | float) else value


def known_variables(names: Any) -> Any:
    """Return what is given. Raises ValueError for a key that is no variable."""
    unknown = [name for name in names if name not in VARIABLES] if isinstance(names, dict) else []
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a variable (one of {', '.join(VARIABLES)})")
    return names


def _known_or_default(names: Any) -> Any:
    if isinstance(names, dict):
        known_variables({name: limit for name, limit in names.items() if name != "default"})
    return names


class ProfileEntry(BaseModel):
    """σ at pressures [Pa] in ascending order, or one for all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pressure: tuple[Positive, ...] = ()
    sigma: Annotated[tuple[Positive, ...], BeforeValidator(_one_or_several), Field(min_length=1)]

    @model_validator(mode="after")
    def _fits(self) -> ProfileEntry:
        if len(self.sigma) != max(len(self.pressure), 1):
            raise ValueError(f"{len(self.sigma)} values of sigma for {len(self.pressure)} pressures")
        if any(lower <= upper for upper, lower in zip(self.pressure, self.pressure[1:], strict=False)):
            raise ValueError("pressures [Pa] are not in ascending order")
        return self


class VariableEntry(BaseModel):
    """What is said of one variable: for every report, in the tropics, and for some report types (the other keys)."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, ProfileEntry] = Field(init=False)

    units: str | None = None
    pressure: tuple[Positive, ...] = ()
    sigma: Annotated[tuple[Positive, ...], BeforeValidator(_one_or_several)] = ()
    tropics: ProfileEntry | None = None

    @model_validator(mode="after")
    def _fits(self) -> VariableEntry:
        if self.sigma or self.pressure:
            ProfileEntry(pressure=self.pressure, sigma=self.sigma)
        return self

    @property
    def by_report(self) -> dict[str, ProfileEntry]:
        """Entries by report type."""
        return dict(self.__pydantic_extra__)


class ErrorDocument(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sigma: Annotated[dict[str, VariableEntry], BeforeValidator(known_variables)] = Field(default_factory=dict)
    inflation: Annotated[dict[str, Positive], BeforeValidator(known_variables)] = Field(default_factory=dict)
    representativeness: Annotated[dict[str, NotNegative], BeforeValidator(known_variables)] = Field(
        default_factory=dict
    )
    background_check: Annotated[dict[str, Positive], BeforeValidator(_known_or_default)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _in_si(self) -> ErrorDocument:
        for name, entry in self.sigma.items():
            if entry.units is not None and entry.units != VARIABLES[name].units:
                raise ValueError(f"sigma.{name} is in {entry.units!r}; give it in {VARIABLES[name].units!r}")
        return self


Floats = NDArray[np.float64]
Names = NDArray[np.object_]

_TROPICS: Final = 20.0
"""Latitude [degree] up to which they reach."""


@dataclass(frozen=True)
class ErrorProfile:
    """σ of one variable: log_pressure (k,) ascending ln p, empty for one value everywhere; sigma (k,) or (1,), SI."""

    log_pressure: tuple[float, ...]
    sigma: tuple[float, ...]

    def at(self, pressure: Floats) -> Floats:
        """σ (n,) at pressures (n,) [Pa]; NaN where the profile needs a pressure and there is none."""
        if not self.log_pressure:
            return np.full(pressure.shape, self.sigma[0])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.interp(np.log(pressure), self.log_pressure, self.sigma))


@dataclass(frozen=True)
class ErrorTable:
    """profiles: σ by short name. limits: k of the background check by short name. default_limit: k of all others.

    by_report: σ by short name and report type (lower case), tropics: by short name within 20° of the equator, both in
    place of those in profiles. inflation: f, representativeness: σ_r [SI], by short name.
    """

    profiles: dict[str, ErrorProfile]
    limits: dict[str, float]
    default_limit: float
    by_report: Mapping[tuple[str, str], ErrorProfile] = field(default_factory=dict)
    tropics: Mapping[str, ErrorProfile] = field(default_factory=dict)
    inflation: Mapping[str, float] = field(default_factory=dict)
    representativeness: Mapping[str, float] = field(default_factory=dict)

    def sigma(
        self, variable: Names, pressure: Floats, report: Names | None = None, latitude: Floats | None = None
    ) -> Floats:
        """σ (n,) in SI; NaN where the table has no value for the variable.

        report: (n,) report types. latitude: (n,) [degree]; without it nothing is in the tropics.
        """
        result = np.full(pressure.shape, np.nan)
        for name, profile in self.profiles.items():
            rows = variable == name
            result[rows] = profile.at(pressure[rows])
        if latitude is not None:
            for name, profile in self.tropics.items():
                rows = (variable == name) & (np.abs(latitude) < _TROPICS)
                result[rows] = profile.at(pressure[rows])
        if report is None or not self.by_report:
            return result
        kinds, which = np.unique(report.astype(str), return_inverse=True)
        for name in dict.fromkeys(name for name, _ in self.by_report):
            own = [
                self.by_report.get((name, str(kind).casefold()), self.by_report.get((name, family_of(str(kind)))))
                for kind in kinds
            ]
            mine = variable == name
            for number, found in enumerate(own):
                if found is not None:
                    rows = mine & (which == number)
                    result[rows] = found.at(pressure[rows])
        return result

    def final(self, variable: Names, sigma: Floats) -> Floats:
        """σ_o (n,) of σ (n,): with representativeness and inflation."""
        factor, extra = _by_name(self.inflation, variable, 1.0), _by_name(self.representativeness, variable, 0.0)
        return np.asarray(factor * np.where(extra > 0, np.hypot(sigma, extra), sigma))

    def limit(self, variable: Names) -> Floats:
        """k (n,) of the background check."""
        return _by_name(self.limits, variable, self.default_limit)

    def extended(self, document: ErrorDocument) -> ErrorTable:
        """Return this table with what a document says instead, or besides."""
        profiles, by_report, tropics = dict(self.profiles), dict(self.by_report), dict(self.tropics)
        for name, entry in document.sigma.items():
            scaled = [(name, 1.0)] + ([("z", GRAVITY)] if name == "gh" and "z" not in document.sigma else [])
            for target, scale in scaled:
                if entry.sigma:
                    profiles[target] = _profile(entry, scale)
                    tropics.pop(target, None)
                if entry.tropics is not None:
                    tropics[target] = _profile(entry.tropics, scale)
                by_report |= {(target, kind.casefold()): _profile(e, scale) for kind, e in entry.by_report.items()}
        limits = self.limits | document.background_check
        default = limits.pop("default", self.default_limit)
        return ErrorTable(
            profiles=profiles,
            limits=_with_geopotential(limits, 1.0),
            default_limit=default,
            by_report=by_report,
            tropics=tropics,
            inflation=_with_geopotential({**self.inflation, **document.inflation}, 1.0),
            representativeness=_with_geopotential({**self.representativeness, **document.representativeness}, GRAVITY),
        )


SMALLEST_PART: Final = 0.01
"""No observation is hundred times better than usual; a smaller σ_o would take the analysis's numbers apart."""
LARGEST_PART: Final = 100.0
"""What is hundred times worse than usual is no error: a fill value, or another unit."""


@cache
def default_error_table() -> ErrorTable:
    """Return the table that ships with phyda."""
    text = files("phyda_cli.observations").joinpath("errors.toml").read_text(encoding="utf-8")
    return ErrorTable({}, {}, np.inf).extended(ErrorDocument.model_validate(tomllib.loads(text)))


def assign_errors(observations: Observations, table: ErrorTable) -> Observations:
    """Give each row its σ_o, and flag errors that cannot be.

    σ is the row's own error or, without one, that of the table; it is raised to `SMALLEST_PART` of the usual one.
    σ ≤ 0, infinite or above `LARGEST_PART` of the usual one is flagged BOUNDS, and a variable without any error, own or
    tabulated, is flagged MISSING.
    """
    o = observations
    given = ~np.isnan(o.error)
    sigma = np.where(given, o.error, table.sigma(o.variable, o.pressure, o.report, o.latitude))
    bad = given & ~(np.isfinite(sigma) & (sigma > 0))
    usual = _usual(o)
    absurd = given & ~bad & (sigma > LARGEST_PART * usual)
    raised = np.where(bad, sigma, np.fmax(sigma, SMALLEST_PART * usual))
    result = replace(o, error=np.where(bad, sigma, table.final(o.variable, np.where(np.isnan(sigma), np.nan, raised))))
    reasons = o.reason.copy()
    reasons[bad] = [f"error {value:g} is not positive and finite" for value in sigma[bad]]
    reasons[absurd] = [
        f"error {value:g} is more than {LARGEST_PART:g} times the usual {size:g}"
        for value, size in zip(sigma[absurd], usual[absurd], strict=True)
    ]
    result = result.reject(bad | absurd, Flag.BOUNDS, reasons)
    return result.reject(np.isnan(sigma), Flag.MISSING, "no error given and none in the table for this variable")


def grown(observations: Observations, beyond: Floats) -> Observations:
    """Return rows with σ_o √(1 + (d/D)²), d = beyond (n,) [m] outside of the background's grid, 0 within.

    There the background goes on with the values at its rim, whose error is as large as σ_o at D.
    """
    mass = np.isin(observations.variable.astype(str), _MASS)
    length = np.where(mass, DOUBLING_OF_MASS, DOUBLING)
    return replace(observations, error=observations.error * np.hypot(1.0, beyond / length))


def count_raised(observations: Observations) -> int:
    """Return how many rows have an error of their own that `assign_errors` raises."""
    o = observations
    return int(np.sum((o.error > 0) & (o.error < SMALLEST_PART * _usual(o)) & o.used))


def _usual(observations: Observations) -> Floats:
    """(n,) σ of the table that ships with phyda, NaN for other variables."""
    o = observations
    return default_error_table().sigma(o.variable, o.pressure, latitude=o.latitude)


def _profile(entry: VariableEntry | ProfileEntry, scale: float) -> ErrorProfile:
    return ErrorProfile(tuple(np.log(entry.pressure).tolist()), tuple(scale * sigma for sigma in entry.sigma))


def _with_geopotential(values: dict[str, float], scale: float) -> dict[str, float]:
    """Return what is said of heights holds for the geopotential that they become, unless it has its own."""
    return {"z": scale * values["gh"], **values} if "gh" in values else values


def _by_name(values: Mapping[str, float], variable: Names, default: float) -> Floats:
    if not values:
        return np.full(variable.shape, default)
    return np.array([values.get(name, default) for name in variable], dtype=np.float64)
