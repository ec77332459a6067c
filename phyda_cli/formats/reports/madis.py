"""NetCDF files of MADIS: surface reports (METAR, maritime, mesonet), aircraft (ACARS) and soundings (RAOB).

A record is one report (soundings: with its mandatory, significant, wind, maximum-wind and tropopause levels). Values
are SI by their units; a value whose descriptor (`temperatureDD`, …) is X, Q, B, I or W is flagged (`LETTERS`).

    surface   t2m, d2m, wind at 10 m, seaLevelPress → msl, stationPress → sp
    ACARS     altitude is a pressure altitude: p of the standard atmosphere; t, wind, mixing ratio w → q = w / (1 + w)
    RAOB      pr… [hPa], ht…, tp…, td… (a dew-point depression), wd…, ws… of each family of levels; levels of wind by
              height have no pressure and are flagged

Source: the CDL of the files (Unidata's madis-*.cdl) and the MADIS variable lists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import netCDF4
import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.fields.standard_atmosphere import standard_pressure
from phyda_cli.formats.reports.build import Given, Reports
from phyda_cli.formats.reports.cells import Floats, Texts
from phyda_cli.formats.reports.level_rows import Levels, Quantity, observations_from_levels
from phyda_cli.formats.reports.table_cells import LETTERS
from phyda_cli.formats.units import find_unit
from phyda_cli.observations.table import Flag

RECORD: Final = "recNum"
"""The dimension of the records."""

_HUGE: Final = 1e30
_FILL: Final = 99999.0
_FIRST_MOMENT: Final = 1.0
_LAST_MOMENT: Final = 7e9
"""Times outside of these are fill values [s since 1970]."""
_DEPRESSION: Final = 100.0
"""A dew point is never below this, a depression never above [K]."""
_FAMILIES: Final = ("Man", "SigT", "SigW", "MaxW", "Trop")
_OF_SOUNDINGS: Final = (
    ("pr", "Pa"), ("ht", "m"), ("tp", "K"), ("td", "K"), ("wd", "degree"), ("ws", "m s-1"),
)  # fmt: skip
"""Stems of a family's variables and their SI units."""
_SURFACE: Final = (
    ("t", "K", ("temperature",)),
    ("td", "K", ("dewpoint",)),
    ("wind_direction", "degree", ("windDir",)),
    ("wind_speed", "m s-1", ("windSpeed",)),
    ("msl", "Pa", ("seaLevelPress", "seaLevelPressure")),
    ("sp", "Pa", ("stationPress", "stationPressure")),
)


def is_madis(dataset: Any) -> bool:
    """Return whether an open file has the records of MADIS, of a kind that is read here."""
    return RECORD in dataset.dimensions and _kind(dataset) is not None


def read_madis(dataset: Any, label: str, given: Given) -> Reports:
    """Return the observations of an open file; `row` is the number of the record, for soundings of the level.

    Raises BadDataError for a unit that is not known.
    """
    del given  # records tell their times and places
    dataset.set_auto_maskandscale(False)
    reader = _kind(dataset)
    if reader is None:
        raise BadDataError(f"{label}: holds records of MADIS of a kind that phyda does not read")
    return reader(_File(dataset, label))


class _File:
    """An open file: its columns as numbers in SI, texts and times, NaN or "" where missing."""

    def __init__(self, dataset: Any, label: str) -> None:
        self.label = label
        self._variables = dataset.variables
        self.size = len(dataset.dimensions[RECORD])

    def first(self, *names: str) -> str | None:
        """Return the first of these variables that the file holds."""
        return next((name for name in names if name in self._variables), None)

    def numbers(self, name: str, si: str) -> Floats:
        """(record, …) of a variable in SI. Raises BadDataError for a unit that is not known."""
        variable = self._variables[name]
        values = np.asarray(variable[:], np.float64)
        fills = [getattr(variable, key) for key in ("_FillValue", "missing_value") if hasattr(variable, key)]
        missing = ~np.isfinite(values) | (np.abs(values) >= _HUGE) | np.isin(values, [_FILL, *map(float, fills)])
        text = str(getattr(variable, "units", "")).partition("(")[0].strip()
        if si == "degree" or not text:
            return np.where(missing, np.nan, values)
        unit = find_unit(text, si)
        if unit is None:
            raise BadDataError(f"{self.label}: variable {name!r} has the unit {text!r}, which phyda does not know")
        return np.where(missing, np.nan, unit.to_si(values))

    def texts(self, *names: str) -> Texts:
        """(record,) of the first of these variables, characters joined; "" without one."""
        name = self.first(*names)
        if name is None:
            return np.full(self.size, "", dtype=object)
        values = self._variables[name][:]
        if values.dtype.kind == "S" and values.ndim == 2:
            values = netCDF4.chartostring(values, encoding="latin-1")
        return np.array([str(value).replace("\0", "").strip() for value in values.tolist()], dtype=object)

    def times(self, *names: str) -> NDArray[np.datetime64]:
        """(record,) UTC: the first of these variables that has a time; seconds since 1970 in all files."""
        seconds = np.full(self.size, np.nan)
        for name in names:
            if name in self._variables:
                values = np.asarray(self._variables[name][:], np.float64)
                usable = (values > _FIRST_MOMENT) & (values < _LAST_MOMENT)
                seconds = np.where(np.isnan(seconds) & usable, values, seconds)
        moments = np.nan_to_num(1000.0 * seconds).round().astype("datetime64[ms]")
        return np.where(np.isnan(seconds), np.datetime64("NaT", "ms"), moments)

    def quantity(self, name: str, value: Floats, judged: str) -> Quantity:
        """Return a quantity with the verdicts of the descriptors of one of the file's variables."""
        n = value.size
        letters = np.full(n, "", dtype=object)
        if f"{judged}DD" in self._variables:
            raw = self._variables[f"{judged}DD"][:]
            if raw.dtype.kind == "S" and raw.size == n:
                letters = np.char.decode(raw.ravel(), "latin-1").astype(object)
        flag, reason = np.zeros(n, np.int16), np.full(n, "", dtype=object)
        for letter, (used, meaning) in LETTERS.items():
            if not used:
                flag[letters == letter] = Flag.PRE_QC
                reason[letters == letter] = f"MADIS descriptor {letter}: {meaning}"
        return Quantity(name, value, np.full(n, np.nan), flag, reason)


