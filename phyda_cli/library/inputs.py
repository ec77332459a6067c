"""What an analysis is made of: backgrounds and observations from files or from objects in memory.

What comes as an xarray dataset or a pandas table is read as if it came from a NetCDF or CSV file: the same checks, the
same one line when something is wrong. Messages name the options of the command; `--member` is the keyword `member`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd
import xarray as xr

from phyda_cli.errors import BadDataError, UsageError
from phyda_cli.fields.state import State
from phyda_cli.formats.gridded.background import background_of, background_times, read_background
from phyda_cli.formats.gridded.contents import format_time
from phyda_cli.formats.gridded.layout import Background, describe
from phyda_cli.formats.gridded.members import MemberChoice
from phyda_cli.formats.reports import observations as reports
from phyda_cli.formats.reports.stations import read_stations
from phyda_cli.methods.material import Lagged
from phyda_cli.observations.rule import matching
from phyda_cli.observations.table import Observations, Use, concatenate
from phyda_cli.operators.first_guess import BackgroundTimes
from phyda_cli.settings.assimilate import BackgroundChoice, TableChoice, checked

FilePath = str | os.PathLike[str]
Gridded = FilePath | Sequence[FilePath] | xr.Dataset | Background
Reported = FilePath | TextIO | pd.DataFrame | Observations
Moment = str | datetime | np.datetime64

_log = logging.getLogger(__name__)


def open_background(
    source: Gridded,
    *,
    time: Moment | None = None,
    member: int | str | Sequence[int] | None = None,
    select: Mapping[str, str | float] | None = None,
) -> Background:
    """Read a background at one valid time, with all that its file or dataset holds.

    source: a file (GRIB, NetCDF or Zarr); several, which are parts of one background or the members of an ensemble; or
    an xarray dataset, which stays as it is. A background that is open already is returned.
    time: valid time (UTC), needed where there are several. member: a member of an ensemble, or several. select: choices
    along other dimensions, or of GRIB keys. Raises InputMissingError, BadDataError or UsageError.
    """
    if isinstance(source, Background):
        if time is not None or member is not None or select:
            raise UsageError("the background is open already: choose --time, --member and --select when opening it")
        return source
    choices = {key: str(value) for key, value in (select or {}).items()}
    chosen = checked(BackgroundChoice, time=_plain(time), member=member, select=choices)
    valid = None if chosen.time is None else np.datetime64(chosen.time, "ns")
    if isinstance(source, xr.Dataset):
        found = background_of(source, time=valid, member=chosen.member, select=chosen.select, as_stored=True)
    else:
        found = read_background(
            paths_of(source),
            time=valid,
            member=chosen.member,
            select=chosen.select,
            as_members=True,
            as_stored=True,
        )
    for note in found.notes:
        _log.info("background: %s", note)
    _log.info("background: %s", describe(found))
    return found


def read_observations(
    source: Reported | Sequence[Reported],
    *,
    time: Moment | None = None,
    stations: FilePath | None = None,
    units: Mapping[str, str] | None = None,
) -> Observations:
    """Read observations, checked and in SI; every row is kept, with a verdict.

    source: a file of any format that docs/formats.md lists; an open text stream; a pandas table with the columns of a
    CSV file; several of these; or observations that are read already.
    time: of the analysis (UTC), for reports that tell no day. stations: CSV file of the places of stations, for reports
    that have none. units: of columns that do not say theirs. Raises InputMissingError, BadDataError or UsageError.
    """
    beside = checked(TableChoice, stations=stations, units=dict(units or {}))
    analysed = checked(BackgroundChoice, time=_plain(time)).time
    reference = None if analysed is None else np.datetime64(analysed, "ns")
    places = None if beside.stations is None else read_stations(beside.stations)
    several = source if isinstance(source, Sequence) and not isinstance(source, str) else [source]
    if not several:
        raise UsageError("no observations were given; name a file with --obs")

    def read(one: Reported) -> Observations:
        if isinstance(one, Observations):
            return one
        content = Path(one) if isinstance(one, str | os.PathLike) else one
        return reports.read_observations(content, reference_time=reference, stations=places, units=beside.units)

    return concatenate([read(one) for one in several])


def withheld(observations: Observations, rule: str | None) -> Observations:
    """Return the observations, those that the rule names for withholding. Raises UsageError for a rule that is none."""
    if rule is None:
        return observations
    named = matching(observations, rule)
    if not named.any():
        _log.warning("--withhold %r names none of %d observations", rule, len(observations))
    return replace(observations, use=np.where(named, Use.WITHHOLD.value, observations.use))


def first_guesses(
    paths: Sequence[Path],
    background: Background,
    *,
    member: MemberChoice = None,
    select: Mapping[str, str] | None = None,
) -> BackgroundTimes:
    """Return the states of files at other times, each read when it is needed. Raises UsageError for an ensemble."""
    if paths and background.member is not None:
        raise UsageError("--fgat: needs one background, not the members of an ensemble; choose one with --member")
    one = member if isinstance(member, int) else None

    def reader(time: np.datetime64, holding: tuple[Path, ...]) -> Callable[[], State]:
        return lambda: read_background(holding, time=time, member=one, select=select).state

    return {time: reader(time, holding) for time, holding in background_times(paths, select).items()}


def lagged_forecasts(
    source: Gridded | Sequence[Gridded], background: Background, *, select: Mapping[str, str] | None = None
) -> tuple[Lagged, ...]:
    """Return other forecasts valid at the background's time; files are read when they are needed.

    source: a file, a dataset or what `open_background` returns, or several; each is one forecast, or the members of
    one. Raises BadDataError for one of another time, and what reading raises.
    """
    own = background.state.time

    def opened(one: Gridded) -> Lagged:
        if isinstance(one, str | os.PathLike):
            path = Path(one)
            check(str(path), list(background_times([path], select)))
            return Lagged(str(path), lambda: read_background([path], time=own, select=select).state)
        found = open_background(one)
        check(found.sources[0], [found.state.time])
        return Lagged(found.sources[0], lambda: found.state)

    def check(name: str, times: Sequence[np.datetime64]) -> None:
        if times and own not in times:
            held = ", ".join(map(format_time, times[:3])) + (", …" if len(times) > 3 else "")
            raise BadDataError(
                f"{name}: valid at {held}, the background at {format_time(own)}; --lagged takes forecasts "
                "of the same time"
            )

    several = source if isinstance(source, Sequence) and not isinstance(source, str) else [source]
    return tuple(map(opened, several))


def paths_of(source: object) -> list[Path]:
    """Return the files among what may be one file, several, or something in memory."""
    several = source if isinstance(source, Sequence) and not isinstance(source, str) else [source]
    return [Path(one) for one in several if isinstance(one, str | os.PathLike)]


def _plain(time: Moment | None) -> str | datetime | None:
    return pd.Timestamp(time).to_pydatetime() if isinstance(time, np.datetime64) else time
