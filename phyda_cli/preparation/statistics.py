"""Statistics of a training store, in float64 and one pass: climatology, background-error size, mean error.

Everything comes from count, mean and sum of squared deviations at every point, by month or by lead. These of two sets
of dates make those of both (Chan et al. 1983), so that parts of a store are looked at apart, by any number of workers.

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

from dataclasses import dataclass, replace
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


ByKey = dict[int, Moments]
"""Moments by month (0 to 11) or by lead [h]."""


def monthly_moments(hours: Hours, values: Fields) -> ByKey:
    """Return the moments of states (n, …) at times (n,) [hours since 1970], by calendar month."""
    return _by_key(months_of(hours), values)


def lead_moments(leads: Hours, errors: Fields) -> ByKey:
    """Return the moments of errors ε (n, …) at leads (n,) [h], by lead."""
    return _by_key(leads, errors)


def merge_moments(first: ByKey, second: ByKey) -> ByKey:
    """Return the moments of two sets of dates as those of both."""
    result = dict(first)
    for key, moments in second.items():
        result[key] = replace(first[key]) if key in first else Moments.empty(moments.mean.shape)
        result[key].merge(moments)
    return result


def months_of(hours: Hours) -> Hours:
    """Return the calendar months (n,), 0 to 11, of times [hours since 1970]."""
    return np.asarray(hours.astype("datetime64[h]").astype("datetime64[M]").astype(np.int64) % 12)


def _by_key(keys: Hours, values: Fields) -> ByKey:
    result: ByKey = {}
    for key in np.unique(keys).tolist():
        result[key] = Moments.empty(values.shape[1:])
        result[key].add(values[keys == key])
    return result


def climatology(moments: ByKey, hours: Hours, grid: LatLonGrid) -> Climatology:
    """Return the climatology of states (channel, lat, lon) by their monthly moments and their times.

    Raises BadDataError when there are fewer than two.
    """
    if hours.size < 2:
        raise BadDataError(
            f"the training part holds {hours.size} states, not two; a longer run or other splits are needed"
        )
    shape = next(iter(moments.values())).mean.shape
    months = [moments.get(month, Moments.empty(shape)) for month in range(12)]
    total = Moments.empty(shape)
    for month in months:
        total.merge(month)
    mean = _sphere_mean(total.mean, grid)
    variance = _sphere_mean(total.variance + (total.mean - mean[:, None, None]) ** 2, grid)
    days = [np.unique(hours[months_of(hours) == month] // 24).size for month in range(12)]
    unknown = np.full_like(total.mean, np.nan)
    known = [count >= ENOUGH_DAYS for count in days]
    own = months if any(known) else [total] * 12
    shown = known if any(known) else [True] * 12
    monthly_mean = np.stack([m.mean if show else unknown for m, show in zip(own, shown, strict=True)])
    monthly_std = np.stack([np.sqrt(m.variance) if show else unknown for m, show in zip(own, shown, strict=True)])
    return Climatology(mean, np.sqrt(variance), monthly_mean, monthly_std, np.array([m.count for m in months]))


def error_statistics(moments: ByKey) -> ErrorStatistics:
    """Return the statistics of background errors (channel, lat, lon) by their moments at each lead.

    Raises BadDataError when there are none.
    """
    if not moments:
        raise BadDataError("the training part holds no pairs of a background and its truth")
    leads = sorted(moments)
    of_leads = [moments[lead] for lead in leads]
    second = np.stack([(m.variance + m.mean**2).mean(axis=-1) for m in of_leads])
    return ErrorStatistics(
        lead_hours=np.array(leads, dtype=np.int64),
        pairs=np.array([m.count for m in of_leads], dtype=np.int64),
        sigma_b=np.sqrt(smooth_rows(second)),
        bias=np.stack([m.mean for m in of_leads]),
        nominal_lead=min(leads, key=lambda lead: (abs(lead - NOMINAL_LEAD), lead)),
    )


def smooth_rows(x: Floats) -> Floats:
    """Return each row (last axis) and its neighbours weighted ¼, ½, ¼; an outermost row counts itself again."""
    padded = np.concatenate([x[..., :1], x, x[..., -1:]], axis=-1)
    rows = x.shape[-1]
    return np.asarray(sum(w * padded[..., i : i + rows] for i, w in enumerate(_SMOOTHING)))


def _sphere_mean(x: Floats, grid: LatLonGrid) -> Floats:
    return np.asarray(x.mean(axis=-1) @ grid.area_weights)
