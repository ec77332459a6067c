"""B(s): how the background error grows from that of a short forecast into that of the climate.

Errors of variance s² times a short forecast's are not the same errors made larger. They become the weather itself,
longer, deeper and bound by the climate's variance, of which a forecast without skill has twice:

    s ≤ 1:  B(s) = s² B_0          s > 1:  B(g) = (1 − g) B_0 + 2 g B_c,     g = min(1, (s² − 1) / (2 r − 1))

r is the mean over the group's fields of σ_c²/σ_0², so that s stays what it says: the factor on σ_b, on average over
fields and globe. Dynamics and humidity have an s and a g each. The sum is made in the control fields: variances add at
every latitude, the spectra as correlations weighted with the variances, the regressions weighted with those of ψ.
Source for the growth to twice the climate's variance: Leith (1978).
"""

from __future__ import annotations

from dataclasses import replace

import torch

from phyda_cli.errors import BadDataError
from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.errors_b.error_scale import ErrorScale, is_humidity


def grown(short: BackgroundError, climate: BackgroundError, scale: ErrorScale) -> BackgroundError:
    """Return B(s). climate: on the same grid and channels, of any truncation. Raises BadDataError for another grid."""
    if (short.grid, short.channels) != (climate.grid, climate.channels):
        raise BadDataError("background error: the climate's part has another grid or other channels")
    wind = short.wind_levels
    humid = torch.from_numpy(is_humidity([channel.variable for channel in short.channels]))
    small, large = torch.empty(len(humid)), torch.empty(len(humid))
    for group, s in ((~humid, scale.dynamics), (humid, scale.humidity)):
        if not bool(group.any()):
            continue
        if s <= 1.0:
            small[group], large[group] = s * s, 0.0
            continue
        share = min(1.0, (s * s - 1.0) / max(2.0 * _ratio(short, climate, group) - 1.0, 1e-6))
        small[group], large[group] = 1.0 - share, 2.0 * share
    a, b = small.double(), large.double()  # factors on the variances of every channel
    of_psi, of_rest = (a[:wind, None], b[:wind, None]), (a[wind:, None], b[wind:, None])

    def variance(first: torch.Tensor, second: torch.Tensor, factors: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return factors[0] * first.square() + factors[1] * second.square()

    psi = variance(short.sigma_psi, climate.sigma_psi, of_psi)
    weight = (a[:wind, None] * short.sigma_psi.square() / psi).mT[:, None, :]
    return replace(
        short,
        regression=weight * short.regression + (1.0 - weight) * climate.regression,
        sigma_psi=psi.sqrt(),
        sigma_unbalanced=variance(short.sigma_unbalanced, climate.sigma_unbalanced, of_rest).sqrt(),
        covariance_psi=mixed(short, climate, "psi", of_psi),
        covariance_unbalanced=mixed(short, climate, "unbalanced", of_rest),
        sigma=variance(short.sigma, climate.sigma, (a[:, None], b[:, None])).sqrt(),
        climate=None,
    )


def _ratio(short: BackgroundError, climate: BackgroundError, group: torch.Tensor) -> float:
    """r of the channels of a group."""
    area = torch.as_tensor(short.grid.area_weights)
    first, second = ((x.sigma[group].square() * area).sum(-1) for x in (short, climate))
    return float((second / first).mean())


def mixed(
    short: BackgroundError, climate: BackgroundError, part: str, factors: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """(n, field, field): the spectra of both, weighted with their share of the variance over the globe."""
    area = torch.as_tensor(short.grid.area_weights)
    parts = []
    for statistics, factor in zip((short, climate), factors, strict=True):
        sigma = getattr(statistics, f"sigma_{part}")
        parts.append((factor * sigma.square() * area).sum(-1))
    shares = [(own / (parts[0] + parts[1])).sqrt() for own in parts]
    first, second = (getattr(statistics, f"covariance_{part}") for statistics in (short, climate))
    result = first * shares[0][:, None] * shares[0]
    common = min(len(first), len(second))
    result[:common] += second[:common] * shares[1][:, None] * shares[1]
    return torch.as_tensor(result)
