"""The operators, the regimes of the weather and the scores that `physics_check.py` puts into tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import torch

from phyda_cli.fields.thermodynamics import relative_humidity_from_specific_humidity
from phyda_cli.grids.grid import Grid
from phyda_cli.physics.horizontal_proxy import HorizontalProxy
from phyda_cli.physics.level_fields import LevelFields
from phyda_cli.physics.pressure_column import PressureColumn
from phyda_cli.physics.primitive_equations import PrimitiveEquations
from phyda_cli.physics.spectral_filter import SpectralFilter

BATCH: Final = 16
JET: Final = 30.0
"""Wind speed at 250 hPa from which a column is in a jet [m s-1]."""
ASCENT: Final = -0.1
"""ω below which air ascends [Pa s-1]."""
HUMID: Final = 0.8
"""Relative humidity from which ascent is moist [1]."""
POLE: Final = 80.0
"""Nothing nearer to a pole counts [degree]."""
STRONG: Final = 0.9
"""Share of the points, on each level, that lie below strong advection [1]."""
REGIMES: Final = ("all", "tropics", "mid-latitudes", "jets", "moist ascent", "strong advection")


class Score(NamedTuple):
    """Area-weighted, of an estimate a of b: correlation about zero, RMS(a − b)/RMS(b), and the part of the area."""

    correlation: float
    ratio: float
    share: float

    def __str__(self) -> str:
        return "–" if self.share < 2e-4 else f"{self.correlation:.2f} / {self.ratio:.2f}"


class Sample(NamedTuple):
    """States and what is compared at them; fields (time, level, lat, lon), masks the same.

    x: unfiltered. x_t: the simulation's rates, filtered. estimates: K by name. masks: by regime.
    advection: |V·∇V| [m s-2]. coriolis: |f V| [m s-2].
    """

    x: LevelFields
    x_t: LevelFields
    estimates: dict[str, LevelFields]
    masks: dict[str, torch.Tensor]
    advection: torch.Tensor
    coriolis: torch.Tensor


class StillColumn(PressureColumn):
    """A column in which nothing rises or sinks."""

    def omega(self, divergence: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(divergence)


class World:
    """The operators of one grid and one set of levels, in double precision."""

    def __init__(self, grid: Grid, pressures: tuple[float, ...]) -> None:
        self.grid, self.pressures = grid, pressures
        self.spectral = SpectralFilter(grid, 2 / 3, dtype=torch.float64, device="cpu")
        self.column = PressureColumn(pressures, dtype=torch.float64, device="cpu")
        self.full = PrimitiveEquations(self.spectral, self.column, condensation=True)
        self.dry = PrimitiveEquations(self.spectral, self.column, condensation=False)
        still = StillColumn(pressures, dtype=torch.float64, device="cpu")
        self.still = PrimitiveEquations(self.spectral, still, condensation=False)
        self.proxy = HorizontalProxy(grid, dtype=torch.float64, device="cpu")
        self.latitude = torch.tensor(grid.latitudes, dtype=torch.float64)[:, None]
        self.weight = torch.tensor(grid.area_weights, dtype=torch.float64)[:, None]

    def sample(self, x: LevelFields, rate: LevelFields) -> Sample:
        """All that is compared at the states x with the simulation's rates of change."""
        estimates = {
            "full": in_batches(self.full, x),
            "full, dry": in_batches(self.dry, x),
            "full, ω = 0": in_batches(self.still, x),
            "proxy": self.filtered(in_batches(self.proxy, x)),
        }
        smooth = self.filtered(x)
        advection, coriolis = self.accelerations(smooth)
        masks = self.masks(smooth, advection)
        return Sample(x, self.filtered(rate), estimates, masks, advection, coriolis)

    def filtered(self, x: LevelFields) -> LevelFields:
        """Cut at the operator's wavenumber."""
        wind = self.spectral.winds(*self.spectral.potentials(x.u, x.v))
        return LevelFields(*wind, *(self.spectral.scalars(f) for f in x[2:]))

    def accelerations(self, x: LevelFields) -> tuple[torch.Tensor, torch.Tensor]:
        """|V·∇V| and |f V| [m s-2] of filtered fields."""
        vorticity = self.spectral.vorticity(self.spectral.potentials(x.u, x.v)[0])
        speed = torch.hypot(x.u, x.v)
        east, north = self.spectral.gradient(self.spectral.analysis(0.5 * speed.square()))
        return torch.hypot(east - vorticity * x.v, north + vorticity * x.u), self.spectral.f.abs() * speed

    def masks(self, x: LevelFields, advection: torch.Tensor) -> dict[str, torch.Tensor]:
        """The points of each regime, of filtered fields."""
        degrees = self.latitude.abs()
        inside = (degrees <= POLE).expand_as(x.t)
        humidity = relative_humidity_from_specific_humidity(x.q, x.t, self.column.pressure)
        speed = torch.hypot(x.u, x.v)[:, self.level(250), None]
        bound = self.quantiles(advection, [STRONG])[0]
        return {
            "all": inside,
            "tropics": inside & (degrees < 20),
            "mid-latitudes": inside & (degrees > 30) & (degrees < 60),
            "jets": inside & (speed > JET),
            "moist ascent": inside & (self.full.omega(x) < ASCENT) & (humidity > HUMID),
            "strong advection": inside & (advection > bound),
        }

    def quantiles(self, field: torch.Tensor, shares: list[float]) -> torch.Tensor:
        """(share, level, 1, 1) quantiles over times and points away from the poles, each level for itself."""
        rows = (self.latitude.abs() <= POLE).flatten()
        values = field[:, :, rows].transpose(0, 1).flatten(1)
        size = values.shape[1]
        places = [min(int(share * size), size - 1) for share in shares]
        return values.sort(dim=1).values[:, places].T[..., None, None]

    def level(self, hectopascal: float) -> int:
        """Index of a level from the top."""
        return self.pressures.index(100.0 * hectopascal)

    def score(self, a: torch.Tensor, b: torch.Tensor, mask: torch.Tensor) -> Score:
        """Of the estimate a of b, each (…, lat, lon)."""
        w = self.weight * mask
        if not w.any():
            return Score(float("nan"), float("nan"), 0.0)
        ab, aa, bb = (float((w * x * y).sum()) for x, y in ((a, b), (a, a), (b, b)))
        correlation = ab / (aa * bb) ** 0.5 if aa else 0.0
        return Score(correlation, (max(aa - 2 * ab + bb, 0.0) / bb) ** 0.5, float(w.sum()) / float(self.area(mask)))

    def pooled(self, a: torch.Tensor, b: torch.Tensor, mask: torch.Tensor) -> Score:
        """Over the levels 200 to 700 hPa, each in units of its own RMS of b."""
        free = self.free()
        size = (b[:, free].square() * self.weight).sum(-2, keepdim=True).mean((0, 3), keepdim=True).sqrt()
        return self.score(a[:, free] / size, b[:, free] / size, mask[:, free])

    def free(self) -> slice:
        """The levels 200 to 700 hPa."""
        return slice(self.level(200), self.level(700) + 1)

    def area(self, mask: torch.Tensor) -> torch.Tensor:
        """Of all points of a mask's shape."""
        return (self.weight + torch.zeros(mask.shape)).sum()


def in_batches(operator: Callable[[LevelFields], LevelFields], x: LevelFields) -> LevelFields:
    """The operator's answer for all times, some at a time."""
    parts = [operator(LevelFields(*part)) for part in zip(*(f.split(BATCH) for f in x), strict=True)]
    return LevelFields(*(torch.cat(field) for field in zip(*parts, strict=True)))


def without_mean(x: LevelFields) -> LevelFields:
    """The changes: the mean over the times taken out at every point."""
    return LevelFields(*(f - f.mean(0) for f in x))
