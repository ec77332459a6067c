"""Horizontal steps, all spectral: Gaussian grid → output grid, and one truncation → a lower one.

A field on the model's Gaussian grid is analysed into spherical harmonics, cut at n = 31 (32 rows) or 42 (64 rows) and
evaluated at the output latitudes and longitudes. Nothing shorter than the grid can resolve is left to alias, which
bilinear interpolation from the finer grid would not ensure. Winds go through vorticity and divergence, because u and v
alone are not smooth at the poles; surface pressure goes through its logarithm, as in the model. Humidity is clipped at
zero afterwards. Nature and forecasts take the same path.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phyda_cli.simulation.config import LEVEL_FIELDS, SimulationConfig
from phyda_cli.simulation.levels import to_pressure_levels
from phyda_cli.simulation.model import REFERENCE_PRESSURE, Saved, SpectralModel

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
        """The fields of no time at all: arrays of the right shape without rows."""
        grid = self.config.rows, 2 * self.config.rows
        on_levels = len(self.config.levels_hpa), *grid
        shapes = {name: on_levels if name in LEVEL_FIELDS else grid for name in self.config.fields}
        return {name: np.zeros((0, *shape), dtype=np.float32) for name, shape in shapes.items()}

    def fields(self, saved: Saved) -> dict[str, FloatArray]:
        """The output's fields of saved gridded states: [time, (level,) lat, lon], float32."""
        dynamics = saved.dynamics
        native = {
            "u": np.asarray(dynamics.u_wind),
            "v": np.asarray(dynamics.v_wind),
            "t": np.asarray(dynamics.temperature),
            "q": np.asarray(dynamics.specific_humidity),
            "z": np.asarray(dynamics.geopotential),
        }
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
