"""The background error near the ground that the departures show: its size, its lengths, and how large σ_o is beside it.

    maximise over L, ℓ, α and ε̄   Σ_i log N(d_i; d̂_i, s² v_i),     s² = mean (d_i − d̂_i)²/v_i within 4 s

d̂_i and s² v_i are what the neighbours of an observation say of it (`left_out.py`): the error with which a sample of
observations is predicted by all others chooses the lengths of the weather and of the detail, the part of the detail and
ε̄, the mean ratio of the variances, one after the other until none moves. The error's own size is σ_b, and how large it
is here and there follows (`errors_b/local_size.py`). So the spread of the analysis is by construction that of the
errors at stations that it has not seen. Departures farther than five robust standard deviations from zero take no part.
With few departures the usual values stay, and σ_b alone is brought to their median (`methods/scale.py`), if there are
enough for that.

Source: Hollingsworth and Lönnberg (1986), who take the error covariances from the departures; the choice by prediction
is cross-validation as of Wahba and Wendelberger (1980), here by the likelihood.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors_b.local_size import LocalSize
from phyda_cli.errors_b.surface_structure import Detail, GroundPlaces, Separation, Structure
from phyda_cli.methods.block_interpolation import GroundData
from phyda_cli.methods.left_out import left_out, nearest, separations
from phyda_cli.methods.scale import CHI_SQUARE_MEDIAN, SMALLEST_SAMPLE, Innovations, consistent_scale

Floats = NDArray[np.float64]

LENGTHS: Final = (50e3, 100e3, 200e3, 400e3, 800e3, 1600e3)
"""L that are tried [m]: from what a fine model leaves to the size of the weather, which a climatology leaves."""
DETAIL_LENGTHS: Final = (25e3, 50e3, 100e3, 200e3)
"""ℓ that are tried [m]."""
PARTS: Final = (0.0, 0.05, 0.1, 0.2, 0.4)
"""α that are tried."""
RATIOS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""ε̄ that are tried."""
ENOUGH: Final = 200
"""Fewest departures of a variable for which L and ε̄ are looked for."""
_SAMPLE: Final = 600
"""About how many observations are predicted for every try."""
_SIZED: Final = 3000
"""About how many are predicted in the end, for the size here and there."""
_GROSS: Final = 5.0
_LIMIT: Final = 4.0
_ROUNDS: Final = 10


@dataclass(frozen=True)
class GroundError:
    """sigma: σ_b. structure: of its correlation. factor: on σ_o, with which ε_i = (factor σ_o,i / σ_b)².

    departure: robust standard deviation of departures, 0 where it is not known; for checks against gross errors.
    local: of s here and there, None for 1.
    """

    sigma: float
    structure: Structure
    factor: float = 1.0
    departure: float = 0.0
    local: LocalSize | None = None

    def size(self, latitude: Floats, longitude: Floats) -> Floats:
        """s (n,) at places [degree]."""
        return np.ones(latitude.size) if self.local is None else self.local.at(latitude, longitude)

    def data(self, places: GroundPlaces, departure: Floats, error: Floats) -> GroundData:
        """Return departures and σ_o (n,) in units of σ_b."""
        ratio = (self.factor * error / self.sigma) ** 2
        return GroundData(places, torch.from_numpy(departure / self.sigma), torch.from_numpy(ratio))


@dataclass(frozen=True)
class Sample:
    """Departures of one variable. places, departure (n,), error: σ_o (n,)."""

    places: GroundPlaces
    departure: Floats
    error: Floats

    def fits(self, other: Sample) -> bool:
        """Return whether another one has the same places and errors, in the same order."""
        pairs = ((self.places.position, other.places.position), (self.places.height, other.places.height))
        alike = all(torch.equal(*pair) for pair in (*pairs, (self.places.land, other.places.land)))
        return alike and np.array_equal(self.error, other.error)

    def usual(self) -> Sample:
        """Return those without what is too far from the rest."""
        kept = np.flatnonzero(np.abs(self.departure) <= _GROSS * _robust(self.departure))
        return Sample(self.places.take(torch.from_numpy(kept)), self.departure[kept], self.error[kept])


