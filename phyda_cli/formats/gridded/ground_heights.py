"""The height above the ground of fields near it, as CF has it: a scalar coordinate, `height_2m` and `height_10m`.

xarray hands a scalar coordinate to every variable of a dataset; which of them a field names in its file stands in its
encoding.
"""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr


def with_heights(dataset: xr.Dataset, heights: Mapping[str, float]) -> xr.Dataset:
    """Return a dataset whose fields near the ground name their heights.

    heights: of fields, and of their spreads beside them, by name [m]. A height that the dataset has already is taken.
    """
    wanted = {name: h for field, h in heights.items() for name in (field, f"{field}_spread") if name in dataset}
    own = {height: f"height_{height:g}m" for height in wanted.values()}
    held = {
        float(c): str(n) for n, c in dataset.coords.items() if not c.dims and c.attrs.get("standard_name") == "height"
    }
    named = own | {height: name for height, name in held.items() if height in own}
    dataset = dataset.assign_coords(
        {name: _coordinate(height) for height, name in own.items() if named[height] == name}
    )
    for name, field in dataset.data_vars.items():
        beside = {str(n) for n, c in dataset.coords.items() if n not in field.dims and set(c.dims) <= set(field.dims)}
        others = {own[height] for height in own if height != wanted.get(str(name))}
        field.encoding["coordinates"] = " ".join(sorted(beside - others)) or None
    return dataset


def _coordinate(height: float) -> xr.Variable:
    about = {"standard_name": "height", "long_name": "height above the ground", "units": "m", "positive": "up"}
    return xr.Variable((), height, {**about, "axis": "Z"})
