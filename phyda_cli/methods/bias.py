"""The bias of brightness temperatures, by satellite and channel: a part of H that every analysis learns a little of.

    y = H(x) + Σ_i β_i p_i + ε,    p = (1, θ/30°, (θ/30°)², (Δz − 7.7 km)/0.3 km)
    J(β) = Σ (y − H(x_a) − p·β)²/σ_o² + N Σ_i (β_i − β_b,i)²/σ̄²,      1/σ̄² the mean of the rows' 1/σ_o²

θ is the signed zenith angle of the satellite, Δz the thickness of the background's layer from 850 to 300 hPa. The
analysis is made with β_b; the β that minimises J for that x_a is for the next one. So the two are minimised in turn,
analysis by analysis, and both stand still where the cost of variational bias correction, which has both as its
variables, has its minimum. N = 200 rows is the inertia of β. A satellite and channel without a past begin with the
median of y − H(x_b), if there are 20 rows.

Source: Dee (2005); Auligné et al. (2007) for the inertia; Miyoshi et al. (2010) for β after x.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.constants import GRAVITY
from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import State
from phyda_cli.methods.base import Log, Memory
from phyda_cli.observations.settings import Bias
from phyda_cli.observations.table import Feedback, Flag, Observations
from phyda_cli.operators.brightness_temperature import SOUNDERS
from phyda_cli.operators.operator import Operator

Floats = NDArray[np.float64]

PREDICTORS: Final = 4
_ANGLE: Final = 30.0
_LAYER: Final = (85_000.0, 30_000.0)
_THICKNESS, _ITS_SIZE = 7_700.0, 300.0
_ENOUGH: Final = 20
"""Rows that a first median needs."""
_KEY: Final = "bias"


@dataclass(frozen=True)
class BiasCorrection:
    """β_b of some rows.

    predictors: p (n, 4). group: (n,) satellite and channel of each row, "" for rows without a bias. coefficients: β of
    the groups that have any.
    """

    predictors: Floats
    group: NDArray[np.object_]
    coefficients: dict[str, Floats]

    @classmethod
    def of(
        cls, observations: Observations, background: State, equivalent: Floats, memory: Memory, settings: Bias
    ) -> BiasCorrection:
        """Return what is known before the analysis.

        equivalent: G(x_b) (n,) without a bias, NaN where it is not defined. Raises BadDataError for a memory of
        anything but finite coefficients.
        """
        rows = np.isin(observations.variable, list(SOUNDERS)) & settings.enabled
        group = groups(observations, rows)
        departure, known = observations.value - equivalent, _coefficients(memory, "memory")
        for name in dict.fromkeys(group[rows].tolist()):
            own = departure[(group == name) & observations.used & np.isfinite(departure)]
            if name not in known:
                known[name] = np.array([np.median(own) if own.size >= _ENOUGH else 0.0, 0.0, 0.0, 0.0])
        return cls.known(observations, background, group, known)

    @classmethod
    def known(
        cls,
        observations: Observations,
        background: State,
        group: NDArray[np.object_],
        coefficients: Mapping[str, Floats],
    ) -> BiasCorrection:
        """Return the correction of rows by coefficients, those of other groups left out."""
        held = {name: coefficients[name] for name in dict.fromkeys(group.tolist()) if name in coefficients}
        return cls(_predictors(observations, background, group != ""), group, held)

    @classmethod
    def logged(cls, observations: Observations, background: State, log: Mapping[str, Any]) -> BiasCorrection:
        """Return the correction of an analysis whose log says it, for any rows. Raises BadDataError as `of` does."""
        group = groups(observations, np.isin(observations.variable, list(SOUNDERS)))
        texts = {name: str(value).split() for name, value in log.items() if name.startswith(f"{_KEY} ")}
        return cls.known(observations, background, group, _coefficients(texts, "log"))

    @property
    def values(self) -> Floats:
        """p·β (n,), 0 for rows without a bias."""
        result = np.zeros(self.group.shape[0])
        for name, beta in self.coefficients.items():
            rows = self.group == name
            result[rows] = self.predictors[rows] @ beta
        return result

    def learned(self, feedback: Feedback, settings: Bias) -> BiasCorrection:
        """Return β after an analysis, by all rows that passed or are passive.

        feedback: whose equivalents have p·β_b in them.
        """
        o, departure = feedback.observations, feedback.analysis_departure
        judged = np.isin(o.flag, (Flag.PASS, Flag.PASSIVE)) & np.isfinite(departure)
        made = {}
        for name, beta in self.coefficients.items():
            rows = judged & (self.group == name)
            weight = o.error[rows] ** -2.0
            p = self.predictors[rows]
            if not weight.size:
                made[name] = beta
                continue
            inertia = settings.inertia * weight.mean() * np.eye(PREDICTORS)
            made[name] = beta + np.linalg.solve(p.T @ (weight[:, None] * p) + inertia, p.T @ (weight * departure[rows]))
        return replace(self, coefficients=made)

    def log(self) -> Log:
        """Return β [K] of each satellite and channel, as text."""
        return {f"{_KEY} {name}": " ".join(f"{x:.6g}" for x in beta) for name, beta in self.coefficients.items()}

    def memory(self, before: Memory) -> Memory:
        """Return the coefficients as the next analysis finds them, those of earlier satellites kept."""
        kept = {name: values for name, values in before.items() if name.startswith(f"{_KEY} ")}
        return kept | {f"{_KEY} {name}": beta.tolist() for name, beta in self.coefficients.items()}


def groups(observations: Observations, rows: NDArray[np.bool_]) -> NDArray[np.object_]:
    """(n,) satellite and channel of the rows that are brightness temperatures, "" of others."""
    pairs = zip(observations.station, observations.variable, rows, strict=True)
    return np.array([f"{station} {variable}" if own else "" for station, variable, own in pairs], dtype=object)


def _coefficients(told: Mapping[str, Sequence[Any]], of: str) -> dict[str, Floats]:
    """Return β of each group that a memory or log tells. Raises BadDataError for anything but finite coefficients."""
    found = {}
    for name, values in told.items():
        if not name.startswith(f"{_KEY} "):
            continue
        try:
            beta = np.array(values, dtype=np.float64)
        except (TypeError, ValueError):
            beta = np.full(1, np.nan)
        if beta.shape != (PREDICTORS,) or not np.isfinite(beta).all():
            raise BadDataError(f"the {of} of {name} holds {values}, not {PREDICTORS} coefficients")
        found[name.removeprefix(f"{_KEY} ")] = beta
    return found


def _predictors(observations: Observations, background: State, rows: NDArray[np.bool_]) -> Floats:
    """p (n, 4), 0 for rows without a bias; that of the layer is 0 where the background has no heights of it."""
    result = np.zeros((len(observations), PREDICTORS))
    index = np.flatnonzero(rows)
    if not index.size:
        return result
    o = observations.take(index)
    angle = np.nan_to_num(o.zenith) / _ANGLE
    heights = []
    for pressure in _LAYER:
        names, at = np.full(len(o), "z", dtype=object), np.full(len(o), pressure)
        seen = Operator.at(names, o.latitude, o.longitude, at).states(background.grid, background.channels)
        heights.append(np.where(seen.defined, seen(background.values.to(torch.float64)) / GRAVITY, np.nan))
    layer = np.nan_to_num((heights[1] - heights[0] - _THICKNESS) / _ITS_SIZE)
    result[index] = np.stack([np.ones(len(o)), angle, angle**2, layer], axis=1)
    return result
