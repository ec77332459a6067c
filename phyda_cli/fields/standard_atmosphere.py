"""The ICAO standard atmosphere: the height of a pressure and back, the temperature of a height.

z(p) = (T₀/Γ)·(1 − (p/p₀)^(R_d Γ/g))      p ≥ p_t
z(p) = z_t + (R_d T_t/g)·ln(p_t/p)         p < p_t        (isothermal, as up to 20 km)
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phyda_cli.constants import GRAVITY, LAPSE_RATE, R_DRY

Floats = NDArray[np.float64]

SEA_LEVEL_PRESSURE: Final = 101_325.0
"""p₀ [Pa]."""
SEA_LEVEL_TEMPERATURE: Final = 288.15
"""T₀ [K]."""
_TROPOPAUSE_HEIGHT: Final = 11_000.0
_TROPOPAUSE_TEMPERATURE: Final = 216.65
_TROPOPAUSE_PRESSURE: Final = 22_632.06


def standard_height(pressure: ArrayLike) -> Floats:
    """Height [gpm] of a pressure [Pa] in the standard atmosphere; NaN where the pressure is not positive and finite."""
    p = np.asarray(pressure, dtype=np.float64)
    p = np.where((p > 0) & np.isfinite(p), p, np.nan)
    exponent = R_DRY * LAPSE_RATE / GRAVITY
    below = SEA_LEVEL_TEMPERATURE / LAPSE_RATE * (1.0 - (p / SEA_LEVEL_PRESSURE) ** exponent)
    with np.errstate(over="ignore"):  # of a pressure next to zero the height is infinite
        above = _TROPOPAUSE_HEIGHT + R_DRY * _TROPOPAUSE_TEMPERATURE / GRAVITY * np.log(_TROPOPAUSE_PRESSURE / p)
    return np.asarray(np.where(p >= _TROPOPAUSE_PRESSURE, below, above))


def standard_temperature(height: ArrayLike) -> Floats:
    """Temperature [K] of the standard atmosphere at a height [gpm] up to 20 km."""
    z = np.asarray(height, dtype=np.float64)
    return np.asarray(np.maximum(SEA_LEVEL_TEMPERATURE - LAPSE_RATE * z, _TROPOPAUSE_TEMPERATURE))


def standard_pressure(height: ArrayLike) -> Floats:
    """Pressure [Pa] at a height [gpm] in the standard atmosphere, the inverse of `standard_height`."""
    z = np.asarray(height, dtype=np.float64)
    exponent = GRAVITY / (R_DRY * LAPSE_RATE)
    base = 1.0 - LAPSE_RATE / SEA_LEVEL_TEMPERATURE * np.minimum(z, _TROPOPAUSE_HEIGHT)
    below = SEA_LEVEL_PRESSURE * base**exponent
    above = _TROPOPAUSE_PRESSURE * np.exp(GRAVITY * (_TROPOPAUSE_HEIGHT - z) / (R_DRY * _TROPOPAUSE_TEMPERATURE))
    return np.asarray(np.where(z <= _TROPOPAUSE_HEIGHT, below, above))
