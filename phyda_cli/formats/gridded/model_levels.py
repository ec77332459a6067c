"""Fields on a model's own levels as fields on pressure levels, and increments back.

Their pressure is what `model_pressure.py` finds. On the way in a field is linear in ln p between a column's own levels,
and missing below the lowest of them, where `fields.below_ground` extends it. On the way out the increment on pressure
levels is linear in ln p at a column's own levels, constant beyond the lowest and highest; it is added to the model's
field, which is never replaced:

    T = θ (p/10⁵)^κ,   q = w/(1 + w):      δθ = δT (10⁵/p)^κ,   δw = δq (1 + w)²

Winds on staggered points are the mean of both sides on the way in, and an increment is the mean of both sides on the
way out. Geopotential and pressure of WRF are read for the observations and written as they were: they follow from its
mass field, which phyda does not analyse.

Of an ensemble every member has its own pressures, and all are brought to the same pressure levels. An increment goes
back to the levels of its own member, that of the mean to the mean of the members' levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.constants import CP_DRY, R_DRY
from phyda_cli.errors import BadDataError
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.formats.gridded.folding import ALONG_GRID, look_up
from phyda_cli.formats.gridded.member_mean import mean_over
from phyda_cli.formats.gridded.model_pressure import WRF, pressure_of_levels

Array = NDArray[np.float64]

LEVELS: Final = tuple(
    100.0 * level
    for level in (
        1000, 975, 950, 925, 900, 875, 850, 825, 800, 775, 750, 700, 650, 600, 550, 500, 450, 400, 350, 300, 250, 225,
        200, 175, 150, 125, 100, 70, 50, 30, 20, 10, 7, 5, 3, 2, 1,
    )
)  # fmt: skip
"""Those of reanalyses [Pa]."""
LEVEL: Final = "pressure_level"
_READ: Final = ("u", "v", "t", "q", "z")
_KAPPA: Final = R_DRY / CP_DRY
_THETA: Final = 300.0
"""What WRF's potential temperature is counted from [K]."""
_REFERENCE: Final = 1e5


class ModelField(NamedTuple):
    """One field on a model's levels.

    name: in the file. variable: of the table. slope: (…, level, row, column) change of the file's field for one of the
    variable's, None where it is not written. staggered: its dimension of points between those of the grid.
    """

    name: str
    variable: str
    slope: Array | None
    staggered: str | None = None

    @property
    def plain(self) -> str:
        """The name of what is made of it."""
        return f"{self.variable}_pl"


@dataclass(frozen=True)
class ModelLevels:
    """What brings fields on pressure levels back to a model's own.

    native: the file's fields on model levels. dims: names of level, row and column. fields: those that were read.
    pressure: (…, level, row, column) [Pa]. plain: what was made of the fields, on pressure levels, by its name.
    levels: these [Pa], the lowest first. member: name of the dimension of members, the first of all arrays, None where
    there is none.
    """

    native: xr.Dataset
    dims: tuple[str, str, str]
    fields: tuple[ModelField, ...]
    pressure: Array
    plain: Mapping[str, Array]
    levels: tuple[float, ...]
    member: str | None = None

    def of_members(self, chosen: int | slice | list[int]) -> ModelLevels:
        """Return that of one member, without their dimension, or of some."""
        if self.member is None:
            return self
        return replace(
            self,
            native=self.native.isel({self.member: chosen}),
            fields=tuple(f if f.slope is None else f._replace(slope=f.slope[chosen]) for f in self.fields),
            pressure=self.pressure[chosen],
            plain={name: values[chosen] for name, values in self.plain.items()},
            member=None if isinstance(chosen, int) else self.member,
        )

    def mean(self) -> ModelLevels:
        """Return that of the members' mean."""
        if self.member is None:
            return self
        return replace(
            self,
            native=mean_over(self.native, self.member),
            fields=tuple(f if f.slope is None else f._replace(slope=f.slope.mean(0)) for f in self.fields),
            pressure=self.pressure.mean(0),
            plain={name: values.mean(0) for name, values in self.plain.items()},
            member=None,
        )

    def back(self, dataset: xr.Dataset, *, differences: bool = False) -> xr.Dataset:
        """Return a dataset on pressure levels on the model's levels; what is on none of them stays.

        differences: its fields are differences, not states. Those that end in `_spread` are magnitudes.
        """
        made: dict[str, xr.Variable] = {}
        time = next(iter(dataset[name].dims[0] for name in self.plain if name in dataset), None)
        for field in self.fields:
            native = self.native[field.name].variable
            for ending in ("", "_spread"):
                name = f"{field.plain}{ending}"
                if name not in dataset or field.slope is None:
                    continue
                found = dataset[name].transpose(..., LEVEL, *self.dims[1:])
                state = not (ending or differences)
                change = found.values.astype(np.float64) - (self.plain[field.plain] if state else 0.0)
                moved = _staggered(self._on_model_levels(_downwards(change)) * field.slope, field, native)
                about = dict(native.attrs)
                if not state:
                    what = "analysis standard deviation" if ending else "analysis increment"
                    about["long_name"] = f"{what} of {about.get('long_name', about.get('description', field.name))}"
                values = native.values + moved if state else np.abs(moved) if ending else moved
                dims = (*found.dims[: moved.ndim - 3], *native.dims[-3:])
                made[f"{field.name}{ending}"] = xr.Variable(dims, values.astype(np.float32), about)
        plain = [f"{name}{ending}" for name in self.plain for ending in ("", "_spread")]
        kept = dataset.drop_vars([*plain, LEVEL], errors="ignore")
        others = {} if differences else {k: v for k, v in self.native.variables.items() if k not in made}
        timed = {
            name: v if v.ndim < 3 else xr.Variable((time, *v.dims), v.values[None], v.attrs)
            for name, v in others.items()
        }
        return kept.assign(timed).assign(made)

    def _on_model_levels(self, values: Array) -> Array:
        """(…, level, row, column) at the model's pressures of fields (…, pressure level, row, column)."""
        nodes = np.log(self.levels)[::-1]
        fields = values[..., ::-1, :, :]
        at = np.clip(np.log(self.pressure), nodes[0], nodes[-1])
        low = np.clip(np.searchsorted(nodes, at, side="right") - 1, 0, max(nodes.size - 2, 0))
        high = np.minimum(low + 1, nodes.size - 1)
        share = np.where(high > low, (at - nodes[low]) / np.where(high > low, nodes[high] - nodes[low], 1.0), 0.0)

        def taken(index: NDArray[np.int64]) -> Array:
            whole = np.broadcast_to(index, (*fields.shape[:-3], *index.shape[-3:]))
            return np.asarray(np.take_along_axis(fields, whole, axis=-3))

        return np.asarray((1.0 - share) * taken(low) + share * taken(high))


