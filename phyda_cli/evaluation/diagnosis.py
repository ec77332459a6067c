"""What the departures of many cycles say, from sums that grow with the number of groups and not with that of the rows.

With d_b = y − H(x_b), d_a = y − H(x_a) and the σ_o that was assumed, over the n rows of a group:

    bias = Σ d / n,     RMS = √(Σ d² / n),     J_o/n = Σ (d/σ_o)² / n
    σ_o² = Σ d_a d_b / n,     σ_b² = Σ (d_b − d_a) d_b / n                      over used rows

Groups are a variable, and a variable at a standard level, of a report type, at a station and in a cycle (one feedback
file); used, withheld, monitored and rejected rows are kept apart. The estimates of σ_o and σ_b are exact in expectation
where the analysis is linear and weighs with the right covariances; with wrong ones they move from what was assumed
towards the truth, so that they may be iterated. Their standard error is that of a mean of independent products: rows of
one report are not independent, so it is a lower bound.
Source: Desroziers et al. (2005), Diagnosis of observation, background and analysis-error statistics.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.evaluation.levels import nearest_standard_level
from phyda_cli.fields.display import aligned, arrow, display, number
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.observations.passive import is_set_aside
from phyda_cli.observations.summary import Departure
from phyda_cli.observations.table import Feedback, Flag, Use

FEWEST: Final = 30
"""Used rows below which σ_o and σ_b are not estimated."""
LEAST: Final = 10
"""Rows below which a station is not among the worst."""
FATES: Final = ("used", "withheld", "monitored", "rejected")
_NO_LEVEL: Final = -1.0
_SUMS: Final = 11
_JUDGED: Final = (
    Flag.BOUNDS, Flag.CLOUD, Flag.FIRST_GUESS, Flag.TRACK, Flag.BUDDY, Flag.PROFILE, Flag.HISTORY,
    Flag.SUPER_REFRACTION,
)  # fmt: skip
"""Verdicts on the value of a row: only rows rejected for one of these have departures to speak of."""

Array = NDArray[np.float64]
Key = tuple[str, str, str | float]
"""Fate, variable and what else makes the group."""


@dataclass(frozen=True)
class Group:
    """Rows of one fate and variable, over everything or at one level [Pa], report type, station or cycle. SI.

    of: the level, report type, station or number of the file; empty for all of the variable, None for a single level.
    assumed: root mean square of σ_o. sigma_o, sigma_b: Desroziers' estimates, NaN where there are fewer than FEWEST
    used rows or the product is not positive. sigma_o_error: one standard error of σ_o.
    """

    fate: str
    variable: str
    of: str | float | None
    count: int
    background: Departure
    analysis: Departure
    assumed: float
    sigma_o: float
    sigma_o_error: float
    sigma_b: float


@dataclass(frozen=True)
class Station:
    """One variable at a station. background: O − B of its used and rejected rows together."""

    station: str
    variable: str
    used: int
    rejected: int
    background: Departure


@dataclass(frozen=True)
class Cycle:
    """One feedback file. time: the median of its rows' times, NaT without any."""

    path: str
    time: np.datetime64
    rows: int
    used: int


