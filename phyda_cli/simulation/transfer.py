"""States that travel from one model to another of a different truncation, and their storage.

The modal coefficients that both models hold are kept as they are. The new surface lies elsewhere, so the surface
pressure is moved hydrostatically from the old surface (as the new grid sees it) to the new one.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.simulation.levels import surface_pressure_change
from phyda_cli.simulation.model import SpectralModel
from phyda_cli.simulation.regrid import truncate

FloatArray = NDArray[np.floating[Any]]

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
    """The model's modal state of one set of parts [level, mode, n]."""
    import jax.numpy as jnp

    return model.empty_state.replace(
        vorticity=jnp.asarray(parts["vorticity"]),
        divergence=jnp.asarray(parts["divergence"]),
        temperature_variation=jnp.asarray(parts["temperature"]),
        log_surface_pressure=jnp.asarray(parts["log_pressure"]),
        tracers={"specific_humidity": jnp.asarray(parts["humidity"])},
    )
