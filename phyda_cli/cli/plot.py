"""`phyda plot`: an analysis and its observations as one picture or one page."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from phyda_cli.console import console
from phyda_cli.errors import BadDataError, UsageError

if TYPE_CHECKING:
    from phyda_cli.evaluation.departures import CycleDepartures
    from phyda_cli.evaluation.sheet import Section
    from phyda_cli.grids.base import Grid


class Kind(StrEnum):
    """The sections that there may be."""

    MAPS = "maps"
    OBSERVATIONS = "observations"
    HISTOGRAMS = "histograms"
    PROFILES = "profiles"
    SERIES = "series"


_FIRST: Final = ("z500", "t850", "t2m", "t500", "u250", "msl")
"""The channel that is shown, the first of these that the analysis holds."""


def plot(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The picture, .png, or one page with all of it, .html.")
    ],
    analysis: Annotated[
        Path | None, typer.Option("--analysis", "-a", metavar="FILE", help="Analysis, for maps; needs --background.")
    ] = None,
    background: Annotated[
        list[Path] | None, typer.Option("--background", "-b", metavar="FILE", help="Its background. Repeatable.")
    ] = None,
    feedback: Annotated[
        list[Path] | None,
        typer.Option(
            "--feedback", "-f", metavar="FILE", help="Its feedback; of several cycles their course. Repeatable."
        ),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Truth on the same grid: the maps show errors instead.")
    ] = None,
    spread: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its spread, where it is a file of its own (--spread-out).")
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Choice in the background, as of phyda assimilate. Repeatable."),
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Channel of the maps, such as z500, t850 or t2m. Repeatable."),
    ] = None,
    variable: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Variable of the departures. Repeatable.")
    ] = None,
    report: Annotated[
        list[str] | None, typer.Option(metavar="TYPE", help="Report type of the observations. Repeatable.")
    ] = None,
    level: Annotated[
        float | None, typer.Option(metavar="HPA", help="Observations nearest to this standard level alone.")
    ] = None,
    only: Annotated[
        list[Kind] | None, typer.Option(help="Draw these sections alone. Repeatable. [default: all]")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a picture that exists.")] = False,
) -> None:
    """Draw maps of analysis, increment and spread, what became of the observations, and their departures.

    With the feedback of several cycles also the course of counts, bias, RMS, spread over skill and scale. Needs
    phyda[plot]; everything works without a network.
    """
    from phyda_cli.cli.targets import check_inputs, check_outputs
    from phyda_cli.evaluation.sheet import as_html, as_png
    from phyda_cli.outputs import atomic_path
    from phyda_cli.settings.values import parse_choices

    choice = parse_choices(select or [], "--select", "month=1")
    if out.suffix.casefold() not in (".png", ".html", ".htm"):
        raise UsageError(f"--out {out}: a picture's name ends in .png or .html")
    if (analysis is None) != (not background):
        raise UsageError("maps need both --analysis and --background")
    if analysis is None and not feedback:
        raise UsageError("nothing to draw: give --analysis with --background, --feedback, or both")
    if analysis is None and (channel or truth is not None or spread is not None):
        raise UsageError("--channel, --truth and --spread are of maps: give --analysis with --background")
    inputs = [*([] if analysis is None else [analysis]), *(background or []), *(feedback or []),
              *(one for one in (truth, spread) if one is not None)]  # fmt: skip
    check_inputs(inputs)
    check_outputs({"--out": out}, inputs, overwrite=overwrite)
    cycles = _cycles(feedback or [], variable, report, level)
    sections: list[Section] = []
    grid: Grid | None = None
    if analysis is not None and background:
        grid, sections = _maps(analysis, background, choice, truth, spread, channel, cycles)
    sections = [one for one in (*sections, *_departures(cycles, grid)) if not only or one.kind in only]
    if not sections:
        raise UsageError("nothing to draw: these inputs have no such section")
    if out.suffix.casefold() == ".png":
        picture = as_png(sections)
    else:
        note = ", ".join(str(path) for path in inputs[:6]) + (f" and {len(inputs) - 6} more" if len(inputs) > 6 else "")
        picture = as_html(sections, title=f"{(analysis or out).stem}: analysis and observations", note=note).encode()
    with atomic_path(out, overwrite=overwrite) as temporary:
        temporary.write_bytes(picture)
    console.result(str(out), {"status": "ok", "output": out, "sections": [section.heading for section in sections]})


def _cycles(
    paths: list[Path], variables: list[str] | None, reports: list[str] | None, level: float | None
) -> list[CycleDepartures]:
    """Return the feedback of the files, of the rows that are asked for, in the order of their times.

    Raises UsageError where no row is left.
    """
    import numpy as np

    from phyda_cli.evaluation.departures import CycleDepartures
    from phyda_cli.evaluation.levels import nearest_standard_level
    from phyda_cli.formats.feedback.netcdf import read_feedback, read_log

    cycles, held = [], 0
    for path in paths:
        feedback = read_feedback(path)
        o = feedback.observations
        rows = np.ones(len(o), np.bool_)
        if variables:
            rows &= np.isin(o.variable.astype(str), variables)
        if reports:
            rows &= np.isin(o.report.astype(str), reports)
        if level is not None:
            rows &= nearest_standard_level(o.pressure) == nearest_standard_level(np.array([100.0 * level]))
        held += int(rows.sum())
        scale = float(read_log(path).get("background_error_scale", np.nan))
        cycles.append(CycleDepartures.of(feedback.take(rows), scale))
    if paths and not held:
        raise UsageError("no row of the feedback is of that variable, report type and level")
    return sorted(cycles, key=lambda one: str(one.time))


def _maps(
    analysis: Path,
    background: list[Path],
    choice: dict[str, str],
    truth: Path | None,
    own_spread: Path | None,
    channels: list[str] | None,
    cycles: list[CycleDepartures],
) -> tuple[Grid, list[Section]]:
    """Return the grid and the maps of the channels, with the departures of the cycle at the analysis' time."""
    from functools import partial

    from phyda_cli.evaluation import plots
    from phyda_cli.evaluation.departures import nearest
    from phyda_cli.evaluation.sheet import Section
    from phyda_cli.formats.gridded.background import read_background
    from phyda_cli.formats.gridded.spread import read_spread, read_spread_file

    after = read_background([analysis])
    state = after.state
    opened = read_background(background, time=state.time, select=choice, as_members=True)
    before = opened.ensemble_mean().state
    if before.grid != state.grid:
        raise BadDataError(f"{analysis} and {background[0]}: on different grids; give the background of this analysis")
    true = None if truth is None else read_background([truth], time=state.time).state
    spread = read_spread(analysis, after) if own_spread is None else read_spread_file(own_spread, after)
    by_name = {str(one): one for one in state.channels if one in before.channels}
    sections = []
    for name in channels or [next((one for one in _FIRST if one in by_name), next(iter(by_name)))]:
        if name not in by_name:
            raise UsageError(f"--channel {name}: {analysis} holds no such channel; there are {', '.join(by_name)}")
        maps = plots.select_maps(by_name[name], before, state, nearest(cycles, state.time), true, spread)
        sections.append(
            Section("maps", plots.heading(maps), plots.caption(maps), plots.height(maps), partial(plots.draw, maps))
        )
    return state.grid, sections


def _departures(cycles: list[CycleDepartures], grid: Grid | None) -> list[Section]:
    """Return the sections about the observations of all cycles."""
    from phyda_cli.evaluation.departure_charts import sections

    return sections(cycles, grid) if cycles else []
