"""Numbers judge labels, for a whole column or field at once: is a unit credible, and which one is?

Every unit that measures a quantity is a hypothesis. Its doubt is the share of the values that cannot be if it is right:

    temperature   outside what occurs                msl, sp     outside what occurs
    wind          faster than any jet                height      not near the standard atmosphere's at the pressure
    q             above what warm air can hold, or nowhere above what even cold air holds in the lower atmosphere
    r             above 120 %, or nowhere above 1.2 % near the ground
    pressure      outside 1 Pa to 1100 hPa, or against the heights; 850 and 925 are levels in hPa

The limits are wide, so that what can be real is never condemned: dry polar air, deserts, the stratosphere, an Antarctic
column. Few values condemn no label. Which rows are wrong when most are right is a matter of the checks of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.standard_atmosphere import standard_height
from phyda_cli.fields.variables import QUANTITIES, VARIABLES
from phyda_cli.formats.units import UnitConversion, candidates

Floats = NDArray[np.float64]

FEWEST: Final = 5
"""Fewer values condemn no label."""
_SAMPLE: Final = 200_000
"""Values that are looked at, evenly through the column or field."""
_CONDEMNED: Final = 0.5
"""A unit is not credible when at least this share of the values cannot be,"""
_SUSPECT: Final = 0.2
"""or this share where another unit leaves at most `_CLEAN` of doubt. Gross errors are a few per cent at most."""
_CLEAN: Final = 0.01

_TEMPERATURES: Final = {"t": (150.0, 332.0), "t2m": (175.0, 332.0), "td": (120.0, 310.0), "d2m": (150.0, 310.0)}
_FASTEST: Final = 135.0
"""Jets reach 120 m/s."""
_SMALLEST_HEIGHT: Final = 1500.0
"""Standard height [m] above which a height is a matter of its pressure, not of the weather."""
_HEIGHT_RATIO: Final = (0.7, 1.35)
"""Heights over standard heights: 0.84 at 500 hPa in an Antarctic winter, 1.07 at 0.1 hPa (above the formula)."""
_PRESSURE_RATIO: Final = (0.5, 2.0)
_LOWER: Final = 50_000.0
"""Lower half of the atmosphere [Pa]; above it air may be as dry as it likes."""
_MIDDLE: Final = 60_000.0
"""The Antarctic plateau ends about here [Pa]."""
_NEAR_GROUND: Final = 70_000.0
_GROUND: Final = 85_000.0
_BOUNDARY: Final = 90_000.0
_FEW, _SOME, _MANY = 10, 100, 250
_HPA_ONLY: Final = (850.0, 925.0)
"""Levels in hPa that are none of the stratosphere's in Pa (1000, 700, 500, 300, 200, 150 and 100 are)."""


@dataclass(frozen=True)
class Verdict:
    """What the numbers say of a label.

    credible: True: they fit it. False: they contradict it. None: they are too few, or there is no label.
    unit: after a contradiction the only unit that fits instead, without a label the only one that fits at all; None
    when none or several do.
    """

    credible: bool | None
    unit: UnitConversion | None = None


def judge(
    quantity: str,
    values: NDArray[Any],
    pressures: Floats,
    unit: UnitConversion | None = None,
    *,
    heights: Floats | None = None,
    gridded: bool = False,
) -> Verdict:
    """Return what the values of a whole column or field say of its unit.

    quantity: a short name of `VARIABLES`, `pressure`, `qnh` or `wind_speed`; of others nothing is known. z and gh are
    one, in m2 s-2 or m. values: in `unit`, any shape. pressures: Pa of each value, NaN where there is none, of a shape
    that broadcasts to the values'. unit: what the label says; None where there is no label. heights: for the quantity
    `pressure`, geopotential heights [m] of the values, NaN where there is none. gridded: whether it is a field of a
    gridded product, which is never in degrees F.
    A height is judged by its pressure and a pressure by its height: judge pressures first, and take a contradiction
    without a `unit` for one of the heights.
    """
    v, p, h = _sampled(values, pressures, heights)
    options = list(units_of(quantity, gridded=gridded))
    if unit is not None and unit not in options:
        options.append(unit)
    doubts = [_doubt(quantity, option, v, p, h, labelled=unit is not None) for option in options]
    least = min((d for d in doubts if np.isfinite(d)), default=1.0)
    possible = [not (doubt >= _CONDEMNED or (doubt >= _SUSPECT and least <= _CLEAN)) and v.size > 0 for doubt in doubts]
    if unit is None:
        fitting = [o for o, doubt, can in zip(options, doubts, possible, strict=True) if can or np.isnan(doubt)]
        sure = len(fitting) == 1 and np.isfinite(doubts[options.index(fitting[0])])
        return Verdict(None, fitting[0] if sure else None)
    own = options.index(unit)
    if np.isnan(doubts[own]) or v.size == 0:
        return Verdict(None)
    if possible[own]:
        return Verdict(True if v.size >= FEWEST else None)
    others = [
        o for o, doubt, can in zip(options, doubts, possible, strict=True) if can and np.isfinite(doubt) and o != unit
    ]
    return Verdict(False if v.size >= FEWEST else None, others[0] if len(others) == 1 else None)


