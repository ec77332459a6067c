"""Spectra of analyses against the truth's, and of increments against x_t − x_b: SpecDiv, powers in bands.

    SpecDiv of a date = KL of its own radial spectra (a batch of one date); of members: the mean over the members
    pooled SpecDiv    = KL of the radial spectra averaged over dates and members first

States take most of their small scales from the background, whatever the increment: it is the increment's spectrum that
shows what a method adds or smooths away. The first SpecDiv has a floor: two independent fields of one spectrum differ
by chance in the few modes of a bin (0.1 to 0.2 on 32 × 64 points). The second has not.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.evaluation.spectra import BANDS, PERCENTILE, power_spectrum, radial_spectrum
from phyda_cli.grids.grid import Grid
from phyda_cli.grids.harmonics import largest_truncation

_FLOOR: Final = 1e-9

Bands = tuple[tuple[int, int], ...]


def octaves(truncation: int) -> Bands:
    """The three octaves below the truncation N, the smallest scales last: N/8 < n ≤ N/4, … ≤ N/2, … ≤ N."""
    ends = [truncation // 8, truncation // 4, truncation // 2, truncation]
    return tuple((low + 1, high) for low, high in itertools.pairwise(ends) if high > low)


def bands_of(grid: Grid) -> Bands:
    """All bands that are reported: those of `verification.spectra`, then the octaves."""
    largest = largest_truncation(grid)
    fixed = [(low, largest if high is None else min(high, largest)) for low, high in BANDS if low <= largest]
    return tuple(dict.fromkeys([*fixed, *octaves(largest)]))


@dataclass(frozen=True)
class Spectra:
    """Of one field (channel, …). radial: the bins that SpecDiv keeps. power: (channel, N + 1) by total wavenumber."""

    radial: torch.Tensor
    power: torch.Tensor


def spectra_of(fields: torch.Tensor, grid: Grid) -> Spectra:
    """Of fields (…, channel, lat, lon)."""
    flat = fields.reshape(1, -1, *fields.shape[-2:])
    radial = radial_spectrum(flat).reshape(*fields.shape[:-2], -1)
    return Spectra(radial[..., int(radial.shape[-1] * PERCENTILE) :], power_spectrum(fields, grid))


def divergence(prediction: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Σ t log max(t/p, 1e-9) (…) of the kept bins (…, bin) of radial spectra; NaN for a field that is zero."""
    p = prediction / prediction.sum(-1, keepdim=True)
    t = truth / truth.sum(-1, keepdim=True)
    return (t * (t / p).clamp(min=_FLOOR).log()).nansum(-1).masked_fill(prediction.sum(-1) == 0, torch.nan)


def in_bands(power: torch.Tensor, bands: Bands) -> NDArray[np.float64]:
    """(…, band) sums of powers (…, N + 1)."""
    return np.stack([power[..., low : high + 1].sum(-1).numpy() for low, high in bands], axis=-1)
