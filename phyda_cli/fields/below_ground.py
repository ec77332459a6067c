"""Fields below the ground: many models and reanalyses leave values on pressure levels there out.

A missing value is one below the ground when every lower level of its column is missing too and a higher one is not, at
levels where ground can be (`TOP`). There the state is extended downwards, from the lowest level p₀ that has a value:

    u, v, q and all else   x(p) = x(p₀)
    T                      T(p) = T₀ (p/p₀)^(R_d Γ/g),   6.5 K a kilometre
    Φ                      Φ(p) = Φ₀ − (g T₀/Γ) ((p/p₀)^(R_d Γ/g) − 1),   hydrostatic with that T

(the standard method of models: Trenberth et al. 1993, NCAR/TN-396). The extension serves interpolation next to the
ground; what was missing in a file is missing again in what is written.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import GRAVITY, LAPSE_RATE, R_DRY
from phyda_cli.fields.standard_atmosphere import standard_height, standard_temperature
from phyda_cli.fields.state import Channel

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

TOP: Final = 40_000.0
"""Above this pressure level [Pa] there is no ground: Everest reaches to some 340 hPa, models' mountains to 480."""
_EXPONENT: Final = R_DRY * LAPSE_RATE / GRAVITY


def below_ground(missing: Sequence[Mask], levels: Sequence[float]) -> list[Mask]:
    """Return which of the missing values of a variable are below the ground, in the order of the levels.

    missing: one mask (…, lat, lon) for each level. levels: [Pa].
    """
    result = [np.zeros_like(mask) for mask in missing]
    order = sorted(range(len(levels)), key=lambda i: -levels[i])
    has_value = np.zeros_like(missing[0])
    above = []
    for index in reversed(order):
        above.append(has_value)
        has_value = has_value | ~missing[index]
    under = np.ones_like(missing[0])
    for index, valid_above in zip(order, reversed(above), strict=True):
        under = under & missing[index]
        if levels[index] >= TOP:
            result[index] = under & valid_above
    return result


def extend_downwards(planes: Mapping[Channel, Array]) -> dict[Channel, Array]:
    """Return the planes (…, lat, lon) [SI] with what is NaN below the ground extended from above; others stay as they
    are.
    """
    result = dict(planes)
    names = dict.fromkeys(channel.variable for channel in planes if channel.level is not None)
    for name in sorted(names, key=lambda name: name == "z"):  # heights need the temperature
        channels = sorted((c for c in planes if c.variable == name), key=lambda c: c.level or 0.0)
        for higher, channel in itertools.pairwise(channels):
            hole = np.isnan(result[channel])
            if hole.any() and higher.level is not None and channel.level is not None:
                filled = _extended(name, higher.level, channel.level, result)
                result[channel] = np.where(hole, filled, result[channel])
    return result


def _extended(name: str, start: float, level: float, planes: Mapping[Channel, Array]) -> Array:
    """Return a plane at a level [Pa] from the one at the next higher level `start`."""
    plane = planes[Channel(name, start)]
    if name == "t":
        return np.asarray(plane * (level / start) ** _EXPONENT)
    if name != "z":
        return plane
    standard = np.full_like(plane, float(standard_temperature(standard_height(start))))
    temperature = planes.get(Channel("t", start), standard)
    temperature = np.where(np.isnan(temperature), standard, temperature)
    return np.asarray(plane - GRAVITY * temperature / LAPSE_RATE * ((level / start) ** _EXPONENT - 1.0))
