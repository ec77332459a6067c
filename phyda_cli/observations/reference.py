"""Reference relations that the conversion and the checks of observations share.

ICAO standard atmosphere, height of a pressure:
    z(p) = (T₀/Γ)·(1 − (p/p₀)^(R_d Γ/g))      p ≥ p_t
    z(p) = z_t + (R_d T_t/g)·ln(p_t/p)         p < p_t        (isothermal, as up to 20 km)
Saturation vapour pressure over water (IFS documentation, part IV: Tetens' form, Buck's coefficients):
    e_s(T) = 611.21·exp(17.502·(T − 273.16)/(T − 32.19))
Specific humidity from vapour pressure:
    q = ε e/(p − (1 − ε) e)
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.fields.constants import EPSILON, GRAVITY, LAPSE_RATE, R_DRY

Floats = NDArray[np.float64]

_SEA_LEVEL_PRESSURE: Final = 101_325.0
_SEA_LEVEL_TEMPERATURE: Final = 288.15
_TROPOPAUSE_HEIGHT: Final = 11_000.0
_TROPOPAUSE_TEMPERATURE: Final = 216.65
_TROPOPAUSE_PRESSURE: Final = 22_632.06

_TETENS_PRESSURE: Final = 611.21
_TETENS_SLOPE: Final = 17.502
_TETENS_OFFSET: Final = 32.19
_TRIPLE_POINT: Final = 273.16


def standard_height(pressure: Floats) -> Floats:
    """Height [gpm] of a pressure [Pa] in the standard atmosphere; NaN where the pressure is not positive."""
    p = np.where(pressure > 0, pressure, np.nan)
    exponent = R_DRY * LAPSE_RATE / GRAVITY
    below = _SEA_LEVEL_TEMPERATURE / LAPSE_RATE * (1.0 - (p / _SEA_LEVEL_PRESSURE) ** exponent)
    above = _TROPOPAUSE_HEIGHT + R_DRY * _TROPOPAUSE_TEMPERATURE / GRAVITY * np.log(_TROPOPAUSE_PRESSURE / p)
    return np.asarray(np.where(p >= _TROPOPAUSE_PRESSURE, below, above))


def saturation_vapour_pressure(temperature: Floats) -> tuple[Floats, Floats]:
    """e_s [Pa] over water and de_s/dT [Pa K-1] at a temperature [K]."""
    shifted = temperature - _TETENS_OFFSET
    vapour = _TETENS_PRESSURE * np.exp(_TETENS_SLOPE * (temperature - _TRIPLE_POINT) / shifted)
    return vapour, vapour * _TETENS_SLOPE * (_TRIPLE_POINT - _TETENS_OFFSET) / shifted**2


def specific_humidity(vapour: Floats, pressure: Floats) -> tuple[Floats, Floats]:
    """q [kg kg-1] and dq/de [Pa-1] of a vapour pressure at a pressure [Pa]; NaN where e ≥ p."""
    total = np.where(vapour < pressure, pressure - (1.0 - EPSILON) * vapour, np.nan)
    return EPSILON * vapour / total, EPSILON * pressure / total**2
