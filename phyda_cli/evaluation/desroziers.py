"""Error sizes from the departures of an analysis, where they are consistent with what the analysis was told.

    σ_o² = ⟨(y − H x_a)(y − H x_b)⟩        σ_b² = ⟨(H x_a − H x_b)(y − H x_b)⟩

⟨·⟩ over the used rows of a variable and level. Exact in expectation where the analysis is linear and weighs with the
right covariances; with wrong ones the estimate moves from what was told towards the truth, so that it may be iterated.
The standard error is that of a mean of independent products: rows of one report are not, so take it as a lower bound.
Source: Desroziers et al. (2005), Diagnosis of observation, background and analysis-error statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.evaluation.compare import nearest_standard_level
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.observations.feedback import Feedback

FEWEST: Final = 30
"""Rows below which there is no estimate."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """One variable at one standard level [Pa] (None: a single-level variable), or at all of them (0). Everything SI.

    assumed: the root mean square σ_o that the analysis was told. sigma_o, sigma_b: the estimates, NaN where the product
    is not positive. sigma_o_error: of σ_o, one standard error.
    """

    variable: str
    level: float | None
    count: int
    assumed: float
    sigma_o: float
    sigma_o_error: float
    sigma_b: float


def estimate(feedbacks: Sequence[Feedback]) -> tuple[Estimate, ...]:
    """Estimates from one or several feedbacks, by variable and standard level, where there are enough used rows."""
    columns = [_used(feedback) for feedback in feedbacks]
    if not columns:
        return ()
    variable, level, before, after, error = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    entries = []
    for name in dict.fromkeys(variable.tolist()):
        own = variable == name
        single = not VARIABLES[name].pressure_level
        levels: list[float | None] = [None] if single else [0.0, *sorted(set(level[own].tolist()), reverse=True)]
        for p in levels:
            rows = own if p in (None, 0.0) else own & (level == p)
            if rows.sum() >= FEWEST:
                entries.append(_estimate(str(name), p, before[rows], after[rows], error[rows]))
    return tuple(entries)


def format_estimates(estimates: Sequence[Estimate]) -> str:
    """The table for people."""
    lines = [f"{'variable':<9}{'hPa':>6}{'rows':>9}{'σ_o told':>12}{'σ_o':>12}{'±':>10}{'σ_b':>12}  units"]
    for e in estimates:
        level = "-" if e.level is None else "all" if e.level == 0.0 else f"{e.level / 100:g}"
        numbers = "".join(
            f"{'-' if np.isnan(x) else format(x, '.4g'):>{w}}"
            for x, w in ((e.assumed, 12), (e.sigma_o, 12), (e.sigma_o_error, 10), (e.sigma_b, 12))
        )
        lines.append(f"{e.variable:<9}{level:>6}{e.count:>9}{numbers}  {VARIABLES[e.variable].units}")
    return "\n".join(lines)


def _used(feedback: Feedback) -> tuple[NDArray[np.object_], Floats, Floats, Floats, Floats]:
    o = feedback.observations
    before, after = feedback.background_departure, feedback.analysis_departure
    rows = o.used & np.isfinite(before) & np.isfinite(after)
    return o.variable[rows], nearest_standard_level(o.pressure[rows]), before[rows], after[rows], o.error[rows]


def _estimate(variable: str, level: float | None, before: Floats, after: Floats, error: Floats) -> Estimate:
    product = after * before
    sigma_o = _root(float(product.mean()))
    return Estimate(
        variable,
        level,
        int(before.size),
        float(np.sqrt(np.mean(error**2))),
        sigma_o,
        float(product.std(ddof=1)) / np.sqrt(before.size) / (2.0 * sigma_o),
        _root(float(((before - after) * before).mean())),
    )


def _root(square: float) -> float:
    return float(np.sqrt(square)) if square > 0 else float("nan")
