"""Observations in IODA files (JEDI's NetCDF or HDF5): one entry for each location and variable that has a value.

    ObsValue/x    value, units by its attribute                ObsError/x    σ_o
    PreQC/x       NCEP quality mark, or QualityMarker/x: 0 to 3 are used, higher ones reject (PRE_QC)
    PreUseFlag/x  100 and more: the value is only monitored
    ObsType/x     NCEP report type

A location without any value is one entry without a variable, so that every location is found again. Locations at a
station's surface (`_surface`) give t2m, d2m, u10 and v10. Refractivity has a height (`ioda_occultation.py`), brightness
temperatures have channels (`ioda_radiance.py`). What phyda does not observe (profiles along a second dimension, unknown
names) is flagged with its name.

Virtual temperature and humidity at the surface become what is observed elsewhere:

    T = T_v / (1 + (1/ε − 1) q),  σ_T = σ_Tv / (1 + (1/ε − 1) q)      with the q of the location
    T_d(q, p)                                                        for q of a surface report, p that of the station
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import GRAVITY
from phyda_cli.errors import BadDataError
from phyda_cli.fields.thermodynamics import dewpoint_from_specific_humidity, temperature_from_virtual
from phyda_cli.formats.reports.build import Given, Reports
from phyda_cli.formats.reports.cells import Floats, Mask, Texts
from phyda_cli.formats.reports.columns import WORST_USED_MARK, conversion, si_unit
from phyda_cli.formats.reports.ioda_file import IodaFile, judged
from phyda_cli.formats.reports.ioda_names import VIRTUAL, IodaName, find_ioda, report_type
from phyda_cli.formats.reports.ioda_occultation import as_occultations
from phyda_cli.formats.reports.ioda_radiance import NAMES as BRIGHTNESS
from phyda_cli.formats.reports.ioda_radiance import as_seen_from_space, radiances
from phyda_cli.observations.conversion import SURFACE_REPORTS, convert, is_surface
from phyda_cli.observations.table import Flag, Observations, Use, concatenate
from phyda_cli.operators.brightness_temperature import SOUNDERS

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
    """rows: one for each location, without a variable. surface (location,): whether at a station's surface. height
    (location,): [m], NaN where the file has none.

    told: whether phyda wrote the file, so that its variables are those here.
    """

    rows: Observations
    surface: Mask
    height: Floats
    told: bool


def read_ioda(dataset: Any, label: str, given: Given) -> Reports:
    """Return the rows of an open file; `row` is the number of the location, from 1.

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
    rows = Observations.build(
        file.label,
        variable=np.full(file.size, "", dtype=object),
        latitude=number(("latitude",), None),
        longitude=number(("longitude",), None),
        pressure=pressure,
        value=np.full(file.size, np.nan),
        time=file.times(),
        station=text("stationIdentification", "station_id", "Station_ID"),
        report=report,
        top=number(("pressureTop",), "sp"),
        elevation=np.where(np.isnan(elevation) & surface, height, elevation),
    )
    return _Places(rows, surface, height, told)


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
    variable: Any = file.find("ObsValue", name)
    full = f"ObsValue/{name}"
    entry = find_ioda(name)
    if file.is_text(variable):
        return _unknown(name, np.flatnonzero(file.texts(variable, full) != ""), None, "", places)
    if name in BRIGHTNESS and variable.ndim == 2:
        return radiances(file, name, places.rows, places.height)
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
    result = _known(file, entry, name, at, values, places)
    if entry.quantity == "refractivity":
        result = as_occultations(file, result, places.height)
    if entry.quantity in SOUNDERS:
        result = as_seen_from_space(file, result, places.height)
    return judged(result, marks[at])


