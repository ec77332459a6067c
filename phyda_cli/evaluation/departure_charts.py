"""Charts of departures (`departures.py`): where observations were used and rejected, histograms and profiles before and
after the analysis, and their course over many cycles.

Colours are those of Okabe and Ito, which people with any colour vision tell apart, and every group has its own marker
or line too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.evaluation.departures import (
    FEWEST,
    CycleDepartures,
    commonest_verdicts,
    course,
    filled_levels,
    joined,
    shown_variables,
    verdicts,
)
from phyda_cli.evaluation.map_view import INK, MUTED, MapView, map_of
from phyda_cli.evaluation.sheet import Section
from phyda_cli.fields.display import display
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.grids.base import Grid
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.observations.table import Feedback

VERDICTS, HISTOGRAMS = "Observations used and rejected", "Departures before and after"
PROFILES, SERIES = "Departures by level", "Over the cycles"
"""Headings of the sections."""
BEFORE, AFTER = "#D55E00", "#0072B2"
_FATES: Final = (  # colour and marker of the commonest verdicts
    ("#D55E00", "X"), ("#E69F00", "s"), ("#CC79A7", "^"), ("#56B4E9", "D"), ("#F0E442", "v"), ("#009E73", "P"),
)  # fmt: skip
_USED: Final = "#0072B2"
_BINS: Final = 41


def sections(cycles: Sequence[CycleDepartures], grid: Grid | None) -> list[Section]:
    """Return what is drawn of at least one cycle: places and verdicts, histograms, profiles; of several, their course.

    grid: whose map shows the places; None: the globe.
    """
    every = joined([one.feedback for one in cycles])
    view = map_of(grid if grid is not None else LatLonGrid((-90.0, 0.0, 90.0), (0.0, 90.0, 180.0, 270.0)))
    names = shown_variables(every)
    many = f" of {len(cycles)} cycles" if len(cycles) > 1 else ""
    rows = f"{len(every.observations)} rows{many}, {int(every.observations.used.sum())} used."
    tall = float(np.clip(7.2 * view.shape, 3.0, 8.0)) + 1.8
    found = [
        Section(
            "observations", VERDICTS,
            f"{rows} Each place has the mark of the commonest verdict of its rows; "
            "the numbers count rows; verdicts are the flags of the feedback.",
            tall, partial(draw_observations, feedback=every, view=view),
        )
    ]  # fmt: skip
    if not names:
        return found
    found.append(
        Section(
            "histograms", HISTOGRAMS,
            "Observation minus background (filled) and minus analysis (line) of the used rows, with mean and standard "
            "deviation; what lies beyond the ends, 1 %, counts in the last bins. Used rows are no independent judge of "
            "the analysis.",
            3.0, partial(draw_histograms, feedback=every, names=names),
        )
    )  # fmt: skip
    upper = [name for name in names if VARIABLES[name].pressure_level and filled_levels(every, name)[0].size]
    if upper:
        found.append(
            Section(
                "profiles", PROFILES,
                "Bias and RMS of the used rows at the standard level nearest in ln p, before (orange) and after "
                f"(blue); levels with fewer than {FEWEST} rows are left out.",
                4.6, partial(draw_profiles, feedback=every, names=upper),
            )
        )  # fmt: skip
    if len(cycles) > 1:
        found.append(
            Section(
                "series", SERIES,
                "Used rows, bias and RMS of their departures before (orange) and after (blue). Spread over skill is of "
                "withheld rows: the error expected of spread and observation over the RMS of O − A, 1 where it is "
                "right. The scale is that of the background errors.",
                7.6, partial(draw_series, cycles=cycles, names=names[:4]),
            )
        )  # fmt: skip
    return found


def _head(drawing: Any, text: str) -> None:
    drawing.text(0.05, 0.975, text, fontsize=15, fontweight="bold", color=INK, va="top")


def draw_observations(drawing: Any, feedback: Feedback, view: MapView) -> None:
    """Draw a map of the places with the verdicts of their rows, and how many rows of each variable have which."""
    _head(drawing, VERDICTS)
    o, said = feedback.observations, verdicts(feedback)
    counts = Counter(said.tolist())
    used = counts.pop("used", 0)
    named = [name for name, _ in counts.most_common(len(_FATES))]
    grid = drawing.add_gridspec(
        1, 2, left=0.05, right=0.985, bottom=0.19, top=0.86, width_ratios=[1.9, 1.0], wspace=0.2
    )
    axes = drawing.add_subplot(grid[0])
    view.land(axes)
    latitude, longitude, commonest = commonest_verdicts(o, said)
    for name, colour, marker, size in (
        ("used", _USED, "o", 7.0),
        *((name, colour, marker, 15.0) for name, (colour, marker) in zip(named, _FATES, strict=False)),
    ):
        mine = commonest == name
        view.scatter(
            axes, latitude[mine], longitude[mine], s=size, color=colour, marker=marker, edgecolors="white",
            linewidths=0.3, zorder=4, label=f"{name} {used if name == 'used' else counts[name]}",
        )  # fmt: skip
    view.decorate(axes)
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=4, fontsize=8.5, frameon=False, handletextpad=0.2,
        columnspacing=1.2, labelcolor=INK, markerscale=1.6,
    )  # fmt: skip
    _title(axes, "Places of the observations, by what became of them")
    _draw_counts(drawing.add_subplot(grid[1]), o.variable, said, named)


def _draw_counts(axes: Any, variable: NDArray[np.object_], said: NDArray[np.str_], named: Sequence[str]) -> None:
    held = set(variable.tolist())
    names = [name for name in VARIABLES if name in held][::-1]
    left = np.zeros(len(names))
    others = [name for name in dict.fromkeys(said.tolist()) if name not in ("used", *named)]
    for verdict, colour in [
        ("used", _USED),
        *((name, colour) for name, (colour, _) in zip(named, _FATES, strict=False)),
        *((name, MUTED) for name in others),
    ]:
        counts = np.array([float(((variable == name) & (said == verdict)).sum()) for name in names])
        axes.barh(names, counts, left=left, color=colour, height=0.72, edgecolor="white", linewidth=0.4)
        left += counts
    for row, total in enumerate(left):
        axes.text(total, row, f" {total:.0f}", va="center", fontsize=8, color=MUTED)
    axes.set_xlim(0.0, 1.18 * max(left.max(initial=1.0), 1.0))
    axes.set_xlabel("rows", fontsize=9, color=INK)
    _plain(axes)
    _title(axes, "Rows by variable")


def draw_histograms(drawing: Any, feedback: Feedback, names: Sequence[str]) -> None:
    """Draw the departures of the used rows before and after, one panel a variable."""
    _head(drawing, HISTOGRAMS)
    grid = drawing.add_gridspec(1, len(names), left=0.05, right=0.985, bottom=0.2, top=0.78, wspace=0.22)
    o = feedback.observations
    for column, name in enumerate(names):
        axes = drawing.add_subplot(grid[column])
        shown = display(name)
        mine = o.used & (o.variable == name)
        before, after = (shown.factor * d[mine] for d in (feedback.background_departure, feedback.analysis_departure))
        before, after = before[np.isfinite(before)], after[np.isfinite(after)]
        end = float(np.percentile(np.abs(np.concatenate([before, after])), 99.0)) if before.size else 1.0
        edges = np.linspace(-end, end, _BINS) if end > 0 else np.linspace(-1.0, 1.0, _BINS)
        for values, colour, filled, label in ((before, BEFORE, True, "O − B"), (after, AFTER, False, "O − A")):
            if not values.size:
                continue
            axes.hist(np.clip(values, edges[0], edges[-1]), edges, color=colour, alpha=0.3 if filled else 1.0,
                      histtype="stepfilled" if filled else "step", linewidth=1.6)  # fmt: skip
            axes.plot([], [], color=colour, linewidth=5 if filled else 1.6, alpha=0.5 if filled else 1.0,
                      label=f"{label}  {np.mean(values):+.2g} ± {np.std(values):.2g}".replace("-", "−"))  # fmt: skip
        axes.axvline(0.0, color=MUTED, linewidth=0.6)
        axes.legend(loc="lower left", bbox_to_anchor=(-0.03, 0.99), fontsize=7.5, frameon=False, handlelength=1.0,
                    labelcolor=INK, borderpad=0.0, labelspacing=0.1)  # fmt: skip
        axes.set_yticks([])
        axes.set_xlabel(f"{name} [{shown.unit}]", fontsize=9, color=INK)
        _plain(axes)


def draw_profiles(drawing: Any, feedback: Feedback, names: Sequence[str]) -> None:
    """Draw bias and RMS of the used rows by level before and after, one panel a variable, with their numbers."""
    _head(drawing, PROFILES)
    grid = drawing.add_gridspec(1, len(names), left=0.05, right=0.985, bottom=0.17, top=0.84, wspace=0.12)
    first, ends = None, []
    for column, name in enumerate(names):
        axes = drawing.add_subplot(grid[column], sharey=first)
        first = axes if first is None else first
        shown = display(name)
        levels, level, mine = filled_levels(feedback, name)
        ends += [levels.min(), levels.max()]
        for departure, colour, marker, label in (
            (feedback.background_departure, BEFORE, "o", "O − B"),
            (feedback.analysis_departure, AFTER, "s", "O − A"),
        ):
            rows = shown.factor * departure[mine]
            bias = [np.mean(rows[level == p]) for p in levels]
            rms = [np.sqrt(np.mean(rows[level == p] ** 2)) for p in levels]
            hpa = levels / 100.0
            style = {"color": colour, "marker": marker, "markersize": 3.5}
            axes.plot(rms, hpa, linewidth=1.6, label=f"{label} RMS", **style)
            axes.plot(bias, hpa, linewidth=1.0, linestyle=(0, (3, 2)), label=f"{label} bias", **style)
        axes.axvline(0.0, color=MUTED, linewidth=0.6)
        axes.set_xlabel(f"{name} [{shown.unit}]", fontsize=9, color=INK)
        _plain(axes)
        if column:
            axes.tick_params(labelleft=False)
        else:
            axes.set_yscale("log")
            axes.set_ylabel("pressure [hPa]", fontsize=9, color=INK)
            drawing.legend(
                *axes.get_legend_handles_labels(), loc="upper right", ncols=4, fontsize=8.5, frameon=False,
                bbox_to_anchor=(0.985, 0.985), labelcolor=INK,
            )  # fmt: skip
    if first is not None:
        ticks = [1000, 850, 700, 500, 300, 200, 100, 50, 20, 10]
        first.set_yticks(ticks, [str(tick) for tick in ticks])
        first.set_yticks([], minor=True)
        first.set_ylim(max(ends) / 100.0 * 1.08, min(ends) / 100.0 / 1.08)


def draw_series(drawing: Any, cycles: Sequence[CycleDepartures], names: Sequence[str]) -> None:
    """Draw used rows, bias, RMS, spread over skill and scale against time, one column a variable."""
    _head(drawing, SERIES)
    rows = course(cycles, names)
    kinds = [("used rows", ("count",)), ("bias", ("bias_b", "bias_a")), ("RMS", ("rms_b", "rms_a"))]
    if np.isfinite([r["skill"] for own in rows.values() for r in own]).any():
        kinds.append(("spread / skill", ("skill",)))
    if any(np.isfinite(one.scale) for one in cycles):
        kinds.append(("scale of σ$_b$", ("scale",)))
    grid = drawing.add_gridspec(
        len(kinds), len(names), left=0.065, right=0.985, bottom=0.09, top=0.88, wspace=0.28, hspace=0.22
    )
    times = np.array([one.time for one in cycles])
    for column, name in enumerate(names):
        shown = display(name)
        for row, (label, keys) in enumerate(kinds):
            axes = drawing.add_subplot(grid[row, column])
            for key in keys:
                values = np.array([entry[key] for entry in rows[name]])
                values = values * (shown.factor if label in ("bias", "RMS") else 1.0)
                colour, marker = (BEFORE, "o") if key.endswith("_b") else (AFTER, "s")
                axes.plot(times, values, color=colour, marker=marker, markersize=3, linewidth=1.2,
                          label="O − B" if key.endswith("_b") else "O − A")  # fmt: skip
            axes.margins(y=0.15)
            if label == "bias":
                axes.axhline(0.0, color=MUTED, linewidth=0.6)
            elif label != "spread / skill":
                axes.set_ylim(bottom=0.0)
            else:
                axes.axhline(1.0, color=MUTED, linewidth=0.6)
            _time_axis(axes, last=row == len(kinds) - 1)
            if column == 0:
                axes.set_ylabel(label, fontsize=9, color=INK)
            if row == 0:
                _title(axes, f"{name} [{shown.unit}]")
            if row == 2 and column == 0:
                axes.legend(fontsize=8, frameon=False, labelcolor=INK)
            _plain(axes)


def _time_axis(axes: Any, *, last: bool) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=2, maxticks=5)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.tick_params(labelbottom=last)


def _title(axes: Any, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=10.5, color=INK, pad=5)


def _plain(axes: Any) -> None:
    axes.tick_params(labelsize=8.5, length=2.5, color=MUTED, labelcolor=MUTED)
    axes.grid(color=MUTED, linewidth=0.25, alpha=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set(linewidth=0.6, color=MUTED, visible=side in ("left", "bottom"))