def _kind(dataset: Any) -> Callable[[_File], Reports] | None:
    held = dataset.variables
    if {"prMan", "tpMan", "staLat", "staLon"} <= held.keys():
        return _soundings
    if {"latitude", "longitude", "altitude", "windSpeed"} <= held.keys() and "elevation" not in held:
        return _aircraft
    if {"latitude", "longitude", "temperature", "windSpeed"} <= held.keys():
        return _surface
    return None


def _surface(file: _File) -> Reports:
    quantities = []
    for name, si, candidates in _SURFACE:
        found = file.first(*candidates)
        if found is not None:
            quantities.append(file.quantity(name, file.numbers(found, si), found))
    marine = file.first("seaSurfaceTemp", "waveHeight", "highResWaveHeight") is not None
    kind = "metar" if file.first("rawMETAR") is not None else "ship" if marine else "surface"
    elevation = file.numbers("elevation", "m") if file.first("elevation") else np.full(file.size, np.nan)
    time, station = file.times("timeObs", "observationTime"), file.texts("stationName", "stationId")
    return _reports(file, quantities, time, np.full(file.size, np.nan), elevation, station, kind)


def _aircraft(file: _File) -> Reports:
    quantities = [
        file.quantity("t", file.numbers("temperature", "K"), "temperature"),
        file.quantity("wind_direction", file.numbers("windDir", "degree"), "windDir"),
        file.quantity("wind_speed", file.numbers("windSpeed", "m s-1"), "windSpeed"),
    ]
    if file.first("waterVaporMR"):
        ratio = file.numbers("waterVaporMR", "kg kg-1")
        quantities.append(file.quantity("q", ratio / (1.0 + ratio), "waterVaporMR"))
    pressure, station = standard_pressure(file.numbers("altitude", "m")), file.texts("en_tailNumber", "tailNumber")
    return _reports(file, quantities, file.times("timeObs"), pressure, np.full(file.size, np.nan), station, "aircraft")


def _reports(
    file: _File,
    quantities: list[Quantity],
    time: NDArray[np.datetime64],
    pressure: Floats,
    elevation: Floats,
    station: Texts,
    report: str,
) -> Reports:
    latitude, longitude = (file.numbers(name, "degree") for name in ("latitude", "longitude"))
    kinds = np.full(file.size, report, dtype=object)
    levels = Levels(latitude, longitude, pressure, elevation, time, station, kinds)
    return observations_from_levels(levels, quantities, file.label)


def _soundings(file: _File) -> Reports:
    """Return all families of levels one behind the other, each level one row; levels that hold nothing are left out."""
    number = file.numbers("wmoStaNum", "degree") if file.first("wmoStaNum") else np.full(file.size, np.nan)
    name = file.texts("staName")
    known = np.isfinite(number) & (number > 0)
    station = np.where(known, [f"{value:05.0f}" for value in np.where(known, number, 0)], name).astype(object)
    time = file.times("relTime", "synTime")
    latitude, longitude, elevation = (
        file.numbers(key, unit) for key, unit in (("staLat", "degree"), ("staLon", "degree"), ("staElev", "m"))
    )
    columns: dict[str, list[Any]] = {name: [] for name in ("gh", "t", "td", "wind_direction", "wind_speed")}
    record: list[NDArray[np.int64]] = []
    pressure: list[Floats] = []
    for family in _FAMILIES:
        held = {key: file.numbers(f"{key}{family}", si) for key, si in _OF_SOUNDINGS if file.first(f"{key}{family}")}
        if not held:
            continue
        shape = next(iter(held.values())).shape
        nothing = np.full(shape, np.nan)
        t, dew = held.get("tp", nothing), held.get("td", nothing)
        values = {
            "gh": ("ht", held.get("ht", nothing)),
            "t": ("tp", t),
            "td": ("td", np.where(dew < _DEPRESSION, t - dew, dew)),
            "wind_direction": ("wd", held.get("wd", nothing)),
            "wind_speed": ("ws", held.get("ws", nothing)),
        }
        filled = np.isfinite(np.stack([value for _, value in values.values()])).any(axis=0).ravel()
        record.append(np.broadcast_to(np.arange(shape[0])[:, None], shape).ravel()[filled])
        pressure.append(held.get("pr", nothing).ravel()[filled])
        for key, (stem, value) in values.items():
            whole = file.quantity(key, value.ravel(), f"{stem}{family}")
            columns[key].append((whole.value[filled], whole.flag[filled], whole.reason[filled]))
    at = np.concatenate(record) if record else np.zeros(0, np.int64)
    quantities = []
    for key, parts in columns.items():
        value, flag, reason = (np.concatenate([part[k] for part in parts]) for k in range(3))
        quantities.append(Quantity(key, value, np.full(value.size, np.nan), flag, reason))
    pressures = np.concatenate(pressure) if pressure else np.zeros(0)
    kind = np.full(at.size, "sonde", dtype=object)
    levels = Levels(latitude[at], longitude[at], pressures, elevation[at], time[at], station[at], kind)
    return observations_from_levels(levels, quantities, file.label)
