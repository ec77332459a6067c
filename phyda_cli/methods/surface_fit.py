"""The background error near the ground that the departures show: its size, its length, and how large σ_o is beside it.

    maximise over L and ε̄   Σ_i log N(d_i; d̂_i(L, ε̄), s² v_i(L, ε̄)),     s² = mean (d_i − d̂_i)²/v_i within 4 s

d̂_i and s² v_i are what the neighbours of an observation say of it (`left_out.py`): the error with which a sample of
observations is predicted by all others chooses L and ε̄, the mean ratio of the variances, and its own size is σ_b. So
the spread of the analysis is by construction that of the errors at stations that it has not seen. Departures farther
than five robust standard deviations from zero take no part. With few departures the usual values stay, and σ_b alone is
brought to their median (`methods/scale.py`), if there are enough for that.

Source: Hollingsworth and Lönnberg (1986), who take the error covariances from the departures; the choice by prediction
is cross-validation as of Wahba and Wendelberger (1980), here by the likelihood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors_b.surface_structure import GroundPlaces, Structure
from phyda_cli.methods.block_interpolation import SMALLEST_RATIO, GroundData
from phyda_cli.methods.left_out import nearest, of_last
from phyda_cli.methods.scale import CHI_SQUARE_MEDIAN, SMALLEST_SAMPLE, Innovations, consistent_scale

Floats = NDArray[np.float64]

LENGTHS: Final = (50e3, 100e3, 200e3, 400e3, 800e3, 1600e3)
"""L that are tried [m]: from what a fine model leaves to the size of the weather, which a climatology leaves."""
RATIOS: Final = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""ε̄ that are tried."""
ENOUGH: Final = 200
"""Fewest departures of a variable for which L and ε̄ are looked for."""
_SAMPLE: Final = 600
"""Most observations that are predicted."""
_GROSS: Final = 5.0
_LIMIT: Final = 4.0
_ROUNDS: Final = 10


@dataclass(frozen=True)
class GroundError:
    """sigma: σ_b. structure: of its correlation. factor: on σ_o, with which ε_i = (factor σ_o,i / σ_b)².

    departure: robust standard deviation of departures, 0 where it is not known; for checks against gross errors.
    """

    sigma: float
    structure: Structure
    factor: float = 1.0
    departure: float = 0.0

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
    best: tuple[float, GroundError] | None = None
    tries = [_Predictions.of(sample) for sample in held]
    error = float(np.sqrt(np.median(np.concatenate([sample.error for sample in held]) ** 2)))
    for length in LENGTHS:
        structure = replace(usual.structure, length=length)
        by_ratio = zip(*(one.of_ratios(structure, error) for one in tries), strict=True)
        for ratio, found in zip(RATIOS, by_ratio, strict=True):
            square = np.concatenate([residual**2 / variance for residual, variance in found])
            size = _size(square)
            variance = size**2 * np.concatenate([one for _, one in found])
            cost = float(np.mean(np.log(variance) + np.minimum(square / size**2, _GROSS**2)))
            if size > 0 and (best is None or cost < best[0]):
                factor = float(np.sqrt(ratio)) * size / error
                best = cost, replace(usual, sigma=size, structure=structure, factor=factor)
    return usual if best is None else best[1]


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
    """A sample of observations with those around them."""

    sample: Sample
    rows: torch.Tensor
    neighbours: torch.Tensor

    @classmethod
    def of(cls, sample: Sample) -> _Predictions:
        n = len(sample.departure)
        rows = torch.from_numpy(np.unique(np.linspace(0, n - 1, min(n, _SAMPLE)).astype(np.int64)))
        data = GroundData(sample.places, torch.zeros(n).double(), torch.ones(n).double())
        return cls(sample, rows, nearest(data, rows))

    def of_ratios(self, structure: Structure, error: float) -> list[tuple[Floats, Floats]]:
        """Residuals and their variances in units of s², for each of `RATIOS`. error: σ_o whose ε is the ratio."""
        together = torch.cat([self.neighbours, self.rows[:, None]], dim=1)
        places = self.sample.places.take(together)
        matrix = structure.correlation(places, places)
        part = torch.from_numpy((self.sample.error / error) ** 2)[together]
        departure, found = torch.from_numpy(self.sample.departure)[together], []
        for ratio in RATIOS:
            matrix.diagonal(dim1=-2, dim2=-1).copy_(1.0 + (ratio * part).clamp_min(SMALLEST_RATIO))
            residual, variance = of_last(matrix, departure)
            found.append((residual.numpy(), variance.numpy()))
        return found
