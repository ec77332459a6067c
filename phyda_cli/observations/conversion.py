"""Reports to what is assimilated: wind, height, humidity and altimeter settings, one row staying one row.

    u = −s sin D     σ_u² = (sin D · σ_s)² + (s cos D · σ_D)²       from speed s and the direction D it blows from
    v = −s cos D     σ_v² = (cos D · σ_s)² + (s sin D · σ_D)²
    ws10 = s                                                        of a satellite that gives no direction
    z = g · gh       σ_z = g · σ_gh
    q = q(e_w(T_d), p)        σ_q = ∂q/∂T_d · σ_Td
    q = q(r · e_w(T), p)      σ_q² = (∂q/∂r · σ_r)² + (∂q/∂T · σ_T)²
    d2m = T_d(r · e_w(t2m))   σ_d2m² = (∂T_d/∂r · σ_r)² + (∂T_d/∂T · σ_T)²
    sp = p*(h*(QNH) + h)      σ_sp = ∂p*/∂QNH · σ_QNH       at a station at the height h

What is placed by its geometric height gets the pressure that the standard atmosphere has there, for all that sorts by
levels; H goes by the height.

p* and h* are pressure and height of the standard atmosphere, which an altimeter is set by. The row of the speed becomes
u and the row of the direction becomes v. A row whose companion is missing, rejected or not unique in its report is
flagged; a row that says again what its report gives directly (speed beside u, dew point beside q, relative humidity
beside either, altimeter setting beside a pressure) is flagged THINNED, so that one measurement does not count twice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.constants import GRAVITY, ZERO_CELSIUS
from phyda_cli.fields.geometric_height import geopotential_of_height
from phyda_cli.fields.standard_atmosphere import standard_height, standard_pressure
from phyda_cli.fields.thermodynamics import (
    dewpoint,
    saturation_vapour_pressure_water,
    specific_humidity_from_vapour_pressure,
)
from phyda_cli.fields.variables import EASTWARD, NORTHWARD, VARIABLES
from phyda_cli.observations.kinds import FAMILIES, of_each
from phyda_cli.observations.table import Flag, Observations

Floats = NDArray[np.float64]

SURFACE_REPORTS: Final = FAMILIES["surface"] | FAMILIES["ship"] | FAMILIES["buoy"] | FAMILIES["seawind"]
"""Report types (lower case) measured at a station's surface: t, td, u, v are those at 2 and 10 metres."""

_AT_SURFACE: Final = {"t": "t2m", "td": "d2m", "r": "r2m", "u": "u10", "v": "v10"}
_REDUCED: Final = 1000.0
"""Height [m] up to which a pressure at sea level says as much as an altimeter setting beside it."""
_FLIGHT_LEVEL_ROWS: Final = 10
_FLIGHT_LEVEL_METRES: Final = 30.0


class _Companion(NamedTuple):
    """What the report of each row gives for one quantity. distinct: number of values; value, error: NaN without one."""

    distinct: NDArray[np.int64]
    value: Floats
    error: Floats


def convert(observations: Observations, report: NDArray[np.int64]) -> Observations:
    """Convert wind, height and humidity to what is assimilated.

    observations: rows whose variable is a short name of `VARIABLES`, `wind_speed` [m s-1] or `wind_direction` [degree],
    in SI. report: (n,) a number for each report (one station, place, time and pressure); companions share it.
    Rows that are rejected already keep their quantity.
    """
    result = _at_surface(_without_flight_levels(placed(observations), report))
    result = _wind(result, report)
    result = _screen_humidity(_altimeter(_height(result), report), report)
    return _without_level(_humidity(result, report))


def placed(observations: Observations) -> Observations:
    """Return what has a height with the pressure of the standard atmosphere there, where it has a place."""
    o = observations
    rows = np.flatnonzero(np.isfinite(o.height) & (np.abs(o.latitude) <= 90.0))
    if not rows.size:
        return o
    pressure = o.pressure.copy()
    pressure[rows] = pressure_of_height(o.height[rows], o.latitude[rows])
    return replace(o, pressure=pressure)


