"""DART observation sequences in text (`obs_seq.out`, `obs_seq.final`): one row for each observation, in file order.

    header      types by number, number of copies and QC fields, their names, first and last of the linked list
    OBS n       value of every copy, of every QC field, previous and next in the list (and a third link)
    obdef       loc3d: longitude, latitude [radians], vertical place, what it is; kind; lines of the type's own;
                seconds and days since 1601-01-01; error variance σ_o²

Read of it are the copy that is the observation, its place, time and σ_o. −888888 is DART's missing value. What counts:

- QC fields that came with the observation (`Data QC`, `NCEP QC index`, …): 0 to 3 are used, DART's own default; higher
  ones are PRE_QC.
- `DART quality control` of a `.final` file: 6 (bad incoming QC) and 7 (outlier) are PRE_QC; 1, 3 (evaluated only) and
  5 (not in the namelist) are monitored. 0, 2, 4 and 8 are used: they say how that run fared, and its operator that
  failed (4, 8) is not this one. Any other number is PRE_QC.
- An observation that the linked list leaves out was deleted with DART's tools: PRE_QC.
- Places by height, model level or scale height, and none at all: H_FAILED for variables on pressure levels, since H
  knows pressure only. At the surface the vertical place is the elevation.
- What a type is: the quantity is the end of its name (`ACARS_U_WIND_COMPONENT`, `METAR_U_10_METER_WIND`), the platform
  what stands before it. Units are SI; quantities in other units are not in the table: altimeter settings are hPa and no
  pressure at any place, precipitable water is not in one unit everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.fields.variables import QUANTITIES, Variable, index
from phyda_cli.formats.reports.build import Given, Reports, reject_unplaced, reports_of, uses, without_missing
from phyda_cli.formats.reports.cells import Floats
from phyda_cli.formats.reports.columns import WORST_USED_MARK
from phyda_cli.formats.reports.dart_text import Header, read_sequence
from phyda_cli.observations.dart_flags import DartQC
from phyda_cli.observations.table import Flag, Observations

_MISSING: Final = -888888.0
_EPOCH: Final = np.datetime64("1601-01-01", "s")
_OWN_QC: Final = "dart quality control"
_NOT_OBSERVED: Final = ("truth", "mean", "spread", "member", "prior", "posterior")
_UNDEFINED, _SURFACE, _LEVEL, _PRESSURE, _HEIGHT, _SCALE_HEIGHT = -2, -1, 1, 2, 3, 4
_UNPLACED: Final = {
    _UNDEFINED: "at no vertical place", _SURFACE: "at the surface without its pressure", _LEVEL: "by model level",
    _HEIGHT: "by height", _SCALE_HEIGHT: "by scale height",
}  # fmt: skip
_USED_HERE: Final = (
    DartQC.ASSIMILATED, DartQC.ASSIMILATED_POSTERIOR_FAILED, DartQC.FORWARD_OPERATOR_FAILED,
    DartQC.VERTICAL_CONVERSION_FAILED,
)  # fmt: skip
_MONITORED_HERE: Final = (DartQC.EVALUATED_ONLY, DartQC.EVALUATED_POSTERIOR_FAILED, DartQC.NOT_IN_NAMELIST)
_MEANINGS: Final = {DartQC.BAD_INCOMING_QC: "bad incoming QC", DartQC.OUTLIER: "an outlier"}

PLATFORMS: Final = {
    "": "", "RADIOSONDE": "sonde", "DROPSONDE": "dropsonde", "PILOT": "pilot", "PROFILER": "profiler", "VADWND": "vad",
    "AIRCRAFT": "aircraft", "ACARS": "aircraft", "AMDAR": "aircraft", "SAT": "satwind", "CIMMS_AMV": "satwind",
    "AIRS": "airs", "ATOV": "atovs", "QKSWND": "scatterometer", "LAND": "synop", "LAND_SFC": "synop", "SYNOP": "synop",
    "METAR": "metar", "MESONET": "msonet", "MARINE": "ship", "MARINE_SFC": "ship", "SHIP": "ship",
}  # fmt: skip
"""Begin of a type's name → report type. Others are not known: ocean and radiance types end like these."""


def dart_names(rows: Iterable[Variable]) -> dict[str, str]:
    """Short names by the ends of DART's names of types."""
    return index(lambda row: row.dart, rows)


_NAMES: Final = dart_names(QUANTITIES.values())


