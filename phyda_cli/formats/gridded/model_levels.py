"""Fields on a model's own levels as fields on pressure levels, and increments back.

    p = a p_0 + b p_s,   a + b p_s,   p_t + σ (p_s − p_t)         CF's hybrid and sigma levels; GRIB's, of half levels
    p = P + PB                                                    WRF

On the way in a field is linear in ln p between a column's own levels, and missing below the lowest of them, where
`fields.below_ground` extends it. On the way out the increment on pressure levels is linear in ln p at a column's own
levels, constant beyond the lowest and highest; it is added to the model's field, which is never replaced:

    T = θ (p/10⁵)^κ,   q = w/(1 + w):      δθ = δT (10⁵/p)^κ,   δw = δq (1 + w)²

Winds on staggered points are the mean of both sides on the way in, and an increment is the mean of both sides on the
way out. Geopotential and pressure of WRF are read for the observations and written as they were: they follow from its
mass field, which phyda does not analyse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.constants import CP_DRY, R_DRY
from phyda_cli.errors import BadDataError
from phyda_cli.fields.variables import VARIABLES, find_gridded_variable
from phyda_cli.formats.gridded.folding import ALONG_GRID, look_up

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
_WRF: Final = ("P", "PB", "T", "U", "V", "QVAPOR")
_HYBRID: Final = ("atmosphere_hybrid_sigma_pressure_coordinate", "atmosphere_sigma_coordinate")


class ModelField(NamedTuple):
    """One field on a model's levels.

    name: in the file. variable: of the table. slope: (level, row, column) change of the file's field for one of the
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
    pressure: (level, row, column) [Pa]. plain: what was made of the fields, on pressure levels, by its name.
    levels: these [Pa], the lowest first.
    """

    native: xr.Dataset
    dims: tuple[str, str, str]
    fields: tuple[ModelField, ...]
    pressure: Array
    plain: Mapping[str, Array]
    levels: tuple[float, ...]

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
                dims = (*found.dims[: moved.ndim - 3], *native.dims)
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
            whole = np.broadcast_to(index, (*fields.shape[:-3], *index.shape))
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

    pressure: of the model's levels, where it is known already. Raises BadDataError for members on model levels.
    """
    found = pressure if pressure is not None else _pressure(dataset, horizontal)
    if found is None:
        return dataset, None
    level = next(str(dim) for dim in found.dims if dim not in horizontal and dim != member)
    dims = (level, *horizontal)
    if member is not None and any({level, member} <= set(dataset[name].dims) for name in dataset.data_vars):
        raise BadDataError(
            f"{source}: holds several members on model levels; choose one with --member, or give the ensemble on "
            "pressure levels"
        )
    at = np.asarray(found.transpose(*dims).values, np.float64)
    if not (np.isfinite(at).all() and (at > 0).all()):
        raise BadDataError(f"{source}: the pressure of its model levels is missing or not positive; mend it")
    fields, values = _wrf(dataset, dims, at) if set(_WRF) <= set(dataset.variables) else _plain(dataset, dims)
    if not fields:
        return dataset, None
    levels = tuple(p for p in LEVELS if at.min(0).max() <= p <= at.max(0).max())
    plain = {field.plain: _interpolated(values[field.variable], at, levels) for field in fields}
    own = [str(name) for name, variable in dataset.variables.items() if {level, f"{level}_stag"} & set(variable.dims)]
    native = dataset[own]
    native = native.drop_vars([name for name in native.variables if name not in own]).load()
    kept = dataset.drop_vars(list(native.variables))
    made = {
        field.plain: xr.Variable((LEVEL, *horizontal), plain[field.plain].astype(np.float32), _about(field, dataset))
        for field in fields
    }
    about = {"units": "hPa", "standard_name": "air_pressure", "positive": "down"}
    axis = xr.Variable((LEVEL,), np.array(levels) / 100.0, about)
    notes.append(
        f"{source}: fields on {at.shape[0]} model levels ({', '.join(sorted(values))}) were brought to "
        f"{len(levels)} pressure levels; increments go back to the model's"
    )
    exact = {name: value.values.astype(np.float64) for name, value in made.items()}
    return kept.assign(made).assign_coords({LEVEL: axis}), ModelLevels(native, dims, tuple(fields), at, exact, levels)


