"""The summary of a feedback: counts and departures per variable.

With d = y − H(x), over the observations used (Σ n):  bias = Σ d / n,  RMS = √(Σ d² / n),  J_o/n = Σ (d/σ_o)² / n.
J_o/n of the background is 1 + (σ_b/σ_o)² where the statistics are right; of the analysis it is below 1.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phyda_cli.observations.feedback import Feedback
from phyda_cli.observations.table import Flag


@dataclass(frozen=True)
class Departure:
    """bias, rms: of a departure, SI. cost: J_o/n. NaN where there is none to average."""

    bias: float
    rms: float
    cost: float


@dataclass(frozen=True)
class VariableSummary:
    """One variable. total = used + the sum of `rejected` (count by `Flag` name, in lower case)."""

    variable: str
    total: int
    used: int
    rejected: dict[str, int]
    background: Departure
    analysis: Departure


def summarise(feedback: Feedback) -> tuple[VariableSummary, ...]:
    """One entry for every variable among the input rows, in the order of first appearance."""
    observations = feedback.observations
    before, after = feedback.background_departure, feedback.analysis_departure
    entries = []
    for variable in dict.fromkeys(observations.variable.tolist()):
        mine = observations.variable == variable
        used = mine & observations.used
        flags = Counter(Flag(int(flag)).name.lower() for flag in observations.flag[mine & ~observations.used])
        error = observations.error[used]
        entries.append(
            VariableSummary(
                variable=str(variable),
                total=int(mine.sum()),
                used=int(used.sum()),
                rejected=dict(sorted(flags.items())),
                background=_departure(before[used], error),
                analysis=_departure(after[used], error),
            )
        )
    return tuple(entries)


def format_summary(summary: tuple[VariableSummary, ...]) -> str:
    """The table for people, one line a variable."""
    head = f"{'variable':<9}{'in':>8}{'used':>8}  {'Jo/n':>15}  {'bias O-B → O-A':>23}  {'RMS O-B → O-A':>23}  rejected"
    lines = [head]
    for entry in summary:
        b, a = entry.background, entry.analysis
        rejected = ", ".join(f"{name} {count}" for name, count in entry.rejected.items()) or "none"
        lines.append(
            f"{entry.variable or '?':<9}{entry.total:>8}{entry.used:>8}  {_pair(b.cost, a.cost, 6, '.2f')}"
            f"  {_pair(b.bias, a.bias, 10, '.3g')}  {_pair(b.rms, a.rms, 10, '.3g')}  {rejected}"
        )
    return "\n".join(lines)


def _departure(departure: NDArray[np.float64], error: NDArray[np.float64]) -> Departure:
    if departure.size == 0:
        return Departure(np.nan, np.nan, np.nan)
    square = departure**2
    return Departure(float(departure.mean()), float(np.sqrt(square.mean())), float((square / error**2).mean()))


def _pair(before: float, after: float, width: int, form: str) -> str:
    def text(value: float) -> str:
        return "-" if np.isnan(value) else format(value, form)

    return f"{text(before):>{width}} → {text(after):>{width}}"