def read_dart(path: Path, label: str, given: Given) -> Reports:
    """Read a DART observation sequence.

    Raises InputMissingError when the file cannot be read, BadDataError when it is binary, damaged, cut off, of a model
    without latitudes and longitudes, or without observed values.
    """
    del given  # a sequence tells its times
    header, records = read_sequence(path)
    n_copies, n_marks = len(header.copies), len(header.marks)
    start = records.start
    value = records.numbers(
        start + 1 + header.copies.index(_observed(header, label)), "a value", columns=1, missing=True
    )[:, 0]
    marks = [
        (name, records.numbers(start + 1 + n_copies + i, f"a value of {name}", columns=1, missing=True)[:, 0])
        for i, name in enumerate(header.marks)
    ]
    at = start + 1 + n_copies + n_marks
    links = records.numbers(at, "three links", columns=3)[:, 1]
    records.expect(at + 1, "obdef")
    records.expect(at + 2, "loc3d")
    place = records.numbers(at + 3, "longitude, latitude, vertical place and its kind", columns=4, missing=True)
    records.expect(at + 4, "kind")
    kind = records.numbers(at + 5, "the number of a type", columns=1)[:, 0]
    clock = records.numbers(records.stop - 2, "seconds and days", columns=2)
    variance = records.numbers(records.stop - 1, "an error variance", columns=1, missing=True)[:, 0]

    vertical, which = np.where(place[:, 2] == _MISSING, np.nan, place[:, 2]), place[:, 3]
    variable, report = _kinds(kind, header)
    own = next((mark for name, mark in marks if _OWN_QC in name.casefold()), np.full(value.size, _MISSING))
    variance = np.where(variance == _MISSING, np.nan, variance)
    observations = Observations.build(
        label,
        variable=variable,
        latitude=_degrees(place[:, 1]),
        longitude=_degrees(place[:, 0]),
        pressure=np.where(which == _PRESSURE, vertical, np.nan),
        value=np.where(value == _MISSING, np.nan, value),
        error=np.sqrt(np.where(variance > 0, variance, np.nan)),
        time=_times(clock),
        report=report,
        elevation=np.where(which == _SURFACE, vertical, np.nan),
        use=uses(np.isin(own, _MONITORED_HERE)),
    )
    result = without_missing(observations)
    result = result.reject(np.isnat(result.time), Flag.MISSING, "time is not within the years 1678 to 2261")
    result = result.reject(variance <= 0, Flag.BOUNDS, lambda i: f"error variance {variance[i]:g} is not positive")
    result = result.reject(~_linked(header, links, label), Flag.PRE_QC, "deleted: not in the file's linked list")
    for name, mark in marks:
        result = _reject_marked(result, name, mark)
    result = reject_unplaced(
        result,
        which != _PRESSURE,
        lambda i: (
            f"placed {_UNPLACED.get(which[i], f'by which_vert {which[i]:g}')}"
            f"{f' ({vertical[i]:g} m)' if which[i] == _HEIGHT else ''}; H needs a pressure"
        ),
    )
    return reports_of(result)


def _observed(header: Header, label: str) -> str:
    candidates = [name for name in header.copies if not any(word in name.casefold() for word in _NOT_OBSERVED)]
    for fits in (r"observations?", r".*\bobservations?", r".*observation.*"):
        found = [name for name in candidates if re.fullmatch(fits, name.casefold())]
        if found:
            return found[0]
    if len(header.copies) == len(candidates) == 1:
        return candidates[0]
    raise BadDataError(
        f"{label}: no copy is the observation, there are: {', '.join(map(repr, header.copies)) or 'none'}; "
        "name it 'observation' with obs_sequence_tool"
    )


def _kinds(kind: Floats, header: Header) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Short names and report types (n,); types that phyda does not know keep DART's name."""
    codes, numbers = pd.factorize(kind)
    names = [header.types.get(int(number), f"type {number:g}") for number in numbers]
    known = [find_kind(name) or (name, name.partition("_")[0].casefold()) for name in names]
    variables, reports = (np.array([pair[i] for pair in known] + [""], dtype=object)[codes] for i in (0, 1))
    return variables, reports


def find_kind(name: str) -> tuple[str, str] | None:
    """Return the short name and report type of a DART type, or None when it is not one that phyda knows."""
    for quantity, variable in _NAMES.items():
        platform = name.removesuffix(quantity).removesuffix("_")
        if name.endswith(quantity) and platform in PLATFORMS:
            return variable, PLATFORMS[platform]
    return None


def _times(clock: Floats) -> NDArray[np.datetime64]:
    """Return seconds and days of the Gregorian calendar (n, 2) → UTC; NaT outside the years that nanoseconds hold."""
    seconds, days = (np.where(np.abs(column) < 1e9, column, 0.0).astype(np.int64) for column in clock.T)
    moments = _EPOCH + (86_400 * days + seconds).astype("timedelta64[s]")
    inside = (moments > np.datetime64("1678-01-01", "s")) & (moments < np.datetime64("2262-01-01", "s"))
    return np.where(inside, moments, np.datetime64("NaT", "s")).astype("datetime64[ns]")


def _linked(header: Header, following: Floats, label: str) -> NDArray[np.bool_]:
    """(n,) whether the linked list has an observation. Raises BadDataError when it leads nowhere or in a circle."""
    linked = np.zeros(following.size, dtype=bool)
    at, chain = header.first, np.clip(following, -1, following.size + 1).astype(np.int64).tolist()
    while at > 0:
        if at > following.size or linked[at - 1]:
            raise BadDataError(f"{label}: its linked list is broken at OBS {at}; the DART file is damaged")
        linked[at - 1] = True
        at = chain[at - 1]
    return linked


def _reject_marked(observations: Observations, name: str, mark: Floats) -> Observations:
    known = np.isfinite(mark) & (mark != _MISSING)
    if _OWN_QC in name.casefold():
        bad = known & ~np.isin(mark, (*_USED_HERE, *_MONITORED_HERE))
        return observations.reject(
            bad,
            Flag.PRE_QC,
            lambda i: f"{name} {mark[i]:g} in the file ({_MEANINGS.get(mark[i], 'not a number of DART')})",
        )
    return observations.reject(
        known & (np.rint(mark) > WORST_USED_MARK),
        Flag.PRE_QC,
        lambda i: f"{name} {mark[i]:g} in the file (0 to {WORST_USED_MARK} are used)",
    )


def _degrees(radians: NDArray[np.float64]) -> NDArray[np.float64]:
    """To nine digits, so that a pole or a full turn in radians is 90° or 360° and no more."""
    return np.asarray(np.round(np.degrees(radians), 9), dtype=np.float64)
