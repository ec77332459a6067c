"""Draws of a field with the correlation of background errors near the ground, at any places, each made when asked for.

    w(x) = √(2/M) Σ_m cos(ω_m · x + φ_m),     x = (position, h, l),     φ_m uniform

has variance 1 and the correlation whose spectrum the frequencies ω_m are drawn from (Rahimi and Recht 2007): for
(1 + r/L) e^(−r/L) in three dimensions Student's t with three degrees of freedom, ω = g/(L √χ²_3), for a Gaussian of
scale V g/V, and for the sum of two terms the one or the other, by their parts.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors_b.surface_structure import GroundPlaces, Structure

Floats = NDArray[np.float64]

WAVES: Final = 200
"""M."""
_CHUNK: Final = 20_000
"""Places that are worked on together."""


def draw(structure: Structure, places: GroundPlaces, rng: np.random.Generator) -> Floats:
    """Return w (n,) at places."""
    frequency, phase = _frequencies(structure, rng), rng.uniform(0.0, 2.0 * np.pi, WAVES)
    columns = np.column_stack([places.position.numpy(), places.height.numpy(), places.land.numpy()])
    parts = [
        np.cos((chunk[:, :, None] * frequency).sum(1) + phase).sum(1)
        for chunk in np.array_split(columns, max(1, len(columns) // _CHUNK))
    ]
    return np.asarray(np.sqrt(2.0 / WAVES) * np.concatenate(parts))


def _frequencies(structure: Structure, rng: np.random.Generator) -> Floats:
    """ω (5, M) of three coordinates, height and land."""
    length, height = np.full(WAVES, structure.length), np.full(WAVES, structure.height)
    if structure.detail is not None:
        is_detail = rng.random(WAVES) < structure.detail.part
        length[is_detail], height[is_detail] = structure.detail.length, structure.detail.height
    normal = rng.standard_normal((5, WAVES))
    normal[:3] /= length * np.sqrt(rng.chisquare(3, WAVES))
    normal[3] /= height
    normal[4] /= structure.land
    return normal
