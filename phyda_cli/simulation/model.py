"""The spectral general circulation model: grid, boundary data, balanced start, compiled stepping.

`jcm` (Dinosaur spectral dynamics, SPEEDY physics, 8 sigma levels) is imported only inside functions, so that phyda
does not need it. Arrays of the model are [level, longitude, latitude] with level 0 at the top; modal arrays are
[level, zonal mode, total wavenumber]. SI units throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from importlib import resources
from typing import Any, Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import R_DRY
from phyda_cli.errors import MissingExtraError
from phyda_cli.simulation.config import SimulationConfig

FloatArray = NDArray[np.floating[Any]]

REFERENCE_PRESSURE: Final = 1.0e5
"""Pressure by which the model normalises surface pressure [Pa]."""

START_TEMPERATURE: Final = 288.0
"""Temperature of the isothermal start [K]."""

START_MEAN_PRESSURE: Final = 98_500.0
"""Area mean of the surface pressure at the start [Pa]: the mass of the earth's atmosphere over its mountains."""

OROGRAPHY_DAMPING: Final = 2.3
"""Exponent of the smoothing exp(-2.3 (n/N)^2) that keeps the truncated orography from ringing over the sea [1]."""


class Saved(NamedTuple):
    """Gridded states at the saved times.

    dynamics: fields [time, level, longitude, latitude]. surface: t2m [K], u10, v10 [m s-1] of the surface scheme,
    [time, longitude, latitude]; it is computed at the start of a time step, so it is one step older than dynamics.
    """

    dynamics: Any
    surface: dict[str, Any]

    def at(self, chosen: Any) -> Saved:
        """Return some of the saved times, as NumPy arrays."""
        import jax

        return cast(Saved, jax.tree_util.tree_map(lambda a: np.asarray(a)[chosen], self))


