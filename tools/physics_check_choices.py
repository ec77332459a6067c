"""The choices inside `full` that docs/physics.md compares, each undone alone."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from physics_check_world import Sample, World, in_batches

from phyda_cli.constants import R_DRY
from phyda_cli.physics.level_fields import VARIABLES, LevelFields
from phyda_cli.physics.pressure_column import PressureColumn
from phyda_cli.physics.primitive_equations import PrimitiveEquations


class UncorrectedColumn(PressureColumn):
    """ω(p) = −∫₀ᵖ D dp′ alone, with D above the top level as on it."""

    def omega(self, divergence: torch.Tensor) -> torch.Tensor:
        pressure = self.pressure.flatten()
        first = divergence[..., :1, :, :] * pressure[0]
        below = torch.cumulative_trapezoid(divergence, pressure, dim=-3) + first
        return -torch.cat([first, below], dim=-3)


def choice_rows(world: World, sample: Sample) -> Iterator[str]:
    """Scores over 200 to 700 hPa, on all latitudes and in mid-latitudes."""
    column = UncorrectedColumn(world.pressures, dtype=torch.float64, device="cpu")
    uncorrected = PrimitiveEquations(world.spectral, column, condensation=True)
    full = sample.estimates["full"]
    variants = {
        "full": full,
        "state cut at n ≤ 20": in_batches(world.full, world.filtered(sample.x)),
        "ω not corrected": in_batches(uncorrected, sample.x),
        "Φ_t closed at the ground": full._replace(z=closed_at_the_ground(world, sample.x, full)),
    }
    yield "| regime | operator | " + " | ".join(VARIABLES) + " |"
    yield "|---|---|" + "---:|" * len(VARIABLES)
    for regime in ("all", "mid-latitudes"):
        mask = sample.masks[regime]
        for label, k in variants.items():
            scores = (world.pooled(getattr(k, name), getattr(sample.x_t, name), mask) for name in VARIABLES)
            yield f"| {regime} | {label} | " + " | ".join(map(str, scores)) + " |"


def closed_at_the_ground(world: World, x: LevelFields, k: LevelFields) -> torch.Tensor:
    """Φ_t = ω α − V·∇Φ on the lowest level, and the hydrostatic integral of T_v,t above it."""
    low = slice(-1, None)
    wide = world.spectral.uncut
    east, north = wide.gradient(wide.analysis(x.z[:, low]))
    alpha = R_DRY * x.virtual_temperature[:, low] / world.column.pressure[low]
    bottom = world.full.omega(x)[:, low] * alpha - x.u[:, low] * east - x.v[:, low] * north
    warmer = x._replace(t=x.t + 3600.0 * k.t, q=x.q + 3600.0 * k.q)
    warming = (warmer.virtual_temperature - x.virtual_temperature) / 3600.0
    return world.spectral.scalars(bottom + R_DRY * world.column.from_level(len(world.pressures) - 1, warming))
