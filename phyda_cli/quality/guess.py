"""What is known of the observations before an analysis, in one object that every check is given."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.fields.state import Channel
from phyda_cli.observations.errors import ErrorTable
from phyda_cli.observations.settings import Quality

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Guess:
    """The first guess at n observations, and by what it is judged.

    channels: what the background holds. time: of the analysis (UTC). window: the largest distance from it.
    equivalent: (n,) H(x_b), SI. defined: (n,) whether H exists. surface_pressure: (n,) of the background [Pa], NaN
    where it has none. difference: (n,) height of a station above the background's ground [m], NaN where not known.
    sigma: (n,) σ_b of a short forecast, SI, 0 where the method does not reach. method: the method's name.
    table: observation errors and limits. quality: settings. scale: how much larger the background's errors are.
    """

    channels: tuple[Channel, ...]
    time: np.datetime64
    window: np.timedelta64
    equivalent: Floats
    defined: NDArray[np.bool_]
    surface_pressure: Floats
    difference: Floats
    sigma: Floats
    method: str
    table: ErrorTable
    quality: Quality
    scale: ErrorScale = field(default_factory=lambda: ErrorScale.uniform(1.0))

    def take(self, index: NDArray[np.int64]) -> Guess:
        """The guess at the rows of an index."""
        return replace(
            self,
            equivalent=self.equivalent[index],
            defined=self.defined[index],
            surface_pressure=self.surface_pressure[index],
            difference=self.difference[index],
            sigma=self.sigma[index],
        )

    def scaled_sigma(self, variable: NDArray[np.object_]) -> Floats:
        """(n,) σ_b of this background, for the variables (n,) of the rows."""
        return self.scale.of(variable) * self.sigma
