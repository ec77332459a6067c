"""What one training step sees: a pure function of (seed, step), so that a resumed run sees what it would have seen.

Epoch e visits the cases in the order of the generator of [seed, e]; step k takes the k-th `size` of them. Every case is
turned about the axis of the earth by a number of columns drawn at random, with all its static fields. Signs of
departures and increments are drawn at random, the background is unchanged: what a case teaches about the sign is the
forecast model's own error. Half of the cases are mirrored at the equator: rows are reversed, northward winds change
their sign and the season is half a year later, under which the equations of motion are unchanged. `signed` keeps signs
and hemispheres, for who trains on one forecast model and wants its systematic errors learned. Some cases have channels
of the background missing, as a user's file may.

A step is made in two halves: `draw` reads the cases as they are stored and draws what is random, on the host, where
workers may do it ahead of time; `assembled` makes dense fields of that, on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, Self

import numpy as np
import torch

from phyda_cli.fields.state import Channel
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.methods.model_space import ANOMALY_LIMIT
from phyda_cli.networks.gridded import GriddedObservations
from phyda_cli.networks.phyda import Base
from phyda_cli.networks.statistics import Statistics
from phyda_cli.training.case_files import AnyCases
from phyda_cli.training.case_rows import Cases
from phyda_cli.training.made_cases import FreshCases

_CASES_WITH_GAPS: Final = 0.3
_GAPS: Final = 0.4
"""Share of the cases that lack channels of the background, and of the channels that these lack."""


_SEASON: Final = slice(2, 4)
"""cos τ and sin τ among the static channels."""
_MAPS: Final = slice(4, None)
"""The static channels that depend on the place."""

Shapes = Sequence[tuple[int, ...]]
"""Of the noise that a stage needs of each case."""


@dataclass(frozen=True)
class Batch:
    """Fields (batch, C, H, W) of float32 in units of s σ_b; see `Cases`. static: (batch, 8, H, W).

    state: x_b [SI], whole. sigma: s σ_b [SI] (batch, C, H, 1). base: for the autoencoder. progress: share of the steps
    done. noise: of N(0, 1), (batch, *shape) for each shape that was asked for; one number a case stays on the host.
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
    noise: tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Drawn:
    """What the host gives of a step or of a process's share of it.

    rows: the cases as stored. sign (batch,): of errors. mirror, columns: whether each is reflected at the equator, and
    how far it is turned. kept (batch, C): which channels of the background are there. times: valid times.
    """

    rows: Cases
    sign: torch.Tensor
    mirror: tuple[bool, ...]
    columns: tuple[int, ...]
    kept: torch.Tensor
    times: np.ndarray
    progress: float
    noise: tuple[torch.Tensor, ...]

    def pin_memory(self) -> Self:
        """Return the same in memory that a device copies from by itself."""
        return self._moved(torch.Tensor.pin_memory)

    def to(self, device: torch.device) -> Self:
        """Return the same with its fields on a device, without waiting for them."""
        if device.type == "cpu":
            return self
        return self._moved(lambda x: x.to(device, non_blocking=True))

    def _moved(self, move: Callable[[torch.Tensor], torch.Tensor]) -> Self:
        rows = Cases(**{field.name: move(getattr(self.rows, field.name)) for field in fields(Cases)})
        noise = tuple(x if x.dim() == 1 else move(x) for x in self.noise)
        return replace(self, rows=rows, sign=move(self.sign), kept=move(self.kept), noise=noise)


