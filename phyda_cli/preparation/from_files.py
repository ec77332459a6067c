"""A training store from a user's data: analyses as truth, forecasts valid at the same times as backgrounds.

Data are GRIB and NetCDF files, one date or many in each, and Zarr stores, local or behind a URL (`sources.py`). A
forecast is paired with the analysis of its valid time; one that has none is left out and counted. The store holds those
of the 69 channels of the models of phyda that everything has: u, v, t, q, z on pressure levels, msl, and the air near
the ground.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError, UsageError
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.formats.gridded.lazy import lazy_states
from phyda_cli.formats.gridded.location import Location, is_zarr
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.preparation.catalogue import catalogue
from phyda_cli.preparation.material import Material
from phyda_cli.preparation.sources import FilesSource, Joined, Source, StoreSource, covers, source_paths
from phyda_cli.preparation.split import GAP_HOURS, PARTS, Splits, moment, split_by_fraction, split_by_year
from phyda_cli.preparation.store import channels_of
from phyda_cli.preparation.writer import identity_of, version_of
from phyda_cli.simulation.config import LEVEL_FIELDS, STANDARD_LEVELS

Hours = NDArray[np.int64]

_log = logging.getLogger(__name__)

VARIABLES_OF_STORE: Final = (*LEVEL_FIELDS, "msl", "t2m", "u10", "v10")
"""What a store holds of those that all sources have."""
LONGEST_LEAD: Final = 48
"""Without a choice of leads those of forecasts are taken up to this [h]: backgrounds are short."""
_ROWS: Final = (64, 32)
"""Rows of the grid of the models of phyda, and of the coarser one that serves coarser data."""


@dataclass(frozen=True)
class Choice:
    """What of the data goes into a store, and how.

    rows: of the grid, evenly spaced without the poles, with twice as many columns; None: 64, or 32 where the data are
    coarser. levels: [Pa], from the ground up; None: those of 1000 to 50 hPa that all data reach.
    leads: of forecasts [h]; None: all up to 48. lead_hours: of forecasts whose files do not tell their start.
    start, end: dates from which and before which states are taken [hours since 1970]. every: interval of the hours at
    which analyses are taken, counted from 00 UTC [h]. years: of validation and test; None: shares of the time.
    """

    rows: int | None = None
    levels: tuple[float, ...] | None = None
    leads: tuple[int, ...] | None = None
    lead_hours: int | None = None
    start: int | None = None
    end: int | None = None
    every: int | None = None
    years: tuple[int, int] | None = None


def files_material(analyses: Sequence[Location], forecasts: Sequence[Location], choice: Choice = Choice()) -> Material:
    """Return what a store of a user's data is made of.

    Raises BadDataError when nothing pairs up, a lead is unknown, or data lack variables or levels; what `lazy_states`
    and `catalogue` raise.
    """
    truths, begun = _sources(analyses, forecasts=False), _sources(forecasts, forecasts=True)
    times, of_truths = _analyses(truths, choice)
    init, valid, of_forecasts, others = _forecasts(begun, choice)
    paired = np.isin(valid, times)
    if not paired.any():
        raise BadDataError(
            f"none of {valid.size} forecasts (from {forecasts[0]} on) is valid at the time of one of {times.size}"
            f" analyses (from {analyses[0]} on); give data of the same dates"
        )
    splits = _splits(times, choice.years)
    init, valid, of_forecasts = init[paired], valid[paired], of_forecasts[paired]
    _check_parts(splits, init, valid)
    every = [*truths, *begun]
    variables = _variables(truths, begun)
    levels = _levels(every, variables, choice.levels)
    channels = channels_of(variables, levels)
    if not channels:
        raise BadDataError(f"{analyses[0]} and {forecasts[0]}: have none of {', '.join(VARIABLES_OF_STORE)} in common")
    grid = _grid(every, choice.rows)
    config = {"analyses": [str(p) for p in analyses], "forecasts": [str(p) for p in forecasts]}
    return Material(
        source=f"{times.size} analyses from {analyses[0]} on, {init.size} forecasts from {forecasts[0]} on",
        seed=None,
        config=config,
        channels=channels,
        grid=grid,
        splits=splits,
        times=times,
        states=Joined(tuple(truths), of_truths, channels, grid),
        init_times=init,
        valid_times=valid,
        forecasts=Joined(tuple(begun), of_forecasts, channels, grid),
        skipped={"forecasts_without_truth": int(np.sum(~paired)), "forecasts_of_other_leads": others},
        identity=identity_of([(str(path), version_of(path)) for path in source_paths(every)]),
    )


def _sources(places: Sequence[Location], *, forecasts: bool) -> list[Source]:
    """Return every store as a source of its own, and all files together as one."""
    found: list[Source] = []
    for place in places:
        if is_zarr(place):
            states = lazy_states(place, VARIABLES_OF_STORE)
            for note in states.notes:
                _log.info("%s", note)
            found.append(StoreSource(states))
    files = [place for place in places if isinstance(place, Path) and not is_zarr(place)]
    if files:
        found.append(FilesSource(tuple(catalogue(files, forecasts=forecasts))))
    for source in found:
        if source.grid.rim is not None:
            raise BadDataError(f"{source.name}: covers a part of the globe only; a training store is global")
    return found


def _analyses(sources: Sequence[Source], choice: Choice) -> tuple[Hours, Hours]:
    """Return the times (row,) of the analyses, and their numbers (row, source); of two of a time the latest start."""
    each = [hours(source.valid) for source in sources]
    chosen = [_within(valid, choice) & _at(valid, choice.every) for valid in each]
    times = np.unique(np.concatenate([valid[kept] for valid, kept in zip(each, chosen, strict=True)]))
    if not times.size:
        raise BadDataError(f"{sources[0].name}: holds no analysis at the times that were asked for")
    table = np.full((times.size, len(sources)), -1, np.int64)
    for place, (source, valid, kept) in enumerate(zip(sources, each, chosen, strict=True)):
        numbers = np.flatnonzero(kept)
        order = np.argsort(source.start[numbers], kind="stable")  # NaT, no start, last
        table[np.searchsorted(times, valid[numbers[order]]), place] = numbers[order]
    return times, table


def _forecasts(sources: Sequence[Source], choice: Choice) -> tuple[Hours, Hours, Hours, int]:
    """Return start and valid time (row,) of the forecasts by start and lead, their numbers (row, source), and how many
    have other leads.
    """
    keys: list[NDArray[np.int64]] = []
    numbers: list[Hours] = []
    others: list[int] = []
    for source in sources:
        valid = hours(source.valid)
        kept = np.flatnonzero(_within(valid, choice))
        init = _begun(source, valid, choice.lead_hours)
        lead = (valid - init)[kept]
        wanted = (lead > 0) & (lead <= LONGEST_LEAD) if choice.leads is None else np.isin(lead, choice.leads)
        others += lead[~wanted].tolist()
        numbers.append(kept[wanted])
        keys.append(np.stack([init[kept][wanted], valid[kept][wanted]], axis=1))
    rows = np.unique(np.concatenate(keys), axis=0)
    if not rows.size:
        asked = f"up to {LONGEST_LEAD}" if choice.leads is None else _listed(choice.leads)
        there = f"has {_listed(sorted(set(others)))} h; choose with --leads" if others else "has none at all then"
        raise BadDataError(f"{sources[0].name}: no forecast has a lead of {asked} h at the times asked for; it {there}")
    if others:
        _log.info("%d forecasts with other leads are left out; choose with --leads", len(others))
    table = np.full((len(rows), len(sources)), -1, np.int64)
    span = np.int64(1 + rows[:, 1].max() - rows[:, 1].min())
    flat = rows[:, 0] * span + rows[:, 1]
    for place, (key, own) in enumerate(zip(keys, numbers, strict=True)):
        table[np.searchsorted(flat, key[:, 0] * span + key[:, 1]), place] = own
    return rows[:, 0], rows[:, 1], table, len(others)


def _begun(source: Source, valid: Hours, lead_hours: int | None) -> Hours:
    """Return the starts of forecasts [hours]; `lead_hours` fills in where nothing tells them."""
    unknown = np.isnat(source.start)
    if unknown.any() and lead_hours is None:
        first = source.valid[np.flatnonzero(unknown)[0]]
        raise BadDataError(
            f"{source.name}: tells no start of the forecast valid {first}Z; give its lead with --lead-hours"
        )
    start = source.start.copy()
    start[unknown] = source.valid[unknown] - np.timedelta64(lead_hours or 0, "h")
    return hours(start)


def _within(times: Hours, choice: Choice) -> NDArray[np.bool_]:
    first = -np.inf if choice.start is None else choice.start
    end = np.inf if choice.end is None else choice.end
    return np.asarray((times >= first) & (times < end))


def _at(times: Hours, every: int | None) -> NDArray[np.bool_]:
    return np.asarray(np.ones(times.shape, bool) if every is None else times % every == 0)


def _variables(truths: Sequence[Source], forecasts: Sequence[Source]) -> list[str]:
    """Return the variables that both sides have; those that are missing are said."""
    lacking: dict[str, list[str]] = {}
    for side, sources in (("analyses", truths), ("forecasts", forecasts)):
        for name in VARIABLES_OF_STORE:
            if all(source.held(name) is None for source in sources):
                lacking.setdefault(name, []).append(side)
    for name, sides in lacking.items():
        _log.warning("%s (%s) is not in the %s: the store goes without", name, _long(name), " and ".join(sides))
    return [name for name in VARIABLES_OF_STORE if name not in lacking]


def _long(name: str) -> str:
    return VARIABLES[name].long_name.lower()


def _levels(sources: Sequence[Source], variables: Sequence[str], wanted: tuple[float, ...] | None) -> tuple[float, ...]:
    """Return the levels of the store [Pa]: those asked for, or the standard ones that every variable reaches."""
    if wanted is not None:
        return wanted
    columns = [
        levels
        for source in sources
        for name in variables
        if VARIABLES[name].pressure_level and (levels := source.held(name)) is not None
    ]
    held = [[level for level in levels if level is not None] for levels in columns]
    standard = [100.0 * level for level in STANDARD_LEVELS]
    reached = tuple(level for level in standard if all(covers(levels, level) for levels in held))
    if len(reached) < len(standard):
        left = _listed([level / 100 for level in standard if level not in reached])
        _log.warning("the data do not reach %s hPa: the store goes without", left)
    return reached


def _grid(sources: Sequence[Source], rows: int | None) -> LatLonGrid:
    """Return the grid of the store. Raises UsageError for one that would hold nothing but interpolation."""
    coarsest = max(sources, key=lambda source: source.grid.spacing)
    if rows is None:
        fine = LatLonGrid.equiangular(_ROWS[0], 2 * _ROWS[0])
        return fine if coarsest.grid.spacing <= 1.1 * fine.spacing else LatLonGrid.equiangular(_ROWS[1], 2 * _ROWS[1])
    grid = LatLonGrid.equiangular(rows, 2 * rows)
    if coarsest.grid.spacing > 2.0 * grid.spacing:
        _log.warning("%s: its grid is much coarser than that of the store, %s", coarsest.name, grid)
    return grid


def _check_parts(splits: Splits, init: Hours, valid: Hours) -> None:
    """Raises BadDataError for a part to train or to validate on that would be empty; says so of the test part."""
    code = splits.pair_code(init, valid)
    for number, part in enumerate(PARTS):
        if (code == number).any():
            continue
        start, end = map(moment, splits.interval(part))
        says = f"none of {code.size} forecasts starts and ends in the {part} part, {start} to {end}"
        if part != "test":
            raise BadDataError(f"{says}; give more dates, or choose the parts by --validation-year and --test-year")
        _log.warning("%s: the store will serve training, but no phyda experiment on its test part", says)


def _splits(times: Hours, years: tuple[int, int] | None) -> Splits:
    step = int(np.min(np.diff(times))) if times.size > 1 else 1
    start, end = int(times[0]), int(times[-1]) + step
    if years is None:
        return split_by_fraction(start, end, gap_hours=GAP_HOURS)
    return split_by_year(start, end, validation=years[0], test=years[1])


def hours(times: NDArray[np.datetime64]) -> Hours:
    """Return hours since 1970-01-01 00 UTC. Raises BadDataError for a time that is no whole hour."""
    seconds = np.asarray(times, dtype="datetime64[s]").astype(np.int64)
    between = np.flatnonzero(seconds % 3600)
    if between.size:
        raise BadDataError(
            f"a state is valid at {np.asarray(times).ravel()[between[0]]}, which is no full hour; a training store "
            "holds full hours only"
        )
    return np.asarray(seconds // 3600)


def rows_of_spacing(degrees: float) -> int:
    """Return the rows of the even grid of a spacing [degree]. Raises UsageError where 180 is no multiple of it."""
    rows = round(180.0 / degrees) if degrees > 0 else 0
    if not 8 <= rows <= 2048 or abs(rows * degrees - 180.0) > 0.02:
        near = ", ".join(f"{180.0 / n:g}" for n in (32, 64, 128, 256))
        raise UsageError(f"--grid {degrees:g}: 180 degrees must be a whole number of steps; {near} for example")
    return rows


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
