"""Observations in IODA files (JEDI's NetCDF or HDF5): one entry for each location and variable that has a value.

    ObsValue/x    value, units by its attribute                ObsError/x    σ_o
    PreQC/x       NCEP quality mark, or QualityMarker/x: 0 to 3 are used, higher ones reject (PRE_QC)
    PreUseFlag/x  100 and more: the value is only monitored
    ObsType/x     NCEP report type

A location without any value is one entry without a variable, so that every location is found again. Locations at a
station's surface (`_surface`) give t2m, d2m, u10 and v10. What phyda does not observe (radiances, profiles along a
second dimension, unknown names) is flagged with its name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import GRAVITY
from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.build import Given, Reports
from phyda_cli.formats.reports.columns import WORST_USED_MARK, conversion, si_unit
from phyda_cli.formats.reports.ioda_file import IodaFile
from phyda_cli.formats.reports.ioda_moisture import dry_temperature, surface_humidity
from phyda_cli.formats.reports.ioda_names import VIRTUAL, IodaName, find_ioda, report_type
from phyda_cli.observations.conversion import SURFACE_REPORTS, convert
from phyda_cli.observations.table import Flag, Observations, Use, concatenate

Floats = NDArray[np.float64]
Texts = NDArray[np.object_]
Mask = NDArray[np.bool_]

MONITORED: Final = 100
"""PreUseFlag from which on a value is only looked at."""
_SURFACE_DEPTH: Final = 50.0
"""Height above the station [m] up to which a location without a pressure is at its surface."""
_SURFACE_SHARE: Final = 0.9
"""A file whose locations give their station's pressure as often as this holds surface reports."""
_NO_NUMBER: Final = np.iinfo(np.int64).min
_LARGEST: Final = 2.0**31
"""Marks and types beyond this are none."""


@dataclass(frozen=True)
class _Places:
    """What the locations have in common, each (location,), SI.

    label: the file's name. surface: whether at a station's surface. told: whether phyda wrote the file, so that its
    variables are those here.
    """

    label: str
    latitude: Floats
    longitude: Floats
    pressure: Floats
    elevation: Floats
    time: NDArray[np.datetime64]
    station: Texts
    report: Texts
    surface: Mask
    told: bool


def read_ioda(dataset: Any, label: str, given: Given) -> Reports:
    """The rows of an open file; `row` is the number of the location, from 1.

    Raises BadDataError when it is of another kind, lacks places or times, or has variables of the wrong length.
    """
    del given  # locations tell their times and places
    dataset.set_auto_mask(False)
    file = IodaFile(dataset, label)
    places = _places(file)
    parts = [_column(file, name, places) for name in file.names("ObsValue")]
    held = np.zeros(file.size, dtype=bool)
    for part in parts:
        held[part.row - 1] = True
    nothing = _rows(places, np.flatnonzero(~held), "")
    parts.append(nothing.reject(nothing.used, Flag.MISSING, "the location holds no value"))
    whole = replace(concatenate(parts), source=np.zeros(sum(map(len, parts)), dtype=np.int64), sources=(label,))
    result = whole.take(np.argsort(whole.row, kind="stable"))
    moisture = (dry_temperature,) if places.told else (dry_temperature, surface_humidity)
    return Reports(result, result.row - 1, (*moisture, convert))


def _places(file: IodaFile) -> _Places:
    def number(names: tuple[str, ...], quantity: str | None) -> Floats:
        variable = file.find("MetaData", *names)
        if variable is None:
            return np.full(file.size, np.nan)
        name = f"MetaData/{variable.name.partition('@')[0]}"
        change = (1.0, 0.0) if quantity is None else _to_si(quantity, file.units(variable))
        if change is None:
            raise BadDataError(f"{file.label}: {name} has units {file.units(variable)!r}, which phyda does not know")
        values = change[0] * _vector(file, variable, name) + change[1]
        return np.where(np.isfinite(values), values, np.nan)

    def text(*names: str) -> Texts:
        variable = file.find("MetaData", *names)
        empty = np.full(file.size, "", dtype=object)
        return empty if variable is None else file.texts(variable, f"MetaData/{variable.name}")

    pressure = number(("pressure", "air_pressure"), "sp")
    elevation = number(("stationElevation", "station_elevation"), "gh")
    height = number(("height",), "gh")
    report = text("reportType")
    # A file that phyda wrote has every report type, if only an empty one.
    told = file.find("MetaData", "reportType") is not None
    surface = np.zeros(file.size, dtype=bool) if told else _surface(file, pressure, height, elevation)
    return _Places(
        label=file.label,
        latitude=number(("latitude",), None),
        longitude=number(("longitude",), None),
        pressure=pressure,
        elevation=np.where(np.isnan(elevation) & surface, height, elevation),
        time=file.times(),
        station=text("stationIdentification", "station_id", "Station_ID"),
        report=report,
        surface=surface,
        told=told,
    )


