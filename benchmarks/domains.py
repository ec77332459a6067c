"""A verdict on every grid file of some folders: what it holds, analysed and written, or exactly what is missing.

    python -m benchmarks.domains CASES [docs/formats.md]

CASES holds folders `grid_*` of grid files. Each is read with the options that the messages themselves ask for, and
analysed by 3D-Var (an ensemble by the LETKF) with a few observations made from it: at points of its own grid away from
the rim, each the background's value and two observation errors. The analysis is written and read again: the verdict is
good when observations are used, the increment is finite and what comes back is what was written.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch

from phyda_cli.errors import PhydaError
from phyda_cli.experiments.markdown import table
from phyda_cli.fields.state import Channel
from phyda_cli.formats.gridded.layout import Background
from phyda_cli.library.analysis import assimilate
from phyda_cli.library.inputs import open_background
from phyda_cli.observations.errors import default_error_table
from tools.pages import put

POINTS: Final = 6
VARIABLES: Final = ("t", "u", "v", "q", "z", "msl", "t2m", "u10", "v10")
_LOWEST, _HIGHEST = 100_000.0, 10_000.0


def verdicts(cases: Path) -> str:
    """One table for each folder `grid_*`."""
    parts = []
    for folder in sorted(cases.glob("grid_*")):
        rows = []
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            rows.append([path.name, *verdict(path)])
            print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
        parts.append(f"### {folder.name}\n\n{table(['file', 'options', 'holds', 'verdict'], rows)}")
    return "\n".join(parts)


def verdict(path: Path) -> tuple[str, str, str]:
    """(options, what the file holds, verdict) of one file."""
    choice: dict[str, str | float] = {}
    time: np.datetime64 | None = None
    for _ in range(4):
        try:
            background = open_background(path, time=time, select=choice)
            break
        except PhydaError as error:
            message = str(error).replace(f"{path}: ", "").replace(str(path), path.name)
            several = re.search(r"choose one with --time: (\S+)Z", message)
            axis = re.search(r"choose one(?:, for example|) with --select (\w+)=([\w.]+)", message)
            if several and time is None:
                time = np.datetime64(several[1])
            elif axis and axis[1] not in choice:
                choice[axis[1]] = axis[2]
            elif "give it with --time" in message and time is None:
                time = np.datetime64("2000-01-15T00:00")
            else:
                return _options(choice, time), "", f"refused: {message}".replace("|", "/")
    else:
        return _options(choice, time), "", "refused: it asks for more choices than it should"
    try:
        said = _analysed(background)
    except PhydaError as error:
        said = f"not analysed: {error}".replace(f"{path}: ", "")
    return _options(choice, time), holds(background), said.replace("|", "/")


def holds(background: Background) -> str:
    """Grid, time, members and variables of a background."""
    state = background.state
    held = []
    for name in state.variables:
        levels = [level / 100 for level in state.levels(name)]
        span = f" at {len(levels)} levels {max(levels):g}–{min(levels):g} hPa" if len(levels) > 1 else ""
        held.append(name + (span or (f" at {levels[0]:g} hPa" if levels else "")))
    members = f", {state.values.shape[0]} members" if background.member else ""
    on = ", from model levels" if background.model is not None else ""
    return f"{type(state.grid).__name__} {state.grid}{members}: {', '.join(held)}{on}"


def _options(choice: dict[str, str | float], time: np.datetime64 | None) -> str:
    words = [*(f"--select {key}={value}" for key, value in choice.items()), *([f"--time {time}Z"] if time else [])]
    return f"`{' '.join(words)}`" if words else ""


def _analysed(background: Background) -> str:
    rows = _observations(background)
    method = "letkf" if background.member is not None else "3dvar"
    settings = {} if method == "letkf" else {"members": 0}
    analysis = assimilate(background, rows, method=method, window="24h", background_error_scale=1.0, **settings)  # type: ignore[arg-type]
    feedback = analysis.feedback
    used = int((feedback["flag"] == 0).sum())
    if not used:
        reasons = sorted({str(reason) for reason in feedback["reason"]})
        return f"read; no observation can be used: {'; '.join(reasons)[:200]}"
    increment = analysis.result.increment.values
    if not bool(torch.isfinite(increment).all()):
        return "the increment is not finite"
    with tempfile.TemporaryDirectory() as folder:
        analysis.write(Path(folder) / "analysis.nc")
        again = open_background(Path(folder) / "analysis.nc").state
        written = "tuvq" if background.model is not None else VARIABLES  # the heights of a model's levels stay
        kept = [c for c in analysis.result.state.channels if c in again.channels and c.variable in written]
        apart = again.select(tuple(kept)).values - analysis.result.state.select(tuple(kept)).values
        size = dict(zip(analysis.result.state.channels, increment.abs().amax((-2, -1)).tolist(), strict=True))
        shares = {c: float(apart[n].abs().max()) / (size[c] + 1e-3 * _scale(c)) for n, c in enumerate(kept)}
    worst = max(shares, key=lambda c: shares[c])
    largest = max(size, key=lambda c: size[c] / _scale(c))
    back = "read again the same"
    if shares[worst] >= 0.05:
        back = f"read again within {shares[worst]:.0%} of the increment ({worst})"
    return f"analysed by {method}: {used} of {len(feedback)} used, {largest} moves by up to {size[largest]:.3g}, {back}"


def _scale(channel: Channel) -> float:
    return {"q": 1e-3, "z": 100.0, "msl": 100.0, "sp": 100.0, "w": 0.1, "tcwv": 5.0}.get(channel.variable, 1.0)


def _observations(background: Background) -> pd.DataFrame:
    """Values at points of the grid that are not on its rim, of some channels."""
    state, errors = background.ensemble_mean().state, default_error_table()
    rim = state.grid.rim
    inner = np.arange(np.prod(state.grid.shape)) if rim is None else np.flatnonzero(rim.ravel() >= np.median(rim))
    places = inner[np.linspace(0, inner.size - 1, min(POINTS, inner.size)).round().astype(int)]
    latitude, longitude = state.grid.coordinates
    rows = []
    for name in VARIABLES:
        levels = sorted((c for c in state.channels if c.variable == name), key=lambda c: abs((c.level or 5e4) - 5e4))
        usable = [c for c in levels if c.level is None or _HIGHEST <= c.level <= _LOWEST][:1]
        for channel in usable:
            for place in places:
                value = float(state.values[state.index(channel)].ravel()[place])
                error = float(errors.sigma(np.array([name], dtype=object), np.array([channel.level or np.nan]))[0])
                rows.append(
                    {
                        "time": str(state.time), "latitude": latitude[place], "longitude": longitude[place],
                        "pressure": channel.level, "variable": name, "value": value + 2.0 * error, "error": error,
                        "station": f"{name}{place}", "elevation": 0.0,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


if __name__ == "__main__":
    made = verdicts(Path(sys.argv[1]))
    if len(sys.argv) > 2:
        put(Path(sys.argv[2]), "grids of sample files", made)
    else:
        print(made)
