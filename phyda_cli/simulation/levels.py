"""From sigma to pressure levels, above and below the ground. Pure arrays, no model.

Between two full levels u, v, q and T are linear in x = ln p. Geopotential then follows from dΦ/dx = −R_d T_v with T_v
linear in x: the straight line between the two levels plus R_d T_v' (x − x0)(x1 − x) / 2, so that thickness and
temperature on the pressure levels stay in balance.
Below the lowest full level (and below the ground) u, v, q keep the lowest level's values and the lapse rate is
Γ = 6.5 K/km in the hydrostatic column above it, with κ = R_d Γ / g:
    T(p) = T_b (p/p_b)^κ,   Φ(p) = Φ_b − (g T_vb / Γ) ((p/p_b)^κ − 1),   p(Φ=0) = p_b (1 + Γ Φ_b / (g T_vb))^(1/κ).
The last is the pressure reduced to mean sea level. It starts from the lowest full level's geopotential, which the model
built on its own truncated orography, so no other orography can enter.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import EPSILON, GRAVITY, LAPSE_RATE, R_DRY

FloatArray = NDArray[np.floating[Any]]

KAPPA: Final = R_DRY * LAPSE_RATE / GRAVITY
"""Exponent of the standard lapse rate κ = R_d Γ / g [1]."""


def virtual_temperature(temperature: FloatArray, humidity: FloatArray) -> FloatArray:
    """T_v = T (1 + (1/ε − 1) q) [K]; q in kg/kg."""
    return np.asarray(temperature * (1.0 + (1.0 / EPSILON - 1.0) * humidity))


def to_pressure_levels(
    fields: dict[str, FloatArray], sigma: FloatArray, surface_pressure: FloatArray, levels_hpa: tuple[int, ...]
) -> dict[str, FloatArray]:
    """Interpolate u, v, t, q, z from sigma to pressure levels, and reduce the pressure to sea level.

    fields: u, v [m s-1], t [K], q [kg kg-1], z [m2 s-2], each [..., level, y, x] with level 0 at the top.
    sigma: [level], increasing; surface_pressure: [..., y, x] in Pa.
    Returns the same names as [..., len(levels_hpa), y, x], and msl [..., y, x] in Pa.
    """
    log_sigma = np.log(np.asarray(sigma, dtype=np.float64))
    log_surface = np.log(np.asarray(surface_pressure, dtype=np.float64))
    warmth = virtual_temperature(fields["t"], fields["q"])
    out: dict[str, list[FloatArray]] = {name: [] for name in "uvtqz"}
    for level in levels_hpa:
        x = np.log(level * 100.0) - log_surface
        above = np.clip(np.searchsorted(log_sigma, x, side="right") - 1, 0, log_sigma.size - 2)
        x0, x1 = log_sigma[above], log_sigma[above + 1]
        weight = np.clip((x - x0) / (x1 - x0), 0.0, 1.0)
        deep = np.maximum(x - log_sigma[-1], 0.0)
        for name in "uvtq":
            top, bottom = _pair(fields[name], above)
            value = top + weight * (bottom - top)
            out[name].append(value * np.exp(KAPPA * deep) if name == "t" else value)
        top, bottom = _pair(fields["z"], above)
        warm_top, warm_bottom = _pair(warmth, above)
        slope = (warm_bottom - warm_top) / (x1 - x0)
        inside = np.clip(x, x0, x1)
        z = top + weight * (bottom - top) + 0.5 * R_DRY * slope * (inside - x0) * (x1 - inside)
        drop = GRAVITY / LAPSE_RATE * warmth[..., -1, :, :] * np.expm1(KAPPA * deep)
        out["z"].append(z - drop)
    result: dict[str, FloatArray] = {name: np.stack(values, axis=-3) for name, values in out.items()}
    result["msl"] = sea_level_pressure(
        fields["z"][..., -1, :, :], warmth[..., -1, :, :], sigma[-1] * np.asarray(surface_pressure, dtype=np.float64)
    )
    return result


def sea_level_pressure(geopotential: FloatArray, temperature: FloatArray, pressure: FloatArray) -> FloatArray:
    """p0 = p (1 + Γ Φ / (g T_v))^(1/κ) [Pa] from one level's Φ [m2 s-2], T_v [K] and p [Pa]."""
    return np.asarray(pressure * (1.0 + LAPSE_RATE * geopotential / (GRAVITY * temperature)) ** (1.0 / KAPPA))


def surface_pressure_change(pressure: FloatArray, temperature: FloatArray, change: FloatArray) -> FloatArray:
    """The surface pressure [Pa] after the surface's geopotential changed by `change` [m2 s-2].

    Hydrostatic with the standard lapse rate around the temperature T [K] at the old surface:
    p' = p (1 − Γ ΔΦ / (g T))^(1/κ).
    """
    return np.asarray(pressure * (1.0 - LAPSE_RATE * change / (GRAVITY * temperature)) ** (1.0 / KAPPA))


def _pair(field: FloatArray, above: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
    """The field on the level above each target and on the one below it: [..., y, x] each."""
    index = above[..., None, :, :]
    return (
        np.take_along_axis(field, index, axis=-3)[..., 0, :, :],
        np.take_along_axis(field, index + 1, axis=-3)[..., 0, :, :],
    )
