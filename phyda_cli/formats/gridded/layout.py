"""The background as an object: a State of the variables that phyda knows, and where they lie in the file.

`assemble` makes it of what a reader found, `restore` puts a state back into the file's own layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel, State
from phyda_cli.formats.gridded.contents import format_time
from phyda_cli.formats.gridded.folding import Folding
from phyda_cli.grids.latlon import Orientation


class Conversion(Enum):
    """How a field of the file relates to the state's channel."""

    IDENTITY = "identity"
    HEIGHT = "height"
    RELATIVE_HUMIDITY = "relative humidity"
    DEWPOINT = "dew point"


@dataclass(frozen=True)
class FieldLayout:
    """Where a channel lies in the file's dataset.

    name: variable in the dataset. level_dim, level_index: its place on the level axis (None when there is none).
    conversion: from the channel to the file's quantity [SI]. scale, offset: file = SI·scale + offset.
    """

    name: str
    level_dim: str | None
    level_index: int | None
    conversion: Conversion
    scale: float
    offset: float


@dataclass(frozen=True)
class Background:
    """A background at one valid time.

    state: (channel, lat, lon) or (member, channel, lat, lon) float64, SI, canonical grid; z and q, never gh, r or td.
    dataset: every field of the file, decoded, with its own axes, orientation, units and attributes.
    orientation: from the dataset's axes to the canonical grid.
    layout: for every channel its field. companions: further fields of the same quantity (r beside q), kept consistent.
    latitude, longitude, member: names of dimensions. sources: the files. notes: what the log should say.
    folding: how the file folds plain fields into its own layout; None when it does not.
    counts: how many values were changed on the way in, by kind. Where the dataset has NaN, below the ground, the state
        is extended from above (`fields.below_ground`).
    """

    state: State
    dataset: xr.Dataset
    orientation: Orientation
    layout: Mapping[Channel, FieldLayout]
    companions: tuple[tuple[Channel, FieldLayout], ...]
    latitude: str
    longitude: str
    member: str | None
    sources: tuple[str, ...]
    notes: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    folding: Folding | None = None

    @property
    def member_numbers(self) -> tuple[int, ...]:
        """The file's number of every member; empty when there is no member axis."""
        return () if self.member is None else tuple(int(n) for n in self.dataset[self.member].values)

    def first_members(self, count: int) -> Background:
        """The background with its first members only. Raises BadDataError when it has not so many."""
        held = len(self.member_numbers)
        if count > held:
            raise BadDataError(f"{self.sources[0]}: holds {held or 1} members, not {count}")
        state = replace(self.state, values=self.state.values[:count])
        return replace(self, state=state, dataset=self.dataset.isel({self.member: slice(count)}))

    def one_member(self, index: int) -> Background:
        """The background of one member, by its place on the member axis, without that axis."""
        state = replace(self.state, values=self.state.values[index])
        return replace(self, state=state, dataset=self.dataset.isel({self.member: index}), member=None)

    def ensemble_mean(self) -> Background:
        """The background without its member axis: mean of the state and of every field. Itself when there is none.

        What one member misses, the mean misses.
        """
        if self.member is None:
            return self
        mean = self.dataset.mean(self.member, keep_attrs=True, skipna=False)
        dataset = mean.assign({name: mean[name].astype(self.dataset[name].dtype) for name in mean.data_vars})
        state = replace(self.state, values=self.state.values.mean(dim=0))
        return replace(self, state=state, dataset=dataset, member=None)


def file_index(background: Background) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Canonical row and column of every row and column of the file; a duplicate meridian maps to its twin."""
    grid = background.orientation.grid
    rows = np.empty(background.dataset.sizes[background.latitude], np.int64)
    rows[background.orientation.rows] = np.arange(grid.shape[0])
    longitudes = np.asarray(background.dataset[background.longitude], np.float64)
    apart = np.abs(np.mod(longitudes[:, None] - np.asarray(grid.longitudes) + 180.0, 360.0) - 180.0)
    return rows, np.argmin(apart, axis=1)


def horizontal_view(
    array: NDArray[np.generic], dims: tuple[object, ...], background: Background, place: FieldLayout
) -> NDArray[np.generic]:
    """A view (…, lat, lon) of one level of a variable, whatever the order of its axes."""
    order = [background.member, place.level_dim, background.latitude, background.longitude]
    view = np.transpose(array, [dims.index(name) for name in order if name is not None])
    return view if place.level_index is None else view[..., place.level_index, :, :]


def describe(background: Background) -> str:
    """One line for the log: grid, time, members, variables with their number of levels."""
    state = background.state
    held = ", ".join(f"{v} ×{len(state.levels(v))}" if state.levels(v) else v for v in state.variables)
    members = f", {state.values.shape[0]} members" if background.member else ""
    return f"{state.grid}, valid {format_time(state.time)}{members}: {held}"
