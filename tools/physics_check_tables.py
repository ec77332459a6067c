"""The tables of docs/physics.md, as Markdown rows."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping

import torch
from physics_check_data import SIX_HOURS
from physics_check_world import REGIMES, Sample, Score, World, without_mean

from phyda_cli.constants import R_DRY
from phyda_cli.fields.state import Channel
from phyda_cli.grids.grid import Grid
from phyda_cli.physics.balance_residuals import hydrostatic_residual
from phyda_cli.physics.level_fields import VARIABLES, LevelFields
from phyda_cli.physics.residuals import PhysicsConfig, PhysicsOperator

FIFTHS = 5


def cost_rows(grid: Grid, channels: tuple[Channel, ...], states: torch.Tensor) -> Iterator[str]:
    """Processor milliseconds a state, single precision, one thread: of K, or of the hydrostatic residual."""
    yield "| physics | forward [ms] | forward and backward [ms] |"
    yield "|---|---:|---:|"
    for depth in ("hydrostatic", "proxy", "full"):
        operator = PhysicsOperator(PhysicsConfig(physics=depth), channels, grid)
        compute = operator.hydrostatic_residual if depth == "hydrostatic" else operator.tendency
        forward, both = [], []
        for _ in range(9):
            x = states.clone().requires_grad_()
            start = time.process_time()
            loss = compute(x).square().sum()
            forward.append(time.process_time() - start)
            loss.backward()
            both.append(time.process_time() - start)
        scale = 1e3 / states.shape[0]
        yield f"| {depth} | {statistics.median(forward) * scale:.2f} | {statistics.median(both) * scale:.2f} |"


def summary_rows(world: World, sample: Sample, *, changes: bool = False) -> Iterator[str]:
    """Every field, operator and regime over the levels 200 to 700 hPa."""
    yield "| field | operator | " + " | ".join(REGIMES) + " |"
    yield "|---|---|" + "---:|" * len(REGIMES)
    for name in VARIABLES:
        for label in sample.estimates:
            scores = summary(world, sample, name, label, changes=changes)
            if scores:
                yield f"| {name} | {label} | " + " | ".join(str(scores[r]) for r in REGIMES) + " |"


def summary(world: World, sample: Sample, name: str, label: str, *, changes: bool = False) -> dict[str, Score]:
    """The scores of one field and operator by regime; none where the operator has no equation for the field."""
    k, x_t = sample.estimates[label], sample.x_t
    if changes:
        k, x_t = without_mean(k), without_mean(x_t)
    a, b = getattr(k, name), getattr(x_t, name)
    return {r: world.pooled(a, b, sample.masks[r]) for r in REGIMES} if a.any() else {}


def level_rows(world: World, sample: Sample, label: str) -> Iterator[str]:
    """Every field, level and regime of one operator."""
    yield "| field | " + " | ".join(REGIMES) + " |"
    yield "|---|" + "---:|" * len(REGIMES)
    for name in VARIABLES:
        a, b = getattr(sample.estimates[label], name), getattr(sample.x_t, name)
        for level in reversed(range(len(world.pressures))) if a.any() else ():
            scores = (world.score(a[:, level], b[:, level], sample.masks[r][:, level]) for r in REGIMES)
            yield f"| {name}{world.pressures[level] / 100:g} | " + " | ".join(map(str, scores)) + " |"


class Fifth:
    """The scores at the points of one fifth of |V·∇V|, of each level, 200 to 700 hPa: the wind's and of t."""

    def __init__(self, world: World, sample: Sample, number: int, latitudes: tuple[float, float]) -> None:
        free = world.free()
        bounds = world.quantiles(sample.advection, [i / FIFTHS for i in range(1, FIFTHS)])
        lower = bounds[number - 1] if number else torch.full_like(bounds[0], -1.0)
        upper = bounds[number] if number < FIFTHS - 1 else torch.full_like(bounds[0], float("inf"))
        degrees = world.latitude.abs()
        mask = (sample.advection > lower) & (sample.advection <= upper)
        mask = mask & (degrees >= latitudes[0]) & (degrees <= latitudes[1])
        w = (world.weight * mask)[:, free]
        squares = ((w * f[:, free].square()).sum() for f in (sample.advection, sample.coriolis))
        advection, coriolis = (float(x) for x in squares)
        self.rossby = (advection / coriolis) ** 0.5
        """RMS |V·∇V| / RMS |f V|."""
        b = sample.x_t
        both = torch.cat([mask, mask])
        self.wind: dict[str, Score] = {}
        self.temperature: dict[str, Score] = {}
        for label in ("full", "proxy"):
            a = sample.estimates[label]
            self.wind[label] = world.pooled(torch.cat([a.u, a.v]), torch.cat([b.u, b.v]), both)
            self.temperature[label] = world.pooled(a.t, b.t, mask)