def _known(
    file: IodaFile, entry: IodaName, name: str, at: NDArray[np.int64], values: Floats, places: _Places
) -> Observations:
    """Return the rows of a variable that phyda knows, in SI; flagged where a unit is not known."""
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
    report = places.rows.report[at].copy()
    told = (report == "") & (kinds != _NO_NUMBER)
    report[told] = [report_type(int(kind)) for kind in kinds[told]]
    lower = np.isin(report, [*SURFACE_REPORTS])
    untold = np.array([kind == "" or kind.isdigit() for kind in report], dtype=bool)
    report[(untold & places.surface[at]) | (~lower & entry.near_surface)] = "surface"
    return report


def _unknown(name: str, at: NDArray[np.int64], values: Floats | None, reason: str, places: _Places) -> Observations:
    """Return rows that phyda cannot use, kept by the name that the file has for them."""
    value = np.full(at.size, np.nan) if values is None else np.where(np.isfinite(values[at]), values[at], np.nan)
    result = _rows(places, at, name, value)
    return result.reject(result.used, Flag.H_FAILED, reason or f"unknown variable {name}")


def _rows(
    places: _Places, at: NDArray[np.int64], variable: str, value: Floats | None = None, **others: Floats | Texts
) -> Observations:
    """Return rows (k,) of one variable at the locations `at` (k,). others: further columns (k,) of `Observations`."""
    columns: dict[str, Any] = {"variable": np.full(at.size, variable, dtype=object), **others}
    return replace(places.rows.take(at), **columns if value is None else {**columns, "value": value})


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


def dry_temperature(observations: Observations, at: NDArray[np.int64]) -> Observations:
    """T from T_v with the q of the location; flagged where T is there as well, or no valid q.

    σ_T is that of T_v over 1 + (1/ε − 1) q: the part of q is 0.6 T σ_q, a tenth of a kelvin where q is ill known.
    """
    virtual = observations.variable == VIRTUAL
    if not virtual.any():
        return observations
    given = np.isfinite(_companion(observations, at, "t")[0])
    humidity, _ = _companion(observations, at, "q")
    result = observations.reject(virtual & given, Flag.THINNED, "the location gives airTemperature itself")
    result = result.reject(
        virtual & ~np.isfinite(humidity), Flag.MISSING, "virtual temperature needs a valid specificHumidity here"
    )
    dry = virtual & result.used
    return replace(
        result,
        variable=np.where(dry, "t", result.variable).astype(object),
        value=np.where(dry, temperature_from_virtual(result.value, humidity), result.value),
        error=np.where(dry, temperature_from_virtual(result.error, humidity), result.error),
    )


def surface_humidity(observations: Observations, at: NDArray[np.int64]) -> Observations:
    """Specific humidity at a station as its dew point, by the pressure there; its error is left to the table."""
    rows = (observations.variable == "q") & is_surface(observations)
    station, _ = _companion(observations, at, "sp")
    pressure = np.where(np.isfinite(observations.pressure), observations.pressure, station)
    result = observations.reject(
        rows & ~np.isfinite(pressure), Flag.MISSING, "specific humidity at a station needs its pressure"
    )
    result = result.reject(rows & (result.value <= 0), Flag.BOUNDS, lambda i: f"q {result.value[i]:g} has no dew point")
    rows &= result.used
    humidity = np.where(rows, result.value, 1e-3)
    return replace(
        result,
        variable=np.where(rows, "d2m", result.variable).astype(object),
        value=np.where(rows, dewpoint_from_specific_humidity(humidity, pressure), result.value),
        error=np.where(rows, np.nan, result.error),
    )


def _companion(observations: Observations, at: NDArray[np.int64], quantity: str) -> tuple[Floats, Floats]:
    """For each entry, value and error of a quantity at its location where it has passed; NaN elsewhere."""
    size = int(at.max(initial=-1)) + 1
    value, error = np.full(size, np.nan), np.full(size, np.nan)
    rows = observations.used & (observations.variable == quantity)
    value[at[rows]], error[at[rows]] = observations.value[rows], observations.error[rows]
    return value[at], error[at]
