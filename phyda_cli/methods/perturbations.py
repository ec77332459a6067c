"""The members of a hybrid background error: perturbations of an ensemble, and of forecasts valid at the same time.

    x'_i = (x_i − x̄) / √ν                         members of a background that is an ensemble
    x'_j = (f_j − x_b) / (r_j √ν)                  lagged forecasts: other forecasts valid at the time of the background
    ν    = (K − 1) + J                             K members, J lagged forecasts

so that Σ x' x'ᵀ is one sample covariance. The members keep their size, which is what the ensemble says of this day's
errors. That of a lagged forecast says little: f_j − x_b grows with its lead, and has the background's own error in it
as well. So each is brought to the size of the statistics' σ_b, the errors of a short forecast, by one factor r_j for
wind, mass and temperature, which keeps their balance, and one for humidity,

    r_j² = mean over the globe and the channels of ((f_j − x_b)/σ_b)²

and counts as one, whatever its lead; how large the errors of this case are is the business of the scale, which
multiplies both parts of the hybrid. The differences are those to the background and not to the mean of all, since the
errors of old forecasts are the larger ones: f_j − x_b is nearly the error of f_j, while a mean would mix those of all
into each. Everything is brought to the method's grid and channels; channels that the background lacks get zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.errors_b.error_scale import is_humidity
from phyda_cli.fields.increment import interpolate_increment
from phyda_cli.fields.state import State
from phyda_cli.methods.material import Lagged


def perturbations(background: State, lagged: Sequence[Lagged], sigma: State) -> torch.Tensor:
    """Return x' (member, channel, lat, lon) [SI] on the grid and channels of σ_b, in an order that depends on their
    values alone.

    background: (channel, lat, lon), or its members (member, channel, lat, lon). Raises BadDataError when there is
    neither a member nor a lagged forecast, and for a lagged forecast that lacks fields or is the background itself.
    """
    several = background.values.dim() == 4
    mean = replace(background, values=background.values.mean(0)) if several else background
    parts = [_onto(replace(background, values=background.values - mean.values), sigma)] if several else []
    forecasts = [_lagged(one, mean, sigma) for one in lagged]
    freedom = (len(background.values) - 1 if several else 0) + sum(map(len, forecasts))
    if freedom == 0:
        raise BadDataError("a hybrid background error needs members: an ensemble as background, or lagged forecasts")
    drawn = torch.cat([*parts, *forecasts]) / freedom**0.5
    return torch.stack(sorted(drawn, key=lambda member: member.numpy().tobytes()))


def _lagged(forecast: Lagged, background: State, sigma: State) -> torch.Tensor:
    """(member, channel, lat, lon) differences of one forecast, or of each of its members, in the size of σ_b."""
    state = forecast.read()
    known = {channel.variable for channel in sigma.channels}
    needed = tuple(channel for channel in background.channels if channel.variable in known)
    for channel in needed:
        if channel not in state.channels:
            raise BadDataError(
                f"{forecast.source}: holds no {channel}, which the background has; a lagged forecast needs the "
                "background's fields and levels"
            )
    own = interpolate_increment(state.select(needed), needed, background.grid)
    before = background.select(needed)
    differences = _onto(replace(before, values=own.values - before.values), sigma)
    differences = differences.reshape(-1, *differences.shape[-3:])
    held = np.isin([channel.variable for channel in sigma.channels], [channel.variable for channel in needed])
    humid = is_humidity([channel.variable for channel in sigma.channels])
    area = torch.from_numpy(np.array(sigma.grid.area))
    for group in (held & humid, held & ~humid):
        if not group.any():
            continue
        size = ((differences[:, group] / sigma.values[group]).square() * area).sum((-2, -1)).mean(-1).sqrt()
        if not bool((size > 0).all()):
            raise BadDataError(f"{forecast.source}: is the background itself; a lagged forecast is another one")
        differences[:, group] /= size[:, None, None, None]
    return differences


def _onto(state: State, sigma: State) -> torch.Tensor:
    return interpolate_increment(state, sigma.channels, sigma.grid).values
