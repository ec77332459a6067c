"""Feedback in IODA layout, with the groups that JEDI's UFO writes, so that its tools can read it.

    ObsValue y      ObsError σ_o      PreQC 0, or 13 for what is no use whatever the background (pre-QC, bounds)
    PreUseFlag 0, 100 to monitor, 101 to withhold
    hofx0 H(x_b)    hofx1 H(x_a)      ombg y − H(x_b)      oman y − H(x_a)
    EffectiveQC0    the verdict, in UFO's numbers; 1 (passive) where one that passed is not for assimilation
    EffectiveError0 σ_o where the verdict is 0 or 1

A location is what rows of the same place, pressure or height, time, station, report type and elevation share; a
variable that comes twice there goes to a further location. So every row of the feedback is one number of EffectiveQC0
that is not the fill value, and reading the file back gives the observations again. Units and names are IODA's
(`ioda_names.py`): geopotential is written as geopotential height. What is missing, place and time too, is the fill
value; numbers are single precision, times whole seconds, as the conventions have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import netCDF4
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phyda_cli.formats.reports.ioda import MONITORED
from phyda_cli.formats.reports.ioda_names import ioda_name
from phyda_cli.observations.table import Feedback, Flag, Observations, Use
from phyda_cli.outputs import atomic_path

Integers = NDArray[np.int64]

FILL: Final[dict[str, Any]] = {
    "f4": np.float32(0.99 * np.finfo(np.float32).min),
    "i4": np.int32(np.iinfo(np.int32).min + 5),
    "i8": np.int64(np.iinfo(np.int64).min + 7),
}
"""JEDI's missing values (`oops::util::missingValue`) by NetCDF type."""

PRE_REJECTED: Final = 13
"""NCEP quality mark: failed an automated check of the preprocessing."""

_USES: Final = {Use.ASSIMILATE: 0, Use.MONITOR: MONITORED, Use.WITHHOLD: MONITORED + 1}
_EPOCH: Final = np.datetime64("1970-01-01T00:00:00", "s")


def write_ioda(
    path: Path, feedback: Feedback, *, attributes: Mapping[str, str | int | float], overwrite: bool = False
) -> None:
    """Write feedback as an IODA file, whole or not at all.

    attributes: global attributes to add (provenance). Raises CannotWriteError when `path` exists and `overwrite` is off
    or it cannot be written.
    """
    with (
        atomic_path(path, overwrite=overwrite) as temporary,
        netCDF4.Dataset(temporary, "w", format="NETCDF4") as dataset,
    ):
        _fill(dataset, feedback, attributes)


_FINAL: Final = (Flag.PRE_QC, Flag.BOUNDS, Flag.BLACKLIST, Flag.HISTORY, Flag.SUPEROB)
"""Verdicts that come with a row and would not be found anew."""


def _fill(dataset: Any, feedback: Feedback, attributes: Mapping[str, str | int | float]) -> None:
    o = feedback.observations
    names = np.array([ioda_name(name)[0] for name in o.variable], dtype=object)
    at, first = _locations(o, names)
    dataset.setncatts(
        {
            "_ioda_layout": "ObsGroup",
            "_ioda_layout_version": np.int32(0),
            "description": "Feedback of phyda: departures from background and analysis, quality control",
            "sourceFiles": ", ".join(o.sources),
            **attributes,
        }
    )
    dataset.createDimension("Location", first.size)
    _variable(dataset, "Location", "i8", np.arange(first.size), {})
    _metadata(dataset.createGroup("MetaData"), o.take(first))
    passive = (o.flag == Flag.PASS) & (o.use != Use.ASSIMILATE)
    verdict = np.where(passive, Flag.PASSIVE, o.flag)
    kept = np.where(np.isin(verdict, (Flag.PASS, Flag.PASSIVE)), o.error, np.nan)
    numbers = {
        "ObsValue": o.value,
        "ObsError": o.error,
        "hofx0": feedback.background_equivalent,
        "hofx1": feedback.analysis_equivalent,
        "ombg": feedback.background_departure,
        "oman": feedback.analysis_departure,
        "EffectiveError0": kept,
    }
    codes = {
        "PreQC": (np.where(np.isin(o.flag, _FINAL), PRE_REJECTED, 0), {}),
        "PreUseFlag": (_use_numbers(o), _meanings({int(number): use.value for use, number in _USES.items()})),
        "EffectiveQC0": (verdict, _meanings({int(flag): flag.name.lower() for flag in Flag})),
    }
    scales = np.array([ioda_name(name)[2] for name in o.variable])
    for group in (*numbers, *codes):
        dataset.createGroup(group)
    for name in dict.fromkeys(names.tolist()):
        rows = np.flatnonzero(names == name)
        units = max(ioda_name(str(variable))[1] for variable in set(o.variable[rows]))
        for group, values in numbers.items():
            full = np.full(first.size, np.nan)
            full[at[rows]] = scales[rows] * values[rows]
            about = {"units": units} if units else {}
            _variable(dataset[group], name, "f4", full, {**about, "coordinates": "longitude latitude"})
        for group, (values, about) in codes.items():
            whole = np.full(first.size, FILL["i4"], dtype=np.int64)
            whole[at[rows]] = values[rows]
            _variable(dataset[group], name, "i4", whole, about)


