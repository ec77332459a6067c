"""Virtual temperature and humidity at the surface, as IODA files have them, to what is observed elsewhere.

    T = T_v / (1 + (1/ε − 1) q),  σ_T = σ_Tv / (1 + (1/ε − 1) q)      with the q of the location
    T_d(q, p)                                                        for q of a surface report, p that of the station

`at` (n,) is the location of each entry, from 0.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from phyda_cli.fields.thermodynamics import dewpoint_from_specific_humidity, temperature_from_virtual
from phyda_cli.formats.reports.ioda_names import VIRTUAL
from phyda_cli.observations.conversion import SURFACE_REPORTS
from phyda_cli.observations.table import Flag, Observations

Floats = NDArray[np.float64]


def dry_temperature(observations: Observations, at: NDArray[np.int64]) -> Observations:
    """T from T_v with the q of the location; flagged where T is there as well, or no valid q.

    σ_T is that of T_v over 1 + (1/ε − 1) q: the part of q is 0.6 T σ_q, a tenth of a kelvin where q is ill known.
    """
    virtual = observations.variable == VIRTUAL
    if not virtual.any():
        return observations
    given = np.isfinite(_companion(observations, at, "t")[0])
    humidity, _ = _companion(observations, at, "q")
    result = observations.reject(virtual & given, Flag.THINNED, "the location gives airTemperature itself")
    result = result.reject(
        virtual & ~np.isfinite(humidity), Flag.MISSING, "virtual temperature needs a valid specificHumidity here"
    )
    dry = virtual & result.used
    return replace(
        result,
        variable=np.where(dry, "t", result.variable).astype(object),
        value=np.where(dry, temperature_from_virtual(result.value, humidity), result.value),
        error=np.where(dry, temperature_from_virtual(result.error, humidity), result.error),
    )


def surface_humidity(observations: Observations, at: NDArray[np.int64]) -> Observations:
    """Specific humidity at a station as its dew point, by the pressure there; its error is left to the table."""
    kinds, which = np.unique(observations.report.astype(str), return_inverse=True)
    lower = np.array([kind.casefold() in SURFACE_REPORTS for kind in kinds], dtype=bool)[which]
    rows = (observations.variable == "q") & lower
    station, _ = _companion(observations, at, "sp")
    pressure = np.where(np.isfinite(observations.pressure), observations.pressure, station)
    result = observations.reject(
        rows & ~np.isfinite(pressure), Flag.MISSING, "specific humidity at a station needs its pressure"
    )
    result = result.reject(rows & (result.value <= 0), Flag.BOUNDS, lambda i: f"q {result.value[i]:g} has no dew point")
    rows &= result.used
    humidity = np.where(rows, result.value, 1e-3)
    return replace(
        result,
        variable=np.where(rows, "d2m", result.variable).astype(object),
        value=np.where(rows, dewpoint_from_specific_humidity(humidity, pressure), result.value),
        error=np.where(rows, np.nan, result.error),
    )


def _companion(observations: Observations, at: NDArray[np.int64], quantity: str) -> tuple[Floats, Floats]:
    """For each entry, value and error of a quantity at its location where it has passed; NaN elsewhere."""
    size = int(at.max(initial=-1)) + 1
    value, error = np.full(size, np.nan), np.full(size, np.nan)
    rows = observations.used & (observations.variable == quantity)
    value[at[rows]], error[at[rows]] = observations.value[rows], observations.error[rows]
    return value[at], error[at]
