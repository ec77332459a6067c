"""What radio occultations do for an analysis: python benchmarks/occultation.py [--draws 2] [--profiles 200].

    x_t = x_b + L ζ,  ζ ~ N(0, 1),  with the shipped B;    y = H(x_t) + σ_o ε

A twin without a model: the background is a standard-like climate and its error is drawn from the statistics that the
method knows. Sonde-like stations of the northern hemisphere are observed, with and without occultations anywhere; H is
the operator itself, not its tangent. Printed are RMS errors of t and z in the southern hemisphere, and how much of the
rows in use are occultations.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from result import commit

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.humidity import limit_humidity
from phyda_cli.fields.standard_atmosphere import standard_height, standard_temperature
from phyda_cli.fields.state import State
from phyda_cli.formats.gridded.background_error import read_background_error
from phyda_cli.methods.base import Case, Departures, Method
from phyda_cli.methods.letkf import LETKF
from phyda_cli.methods.oi import OptimalInterpolation
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.observations.conversion import placed
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.table import Observations, concatenate
from phyda_cli.operators.first_guess import operator_of
from phyda_cli.resources import LEARNED_BACKGROUND_ERROR, weights_path

STATIONS: Final = 150
ENSEMBLE: Final = 20
HEIGHTS: Final = 1000.0 * np.arange(2.0, 15.5, 0.5)
LEVELS: Final = (85_000.0, 70_000.0, 50_000.0, 25_000.0)
TIME: Final = np.datetime64("2011-01-15T12", "ns")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2, metavar="N", help="background errors to average over (2)")
    parser.add_argument("--profiles", type=int, default=200, metavar="N", help="occultations (200)")
    options = parser.parse_args()
    statistics, _ = read_background_error(weights_path(LEARNED_BACKGROUND_ERROR))
    method = ThreeDVar(statistics, dtype=torch.float32)
    background = climate(method)
    sums: dict[str, torch.Tensor] = {}
    for number in range(options.draws):
        for name, squares in twin(method, background, options.profiles, number).items():
            sums[name] = sums.get(name, torch.zeros_like(squares)) + squares / options.draws
    print(f"Commit `{commit()}`, {options.draws} draws, {options.profiles} occultations, {STATIONS} stations.\n")
    heads = [f"{name} {level / 100:g} hPa" for name in "tz" for level in LEVELS]
    print(f"| method | {' | '.join(heads)} |\n|---|{'---:|' * len(heads)}")
    for name in ("3dvar", "oi", "letkf"):
        columns = torch.stack([sums["before"], sums[f"{name} without"], sums[f"{name} with"]]).sqrt().T.tolist()
        print(f"| {name} | {' | '.join(' → '.join(f'{x:.3g}' for x in column) for column in columns)} |")


def climate(method: ThreeDVar) -> State:
    """Air of the standard atmosphere, the same everywhere, with 60 % of the humidity of saturation near the ground."""
    values = {
        "t": lambda p: float(standard_temperature(standard_height(p))),
        "z": lambda p: GRAVITY * float(standard_height(p)),
        "q": lambda p: 8e-3 * (p / 1e5) ** 3,
    }
    own = [values[c.variable](c.level) if c.variable in values and c.level else 0.0 for c in method.statistics.channels]
    fields = torch.tensor(own, dtype=torch.float64)[:, None, None].expand(-1, *method.statistics.grid.shape)
    return State(fields.clone(), method.statistics.channels, method.statistics.grid, TIME)


def twin(method: ThreeDVar, background: State, profiles: int, seed: int) -> dict[str, torch.Tensor]:
    """⟨e²⟩ of t and z at `LEVELS` in the southern hemisphere, before and after each method."""
    draws = replace(method, members=1 + ENSEMBLE, seed=1000 + seed, dtype=torch.float64).prior_members(background)
    assert draws is not None
    truth = replace(background, values=limit_humidity(background, background.values + draws[0]).values)
    random = np.random.default_rng(seed)
    rows = concatenate([_stations(background, random), _occultations(profiles, random)])
    table = default_error_table()
    error = table.sigma(rows.variable, rows.pressure, rows.report, rows.latitude)
    h = operator_of(background, rows).states(background.grid, background.channels)
    value = h(truth.values) + error * random.standard_normal(len(rows))
    members = State(background.values + draws[1:] - draws[1:].mean(0), background.channels, background.grid, TIME)
    guess = h(background.values)
    equivalents = np.stack([h(one) for one in members.values])
    made: dict[str, Method] = {
        "3dvar": method,
        "oi": OptimalInterpolation(method.background_error(background)),
        "letkf": LETKF(members),
    }
    found = {"before": _squares(background, truth)}
    for name, own in made.items():
        middle = equivalents.mean(0) if name == "letkf" else guess
        all_rows = Departures(h.linearised(background.values), value - middle, error, equivalents)
        for label, kept in (("without", rows.variable != "refractivity"), ("with", np.ones(len(rows), bool))):
            kept = kept & h.defined
            moved = own.increments([Case(background, all_rows.take(kept))])[0].mean.values
            found[f"{name} {label}"] = _squares(replace(background, values=background.values + moved), truth)
    return found


def _stations(background: State, random: np.random.Generator) -> Observations:
    """Stations north of 20° N with u, v, t, q, z at every level."""
    upper = [c for c in background.channels if c.level is not None and c.variable in "uvtqz"]
    latitude = np.degrees(np.arcsin(random.uniform(np.sin(np.radians(20.0)), 1.0, STATIONS)))
    n = STATIONS * len(upper)
    return Observations.build(
        "twin",
        variable=np.array([c.variable for c in upper] * STATIONS, dtype=object),
        latitude=np.repeat(latitude, len(upper)),
        longitude=np.repeat(random.uniform(0.0, 360.0, STATIONS), len(upper)),
        pressure=np.array([c.level for c in upper] * STATIONS, dtype=np.float64),
        value=np.zeros(n),
        time=np.full(n, TIME),
    )


def _occultations(count: int, random: np.random.Generator) -> Observations:
    """Profiles of refractivity evenly on the sphere."""
    n = count * HEIGHTS.size
    latitude = np.degrees(np.arcsin(random.uniform(-1.0, 1.0, count)))
    return placed(
        Observations.build(
            "twin",
            variable=np.full(n, "refractivity", dtype=object),
            latitude=np.repeat(latitude, HEIGHTS.size),
            longitude=np.repeat(random.uniform(0.0, 360.0, count), HEIGHTS.size),
            height=np.tile(HEIGHTS, count),
            value=np.zeros(n),
            time=np.full(n, TIME),
        )
    )


def _squares(state: State, truth: State) -> torch.Tensor:
    """⟨e²⟩ (2 × level,) of t [K²] and z [m²] south of 20° S."""
    latitude = np.asarray(state.grid.latitudes)
    weight = torch.from_numpy(np.where(latitude < -20.0, np.cos(np.radians(latitude)), 0.0))
    error = (state.values - truth.values).square().mean(-1) @ (weight / weight.sum())
    size = {"t": 1.0, "z": GRAVITY**-2}
    places = [
        (number, channel.variable)
        for name in "tz"
        for level in LEVELS
        for number, channel in enumerate(state.channels)
        if channel == (name, level)
    ]
    return torch.stack([error[number] * size[name] for number, name in places])


if __name__ == "__main__":
    main()
