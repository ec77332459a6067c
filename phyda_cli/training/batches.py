"""What one training step sees: a pure function of (seed, step), so that a resumed run sees what it would have seen.

Epoch e visits the cases in the order of the generator of [seed, e]; step k takes the k-th `size` of them. Every case is
turned about the axis of the earth by a number of columns drawn at random, with all its static fields. Signs of
departures and increments are drawn at random, the background is unchanged: what a case teaches about the sign is the
forecast model's own error. Half of the cases are mirrored at the equator: rows are reversed, northward winds change
their sign and the season is half a year later, under which the equations of motion are unchanged. `signed` keeps signs
and hemispheres, for who trains on one forecast model and wants its systematic errors learned. Some cases have channels
of the background missing, as a user's file may.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch

from phyda_cli.fields.variables import VARIABLES
from phyda_cli.methods.phyda import ANOMALY_LIMIT
from phyda_cli.networks.gridded import GriddedObservations
from phyda_cli.networks.phyda import Base
from phyda_cli.networks.statistics import Statistics
from phyda_cli.training.case_files import AnyCases

_CASES_WITH_GAPS: Final = 0.3
_GAPS: Final = 0.4
"""Share of the cases that lack channels of the background, and of the channels that these lack."""


_SEASON: Final = slice(2, 4)
"""cos τ and sin τ among the static channels."""
_MAPS: Final = slice(4, None)
"""The static channels that depend on the place."""


@dataclass(frozen=True)
class Batch:
    """Fields (batch, C, H, W) of float32 in units of s σ_b; see `Cases`. static: (batch, 8, H, W).

    state: x_b [SI], whole. sigma: s σ_b [SI] (batch, C, H, 1). base: for the autoencoder. progress: share of the steps
    done.
    normal draws for the whole step's batch, of which these are the rows `first` and on.
    """

    increment: torch.Tensor
    first_guess: torch.Tensor
    background: torch.Tensor
    static: torch.Tensor
    observations: GriddedObservations
    density: torch.Tensor
    state: torch.Tensor
    sigma: torch.Tensor
    base: Base
    progress: float
    generator: torch.Generator
    first: int
    total: int

    def normal(self, *shape: int) -> torch.Tensor:
        """(batch, *shape) of N(0, 1), the same numbers for a case however many processes share the step."""
        drawn = torch.randn(self.total, *shape, generator=self.generator)
        return drawn[self.first : self.first + self.increment.shape[0]]


def training_batch(
    cases: AnyCases,
    statistics: Statistics,
    *,
    size: int,
    step: int,
    steps: int,
    seed: int,
    signed: bool = False,
    rank: int = 0,
    world: int = 1,
) -> Batch:
    """Return the batch of a step (from 0) of `steps`, or process `rank`'s share of it; `world` divides `size`."""
    order: list[int] = []
    position = step * size
    while len(order) < size:
        epoch, start = divmod(position + len(order), len(cases))
        shuffled = np.random.default_rng([seed, epoch]).permutation(len(cases))
        order += shuffled[start : start + size - len(order)].tolist()
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, step, 1]).generate_state(1)[0]))
    sign = torch.randint(0, 2, (size, 1, 1, 1), generator=generator).float() * 2 - 1
    mirror = torch.rand(size, generator=generator) < 0.5
    if signed:
        sign, mirror = torch.ones_like(sign), torch.zeros_like(mirror)
    columns = torch.randint(0, statistics.grid.shape[1], (size,), generator=generator)
    gaps = torch.rand(size, 1, 1, 1, generator=generator) < _CASES_WITH_GAPS
    kept = ~(gaps & (torch.rand(size, len(statistics.channels), 1, 1, generator=generator) < _GAPS))
    own = slice(rank * size // world, (rank + 1) * size // world)
    batch = fixed_batch(
        cases, statistics, order[own], generator=generator, progress=step / steps, first=own.start, total=size
    )
    batch = turned(mirrored(batch, statistics, mirror[own]), columns[own])
    return replace(
        batch,
        increment=batch.increment * sign[own],
        first_guess=batch.first_guess * sign[own],
        background=batch.background * kept[own],
        observations=replace(batch.observations, signal=batch.observations.signal * sign[own]),
    )


def fixed_batch(
    cases: AnyCases,
    statistics: Statistics,
    chosen: list[int],
    *,
    generator: torch.Generator,
    progress: float = 1.0,
    first: int = 0,
    total: int | None = None,
) -> Batch:
    """Return the chosen cases as they are."""
    rows = cases.rows(chosen)
    times = rows.hours.numpy().astype("datetime64[h]")
    anomaly = rows.background.float()
    sigma = statistics.sigma_b.float()[None, :, :, None] * rows.scale.float()[:, None, None, None]
    return Batch(
        rows.increment.float(),
        rows.first_guess.float(),
        anomaly.clamp(-ANOMALY_LIMIT, ANOMALY_LIMIT),
        statistics.static(times, dtype=torch.float32),
        rows.observations(),
        rows.density.float(),
        statistics.state(anomaly),
        sigma,
        Base(anomaly, statistics.std.float()[:, :, None] / sigma),
        progress,
        generator,
        first,
        len(chosen) if total is None else total,
    )


def mirrored(batch: Batch, statistics: Statistics, chosen: torch.Tensor) -> Batch:
    """Return the batch with the cases chosen (batch,) reflected at the equator; the grid's rows must be symmetric."""
    where = chosen[:, None, None, None]
    signs = [-1.0 if VARIABLES[channel.variable].is_northward else 1.0 for channel in statistics.channels]
    north = torch.tensor(signs)[:, None, None]

    def turn(x: torch.Tensor, sign: torch.Tensor | float) -> torch.Tensor:
        return torch.where(where, x.flip(-2) * sign, x)

    static = batch.static.clone()
    static[:, _SEASON] = torch.where(where, -static[:, _SEASON], static[:, _SEASON])
    static[:, _MAPS] = turn(static[:, _MAPS], 1.0)
    seen = batch.observations
    names = ("increment", "first_guess", "background", "state")
    fields: dict[str, Any] = {name: turn(getattr(batch, name), north) for name in names}
    return replace(
        batch,
        **fields,
        static=static,
        observations=GriddedObservations(turn(seen.signal, north), turn(seen.noise, 1.0), turn(seen.density, 1.0)),
        sigma=turn(batch.sigma, 1.0),
        base=Base(turn(batch.base.anomaly, north), turn(batch.base.ratio, 1.0)),
    )


def turned(batch: Batch, columns: torch.Tensor) -> Batch:
    """Return the batch with each case moved eastward by its number of columns (batch,), its static fields too."""

    def move(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([one.roll(shift, -1) for one, shift in zip(x, columns.tolist(), strict=True)])

    seen = batch.observations
    names = ("increment", "first_guess", "background", "state", "static")
    fields: dict[str, Any] = {name: move(getattr(batch, name)) for name in names}
    return replace(
        batch,
        **fields,
        observations=GriddedObservations(move(seen.signal), move(seen.noise), move(seen.density)),
        base=batch.base._replace(anomaly=move(batch.base.anomaly)),
    )


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with its fields on a device."""
    if device.type == "cpu":
        return batch
    names = ("increment", "first_guess", "background", "static", "density", "state", "sigma")
    base = Base(*(x.to(device) for x in batch.base))
    return replace(
        batch,
        observations=batch.observations.to(device),
        base=base,
        **{name: getattr(batch, name).to(device) for name in names},
    )
