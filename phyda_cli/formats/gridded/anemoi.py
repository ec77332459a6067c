"""Datasets of anemoi-datasets as what they hold: one array of states, the names of its variables, places and dates.

    data(time, variable, ensemble, cell)     float32, usually one date to a chunk
    latitudes(cell), longitudes(cell)        [degree]; a regular grid, row by row, or a reduced one
    dates(time)                              UTC
    attributes   variables: the names along the second axis (2t, msl, q_500 …); missing_dates: those without values

Source: docs of anemoi-datasets, "Overview" and "Missing dates". Units are not told: ECMWF's are SI.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from phyda_cli.errors import BadDataError

_ARRAYS: Final = ("data", "dates", "latitudes", "longitudes")
_AXES: Final = ("time", "variable", "ensemble", "values")
MISSING: Final = "missing_dates"


def is_anemoi(group: Any) -> bool:
    """Return whether an open Zarr group is such a dataset."""
    return "variables" in group.attrs and all(name in group for name in _ARRAYS)


def anemoi_dataset(group: Any, source: str) -> xr.Dataset:
    """Return the group as a dataset whose states are read when they are asked for.

    Raises BadDataError where its arrays do not belong together.
    """
    data, names = group["data"], [str(name) for name in group.attrs["variables"]]
    latitude, longitude = (np.asarray(group[name][:], np.float64) for name in ("latitudes", "longitudes"))
    dates = np.asarray(group["dates"][:]).astype("datetime64[s]").astype("datetime64[ns]")
    expected = (dates.size, len(names), latitude.size)
    if data.ndim != 4 or (data.shape[0], data.shape[1], data.shape[3]) != expected or latitude.shape != longitude.shape:
        raise BadDataError(
            f"{source}: its data {data.shape} do not fit its {dates.size} dates, {len(names)} variables and "
            f"{latitude.size} places; the dataset is damaged or not finished"
        )
    states = xr.Variable(_AXES, indexing.LazilyIndexedArray(_ZarrArray(data)))
    states.encoding["preferred_chunks"] = dict(zip(_AXES, data.chunks, strict=True))
    coordinates = {
        "time": ("time", dates, {"standard_name": "time"}),
        "variable": ("variable", np.array(names)),
        "latitudes": ("values", latitude, {"units": "degrees_north"}),
        "longitudes": ("values", longitude, {"units": "degrees_east"}),
    }
    return xr.Dataset({"data": states}, coordinates, {MISSING: list(group.attrs.get(MISSING, []))})


class _ZarrArray(BackendArray):
    """A Zarr array for xarray's lazy indexing."""

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Return the values of an index."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._outer)

    def _outer(self, key: tuple[Any, ...]) -> Any:
        return self.array.oindex[key]
