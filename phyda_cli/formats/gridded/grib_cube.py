"""The cube of a GRIB background: chosen headers in, one dataset of (member, level, row, column) fields out.

A parameter on one kind of level with one kind of time step is one variable; names and attributes are cfgrib's (`t2m`,
`isobaricInhPa`, `GRIB_shortName`). Variables on different levels get level axes of their own, so nothing is dropped.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import eccodes
import numpy as np
import xarray as xr
from cfgrib import messages
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.fields.variables import Variable, find_variable
from phyda_cli.formats.gridded.contents import MEMBER, FoundField, GribField, format_time
from phyda_cli.formats.gridded.grib_grid import MAPPING, GribGrid, field
from phyda_cli.formats.gridded.grib_header import Header
from phyda_cli.formats.gridded.grib_index import grib_field
from phyda_cli.formats.units import UnitConversion, find_unit

Targets = dict[tuple[Path, int], NDArray[np.float32]]
"""The part of an array that each message, by its file and its place in it, fills."""
_SCANNING: Final = ("gridType", "Ni", "Nj", "jPointsAreConsecutive", "alternativeRowScanning")
_DISTINGUISHING: Final = (
    "dataType", "stream", "stepRange", "dataDate", "dataTime", "stepType", "expver", "centre", "edition",
)  # fmt: skip
"""Keys that may tell apart two fields of the same quantity, level, member and valid time."""


class Cube:
    """Turns the chosen headers into a dataset: groups become variables, (member, level) their leading axes."""

    def __init__(self, headers: Sequence[Header], source: str) -> None:
        self.source = source
        self.members = sorted({header.member for header in headers})
        self.groups: dict[tuple[str, ...], dict[tuple[int, tuple[float, ...]], Header]] = {}
        for header in headers:
            self._place(header)
        self.level_dims: dict[tuple[str, tuple[float, ...]], str] = {}
        self.coordinates: dict[str, xr.Variable] = {}
        self.messages: list[GribField] = []
        self.names: set[str] = {"latitude", "longitude", "time", MEMBER, "forecast_reference_time", MAPPING}

    def build(self, grid: GribGrid) -> tuple[xr.Dataset, tuple[FoundField, ...]]:
        """Return the dataset and the fields in it that phyda knows."""
        self.names |= set(grid.dims)
        # Known and isobaric groups first: they get the plain names.
        order = sorted(
            self.groups.items(), key=lambda g: (not _is_known(g[1]), g[0][3] != "isobaricInhPa", _place_in_table(g[1]))
        )
        variables: dict[str, xr.Variable] = {}
        fields: list[FoundField] = []
        targets: Targets = {}
        for group, cells in order:
            name, variable, found = self._variable(group, cells, grid, targets)
            variables[name] = variable
            # Two parameters of one quantity (prmsl and mslet): the first in the table is the one analysed.
            if found is not None and (found.levels or all(f.levels or f.variable != found.variable for f in fields)):
                fields.append(found)
        _decode(targets)
        axes = dict(grid.coordinates)
        if grid.mapping is not None:
            variables[MAPPING] = xr.Variable((), np.int32(0), dict(grid.mapping))
        if len(self.members) > 1:
            realization = {"standard_name": "realization", "long_name": "ensemble member numerical id", "units": "1"}
            axes[MEMBER] = xr.Variable((MEMBER,), np.asarray(self.members, np.int32), realization)
        return xr.Dataset(variables, {**axes, **self.coordinates}), tuple(fields)

    def _variable(
        self,
        group: tuple[str, ...],
        cells: Mapping[tuple[int, tuple[float, ...]], Header],
        grid: GribGrid,
        targets: Targets,
    ) -> tuple[str, xr.Variable, FoundField | None]:
        """Return name, array and meaning of a group; `targets` gets the part of the array that each message fills."""
        first = next(iter(cells.values()))
        shape, known, several = grid.shape, first.variable, len(self.members) > 1
        levels = sorted({level for _, level in cells}, reverse=first.pressure is not None)
        members = self.members if several else [number for number, _ in cells][:1]
        if known is not None:
            self._require_whole(cells, members, levels, known)
        level_dim = self._level_dim(group[3], levels) if first.pressure is not None or len(levels) > 1 else None
        data = np.full((len(members), len(levels), *shape), np.nan, np.float32)
        name = self._name(first, group)
        for (number, level), header in cells.items():
            place = members.index(number), levels.index(level)
            targets[header.path, header.index] = data[place]
            self.messages.append(GribField(header.path, header.index, name, *place))
        lead = {**({MEMBER: len(members)} if several else {}), **({level_dim: len(levels)} if level_dim else {})}
        variable = xr.Variable(
            (*lead, *grid.dims),
            data.reshape((*lead.values(), *shape)),
            _attributes(first, levels if level_dim is None else ())
            | ({} if grid.mapping is None else {"grid_mapping": MAPPING})
            | (_along_grid(first) if first.along_grid else {}),
        )
        if known is None:
            return name, variable, None
        pressures = tuple(level[0] for level in levels) if known.pressure_level else ()
        unit = find_unit(str(first.keys["units"]), known.units) or UnitConversion(known.units, known.units)
        along = known.is_wind_component and first.along_grid
        found = FoundField(name, known.name, unit, level_dim, pressures, correctable=False, along_grid=along)
        return name, variable, found

    def _place(self, header: Header) -> None:
        group = header.group
        level = (header.pressure,) if header.pressure is not None else header.level
        cell = (header.member, level)
        cells = self.groups.setdefault(group, {})
        if cell not in cells:
            cells[cell] = header
            return
        other = cells[cell]
        if header.variable is None:
            copy = 2
            while cell in self.groups.setdefault((*group, str(copy)), {}):
                copy += 1
            self.groups[*group, str(copy)][cell] = header
            return
        differing = [key for key in _DISTINGUISHING if header.keys[key] != other.keys[key]]
        where = (
            f"{self.source}: {header.keys['shortName']} at level {header.level[0]:g} valid {format_time(header.valid)}"
        )
        if not differing:
            raise BadDataError(f"{where} is there twice; remove one, for example with grib_copy")
        key = differing[0]
        raise BadDataError(
            f"{where} is there twice, with {key} {other.keys[key]} and {header.keys[key]}; "
            f"choose one with --select {key}={other.keys[key]}"
        )

    def _require_whole(
        self,
        cells: Mapping[tuple[int, tuple[float, ...]], Header],
        members: Sequence[int],
        levels: Sequence[tuple[float, ...]],
        variable: Variable,
    ) -> None:
        for number in members:
            for level in levels:
                if (number, level) not in cells:
                    at = f" at {level[0] / 100:g} hPa" if variable.pressure_level else ""
                    raise BadDataError(
                        f"{self.source}: member {number} lacks {variable.name}{at}, which other members have; "
                        "choose one with --member"
                    )

    def _level_dim(self, kind: str, levels: Sequence[tuple[float, ...]]) -> str:
        isobaric = kind == "isobaricInhPa"
        values = np.asarray([level[0] / 100.0 if isobaric else level[0] for level in levels])
        if np.unique(values).size < values.size:
            # Layers whose whole-number tops coincide (0–10 cm, 10–40 cm in metres): number them.
            values = np.arange(values.size, dtype=np.float64)
        key = (kind, tuple(values.tolist()))
        if key not in self.level_dims:
            count = sum(1 for known, _ in self.level_dims if known == kind)
            dim = kind if count == 0 else f"{kind}_{count + 1}"
            pressure = {"units": "hPa", "standard_name": "air_pressure", "positive": "down", "long_name": "pressure"}
            self.coordinates[dim] = xr.Variable((dim,), values, pressure if isobaric else {"long_name": kind})
            self.level_dims[key] = dim
            self.names.add(dim)
        return self.level_dims[key]

    def _name(self, header: Header, group: tuple[str, ...]) -> str:
        short = str(header.keys["cfVarName"] or header.keys["shortName"])
        if short in ("unknown", "~"):
            short = f"param_{group[2] or group[1]}"
        if not short[0].isalpha():
            short = f"param_{short}"
        # The wind at the tropopause is no `u`: the plain name is for what the table means by it.
        plain = () if header.variable is None and find_variable(short) is not None else (short,)
        longer = (f"{short}_{group[3]}", f"{short}_{group[3]}_{group[4]}")
        numbered = (f"{longer[-1]}_{count}" for count in itertools.count(2))
        name = next(name for name in itertools.chain(plain, longer, numbered) if name not in self.names)
        self.names.add(name)
        return name


def _is_known(cells: Mapping[tuple[int, tuple[float, ...]], Header]) -> bool:
    return next(iter(cells.values())).variable is not None


def _place_in_table(cells: Mapping[tuple[int, tuple[float, ...]], Header]) -> int:
    """Return where a parameter stands among those of its quantity."""
    header = next(iter(cells.values()))
    if header.variable is None:
        return 0
    names, short = header.variable.grib, str(header.keys["shortName"])
    return names.index(short) if short in names else len(names)


_DIMENSIONLESS: Final = ("unknown", "~", "(0 - 1)", "Proportion", "Fraction")


def _along_grid(header: Header) -> dict[str, str]:
    """Return the standard name of a wind in the grid's own directions."""
    names = {"eastward_wind": "x_wind", "northward_wind": "y_wind"}
    standard = names.get(str(header.keys["cfName"]))
    return {} if standard is None else {"standard_name": standard}


