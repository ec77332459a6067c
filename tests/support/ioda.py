"""IODA files as JEDI converters write them: single precision, seconds since 1970, fill values, texts of any length."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

FLOAT_FILL = np.float32(netCDF4.default_fillvals["f4"])
INT_FILL = np.int32(-2147483643)
LONG_FILL = np.int64(-9223372036854775801)
NOON = 1_583_064_000
"""2020-03-01T12:00:00Z in seconds since 1970."""

GONE = float("nan")


def write(
    path: Path,
    groups: Mapping[str, Mapping[str, Any]],
    *,
    units: Mapping[str, str] | None = None,
    size: int | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> Path:
    """A file of groups of variables; NaN becomes the fill value. units: by `group/variable`. Texts are vlen strings."""
    about = {"MetaData/dateTime": "seconds since 1970-01-01T00:00:00Z", "MetaData/pressure": "Pa", **(units or {})}
    with netCDF4.Dataset(path, "w") as dataset:
        dataset.setncatts({"_ioda_layout": "ObsGroup", "_ioda_layout_version": np.int32(0), **(attributes or {})})
        n = size if size is not None else len(groups["MetaData"]["latitude"])
        dataset.createDimension("Location", n)
        dataset.createVariable("Location", "i8", ("Location",), fill_value=LONG_FILL)[:] = np.arange(n)
        for group, variables in groups.items():
            place = dataset.createGroup(group)
            for name, values in variables.items():
                _put(dataset, place, name, np.asarray(values), about.get(f"{group}/{name}"))
    return path


def _put(dataset: Any, group: Any, name: str, values: np.ndarray, units: str | None) -> None:
    dimensions = ["Location"]
    for axis, length in enumerate(values.shape[1:]):
        dimension = "Channel" if axis == 0 else f"dim{axis}"
        if dimension not in dataset.dimensions:
            dataset.createDimension(dimension, length)
        dimensions.append(dimension)
    if values.dtype.kind in "UO":
        variable = group.createVariable(name, str, dimensions)
        variable[:] = values.astype(object)
    else:
        kind, fill = {"f": ("f4", FLOAT_FILL), "i": ("i4", INT_FILL)}[values.dtype.kind]
        if name == "dateTime":
            kind, fill = "i8", LONG_FILL
        variable = group.createVariable(name, kind, dimensions, fill_value=fill)
        variable[:] = np.where(np.isnan(values.astype(float)), fill, values)
    if units is not None:
        variable.units = units


def metadata(n: int, **columns: Any) -> dict[str, Any]:
    """MetaData of n locations at noon, on a meridian, at 500 hPa; columns replace or (None) leave out."""
    made = {
        "latitude": 10.0 * np.arange(n),
        "longitude": np.full(n, -20.0),
        "dateTime": np.full(n, NOON),
        "pressure": np.full(n, 50_000.0),
        "stationIdentification": np.array([f"S{i}" for i in range(n)], dtype=object),
    }
    return {name: value for name, value in {**made, **columns}.items() if value is not None}
