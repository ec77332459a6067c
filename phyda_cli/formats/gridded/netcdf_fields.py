"""Which variables of a NetCDF or Zarr dataset phyda knows: names, units and pressure levels.

`field_names` says what a name means. The unit attribute decides the unit; the level axis is the one with a pressure
unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import xarray as xr

from phyda_cli.errors import BadDataError
from phyda_cli.fields.variables import VARIABLES, Variable
from phyda_cli.formats.gridded.contents import PASSIVE, FoundField
from phyda_cli.formats.gridded.field_names import levels_in_names, look_up
from phyda_cli.formats.judgement import judge
from phyda_cli.formats.units import UnitConversion, candidates, find_unit

_LEVEL_NAMES: Final = re.compile(r"(lev|level|levels|plev|plevel|pressure|pressure_level|isobaric\d*|pres|p)", re.I)
_MODEL_LEVELS: Final = re.compile(r"hybrid|sigma|\beta\b|model", re.I)
"""Axes of model levels may carry nominal pressures."""
_LEVEL_TEXT: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")
"""A level as text: 500, 500hPa, 500 mb."""
_NO_UNIT: Final = frozenset({"", "none", "unknown", "~", "-", "nan"})
_TWINS: Final = {"z": "gh", "gh": "z"}
"""Geopotential and geopotential height go by each other's names; the unit tells which it is."""


def find_fields(
    dataset: xr.Dataset, horizontal: tuple[str, str], member: str | None, source: str
) -> tuple[tuple[FoundField, ...], tuple[str, ...]]:
    """The known fields, and notes on what was inferred.

    Raises BadDataError for a known variable with an unknown unit or an axis that `--select` must first index, and when
    there is no known field at all.
    """
    notes: list[str] = []
    ranked: dict[tuple[str, tuple[float, ...]], tuple[int, FoundField]] = {}
    off_levels: list[str] = []
    off_axis: dict[str, list[str]] = {}
    named = levels_in_names(
        str(name) for name, variable in dataset.data_vars.items() if set(variable.dims) - {member} == set(horizontal)
    )
    for key, variable in dataset.data_vars.items():
        name = str(key)
        if not set(horizontal) <= set(variable.dims):
            continue
        extra = [str(dim) for dim in variable.dims if dim not in (*horizontal, member)]
        axes = {dim: pressures(dataset, dim, source, notes) for dim in extra}
        level_dim = next((dim for dim, found in axes.items() if found is not None), None)
        levels = axes[level_dim] if level_dim is not None else _scalar_pressure(variable, source, notes)
        known, rank = look_up(name, variable.attrs, on_levels=bool(levels))
        if name in named:
            known, rank, levels = named[name][0], 0, (named[name][1],)
        elif levels and level_dim is None and (known is None or not known.pressure_level):
            # A scalar level stands beside the fields of the whole file, those at the surface too.
            known, rank = look_up(name, variable.attrs, on_levels=False)
            levels = None
        if known is None or variable.dtype.kind not in "iuf":
            continue
        others = [dim for dim in extra if dim != level_dim]
        if bool(levels) != known.pressure_level and not others:
            off_levels.append(name)
            continue
        if others:
            off_levels.append(f"{name} (on {', '.join(others)})")
            if known.pressure_level and not levels:
                off_axis.setdefault(", ".join(others), []).append(name)
            if bool(levels) == known.pressure_level:
                raise BadDataError(_too_many_axes(dataset, name, others[0], source))
            continue
        quantity, unit = _unit(
            known, variable, levels or (), level_dim, horizontal, source, notes, si_by_convention=bool(named)
        )
        if unit is None:
            continue
        field = FoundField(name, quantity, unit, level_dim, tuple(levels or ()))
        place = (quantity, field.levels)
        if place in ranked and ranked[place][0] == rank:
            twin = ranked[place][1].name
            raise BadDataError(
                f"{source}: both {twin!r} and {name!r} hold {quantity}; remove one, with ncks -x -v {name}"
            )
        if place not in ranked or rank < ranked[place][0]:
            ranked[place] = (rank, field)
    if not ranked:
        raise BadDataError(f"{source}: {_nothing_known(dataset, off_levels)}")
    for axis, names in off_axis.items():
        notes.append(
            f"{source}: {axis} is no axis of pressure, so phyda does not read what is on it: {', '.join(names)}"
        )
    return tuple(field for _, field in ranked.values()), tuple(dict.fromkeys(notes))


