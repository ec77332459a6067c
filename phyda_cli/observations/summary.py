"""The summary of a feedback: counts and departures by variable and report type.

With d = y − G(x), over Σ n rows:  bias = Σ d / n,  RMS = √(Σ d² / n),  J_o/n = Σ (d/σ_o)² / n.
J_o/n of the background is 1 + (σ_b/σ_o)² where the statistics are right; of the analysis it is below 1. What was used,
withheld and monitored is kept apart: only withheld rows judge an analysis. Near the ground each row in use is also
compared with what its neighbours say of it, itself left out: the RMS of that, and over what was expected, where 1
is right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.fields.display import display
from phyda_cli.observations.passive import is_set_aside
from phyda_cli.observations.predicted import Predicted
from phyda_cli.observations.table import Feedback, Flag, Use

_HEAD: Final = f"{'Jo/n':>15}  {'bias O-B → O-A':>23}  {'RMS O-B → O-A':>23}"


@dataclass(frozen=True)
class Departure:
    """bias, rms: of a departure, SI. cost: J_o/n. NaN where there is none to average."""

    bias: float
    rms: float
    cost: float

    @classmethod
    def of(cls, count: float, sums: NDArray[np.float64]) -> Departure:
        """Take the means of Σ d, Σ d² and Σ (d/σ_o)² (3,) over so many rows."""
        bias, square, cost = (sums / count).tolist() if count else (np.nan,) * 3
        return cls(bias, float(np.sqrt(square)), cost)


@dataclass(frozen=True)
class Group:
    """Rows that share a fate. count: how many. background, analysis: O − B and O − A."""

    count: int
    background: Departure
    analysis: Departure


@dataclass(frozen=True)
class Summary:
    """One variable, of one report type or (report empty) of all.

    total = used + withheld + monitored + the sum of `rejected` (count by `Flag` name, in lower case). background,
    analysis: of the used rows. withheld, monitored: rows that passed the checks.
    """

    report: str
    variable: str
    total: int
    used: int
    rejected: dict[str, int]
    background: Departure
    analysis: Departure
    withheld: Group
    monitored: Group


@dataclass(frozen=True)
class LeftOut:
    """Rows near the ground of one variable. background, predicted: RMS of O − B and of O minus what others say, SI.

    ratio: RMS of that over the standard deviation expected.
    """

    variable: str
    count: int
    background: float
    predicted: float
    ratio: float


def left_out_of(feedback: Feedback, predicted: Predicted) -> tuple[LeftOut, ...]:
    """Return the scores of rows that others predict, by variable. predicted: of all rows."""
    o, found = feedback.observations, []
    for name in dict.fromkeys(o.variable.tolist()):
        rows = np.flatnonzero((o.variable == name) & np.isfinite(predicted.residual) & (predicted.count > 0))
        if rows.size:
            residual = predicted.residual[rows]
            before, after, ratio = (
                float(np.sqrt(np.mean(x**2)))
                for x in (feedback.background_departure[rows], residual, residual / predicted.expected[rows])
            )
            found.append(LeftOut(name, rows.size, before, after, ratio))
    return tuple(found)


def summarise(feedback: Feedback) -> tuple[Summary, ...]:
    """Return one entry for every variable among the input rows, in the order of first appearance."""
    variable = feedback.observations.variable
    return tuple(
        _summary(feedback, "", str(name), np.asarray(variable == name)) for name in dict.fromkeys(variable.tolist())
    )


def summarise_reports(feedback: Feedback) -> tuple[Summary, ...]:
    """Return one entry for every pair of report type and variable, in alphabetical order."""
    o = feedback.observations
    return tuple(
        _summary(feedback, report, variable, np.asarray((o.report == report) & (o.variable == variable)))
        for report, variable in sorted(set(zip(o.report.tolist(), o.variable.tolist(), strict=True)))
    )


def _summary(feedback: Feedback, report: str, variable: str, mine: NDArray[np.bool_]) -> Summary:
    o = feedback.observations
    aside = {use: mine & is_set_aside(o, use) for use in (Use.WITHHOLD, Use.MONITOR)}
    used = mine & o.used
    rest = mine & ~used & ~aside[Use.WITHHOLD] & ~aside[Use.MONITOR]
    flags = Counter(Flag(int(flag)).name.lower() for flag in o.flag[rest])
    own = _group(feedback, used)
    withheld, monitored = (_group(feedback, aside[use]) for use in (Use.WITHHOLD, Use.MONITOR))
    rejected = dict(sorted(flags.items()))
    return Summary(
        report, variable, int(mine.sum()), own.count, rejected, own.background, own.analysis, withheld, monitored
    )


def format_left_out(scores: Sequence[LeftOut]) -> str:
    """The table of rows that others predict; nothing without any."""
    if not scores:
        return ""
    lines = ["", f"{'each left out':<17}{'rows':>8}  {'unit':<6}{'RMS O-B':>10}{'of the rest':>13}{'/ expected':>12}"]
    for s in scores:
        factor, _, unit = display(s.variable)
        sizes = f"{factor * s.background:>10.3g}{factor * s.predicted:>13.3g}{s.ratio:>12.2f}"
        lines.append(f"{s.variable:<17}{s.count:>8}  {unit:<6}{sizes}")
    return "\n".join(lines)


def format_summary(summary: Sequence[Summary], reports: Sequence[Summary] = ()) -> str:
    """The tables for people: used rows by variable; what was withheld and monitored, if anything; report types."""
    lines = [f"{'variable':<9}{'in':>8}{'used':>8}  {'unit':<6}{_HEAD}  rejected"]
    for entry in summary:
        own = Group(entry.used, entry.background, entry.analysis)
        head = f"{entry.variable or '?':<9}{entry.total:>8}{_departures(own, entry.variable)}"
        lines.append(f"{head}  {_listed(entry.rejected.items())}")
    for title in ("withheld", "monitored"):
        groups = [(entry.variable, getattr(entry, title)) for entry in summary]
        if any(group.count for _, group in groups):
            lines += ["", f"{title:<17}{'rows':>8}  {'unit':<6}{_HEAD}"]
            lines += [f"{name:<17}{_departures(group, name)}" for name, group in groups if group.count]
    if reports:
        lines += ["", f"{'report type':<17}{'in':>8}{'used':>8}{'withheld':>10}{'monitored':>11}  rejected"]
        for report in dict.fromkeys(entry.report for entry in reports):
            own_entries = [entry for entry in reports if entry.report == report]
            counts = ((e.total, e.used, e.withheld.count, e.monitored.count) for e in own_entries)
            total, used, withheld, monitored = (sum(column) for column in zip(*counts, strict=True))
            rejected: Counter[str] = Counter()
            for entry in own_entries:
                rejected.update(entry.rejected)
            lines.append(
                f"{report or '?':<17}{total:>8}{used:>8}{withheld:>10}{monitored:>11}"
                f"  {_listed(sorted(rejected.items()))}"
            )
    return "\n".join(lines)


def _departures(group: Group, variable: str) -> str:
    """The departures of a group in familiar units: heights in m, humidity in g/kg."""
    b, a = group.background, group.analysis
    factor, _, unit = display(variable)
    bias, rms = (_pair(factor * x, factor * y, 10, ".3g") for x, y in ((b.bias, a.bias), (b.rms, a.rms)))
    return f"{group.count:>8}  {unit:<6}{_pair(b.cost, a.cost, 6, '.2f')}  {bias}  {rms}"


def _listed(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts) or "none"


def _group(feedback: Feedback, rows: NDArray[np.bool_]) -> Group:
    error = feedback.observations.error[rows]
    before, after = feedback.background_departure[rows], feedback.analysis_departure[rows]
    return Group(int(rows.sum()), _departure(before, error), _departure(after, error))


def _departure(departure: NDArray[np.float64], error: NDArray[np.float64]) -> Departure:
    square = departure**2
    return Departure.of(departure.size, np.array([departure.sum(), square.sum(), (square / error**2).sum()]))


def _pair(before: float, after: float, width: int, form: str) -> str:
    def text(value: float) -> str:
        return "-" if np.isnan(value) else format(value, form)

    return f"{text(before):>{width}} → {text(after):>{width}}"