def _about(field: ModelField, dataset: xr.Dataset) -> dict[str, str]:
    own, variable = dataset[field.name].attrs, VARIABLES[field.variable]
    standard = variable.standard_name
    if variable.is_wind_component and (field.staggered or own.get("standard_name") in ALONG_GRID):
        standard = {"u": "x_wind", "v": "y_wind"}[field.variable]
    kept = {key: str(own[key]) for key in ("grid_mapping",) if key in own}
    return {"units": variable.units, "standard_name": standard, **kept}


def _interpolated(values: Array, pressure: Array, levels: Sequence[float]) -> Array:
    """(pressure level, row, column) of a field (level, row, column), missing outside a column's levels."""
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


def _plain(dataset: xr.Dataset, dims: tuple[str, str, str]) -> tuple[list[ModelField], dict[str, Array]]:
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


def _wrf(dataset: xr.Dataset, dims: tuple[str, str, str], pressure: Array) -> tuple[list[ModelField], dict[str, Array]]:
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


def _pressure(dataset: xr.Dataset, horizontal: tuple[str, str]) -> xr.DataArray | None:
    """Return the pressure of a dataset's model levels; None where it has none, or nothing says it."""
    if set(_WRF) <= set(dataset.variables):
        return dataset["P"] + dataset["PB"]
    surface = _surface_pressure(dataset, horizontal)
    if surface is None:
        return None
    for variable in dataset.variables.values():
        if variable.attrs.get("standard_name") in _HYBRID and "formula_terms" in variable.attrs and variable.ndim == 1:
            words = str(variable.attrs["formula_terms"]).split()
            terms = dict(zip((w.removesuffix(":") for w in words[::2]), words[1::2], strict=False))
            ps = dataset[terms["ps"]] if terms.get("ps") in dataset else surface
            return _of_terms(dataset, terms, ps)
    names = {str(name).casefold(): str(name) for name in dataset.variables}
    if {"hyam", "hybm"} <= set(names):
        p0 = float(dataset[names["p0"]]) if "p0" in names else 1.0
        a, b = (dataset[names[name]] for name in ("hyam", "hybm"))
        if a.dims and a.dims[0] not in _levels(dataset, horizontal):
            level = next((d for d in _levels(dataset, horizontal) if dataset.sizes[d] == a.size), None)
            if level is None:
                return None
            a, b = (x.rename({str(x.dims[0]): level}).drop_vars(level, errors="ignore") for x in (a, b))
        return a * p0 + b * surface
    return None


def _of_terms(dataset: xr.Dataset, terms: Mapping[str, str], surface: xr.DataArray) -> xr.DataArray | None:
    def term(name: str) -> xr.DataArray | None:
        return dataset[terms[name]] if terms.get(name) in dataset else None

    a, ap, b, p0, sigma, top = (term(name) for name in ("a", "ap", "b", "p0", "sigma", "ptop"))
    if sigma is not None and top is not None:
        return top + sigma * (surface - top)
    if ap is None and a is not None and p0 is not None:
        ap = a * p0
    return None if ap is None or b is None else ap + b * surface


def _levels(dataset: xr.Dataset, horizontal: tuple[str, str]) -> list[str]:
    """Return the dimensions of fields on levels."""
    found = [
        str(dim)
        for variable in dataset.data_vars.values()
        if set(horizontal) < set(variable.dims)
        for dim in variable.dims
        if dim not in horizontal
    ]
    return list(dict.fromkeys(found))


def _surface_pressure(dataset: xr.Dataset, horizontal: tuple[str, str]) -> xr.DataArray | None:
    """Return the surface pressure [Pa] of a dataset, from its logarithm where it has that."""
    for key, variable in dataset.data_vars.items():
        if str(key).casefold() in ("lnsp", "lnps") and set(horizontal) <= set(variable.dims):
            flat = variable.squeeze([d for d in variable.dims if d not in horizontal], drop=True)
            return flat.copy(data=np.exp(flat.values))
    for key, variable in dataset.data_vars.items():
        known = find_gridded_variable(str(key))
        if known is not None and known.name == "sp" and set(variable.dims) == set(horizontal):
            return variable * (100.0 if float(variable.max()) < 2000.0 else 1.0)
    return None
