"""The circulation model of a simulation as the forecast model of a cycle; increments enter its own state.

    x ← x + T δ,      δ = x_a − x_b on pressure levels, T to the model's spectral state:

δu, δv go through vorticity and divergence; δT and δq from pressure to sigma levels linearly in ln p (constant below the
lowest level, to zero at half the top's pressure); δ ln p_s = δ sp / p_s where the method analyses sp, δ msl / 1000 hPa
where it does not. All are cut at the model's truncation,
so what the analysis leaves alone stays as the model had it: no state is regridded. The first state is that of the
nature run some days before, run to the first time: weather of the season. Beside the background stand the state and
the carry of the physics.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors import InputMissingError
from phyda_cli.fields.state import Channel, State
from phyda_cli.forecast.base import BACKGROUND, Step, write_state
from phyda_cli.preparation.from_simulation import simulation_layout, stack
from phyda_cli.simulation import chunks
from phyda_cli.simulation.config import OUTPUT_HOURS
from phyda_cli.simulation.model import REFERENCE_PRESSURE, Saved, forecast_model
from phyda_cli.simulation.regrid import PARTS, Output, to_state, truncate

FloatArray = NDArray[np.floating[Any]]

STATE: Final = "model-state.npz"
_EPOCH: Final = np.datetime64("1970-01-01T00", "h")


class JcmForecast:
    """The forecast model of the simulation in a directory.

    hours: of every forecast. start_days_before: which of its states the cycle begins with.
    """

    own: ClassVar[bool] = True

    def __init__(self, directory: Path, *, hours: int, start_days_before: int) -> None:
        self.directory, self.hours, self.days_before = directory, hours, start_days_before
        self.config = chunks.read_config(directory)
        self.channels, self.grid = simulation_layout(self.config)
        self._starts = lru_cache(maxsize=16)(chunks.load)

    @cached_property
    def model(self) -> Any:
        """The model, built when it is needed."""
        return forecast_model(self.config)

    @cached_property
    def _output(self) -> Output:
        return Output(self.model, self.config)

    def first(self, target: Path, time: np.datetime64) -> None:
        """A forecast of one cycle's length from a state of the nature run some days before, called `time`.

        Raises InputMissingError where the nature run has no such state.
        """
        self.begin(self._start(hours_of(time) - self.hours - 24 * self.days_before), target, time)

    def begin(self, parts: dict[str, FloatArray], target: Path, time: np.datetime64) -> None:
        """Forecast over one cycle's length, to `time`, from a modal state [level, mode, n]."""
        self._forecast(to_state(self.model, parts), self.model.first_carry, 0, hours_of(time) - self.hours, target)

    def run(self, step: Step) -> None:
        """A forecast from the state beside the analysis, with the increment in it."""
        self.advance(step)

    def advance(self, step: Step) -> dict[str, FloatArray]:
        """Do what `run` does and return the fields (1, (level,) lat, lon) of the new background."""
        state, carry, count, pressure = self._load(step.source)
        moved = self._moved(state, step.increment, pressure)
        return self._forecast(moved, carry, count, hours_of(step.begin), step.target)

    def further(self, target: Path, time: np.datetime64, hours: Sequence[int]) -> dict[str, FloatArray]:
        """Return the fields (row, (level,) lat, lon) that a directory's background, valid at `time`, becomes.

        hours: how much later, multiples of 6, increasing. Nothing in the directory changes. Raises BadDataError where
        the model becomes unstable.
        """
        state, carry, count, _ = self._load(target)
        _, _, _, saved = self.model.stepper(hours[-1], OUTPUT_HOURS)(state, carry, hours_of(time), count)
        fields = self._output.fields(saved.at([hour // OUTPUT_HOURS - 1 for hour in hours]))
        chunks.require_finite(fields, "forecast")
        return fields

    def _load(self, place: Path) -> tuple[Any, Any, int, FloatArray]:
        """Return state, carry, step and surface pressure (lon, lat) [Pa] of a cycle's directory."""
        import jax

        arrays = chunks.load(place / STATE)
        template = (self.model.empty_state, self.model.first_carry)
        structure = jax.tree_util.tree_structure(template)
        leaves = [arrays[name] for name in sorted(arrays) if name.startswith("leaf_")]
        state, carry = jax.tree_util.tree_unflatten(structure, leaves)
        return state, carry, int(arrays["step"]), arrays["surface_pressure"]

    def _start(self, hour: int, *, exact: bool = False) -> dict[str, FloatArray]:
        """Return the start state of the simulation nearest before an hour since 1970, or of just that hour.

        Raises InputMissingError where there is none.
        """
        for path in sorted(self.directory.glob("starts-*.npz"), reverse=True):
            times = self._starts(path)["time"]
            at = np.flatnonzero(times <= hour)
            if at.size:
                if exact and times[at[-1]] != hour:
                    raise InputMissingError(
                        f"{self.directory}: no state of the time itself, {self.hours} h before the start of the cycle; "
                        f"there is one every {self.config.start_interval_hours} h: begin 6 h later"
                    )
                return {name: self._starts(path)[name][at[-1]] for name in PARTS}
        raise InputMissingError(f"{self.directory}: no state {self.days_before} days before the start of the cycle")

    def _forecast(self, state: Any, carry: Any, step: int, begin: int, target: Path) -> dict[str, FloatArray]:
        """Run the model, write background and state into the directory of the next cycle; the background's fields."""
        advance = self.model.stepper(self.hours, self.hours)
        state, carry, step, saved = advance(state, carry, begin, step)
        return self._write((state, carry), step, saved.at(slice(-1, None)), begin, target, only=0)

    def _write(
        self, members: Any, step: int, saved: Saved, begin: int, target: Path, *, only: int | None = None
    ) -> dict[str, FloatArray]:
        """Write background and state of the next cycle; the background's fields, a row each.

        members: state and carry, of an ensemble (member, …). saved: a row a member. only: the row of a single one.
        """
        import jax

        fields = self._output.fields(saved)
        chunks.require_finite(fields, "forecast")
        target.mkdir(parents=True, exist_ok=True)
        rows = slice(None) if only is None else only
        leaves = jax.tree_util.tree_leaves(members)
        arrays = {f"leaf_{number:04d}": np.asarray(leaf) for number, leaf in enumerate(leaves)}
        pressure = REFERENCE_PRESSURE * np.asarray(saved.dynamics.normalized_surface_pressure)[rows]
        chunks.save(target / STATE, {"step": np.int64(step), "surface_pressure": pressure, **arrays})
        valid = (_EPOCH + np.timedelta64(begin + self.hours, "h")).astype("datetime64[ns]")
        values = torch.from_numpy(stack(fields)[rows])
        write_state(State(values, self.channels, self.grid, valid), target / BACKGROUND)
        return fields

    def _moved(self, state: Any, increment: State, pressure: FloatArray) -> Any:
        """Return the model's spectral state plus an increment. pressure: its surface pressure (lon, lat) [Pa]."""
        from dinosaur import spherical_harmonic as harmonics

        source, target, cut = self.model.grid, self._output.target, self.model.truncation
        carried = min(cut, self.config.output_truncation)

        def limited(modal: Any) -> Any:
            return truncate(truncate(modal, carried), cut)

        parts = {name: self._levels(increment, name) for name in "uvtq"}
        vorticity, divergence = harmonics.uv_nodal_to_vor_div_modal(target, parts["u"], parts["v"])
        u, v = harmonics.vor_div_to_uv_nodal(source, limited(vorticity), limited(divergence))
        u, v = (self._to_sigma(np.asarray(x), pressure) for x in (u, v))
        vorticity, divergence = harmonics.uv_nodal_to_vor_div_modal(source, u, v)
        t, q = (truncate(source.to_modal(self._to_sigma(self._scalar(parts[name]), pressure)), cut) for name in "tq")
        return state.replace(
            vorticity=state.vorticity + truncate(vorticity, cut),
            divergence=state.divergence + truncate(divergence, cut),
            temperature_variation=state.temperature_variation + t,
            log_surface_pressure=state.log_surface_pressure + self._log_pressure(increment, pressure),
            tracers={"specific_humidity": state.tracers["specific_humidity"] + q},
        )

    def _levels(self, increment: State, name: str) -> FloatArray:
        """δ of one variable (level, lon, lat), the ground first."""
        channels = tuple(Channel(name, 100.0 * level) for level in self.config.levels_hpa)
        return np.swapaxes(increment.select(channels).values.numpy(), -1, -2).astype(np.float32)

    def _scalar(self, fields: FloatArray) -> FloatArray:
        """Return fields (…, lon, lat) of the output grid on the model's grid."""
        target, cut = self._output.target, self.model.truncation
        modal = truncate(truncate(target.to_modal(fields), min(cut, self.config.output_truncation)), cut)
        return np.asarray(self.model.grid.to_nodal(modal))

    def _log_pressure(self, increment: State, pressure: FloatArray) -> Any:
        """δ ln p_s of the model's spectral state."""
        surface = Channel("sp")
        direct = surface in increment.channels and bool(increment.select((surface,)).values.any())
        change = increment.select((surface if direct else Channel("msl"),)).values.numpy()
        nodal = self._scalar(np.swapaxes(change, -1, -2).astype(np.float32))
        scale = np.asarray(pressure[..., None, :, :] if direct else REFERENCE_PRESSURE, np.float32)
        return truncate(self.model.grid.to_modal(nodal / scale), self.model.truncation)

    def _to_sigma(self, fields: FloatArray, pressure: FloatArray) -> FloatArray:
        """Return increments (…, level, lon, lat) on pressure levels at the model's levels above a surface pressure."""
        levels = np.array(self.config.levels_hpa, dtype=np.float64) * 100.0
        nodes = np.log(np.sort(levels))
        upward = fields[..., np.argsort(levels), :, :]
        result = []
        for sigma in self.model.sigma:
            at = np.log(sigma * pressure)
            upper = np.clip(np.searchsorted(nodes, at, side="right") - 1, 0, nodes.size - 2)
            share = np.clip((at - nodes[upper]) / (nodes[upper + 1] - nodes[upper]), 0.0, 1.0)
            fade = np.clip(1.0 + (at - nodes[0]) / np.log(2.0), 0.0, 1.0)
            low, high = (np.take_along_axis(upward, (upper + k)[..., None, :, :], -3)[..., 0, :, :] for k in (0, 1))
            result.append(fade * (low + share * (high - low)))
        return np.stack(result, axis=-3).astype(np.float32)


def hours_of(time: np.datetime64) -> int:
    """Return hours since 1970."""
    return int((time.astype("datetime64[h]") - _EPOCH) / np.timedelta64(1, "h"))
