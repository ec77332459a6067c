"""Tables of docs/data.md about a nature run: its climate beside ERA5's, and the error of the forecast model.

    python -m benchmarks.nature_run SIMULATION STATISTICS CYCLE... [--starts 60] [--page docs/data.md]

Model error: forecasts of the coarser model from the nature run's own states, cut to its truncation, against the nature
run 6 and 24 h later: what is there besides errors of the analysis. CYCLE: a directory of `phyda cycle` on that nature
run that keeps its backgrounds, whose errors stand beside it.

    RMSE² = ⟨ε²⟩ over area and cases,     P_n: the part of ⟨ε²⟩ in total wavenumber n
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.result import commit
from benchmarks.training_data import SHOWN, change_statistics, era5, rotational_spectrum, slope
from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.cycle.truth import SimulationTruth
from phyda_cli.experiments.markdown import table
from phyda_cli.fields.state import Channel
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.grids.harmonics import largest_truncation, spherical_harmonics
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.preparation.from_simulation import simulation_layout, stack
from phyda_cli.simulation import chunks
from phyda_cli.simulation.model import forecast_model
from phyda_cli.simulation.regrid import PARTS, Output, to_state
from tools.pages import put

Floats = NDArray[np.float64]
EPOCH: Final = np.datetime64("1970-01-01T00", "h")
LEADS: Final = (6, 24)
SPECTRA: Final = (
    Channel("z", 50_000.0), Channel("t", 85_000.0), Channel("t", 50_000.0), Channel("q", 85_000.0),
    Channel("u", 85_000.0), Channel("u", 25_000.0),
)  # fmt: skip
"""Channels whose spectra are shown; u stands for the rotational wind of its level."""
WAVENUMBERS: Final = (1, 2, 3, 5, 8, 12, 16, 20, 25, 30, 36, 42)


@dataclass
class NatureRun:
    """The nature run in a directory, read as the training part of a store is."""

    directory: Path

    def __post_init__(self) -> None:
        self.config = chunks.read_config(self.directory)
        self.channels, self.grid = simulation_layout(self.config)

    def nature(self, part: str) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """(times, values) piece by piece."""
        for hours, fields in chunks.read_nature(self.directory):
            yield hours, stack(fields).astype(np.float32)

    def nature_times(self, part: str) -> NDArray[np.int64]:
        """All times."""
        return np.concatenate([hours for hours, _ in chunks.read_nature(self.directory)])


class Errors:
    """Sums of squared errors by channel, and of their power by total wavenumber for the shown channels."""

    def __init__(self, channels: Sequence[Channel], grid: LatLonGrid) -> None:
        self.channels, self.weights, self.count = list(channels), np.asarray(grid.area_weights), 0
        self.harmonics = spherical_harmonics(grid, largest_truncation(grid))
        self.squares = np.zeros(len(self.channels))
        self.power = {c: np.zeros(self.harmonics.truncation + 1) for c in SPECTRA}

    def add(self, error: Floats) -> None:
        """Take in one error (channel, lat, lon)."""
        self.count += 1
        self.squares += (error**2).mean(-1) @ self.weights
        n = self.harmonics.total_wavenumber.double()
        for channel in SPECTRA:
            field = torch.from_numpy(error[self.channels.index(channel)])
            if channel.variable == "u":
                v = torch.from_numpy(error[self.channels.index(Channel("v", channel.level))])
                psi, _ = self.harmonics.streamfunction_potential(field, v)
                power = self.harmonics.power(psi) * n * (n + 1) / EARTH_RADIUS**2
            else:
                power = self.harmonics.power(self.harmonics.analysis(field))
            self.power[channel] += power.numpy()

    @property
    def rms(self) -> Floats:
        """(channel,)."""
        return np.asarray(np.sqrt(self.squares / self.count))


def model_errors(directory: Path, starts: int) -> dict[str, Errors]:
    """Return the errors of forecasts from the nature run's own states, by lead; `starts` of them spread evenly."""
    config = chunks.read_config(directory)
    channels, grid = simulation_layout(config)
    truth, model = SimulationTruth(directory), forecast_model(config)
    output, advance = Output(model, config), model.stepper(max(LEADS), LEADS[0])
    found = {f"model, {lead} h": Errors(channels, grid) for lead in LEADS}
    files = sorted(directory.glob("starts-*.npz"))[:-1]
    for place in np.unique(np.linspace(0, len(files) - 1, starts).astype(int)):
        arrays = chunks.load(files[place])
        row = int(place) % len(arrays["time"])
        hour = int(arrays["time"][row])
        state = to_state(model, {name: arrays[name][row] for name in PARTS})
        _, _, _, saved = advance(state, model.first_carry, hour, 0)
        fields = output.fields(saved.at([lead // LEADS[0] - 1 for lead in LEADS]))
        values = stack({name: fields[name] for name in config.fields})
        for lead, value in zip(LEADS, values, strict=True):
            right = truth(EPOCH + np.timedelta64(hour + lead, "h")).values.numpy()
            found[f"model, {lead} h"].add(value.astype(np.float64) - right)
    return found


def cycled_errors(directory: Path, cycle: Path, every: int) -> Errors:
    """Return the errors of a cycle's backgrounds that are kept, every so many."""
    config = chunks.read_config(directory)
    channels, grid = simulation_layout(config)
    truth, found = SimulationTruth(directory), Errors(channels, grid)
    records = [json.loads(line) for line in (cycle / "cycles.jsonl").read_text(encoding="utf-8").splitlines()]
    for record in records[40::every]:
        path = cycle / f"{record['cycle']:05d}" / "background.nc"
        if path.exists():
            time = np.datetime64(record["time"].rstrip("Z"), "ns")
            state = read_background([path], time=time, own=True).state.select(channels)
            found.add(state.values.double().numpy() - truth(time).values.numpy())
    return found


def climate(run: NatureRun, statistics: Path) -> str:
    """Return the table of variability beside ERA5's numbers, means included."""
    ours = change_statistics(run)  # type: ignore[arg-type]
    theirs = [era5(statistics, suffix, run.channels) for suffix in ("_std", "_diff_std_6", "_diff_std_24")]
    total, count = np.zeros(len(run.channels)), 0
    for hours, values in run.nature("all"):
        total, count = total + values.mean((-2, -1), dtype=np.float64).sum(0), count + hours.size
    mean, their_mean = total / count, era5(statistics, "_mean", run.channels)
    rows = []
    for i, channel in enumerate(run.channels):
        factor, unit = SHOWN[channel.variable]
        cells = [str(channel), unit, _number(mean[i] * factor, ".4g"), _number(their_mean[i] * factor, ".4g")]
        for mine, other in zip(ours, theirs, strict=True):
            cells += [f"{mine[i] * factor:.3g}", _number(other[i] * factor, ".3g"), _number(mine[i] / other[i], ".2f")]
        rows.append(cells)
    heads = [f"{what} {which}" for what in ("std", "6 h change", "24 h change") for which in ("here", "ERA5", "ratio")]
    spectra = {level: rotational_spectrum(run, level) for level in (85_000.0, 50_000.0, 25_000.0)}  # type: ignore[arg-type]
    energy = [
        [f"{level / 100:g} hPa", *(f"{e[n]:.2g}" for n in WAVENUMBERS), f"{slope(e):.2f}"]
        for level, e in spectra.items()
    ]
    return "\n".join((
        table(["field", "unit", "mean here", "mean ERA5", *heads], rows),
        "Kinetic energy of the rotational wind [m² s⁻²] by total wavenumber, and its slope for n = 8 … 20:\n",
        table(["level", *(f"n = {n}" for n in WAVENUMBERS), "slope"], energy),
    ))  # fmt: skip


def errors(run: NatureRun, found: dict[str, Errors]) -> str:
    """Return the tables of errors by channel and by wavenumber."""
    sizes = [
        [str(c), SHOWN[c.variable][1], *(f"{e.rms[i] * SHOWN[c.variable][0]:.3g}" for e in found.values())]
        for i, c in enumerate(run.channels)
    ]
    spectra = []
    for channel in SPECTRA:
        factor, unit = SHOWN[channel.variable]
        name = f"rotational wind {channel.level / 100:g} hPa" if channel.variable == "u" else str(channel)  # type: ignore[operator]
        for what, e in found.items():
            root = np.sqrt(e.power[channel] / e.count) * factor
            spectra.append([f"{name} [{unit}]", what, *(f"{root[n]:.2g}" for n in WAVENUMBERS)])
    cases = ", ".join(f"{what} {e.count}" for what, e in found.items())
    return "\n".join((
        f"Cases: {cases}. Root mean square over the globe:\n",
        table(["field", "unit", *found], sizes),
        "Root of the mean square error in single total wavenumbers:\n",
        table(["field", "error", *(f"n = {n}" for n in WAVENUMBERS)], spectra),
    ))  # fmt: skip


def _number(value: float, form: str) -> str:
    return f"{float(format(value, form)):g}" if np.isfinite(value) else "–"


def main() -> None:
    """Read the arguments, and print the tables or put them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("simulation", type=Path)
    parser.add_argument("statistics", type=Path)
    parser.add_argument("cycles", type=Path, nargs="*")
    parser.add_argument("--starts", type=int, default=60)
    parser.add_argument("--every", type=int, default=4, help="of a cycle's backgrounds, after the first 40")
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    run = NatureRun(given.simulation)
    found = model_errors(given.simulation, given.starts)
    found |= {f"cycle, {cycle.name}": cycled_errors(given.simulation, cycle, given.every) for cycle in given.cycles}
    config = run.config
    about = (
        f"Frozen at commit `{commit()}`: the simulation is not in the repository. T{config.nature_truncation} nature, "
        f"T{config.forecast_truncation} forecasts, {config.chunks * config.chunk_days} days, seed {config.seed}."
    )
    for name, made in (("climate", climate(run, given.statistics)), ("errors", errors(run, found))):
        text = f"{about}\n\n{made}"
        if given.page:
            put(given.page, name, text)
        else:
            print(text)


if __name__ == "__main__":
    main()
