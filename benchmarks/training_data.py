"""Replace the tables of docs/data.md about a training store: what it holds, and how it compares with ERA5.

    python -m benchmarks.training_data STORE STATISTICS [--page docs/data.md]

STORE: a store that `phyda prepare` has made. STATISTICS: a directory with ERA5's numbers as .npz files, one entry a
variable and level such as `temperature_850`: *_std.npz (standard deviation), *_diff_std_6.npz and *_diff_std_24.npz
(standard deviation of the change over 6 h and 24 h). Those numbers count every point of a regular grid alike, so the
store's are taken in the same way here; the store's own statistics are area-weighted.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.result import commit
from phyda_cli.constants import EARTH_RADIUS, GRAVITY
from phyda_cli.experiments.markdown import table
from phyda_cli.fields.state import Channel
from phyda_cli.grids.harmonics import largest_truncation, spherical_harmonics
from phyda_cli.preparation.split import PARTS, moment
from phyda_cli.preparation.statistics import Moments
from phyda_cli.preparation.store import TrainingStore, open_store
from tools.pages import put

Floats = NDArray[np.float64]

ERA5_NAMES = {
    "u": "u_component_of_wind",
    "v": "v_component_of_wind",
    "t": "temperature",
    "q": "specific_humidity",
    "z": "geopotential",
    "msl": "mean_sea_level_pressure",
    "sp": "surface_pressure",
    "t2m": "2m_temperature",
    "u10": "10m_u_component_of_wind",
    "v10": "10m_v_component_of_wind",
}
SLOPE_RANGE = (8, 20)
"""Total wavenumbers over which the slope of the kinetic-energy spectrum is fitted."""
SPECTRUM_STATES = 100
SHOWN = {
    "z": (1 / GRAVITY, "m"),
    "q": (1e3, "g/kg"),
    "msl": (0.01, "hPa"),
    "u": (1, "m/s"),
    "v": (1, "m/s"),
    "t": (1, "K"),
    "sp": (0.01, "hPa"),
    "t2m": (1, "K"),
    "u10": (1, "m/s"),
    "v10": (1, "m/s"),
}
"""How the tables show a variable: factor on SI, unit."""


def change_statistics(store: TrainingStore) -> tuple[Floats, Floats, Floats]:
    """Standard deviation (channel,) of the states and of their changes over 6 h and 24 h, each point counted alike."""
    shape = (len(store.channels), *store.grid.shape)
    states, steps = Moments.empty(shape), {6: Moments.empty(shape), 24: Moments.empty(shape)}
    recent: dict[int, NDArray[np.float32]] = {}
    for hours, values in store.nature("train"):
        states.add(values)
        recent |= dict(zip(hours.tolist(), values, strict=True))
        for lag, moments in steps.items():
            pairs = [(recent[h], recent[h - lag]) for h in hours.tolist() if h - lag in recent]
            if pairs:
                moments.add(np.stack([now - before for now, before in pairs]))
        recent = {hour: value for hour, value in recent.items() if hour > hours[-1] - 24}
    return _spread(states), _spread(steps[6]), _spread(steps[24])


def _spread(moments: Moments) -> Floats:
    mean = moments.mean.mean(axis=(1, 2), keepdims=True)
    return np.asarray(np.sqrt((moments.variance + (moments.mean - mean) ** 2).mean(axis=(1, 2))))


def era5(directory: Path, suffix: str, channels: tuple[Channel, ...]) -> Floats:
    """ERA5's number (channel,) of the file that ends in `suffix`; NaN where it has none."""
    found = sorted(path for path in directory.glob(f"*{suffix}.npz") if suffix != "_std" or "diff" not in path.name)
    if not found:
        raise SystemExit(f"{directory}: no *{suffix}.npz")
    with np.load(found[0]) as table:
        names = [ERA5_NAMES[c.variable] + ("" if c.level is None else f"_{c.level / 100:g}") for c in channels]
        return np.array([float(table[name].ravel()[0]) if name in table else np.nan for name in names])


