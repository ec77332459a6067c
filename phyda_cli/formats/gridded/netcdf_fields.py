"""Which variables of a NetCDF or Zarr dataset phyda knows: names, units and pressure levels.

`folding.py` says what a name means. The unit attribute decides the unit; the level axis is the one with a pressure
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
from phyda_cli.formats.gridded.folding import ALONG_GRID, levels_in_names, look_up
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
    """Return the known fields, and notes on what was inferred.

    Raises BadDataError for a known variable with an unknown unit or an axis that `--select` must first index, and when
    there is no known field at all.
    """
    search = _Search(dataset, horizontal, member, source)
    for key, variable in dataset.data_vars.items():
        if set(horizontal) <= set(variable.dims):
            search.look_at(str(key), variable)
    return search.found()


class _Search:
    """What has been found so far. ranked: (quantity, levels) → how sure its name is, and the field.

    named: variables whose names tell a level. off_levels: known ones on no pressure axis; off_axis: by that axis.
    """

    def __init__(self, dataset: xr.Dataset, horizontal: tuple[str, str], member: str | None, source: str) -> None:
        self.dataset, self.horizontal, self.member, self.source = dataset, horizontal, member, source
        self.notes: list[str] = []
        self.ranked: dict[tuple[str, tuple[float, ...]], tuple[int, FoundField]] = {}
        self.off_levels: list[str] = []
        self.off_axis: dict[str, list[str]] = {}
        flat = (str(n) for n, v in dataset.data_vars.items() if set(v.dims) - {member} == set(horizontal))
        self.named = levels_in_names(flat)

    def look_at(self, name: str, variable: xr.DataArray) -> None:
        """Take a horizontal field in where it is known and on pressure levels or at the surface."""
        extra = [str(dim) for dim in variable.dims if dim not in (*self.horizontal, self.member)]
        axes = {dim: pressures(self.dataset, dim, self.source, self.notes) for dim in extra}
        level_dim = next((dim for dim, found in axes.items() if found is not None), None)
        known, rank, levels = self._meaning(name, variable, axes[level_dim] if level_dim else None)
        if known is None or variable.dtype.kind not in "iuf":
            return
        others = [dim for dim in extra if dim != level_dim]
        if others:
            self._leave(name, known, bool(levels), others)
        elif bool(levels) != known.pressure_level:
            self.off_levels.append(name)
        else:
            quantity, unit = self._unit(known, variable, level_dim, levels)
            along = variable.attrs.get("standard_name") in ALONG_GRID
            if unit is not None:
                self._rank(rank, FoundField(name, quantity, unit, level_dim, levels, along_grid=along))

    def _meaning(
        self, name: str, variable: xr.DataArray, on_axis: tuple[float, ...] | None
    ) -> tuple[Variable | None, int, tuple[float, ...]]:
        """Return what a name means, how sure that is, and the pressures: of the axis, or in the name, or beside the
        field.
        """
        if name in self.named:
            known, level = self.named[name]
            return known, 0, (level,)
        levels = _scalar_pressure(variable, self.source, self.notes) if on_axis is None else on_axis
        found, rank = look_up(name, variable.attrs, on_levels=bool(levels))
        if levels and on_axis is None and (found is None or not found.pressure_level):
            # A scalar level stands beside the fields of the whole file, those at the surface too.
            return (*look_up(name, variable.attrs, on_levels=False), ())
        return found, rank, levels or ()

    def _leave(self, name: str, known: Variable, on_levels: bool, others: list[str]) -> None:
        """Note a known variable with further axes. Raises BadDataError where one of them is to be indexed."""
        listed = ", ".join(others)
        self.off_levels.append(f"{name} (on {listed})")
        if known.pressure_level and not on_levels:
            self.off_axis.setdefault(listed, []).append(name)
        if on_levels == known.pressure_level:
            raise BadDataError(_too_many_axes(self.dataset, name, others[0], self.source))

    def _rank(self, rank: int, field: FoundField) -> None:
        """Keep the field of each quantity and levels whose name is the surest."""
        place = (field.variable, field.levels)
        if place in self.ranked and self.ranked[place][0] == rank:
            twin = self.ranked[place][1].name
            raise BadDataError(
                f"{self.source}: both {twin!r} and {field.name!r} hold {field.variable}; remove one, "
                f"with ncks -x -v {field.name}"
            )
        if place not in self.ranked or rank < self.ranked[place][0]:
            self.ranked[place] = (rank, field)

    def _unit(
        self, known: Variable, variable: xr.DataArray, level_dim: str | None, levels: tuple[float, ...]
    ) -> tuple[str, UnitConversion | None]:
        """Return the quantity (z and gh may swap) and its unit; None for a passive variable in the unit of another
        quantity.

        In a file with levels in names a field without a unit is in SI units where its numbers do not tell.
        """
        options = [known.name, _TWINS[known.name]] if known.name in _TWINS else [known.name]
        text, name, si = _unit_text(variable), variable.name, VARIABLES[known.name].units
        if text.casefold() not in _NO_UNIT:
            for option in options:
                unit = find_unit(text, VARIABLES[option].units)
                if unit is not None:
                    return option, unit
            if known.name in PASSIVE:
                return known.name, None
            raise BadDataError(
                f"{self.source}: variable {name!r} has the unit {text!r}, which phyda cannot convert; "
                f"use {', '.join(_labels(options))}"
            )
        axes = (*((level_dim,) if level_dim else ()), ..., *self.horizontal)
        values = variable.transpose(*axes).values.astype(np.float64)
        at = np.asarray(levels, np.float64).reshape((-1,) + (1,) * (values.ndim - 1)) if levels else np.array(np.nan)
        unit = judge(known.name, values, at, gridded=True).unit
        if unit is not None:
            self.notes.append(f"{self.source}: variable {name!r} has no units and was taken as {unit.label}")
            return next(option for option in options if VARIABLES[option].units == unit.si), unit
        if known.name in PASSIVE:
            return known.name, None
        if self.named or name == known.cds:
            self.notes.append(
                f"{self.source}: fields without units were taken in SI units, as all files with levels in names or "
                "with the names of the Climate Data Store have them"
            )
            return known.name, find_unit(si, si)
        raise BadDataError(
            f"{self.source}: variable {name!r} has no units and its values do not tell them; "
            f"set them with ncatted -a units,{name},o,c,'{si}'"
        )

    def found(self) -> tuple[tuple[FoundField, ...], tuple[str, ...]]:
        """Return the fields and notes. Raises BadDataError when there is no field."""
        if not self.ranked:
            raise BadDataError(f"{self.source}: {_nothing_known(self.dataset, self.off_levels)}")
        for axis, names in self.off_axis.items():
            self.notes.append(
                f"{self.source}: {axis} is no axis of pressure, so phyda does not read what is on it: "
                f"{', '.join(names)}"
            )
        return tuple(field for _, field in self.ranked.values()), tuple(dict.fromkeys(self.notes))


def pressures(dataset: xr.Dataset, dim: str, source: str, notes: list[str]) -> tuple[float, ...] | None:
    """Return the pressures [Pa] of a dimension, or None when it is no pressure axis.

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
    """Return whether a coordinate is called a pressure and has the unit of one."""
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
    """Return the numbers of levels written as text, and their unit: that in the text, else that of the axis.

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