def _downwards(change: Array) -> Array:
    """Return (…, pressure level, row, column) with what is missing below the ground as on the level above."""
    result = change.copy()
    for level in range(result.shape[-3] - 2, -1, -1):
        here = result[..., level, :, :]
        here[...] = np.where(np.isnan(here), result[..., level + 1, :, :], here)
    return np.nan_to_num(result)


def _staggered(values: Array, field: ModelField, native: xr.Variable) -> Array:
    """Return (…, level, row, column) on a field's own points."""
    if field.staggered is None:
        return values
    axis = -1 if native.dims[-1] == field.staggered else -2
    ends = [values.take([end], axis) for end in (0, -1)]
    return np.concatenate([ends[0], _middle(values, axis), ends[1]], axis=axis)


def on_pressure_levels(
    dataset: xr.Dataset,
    horizontal: tuple[str, str],
    member: str | None,
    source: str,
    notes: list[str],
    *,
    pressure: xr.DataArray | None = None,
) -> tuple[xr.Dataset, ModelLevels | None]:
    """Return a dataset whose fields on model levels are on pressure levels, and the way back; None where it has none.

    member: the dimension of members. pressure: of the model's levels, where it is known already. Raises BadDataError
    where it is missing or not positive.
    """
    kept = (*horizontal, *([] if member is None else [member]))
    found = pressure if pressure is not None else pressure_of_levels(dataset, kept)
    if found is None:
        return dataset, None
    level = next(str(dim) for dim in found.dims if dim not in kept)
    lead: tuple[str, ...] = ()
    if member is not None and any({level, member} <= set(dataset[name].dims) for name in dataset.data_vars):
        lead = (member,)
        found = found if member in found.dims else found.expand_dims({member: dataset.sizes[member]})
        dataset = dataset.transpose(member, ..., missing_dims="ignore")
    elif member in found.dims:
        raise BadDataError(f"{source}: the pressure of its model levels has members, its fields on these have none")
    dims = (level, *horizontal)
    at = np.asarray(found.transpose(*lead, *dims).values, np.float64)
    if not (np.isfinite(at).all() and (at > 0).all()):
        raise BadDataError(f"{source}: the pressure of its model levels is missing or not positive; mend it")
    of_wrf = set(WRF) <= set(dataset.variables)
    fields, values = _wrf(dataset, at) if of_wrf else _plain(dataset, (*lead, *dims))
    if not fields:
        return dataset, None
    deepest = at.max(-3).max((-2, -1)).min()
    levels = tuple(p for p in LEVELS if at.min(-3).max() <= p <= deepest)
    plain = {field.plain: _interpolated(values[field.variable], at, levels) for field in fields}
    own = [str(name) for name, variable in dataset.variables.items() if {level, f"{level}_stag"} & set(variable.dims)]
    native = dataset[own]
    native = native.drop_vars([name for name in native.variables if name not in own]).load()
    if not of_wrf:
        native = native.assign({field.name: native[field.name].transpose(*lead, *dims) for field in fields})
    others = dataset.drop_vars(list(native.variables))
    made = {
        field.plain: xr.Variable(
            (*lead, LEVEL, *horizontal), plain[field.plain].astype(np.float32), _about(field, dataset)
        )
        for field in fields
    }
    about = {"units": "hPa", "standard_name": "air_pressure", "positive": "down"}
    axis = xr.Variable((LEVEL,), np.array(levels) / 100.0, about)
    notes.append(
        f"{source}: fields on {at.shape[-3]} model levels ({', '.join(sorted(values))}) were brought to "
        f"{len(levels)} pressure levels; increments go back to the model's"
    )
    exact = {name: value.values.astype(np.float64) for name, value in made.items()}
    model = ModelLevels(native, dims, tuple(fields), at, exact, levels, lead[0] if lead else None)
    return others.assign(made).assign_coords({LEVEL: axis}), model


