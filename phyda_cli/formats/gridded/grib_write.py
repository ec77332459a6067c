"""An analysis as GRIB: the background's own messages again, with other values and the keys of an analysis.

Each message that was read is cloned, so that grid, parameter, level, scanning and all local keys stay. What is set:

    reference time = valid time, step 0        GRIB 2: process 0 (analysis), 7 (analysis error), 20 (increment)
                                               MARS:   type an, ea, 4i

Values are packed as the background packs them, with as many bits a value as it has and at least b = 16. With the binary
scale that this allows, a field of range R is within R / (2ᵇ − 1) of what was meant; every message is decoded again and
held to it. A message whose values did not change keeps its data bit for bit. Fields over a time (precipitation since a
start) are the background's, with all their keys; of an ensemble's mean they are left out.

The spread has no message in the analysis: without MARS keys only the process tells the two apart, which most readers do
not look at, and would take one for the other. It gets a file of its own, and `NO_STATE` keeps phyda from reading it as
a background.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import eccodes
import numpy as np
import xarray as xr
from cfgrib.messages import MISSING_VAUE_INDICATOR, Message
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError, UsageError
from phyda_cli.fields.state import Planes, State
from phyda_cli.formats.gridded.analysis_attributes import known_names
from phyda_cli.formats.gridded.contents import GribField
from phyda_cli.formats.gridded.finite import finite, require_finite
from phyda_cli.formats.gridded.grib_grid import grid_of, scanned
from phyda_cli.formats.gridded.grib_header import NO_STATE, Header, header_of
from phyda_cli.formats.gridded.grib_index import grib_field
from phyda_cli.formats.gridded.layout import Background, restore
from phyda_cli.formats.gridded.spread_fields import HumiditySpread, spread_fields
from phyda_cli.outputs import atomic_path

Array = NDArray[np.float64]
Packing = Mapping[str, float]
"""The largest packing error of each field that was packed anew, in its unit."""
_BITS: Final = 16
_MOST_BITS: Final = 24
_ANALYSIS: Final = ("an", 0)
_ERROR: Final = ("ea", NO_STATE["ea"])
_INCREMENT: Final = ("4i", NO_STATE["4i"])


def check_grib(what: str, background: Background, *, members: bool = False) -> None:
    """Raise UsageError, of what is to be written, unless the background's fields are from GRIB and, for members, have a
    place for a number.
    """
    held = {one.name for one in background.messages}
    other = next((name for name in known_names(background) if name not in held), None)
    if other is not None:
        raise UsageError(
            f"{what}: GRIB is written by the example of the background's messages, and its field {other!r} is not "
            "from GRIB; give the file a name that ends in .nc"
        )
    if members:
        for _, _, header in _examples(background, known_names(background)):
            if header.keys["edition"] == 1 and header.keys["number"] is None:
                raise UsageError(
                    f"{what}: the background's GRIB 1 messages have no place for the number of a member; give the file "
                    "a name that ends in .nc"
                )


def write_analysis(path: Path, background: Background, analysis: State, *, overwrite: bool = False) -> Packing:
    """Write the analysis, of an ensemble the mean, with all other fields of the background.

    Raises UsageError as `check_grib`, BadDataError for what GRIB cannot hold, CannotWriteError as `atomic_path`.
    """
    check_grib(str(path), background)
    require_finite(path, analysis, "analysis")
    mean = background.ensemble_mean()
    return _write(path, [_Part.of_mean(background, restore(mean, analysis), _ANALYSIS)], overwrite=overwrite)


def write_increment(path: Path, background: Background, analysis: State, *, overwrite: bool = False) -> Packing:
    """Write analysis minus background of the known fields. Raises as `write_analysis`."""
    check_grib(str(path), background)
    require_finite(path, analysis, "analysis")
    mean, names = background.ensemble_mean(), known_names(background)
    increment = restore(mean, analysis)[names] - mean.dataset[names]
    return _write(path, [_Part.of_mean(background, increment, _INCREMENT)], overwrite=overwrite)


def write_spread(
    path: Path,
    background: Background,
    spread: Planes,
    *,
    of_humidity: HumiditySpread | None = None,
    overwrite: bool = False,
) -> Packing:
    """Write the standard deviation of the analysis, where the method reaches; arguments as of `spread_fields`.

    Raises as `write_analysis`.
    """
    check_grib(str(path), background)
    found = spread_fields(background.ensemble_mean(), finite(path, spread, "spread"), of_humidity)
    fields = xr.Dataset({name.removesuffix("_spread"): field for name, field in found.items()})
    return _write(path, [_Part.of_mean(background, fields, _ERROR)], overwrite=overwrite)


def write_members(
    path: Path, background: Background, members: Iterable[State], *, count: int, overwrite: bool = False
) -> Packing:
    """Write the known fields of all members, one member after the other. Raises as `write_analysis`.

    Those of an ensemble are written by the example of their own messages, with its numbers; others are numbered from 0.
    """
    check_grib(str(path), background, members=True)

    def parts() -> Iterator[_Part]:
        for number, member in enumerate(members):
            require_finite(path, member, f"member {number}")
            own = background if background.member is None else background.one_member(number)
            label = background.member_numbers[number] if background.member_numbers else number
            yield _Part(own, restore(own, member)[known_names(own)], _ANALYSIS, _numbered(label, count))

    return _write(path, parts(), overwrite=overwrite)


Handle = Any
"""A message of ecCodes."""


@dataclass(frozen=True)
class _Part:
    """What is written by the example of a background's messages.

    fields: in the axes of the background's dataset. kind: MARS type and process of GRIB 2. set_ensemble: sets the keys
    of the ensemble in a message; None leaves them. orders: rows and columns of the messages of each file, once known.
    """

    background: Background
    fields: xr.Dataset
    kind: tuple[str, int]
    set_ensemble: Callable[[Handle], None] | None
    orders: dict[Path, tuple[NDArray[np.int64], NDArray[np.int64]]] = field(default_factory=dict)

    @classmethod
    def of_mean(cls, background: Background, fields: xr.Dataset, kind: tuple[str, int]) -> _Part:
        """Return fields of the mean, where the background is an ensemble."""
        return cls(background.ensemble_mean(), fields, kind, None if background.member is None else _without_number)


def _write(path: Path, parts: Iterable[_Part], *, overwrite: bool) -> Packing:
    errors: dict[str, float] = {}
    with atomic_path(path, overwrite=overwrite) as temporary, temporary.open("wb") as stream:
        for part in parts:
            for one, message, header in _examples(part.background, part.fields.data_vars):
                error = _write_field(stream, path, part, one, message, header)
                if error is not None:
                    errors[one.name] = max(error, errors.get(one.name, 0.0))
    return errors


def _write_field(
    stream: BinaryIO, path: Path, part: _Part, one: GribField, message: Message, header: Header
) -> float | None:
    """Write one field and return its packing error, None where its data stay."""
    values = _values(part, one, header)
    changed = not np.array_equal(_single(message.message_get("values")), _single(values), equal_nan=True)
    if not header.is_instant:
        if not changed:
            message.write(stream)
        return None
    handle = eccodes.codes_clone(message.codes_id)
    try:
        eccodes.codes_set(handle, "missingValue", MISSING_VAUE_INDICATOR)  # a clone has its own
        _set_keys(handle, header, part)
        error = _pack(handle, values) if changed else None
        eccodes.codes_write(handle, stream)
    except (eccodes.CodesInternalError, _CannotPack) as problem:
        raise BadDataError(
            f"{path}: {header.keys['shortName']} at level {header.level[0]:g} cannot be written as GRIB ({problem}); "
            f"give the file a name that ends in .nc"
        ) from problem
    finally:
        eccodes.codes_release(handle)
    return error


def _examples(background: Background, names: Iterable[object]) -> Iterator[tuple[GribField, Message, Header]]:
    """Every message of the named fields, in the order of the files."""
    named = set(names)
    by_file: dict[Path, dict[int, GribField]] = {}
    for one in background.messages:
        if one.name in named:
            by_file.setdefault(one.path, {})[one.index] = one
    for path, wanted in by_file.items():
        for index in sorted(wanted):
            message = grib_field(path, index)
            yield wanted[index], message, header_of(message, path, index)


def _set_keys(handle: Handle, header: Header, part: _Part) -> None:
    """Make a message one of an analysis at its own valid time."""
    mars, process = part.kind
    if eccodes.codes_is_defined(handle, "marsType"):
        eccodes.codes_set(handle, "marsType", mars)
    if header.keys["edition"] == 2:
        eccodes.codes_set(handle, "significanceOfReferenceTime", 0)
        eccodes.codes_set(handle, "typeOfProcessedData", 0)
        eccodes.codes_set(handle, "typeOfGeneratingProcess", process)
    else:
        eccodes.codes_set(handle, "timeRangeIndicator", 0)
    eccodes.codes_set(handle, "stepRange", "0")
    eccodes.codes_set(handle, "dataDate", int(header.keys["validityDate"]))
    eccodes.codes_set(handle, "dataTime", int(header.keys["validityTime"]))
    if part.set_ensemble is not None:
        part.set_ensemble(handle)


_TEMPLATE: Final = "productDefinitionTemplateNumber"
_OF_ANALYSIS, _OF_MEMBER = 0, 1
"""Product definition templates of GRIB 2 for a field at one moment."""
_KIND_UNKNOWN: Final = 255


def _numbered(number: int, count: int) -> Callable[[Handle], None]:
    """Make a message that of a member among so many."""

    def set_number(handle: Handle) -> None:
        if eccodes.codes_get(handle, "edition") == 2:
            if eccodes.codes_get(handle, _TEMPLATE) == _OF_ANALYSIS:
                eccodes.codes_set(handle, _TEMPLATE, _OF_MEMBER)
                eccodes.codes_set(handle, "typeOfEnsembleForecast", _KIND_UNKNOWN)
            eccodes.codes_set(handle, "numberOfForecastsInEnsemble", count)
        elif eccodes.codes_is_defined(handle, "totalNumber"):
            eccodes.codes_set(handle, "totalNumber", count)
        eccodes.codes_set(handle, "number", number)

    return set_number


def _without_number(handle: Handle) -> None:
    """Make a message of a member one that is of no ensemble."""
    if eccodes.codes_get(handle, "edition") == 2:
        if eccodes.codes_get(handle, _TEMPLATE) == _OF_MEMBER:
            eccodes.codes_set(handle, _TEMPLATE, _OF_ANALYSIS)
    elif eccodes.codes_is_defined(handle, "number"):
        eccodes.codes_set(handle, "number", 0)


def _values(part: _Part, one: GribField, header: Header) -> Array:
    """(n,) values of a message, as it scans; NaN where there is none."""
    background, variable = part.background, part.fields[one.name]
    horizontal = (background.latitude, background.longitude)
    others = {dim: one.level for dim in variable.dims if dim not in horizontal}
    plane = np.asarray(variable.isel(others).transpose(*horizontal).values, np.float64)
    if header.path not in part.orders:
        part.orders[header.path] = _order(background, header)
    rows, columns = part.orders[header.path]
    return scanned(plane[rows[:, None], columns], header.keys)


def _order(background: Background, header: Header) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For the rows and columns of a message those of the dataset: files of members may differ in how they run."""
    own, held = grid_of(header, str(header.path)).orientation, background.orientation
    return held.rows[own.file_rows], held.columns[own.file_columns]


