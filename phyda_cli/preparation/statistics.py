"""Statistics of a training store, streamed in float64: climatology, background-error size, mean error.

Climatology of channel c, from the states x_t of the training part, with area weights w_j (Σ w = 1):
    mean(c) = ⟨x̄⟩,   std(c)² = ⟨ var_t(x) + (x̄ − mean)² ⟩,   ⟨·⟩ over the sphere, x̄ and var_t over time at a point,
and x̄, √var_t at every point for each calendar month that has states on enough days. Where no month has, that of all
states stands for every month.

Background errors ε = x_b − x of the training part's pairs at one lead:
    bias(c, φ, λ) = mean over pairs of ε,       σ_b(c, φ)² = smooth_φ [ mean over pairs and longitudes of ε² ].
σ_b is the root of the second moment about zero, the mean error included, as an analysis has to correct that too.
smooth_φ weights each row and its neighbours ¼, ½, ¼; an outermost row counts itself again.

The nominal σ_b is the one at the lead nearest to 24 h.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.grids.latlon import LatLonGrid

Floats = NDArray[np.float64]
Fields = NDArray[np.floating[Any]]
Hours = NDArray[np.int64]

NOMINAL_LEAD: Final = 24
"""Lead of a usual short forecast [h]."""

ENOUGH_DAYS: Final = 10
"""Days with a state below which a month has no climatology of its own."""

_SMOOTHING: Final = (0.25, 0.5, 0.25)


@dataclass
class Moments:
    """Count, mean and sum of squared deviations at every point, updated batch by batch (Chan et al. 1983)."""

    count: int
    mean: Floats
    squares: Floats

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> Moments:
        """No samples yet, of fields of this shape."""
        return cls(0, np.zeros(shape), np.zeros(shape))

    def add(self, batch: Fields) -> None:
        """Take in a batch (sample, …)."""
        if batch.shape[0]:
            x = batch.astype(np.float64)
            mean = x.mean(axis=0)
            self.merge(Moments(x.shape[0], mean, ((x - mean) ** 2).sum(axis=0)))

    def merge(self, other: Moments) -> None:
        """Take in the samples behind other moments."""
        total = self.count + other.count
        if total:
            step = other.mean - self.mean
            self.squares = self.squares + other.squares + step**2 * (self.count * other.count / total)
            self.mean = self.mean + step * (other.count / total)
            self.count = total

    @property
    def variance(self) -> Floats:
        """Mean squared deviation at every point (divided by the count)."""
        return self.squares / max(self.count, 1)


class Climatology(NamedTuple):
    """mean, std: (channel,). monthly_mean, monthly_std: (12, channel, lat, lon), NaN where a month has too few days.
    monthly_count: (12,) states of each month. SI."""

    mean: Floats
    std: Floats
    monthly_mean: Floats
    monthly_std: Floats
    monthly_count: Hours


class ErrorStatistics(NamedTuple):
    """lead_hours, pairs: (lead,). sigma_b: (lead, channel, lat). bias: (lead, channel, lat, lon). SI.
    nominal_lead: the lead nearest to 24 h."""

    lead_hours: Hours
    pairs: Hours
    sigma_b: Floats
    bias: Floats
    nominal_lead: int


def climatology(states: Iterable[tuple[Hours, Fields]], grid: LatLonGrid) -> Climatology:
    """Climatology of batches (times in hours since 1970 (n,), states (n, channel, lat, lon)).

    Raises BadDataError when there are fewer than two.
    """
    months: list[Moments] = []
    days: list[set[int]] = [set() for _ in range(12)]
    for hours, values in states:
        months = months or [Moments.empty(values.shape[1:]) for _ in range(12)]
        of_batch = hours.astype("datetime64[h]").astype("datetime64[M]").astype(np.int64) % 12
        for month in np.unique(of_batch):
            months[month].add(values[of_batch == month])
            days[month].update((hours[of_batch == month] // 24).tolist())
    count = sum(month.count for month in months)
    if count < 2:
        raise BadDataError(f"the training part holds {count} states, not two; a longer run or other splits are needed")
    total = Moments.empty(months[0].mean.shape)
    for moments in months:
        total.merge(moments)
    mean = _sphere_mean(total.mean, grid)
    variance = _sphere_mean(total.variance + (total.mean - mean[:, None, None]) ** 2, grid)
    unknown = np.full_like(total.mean, np.nan)
    known = [len(held) >= ENOUGH_DAYS for held in days]
    own = months if any(known) else [total] * 12
    shown = known if any(known) else [True] * 12
    monthly_mean = np.stack([m.mean if show else unknown for m, show in zip(own, shown, strict=True)])
    monthly_std = np.stack([np.sqrt(m.variance) if show else unknown for m, show in zip(own, shown, strict=True)])
    return Climatology(mean, np.sqrt(variance), monthly_mean, monthly_std, np.array([m.count for m in months]))


def error_statistics(errors: Iterable[tuple[Hours, Fields]]) -> ErrorStatistics:
    """Background-error statistics of batches (lead hours (n,), errors ε (n, channel, lat, lon)).

    Raises BadDataError when there are none.
    """
    by_lead: dict[int, Moments] = {}
    for hours, values in errors:
        for lead in np.unique(hours).tolist():
            by_lead.setdefault(lead, Moments.empty(values.shape[1:])).add(values[hours == lead])
    if not by_lead:
        raise BadDataError("the training part holds no pairs of a background and its truth")
    leads = sorted(by_lead)
    moments = [by_lead[lead] for lead in leads]
    second = np.stack([(m.variance + m.mean**2).mean(axis=-1) for m in moments])
    return ErrorStatistics(
        lead_hours=np.array(leads, dtype=np.int64),
        pairs=np.array([m.count for m in moments], dtype=np.int64),
        sigma_b=np.sqrt(smooth_rows(second)),
        bias=np.stack([m.mean for m in moments]),
        nominal_lead=min(leads, key=lambda lead: (abs(lead - NOMINAL_LEAD), lead)),
    )


def smooth_rows(x: Floats) -> Floats:
    """Return each row (last axis) and its neighbours weighted ¼, ½, ¼; an outermost row counts itself again."""
    padded = np.concatenate([x[..., :1], x, x[..., -1:]], axis=-1)
    rows = x.shape[-1]
    return np.asarray(sum(w * padded[..., i : i + rows] for i, w in enumerate(_SMOOTHING)))


def _sphere_mean(x: Floats, grid: LatLonGrid) -> Floats:
    return np.asarray(x.mean(axis=-1) @ grid.area_weights)
