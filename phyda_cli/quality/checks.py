"""The quality checks of single rows, each a pure function that flags what it finds.

A row keeps its first verdict, so the order in which `screening.py` calls them matters. Reasons name the value and,
where the size of a value betrays its unit, the suspicion and the remedy.

Of reports from the ground δ = h_station − h_ground decides: where either height is not known, t2m, d2m and sp cannot be
brought to the station (`operators/kinds.py`) and are refused, or taken as they are if the settings say so; too large a
δ is DOMAIN for every variable measured at a station, and so is a pressure reduced to sea level from high up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import GRAVITY, ZERO_CELSIUS
from phyda_cli.fields.standard_atmosphere import standard_height
from phyda_cli.fields.state import Channel
from phyda_cli.fields.variables import QUANTITIES, VARIABLES
from phyda_cli.observations.errors import ErrorTable
from phyda_cli.observations.settings import Domain, Surface
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.operators.brightness_temperature import SOUNDERS, STEEPEST
from phyda_cli.operators.kinds import kind_of
from phyda_cli.operators.layer import LAYERS

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

PRESSURE_BOUNDS: Final = (1.0, 110_000.0)
"""Credible pressures of an observation [Pa]."""
HEIGHT_BOUNDS: Final = (-1_000.0, 150_000.0)
"""Credible heights of what is placed by height [m]."""

QUANTITY_BOUNDS: Final = {name: quantity.bounds for name, quantity in QUANTITIES.items()}
"""Bounds [SI, degree] of everything that a report can hold, before and after conversion."""

EARLY: Final = "early"
LATE: Final = "late"
"""How the reasons of observations outside of the time window begin."""

_WHERE: Final = "in the column's name, in a long table's unit column, or with --units"
_SUSPICIONS: Final[dict[str, tuple[Callable[[Floats], Floats], str]]] = {
    **dict.fromkeys(
        ("t", "td", "t2m", "d2m"), (lambda x: x + ZERO_CELSIUS, f"degrees C given as K: say degC {_WHERE}")
    ),
    **dict.fromkeys(("msl", "sp"), (lambda x: x * 100.0, f"hPa given as Pa: say hPa {_WHERE}")),
    "q": (lambda x: x / 1000.0, f"g/kg given as kg/kg: say g/kg {_WHERE}"),
    "r": (lambda x: x / 100.0, f"% given as a fraction: say % {_WHERE}"),
}
"""What to try on a value out of bounds, and what it means when that brings it within."""

_HEIGHT_AS_GEOPOTENTIAL: Final = 0.4
"""A geopotential below this part of the standard atmosphere's is no geopotential: a height is near 0.1."""
_NEAR_STANDARD: Final = 0.25
_CLEAR_HEIGHT: Final = 1500.0
"""Standard height [m] above which the two cannot be taken for each other."""


def check_missing(observations: Observations) -> Observations:
    """MISSING: no value, place or time, or no pressure where the variable needs one."""
    needs_pressure = _needs_pressure(observations)
    result = observations
    for missing, reason in (
        (~np.isfinite(observations.value), "value is missing or not finite"),
        (~np.isfinite(observations.latitude) | ~np.isfinite(observations.longitude), "place is missing or not finite"),
        (np.isnat(observations.time), "time is missing"),
        ((observations.variable == "refractivity") & ~np.isfinite(observations.height), "no height for refractivity"),
        (
            np.isin(observations.variable, list(SOUNDERS)) & ~np.isfinite(observations.zenith),
            "no zenith angle for a brightness temperature",
        ),
        (np.isin(observations.variable, LAYERS) & ~np.isfinite(observations.top), "no upper end for a layer"),
        (needs_pressure & ~np.isfinite(observations.pressure), "no pressure for a variable on pressure levels"),
    ):
        result = result.reject(missing, Flag.MISSING, reason)
    return result


