"""What a state says at observations: H(x) = s(p) + H (x − s), with s the geopotential of the standard atmosphere.

Geopotential bends in ln p, so a straight line between distant levels misses it: half-way between 500 and 200 hPa by
some 100 m, far more than a sonde's error. What remains above the standard atmosphere is nearly straight. On a level
both are the same; s is zero for every other variable, and the operator itself stays linear, as increments need it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.standard_atmosphere import standard_height
from phyda_cli.fields.state import State
from phyda_cli.observations.table import Observations
from phyda_cli.operators.operator import ObservationOperator


def operator_at(
    state: State, observations: Observations, *, extend: Literal["none", "increment"] = "none"
) -> ObservationOperator:
    """H from the grid and channels of a state to the places of observations; `extend` as in `ObservationOperator`."""
    o = observations
    return ObservationOperator(
        state.grid, state.channels, o.variable, o.latitude, o.longitude, o.pressure, extend=extend
    )


def surface_pressure_at(state: State, observations: Observations) -> NDArray[np.float64]:
    """Surface pressure (n,) [Pa] of a state (channel, lat, lon) at observations; NaN where it has none."""
    o = observations
    names = np.full(len(o), "sp", dtype=object)
    operator = ObservationOperator(state.grid, state.channels, names, o.latitude, o.longitude, o.pressure)
    return np.where(operator.defined, operator(state.values).cpu().numpy(), np.nan)


def model_equivalent(
    operator: ObservationOperator, values: torch.Tensor, observations: Observations
) -> NDArray[np.float64]:
    """H(x) (n,) of fields (channel, lat, lon) on the operator's grid, SI; 0 where the operator is not defined.

    operator: of the same observations.
    """
    heights = [
        0.0 if c.variable != "z" or c.level is None else GRAVITY * float(standard_height(c.level))
        for c in operator.channels
    ]
    standard = torch.tensor(heights, dtype=values.dtype, device=values.device)[:, None, None]
    rows = operator.defined & (observations.variable == "z")
    result = np.asarray(operator(values - standard).cpu().numpy(), dtype=np.float64)
    result[rows] += GRAVITY * standard_height(observations.pressure[rows])
    return result
