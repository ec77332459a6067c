"""The background error of a training store: fitted on its training part, tuned once on its validation part.

Tuning assimilates observations of the validation truth into the validation backgrounds by 3D-Var, for each factor of
the standard deviations (σ) and of the correlation lengths (ℓ) on a small grid, and takes the pair with the least

    mean over channels of  ⟨(x_a − x)²⟩ / ⟨(x_b − x)²⟩      (area means over cases)

The observations are soundings at random places with the default errors: the choice serves no particular network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.errors_b.background_error import BackgroundError, control_channels
from phyda_cli.errors_b.fit import fit_background_error
from phyda_cli.grids.harmonics import largest_truncation
from phyda_cli.grids.places import even_places
from phyda_cli.methods.base import Departures
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.observations.errors import ErrorTable
from phyda_cli.operators.operator import Operator
from phyda_cli.preparation.store import TrainingStore

LEADS = (6, 12, 24, 36, 48)
"""Leads of the errors that are fitted [h]: a short forecast, with enough of them."""
TUNING_LEAD = 24
"""Lead of the backgrounds that the tuning assimilates into [h]."""
SIGMA_FACTORS = (0.6, 0.75, 0.9, 1.05, 1.25)
LENGTH_FACTORS = (0.8, 1.0, 1.25)


@dataclass(frozen=True)
class Tuned:
    """statistics: with the factors applied. table: (σ factor, ℓ factor) → score, the mean ratio of squared errors."""

    statistics: BackgroundError
    sigma_factor: float
    length_factor: float
    table: dict[tuple[float, float], float]


def fit_store(store: TrainingStore, *, leads: tuple[int, ...] = LEADS) -> tuple[BackgroundError, int]:
    """Return the statistics of the training part's errors, at the largest truncation of the grid, and the number of
    errors.

    Raises BadDataError when the store has no pairs at these leads in its training part.
    """

    channels = control_channels(store.channels)
    order = [store.channels.index(channel) for channel in channels]

    def errors() -> Iterator[torch.Tensor]:
        for pairs in store.pairs("train", leads):
            yield torch.from_numpy((pairs.background.astype(np.float64) - pairs.truth)[:, order])

    count = store.pair_index("train", leads).size
    if count == 0:
        raise BadDataError(f"{store.path}: no training pairs at leads {leads} h to estimate the background error from")
    truncation = largest_truncation(store.grid)
    return fit_background_error(errors, grid=store.grid, channels=channels, truncation=truncation), int(count)


def tune(
    statistics: BackgroundError,
    store: TrainingStore,
    table: ErrorTable,
    *,
    cases: int = 24,
    soundings: int = 150,
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> Tuned:
    """Choose the factors of σ and ℓ on validation cases (evenly spread in time), each with `soundings` soundings.

    Raises BadDataError when the validation part has no pair at the tuning lead.
    """
    index = store.pair_index("validation", (TUNING_LEAD,))
    if index.size == 0:
        raise BadDataError(f"{store.path}: no validation pairs at lead {TUNING_LEAD} h to tune the background error on")
    chosen = index[np.unique(np.linspace(0, index.size - 1, min(cases, index.size)).round().astype(int))]
    pairs = store.read_pairs(chosen)
    order = [store.channels.index(channel) for channel in statistics.channels]
    error = torch.from_numpy((pairs.background.astype(np.float64) - pairs.truth)[:, order])
    generator = np.random.default_rng(seed)
    departures = [_soundings(statistics, table, case, soundings, generator) for case in -error]
    weights = torch.as_tensor(store.grid.area_weights)[:, None]

    def mean_square(x: torch.Tensor) -> torch.Tensor:
        """(channel,) area mean over all cases."""
        return (x.square() * weights).sum(-2).mean((0, -1))

    before = mean_square(error)
    scores: dict[tuple[float, float], float] = {}
    for length in LENGTH_FACTORS:
        stretched = statistics.stretched(length)
        for sigma in SIGMA_FACTORS:
            method = ThreeDVar(stretched.scaled(sigma), dtype=torch.float32, tolerance=1e-2)
            after = mean_square(error + method.minimise(departures)[0].double())
            scores[sigma, length] = float((after / before).mean())
            progress(f"tuning: sigma x {sigma:g}, length x {length:g}: mean square ratio {scores[sigma, length]:.4f}")
    sigma, length = min(scores, key=lambda key: scores[key])
    return Tuned(statistics.stretched(length).scaled(sigma), sigma, length, scores)


def _soundings(
    layout: BackgroundError, table: ErrorTable, innovation: torch.Tensor, count: int, generator: np.random.Generator
) -> Departures:
    """Return departures y − H(x_b) of soundings at random places: every level of every variable, noise from the table.

    innovation: x − x_b (channel, lat, lon), of which H gives the noise-free departures.
    """
    lat, lon = even_places(generator, count)
    names = np.array([channel.variable for channel in layout.channels], dtype=object)
    levels = np.array([np.nan if channel.level is None else channel.level for channel in layout.channels])
    variable, pressure = np.tile(names, count), np.tile(levels, count)
    latitude, longitude = np.repeat(lat, names.size), np.repeat(lon, names.size)
    operator = Operator.at(variable, latitude, longitude, pressure)
    rows = operator.increments(layout.grid, layout.channels)
    sigma = table.sigma(variable, pressure)
    departure = rows(innovation).numpy() + sigma * generator.standard_normal(sigma.size)
    return Departures(operator, departure, sigma)