def _sampled(values: NDArray[Any], pressures: Floats, heights: Floats | None) -> tuple[Floats, Floats, Floats]:
    """Return the values that are looked at, of those that are there, with their pressures and heights, (n,) each."""
    v = np.asarray(values)
    there = np.isfinite(v)
    count = int(np.count_nonzero(there))
    step = max(1, count // _SAMPLE)
    kept = np.arange(0, count, step) if count == v.size else np.flatnonzero(there)[::step]
    place = np.unravel_index(kept, v.shape)
    others = (pressures, np.nan if heights is None else heights)
    p, h = (np.broadcast_to(np.asarray(x, dtype=np.float64), v.shape)[place] for x in others)
    return v[place].astype(np.float64), p, h


def units_of(quantity: str, *, gridded: bool = False) -> tuple[UnitConversion, ...]:
    """Return every unit that measures a quantity, geopotential and height being one; gridded: as in `judge`."""
    if quantity in ("z", "gh"):
        return candidates("m2 s-2") + candidates("m")
    si = VARIABLES[quantity].units if quantity in VARIABLES else _SI.get(quantity, "")
    return candidates(si, gridded=gridded)


_SI: Final = {"pressure": "Pa", "qnh": "Pa", "wind_speed": "m s-1"}
_Test = Callable[[Floats, Floats], float]


def _doubt(
    quantity: str, unit: UnitConversion, values: Floats, pressures: Floats, heights: Floats, *, labelled: bool
) -> float:
    """Return the share of values that cannot be if the unit is right; NaN when the quantity says nothing."""
    if values.size == 0:
        return np.nan
    si = unit.to_si(values)
    if quantity in ("z", "gh"):
        return _doubt_of_height(si / GRAVITY if unit.si == "m2 s-2" else si, pressures)
    if quantity == "pressure":
        in_pascal = unit.scale == 1.0
        return _doubt_of_pressure(si, heights, in_pascal=in_pascal, labelled=labelled)
    test = _TESTS.get(quantity)
    return np.nan if test is None else test(si, pressures)


def _outside(low: float, high: float) -> _Test:
    return lambda si, _: float(np.mean((si < low) | (si > high)))


def _doubt_of_height(metres: Floats, pressures: Floats) -> float:
    expected = standard_height(pressures)
    clear = expected > _SMALLEST_HEIGHT
    if not clear.any():
        return np.nan
    ratio = metres[clear] / expected[clear]
    return float(np.mean((ratio < _HEIGHT_RATIO[0]) | (ratio > _HEIGHT_RATIO[1])))


def _doubt_of_pressure(pascal: Floats, heights: Floats, *, in_pascal: bool, labelled: bool) -> float:
    if in_pascal and pascal.max() <= 1_100.0:
        # Numbers up to 1100 as Pa are all above 11 hPa, where next to no table without a label is.
        known_level = bool(np.isin(pascal, _HPA_ONLY).any())
        if known_level or (not labelled and pascal.max() > 110.0 and not np.isfinite(heights).any()):
            return 1.0
    with np.errstate(over="ignore"):
        expected = standard_height(pascal)
    clear = np.isfinite(heights) & (np.fmax(heights, expected) > _SMALLEST_HEIGHT)
    ratio = heights[clear] / expected[clear]
    against = np.zeros(pascal.size, dtype=bool)
    against[clear] = ~((ratio > _PRESSURE_RATIO[0]) & (ratio < _PRESSURE_RATIO[1]))
    impossible = (pascal < 1.0) | (pascal > 110_000.0)
    if clear.any():
        return float(np.mean((against | impossible)[clear]))
    return float(np.mean(impossible))


def _doubt_of_humidity(q: Floats, pressures: Floats) -> float:
    """Warm saturated air holds 0.035 kg/kg at the ground, 0.008 at 500 and 0.002 at 300 hPa, under 0.035 (p/p0)^2."""
    scaled = np.where(np.isfinite(pressures), pressures, 1e5) / 1e5
    if _nowhere(q, pressures, (_NEAR_GROUND, _BOUNDARY), _FEW, 3e-5) or (
        # At -50 degrees C and 1000 hPa air holds 2.5e-5, which whole regions do not stay below.
        _nowhere(q, pressures, (_NEAR_GROUND, np.inf), _SOME, 3e-5)
        or _nowhere(q, pressures, (_LOWER, _MIDDLE), _SOME, 1e-5)
    ):
        return 1.0
    return float(np.mean((q > 0.035 * np.maximum(scaled, 0.02) ** 2) | (q < -1e-3)))


def _doubt_of_relative_humidity(r: Floats, pressures: Floats) -> float:
    at_ground = np.where(np.isfinite(pressures), pressures, np.inf)
    if _nowhere(r, at_ground, (_GROUND, np.inf), _FEW, 0.012) or _nowhere(r, at_ground, (_LOWER, np.inf), _MANY, 0.012):
        return 1.0
    return float(np.mean((r > 1.2) | (r < -0.1)))


def _nowhere(values: Floats, pressures: Floats, layer: tuple[float, float], fewest: int, limit: float) -> bool:
    """Return whether at least `fewest` values lie in a layer [Pa] and none of them is above a limit."""
    held = values[(pressures >= layer[0]) & (pressures <= layer[1])]
    return bool(held.size >= fewest and held.max() <= limit)


_TESTS: Final[dict[str, _Test]] = {
    **{name: _outside(*limits) for name, limits in _TEMPERATURES.items()},
    **{name: _outside(*QUANTITIES[name].bounds) for name in ("msl", "sp", "qnh")},
    **dict.fromkeys(("u", "v", "u10", "v10"), _outside(-_FASTEST, _FASTEST)),
    "wind_speed": _outside(0.0, _FASTEST),
    "q": _doubt_of_humidity,
    "r": _doubt_of_relative_humidity,
}