def draw(
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
    noise: Shapes = (),
) -> Drawn:
    """Draw a step (from 0) of `steps`, or process `rank`'s share of it; `world` divides `size`."""
    order: list[int] = []
    position = step * size
    while len(order) < size:
        epoch, start = divmod(position + len(order), len(cases))
        shuffled = np.random.default_rng([seed, epoch]).permutation(len(cases))
        order += shuffled[start : start + size - len(order)].tolist()
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, step, 1]).generate_state(1)[0]))
    sign = torch.randint(0, 2, (size,), generator=generator).float() * 2 - 1
    mirror = torch.rand(size, generator=generator) < 0.5
    if signed:
        sign, mirror = torch.ones_like(sign), torch.zeros_like(mirror)
    columns = torch.randint(0, statistics.grid.shape[1], (size,), generator=generator)
    gaps = torch.rand(size, 1, generator=generator) < _CASES_WITH_GAPS
    kept = ~(gaps & (torch.rand(size, len(statistics.channels), generator=generator) < _GAPS))
    own = slice(rank * size // world, (rank + 1) * size // world)
    numbers = range(position, position + size)[own]
    rows = cases.made(order[own], numbers) if isinstance(cases, FreshCases) else cases.rows(order[own])
    return Drawn(
        rows, sign[own], tuple(mirror[own].tolist()), tuple(columns[own].tolist()), kept[own], _times(rows),
        step / steps, _noise(noise, generator, size, own),
    )  # fmt: skip


def as_they_are(
    cases: AnyCases,
    statistics: Statistics,
    chosen: Sequence[int],
    *,
    noise: Shapes = (),
    generator: torch.Generator | None = None,
    first: int = 0,
    total: int | None = None,
) -> Drawn:
    """Draw the chosen cases, neither turned nor with gaps. They are those from `first` on of `total` with noise."""
    count, rows = len(chosen), cases.rows(chosen)
    kept = torch.ones(count, len(statistics.channels), dtype=torch.bool)
    own = slice(first, first + count)
    return Drawn(
        rows, torch.ones(count), (False,) * count, (0,) * count, kept, _times(rows), 1.0,
        _noise(noise, generator, count if total is None else total, own),
    )  # fmt: skip


def _times(rows: Cases) -> np.ndarray:
    return rows.hours.numpy().astype("datetime64[h]")


def _noise(shapes: Shapes, generator: torch.Generator | None, total: int, own: slice) -> tuple[torch.Tensor, ...]:
    """Draw for all cases of a step: a case has the same numbers however many processes share it."""
    return tuple(torch.randn(total, *shape, generator=generator)[own].clone() for shape in shapes)


def assembled(drawn: Drawn, statistics: Statistics) -> Batch:
    """Return the fields of a step; the statistics on the same device."""
    turn = _Turn(drawn.mirror, drawn.columns, statistics.channels)
    rows = turn.cases(drawn.rows)
    anomaly = rows.background.float()
    sign = drawn.sign[:, None, None, None]
    mean, std = turn.of_rows(statistics.mean, northward=True), turn.of_rows(statistics.std)
    sigma = turn.of_rows(statistics.sigma_b) * rows.scale.float()[:, None, None, None]
    observations = rows.observations()
    return Batch(
        rows.increment.float() * sign,
        rows.first_guess.float() * sign,
        anomaly.clamp(-ANOMALY_LIMIT, ANOMALY_LIMIT) * drawn.kept[:, :, None, None],
        turn.static(statistics.static(drawn.times, dtype=torch.float32, device=anomaly.device)),
        replace(observations, signal=observations.signal * sign),
        rows.density.float(),
        mean + anomaly * std,
        sigma,
        Base(anomaly, std / sigma),
        drawn.progress,
        drawn.noise,
    )


@dataclass(frozen=True)
class _Turn:
    """Each case reflected at the equator or not, then moved eastward by its number of columns.

    The rows of the grid must be symmetric.
    """

    mirror: tuple[bool, ...]
    columns: tuple[int, ...]
    channels: tuple[Channel, ...]

    @property
    def _signs(self) -> list[float]:
        return [-1.0 if VARIABLES[channel.variable].is_northward else 1.0 for channel in self.channels]

    def cases(self, rows: Cases) -> Cases:
        """Return cases, whose observations are moved as points."""
        if not any(self.mirror) and not any(self.columns):
            return rows
        height, width = rows.increment.shape[-2:]
        device = rows.increment.device
        signs = torch.tensor(self._signs, device=device)
        place, counts = rows.place.long(), rows.offset.diff()

        def of_points(values: Sequence[int]) -> torch.Tensor:
            chosen = torch.tensor(values, device=device)
            return torch.repeat_interleave(chosen, counts, output_size=place.numel())

        mirror = of_points([int(flag) for flag in self.mirror]).bool()
        channel, row, column = place // (height * width), place // width % height, place % width
        row = torch.where(mirror, height - 1 - row, row)
        column = (column + of_points(self.columns)) % width
        signal = torch.where(mirror, signs[channel].to(rows.signal) * rows.signal, rows.signal)
        moved = {name: self._fields(getattr(rows, name), signs) for name in ("increment", "first_guess", "background")}
        return replace(rows, **moved, place=(channel * height + row) * width + column, signal=signal)

    def _fields(self, values: torch.Tensor, signs: torch.Tensor) -> torch.Tensor:
        north = signs.to(values)[:, None, None]
        return torch.stack([
            (one.flip(-2) * north if flag else one).roll(shift, -1)
            for one, flag, shift in zip(values, self.mirror, self.columns, strict=True)
        ])  # fmt: skip

    def of_rows(self, values: torch.Tensor, *, northward: bool = False) -> torch.Tensor:
        """Return a statistic (C, H) as (batch, C, H, 1); northward: turn the sign of northward winds with it."""
        values = values.float()
        other = values.flip(-1)
        if northward:
            other = other * torch.tensor(self._signs, device=values.device)[:, None]
        return torch.stack([other if flag else values for flag in self.mirror])[..., None]

    def static(self, fields: torch.Tensor) -> torch.Tensor:
        """Return static fields (batch, 8, H, W), half a year later where they are mirrored."""
        if not any(self.mirror) and not any(self.columns):
            return fields
        moved = []
        for one, flag, shift in zip(fields, self.mirror, self.columns, strict=True):
            maps = one[_MAPS].flip(-2) if flag else one[_MAPS]
            moved.append(torch.cat([one[: _SEASON.start], one[_SEASON] * (-1 if flag else 1), maps.roll(shift, -1)]))
        return torch.stack(moved)