def check_bounds(observations: Observations) -> Observations:
    """BOUNDS: place, pressure, value or error outside what can be."""
    o = observations
    low, high = PRESSURE_BOUNDS
    limits: tuple[tuple[Mask, Callable[[int], str]], ...] = (
        ((o.height < HEIGHT_BOUNDS[0]) | (o.height > HEIGHT_BOUNDS[1]),
         lambda i: f"height {o.height[i]:g} m is not within {HEIGHT_BOUNDS[0]:g}..{HEIGHT_BOUNDS[1]:g}"),
        ((o.top < low) | (o.top >= o.pressure),
         lambda i: f"upper end {o.top[i]:g} Pa is not above the layer's lower end {o.pressure[i]:g} Pa"),
        (np.abs(o.zenith) > STEEPEST,
         lambda i: f"zenith angle {o.zenith[i]:g} is not within -{STEEPEST:g}..{STEEPEST:g}"),
        (np.abs(o.latitude) > 90, lambda i: f"latitude {o.latitude[i]:g} is not within -90..90"),
        ((o.longitude < -180) | (o.longitude > 360),
         lambda i: f"longitude {o.longitude[i]:g} is not within -180..360"),
        ((o.pressure < low) | (o.pressure > high),
         lambda i: f"pressure {o.pressure[i]:g} Pa is not within 1..110000" + _pressure_suspicion(o.pressure[i])),
    )  # fmt: skip
    result = o
    for beyond, describe in limits:
        result = result.reject(beyond, Flag.BOUNDS, describe)
    bad = (o.error <= 0) | np.isinf(o.error)
    return _check_values(result).reject(bad, Flag.BOUNDS, lambda i: f"error {o.error[i]:g} is not positive and finite")


def _check_values(observations: Observations) -> Observations:
    o, result = observations, observations
    for name in np.unique(o.variable.astype(str)):
        if name not in QUANTITY_BOUNDS:
            continue
        low, high = QUANTITY_BOUNDS[name]
        rows = o.variable == name
        transform, suspicion = _SUSPICIONS.get(name, (None, ""))
        hints = np.zeros(len(o), dtype=bool)
        if transform is not None:
            converted = transform(o.value)
            hints = (converted >= low) & (converted <= high)

        def describe(i: int, name: str = name, text: str = suspicion, hints: Mask = hints) -> str:
            low, high = QUANTITY_BOUNDS[name]
            hint = f"; looks like {text}" if hints[i] else ""
            return f"{name} {o.value[i]:g} is not within {low:g}..{high:g}{hint}"

        result = result.reject(rows & ((o.value < low) | (o.value > high)), Flag.BOUNDS, describe)
    height = standard_height(o.pressure)
    too_low = (o.variable == "z") & (height > _CLEAR_HEIGHT) & (o.value < _HEIGHT_AS_GEOPOTENTIAL * GRAVITY * height)
    with np.errstate(over="ignore"):  # of a pressure that is no pressure
        hectopascal = 100.0 * o.pressure
    as_hectopascal = np.abs(o.value / (GRAVITY * standard_height(hectopascal)) - 1.0) < _NEAR_STANDARD

    def describe_height(i: int) -> str:
        hint = "height in m: name it gh, or give the unit m"
        if as_hectopascal[i]:
            hint = "pressure in hPa given as Pa: name the column pressure_hpa"
        return f"z {o.value[i]:g} m2 s-2 at {o.pressure[i]:g} Pa is far too low; looks like {hint}"

    return result.reject(too_low, Flag.BOUNDS, describe_height)


def _pressure_suspicion(pressure: float) -> str:
    looks_like_pascal = PRESSURE_BOUNDS[0] <= pressure / 100.0 <= PRESSURE_BOUNDS[1]
    return "; looks like Pa given as hPa: name the column pressure" if looks_like_pascal else ""


def check_area(observations: Observations, beyond: Floats, margin: float) -> Observations:
    """DOMAIN: outside of the background's grid, farther than the margin around it.

    beyond (n,), margin: [m], 0 within the grid.
    """
    kilometres = beyond / 1000.0

    def outside(i: int) -> str:
        hint = "" if margin else "; --margin takes those nearby"
        return f"{kilometres[i]:.0f} km outside of the background's grid{hint}"

    return observations.reject(beyond > margin, Flag.DOMAIN, outside)


def check_operator(
    observations: Observations, defined: Mask, background_equivalent: Floats, channels: Sequence[Channel]
) -> Observations:
    """H_FAILED: a variable that the background does not hold, or H(x_b) not finite. DOMAIN: outside its levels.

    defined, background_equivalent (n,): whether H exists, and H(x_b). channels: what the background holds.
    """
    o = observations
    levels: dict[str, list[float]] = {}
    for channel in channels:
        levels.setdefault(channel.variable, []).extend([] if channel.level is None else [channel.level])

    lacking = {name: kind_of(name).lacks(levels.keys()) for name in set(o.variable.tolist())}

    def absent(i: int) -> str:
        name = o.variable[i]
        if name not in VARIABLES:
            return f"unknown variable {name}"
        made_of = "" if lacking[name] == (name,) else f", of which {name} is made"
        return f"the background has no {' and no '.join(lacking[name])}{made_of}"

    def outside(i: int) -> str:
        if np.isfinite(o.height[i]):
            return f"height {o.height[i]:.0f} m is not between the levels that the background has here"
        held = levels.get(o.variable[i])
        if not held:
            return "the observation operator is not defined here"
        pressure = o.pressure[i]
        place = "above the highest" if pressure < min(held) else "below the lowest"
        suspicious = pressure < min(held) <= pressure * 100.0 <= PRESSURE_BOUNDS[1]
        hint = "; if this is hPa, name the column pressure_hpa" if suspicious else ""
        return f"{pressure:g} Pa is {place} level of {o.variable[i]}, {min(held):g}..{max(held):g} Pa{hint}"

    without = _any_of(o.variable, [name for name, parts in lacking.items() if parts])
    result = o.reject(without, Flag.H_FAILED, absent).reject(~defined, Flag.DOMAIN, outside)
    return result.reject(~np.isfinite(background_equivalent), Flag.H_FAILED, "the background is not finite here")