def rotational_spectrum(store: TrainingStore, level: float) -> Floats:
    """Mean kinetic energy [m2 s-2] of the rotational wind at a level in each total wavenumber: n(n+1)/(2a²)·|ψ_n|²."""
    harmonics = spherical_harmonics(store.grid, largest_truncation(store.grid))
    places = [store.channels.index(Channel(name, level)) for name in ("u", "v")]
    every = max(1, store.nature_times("train").size // SPECTRUM_STATES)
    total, count = torch.zeros(harmonics.truncation + 1, dtype=torch.float64), 0
    for _, values in store.nature("train"):
        winds = torch.from_numpy(values[::every][:, places].astype(np.float64))
        psi, _ = harmonics.streamfunction_potential(winds[:, 0], winds[:, 1])
        total += harmonics.power(psi).sum(0)
        count += winds.shape[0]
    n = harmonics.total_wavenumber.double()
    return np.asarray((total / count * n * (n + 1) / (2 * EARTH_RADIUS**2)).numpy())


def slope(spectrum: Floats) -> float:
    """Slope of log E against log n over SLOPE_RANGE."""
    n = np.arange(SLOPE_RANGE[0], SLOPE_RANGE[1] + 1)
    return float(np.polyfit(np.log(n), np.log(spectrum[n]), 1)[0])


def sections(store: TrainingStore, statistics: Path) -> Iterator[str]:
    """The page, block by block."""
    attributes, counts = store.attributes, store.attributes["counts"]
    yield (
        "Made by `python -m benchmarks.training_data STORE STATISTICS`. "
        f"Frozen at commit `{commit()}`: the store is not in the repository."
    )
    yield f"Source: {attributes['source']}; seed {attributes['seed']}; digest `{attributes['digest'][:16]}`."
    rows = [
        [
            part,
            moment(store.splits.interval(part)[0]),
            moment(store.splits.interval(part)[1]),
            f"{counts[f'states_{part}']}",
            f"{counts[f'pairs_{part}']}",
        ]
        for part in PARTS
    ]
    yield "## Splits\n\n" + table(["part", "from", "to (excluded)", "states", "pairs"], rows)
    yield (
        f"Gaps of {store.splits.gap_hours / 24:g} days lie between the parts. Forecasts left out:"
        f" {counts['forecasts_between_parts']} that start or end outside one part,"
        f" {counts['forecasts_without_truth']} whose truth is not in the store."
    )
    yield _variability(store, statistics)
    yield _errors(store)
    yield _spectra(store)


def _variability(store: TrainingStore, statistics: Path) -> str:
    ours = change_statistics(store)
    theirs = [era5(statistics, suffix, store.channels) for suffix in ("_std", "_diff_std_6", "_diff_std_24")]
    rows = []
    for i, channel in enumerate(store.channels):
        factor, unit = SHOWN[channel.variable]
        cells = [str(channel), unit]
        for mine, other in zip(ours, theirs, strict=True):
            cells += [f"{mine[i] * factor:.3g}", f"{other[i] * factor:.3g}", f"{mine[i] / other[i]:.2f}"]
        rows.append(cells)
    heads = [f"{what} {which}" for what in ("std", "6 h change", "24 h change") for which in ("here", "ERA5", "ratio")]
    text = (
        "Training part; every grid point counts alike, as in the ERA5 numbers. Those come from a finer grid:"
        " the coarser one here lowers the small scales' share by itself."
    )
    return f"## Variability against ERA5\n\n{text}\n\n" + table(["field", "unit", *heads], rows)


def _errors(store: TrainingStore) -> str:
    weights = store.grid.area_weights
    sizes = np.sqrt(np.square(store.statistic("sigma_b")) @ weights)
    bias = np.sqrt(np.square(store.statistic("bias")).mean(axis=-1) @ weights)
    rows = []
    for i, channel in enumerate(store.channels):
        factor, unit = SHOWN[channel.variable]
        share = f"{100 * np.square(bias[-1, i] / sizes[-1, i]):.0f} %" if sizes[-1, i] > 0 else "–"
        rows.append([str(channel), unit, *(f"{size * factor:.3g}" for size in sizes[:, i]), share])
    heads = [f"{lead} h" for lead in store.leads]
    return (
        "## Background errors\n\nGlobal RMSE of the training part's backgrounds by lead, and the part of the squared"
        " error at the longest lead that is mean error.\n\n" + table(["field", "unit", *heads, "mean error"], rows)
    )


def _spectra(store: TrainingStore) -> str:
    levels = [c.level for c in store.channels if c.variable == "u" and c.level in (85_000.0, 50_000.0, 25_000.0)]
    spectra = {level: rotational_spectrum(store, level) for level in levels if level is not None}
    shown = [1, 2, 3, 5, 8, 12, 16, 20, 25, 30]
    rows = [
        [f"{level / 100:g} hPa", *(f"{e[n]:.2g}" for n in shown if n < e.size), f"{slope(e):.2f}"]
        for level, e in spectra.items()
    ]
    heads = [f"n = {n}" for n in shown if all(n < e.size for e in spectra.values())]
    return (
        "## Kinetic energy of the rotational wind\n\nMean energy [m² s⁻²] by total wavenumber n, and the slope for n ="
        f" {SLOPE_RANGE[0]} … {SLOPE_RANGE[1]} (−3 is expected of the atmosphere).\n\n"
        + table(["level", *heads, "slope"], rows)
    )


def main() -> None:
    """Read the arguments and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("statistics", type=Path)
    parser.add_argument("--page", type=Path, default=Path("docs/data.md"))
    arguments = parser.parse_args()
    put(arguments.page, "store", "\n\n".join(sections(open_store(arguments.store), arguments.statistics)))


if __name__ == "__main__":
    main()
