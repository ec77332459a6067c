"""The model's grid and levels → those of the output: spectral steps in the horizontal, sigma → pressure levels.

A field on the model's Gaussian grid is analysed into spherical harmonics, cut at n = 31 (32 rows) or 42 (64 rows) and
evaluated at the output latitudes and longitudes. Nothing shorter than the grid can resolve is left to alias, which
bilinear interpolation from the finer grid would not ensure. Winds go through vorticity and divergence, because u and v
alone are not smooth at the poles; surface pressure goes through its logarithm, as in the model. Humidity is clipped at
zero afterwards. Nature and forecasts take the same path.

Between two full levels u, v, q and T are linear in x = ln p. Geopotential then follows from dΦ/dx = −R_d T_v with T_v
linear in x: the straight line between the two levels plus R_d T_v' (x − x0)(x1 − x) / 2, so that thickness and
temperature on the pressure levels stay in balance.
Below the lowest full level (and below the ground) u, v, q keep the lowest level's values and the lapse rate is
Γ = 6.5 K/km in the hydrostatic column above it, with κ = R_d Γ / g:
    T(p) = T_b (p/p_b)^κ,   Φ(p) = Φ_b − (g T_vb / Γ) ((p/p_b)^κ − 1),   p(Φ=0) = p_b (1 + Γ Φ_b / (g T_vb))^(1/κ).
The last is the pressure reduced to mean sea level. It starts from the lowest full level's geopotential, which the model
built on its own truncated orography, so no other orography can enter.

States travel from one model to another of a different truncation (`Transfer`). The modal coefficients that both models
hold are kept as they are. The new surface lies elsewhere, so the surface pressure is moved hydrostatically from the old
surface (as the new grid sees it) to the new one.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import EPSILON, GRAVITY, LAPSE_RATE, R_DRY
from phyda_cli.simulation.config import LEVEL_FIELDS, SimulationConfig
from phyda_cli.simulation.model import REFERENCE_PRESSURE, Saved, SpectralModel

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
    """Return the surface pressure [Pa] after the surface's geopotential changed by `change` [m2 s-2].

    Hydrostatic with the standard lapse rate around the temperature T [K] at the old surface:
    p' = p (1 − Γ ΔΦ / (g T))^(1/κ).
    """
    return np.asarray(pressure * (1.0 - LAPSE_RATE * change / (GRAVITY * temperature)) ** (1.0 / KAPPA))


def _pair(field: FloatArray, above: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
    """Return the field on the level above each target and on the one below it: [..., y, x] each."""
    index = above[..., None, :, :]
    return (
        np.take_along_axis(field, index, axis=-3)[..., 0, :, :],
        np.take_along_axis(field, index + 1, axis=-3)[..., 0, :, :],
    )


FloatArray = NDArray[np.floating[Any]]


def truncate(modal: Any, truncation: int) -> Any:
    """Bring modal coefficients [..., mode, n] to another triangular truncation, by cutting or by adding zeros.

    Modes are ordered m = 0, 1, −1, 2, −2, …; the model keeps 2 N + 1 of them and n = 0 … N + 1, the last one zero.
    """
    import jax.numpy as jnp

    modes, total = 2 * truncation + 1, truncation + 2
    cut = jnp.asarray(modal)[..., :modes, :total]
    missing = [(0, 0)] * (cut.ndim - 2) + [(0, modes - cut.shape[-2]), (0, total - cut.shape[-1])]
    return jnp.pad(cut.at[..., truncation + 1 :].set(0.0), missing)


class Output:
    """Turns the model's saved states into fields on pressure levels and the output grid."""

    def __init__(self, model: SpectralModel, config: SimulationConfig) -> None:
        import jax
        from dinosaur import spherical_harmonic as harmonics

        self.model = model
        self.config = config
        cut = config.output_truncation
        source: Any = model.grid
        self.target: Any = harmonics.Grid(
            longitude_wavenumbers=cut + 1,
            total_wavenumbers=cut + 2,
            longitude_nodes=2 * config.rows,
            latitude_nodes=config.rows,
            latitude_spacing="equiangular",
            radius=source.radius,
        )

        def scalars(fields: Any) -> Any:
            return self.target.to_nodal(truncate(source.to_modal(fields), cut))

        def winds(u: Any, v: Any) -> Any:
            vorticity, divergence = harmonics.uv_nodal_to_vor_div_modal(source, u, v)
            return harmonics.vor_div_to_uv_nodal(self.target, truncate(vorticity, cut), truncate(divergence, cut))

        self._scalars = jax.jit(scalars)
        self._winds = jax.jit(winds)

    def empty(self) -> dict[str, FloatArray]:
        """Return the fields of no time at all: arrays of the right shape without rows."""
        grid = self.config.rows, 2 * self.config.rows
        on_levels = len(self.config.levels_hpa), *grid
        shapes = {name: on_levels if name in LEVEL_FIELDS else grid for name in self.config.fields}
        return {name: np.zeros((0, *shape), dtype=np.float32) for name, shape in shapes.items()}

    def fields(self, saved: Saved) -> dict[str, FloatArray]:
        """Return the output's fields of saved gridded states: [time, (level,) lat, lon], float32."""
        dynamics = saved.dynamics
        names = {
            "u": "u_wind", "v": "v_wind", "t": "temperature", "q": "specific_humidity", "z": "geopotential",
        }  # fmt: skip
        native = {name: np.asarray(getattr(dynamics, of_model)) for name, of_model in names.items()}
        pressure = REFERENCE_PRESSURE * np.asarray(dynamics.normalized_surface_pressure, dtype=np.float64)
        on_levels = to_pressure_levels(native, self.model.sigma, pressure, self.config.levels_hpa)
        single = {name: values.astype(np.float32) for name, values in on_levels.items()}
        u, v = self._winds(single["u"], single["v"])
        out: dict[str, Any] = {"u": u, "v": v}
        for name in ("t", "q", "z"):
            out[name] = self._scalars(single[name])
        out["msl"] = self._scalars(single["msl"][:, None])[:, 0]
        out["q"] = np.maximum(np.asarray(out["q"]), 0.0)
        if self.config.near_surface:
            air = {name: np.asarray(values)[:, None] for name, values in saved.surface.items()}
            u, v = self._winds(air["u10"], air["v10"])
            logarithm = np.log(pressure).astype(np.float32)[:, None]
            out["sp"] = np.exp(np.asarray(self._scalars(logarithm)))[:, 0]
            out["t2m"], out["u10"], out["v10"] = self._scalars(air["t2m"])[:, 0], u[:, 0], v[:, 0]
        return {
            name: np.ascontiguousarray(np.swapaxes(np.asarray(out[name]), -1, -2), dtype=np.float32)
            for name in self.config.fields
        }


