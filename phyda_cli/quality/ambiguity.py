"""Winds that a scatterometer knows up to their sense: the solution nearest to the background is taken.

    (u, v) ← −(u, v)    where  |(u, v) + (u_b, v_b)| < |(u, v) − (u_b, v_b)|,   that is  u u_b + v v_b < 0

The backscatter of waves is nearly the same up and down the wind, so retrievals have opposite solutions that fit alike.
A row that is turned says so in its reason. Both components of a wind stand in one row of their file.
Source: Hoffman (1984), Stoffelen (1998): removal by the nearest to the background.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.observations.kinds import families
from phyda_cli.observations.table import Observations
from phyda_cli.quality.groups import group

_FAMILY: Final = "seawind"
_TURNED: Final = "turned by 180 degrees, nearer to the background"


def choose_solutions(observations: Observations, equivalent: NDArray[np.float64], *, enabled: bool) -> Observations:
    """Return the rows with the winds of scatterometers turned where the background asks for it.

    equivalent: (n,) H(x_b). A wind of which one component is not used, or alone, stays.
    """
    o = observations
    along = o.used & (families(o.report).astype(str) == _FAMILY)
    rows = np.flatnonzero(along & np.isin(o.variable, ("u10", "v10")))
    if not enabled or not rows.size:
        return o
    wind = group([o.source[rows], o.row[rows]])
    size = int(wind.max()) + 1
    components = [np.bincount(wind, o.variable[rows] == name, size) for name in ("u10", "v10")]
    against = np.bincount(wind, o.value[rows] * equivalent[rows], size) < 0
    whole = (components[0] == 1) & (components[1] == 1)
    turned = rows[(against & whole)[wind]]
    value, reason = o.value.copy(), o.reason.copy()
    value[turned] = -value[turned]
    reason[turned] = _TURNED
    return replace(o, value=value, reason=reason)
