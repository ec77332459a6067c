"""How much of the truth's small scales a field keeps: SpecDiv (ChaosBench's definition) and powers in bands.

SpecDiv (Nathaniel et al. 2024), for one channel and a batch of fields:
1. NaN is filled with the field's mean; the batch is averaged; the power is P = |FFT2|² of the mean field.
2. k = √(k_x² + k_y²) in integer wavenumbers of the array; n = ⌈k_max − ½⌉ equal bins from ½ to k_max; S = mean of P in
   each bin.
3. Bins from int(0.9 n) on are kept and normalised to sum 1: p of the prediction, t of the truth.
4. SpecDiv = Σ t log max(t/p, 1e-9), the Kullback–Leibler divergence KL(t ‖ p).

It does not see amplitude: a field whose kept bins are all damped alike scores 0. Therefore the power in bands of total
wavenumber n on the sphere goes with it: over the truth's it is right at 1, too smooth below and too rough above.

States take most of their small scales from the background, whatever the increment: it is the increment's spectrum that
shows what a method adds or smooths away. SpecDiv of one date has a floor: two independent fields of one spectrum differ
by chance in the few modes of a bin (0.1 to 0.2 on 32 × 64 points). That of spectra averaged over dates and members
first, the pooled SpecDiv, has not.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.grids.harmonics import largest_truncation, spherical_harmonics
from phyda_cli.grids.latlon import LatLonGrid

PERCENTILE: Final = 0.9
"""The share of the bins that SpecDiv leaves out, counted from the largest scales."""

BANDS: Final[tuple[tuple[int, int | None], ...]] = ((1, 4), (5, 10), (11, 20), (21, None))
"""Bands of total wavenumber, both ends inside: planetary, synoptic, sub-synoptic, and all that is smaller."""

_FLOOR: Final = 1e-9

Bands = tuple[tuple[int, int], ...]


def radial_spectrum(fields: torch.Tensor) -> torch.Tensor:
    """S (channel, bin) of fields (batch, channel, lat, lon) after steps 1 and 2; float64."""
    filled = torch.where(fields.isnan(), fields.nanmean((-2, -1), keepdim=True), fields).double()
    power = torch.fft.fft2(filled.mean(0)).abs().square().flatten(-2)
    rows, columns = fields.shape[-2:]
    k_rows, k_columns = torch.fft.fftfreq(rows) * rows, torch.fft.fftfreq(columns) * columns
    k = (k_rows[:, None].double().square() + k_columns[None, :].double().square()).sqrt().flatten()
    k_max = float(k.max())
    bins = math.ceil(k_max - 0.5)
    kept = k >= 0.5
    index = ((k[kept] - 0.5) / (k_max - 0.5) * bins).long().clamp(max=bins - 1).to(fields.device)
    total = power.new_zeros(power.shape[0], bins).index_add(1, index, power[:, kept.to(fields.device)])
    spectrum: torch.Tensor = total / torch.bincount(index, minlength=bins)
    return spectrum


def power_spectrum(x: torch.Tensor, grid: LatLonGrid) -> torch.Tensor:
    """(…, N+1) mean square of fields (…, lat, lon) in each total wavenumber up to what the grid carries; float64."""
    harmonics = spherical_harmonics(grid, largest_truncation(grid), torch.float64, x.device)
    return harmonics.power(harmonics.analysis(x.double()))


def octaves(truncation: int) -> Bands:
    """Return the three octaves below the truncation N, the smallest scales last: N/8 < n ≤ N/4, … ≤ N/2, … ≤ N."""
    ends = [truncation // 8, truncation // 4, truncation // 2, truncation]
    return tuple((low + 1, high) for low, high in itertools.pairwise(ends) if high > low)


def bands_of(grid: LatLonGrid) -> Bands:
    """Return all bands that are reported: `BANDS` as far as the grid carries them, then the octaves."""
    largest = largest_truncation(grid)
    fixed = [(low, largest if high is None else min(high, largest)) for low, high in BANDS if low <= largest]
    return tuple(dict.fromkeys([*fixed, *octaves(largest)]))


@dataclass(frozen=True)
class Spectra:
    """Of one field (channel, …). radial: the bins that SpecDiv keeps. power: (channel, N + 1) by total wavenumber."""

    radial: torch.Tensor
    power: torch.Tensor


def spectra_of(fields: torch.Tensor, grid: LatLonGrid) -> Spectra:
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