def pressure_of_height(height: Floats, latitude: Floats) -> Floats:
    """Return the pressure (n,) [Pa] of the standard atmosphere at geometric heights [m] and latitudes [degree]."""
    return standard_pressure(geopotential_of_height(height, latitude) / GRAVITY)


def _without_level(observations: Observations) -> Observations:
    """No pressure for what lies on no level, whether a file gives one with it or not."""
    single = [name for name, entry in VARIABLES.items() if not entry.pressure_level]
    pressure = np.where(np.isin(observations.variable.astype(str), single), np.nan, observations.pressure)
    return replace(observations, pressure=pressure)


def is_surface(observations: Observations) -> NDArray[np.bool_]:
    """(n,) whether a row's report type is one of `SURFACE_REPORTS`."""
    return of_each(observations.report, lambda kind: kind.casefold() in SURFACE_REPORTS)


def _at_surface(observations: Observations) -> Observations:
    surface = is_surface(observations)
    variable = observations.variable.copy()
    for name, near_surface in _AT_SURFACE.items():
        variable[surface & (observations.variable == name)] = near_surface
    return replace(observations, variable=variable)


def _without_flight_levels(observations: Observations, report: NDArray[np.int64]) -> Observations:
    """Heights that are the standard atmosphere's at their pressure: flight levels, not measurements.

    Aircraft and satellite winds give them, and so do soundings of wind by height, where the pressure is computed from
    the height. Of a source and report type, the reports with wind but no temperature and the others are judged apart:
    those are of that kind whose heights follow the standard atmosphere within 30 m in 19 of 20 rows. Real heights at a
    pressure vary by hundreds of metres.
    """
    height = observations.used & (observations.variable == "gh") & np.isfinite(observations.pressure)
    near = np.abs(observations.value - standard_height(observations.pressure)) < _FLIGHT_LEVEL_METRES
    kinds, which = np.unique(observations.report.astype(str), return_inverse=True)
    origin = 2 * (observations.source * kinds.size + which) + _wind_alone(observations, report)
    size = int(origin.max(initial=-1)) + 1
    total, following = (np.bincount(origin[rows], minlength=size) for rows in (height, height & near))
    levels = height & ((total >= _FLIGHT_LEVEL_ROWS) & (following > 0.95 * total))[origin]
    return observations.reject(levels, Flag.BLACKLIST, "flight level: the standard atmosphere's height, not measured")


