"""The inside of an IODA file: groups and variables of either layout, missing values, texts and times as they are here.

Layout      variable airTemperature of the group ObsValue, dimension Location (ObsGroup), or `air_temperature@ObsValue`,
            dimension nlocs (the first version)
Missing     the variable's _FillValue or missing_value, NetCDF's default fill, and the values of JEDI: the type's
            lowest, or nearly
Times       numbers in "seconds since …", ISO 8601 texts, or hours from the attribute date_time, in this order
"""

from __future__ import annotations

import re
from typing import Any, Final

import netCDF4
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.columns import WORST_USED_MARK
from phyda_cli.formats.reports.table_times import moments
from phyda_cli.observations.table import Flag, Observations

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_HUGE: Final = 1e30
_NEAR_LOWEST: Final = 16
_NO_TEXT: Final = frozenset({"", "_", "*** MISSING ***", "MISSING"})
_SINCE: Final = re.compile(r"\s*(?P<unit>[a-z]+)\s+since\s+(?P<moment>\S.*)", re.IGNORECASE)
_SECONDS: Final = {"second": 1, "sec": 1, "s": 1, "minute": 60, "min": 60, "hour": 3600, "h": 3600, "hr": 3600}
_SECONDS_OF_DAY: Final = 86_400
_FIRST, _LAST = np.datetime64("1678-01-01", "s"), np.datetime64("2262-01-01", "s")
"""What nanoseconds hold; others would wrap around."""


_GROUPS: Final = ("MetaData", "ObsValue")
_MOST_NAMED: Final = 8


def is_ioda(dataset: Any) -> bool:
    """Return whether an open file has one of IODA's groups, of either layout."""
    names = {*dataset.groups, *(name.partition("@")[2] for name in dataset.variables)}
    return bool({group.casefold() for group in _GROUPS} & {name.casefold() for name in names})