def pressures(dataset: xr.Dataset, dim: str, source: str, notes: list[str]) -> tuple[float, ...] | None:
    """The pressures [Pa] of a dimension, or None when it is no pressure axis.

    Where the axis itself is a mere count of levels, another coordinate along it that is called a pressure counts.
    Raises BadDataError for levels without a unit that their size tells, and for some that are not above zero.
    """
    axis = dataset[dim] if dim in dataset.variables else None
    if axis is not None and (_MODEL_LEVELS.search(dim) or _on_model_levels(axis)):
        return None
    if axis is None or find_unit(_unit_text(axis), "Pa") is None:
        for name, other in dataset.variables.items():
            if other.dims == (dim,) and name != dim and _is_pressure(str(name), other):
                return _pressures(dataset[name], str(name), source, notes)
    return None if axis is None else _pressures(axis, dim, source, notes)


def _is_pressure(name: str, axis: xr.Variable) -> bool:
    """Whether a coordinate is called a pressure and has the unit of one."""
    called = axis.attrs.get("standard_name") == "air_pressure" or bool(_LEVEL_NAMES.fullmatch(name))
    return called and not _on_model_levels(axis) and find_unit(_unit_text(axis), "Pa") is not None


def _on_model_levels(axis: xr.DataArray | xr.Variable) -> bool:
    text = " ".join(str(axis.attrs.get(key, "")) for key in ("standard_name", "long_name"))
    return bool(_MODEL_LEVELS.search(text))


def _unit_text(axis: xr.DataArray | xr.Variable) -> str:
    return str(axis.attrs.get("units", "")).strip()


def _pressures(axis: xr.DataArray, name: str, source: str, notes: list[str]) -> tuple[float, ...] | None:
    if axis.size == 0 or _on_model_levels(axis):
        return None
    text = _unit_text(axis)
    if axis.dtype.kind in "OSU":
        values, text = _levels_as_text(axis, text)
    elif axis.dtype.kind in "iuf":
        values = np.asarray(axis.values, np.float64).ravel()
    else:
        return None
    unit = find_unit(text, "Pa")
    if unit is None:
        if text.casefold() not in _NO_UNIT or not _LEVEL_NAMES.fullmatch(re.sub(r"in(h?)pa$", "", name, flags=re.I)):
            return None
        if values.size == 0 or not np.isfinite(values).all():
            return None
        unit = _pressure_unit(name, values)
        if unit is None:
            raise BadDataError(
                f"{source}: level axis {name!r} ({values[0]:g} … {values[-1]:g}) has no units; "
                f"set them with ncatted -a units,{name},o,c,hPa"
            )
        notes.append(f"{source}: level axis {name!r} has no units and was taken as {unit.label}")
    if values.size == 0:
        return None
    if not np.all(values > 0):
        bad = np.flatnonzero(~(values > 0))
        if axis.ndim == 0 or bad.size == values.size:
            return None
        raise BadDataError(
            f"{source}: level axis {name!r} has the value {values[bad[0]]:g} (entry {bad[0]}), which is no pressure; "
            f"leave the level out, with ncks -d and the range of the others"
        )
    return tuple(round(float(value), 3) for value in unit.scale * values)


def _levels_as_text(axis: xr.DataArray, unit: str) -> tuple[np.ndarray[Any, np.dtype[np.float64]], str]:
    """The numbers of levels written as text, and their unit: that in the text, else that of the axis.

    No numbers where one of them is something else, or where units differ.
    """
    words = [value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in axis.values.ravel()]
    found = [_LEVEL_TEXT.fullmatch(word) for word in words]
    units = {match[2] for match in found if match is not None}
    if None in found or len(units) != 1:
        return np.empty(0), unit
    return np.array([float(match[1]) for match in found if match is not None]), units.pop() or unit