Stepper = Callable[[Any, Any, int, int], tuple[Any, Any, int, Saved]]
"""(state, carry, hour since 1970, step) → (state, carry, step, saved gridded states)."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def require_jcm() -> None:
    """Raise MissingExtraError where the simulator is not installed."""
    try:
        import jcm.model  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("the simulation", "simulate") from error


class SpectralModel:
    """One model: a truncation, a time step, and an orography smooth enough for the coarsest model of the run.

    Both models of a run read the same boundary files and damp the orography with the same `orography_truncation`, so
    that their surfaces differ only by the tail of wavenumbers that the coarser one cannot hold.
    """

    def __init__(self, truncation: int, time_step_minutes: int, orography_truncation: int) -> None:
        require_jcm()
        from jcm.forcing import ForcingData
        from jcm.model import Model
        from jcm.physics.speedy.speedy_coords import get_speedy_coords
        from jcm.terrain import TerrainData

        self.truncation = truncation
        self._steppers: dict[tuple[int, int], Stepper] = {}
        self.coords: Any = get_speedy_coords(layers=8, spectral_truncation=truncation)
        boundary = resources.files("jcm") / "data" / "bc" / "t63"
        terrain: Any = TerrainData.from_file(str(boundary / "terrain.nc"), coords=self.coords)
        self.forcing: Any = ForcingData.from_file(
            str(boundary / "forcing.nc"), coords=self.coords, align_mode="wrap_year"
        )
        orography = self._smooth(terrain.orog, orography_truncation)
        gravity = float(np.max(terrain.phis0)) / float(np.max(_truncated(self.coords, terrain.orog)))
        terrain = terrain.copy(orog=orography, phis0=gravity * orography)
        self.model: Any = Model(
            coords=self.coords, terrain=terrain, time_step=time_step_minutes, start_time="2000-01-01"
        )
        self.sigma: FloatArray = np.asarray(self.coords.vertical.centers, dtype=np.float64)
        self.surface_geopotential: FloatArray = np.asarray(
            gravity * self.grid.to_nodal(self.model.dycore._truncated_orography), dtype=np.float64
        )

    @property
    def grid(self) -> Any:
        """The horizontal Gaussian grid with its transforms."""
        return self.coords.horizontal

    def _smooth(self, orography: Any, truncation: int) -> Any:
        """h_n exp(-2.3 (n/N)^2), cut at n = N: [longitude, latitude] in m."""
        modal = self.grid.to_modal(orography)
        wavenumber = np.asarray(self.grid.modal_axes[1])
        damping = np.exp(-OROGRAPHY_DAMPING * (wavenumber / truncation) ** 2)
        return self.grid.to_nodal(modal * np.where(wavenumber <= truncation, damping, 0.0))

    def balanced_start(self, seed: int) -> Any:
        """Modal state of rest at 288 K: ps ∝ exp(-Φ_s / (R_d T)), area mean 985 hPa, 0.1 K of noise, dry."""
        from jcm.physics_interface import PhysicsState

        pressure = np.exp(-self.surface_geopotential / (R_DRY * START_TEMPERATURE))
        weight = np.cos(np.asarray(self.grid.latitudes))[None, :]
        pressure *= START_MEAN_PRESSURE * weight.sum() * pressure.shape[0] / (weight * pressure).sum()
        shape = (self.sigma.size, *pressure.shape)
        noise = np.random.default_rng(seed).normal(0.0, 0.1, shape)
        zero, temperature = np.zeros(shape, dtype=np.float32), np.asarray(START_TEMPERATURE + noise, dtype=np.float32)
        surface = np.asarray(pressure / REFERENCE_PRESSURE, dtype=np.float32)
        state = PhysicsState(zero, zero, temperature, zero, zero, surface)
        return self.without_tail(self.model.dycore.initial_state(state))

    def without_tail(self, state: Any) -> Any:
        """The modal state with the one wavenumber above the truncation set to zero, as the dynamics expect it."""
        import jax

        return jax.tree_util.tree_map(
            lambda a: a.at[..., self.truncation + 1 :].set(0.0) if getattr(a, "ndim", 0) == 3 else a, state
        )

    @cached_property
    def empty_state(self) -> Any:
        """A modal state of the right structure, to be filled."""
        return self.model.dycore.initial_state(None)

    @cached_property
    def first_carry(self) -> Any:
        """A fresh carry of the physics (what the parametrisations remember from step to step)."""
        return self.model.initial_physics_carry()

    def stepper(self, hours: int, every: int) -> Stepper:
        """Return a compiled run of `hours` saved every `every` hours: one compilation serves all dates.

        The returned function maps (state, carry, hour since 1970, step) to (state, carry, step, saved), where saved
        holds the gridded states at hour + every, hour + 2 every, ...
        """
        if (hours, every) not in self._steppers:
            self._steppers[hours, every] = self._compile(hours, every)
        return self._steppers[hours, every]

    def _compile(self, hours: int, every: int) -> Stepper:
        import jax
        import jax.numpy as jnp

        def run(state: Any, carry: Any, time: Any, step: Any) -> Any:
            last, saved = self.model.run_from_state_with_carry(
                state, self.forcing, save_interval=every / 24.0, total_time=hours / 24.0, initial_physics_state=carry,
                initial_time=time, initial_step=step,
            )  # fmt: skip
            air = saved.physics["_surface_flux"]
            near_surface = {"t2m": air.t0, "u10": air.u0, "v10": air.v0}
            return last.dynamics, last.physics, last.step, Saved(saved.dynamics, near_surface)

        compiled = jax.jit(run)

        def call(state: Any, carry: Any, hour: int, step: int) -> tuple[Any, Any, int, Any]:
            # plain arrays, whether fresh or read from a file: the same types, hence no second compilation
            state, carry = jax.tree_util.tree_map(lambda a: jnp.asarray(np.asarray(a)), (state, carry))
            state, carry, step_next, saved = compiled(state, carry, model_time(hour), jnp.int32(step))
            return state, carry, int(step_next), jax.device_get(saved)

        return call


def nature_model(config: SimulationConfig) -> SpectralModel:
    """Return the model of the nature run; the very forecast model where both have the same truncation and time step."""
    return _built(config.nature_truncation, config.nature_step_minutes, config.forecast_truncation)


def forecast_model(config: SimulationConfig) -> SpectralModel:
    """Return the model of the forecasts."""
    return _built(config.forecast_truncation, config.forecast_step_minutes, config.forecast_truncation)


@lru_cache(maxsize=2)
def _built(truncation: int, time_step_minutes: int, orography_truncation: int) -> SpectralModel:
    """Return a model, kept for the next call together with its compiled runs."""
    return SpectralModel(truncation, time_step_minutes, orography_truncation)


def _truncated(coords: Any, field: Any) -> Any:
    """Return the field cut at the model's truncation: [longitude, latitude]."""
    from jcm.utils import spectral_truncation

    return spectral_truncation(coords.horizontal, field)


def model_time(hour: int) -> Any:
    """Return the model's date of an hour since 1970-01-01 00 UTC."""
    import jax_datetime

    return jax_datetime.to_datetime((EPOCH + timedelta(hours=int(hour))).strftime("%Y-%m-%dT%H:%M:%S"))


def hour_of(date: datetime) -> int:
    """Return hours since 1970-01-01 00 UTC."""
    return int((date - EPOCH).total_seconds()) // 3600
