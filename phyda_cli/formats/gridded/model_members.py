"""Members on model levels, each in a file of its own: brought to the pressure levels of all, with one way back.

The pressure levels that a file's columns reach hang on its surface pressure, so that members may differ in the lowest
and the highest; the ensemble has those that all of them have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.formats.gridded.contents import MEMBER, Contents
from phyda_cli.formats.gridded.model_levels import LEVEL, ModelLevels

Array = NDArray[np.float64]


def on_common_levels(contents: Sequence[Contents]) -> Sequence[Contents]:
    """Return files on model levels with the pressure levels that all of them reach."""
    models = [item.model for item in contents if item.model is not None]
    if len(models) < len(contents):
        return contents
    common = [level for level in models[0].levels if all(level in model.levels for model in models)]
    result = []
    for item, model in zip(contents, models, strict=True):
        places = [model.levels.index(level) for level in common]
        plain = {name: values[..., places, :, :] for name, values in model.plain.items()}
        fields = [replace(f, levels=tuple(common)) if f.level_dim == LEVEL else f for f in item.fields]
        result.append(
            replace(
                item,
                dataset=item.dataset.isel({LEVEL: places}),
                fields=tuple(fields),
                model=replace(model, plain=plain, levels=tuple(common)),
            )
        )
    return result


def joined_models(contents: Sequence[Contents]) -> ModelLevels | None:
    """Return the way back to the model levels of all members; None where they are on pressure levels.

    Raises BadDataError for files whose own levels or orders of points are not the same.
    """
    first = contents[0]
    if first.model is None:
        return None
    models = []
    for item in contents:
        model = item.model
        if model is None or not _same_way(first, first.model, item, model):
            raise BadDataError(
                f"{first.source} and {item.source}: members on model levels must have the same levels, fields and "
                "order of points; write them alike"
            )
        models.append(model)
    return _joined(models)


def _same_way(first: Contents, ours: ModelLevels, second: Contents, theirs: ModelLevels) -> bool:
    """Return whether two files on model levels have the same dimensions, fields, levels and order of points."""
    one, other = first.orientation, second.orientation
    return (
        ours.dims == theirs.dims
        and ours.pressure.shape[-3:] == theirs.pressure.shape[-3:]
        and [(f.name, f.variable) for f in ours.fields] == [(f.name, f.variable) for f in theirs.fields]
        and set(ours.native.variables) == set(theirs.native.variables)
        and np.array_equal(one.file_rows, other.file_rows)
        and np.array_equal(one.file_columns, other.file_columns)
    )


def _joined(models: Sequence[ModelLevels]) -> ModelLevels:
    """Return one of several that have the same levels, fields and dimensions, with all their members."""
    first = models[0]

    def stacked(parts: Sequence[Array], models: Sequence[ModelLevels]) -> Array:
        return np.concatenate([p if m.member else p[None] for p, m in zip(parts, models, strict=True)])

    native: dict[str, xr.Variable] = {}
    for name, variable in first.native.variables.items():
        parts = [model.native[name].variable for model in models]
        dims = variable.dims[1:] if first.member in variable.dims else variable.dims
        if len(dims) > 2:
            native[str(name)] = xr.Variable((MEMBER, *dims), stacked([p.values for p in parts], models), variable.attrs)
        else:
            native[str(name)] = variable
    slopes = [[field.slope for field in model.fields] for model in models]
    return replace(
        first,
        native=xr.Dataset(native),
        fields=tuple(
            field if field.slope is None else field._replace(slope=stacked([s for s in own if s is not None], models))
            for field, own in zip(first.fields, zip(*slopes, strict=True), strict=True)
        ),
        pressure=stacked([model.pressure for model in models], models),
        plain={name: stacked([model.plain[name] for model in models], models) for name in first.plain},
        member=MEMBER,
    )
