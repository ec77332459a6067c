"""Horizontal steps, all spectral: Gaussian grid → output grid, and one truncation → a lower one.

A field on the model's Gaussian grid is analysed into spherical harmonics, cut at n = 31 (the most that 64 × 32 points
can carry, and what the forecast model holds) and evaluated at the output latitudes and longitudes. Nothing shorter than
the grid can resolve is left to alias, which bilinear interpolation from the finer grid would not ensure. Winds go
through vorticity and divergence, because u and v alone are not smooth at the poles. Humidity is clipped at zero
afterwards. Nature and forecasts take the same path.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.simulation.levels import PRESSURE_LEVELS, to_pressure_levels
from phyda_cli.simulation.model import REFERENCE_PRESSURE, SpectralModel

FloatArray = NDArray[np.floating[Any]]

ROWS: Final = 32
"""Latitudes of the output grid, 5.625 degrees apart, without the poles."""

COLUMNS: Final = 64
"""Longitudes of the output grid."""

TRUNCATION: Final = 31
"""Highest total wavenumber kept on the output grid."""


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

    def __init__(self, model: SpectralModel) -> None:
        import jax
        from dinosaur import spherical_harmonic as harmonics

        self.model = model
        source: Any = model.grid
        self.target: Any = harmonics.Grid(
            longitude_wavenumbers=TRUNCATION + 1,
            total_wavenumbers=TRUNCATION + 2,
            longitude_nodes=COLUMNS,
            latitude_nodes=ROWS,
            latitude_spacing="equiangular",
            radius=source.radius,
        )

        def scalars(fields: Any) -> Any:
            return self.target.to_nodal(truncate(source.to_modal(fields), TRUNCATION))

        def winds(u: Any, v: Any) -> Any:
            vorticity, divergence = harmonics.uv_nodal_to_vor_div_modal(source, u, v)
            return harmonics.vor_div_to_uv_nodal(
                self.target, truncate(vorticity, TRUNCATION), truncate(divergence, TRUNCATION)
            )

        self._scalars = jax.jit(scalars)
        self._winds = jax.jit(winds)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(level, lat, lon) of a field on pressure levels."""
        return len(PRESSURE_LEVELS), ROWS, COLUMNS

    def fields(self, dynamics: Any) -> dict[str, FloatArray]:
        """u, v, t, q, z [time, level, lat, lon] and msl [time, lat, lon], float32, of saved gridded states."""
        native = {
            "u": np.asarray(dynamics.u_wind),
            "v": np.asarray(dynamics.v_wind),
            "t": np.asarray(dynamics.temperature),
            "q": np.asarray(dynamics.specific_humidity),
            "z": np.asarray(dynamics.geopotential),
        }
        pressure = REFERENCE_PRESSURE * np.asarray(dynamics.normalized_surface_pressure, dtype=np.float64)
        on_levels = to_pressure_levels(native, self.model.sigma, pressure, PRESSURE_LEVELS)
        single = {name: values.astype(np.float32) for name, values in on_levels.items()}
        u, v = self._winds(single["u"], single["v"])
        out: dict[str, Any] = {"u": u, "v": v}
        for name in ("t", "q", "z"):
            out[name] = self._scalars(single[name])
        out["msl"] = self._scalars(single["msl"][:, None])[:, 0]
        out["q"] = np.maximum(np.asarray(out["q"]), 0.0)
        return {
            name: np.ascontiguousarray(np.swapaxes(np.asarray(values), -1, -2), dtype=np.float32)
            for name, values in out.items()
        }