def _single(values: Any) -> NDArray[np.float32]:
    """Values in the precision of datasets, missing ones as NaN."""
    values = np.asarray(values, np.float64)
    return np.where(values == MISSING_VAUE_INDICATOR, np.nan, values).astype(np.float32)


class _CannotPack(Exception):
    """No packing holds the values."""


def _pack(handle: Handle, values: Array) -> float:
    """Put values into a message and return how far they are from what it holds. Raises _CannotPack."""
    missing = np.isnan(values)
    if missing.all():
        raise _CannotPack("all values are missing")
    if missing.any():
        eccodes.codes_set(handle, "bitmapPresent", 1)
    filled = np.where(missing, MISSING_VAUE_INDICATOR, values)
    bits = max(int(eccodes.codes_get(handle, "bitsPerValue")), _BITS)
    size = float(np.abs(values[~missing]).max())
    allowed = float(np.ptp(values[~missing])) / (2**_BITS - 1) + size * float(np.finfo(np.float32).eps)
    said = "no packing"
    for more in ({"bitsPerValue": bits}, {"bitsPerValue": _MOST_BITS}, {"packingType": "grid_simple"}):
        try:
            for key, value in {**more, "decimalScaleFactor": 0}.items():
                eccodes.codes_set(handle, key, value)
            eccodes.codes_set_values(handle, filled)
            held = np.asarray(eccodes.codes_get_values(handle), np.float64)
        except eccodes.CodesInternalError as problem:
            said = str(problem)
            continue
        error = float(np.abs(held - values)[~missing].max())
        if error <= allowed and np.array_equal(held == MISSING_VAUE_INDICATOR, missing):
            return error
        said = f"an error of {error:g} where {allowed:g} is allowed"
    raise _CannotPack(said)
