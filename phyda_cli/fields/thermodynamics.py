"""Moist thermodynamics: the conversions between specific humidity, relative humidity and dew point.

Saturation vapour pressure is that of the IFS (documentation Cy41r2, part IV, section 7.2.1b, equations 7.4 and 7.5):
the Tetens form over water and over ice, and in between a mixture by the share of water

    e_s(T)   = α·e_w(T) + (1 − α)·e_i(T),      e_x(T) = 611.21 Pa · exp(a_x (T − T_0) / (T − b_x)),  T_0 = 273.16 K
    water: a = 17.502, b = 32.19 K      ice: a = 22.587, b = −0.7 K
    α = 0 below T_i = 250.16 K,  ((T − T_i)/(T_0 − T_i))²  between,  1 above T_0

With vapour pressure e and pressure p, ε = R_d/R_v:

    q = ε e / (p − (1 − ε) e),      e = q p / (ε + (1 − ε) q),      RH = e / e_s(T),      e_w(T_d) = e

Relative humidity is over the mixture, as in the IFS and the GFS; the dew point is over water, as the WMO defines it.

Every function takes NumPy arrays or torch tensors that broadcast against each other and returns the same kind; tensors
keep their gradient. Units: T and T_d [K], p and e [Pa], q [kg kg-1], RH [1] (1 is saturation).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch

from phyda_cli.constants import EPSILON

_TRIPLE_POINT: Final = 273.16
_ICE_ONLY: Final = 250.16
_REFERENCE_PRESSURE: Final = 611.21
_WATER: Final = (17.502, 32.19)
_ICE: Final = (22.587, -0.7)
_LEAST_VAPOUR_PRESSURE: Final = 1e-6
"""Below this vapour pressure [Pa] the dew point (about 130 K) means nothing; drier air is given this one's."""


def _namespace(*values: Any) -> Any:
    """torch when any operand is a tensor, NumPy otherwise."""
    return torch if any(isinstance(value, torch.Tensor) for value in values) else np


def _tetens(temperature: Any, coefficients: tuple[float, float]) -> Any:
    slope, offset = coefficients
    # Colder than 100 K the formula nears its pole at b; no atmosphere is there.
    t = temperature.clip(100.0, None)
    return _REFERENCE_PRESSURE * _namespace(t).exp(slope * (t - _TRIPLE_POINT) / (t - offset))


def saturation_vapour_pressure_water(temperature: Any) -> Any:
    """e_w(T) [Pa] over water, supercooled below 0 °C. temperature: [K], any shape."""
    return _tetens(temperature, _WATER)


def saturation_vapour_pressure(temperature: Any) -> Any:
    """e_s(T) [Pa] over the mixture of water and ice. temperature: [K], any shape."""
    water = ((temperature - _ICE_ONLY) / (_TRIPLE_POINT - _ICE_ONLY)).clip(0.0, 1.0) ** 2
    return water * _tetens(temperature, _WATER) + (1.0 - water) * _tetens(temperature, _ICE)


def specific_humidity_from_vapour_pressure(vapour_pressure: Any, pressure: Any) -> Any:
    """q = ε e / (p − (1 − ε) e) [kg kg-1]; e above p, which is no air, is taken as p (q = 1)."""
    xp = _namespace(vapour_pressure, pressure)
    if xp is torch:
        vapour_pressure, pressure = torch.as_tensor(vapour_pressure), torch.as_tensor(pressure)
    e = xp.minimum(vapour_pressure, pressure + 0.0 * vapour_pressure)
    return EPSILON * e / (pressure - (1.0 - EPSILON) * e)


def vapour_pressure(specific_humidity: Any, pressure: Any) -> Any:
    """e = q p / (ε + (1 − ε) q) [Pa]."""
    return specific_humidity * pressure / (EPSILON + (1.0 - EPSILON) * specific_humidity)


def saturation_specific_humidity(temperature: Any, pressure: Any) -> Any:
    """q_s(T, p) [kg kg-1] over the mixture of water and ice."""
    return specific_humidity_from_vapour_pressure(saturation_vapour_pressure(temperature), pressure)


def specific_humidity_from_relative_humidity(relative_humidity: Any, temperature: Any, pressure: Any) -> Any:
    """q [kg kg-1] from RH [1], T [K] and p [Pa]; RH below zero counts as zero."""
    e = relative_humidity.clip(0.0, None) * saturation_vapour_pressure(temperature)
    return specific_humidity_from_vapour_pressure(e, pressure)


def relative_humidity_from_specific_humidity(specific_humidity: Any, temperature: Any, pressure: Any) -> Any:
    """RH = e / e_s(T) [1] from q [kg kg-1], T [K] and p [Pa]."""
    return vapour_pressure(specific_humidity, pressure) / saturation_vapour_pressure(temperature)


def specific_humidity_from_dewpoint(dewpoint: Any, pressure: Any) -> Any:
    """q [kg kg-1] from T_d [K] and p [Pa], over water."""
    return specific_humidity_from_vapour_pressure(saturation_vapour_pressure_water(dewpoint), pressure)


def dewpoint_from_specific_humidity(specific_humidity: Any, pressure: Any) -> Any:
    """T_d [K] over water from q [kg kg-1] and p [Pa]."""
    return dewpoint(vapour_pressure(specific_humidity, pressure))


def dewpoint_from_relative_humidity(relative_humidity: Any, temperature: Any) -> Any:
    """T_d [K] over water from RH [1], over water and ice as in models, and T [K]; RH below zero counts as zero."""
    return dewpoint(relative_humidity.clip(0.0, None) * saturation_vapour_pressure(temperature))


def relative_humidity_from_dewpoint(dewpoint: Any, temperature: Any) -> Any:
    """RH [1], over water and ice as in models, from T_d [K] over water and T [K]."""
    return saturation_vapour_pressure_water(dewpoint) / saturation_vapour_pressure(temperature)


def dewpoint(vapour_pressure: Any) -> Any:
    """T_d [K] over water from e [Pa]: T_d = (a T_0 − b x)/(a − x) with x = ln(e / 611.21 Pa)."""
    slope, offset = _WATER
    e = vapour_pressure.clip(_LEAST_VAPOUR_PRESSURE, None)
    x = _namespace(e).log(e / _REFERENCE_PRESSURE)
    return (slope * _TRIPLE_POINT - offset * x) / (slope - x)


def temperature_from_virtual(virtual_temperature: Any, specific_humidity: Any) -> Any:
    """T = T_v / (1 + (1/ε − 1) q) [K] from T_v [K] and q [kg kg-1]."""
    return virtual_temperature / (1.0 + (1.0 / EPSILON - 1.0) * specific_humidity)
