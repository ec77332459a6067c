"""The cases of an experiment: background, truth and simulated observations, the same for every method.

    d = H(x_t − x_b) + σ_o ε,    σ_o from the error table times `noise`,    ε ~ N(0, 1)
    s = the known growth of the background error at the case's lead, relative to the nominal σ_b

Observations are single values at places even on the sphere (`uniform_network`). Those of a pair and a density are drawn
from the generator of [seed, pair, density in units of 1e-4 %]: they do not depend on the methods, on the other cases or
on the order of the work. The withheld network of a pair is the same at every density.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors import UsageError
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.experiments.settings import Settings
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.methods.base import Case, Departures
from phyda_cli.observations.errors import ErrorTable, default_error_table
from phyda_cli.operators.operator import Operator
from phyda_cli.operators.rows import Rows
from phyda_cli.preparation.store import PairBatch, TrainingStore
from phyda_cli.training.cases import ErrorGrowth
from phyda_cli.training.networks import Network, uniform_network

_WITHHELD, _OBSERVED = 0, 1
_UNITS = 1e4


@dataclass(frozen=True)
class CaseBatch:
    """Some cases at one density. Fields are (case, channel, lat, lon) float32, SI.

    pairs: their numbers in the store. density: in %. error: x_t − x_b, the increment that would be perfect.
    sigma: σ_b at the case's lead (case, channel, lat, 1). scale: s (case,). valid_time: hours since 1970-01-01 00 UTC.
    departures: what the methods see. operators: the rows of these. withheld: rows of places that they do not see.
    withheld_channel: of each of these places, its number among the channels.
    """

    channels: tuple[Channel, ...]
    grid: LatLonGrid
    pairs: tuple[int, ...]
    density: float
    background: torch.Tensor
    error: torch.Tensor
    sigma: torch.Tensor
    scale: torch.Tensor
    lead_hours: NDArray[np.int64]
    valid_time: NDArray[np.int64]
    departures: tuple[Departures, ...]
    operators: tuple[Rows, ...]
    withheld: tuple[Rows, ...]
    withheld_channel: tuple[NDArray[np.int64], ...]

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def times(self) -> NDArray[np.datetime64]:
        """(case,) valid times."""
        return self.valid_time.astype("datetime64[h]")

    def cases(self) -> list[Case]:
        """Return the cases as methods get them; the pair's number is the seed's."""
        return [
            Case(
                State(self.background[row], self.channels, self.grid, self.times[row]),
                self.departures[row],
                ErrorScale.uniform(float(self.scale[row])),
                self.pairs[row],
            )
            for row in range(len(self))
        ]


class CaseDrawer:
    """Draws the cases of an experiment on one store."""

    def __init__(self, store: TrainingStore, settings: Settings, table: ErrorTable | None = None) -> None:
        self.store, self.settings = store, settings
        self._table = table or default_error_table()
        self._growth = ErrorGrowth.of(store).by_lead
        self._sigma = {lead: torch.from_numpy(store.sigma_b(lead)).float() for lead in store.leads}
        self._observed_channels = _numbers(settings.only, store)
        self._place = {(c.variable, -1.0 if c.level is None else c.level): i for i, c in enumerate(store.channels)}

    def read(self, pairs: NDArray[np.int64]) -> PairBatch:
        """Return the pairs of these numbers."""
        return self.store.read_pairs(pairs)

    def draw(self, pairs: NDArray[np.int64], held: PairBatch, density: float) -> CaseBatch:
        """Return the cases of pairs that `read` gave, at a density [%]."""
        error = torch.from_numpy(held.truth) - torch.from_numpy(held.background)
        departures, operators, withheld, channels = [], [], [], []
        for number, wanted in zip(pairs.tolist(), error, strict=True):
            case, operator = self._observed(number, density, wanted)
            departures.append(case)
            operators.append(operator)
            network = self._network([self.settings.seed, number, _WITHHELD], self.settings.withheld, None)[0]
            withheld.append(self._rows(_operator(network)))
            levels = np.nan_to_num(network.pressure, nan=-1.0)
            keys = zip(network.variable.tolist(), levels.tolist(), strict=True)
            channels.append(np.array([self._place[key] for key in keys], dtype=np.int64))
        return CaseBatch(
            self.store.channels,
            self.store.grid,
            tuple(pairs.tolist()),
            density,
            torch.from_numpy(held.background),
            error,
            torch.stack([self._sigma[lead] for lead in held.lead_hours.tolist()])[..., None],
            torch.tensor([self._growth[lead] for lead in held.lead_hours.tolist()]),
            held.lead_hours,
            held.valid_time,
            tuple(departures),
            tuple(operators),
            tuple(withheld),
            tuple(channels),
        )

    def _observed(self, number: int, density: float, wanted: torch.Tensor) -> tuple[Departures, Rows]:
        """Return the departures of one case, in an order of their own, and their rows."""
        seed = [self.settings.seed, number, _OBSERVED, round(density * _UNITS)]
        network, generator = self._network(seed, density, self._observed_channels)
        operator = _operator(network)
        clean = self._rows(operator)(wanted.double()).numpy()
        departure = clean + network.error * generator.standard_normal(len(network))
        ordered = Departures(operator, departure, network.error).canonical()
        return ordered, self._rows(ordered.operator)

    def _network(
        self, seed: list[int], density: float, observed: tuple[int, ...] | None
    ) -> tuple[Network, np.random.Generator]:
        generator = np.random.default_rng(seed)
        network = uniform_network(
            generator,
            density / 100.0,
            grid=self.store.grid,
            channels=self.store.channels,
            table=self._table,
            noise=self.settings.noise,
            observed=observed,
        )
        return network, generator

    def _rows(self, operator: Operator) -> Rows:
        return operator.increments(self.store.grid, self.store.channels)


def _operator(network: Network) -> Operator:
    return Operator.at(network.variable, network.latitude, network.longitude, network.pressure)


def _numbers(names: tuple[str, ...], store: TrainingStore) -> tuple[int, ...] | None:
    """Return the numbers of the channels of these names; None for no names. Raises UsageError for one that is not
    there.
    """
    known = [str(channel) for channel in store.channels]
    for name in names:
        if name not in known:
            raise UsageError(f"--only {name}: the store has no such channel; there are {', '.join(known)}")
    return tuple(known.index(name) for name in names) or None