@dataclass
class Diagnosis:
    """Sums over the feedback files that `add` has been given."""

    cycles: list[Cycle] = field(default_factory=list)
    verdicts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Rows by variable, report type and verdict: a fate, or the name of a flag in lower case."""
    _sums: dict[str, dict[Key, Array]] = field(
        default_factory=lambda: {name: {} for name in ("variables", "levels", "reports", "stations", "cycles")}
    )

    def add(self, feedback: Feedback, path: str = "") -> None:
        """Count the rows of one more feedback."""
        o = feedback.observations
        fate = np.full(len(o), "", dtype="U9")
        fate[o.used] = "used"
        fate[is_set_aside(o, Use.WITHHOLD)] = "withheld"
        fate[is_set_aside(o, Use.MONITOR)] = "monitored"
        names = np.array([Flag(int(flag)).name.lower() for flag in o.flag], dtype="U16")
        verdict = np.where(fate == "", names, fate)
        self.verdicts.update(zip(o.variable.tolist(), o.report.tolist(), verdict.tolist(), strict=True))
        fate[(fate == "") & np.isin(o.flag, _JUDGED)] = "rejected"

        before, after = feedback.background_departure, feedback.analysis_departure
        rows = (fate != "") & np.isfinite(before) & np.isfinite(after) & (o.error > 0)
        sums = _products(before[rows], after[rows], o.error[rows])
        single = np.array([not VARIABLES[name].pressure_level for name in o.variable[rows]], dtype=bool)
        others = {
            "variables": np.full(int(rows.sum()), ""),
            "levels": np.where(single, _NO_LEVEL, nearest_standard_level(o.pressure[rows])),
            "reports": o.report[rows].astype(str),
            "stations": o.station[rows].astype(str),
            "cycles": np.full(int(rows.sum()), float(len(self.cycles))),
        }
        for name, other in others.items():
            _accumulate(self._sums[name], fate[rows], o.variable[rows].astype(str), other, sums)
        times = o.time[~np.isnat(o.time)]
        middle = np.sort(times)[times.size // 2] if times.size else np.datetime64("NaT", "ns")
        self.cycles.append(Cycle(path, middle, len(o), int(o.used.sum())))

    def groups(self, name: str) -> tuple[Group, ...]:
        """Return the groups of `variables`, `levels`, `reports`, `stations` or `cycles`, in the order of fate and
        variable.

        Levels go from the ground up, all others in increasing order.
        """
        sums, order = self._sums[name], list(VARIABLES)
        keys = sorted(sums, key=lambda key: key[2], reverse=name == "levels")
        keys.sort(key=lambda key: (FATES.index(key[0]), order.index(key[1])))
        return tuple(_group(key, sums[key]) for key in keys)

    def worst_stations(self, count: int) -> tuple[Station, ...]:
        """Return the stations and variables with the largest J_o/n of O − B, those with the largest first.

        A station whose values were rejected is as bad as they are, so that rejected rows count.
        """
        sums = self._sums["stations"]
        found = []
        for variable, station in {(variable, of) for fate, variable, of in sums if fate in ("used", "rejected")}:
            used, rejected = (sums.get((fate, variable, station), np.zeros(_SUMS)) for fate in ("used", "rejected"))
            both = used + rejected
            if station != "" and both[0] >= LEAST:
                found.append(
                    Station(str(station), variable, int(used[0]), int(rejected[0]), Departure.of(both[0], both[1:4]))
                )
        return tuple(sorted(found, key=lambda s: (-s.background.cost, s.station, s.variable))[:count])


def _products(before: Array, after: Array, error: Array) -> Array:
    """(n, _SUMS) what is summed over the rows of a group."""
    cost = error**-2.0
    return np.stack(
        [
            np.ones_like(before), before, before**2, before**2 * cost, after, after**2, after**2 * cost,
            after * before, (after * before) ** 2, (before - after) * before, error**2,
        ],
        axis=1,
    )  # fmt: skip


def _accumulate(
    held: dict[Key, Array], fate: NDArray[np.str_], variable: NDArray[np.str_], other: NDArray[np.generic], sums: Array
) -> None:
    """Add rows to the sums of their groups."""
    parts = [np.unique(column, return_inverse=True) for column in (fate, variable, other)]
    code = np.zeros(len(fate), dtype=np.int64)
    for values, index in parts:
        code = code * max(values.size, 1) + index
    _, first, where = np.unique(code, return_index=True, return_inverse=True)
    totals = np.stack([np.bincount(where, weights=column, minlength=first.size) for column in sums.T], axis=1)
    for row, total in zip(first, totals, strict=True):
        key: Key = (str(fate[row]), str(variable[row]), other[row].item())
        held[key] = held[key] + total if key in held else total


def _group(key: Key, s: Array) -> Group:
    fate, variable, of = key
    n = s[0]
    product, spread, rest = s[7] / n, s[8] / n, s[9] / n
    sigma_o = sigma_b = sigma_o_error = float("nan")
    if fate == "used" and n >= FEWEST:
        sigma_o, sigma_b = _root(product), _root(rest)
        scatter = np.sqrt(max(spread - product**2, 0.0) / (n - 1))
        sigma_o_error = float(scatter / (2.0 * sigma_o))
    return Group(
        fate, variable, None if of == _NO_LEVEL else of, int(n), Departure.of(n, s[1:4]), Departure.of(n, s[4:7]),
        _root(s[10] / n), sigma_o, sigma_o_error, sigma_b,
    )  # fmt: skip


def _root(square: float) -> float:
    return float(np.sqrt(square)) if square > 0 else float("nan")


def format_diagnosis(diagnosis: Diagnosis, worst: int) -> str:
    """Return the tables for people, in familiar units; worst: how many stations are shown."""
    groups = {name: diagnosis.groups(name) for name in ("variables", "levels", "reports", "cycles")}
    tables = [("variable", [_head(""), *(_row(g, "") for g in groups["variables"])])]
    levels = [(g, f"{g.of / 100:g}") for g in groups["levels"] if isinstance(g.of, float)]
    if levels:
        tables.append(("variable and level", [_head("hPa"), *(_row(*pair) for pair in levels)]))
    if any(g.of for g in groups["reports"]):
        tables.append(("report type", [_head("report"), *(_row(g, str(g.of) or "?") for g in groups["reports"])]))
    if len(diagnosis.cycles) > 1:
        times = [f"{np.datetime_as_string(c.time, unit='h')}Z" for c in diagnosis.cycles]
        rows = [_row(g, times[int(g.of)]) for g in groups["cycles"] if isinstance(g.of, float)]
        tables.append(("cycle", [_head("about"), *rows]))
    if stations := diagnosis.worst_stations(worst):
        head = ["station", "variable", "unit", "used", "rejected", "Jo/n O-B", "bias O-B", "RMS O-B"]
        rows = [_station(station) for station in stations]
        tables.append((f"station, the {len(rows)} with the largest Jo/n", [head, *rows]))
    tables.append(("verdict", [["variable", "rows", "verdicts"], *_verdicts(diagnosis)]))
    used, rows_in = (sum(getattr(c, name) for c in diagnosis.cycles) for name in ("used", "rows"))
    first = f"feedback of {len(diagnosis.cycles)} cycles: {rows_in} rows, {used} used"
    return "\n".join([first, *(f"\nby {title}\n{aligned(rows, left=3)}" for title, rows in tables)])


def _head(what: str) -> list[str]:
    departures = ("Jo/n O-B → O-A", "bias O-B → O-A", "RMS O-B → O-A")
    return ["rows are", "variable", what, "unit", "n", *departures, "σ_o assumed", "σ_o", "±", "σ_b"]


def _row(group: Group, what: str) -> list[str]:
    factor, _, unit = display(group.variable)
    b, a = group.background, group.analysis
    return [
        group.fate, group.variable, what, unit, str(group.count), arrow((b.cost, a.cost), ".2f"),
        arrow((factor * b.bias, factor * a.bias), ".3g"), arrow((factor * b.rms, factor * a.rms), ".3g"),
        *(number(factor * x) for x in (group.assumed, group.sigma_o, group.sigma_o_error, group.sigma_b)),
    ]  # fmt: skip


def _station(s: Station) -> list[str]:
    factor, _, unit = display(s.variable)
    d = s.background
    numbers = number(d.cost, ".2f"), number(factor * d.bias, ".3g"), number(factor * d.rms, ".3g")
    return [s.station, s.variable, unit, str(s.used), str(s.rejected), *numbers]


def _verdicts(diagnosis: Diagnosis) -> list[list[str]]:
    counts: dict[str, Counter[str]] = {}
    for (variable, _, verdict), count in diagnosis.verdicts.items():
        counts.setdefault(variable, Counter())[verdict] += count
    return [
        [variable or "?", str(own.total()), ", ".join(f"{name} {n}" for name, n in own.most_common())]
        for variable, own in counts.items()
    ]