class IodaFile:
    """An open file. label: its name for messages; size: the number of locations."""

    def __init__(self, dataset: Any, label: str) -> None:
        """Raises BadDataError when the file is no IODA file, saying what it lacks."""
        self.label = label
        self._dataset = dataset
        self._groups: dict[str, dict[str, Any]] = {
            name.casefold(): dict(group.variables) for name, group in dataset.groups.items()
        }
        for name, variable in dataset.variables.items():
            stem, at, group = name.partition("@")
            if at:
                self._groups.setdefault(group.casefold(), {})[stem] = variable
        self._check()
        self.size = int(self._need("latitude").shape[0])

    def _check(self) -> None:
        missing = [group for group in _GROUPS if group.casefold() not in self._groups]
        if missing:
            there = ", ".join([*self._dataset.groups, *self._dataset.variables][:_MOST_NAMED])
            raise BadDataError(
                f"{self.label}: is in IODA layout but has no group {' and no group '.join(missing)}; "
                f"there are: {there or 'none'}"
            )
        for name in ("latitude", "longitude"):
            if self._need(name).ndim != 1:
                raise BadDataError(f"{self.label}: MetaData/{name} has {self._need(name).ndim} dimensions, expected 1")

    def _need(self, name: str) -> Any:
        found = self.find("MetaData", name)
        if found is None:
            held = ", ".join(self.names("MetaData")) or "nothing"
            raise BadDataError(f"{self.label}: MetaData/{name} is missing; MetaData holds: {held}")
        return found

    def names(self, group: str) -> tuple[str, ...]:
        """Return the variables of a group, in the order of the file; none when there is no such group."""
        return tuple(self._groups.get(group.casefold(), {}))

    def find(self, group: str, *names: str) -> Any | None:
        """Return the first of the named variables that the group has."""
        held = self._groups.get(group.casefold(), {})
        return next((held[name] for name in names if name in held), None)

    def units(self, variable: Any) -> str:
        """Return the units attribute; "" where there is none."""
        return str(getattr(variable, "units", "")).strip()

    def numbers(self, variable: Any, name: str) -> tuple[Floats, Mask]:
        """(Location, …) values as they stand, NaN where missing, and where they are missing.

        A value that is not finite without being the fill value is not missing: it is there, and wrong.
        Raises BadDataError when the variable is no number or has not one row for each location.
        """
        values = self._raw(variable, name)
        if values.dtype.kind not in "iufb":
            raise BadDataError(f"{self.label}: {name} holds {values.dtype}, expected numbers")
        missing = _missing(values, variable)
        return np.where(missing, np.nan, values.astype(np.float64)), missing

    def of_channels(self, variable: Any) -> Floats:
        """(n,) numbers of a variable along any one dimension, as of channels, NaN where missing."""
        values = np.asarray(variable[:])
        return np.where(_missing(values, variable), np.nan, values.astype(np.float64))

    def texts(self, variable: Any, name: str) -> NDArray[np.object_]:
        """(Location,) texts of any form (variable length, characters, numbers), "" where missing."""
        values = self._raw(variable, name)
        if values.dtype.kind in "iuf":
            missing = _missing(values, variable)
            return np.array(["" if gone else f"{v:g}" for v, gone in zip(values, missing, strict=True)], dtype=object)
        if values.dtype.kind == "S" and values.ndim == 2:
            values = netCDF4.chartostring(values, encoding="latin-1")
        if values.ndim != 1:
            raise BadDataError(f"{self.label}: {name} has {values.ndim} dimensions, expected texts along Location")
        fill = _text(getattr(variable, "_FillValue", ""))
        codes, distinct = pd.factorize(values.astype(object))
        clean = [_text(value) for value in distinct]
        clean = ["" if text in _NO_TEXT or text == fill else text for text in clean]
        return np.array(clean, dtype=object)[codes] if clean else np.full(values.shape, "", dtype=object)

    def attribute(self, name: str) -> str:
        """Return a global attribute as text; "" where there is none."""
        return str(getattr(self._dataset, name, "")).strip()

    def is_text(self, variable: Any) -> bool:
        """Return whether a variable holds texts or characters."""
        return variable.dtype is str or np.dtype(variable.dtype).kind in "SUO"

    def _raw(self, variable: Any, name: str) -> NDArray[Any]:
        values = np.asarray(variable[:])
        if values.ndim == 0 or values.shape[0] != self.size:
            raise BadDataError(
                f"{self.label}: {name} has shape {values.shape}, expected ({self.size},) as latitude has"
            )
        return values

    def times(self) -> NDArray[np.datetime64]:
        """(Location,) moments of observation, UTC, NaT where missing. Raises BadDataError when the file tells none."""
        for name, read in (("dateTime", self._moments), ("datetime", self._moments), ("time", self._from_reference)):
            variable = self.find("MetaData", name)
            if variable is not None:
                return read(variable, f"MetaData/{name}")
        raise BadDataError(f"{self.label}: MetaData holds no time: expected dateTime in seconds since a moment")

    def _moments(self, variable: Any, name: str) -> NDArray[np.datetime64]:
        if self.is_text(variable):
            codes, distinct = pd.factorize(self.texts(variable, name))
            return moments(np.asarray(distinct, dtype=object))[codes]
        units = self.units(variable)
        match = _SINCE.fullmatch(units)
        unit = match["unit"].casefold() if match else ""
        length = _SECONDS_OF_DAY if unit in ("day", "days", "d") else _SECONDS.get(unit, _SECONDS.get(unit.rstrip("s")))
        epoch = moments(np.array([match["moment"] if match else ""], dtype=object))[0]
        if length is None or np.isnat(epoch):
            raise BadDataError(f"{self.label}: {name} has units {units!r}, expected seconds since a moment")
        return self._after(epoch, length, *self.numbers(variable, name))

    def _from_reference(self, variable: Any, name: str) -> NDArray[np.datetime64]:
        stamp = str(getattr(self._dataset, "date_time", ""))
        reference = pd.to_datetime(stamp, format="%Y%m%d%H", errors="coerce")
        if pd.isna(reference):
            raise BadDataError(
                f"{self.label}: {name} is in hours, but the attribute date_time is {stamp!r}, no YYYYMMDDHH"
            )
        return self._after(reference.to_datetime64(), 3600, *self.numbers(variable, name))

    def _after(self, epoch: np.datetime64, length: int, count: Floats, missing: Mask) -> NDArray[np.datetime64]:
        seconds = count * length
        known = ~missing & (np.abs(seconds) < 1e11)
        age = np.where(known, seconds * 1e6, 0.0).round().astype("timedelta64[us]")
        return _in_range(np.where(known, epoch.astype("datetime64[us]") + age, np.datetime64("NaT", "us")))


def _in_range(times: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    inside = (times > _FIRST) & (times < _LAST)
    return np.where(inside, times, np.datetime64("NaT", "us")).astype("datetime64[ns]")


def _missing(values: NDArray[Any], variable: Any) -> Mask:
    kind = values.dtype
    fills = [getattr(variable, name) for name in ("_FillValue", "missing_value") if hasattr(variable, name)]
    default = netCDF4.default_fillvals.get(kind.str[1:])
    fills += [] if default is None else [default]
    missing = np.zeros(values.shape, dtype=bool)
    for fill in np.concatenate([np.atleast_1d(np.asarray(f)) for f in fills]) if fills else ():
        missing |= np.isnan(values) if kind.kind == "f" and np.isnan(fill) else values == fill
    if kind.kind == "f":
        with np.errstate(invalid="ignore"):
            return np.asarray(missing | ((np.abs(values) > _HUGE) & np.isfinite(values)))
    if kind.kind == "i" and kind.itemsize > 1:
        return np.asarray(missing | (values < np.iinfo(kind).min + _NEAR_LOWEST))
    return missing


def _text(value: Any) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return text.replace("\0", "").strip()


def judged(rows: Observations, marks: Floats | NDArray[np.int64]) -> Observations:
    """PRE_QC by the quality marks of the file (n,), MISSING where the value is no number."""
    reason = "quality mark {:.0f} in the file (0 to {} are used)"
    result = rows.reject(marks > WORST_USED_MARK, Flag.PRE_QC, lambda i: reason.format(marks[i], WORST_USED_MARK))
    return result.reject(~np.isfinite(rows.value), Flag.MISSING, "value is not a finite number")