def fitted(usual: GroundError, samples: Sequence[Sample]) -> GroundError:
    """Return the background error of variables that share one, such as the components of the wind."""
    usual = replace(usual, departure=_robust(np.concatenate([sample.departure for sample in samples])))
    held = [sample.usual() for sample in samples]
    if min(len(sample.departure) for sample in held) < ENOUGH:
        return _rescaled(usual, held)
    error = float(np.sqrt(np.median(np.concatenate([sample.error for sample in held]) ** 2)))
    tries = [_Predictions.among(sample, _SAMPLE // len(held)).measured() for sample in held]
    found = _best(_Choice.of(usual.structure), lambda choice: _tried(tries, choice, usual.structure, error))
    if found.size == 0:
        return usual
    choice, size = found.choice, found.size
    structure, factor = choice.structure(usual.structure), float(np.sqrt(choice.ratio)) * size / error
    every = [_Predictions.among(sample, _SIZED // len(held)) for sample in held]
    square = [residual**2 / variance / size**2 for residual, variance in _predicted(every, choice, structure, error)]
    position = [one.sample.places.position[one.rows].numpy() for one in every]
    local = LocalSize(np.concatenate(position), np.concatenate(square))
    return replace(usual, sigma=size, structure=structure, factor=factor, local=local)


class _Choice(NamedTuple):
    """L, ℓ, α, ε̄."""

    length: float
    detail: float
    part: float
    ratio: float

    @classmethod
    def of(cls, usual: Structure) -> _Choice:
        """Where the search begins."""
        detail = usual.detail or _NO_DETAIL
        return cls(LENGTHS[3], detail.length, detail.part, RATIOS[2])

    def structure(self, usual: Structure) -> Structure:
        """Return the structure, heights and land as usual."""
        detail = replace(usual.detail or _NO_DETAIL, part=self.part, length=self.detail)
        return replace(usual, length=self.length, detail=detail)


class _Found(NamedTuple):
    """The cost of a choice and its s, 0 where departures are all alike."""

    choice: _Choice
    cost: float
    size: float


_NO_DETAIL: Final = Detail(0.0, DETAIL_LENGTHS[0])
_TRIED: Final = {"length": LENGTHS, "ratio": RATIOS, "part": PARTS, "detail": DETAIL_LENGTHS}


def _best(first: _Choice, tried: Callable[[_Choice], _Found]) -> _Found:
    """Return the choice of least cost that changes of one value at a time lead to."""
    best, before, known = tried(first), None, {first}
    while best.choice != before:
        before = best.choice
        for name, values in _TRIED.items():
            if name == "detail" and best.choice.part == 0:
                continue
            for value in values:
                other = best.choice._replace(**{name: value})
                if other not in known and (other.part == 0 or other.detail < other.length):
                    known.add(other)  # what was tried before was no better than the best then
                    best = min(best, tried(other), key=lambda found: found.cost)
    return best


def _tried(tries: Sequence[_Predictions], choice: _Choice, usual: Structure, error: float) -> _Found:
    found = _predicted(tries, choice, choice.structure(usual), error)
    square = np.concatenate([residual**2 / variance for residual, variance in found])
    size = _size(square)
    if size == 0:
        return _Found(choice, np.inf, 0.0)
    variance = size**2 * np.concatenate([one for _, one in found])
    return _Found(choice, float(np.mean(np.log(variance) + np.minimum(square / size**2, _GROSS**2))), size)


def _predicted(
    tries: Sequence[_Predictions], choice: _Choice, structure: Structure, error: float
) -> list[tuple[Floats, Floats]]:
    return [one.of(structure, choice.ratio / error**2) for one in tries]


def _size(square: Floats) -> float:
    """s of squares that have mean s², but for those beyond 4 s, which the test of consistency rejects."""
    size = float(np.sqrt(np.median(square) / CHI_SQUARE_MEDIAN))
    for _ in range(_ROUNDS if size > 0 else 0):
        size = float(np.sqrt(np.mean(square[square <= (_LIMIT * size) ** 2])))
    return size


def _robust(departure: Floats) -> float:
    return float(np.sqrt(np.median(departure**2) / CHI_SQUARE_MEDIAN)) if departure.size else 0.0


def _rescaled(usual: GroundError, samples: Sequence[Sample]) -> GroundError:
    departure, error = (
        np.concatenate([getattr(sample, name) for sample in samples]) for name in ("departure", "error")
    )
    if departure.size < SMALLEST_SAMPLE:
        return usual
    variable = np.full(departure.size, "", dtype=object)
    scale = consistent_scale(
        Innovations(variable, departure, error, lambda s: np.full(departure.size, s * usual.sigma))
    )
    return replace(usual, sigma=scale * usual.sigma)


@dataclass(frozen=True)
class _Predictions:
    """A sample of observations with those around them. apart: these from each other, where it is known."""

    sample: Sample
    rows: torch.Tensor
    neighbours: torch.Tensor
    apart: Sequence[Separation] | None = None

    @classmethod
    def among(cls, sample: Sample, count: int) -> _Predictions:
        """Return the predictions of about so many of a sample, evenly taken from it."""
        n = len(sample.departure)
        rows = torch.from_numpy(np.unique(np.linspace(0, n - 1, min(n, count)).astype(np.int64)))
        data = GroundData(sample.places, torch.zeros(n).double(), torch.ones(n).double())
        return cls(sample, rows, nearest(data, rows))

    def measured(self) -> _Predictions:
        """Return the same for many structures: what is far from what is computed once."""
        return replace(self, apart=separations(self.sample.places, self.rows, self.neighbours))

    def of(self, structure: Structure, scale: float) -> tuple[Floats, Floats]:
        """Residuals and their variances in units of s². scale: of σ_o² in these."""
        data = GroundData(
            self.sample.places,
            torch.from_numpy(self.sample.departure),
            torch.from_numpy(scale * self.sample.error**2),
        )
        return left_out(data, structure, self.rows, self.neighbours, self.apart)