def _locations(o: Observations, names: NDArray[np.object_]) -> tuple[Integers, Integers]:
    """(n,) the location of each row, from 0 in order of appearance, and (location,) the first row of each."""
    shared = ("latitude", "longitude", "pressure", "height", "zenith", "top", "time", "station", "report", "elevation")
    keys = pd.DataFrame({name: getattr(o, name) for name in shared})
    place = keys.groupby(list(keys.columns), dropna=False, sort=False).ngroup()
    again = pd.DataFrame({"place": place, "name": names}).groupby(["place", "name"], sort=False).cumcount()
    number = pd.DataFrame({"place": place, "again": again}).groupby(["place", "again"], sort=False).ngroup()
    at: Integers = number.to_numpy().astype(np.int64)
    return at, np.asarray(np.unique(at, return_index=True)[1], dtype=np.int64)


def _metadata(group: Any, locations: Observations) -> None:
    o = locations
    known = ~np.isnat(o.time)
    seconds = np.full(len(o), FILL["i8"], dtype=np.int64)
    rounded = (o.time[known].astype("datetime64[ns]") + np.timedelta64(500, "ms")).astype("datetime64[s]")
    seconds[known] = (rounded - _EPOCH).astype(np.int64)
    for name, values, units in (
        ("latitude", o.latitude, "degrees_north"),
        ("longitude", o.longitude, "degrees_east"),
        ("pressure", np.where(np.isfinite(o.height), np.nan, o.pressure), "Pa"),
        ("height", o.height, "m"),
        ("sensorZenithAngle", o.zenith, "degree"),
        ("pressureTop", o.top, "Pa"),
        ("stationElevation", o.elevation, "m"),
    ):
        _variable(group, name, "f4", values, {"units": units})
    _variable(group, "dateTime", "i8", seconds, {"units": "seconds since 1970-01-01T00:00:00Z"})
    for name, texts, long_name in (
        ("stationIdentification", o.station, "station identifier"),
        ("reportType", o.report, "report type"),
    ):
        variable = group.createVariable(name, str, ("Location",))
        variable.long_name = long_name
        if len(o):
            variable[:] = texts.astype(object)


def _variable(group: Any, name: str, kind: str, values: NDArray[Any], attributes: Mapping[str, Any]) -> None:
    variable = group.createVariable(name, kind, ("Location",), zlib=True, complevel=1, fill_value=FILL[kind])
    variable.setncatts(attributes)
    if kind == "f4":
        # What single precision cannot hold is as good as missing.
        limit = float(np.finfo(np.float32).max) / 10.0
        values = np.where(np.abs(values) < limit, values, FILL[kind])
    variable[:] = values.astype(kind)


def _use_numbers(o: Observations) -> Integers:
    return np.array([_USES.get(use, 0) for use in o.use], dtype=np.int64)


def _meanings(names: Mapping[int, str]) -> dict[str, Any]:
    return {"flag_values": np.array(list(names), dtype=np.int32), "flag_meanings": " ".join(names.values())}