def _about(field: ModelField, dataset: xr.Dataset) -> dict[str, str]:
    own, variable = dataset[field.name].attrs, VARIABLES[field.variable]
    standard = variable.standard_name
    if variable.is_wind_component and (field.staggered or own.get("standard_name") in ALONG_GRID):
        standard = {"u": "x_wind", "v": "y_wind"}[field.variable]
    kept = {key: str(own[key]) for key in ("grid_mapping",) if key in own}
    return {"units": variable.units, "standard_name": standard, **kept}


def _interpolated(values: Array, pressure: Array, levels: Sequence[float]) -> Array:
    """(…, pressure level, row, column) of a field (…, level, row, column), missing outside a column's levels."""
    if values.ndim > 3:
        return np.stack([_interpolated(*each, levels) for each in zip(values, pressure, strict=True)])
    order = np.argsort(pressure[:, 0, 0])
    at, fields = np.log(pressure[order]), values[order]
    result = np.full((len(levels), *values.shape[1:]), np.nan)
    for number, level in enumerate(levels):
        below = (at <= np.log(level)).sum(0)
        inside = (below > 0) & (below < at.shape[0])
        low = np.clip(below - 1, 0, at.shape[0] - 2)[None]
        first, second = (np.take_along_axis(x, low, 0)[0] for x in (at, fields))
        third, fourth = (np.take_along_axis(x, low + 1, 0)[0] for x in (at, fields))
        share = (np.log(level) - first) / (third - first)
        result[number] = np.where(inside, second + share * (fourth - second), np.nan)
    return result


def _plain(dataset: xr.Dataset, dims: tuple[str, ...]) -> tuple[list[ModelField], dict[str, Array]]:
    """Return the known fields on model levels as they are."""
    fields, values = [], {}
    for key, variable in dataset.data_vars.items():
        if set(variable.dims) != set(dims):
            continue
        known = look_up(str(key), variable.attrs, on_levels=True)[0]
        if known is None or known.name not in _READ or known.name in values:
            continue
        array = variable.transpose(*dims).values.astype(np.float64)
        fields.append(ModelField(str(key), known.name, np.ones_like(array)))
        values[known.name] = array
    return fields, values


def _wrf(dataset: xr.Dataset, pressure: Array) -> tuple[list[ModelField], dict[str, Array]]:
    """Return WRF's fields, its winds and geopotential at the middle of its cells."""

    def values(name: str) -> Array:
        return np.asarray(dataset[name].values, np.float64)

    exner = (pressure / _REFERENCE) ** _KAPPA
    ratio = values("QVAPOR")
    ones = np.ones_like(ratio)
    made = {
        "t": (values("T") + _THETA) * exner,
        "q": ratio / (1.0 + ratio),
        "u": _middle(values("U"), -1),
        "v": _middle(values("V"), -2),
    }
    fields = [
        ModelField("T", "t", 1.0 / exner),
        ModelField("QVAPOR", "q", (1.0 + ratio) ** 2),
        ModelField("U", "u", ones, str(dataset["U"].dims[-1])),
        ModelField("V", "v", ones, str(dataset["V"].dims[-2])),
    ]
    if {"PH", "PHB"} <= set(dataset.variables):
        made["z"] = _middle(values("PH") + values("PHB"), -3)
        fields.append(ModelField("PH", "z", None))
    return fields, made


def _middle(values: Array, axis: int) -> Array:
    count = values.shape[axis]
    return np.asarray(0.5 * (values.take(range(count - 1), axis) + values.take(range(1, count), axis)))