def fifths(world: World, sample: Sample, latitudes: tuple[float, float]) -> list[Fifth]:
    """From the weakest advection to the strongest."""
    return [Fifth(world, sample, number, latitudes) for number in range(FIFTHS)]


def fifth_rows(parts: Mapping[str, list[Fifth]]) -> Iterator[str]:
    """By latitudes and fifth."""
    yield "| latitudes | fifth | V·∇V / f V | wind, full | wind, proxy | t, full | t, proxy |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for latitudes, rows in parts.items():
        for number, fifth in enumerate(rows, 1):
            wind, warmth = fifth.wind, fifth.temperature
            cells = (wind["full"], wind["proxy"], warmth["full"], warmth["proxy"])
            yield f"| {latitudes} | {number} | {fifth.rossby:.2f} | " + " | ".join(map(str, cells)) + " |"


def hydrostatic_rows(world: World, sample: Sample) -> Iterator[str]:
    """The thickness's rate of change from that of T_v, against that of Φ; and the residual itself."""
    yield "| layer [hPa] | thickness change | thickness [m² s⁻²] | residual, mean | residual, RMS about its mean |"
    yield "|---|---:|---:|---:|---:|"
    x, x_t = sample.x, sample.x_t
    warmer = x._replace(t=x.t + SIX_HOURS * x_t.t, q=x.q + SIX_HOURS * x_t.q)
    rate = (warmer.virtual_temperature - x.virtual_temperature) / SIX_HOURS
    predicted = 0.5 * R_DRY * (rate[:, :-1] + rate[:, 1:]) * world.column.layers
    actual = x_t.z[:, :-1] - x_t.z[:, 1:]
    residual = hydrostatic_residual(x, world.column)
    for layer in reversed(range(len(world.pressures) - 1)):
        score = world.score(predicted[:, layer], actual[:, layer], sample.masks["all"][:, layer])
        mean = float((residual[:, layer] * world.weight).sum(-2).mean())
        about = residual[:, layer] - residual[:, layer].mean(0)
        spread = float((about.square() * world.weight).sum(-2).mean()) ** 0.5
        depth = float(((x.z[:, layer] - x.z[:, layer + 1]) * world.weight).sum(-2).mean())
        top, bottom = world.pressures[layer] / 100, world.pressures[layer + 1] / 100
        yield f"| {bottom:g}–{top:g} | {score} | {depth:.0f} | {mean:.1f} | {spread:.1f} |"


def reference_rows(world: World, short: Sample, long: LevelFields, minutes: float) -> Iterator[str]:
    """`full` against both references at the same states, and these against each other."""
    yield f"| field | full and ±{minutes:g} min | full and ±6 h | ±6 h and ±{minutes:g} min |"
    yield "|---|---:|---:|---:|"
    k, inside = short.estimates["full"], short.masks["all"]
    for name in VARIABLES:
        pairs = ((k, short.x_t), (k, long), (long, short.x_t))
        scores = (world.pooled(getattr(a, name), getattr(b, name), inside) for a, b in pairs)
        yield f"| {name} | " + " | ".join(map(str, scores)) + " |"
