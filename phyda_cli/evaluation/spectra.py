"""How much of the truth's small scales a field keeps: SpecDiv (ChaosBench's definition) and absolute band-power ratios.

SpecDiv (Nathaniel et al. 2024), for one channel and a batch of fields:
1. NaN is filled with the field's mean; the batch is averaged; the power is P = |FFT2|² of the mean field.
2. k = √(k_x² + k_y²) in integer wavenumbers of the array; n = ⌈k_max − ½⌉ equal bins from ½ to k_max; S = mean of P in
   each bin.
3. Bins from int(0.9 n) on are kept and normalised to sum 1: p of the prediction, t of the truth.
4. SpecDiv = Σ t log max(t/p, 1e-9), the Kullback–Leibler divergence KL(t ‖ p).

It does not see amplitude: a field whose kept bins are all damped alike scores 0. Therefore the band-power ratio

    r_B = Σ_{n∈B} power_n(x) / Σ_{n∈B} power_n(truth)

over bands B of total wavenumber n on the sphere goes with it: 1 is right, below 1 too smooth, above 1 too rough.
"""

from __future__ import annotations

import math
from typing import Final

import torch

from phyda_cli.errors import BadDataError
from phyda_cli.grids.grid import Grid
from phyda_cli.grids.harmonics import largest_truncation, spherical_harmonics

PERCENTILE: Final = 0.9
"""The share of the bins that SpecDiv leaves out, counted from the largest scales."""

BANDS: Final[tuple[tuple[int, int | None], ...]] = ((1, 4), (5, 10), (11, 20), (21, None))
"""Bands of total wavenumber, both ends inside: planetary, synoptic, sub-synoptic, and all that is smaller."""

_FLOOR: Final = 1e-9


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


def spectral_divergence(x: torch.Tensor, truth: torch.Tensor, *, percentile: float = PERCENTILE) -> torch.Tensor:
    """SpecDiv (channel,) of predictions and truths (batch, channel, lat, lon); 0 is right, larger is worse."""
    if x.shape != truth.shape:
        raise BadDataError(f"SpecDiv needs fields of one shape, got {tuple(x.shape)} and {tuple(truth.shape)}")
    p, t = radial_spectrum(x), radial_spectrum(truth)
    first = int(p.shape[-1] * percentile)
    p, t = p[:, first:], t[:, first:]
    p, t = p / p.nansum(-1, keepdim=True), t / t.nansum(-1, keepdim=True)
    return (t * (t / p).clamp(min=_FLOOR).log()).nansum(-1)


def power_spectrum(x: torch.Tensor, grid: Grid) -> torch.Tensor:
    """(…, N+1) mean square of fields (…, lat, lon) in each total wavenumber up to what the grid carries; float64."""
    harmonics = spherical_harmonics(grid, largest_truncation(grid), torch.float64, x.device)
    return harmonics.power(harmonics.analysis(x.double()))


def band_power_ratio(
    x: torch.Tensor, truth: torch.Tensor, grid: Grid, *, bands: tuple[tuple[int, int | None], ...] = BANDS
) -> torch.Tensor:
    """r_B (channel, band) of fields (batch, channel, lat, lon): powers are summed over the batch before the ratio.

    A band beyond the grid's truncation holds no power and gives NaN.
    """
    px, pt = power_spectrum(x, grid).sum(0), power_spectrum(truth, grid).sum(0)
    ends = [(low, px.shape[-1] if high is None else high + 1) for low, high in bands]
    return torch.stack([px[..., low:end].sum(-1) / pt[..., low:end].sum(-1) for low, end in ends], dim=-1)
