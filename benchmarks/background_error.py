"""Replace the tables of docs/background-error.md: what the shipped background error is and does.

    python -m benchmarks.background_error docs/background-error.md [sizes] [single] [bands] [humidity] [hole]

sizes: σ_b and lengths beside the published ones. single: increments of one observation. bands: twins whose background
error is a draw of B at T106, by total wavenumber. humidity: sondes' humidity on a climatology. hole: a gross
disagreement around a hole of the network.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.constants import EARTH_RADIUS, GRAVITY
from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.errors_b.published import published
from phyda_cli.errors_b.resolution import at_truncation
from phyda_cli.experiments.markdown import table
from phyda_cli.fields.state import Channel, State
from phyda_cli.formats.gridded.background_error import read_background_error
from phyda_cli.grids.harmonics import SphericalHarmonics
from phyda_cli.methods.base import Case, Departures
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.observations.errors import default_error_table
from phyda_cli.operators.operator import Operator
from phyda_cli.resources import BACKGROUND_ERROR, weights_path
from tools.pages import put

TIME: Final = np.datetime64("2008-12-08T12", "ns")
BANDS: Final = ((1, 10), (11, 31), (32, 71), (72, 106))
TRUNCATIONS: Final = (31, 71, 106)
TWINS: Final = 2
SHOWN: Final = ("u250", "v500", "t500", "t850", "z500")
Floats = NDArray[np.float64]


def statistics() -> BackgroundError:
    """The shipped ones, of dynamics alone: the twins have no background to make relative humidity of."""
    return read_background_error(weights_path(BACKGROUND_ERROR))[0]


def nothing(error: BackgroundError) -> State:
    """A background of standard air at rest, on the grid of the statistics."""
    channels = tuple(c for c in error.channels if c.variable != "q")
    return State(torch.zeros(len(channels), *error.grid.shape, dtype=torch.float64), channels, error.grid, TIME)


def sizes() -> str:
    """σ_b by level and latitude, and the lengths of the control fields, beside the published numbers."""
    error = statistics()
    latitude, degree = np.array(error.grid.latitudes), np.arange(error.truncation + 1)
    rows, lengths = [], []
    for name, factor in (("u", 1.0), ("t", 1.0), ("z", 1 / GRAVITY), ("q", 100.0)):
        for level in (1000, 850, 500, 250, 100):
            sigma = error.sigma[error.channels.index(Channel(name, 100.0 * level))].numpy() * factor
            at = [f"{np.interp(x, latitude, sigma):.2f}" for x in (-60, -30, 0, 30, 60)]
            rows.append([f"{name if name != 'q' else 'RH'}{level}", *at])
    covariance, wind = error.covariance_psi.numpy(), error.wind_levels
    fields = (("psi", covariance, 0), ("t", error.covariance_unbalanced.numpy(), wind))
    for field, spectra, offset in fields:
        levels = [c.level for c in error.channels[: 13 if field == "psi" else None] if c.variable in ("u",)]
        numbers = published(field, latitude)
        for level in (850, 500, 250, 100):
            place = offset + levels.index(100.0 * level)
            power = spectra[:, place, place] * (2 * degree + 1)
            own = (8 * power.sum() / (power * (degree * (degree + 1)) ** 2).sum()) ** 0.25 * EARTH_RADIUS / 1e3
            fine = np.argmin(np.abs(np.log(101_325.0 * np.exp(-0.05 * np.arange(80)) / (100.0 * level))))
            half = degree[np.searchsorted(np.cumsum(power) / power.sum(), 0.5)]
            lengths.append([f"{field}{level}", f"{numbers.length[fine] / 1e3:.0f}", f"{own:.0f}", half])
    return f"""σ_b of a short forecast (s = 1): u [m/s], t [K], z [m], relative humidity [%].

{table(["field", "60° S", "30° S", "0°", "30° N", "60° N"], rows)}
Lengths (8 V(ψ)/V(∇²ψ))^¼ [km], published for one Gaussian and of the three here, cut at T106; median: the total
wavenumber below which half of the variance lies.