def _wind_alone(observations: Observations, report: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) whether the report of a row has wind but no temperature."""
    names, finite = observations.variable.astype(str), np.isfinite(observations.value)
    wind, temperature = (
        np.bincount(report[np.isin(names, quantities) & finite], minlength=int(report.max(initial=-1)) + 1) > 0
        for quantities in (["u", "v", "wind_speed", "wind_direction"], ["t"])
    )
    return np.asarray((wind & ~temperature)[report])


def _companion(observations: Observations, report: NDArray[np.int64], quantity: str) -> _Companion:
    """For each row, the valid value of `quantity` in its report, with the largest error where it comes twice alike."""
    n_reports = int(report.max(initial=-1)) + 1
    distinct = np.zeros(n_reports, dtype=np.int64)
    value, error = np.full(n_reports, np.nan), np.full(n_reports, np.nan)
    rows = np.flatnonzero(observations.used & (observations.variable == quantity))
    if rows.size:
        rows = rows[np.lexsort((observations.value[rows], report[rows]))]
        number, observed = report[rows], observations.value[rows]
        another = np.append(True, (np.diff(number) != 0) | (np.diff(observed) != 0))
        distinct = np.bincount(number[another], minlength=n_reports)
        value[number] = observed
        np.fmax.at(error, number, observations.error[rows])
    return _Companion(distinct[report], value[report], error[report])


def _paired(
    observations: Observations, rows: NDArray[np.bool_], companion: _Companion, name: str
) -> tuple[Observations, NDArray[np.bool_]]:
    """Reject the rows whose companion is not there once, and say which rows are left."""
    result = observations.reject(rows & (companion.distinct == 0), Flag.MISSING, f"the report has no valid {name}")
    result = result.reject(rows & (companion.distinct > 1), Flag.PRE_QC, f"the report has several values of {name}")
    return result, rows & result.used


def _wind(observations: Observations, report: NDArray[np.int64]) -> Observations:
    if not np.isin(observations.variable, ("wind_speed", "wind_direction")).any():
        return observations
    surface = is_surface(observations)
    result = observations
    for quantity, repeated_by in (("wind_speed", EASTWARD), ("wind_direction", NORTHWARD)):
        for direct in repeated_by:
            given = _companion(result, report, direct).distinct > 0
            repeated = (result.variable == quantity) & given
            result = result.reject(repeated, Flag.THINNED, f"the report gives {direct} itself")
    result = _speed_alone(result, report)
    wind = result.used & np.isin(result.variable, ("wind_speed", "wind_direction"))
    speed, direction = (_companion(result, report, name) for name in ("wind_speed", "wind_direction"))
    result, wind = _paired(result, wind, direction, "wind_direction")
    result, wind = _paired(result, wind, speed, "wind_speed")
    to_u, to_v = wind & (result.variable == "wind_speed"), wind & (result.variable == "wind_direction")

    sine, cosine = np.sin(np.radians(direction.value)), np.cos(np.radians(direction.value))
    turn = np.radians(direction.error)
    # Without an error of the direction the vector's error is taken to be the speed's in every direction.
    isotropic = np.isnan(turn)
    u_error = np.where(isotropic, speed.error, np.hypot(sine * speed.error, speed.value * cosine * turn))
    v_error = np.where(isotropic, speed.error, np.hypot(cosine * speed.error, speed.value * sine * turn))
    variable, value, error = result.variable.copy(), result.value.copy(), result.error.copy()
    for rows, name, component, sigma in (
        (to_u, "u", -speed.value * sine, u_error),
        (to_v, "v", -speed.value * cosine, v_error),
    ):
        variable[rows] = np.where(surface, f"{name}10", name)[rows]
        value[rows], error[rows] = component[rows], sigma[rows]
    return replace(result, variable=variable, value=value, error=error)


def _speed_alone(observations: Observations, report: NDArray[np.int64]) -> Observations:
    """ws10: the speed that a satellite gives over the sea without any direction."""
    o = observations
    speeds = o.used & (o.variable == "wind_speed")
    at_sea = of_each(o.report, lambda kind: kind.casefold() in FAMILIES["seawind"])
    alone = speeds & at_sea & (_companion(o, report, "wind_direction").distinct == 0)
    return replace(o, variable=np.where(alone, "ws10", o.variable).astype(object))


def _height(observations: Observations) -> Observations:
    rows = observations.variable == "gh"
    variable = np.where(rows, "z", observations.variable).astype(object)
    scale = np.where(rows, GRAVITY, 1.0)
    return replace(observations, variable=variable, value=observations.value * scale, error=observations.error * scale)


def _altimeter(observations: Observations, report: NDArray[np.int64]) -> Observations:
    if not (observations.variable == "qnh").any():
        return observations
    result = observations
    for direct in ("sp", "msl"):
        given = _companion(result, report, direct).distinct > 0
        useful = (direct == "sp") | ~(result.elevation > _REDUCED)
        result = result.reject(
            (result.variable == "qnh") & given & useful, Flag.THINNED, f"the report gives {direct} itself"
        )
    rows = (result.variable == "qnh") & result.used
    result = result.reject(
        rows & ~np.isfinite(result.elevation), Flag.MISSING, "an altimeter setting needs the station's elevation"
    )
    rows &= result.used
    height = standard_height(np.where(rows, result.value, np.nan))
    pressure = standard_pressure(height + result.elevation)
    slope = standard_pressure(standard_height(result.value + 1.0) + result.elevation) - pressure  # of 1 Pa
    return replace(
        result,
        variable=np.where(rows, "sp", result.variable).astype(object),
        value=np.where(rows, pressure, result.value),
        error=np.where(rows, slope * result.error, result.error),
    )


def _screen_humidity(observations: Observations, report: NDArray[np.int64]) -> Observations:
    if not (observations.variable == "r2m").any():
        return observations
    given = _companion(observations, report, "d2m").distinct > 0
    result = observations.reject((observations.variable == "r2m") & given, Flag.THINNED, "the report gives d2m itself")
    temperature = _companion(result, report, "t2m")
    result, rows = _paired(result, result.used & (result.variable == "r2m"), temperature, "temperature")
    result = result.reject(rows & ~(result.value > 0), Flag.BOUNDS, "no relative humidity at all has no dew point")
    rows &= result.used
    r, t = (
        torch.tensor(np.where(rows, column, usual), dtype=torch.float64, requires_grad=True)
        for column, usual in ((result.value, 1.0), (temperature.value, ZERO_CELSIUS))
    )
    dew_point = dewpoint(r * saturation_vapour_pressure_water(t))
    by_fraction, by_temperature = (x.numpy() for x in torch.autograd.grad(dew_point.sum(), (r, t)))
    error = np.hypot(by_fraction * result.error, by_temperature * np.nan_to_num(temperature.error))
    return replace(
        result,
        variable=np.where(rows, "d2m", result.variable).astype(object),
        value=np.where(rows, dew_point.detach().numpy(), result.value),
        error=np.where(rows, error, result.error),
    )


def _humidity(observations: Observations, report: NDArray[np.int64]) -> Observations:
    if not np.isin(observations.variable, ("td", "r")).any():
        return observations
    result = observations
    for quantity, others in (("td", ("q",)), ("r", ("q", "td"))):
        for other in others:
            given = _companion(result, report, other).distinct > 0
            result = result.reject(
                (result.variable == quantity) & given, Flag.THINNED, f"the report gives {other} itself"
            )
    for quantity in ("td", "r"):
        lost = (result.variable == quantity) & ~np.isfinite(result.pressure)
        result = result.reject(lost, Flag.MISSING, "humidity needs a pressure")
    dew_point = result.used & (result.variable == "td")
    temperature = _companion(result, report, "t")
    result, relative = _paired(result, result.used & (result.variable == "r"), temperature, "temperature")

    # The dew point is where the air is saturated: r = 1 at T_d
    humidity, by_fraction, by_temperature = _specific_humidity(
        np.where(relative, result.value, 1.0),
        np.where(relative, temperature.value, np.where(dew_point, result.value, ZERO_CELSIUS)),
        result.pressure,
    )
    spread = np.where(
        relative,
        np.hypot(by_fraction * result.error, by_temperature * np.nan_to_num(temperature.error)),
        by_temperature * result.error,
    )
    rows = dew_point | relative
    result = replace(
        result,
        variable=np.where(rows, "q", result.variable).astype(object),
        value=np.where(rows, humidity, result.value),
        error=np.where(rows, spread, result.error),
    )
    return result.reject(rows & ~(humidity < 1.0), Flag.BOUNDS, "vapour pressure above the pressure")


def _specific_humidity(fraction: Floats, temperature: Floats, pressure: Floats) -> tuple[Floats, Floats, Floats]:
    """q(r · e_w(T), p), ∂q/∂r and ∂q/∂T; r is over water at all temperatures, as the WMO defines it for reports."""
    r, t = (torch.tensor(column, dtype=torch.float64, requires_grad=True) for column in (fraction, temperature))
    q = specific_humidity_from_vapour_pressure(r * saturation_vapour_pressure_water(t), torch.from_numpy(pressure))
    by_fraction, by_temperature = torch.autograd.grad(q.sum(), (r, t))
    return q.detach().numpy(), by_fraction.numpy(), by_temperature.numpy()
