"""What the caller of an analysis decides."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from phyda_cli.methods.base import Memory
from phyda_cli.observations.settings import Quality


@dataclass(frozen=True)
class AssimilationOptions:
    """What the caller decides.

    window: largest distance of an observation from the background's valid time.
    background_error_scale: factor on the method's σ_b; None estimates it from the innovations.
    usual_scale: what it is when they are too few for an estimate.
    update: False stops after H(x_b) and the quality control that needs no analysis (a dry run): the analysis is the
        background, and the feedback has no H(x_a).
    quality: settings of quality control, thinning and superobs.
    margin: how far outside of the background's grid observations are used [m]. taper: width of the strip along its rim
        in which increments fade [m].
    memory: of the analysis before (`Analysis.memory`); the method has its part already.
    """

    window: np.timedelta64
    background_error_scale: float | None = None
    usual_scale: float = 1.0
    update: bool = True
    quality: Quality = field(default_factory=Quality)
    margin: float = 0.0
    taper: float = 0.0
    memory: Memory = field(default_factory=dict)
