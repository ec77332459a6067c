"""What the learned analysis is to reach, and what it did reach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from phyda_cli.experiments.comparison import Comparison
from phyda_cli.experiments.ensembles import band_ratios, grouped, ranks, spread_skill
from phyda_cli.experiments.results import ALL, PLAIN, find
from phyda_cli.experiments.spectral import bands_of, octaves
from phyda_cli.grids.grid import Grid
from phyda_cli.grids.harmonics import largest_truncation

RMSE_3DVAR: Final = 0.95
RMSE_BACKGROUND: Final = 1.0
RMSE_UNET: Final = 1.02
CRPS_3DVAR: Final = 0.80
SPREAD_SKILL: Final = (0.8, 1.2)
SPECDIV: Final = 1.0 - 0.797
"""Of the U-Net's: the paper's 79.7 % less."""
POWER: Final = (0.8, 1.2)
INCREMENT: Final = 0.05
"""Of σ_b, for the mean increment where nothing is observed."""
FLAT: Final = 0.5
"""Share of the bars (variable × rank) of the rank histograms whose interval holds the flat one."""
UNET: Final = "unet"


@dataclass(frozen=True)
class Goal:
    """One target. value: None where the run lacks a method that it needs. low, high: where the value must lie."""

    goal: str
    density: float
    channel: str
    value: float | None
    low: float
    high: float

    @property
    def met(self) -> bool | None:
        """None where it cannot be told."""
        return None if self.value is None else self.low <= self.value <= self.high

    @property
    def target(self) -> str:
        """In words."""
        return f"<= {self.high:.4g}" if self.low == 0.0 else f"{self.low:g} to {self.high:g}"


def goals(comparison: Comparison, method: str, grid: Grid) -> tuple[Goal, ...]:
    """All goals of a method with members, at each density of the run."""
    return tuple(_all(comparison, method, grid))


def _all(comparison: Comparison, method: str, grid: Grid) -> Iterator[Goal]:
    results = comparison.results
    for density in results.densities:
        if density > 0:
            for other, score, limit in (
                ("3dvar", "nrmse", RMSE_3DVAR),
                ("background", "nrmse", RMSE_BACKGROUND),
                (UNET, "nrmse", RMSE_UNET),
                ("3dvar", "ncrps", CRPS_3DVAR),
                (UNET, "specdiv_members", SPECDIV),
                (UNET, "specdiv_increment_members", SPECDIV),
            ):
                words = "MAE" if score == "ncrps" else score
                yield _ratio(f"{score} / {other}'s {words}", comparison, method, other, density, score, limit)
        else:
            size = results.pooled(method, density, find("nincrement", PLAIN))[ALL]
            yield Goal("mean increment / sigma_b without observations", density, ALL, size, 0.0, INCREMENT)
        ratios = spread_skill(results, method, density)
        for channel in (*results.variables, ALL):
            yield Goal("spread/skill", density, channel, _number(ratios.get(channel)), *SPREAD_SKILL)
        held = ranks(results, method, density, comparison.bootstrap)
        flat = None if held is None else float(((held[1] <= 1.0) & (held[2] >= 1.0)).mean())
        yield Goal("bars of the rank histograms that are flat within their interval", density, ALL, flat, FLAT, 1.0)
        yield from _power(comparison, method, density, grid)


def _ratio(
    name: str, comparison: Comparison, method: str, other: str, density: float, score: str, limit: float
) -> Goal:
    there = other in comparison.results.methods
    cell = comparison.find(method, other, density, score) if there else None
    return Goal(name, density, ALL, None if cell is None else _number(cell.ratio), 0.0, limit)


def _power(comparison: Comparison, method: str, density: float, grid: Grid) -> Iterator[Goal]:
    bands = bands_of(grid)
    ratios = band_ratios(comparison.results, method, density, "members")
    for band in octaves(largest_truncation(grid)):
        values = grouped(comparison.results, ratios[:, bands.index(band)])
        for channel in (*comparison.results.variables, ALL):
            yield Goal(
                f"members' power / truth's, n = {band[0]}-{band[1]}", density, channel, _number(values[channel]), *POWER
            )


def _number(value: float | None) -> float | None:
    """None for what is not a number."""
    return None if value is None or not np.isfinite(value) else value
