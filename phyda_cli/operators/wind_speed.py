"""Wind speed at 10 m, as satellites see it over the sea without a direction: f = √(u² + v²).

Slopes are u/f and v/f, none where the background is calm.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from phyda_cli.fields.state import Channel
from phyda_cli.operators.kind import Floats, Mixed, Sites, Vertical, between_levels

_COMPONENTS: Final = ("u10", "v10")


@dataclass(frozen=True)
class WindSpeed(Mixed):
    """Speed at 10 m; inputs are the components."""

    variable: str = "ws10"

    def lacks(self, variables: Collection[str]) -> tuple[str, ...]:
        return tuple(name for name in _COMPONENTS if name not in variables)

    def inputs(self, channels: Sequence[Channel], sites: Sites, *, beyond: bool) -> tuple[Vertical, ...]:
        return tuple(between_levels(channels, name, sites.pressure, beyond=beyond) for name in _COMPONENTS)

    def value(self, inputs: Floats, sites: Sites) -> Floats:
        return np.asarray(np.hypot(inputs[0], inputs[1]))

    def slopes(self, inputs: Floats, sites: Sites) -> Floats:
        speed = np.hypot(inputs[0], inputs[1])
        return np.asarray(np.where(speed > 0, inputs[:2] / np.where(speed > 0, speed, 1.0), 0.0))
