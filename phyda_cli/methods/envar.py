"""3D-Var with a hybrid background error: partly that of statistics, partly that of members (`errors_b/hybrid.py`).

    B = (1 − w) B_statistics + w C_loc ∘ X Xᵀ,      X the perturbations of members (`perturbations.py`)

The increment is one state, or one for each member of a background that is an ensemble, as in 3D-Var; so are samples and
spread, with the hybrid's own draws and σ_b² = (1 − w) σ_s² + w Σ x'_i². w = 0 is 3D-Var.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.errors import UsageError
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.errors_b.humidity import humidity_size
from phyda_cli.errors_b.hybrid import AlphaTransform, HybridTransform, Localisation
from phyda_cli.fields.state import State
from phyda_cli.methods.base import Method
from phyda_cli.methods.material import Material
from phyda_cli.methods.perturbations import perturbations
from phyda_cli.methods.threedvar import ThreeDVar, for_background, plain
from phyda_cli.operators.operator import Operator
from phyda_cli.settings.methods import EnVarSettings

WEIGHT: Final = 0.5
"""w of an ensemble."""
LAGGED_WEIGHT: Final = 0.25
"""w of lagged forecasts alone: with more a few of them cost more than they gain (docs/hybrid.md)."""


@dataclass(frozen=True, eq=False)
class Members:
    """x'_i (member, channel, lat, lon) on the statistics' grid and channels, in the unit of the statistics."""

    values: torch.Tensor

    @cached_property
    def sigma(self) -> torch.Tensor:
        """Their standard deviation (channel, lat, lon)."""
        return self.values.square().sum(0).sqrt()


@dataclass(frozen=True, kw_only=True)
class EnVar(ThreeDVar):
    """3D-Var whose background error is a hybrid.

    perturbations: X. weight: w, 0 to 1. localisation: C_loc. size: factors on X.
    """

    perturbations: Members
    weight: float
    localisation: Localisation
    size: ErrorScale = field(default_factory=lambda: ErrorScale.uniform(1.0))
    name: str = "envar"

    def scaled(self, scale: ErrorScale) -> EnVar:
        """Return the same method for background errors, of statistics and members, that are larger by these factors."""
        return replace(self, statistics=self.statistics.scaled(scale), size=self.size.times(scale))

    def background_error(self, background: State | None = None) -> State:
        """σ_b of the hybrid on the method's grid [SI]."""
        of_members = self._factors * self.perturbations.sigma
        variance = (1 - self.weight) * self.statistics.sigma[:, :, None].square() + self.weight * of_members.square()
        return replace(super().background_error(background), values=self._sized(variance.sqrt(), background))

    def background_error_at(self, operator: Operator, background: State) -> NDArray[np.float64]:
        """σ_b at observations: interpolated, and of a column with the correlations of its levels in both parts."""
        grid, channels = self.statistics.grid, self.statistics.channels
        result = super().background_error_at(operator, background)
        columns = np.flatnonzero(operator.integrates(channels))
        if columns.size:
            rows, between = operator.take(columns), self.localisation.between(channels)
            static = ThreeDVar(self.statistics).background_error_at(rows, background)
            members = self._sized(self._factors * self.perturbations.values, background)
            terms = torch.stack([rows.increments(grid, channels).by_channel(member) for member in members])
            of_members = ((terms @ between) * terms).sum((0, -1)).clamp_min(0.0).numpy()
            result[columns] = np.sqrt((1 - self.weight) * static**2 + self.weight * of_members)
        return result

    @property
    def _factors(self) -> torch.Tensor:
        """(channel, 1, 1) factors on the members."""
        variables = [channel.variable for channel in self.statistics.channels]
        return torch.from_numpy(self.size.of(variables))[:, None, None]

    def _draws(self, generator: torch.Generator) -> torch.Tensor:
        """ζ (size, member) of every member: those of 3D-Var, and of α from a generator of their own."""
        static = super()._draws(generator)
        other = torch.Generator().manual_seed(self.seed + 1)
        alpha = torch.randn(self.members, self._transform.ensemble.size, generator=other, dtype=torch.float64)
        return torch.cat([static, alpha.to(self.device, self.dtype).mT])

    @cached_property
    def _transform(self) -> HybridTransform:
        ensemble = AlphaTransform(
            self.statistics.grid,
            self.statistics.channels,
            self.weight**0.5 * self._factors * self.perturbations.values,
            self.localisation,
            dtype=self.dtype,
            device=self.device,
        )
        return HybridTransform(self._static, (1 - self.weight) ** 0.5, ensemble)


def make(settings: EnVarSettings, material: Material) -> Method:
    """Return the method of one background with lagged forecasts, or of an ensemble with or without; single precision.

    Raises UsageError where there is neither, BadDataError for forecasts that do not fit.
    """
    if not material.numbers and not material.lagged:
        raise UsageError(
            "--method envar needs members: a background that is an ensemble, or other forecasts valid at its time "
            "with --lagged FILE"
        )
    weight = settings.ensemble_weight
    if weight is None:
        weight = WEIGHT if material.numbers else LAGGED_WEIGHT
    static = plain(settings, material, settings.weights)
    statistics = static.statistics
    mean = material.background
    if material.numbers:
        mean = replace(mean, values=mean.values.mean(0))
    drawn = perturbations(material.background, material.lagged, static.background_error(mean))
    if statistics.relative_humidity:
        drawn = drawn / humidity_size(mean, statistics.grid, statistics.channels)
    of_static = {one.name: getattr(static, one.name) for one in fields(static) if one.name != "name"}
    method = EnVar(
        **of_static,
        perturbations=Members(drawn),
        weight=weight,
        localisation=Localisation(1000.0 * settings.localisation, settings.vertical_localisation),
    )
    return for_background(method, material)