def _attributes(header: Header, levels: Sequence[tuple[float, ...]]) -> dict[str, Any]:
    keys = header.keys
    standard, units = keys["cfName"], str(keys["units"])
    if units in _DIMENSIONLESS or units.startswith("(Code table"):
        units = "1"
    if units == "kg m**-2" and str(standard).startswith("lwe_thickness"):
        standard = None  # a thickness is in m: ecCodes joins the name of one quantity with the unit of another
    attributes = {
        "units": units,
        "long_name": keys["name"],
        **({"standard_name": standard} if standard not in (None, "unknown") else {}),
        **{f"GRIB_{key}": keys[key] for key in ("paramId", "shortName", "typeOfLevel", "stepType", "dataType")},
    }
    if levels and header.pressure is None:
        attributes["GRIB_level"] = levels[0][0]
    return {key: value for key, value in attributes.items() if value is not None}


def _decode(targets: Targets) -> None:
    """Fill every target array with the values of its field, missing ones as NaN."""
    for (path, index), target in sorted(targets.items(), key=lambda item: item[0]):
        message = grib_field(path, index)
        try:
            values = np.asarray(message.message_get("values"), np.float64)
            values = np.where(values == messages.MISSING_VAUE_INDICATOR, np.nan, values)
            target[...] = field(values, {key: message.message_get(key, default=0) for key in _SCANNING})
        except (eccodes.CodesInternalError, KeyError, ValueError, BadDataError) as error:
            raise BadDataError(f"{path}: field {index + 1} cannot be decoded ({error}); fetch the file again") from None