def _surface(file: IodaFile, pressure: Floats, height: Floats, elevation: Floats) -> Mask:
    """(location,) whether at a station's surface, as far as no report type tells it.

    Without a pressure: where the location gives the station's or the sea-level pressure, or a height within 50 m of the
    station, or no height in a file without pressures. With one: in a file where 9 of 10 locations give the station's or
    the sea-level pressure.
    """
    barometer = np.zeros(file.size, dtype=bool)
    for name in file.names("ObsValue"):
        entry = find_ioda(name)
        if entry is not None and entry.quantity in ("sp", "msl"):
            variable = file.find("ObsValue", name)
            barometer |= np.isfinite(_vector(file, variable, f"ObsValue/{name}"))
    with np.errstate(invalid="ignore"):
        low = np.abs(height - elevation) <= _SURFACE_DEPTH
    if not np.isfinite(pressure).any():
        low |= np.isnan(height)
    stations = barometer & (barometer.mean() >= _SURFACE_SHARE) if file.size else barometer
    return stations | (np.isnan(pressure) & (barometer | low))


def _column(file: IodaFile, name: str, places: _Places) -> Observations:
    """The rows of one variable of ObsValue."""
    variable: Any = file.find("ObsValue", name)
    full = f"ObsValue/{name}"
    entry = find_ioda(name)
    if file.is_text(variable):
        return _unknown(name, np.flatnonzero(file.texts(variable, full) != ""), None, "", places)
    values, missing = file.numbers(variable, full)
    if values.ndim > 1 and values[:1].size > 1:
        at = np.flatnonzero(~missing.reshape(file.size, -1).all(axis=1))
        size = " × ".join(f"{d} {n}" for d, n in zip(variable.dimensions[1:], values.shape[1:], strict=True))
        return _unknown(name, at, None, f"{name} along {size} (a radiance or profile) is not handled", places)
    values, missing = values.reshape(file.size), missing.reshape(file.size)
    marks = _integers(file, name, "PreQC", "QualityMarker")
    at = np.flatnonzero(~missing | (marks > WORST_USED_MARK))
    if entry is None:
        return _unknown(name, at, values, "", places)
    return _judged(_known(file, entry, name, at, values, places), marks[at])


def _known(
    file: IodaFile, entry: IodaName, name: str, at: NDArray[np.int64], values: Floats, places: _Places
) -> Observations:
    """The rows of a variable that phyda knows, in SI; flagged where a unit is not known."""
    units, errors = file.units(file.find("ObsValue", name)), file.find("ObsError", name)
    of_error = units if errors is None else file.units(errors) or units
    change, difference = _to_si(entry.quantity, units), _to_si(entry.quantity, of_error)
    value, error = values[at], np.full(at.size, np.nan)
    if change is not None and difference is not None:
        value = change[0] * value + change[1]
        if errors is not None:
            error = difference[0] * _vector(file, errors, f"ObsError/{name}")[at]
    report = _reports(places, at, _integers(file, name, "ObsType")[at], entry)
    result = _rows(places, at, entry.quantity, value, error=error, report=report, use=_uses(file, name)[at])
    for unknown, text in ((change is None, units), (difference is None, of_error)):
        result = result.reject(np.full(at.size, unknown), Flag.BOUNDS, f"unit {text} is not known for {name}")
    return result