{table(["field", "published", "here", "median"], lengths)}"""


def single() -> str:
    """What one observation does: at 45° N and on the equator."""
    method = ThreeDVar(statistics(), dtype=torch.float32)
    start, rows = nothing(method.statistics), []
    for name, level, size in (("t", 500, 1.0), ("u", 250, 1.0), ("z", 500, 10 * GRAVITY), ("t", 850, 1.0)):
        for latitude in (45.0, 0.0):
            operator = at([(name, 100.0 * level, latitude, 180.0)])
            made = method.increments([Case(start, Departures(operator, np.array([size]), np.array([size])))])[0].mean
            rows.append([f"{name}{level}", f"{latitude:.0f}°", *described(made, name, 100.0 * level, latitude)])
    head = ["observation", "latitude", "δ there", "half at [km]", "t850", "t500", "u250 (max)", "z500 [m] (max)", "msl"]
    return f"""Increments of one observation of 1 K, 1 m/s or 10 m with an error of the same size, s = 1.

{table(head, rows)}"""


def described(made: State, name: str, level: float, latitude: float) -> list[str]:
    """The increment at the observation, how far it reaches half of that, and what else it moves."""
    names = [str(channel) for channel in made.channels]
    row = int(np.argmin(np.abs(np.array(made.grid.coordinates[0]).reshape(made.grid.shape)[:, 0] - latitude)))
    values = made.values.numpy()
    own = values[names.index(str(Channel(name, level)))][row]
    centre = len(own) // 2
    falls = np.flatnonzero(own[centre:] < 0.5 * own[centre])[0]
    step = 2 * np.pi * EARTH_RADIUS * np.cos(np.radians(latitude)) / len(own) / 1e3
    unit = GRAVITY if name == "z" else 1.0
    parts = [values[names.index(n)] for n in ("t850", "t500")]
    return [
        f"{own[centre] / unit:.2f}", f"{falls * step:.0f}", *(f"{x[row, centre]:+.2f}" for x in parts),
        f"{np.abs(values[names.index('u250')]).max():.2f}",
        f"{np.abs(values[names.index('z500')]).max() / GRAVITY:.1f}",
        f"{values[names.index('msl')][row, centre] / 100:+.2f} hPa",
    ]  # fmt: skip


def at(heads: list[tuple[str, float, float, float]]) -> Operator:
    """The operator of rows of (variable, pressure, latitude, longitude)."""
    names, pressure, latitude, longitude = (np.array(x) for x in zip(*heads, strict=True))
    return Operator.at(names.astype(object), latitude, longitude, pressure)


def network(places: Floats) -> Operator:
    """Whole columns of u, v and t at places (n, 2)."""
    levels = (1000, 925, 850, 700, 500, 400, 300, 250, 200, 150, 100)
    return at([(n, 100.0 * p, *place) for place in places for p in levels for n in "uvt"])


def even(spacing: float) -> Floats:
    """Places (n, 2) on rows so many degrees apart."""
    rows = np.arange(-90 + spacing / 2, 90, spacing)
    return np.array(
        [(y, x) for y in rows for x in np.arange(0, 360, 360 / max(round(360 * np.cos(np.radians(y)) / spacing), 1))]
    )


def sonde_like() -> Floats:
    """420 places that crowd together as land does: most of them in the northern half, drawn once."""
    random = np.random.default_rng(5)
    centres = np.array([(50, 10), (55, 60), (35, 110), (42, 260), (-25, 135), (-20, 300), (5, 100), (-10, 25)])
    chosen = centres[random.choice(len(centres), 420, p=[0.2, 0.2, 0.2, 0.2, 0.05, 0.05, 0.05, 0.05])]
    moved = chosen + random.normal(size=(420, 2)) * (9, 14)
    return np.column_stack([np.clip(moved[:, 0], -85, 85), moved[:, 1] % 360])


def bands() -> str:
    """Twins: the error of the background is a draw of B at T106; what is left of it by band, relative."""
    whole = statistics()
    transform = SphericalHarmonics(whole.grid, whole.truncation)
    start, errors = nothing(whole), default_error_table()
    parts = []
    for title, places in (("every 2.5°", even(2.5)), ("sonde-like, 420 places", sonde_like())):
        operator = network(places)
        sigma = errors.sigma(operator.variable, operator.pressure)
        cells: dict[tuple[str, int], list[Floats]] = {}
        for number in range(TWINS):
            draw = ThreeDVar(whole, members=1, seed=number).prior_members(start)
            assert draw is not None
            rows = operator.increments(whole.grid, whole.channels)
            noise = np.random.default_rng(number).standard_normal(sigma.size)
            departures = Departures(operator, -rows(draw[0]).numpy() + sigma * noise, sigma)
            for truncation in TRUNCATIONS:
                method = ThreeDVar(at_truncation(whole, truncation), dtype=torch.float32)
                made = method.increments([Case(start, departures)])[0].onto(whole.grid, whole.channels).values
                for name in SHOWN:
                    place = [str(c) for c in whole.channels].index(name)
                    before, after = (
                        transform.power(transform.analysis(x[place])).numpy() for x in (draw[0], draw[0] + made)
                    )
                    ratio = [(after[a : b + 1].sum() / before[a : b + 1].sum()) ** 0.5 for a, b in BANDS]
                    cells.setdefault((name, truncation), []).append(np.array(ratio))
        body = [
            [name, f"T{truncation}", *(f"{x:.2f}" for x in np.mean(cells[name, truncation], axis=0))]
            for name in SHOWN
            for truncation in TRUNCATIONS
        ]
        head = ["field", "analysis at", *(f"n {a}–{b}" for a, b in BANDS)]
        parts.append(f"Network: {title}, u v t at eleven levels.\n\n{table(head, body)}")
    return "\n".join(
        ["RMS error after the analysis relative to before, by total wavenumber, mean of two twins.\n", *parts]
    )


def hole() -> str:
    """A background that is 20 K too cold under aircraft around a hole, sondes far away that say +4 to +8 K."""
    rows = []
    for title, scale in (("s = 1", 1.0), ("s = 4", 4.0), ("s = 7", 7.0)):
        error = at_truncation(statistics(), 71).scaled(scale)
        method, start = ThreeDVar(error, dtype=torch.float32), nothing(error)
        ring = [(52 + 8 * np.sin(a), 180 + 13 * np.cos(a)) for a in np.linspace(0, 2 * np.pi, 40, endpoint=False)]
        wind = [("v", 25_000.0, y, x) for y, x in ring] + [("u", 25_000.0, y, x) for y, x in ring]
        far = [("t", 50_000.0, y, x) for y, x in ((62, 180), (42, 180), (52, 160), (52, 200))]
        operator = at([*wind, *far])
        spin = 20.0  # m/s around the hole
        turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        departure = np.concatenate([-spin * np.cos(turn), spin * np.sin(turn), [4.0, 6.0, 8.0, 5.0]])
        sigma = np.concatenate([np.full(80, 4.0), np.full(4, 1.2)])
        made = method.increments([Case(start, Departures(operator, departure, sigma))])[0]
        t500 = made.mean.values[made.mean.channels.index(Channel("t", 50_000.0))].numpy()
        latitude, longitude = (x.reshape(made.mean.grid.shape) for x in made.mean.grid.coordinates)
        near = (np.abs(latitude - 52) < 6) & (np.abs(longitude - 180) < 10)
        bound = float(method.background_error_at(at([("t", 50_000.0, 52.0, 180.0)]), start)[0])
        rows.append([title, f"{t500[near].max():+.1f}", f"{t500[near].min():+.1f}", f"{bound:.1f}"])
    return f"""An anticyclone of 20 m/s in the departures of aircraft winds at 250 hPa around a hole of 1 800 km,
and four sondes at 500 hPa about 1 000 km from its middle that say +4 to +8 K: the increment of T500 in the hole.

{table(["scale", "largest", "smallest", "σ_b there"], rows)}"""


PARTS: Final[dict[str, Callable[[], str]]] = {"sizes": sizes, "single": single, "bands": bands, "hole": hole}

if __name__ == "__main__":
    for part in sys.argv[2:] or PARTS:
        put(Path(sys.argv[1]), part, PARTS[part]())
