"""Default observation errors σ_o(variable, p) and background-check limits, read from `errors.toml` beside this file.

    σ_o(p) = σ_k + (σ_{k+1} − σ_k)·ln(p/p_k)/ln(p_{k+1}/p_k)   between levels, constant outside them.

The table's sources are written in the file itself. An error that comes with an observation wins over the table.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from phyda_cli.fields.constants import GRAVITY
from phyda_cli.observations.table import Flag, Observations

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ErrorProfile:
    """σ_o of one variable: log_pressure (k,) ascending ln p, empty for one value everywhere; sigma (k,) or (1,), SI."""

    log_pressure: tuple[float, ...]
    sigma: tuple[float, ...]

    def at(self, pressure: Floats) -> Floats:
        """σ_o (n,) at pressures (n,) [Pa]; NaN where the profile needs a pressure and there is none."""
        if not self.log_pressure:
            return np.full(pressure.shape, self.sigma[0])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.interp(np.log(pressure), self.log_pressure, self.sigma))


@dataclass(frozen=True)
class ErrorTable:
    """profiles: σ_o by short name. limits: k of the background check by short name. default_limit: k of all others."""

    profiles: dict[str, ErrorProfile]
    limits: dict[str, float]
    default_limit: float

    def sigma(self, variable: NDArray[np.object_], pressure: Floats) -> Floats:
        """σ_o (n,) in SI; NaN where the table has no value for the variable."""
        result = np.full(pressure.shape, np.nan)
        for name, profile in self.profiles.items():
            rows = variable == name
            result[rows] = profile.at(pressure[rows])
        return result

    def limit(self, variable: NDArray[np.object_]) -> Floats:
        """k (n,) of the background check."""
        return np.array([self.limits.get(name, self.default_limit) for name in variable], dtype=np.float64)


@cache
def default_error_table() -> ErrorTable:
    """The table that ships with phyda."""
    text = files("phyda_cli.observations").joinpath("errors.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    profiles = {
        name: ErrorProfile(tuple(np.log(entry.get("pressure", [])).tolist()), tuple(entry["sigma"]))
        for name, entry in document["sigma"].items()
    }
    height = profiles["gh"]
    profiles["z"] = ErrorProfile(height.log_pressure, tuple(GRAVITY * sigma for sigma in height.sigma))
    limits = dict(document["background_check"])
    default = float(limits.pop("default"))
    return ErrorTable(profiles, limits, default)


def assign_errors(observations: Observations, table: ErrorTable) -> Observations:
    """Give the rows without an error that of the table, and flag errors that are not positive and finite.

    A σ_o that came with a row stays, whatever it is; σ_o ≤ 0 or infinite is flagged BOUNDS, and a variable that has
    neither its own nor a tabulated error is flagged MISSING.
    """
    given = ~np.isnan(observations.error)
    error = np.where(given, observations.error, table.sigma(observations.variable, observations.pressure))
    result = replace(observations, error=error)
    bad = given & ~(np.isfinite(error) & (error > 0))
    reasons = observations.reason.copy()
    reasons[bad] = [f"error {value:g} is not positive and finite" for value in error[bad]]
    result = result.reject(bad, Flag.BOUNDS, reasons)
    return result.reject(np.isnan(error), Flag.MISSING, "no error given and none in the table for this variable")