def _reports(places: _Places, at: NDArray[np.int64], kinds: NDArray[np.int64], entry: IodaName) -> Texts:
    """Report types: that of the location, or else of the number in ObsType (kinds), or else at the surface or none."""
    report = places.report[at].copy()
    told = (report == "") & (kinds != _NO_NUMBER)
    report[told] = [report_type(int(kind)) for kind in kinds[told]]
    lower = np.isin(report, [*SURFACE_REPORTS])
    untold = np.array([kind == "" or kind.isdigit() for kind in report], dtype=bool)
    report[(untold & places.surface[at]) | (~lower & entry.near_surface)] = "surface"
    return report


def _judged(observations: Observations, marks: NDArray[np.int64]) -> Observations:
    """PRE_QC by the marks of the file, MISSING where the value is no number."""
    result = observations
    for mark in np.unique(marks[marks > WORST_USED_MARK]):
        text = f"quality mark {mark} in the file (0 to {WORST_USED_MARK} are used)"
        result = result.reject(marks == mark, Flag.PRE_QC, text)
    return result.reject(~np.isfinite(result.value), Flag.MISSING, "value is not a finite number")


def _unknown(name: str, at: NDArray[np.int64], values: Floats | None, reason: str, places: _Places) -> Observations:
    """Rows that phyda cannot use, kept by the name that the file has for them."""
    value = np.full(at.size, np.nan) if values is None else np.where(np.isfinite(values[at]), values[at], np.nan)
    result = _rows(places, at, name, value)
    return result.reject(result.used, Flag.H_FAILED, reason or f"unknown variable {name}")


def _rows(
    places: _Places,
    at: NDArray[np.int64],
    variable: str,
    value: Floats | None = None,
    *,
    error: Floats | None = None,
    report: Texts | None = None,
    use: Texts | None = None,
) -> Observations:
    """Rows (k,) of one variable at the locations `at` (k,)."""
    return Observations.build(
        places.label,
        variable=np.full(at.size, variable, dtype=object),
        latitude=places.latitude[at],
        longitude=places.longitude[at],
        pressure=places.pressure[at],
        value=np.full(at.size, np.nan) if value is None else value,
        error=error,
        time=places.time[at],
        station=places.station[at],
        report=places.report[at] if report is None else report,
        elevation=places.elevation[at],
        use=use,
        row=at + 1,
    )


def _vector(file: IodaFile, variable: Any, name: str) -> Floats:
    """(location,) numbers. Raises BadDataError when there are more dimensions."""
    values, _ = file.numbers(variable, name)
    if values.size != file.size:
        raise BadDataError(f"{file.label}: {name} has shape {values.shape}, expected ({file.size},)")
    return values.reshape(file.size)


def _integers(file: IodaFile, name: str, *groups: str) -> NDArray[np.int64]:
    """(location,) whole numbers of the first group that has the variable, _NO_NUMBER where there is none."""
    for group in groups:
        variable = file.find(group, name)
        if variable is not None:
            values = _vector(file, variable, f"{group}/{name}")
            known = np.abs(values) < _LARGEST
            return np.where(known, np.where(known, values, 0).astype(np.int64), _NO_NUMBER)
    return np.full(file.size, _NO_NUMBER)


def _uses(file: IodaFile, name: str) -> Texts:
    """(location,) uses by PreUseFlag; its attributes flag_values and flag_meanings may name those of phyda."""
    numbers = _integers(file, name, "PreUseFlag")
    uses = np.where(numbers >= MONITORED, Use.MONITOR.value, Use.ASSIMILATE.value).astype(object)
    variable = file.find("PreUseFlag", name)
    meanings = str(getattr(variable, "flag_meanings", "")).split()
    for number, meaning in zip(np.atleast_1d(getattr(variable, "flag_values", ())), meanings, strict=False):
        if meaning in set(Use):
            uses[numbers == number] = meaning
    return uses


def _to_si(quantity: str, units: str) -> tuple[float, float] | None:
    """Scale and offset of a unit, SI = scale · value + offset, or None when it is not one of the quantity's."""
    quantity = "t" if quantity == VIRTUAL else quantity
    known = conversion(quantity, units or si_unit(quantity))
    if known is None:
        return None
    # Of a height that is given as geopotential
    return known.unit.scale / (GRAVITY if known.quantity == "z" else 1.0), known.unit.offset