def _pressure_unit(name: str, values: np.ndarray[Any, np.dtype[np.float64]]) -> UnitConversion | None:
    if name.casefold().endswith("inhpa"):
        return find_unit("hPa", "Pa")
    if name.casefold().endswith("inpa") or np.max(values) > 2000:
        return find_unit("Pa", "Pa")
    # 100 to 1100 as pascals would be a file of nothing but the stratopause.
    return find_unit("hPa", "Pa") if 100 <= np.max(values) <= 1100 else None


def _scalar_pressure(variable: xr.DataArray, source: str, notes: list[str]) -> tuple[float, ...] | None:
    for name, coordinate in variable.coords.items():
        if coordinate.ndim == 0:
            found = _pressures(coordinate, str(name), source, notes)
            if found is not None:
                return found
    return None


def _unit(
    known: Variable,
    variable: xr.DataArray,
    levels: tuple[float, ...],
    level_dim: str | None,
    horizontal: tuple[str, str],
    source: str,
    notes: list[str],
    *,
    si_by_convention: bool,
) -> tuple[str, UnitConversion | None]:
    """The quantity (z and gh may swap) and its unit; None for a passive variable in the unit of another quantity.

    si_by_convention: whether a field without a unit is in SI units where its numbers do not tell.
    """
    options = [known.name, _TWINS[known.name]] if known.name in _TWINS else [known.name]
    text = str(variable.attrs.get("units", "")).strip()
    name = variable.name
    if text.casefold() not in _NO_UNIT:
        for option in options:
            unit = find_unit(text, VARIABLES[option].units)
            if unit is not None:
                return option, unit
        if known.name in PASSIVE:
            return known.name, None
        allowed = ", ".join(_labels(options))
        raise BadDataError(
            f"{source}: variable {name!r} has the unit {text!r}, which phyda cannot convert; use {allowed}"
        )
    values = variable.transpose(*((level_dim,) if level_dim else ()), ..., *horizontal).values.astype(np.float64)
    pressures = np.asarray(levels, np.float64).reshape((-1,) + (1,) * (values.ndim - 1)) if levels else np.array(np.nan)
    unit = judge(known.name, values, pressures, gridded=True).unit
    if unit is not None:
        notes.append(f"{source}: variable {name!r} has no units and was taken as {unit.label}")
        return next(option for option in options if VARIABLES[option].units == unit.si), unit
    if known.name in PASSIVE:
        return known.name, None
    if si_by_convention:
        notes.append(
            f"{source}: fields without units were taken in SI units, as all files with levels in names have them"
        )
        return known.name, find_unit(VARIABLES[known.name].units, VARIABLES[known.name].units)
    raise BadDataError(
        f"{source}: variable {name!r} has no units and its values do not tell them; "
        f"set them with ncatted -a units,{name},o,c,'{VARIABLES[known.name].units}'"
    )


def _labels(options: Iterable[str]) -> list[str]:
    return list(
        dict.fromkeys(unit.label for option in options for unit in candidates(VARIABLES[option].units, gridded=True))
    )


def _too_many_axes(dataset: xr.Dataset, name: str, dim: str, source: str) -> str:
    values = [str(v) for v in dataset[dim].values[:12]]
    return (
        f"{source}: variable {name!r} has an axis {dim!r} of {dataset.sizes[dim]} ({', '.join(values)}); "
        f"choose one with --select {dim}={values[0]}"
    )


def _nothing_known(dataset: xr.Dataset, off_levels: list[str]) -> str:
    if off_levels:
        listed = ", ".join(off_levels[:6])
        return (
            f"holds no analysed variable on pressure levels: {listed} have no pressure axis; "
            "interpolate model levels to pressure levels first"
        )
    listed = ", ".join(map(str, list(dataset.data_vars)[:6])) or "nothing"
    return f"holds no analysed variable on pressure levels or at the surface: {listed}"