PARTS: Final = ("vorticity", "divergence", "temperature", "humidity", "log_pressure")
"""What a stored state consists of; modal arrays [..., level, mode, n], SI, temperature as departure from 288 K."""


class Transfer:
    """From the gridded states of one model to modal states of another."""

    def __init__(self, source: SpectralModel, target: SpectralModel) -> None:
        import jax

        self.source = source
        self.target = target
        old_surface = target.grid.to_nodal(
            truncate(source.grid.to_modal(np.asarray(source.surface_geopotential, np.float32)), target.truncation)
        )
        self._rise: FloatArray = target.surface_geopotential - np.asarray(old_surface, dtype=np.float64)
        self._modal = jax.jit(jax.vmap(self._cut))

    def _cut(self, dynamics: Any) -> dict[str, Any]:
        """One gridded state as modal parts at the target's truncation, still with the source's surface pressure."""
        state = self.source.model.dycore.initial_state(dynamics)
        cut = self.target.truncation
        return {
            "vorticity": truncate(state.vorticity, cut),
            "divergence": truncate(state.divergence, cut),
            "temperature": truncate(state.temperature_variation, cut),
            "humidity": truncate(state.tracers["specific_humidity"], cut),
            "log_pressure": truncate(state.log_surface_pressure, cut),
        }

    def parts(self, dynamics: Any) -> dict[str, FloatArray]:
        """Modal parts [time, level, mode, n] of gridded states [time, ...], on the target's surface; float32."""
        raw = {name: np.asarray(values) for name, values in self._modal(dynamics).items()}
        grid = self.target.grid
        pressure = np.exp(np.asarray(grid.to_nodal(raw["log_pressure"]), dtype=np.float64))
        reference = np.asarray(self.target.model.dycore._reference_temperature)[-1]
        lowest = np.asarray(grid.to_nodal(raw["temperature"][:, -1:]), dtype=np.float64) + reference
        moved = surface_pressure_change(pressure, lowest, self._rise)
        modal = grid.to_modal(np.log(moved).astype(np.float32))
        raw["log_pressure"] = np.asarray(truncate(modal, self.target.truncation))
        return {name: values.astype(np.float32) for name, values in raw.items()}


def to_state(model: SpectralModel, parts: dict[str, FloatArray]) -> Any:
    """Return the model's modal state of one set of parts [level, mode, n]."""
    import jax.numpy as jnp

    return model.empty_state.replace(
        vorticity=jnp.asarray(parts["vorticity"]),
        divergence=jnp.asarray(parts["divergence"]),
        temperature_variation=jnp.asarray(parts["temperature"]),
        log_surface_pressure=jnp.asarray(parts["log_pressure"]),
        tracers={"specific_humidity": jnp.asarray(parts["humidity"])},
    )
