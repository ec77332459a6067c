"""How an analysis saw its observations: what of its G neither fields nor observations say, as its log has it.

    refractivity_constants: bevis | rueger         (`fields/refractivity.py`)
    bias SATELLITE CHANNEL: β₀ β₁ β₂ β₃            (`methods/bias.py`)

What is compared with the analysis afterwards is compared by the same G.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from phyda_cli.errors import BadDataError
from phyda_cli.fields.refractivity import COEFFICIENTS, ConstantsName
from phyda_cli.fields.state import State
from phyda_cli.methods.base import Log
from phyda_cli.methods.bias import BiasCorrection, groups
from phyda_cli.observations.table import Observations
from phyda_cli.operators.brightness_temperature import SOUNDERS
from phyda_cli.operators.first_guess import FirstGuess, first_guess

_CONSTANTS: Final = "refractivity_constants"
_USUAL: Final[ConstantsName] = "bevis"
_OF_REFRACTIVITY: Final = ("refractivity", "ztd")


@dataclass(frozen=True)
class AsAnalysed:
    """G as an analysis had it. log: what the analysis decided; empty where that is not known."""

    log: Mapping[str, Any]

    def first_guess(self, state: State, observations: Observations) -> FirstGuess:
        """G of any observations. Raises BadDataError for constants or coefficients that are none."""
        name = self.log.get(_CONSTANTS, _USUAL)
        if name not in COEFFICIENTS:
            raise BadDataError(f"the log of the analysis has {_CONSTANTS} {name}, which is none of {[*COEFFICIENTS]}")
        guess = first_guess(state, observations, {}, coefficients=COEFFICIENTS[name])
        bias = BiasCorrection.logged(observations, state, self.log)
        return replace(guess, tendency=guess.tendency + bias.values)

    def unsaid(self, observations: Observations) -> list[str]:
        """Return what G of these observations needs and the log does not say, and what stands for it."""
        notes = []
        refracted = np.isin(observations.variable, _OF_REFRACTIVITY).any()
        if refracted and _CONSTANTS not in self.log:
            notes.append(f"the constants of refractivity (those of {_USUAL} are taken)")
        held = groups(observations, np.isin(observations.variable, list(SOUNDERS)))
        lacking = sorted({name for name in held if name and f"bias {name}" not in self.log})
        if lacking:
            notes.append(f"a bias of {', '.join(lacking)} (none is taken)")
        return notes


def log_of(constants: ConstantsName, observations: Observations, bias: BiasCorrection) -> Log:
    """Return what the log of an analysis says of its G, as far as its observations need it."""
    refracted = np.isin(observations.variable, _OF_REFRACTIVITY).any()
    return {**({_CONSTANTS: constants} if refracted else {}), **bias.log()}
