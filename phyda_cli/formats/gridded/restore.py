"""A state back in the layout of its background's file.

Only values that the analysis changed are written, in the file's own orientation and unit; relative humidity and dew
point are computed anew from the analysed q and T. What the file leaves out below the ground stays missing. Everything
else stays bit for bit.
"""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.constants import GRAVITY
from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.thermodynamics import dewpoint_from_specific_humidity, relative_humidity_from_specific_humidity
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.formats.gridded.layout import Background, Conversion, file_index, horizontal_view

Array = NDArray[np.float64]


def restore(background: Background, state: State) -> xr.Dataset:
    """A copy of the background's dataset with the state's values in the file's own orientation, units and quantities.

    state: the same grid and member axis as `background.state`, any of its channels; fields of other channels, and
    values that did not change, stay bit for bit. Raises BadDataError when grid, members or channels disagree.
    """
    old = background.state
    if state.grid.shape != old.grid.shape or state.values.shape[:-3] != old.values.shape[:-3]:
        raise BadDataError(
            f"a state of shape {tuple(state.values.shape)} cannot go back into one of {tuple(old.values.shape)}"
        )
    new = {channel: _plane(state, channel) for channel in state.channels}
    # Compare in the precision of the new state: a detour through single precision is no change.
    before = {channel: _plane(old, channel, state.values.dtype) for channel in old.channels}
    unknown = [channel for channel in new if channel not in background.layout]
    if unknown:
        raise BadDataError(f"the background holds no {unknown[0]}")
    rows, columns = file_index(background)
    arrays: dict[str, NDArray[np.generic]] = {}
    for channel, place in (*background.layout.items(), *background.companions):
        inputs = [channel, Channel("t", channel.level)][: 2 if place.conversion is Conversion.RELATIVE_HUMIDITY else 1]
        touched = [item for item in inputs if item in new and not np.array_equal(new[item], before[item])]
        if not touched:
            continue
        changed = np.logical_or.reduce([new[item] != before[item] for item in touched])
        values = _from_channel(place.conversion, channel.level, *(new.get(item, before[item]) for item in inputs))
        values = values * place.scale + place.offset
        variable = background.dataset[place.name]
        array = arrays.setdefault(place.name, variable.values.copy())
        target = horizontal_view(array, variable.dims, background, place)
        mask = changed[..., rows[:, None], columns] & ~missing(target)
        target[mask] = values[..., rows[:, None], columns][mask].astype(array.dtype)
    dataset = background.dataset.copy()
    return dataset.assign({name: dataset[name].copy(data=array) for name, array in arrays.items()})


def missing(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Where a file's array holds no value."""
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, np.bool_)


def _from_channel(conversion: Conversion, level: float | None, value: Array, *temperature: Array) -> Array:
    """The file's quantity [SI]; relative humidity and dew point stay within the bounds of what the readers take."""
    if conversion is Conversion.HEIGHT:
        return value / GRAVITY
    if conversion is Conversion.RELATIVE_HUMIDITY:
        humidity = relative_humidity_from_specific_humidity(value, temperature[0], level)
        return np.asarray(np.clip(humidity, *VARIABLES["r"].bounds))
    if conversion is Conversion.DEWPOINT:
        return np.asarray(np.clip(dewpoint_from_specific_humidity(value, level), *VARIABLES["td"].bounds))
    return value


def _plane(state: State, channel: Channel, dtype: torch.dtype | None = None) -> Array:
    plane = state.values[..., state.index(channel), :, :].detach().cpu()
    return np.asarray(plane.to(dtype or plane.dtype).to(torch.float64).numpy())