def check_below_ground(observations: Observations, surface_pressure: Floats, settings: Domain) -> Observations:
    """DOMAIN: p > p_s + δ, below the ground of the background, where its fields are extrapolated.

    surface_pressure (n,): the background's at the observations [Pa], NaN where it has none.
    """
    o = observations
    below = _needs_pressure(o) & (o.pressure > surface_pressure + 100.0 * settings.below_ground_hpa)
    return o.reject(
        below & settings.enabled,
        Flag.DOMAIN,
        lambda i: f"{o.pressure[i]:g} Pa is below the ground of the background, {surface_pressure[i]:.0f} Pa",
    )


def check_window(observations: Observations, time: np.datetime64, window: np.timedelta64) -> Observations:
    """DOMAIN: more than `window` (half the length of the assimilation window) away from the analysis time."""
    o = observations
    age = (o.time - time.astype("datetime64[ns]")).astype("timedelta64[ns]")
    hours = age / np.timedelta64(3_600_000_000_000, "ns")
    half = window / np.timedelta64(1, "h")
    return o.reject(
        np.abs(hours) > half,
        Flag.DOMAIN,
        lambda i: (
            f"{EARLY if hours[i] < 0 else LATE}: time {str(o.time[i])[:19]}Z is {hours[i]:+.1f} h from the analysis, "
            f"window is +-{half:g} h"
        ),
    )


def check_background(
    observations: Observations, background_equivalent: Floats, background_error: Floats, table: ErrorTable
) -> Observations:
    """FIRST_GUESS: |y − H(x_b)| > k √(σ_o² + σ_b²).

    background_equivalent, background_error (n,): H(x_b) and σ_b at the observations, SI; σ_b NaN counts as 0.
    """
    o = observations
    departure = o.value - background_equivalent
    expected = np.hypot(o.error, np.nan_to_num(background_error))
    limit = table.limit(o.variable)
    return o.reject(
        np.abs(departure) > limit * expected,
        Flag.FIRST_GUESS,
        lambda i: f"departure {departure[i]:.4g} exceeds {limit[i]:g} times the expected {expected[i]:.4g}",
    )


def _needs_pressure(observations: Observations) -> Mask:
    return _any_of(observations.variable, [name for name, entry in VARIABLES.items() if entry.pressure_level])


def _any_of(variable: NDArray[np.object_], names: list[str]) -> Mask:
    mask = np.zeros(variable.shape, dtype=bool)
    for name in names:
        mask |= variable == name
    return mask


_ADJUSTED: Final = ("t2m", "d2m", "sp", "ztd")


def check_surface(observations: Observations, difference: Floats, settings: Surface) -> Observations:
    """H_FAILED: t2m or sp without δ. DOMAIN: |δ| too large; pressure reduced to sea level over too large a height.

    difference: δ (n,) [m].
    """
    o = observations
    if not settings.enabled:
        return o
    result = o

    def unknown(i: int) -> str:
        if np.isnan(o.elevation[i]):
            return "the station's elevation is not known"
        return "the background tells no height of its ground: it needs an orography, or sp and z on levels"

    def apart(i: int) -> str:
        limit = f"{settings.height_difference:g} m"
        return f"station is {difference[i]:+.0f} m from the background's ground, more than {limit}"

    def reduced(i: int) -> str:
        limit = f"{settings.sea_level_elevation:g} m"
        return f"pressure reduced to sea level from {o.elevation[i]:.0f} m, more than {limit}"

    if settings.require_height:
        result = o.reject(np.isin(o.variable, _ADJUSTED) & np.isnan(difference), Flag.H_FAILED, unknown)
    result = result.reject(np.abs(difference) > settings.height_difference, Flag.DOMAIN, apart)
    too_high = (o.variable == "msl") & (o.elevation > settings.sea_level_elevation)
    return result.reject(too_high, Flag.DOMAIN, reduced)
