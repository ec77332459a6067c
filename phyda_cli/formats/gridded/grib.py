"""Reader of GRIB 1 and 2: messages in, one dataset at one valid time out.

The messages come from cfgrib's stream with multi-field support and errors raised (NCEP packs u and v into one message);
the cube is assembled here, since cfgrib's own dataset drops fields whose levels or times conflict. The headers, read
once a file (`grib_index.py`), tell what to choose; only that is decoded. Nothing is written beside the input.

Names and attributes are cfgrib's (`t2m`, `isobaricInhPa`, `GRIB_shortName`), except that `time` is the valid time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from phyda_cli.errors import BadDataError
from phyda_cli.formats.gridded.assemble import Wanted
from phyda_cli.formats.gridded.contents import MEMBER, Contents, choose_time, format_time
from phyda_cli.formats.gridded.folding import Folding, Line
from phyda_cli.formats.gridded.grib_cube import Cube
from phyda_cli.formats.gridded.grib_grid import grid_of, refuse_grid
from phyda_cli.formats.gridded.grib_header import KEYS, PROJECTED, Header, grib_moment
from phyda_cli.formats.gridded.grib_index import grib_half_levels, grib_headers
from phyda_cli.formats.gridded.members import MemberChoice, member_index
from phyda_cli.formats.gridded.model_levels import on_pressure_levels
from phyda_cli.formats.gridded.netcdf_fields import find_fields
from phyda_cli.grids.orientation import Orientation


def read_grib(
    paths: Sequence[Path],
    *,
    time: np.datetime64 | None,
    member: MemberChoice,
    select: Mapping[str, str],
    wanted: Wanted | None = None,
) -> Contents:
    """Read one valid time of one or several GRIB files taken together.

    select: eccodes key → value that every message read must have. wanted: the variables to read, all where None; of
    model levels all are read. Raises BadDataError for damaged files, for grids and
    levels that phyda does not read, and, listing the choices, when times or fields are ambiguous.
    """
    source = " + ".join(str(path) for path in paths)
    headers = [header for path in paths for header in grib_headers(path, select)]
    if not headers:
        chosen_keys = ", ".join(f"{key}={value}" for key, value in select.items())
        raise BadDataError(f"{source}: no message has {chosen_keys}; see the file's keys with grib_ls")
    for header in headers:
        refuse_grid(header)
    known = [header for header in headers if header.variable is not None or header.on_model_levels]
    if not known:
        raise BadDataError(f"{source}: {_nothing_known(headers)}")
    valid = choose_time([header.valid for header in known], time, source)
    chosen = _choose_member([header for header in headers if header.valid == valid], member, source)
    if wanted is not None and not any(header.on_model_levels for header in chosen):
        chosen = [h for h in chosen if h.variable is not None and wanted.keeps(h.variable.name)]
        if not chosen:
            raise BadDataError(f"{source}: holds none of {', '.join(wanted.variables)} valid at {format_time(valid)}")
    grid = grid_of(_one_grid(chosen, source), source)
    cube = Cube(chosen, source)
    dataset, fields = cube.build(grid)
    dataset = dataset.assign_coords(_time_coordinates(chosen, valid))
    axis = MEMBER if MEMBER in dataset.dims else None
    notes: list[str] = []
    model = None
    if any(header.on_model_levels for header in chosen):
        pressure = _model_pressure(chosen, dataset, source)
        dataset, model = on_pressure_levels(dataset, grid.dims, axis, source, notes, pressure=pressure)
        made = find_fields(dataset[[] if model is None else list(model.plain)], grid.dims, axis, source)[0]
        fields = (*fields, *made)
    folding = Folding(Line(), None) if grid.dims[0] == Line.row else None
    return Contents(
        dataset, *grid.dims, grid.orientation, axis, valid, fields, source, frozenset(select), tuple(notes),
        folding=folding, model=model, messages=tuple(cube.messages),
    )  # fmt: skip


def read_surface(path: Path) -> tuple[xr.Dataset, tuple[str, str], Orientation]:
    """Return the fields of a file that need not be those of an analysis, at its first valid time, the dimensions of
    rows and columns, and their grid. Raises BadDataError as `read_grib` does.
    """
    headers = list(grib_headers(path, {}))
    for header in headers:
        refuse_grid(header)
    if not headers:
        raise BadDataError(f"{path}: holds no message")
    first = min(header.valid for header in headers)
    chosen = [header for header in headers if header.valid == first]
    grid = grid_of(_one_grid(chosen, str(path)), str(path))
    return Cube(chosen, str(path)).build(grid)[0], grid.dims, grid.orientation


def _nothing_known(headers: Sequence[Header]) -> str:
    held = sorted({f"{header.keys['shortName']} ({header.keys['typeOfLevel']})" for header in headers})
    listed = ", ".join(held[:6]) + (" …" if len(held) > 6 else "")
    if any(header.keys["typeOfLevel"] in ("hybridLayer", "sigma", "eta") for header in headers):
        return (
            f"holds model levels of a kind that is not read: {listed}; interpolate them to pressure levels first, for "
            "example with cdo ml2pl"
        )
    return f"holds no analysed variable on pressure levels or at the surface: {listed}"


def _model_pressure(headers: Sequence[Header], dataset: xr.Dataset, source: str) -> xr.DataArray:
    """Return the pressure (level, …, row, column) [Pa] of hybrid levels: the mean of that of their half levels.

    Raises BadDataError where the surface pressure or the coefficients are missing.
    """
    header = next(header for header in headers if header.on_model_levels)
    name = next(
        str(name)
        for name, variable in dataset.data_vars.items()
        if variable.attrs.get("GRIB_shortName") == header.keys["shortName"]
        and variable.attrs.get("GRIB_typeOfLevel") == "hybrid"
    )
    surface = next(
        (
            variable.copy(data=np.exp(variable.values)) if variable.attrs["GRIB_shortName"] == "lnsp" else variable
            for variable in dataset.data_vars.values()
            if variable.attrs.get("GRIB_shortName") in ("lnsp", "sp")
        ),
        None,
    )
    held = f"{source}: its {header.keys['shortName']} is on hybrid levels"
    if surface is None:
        raise BadDataError(
            f"{held}, and their pressure needs the surface pressure: give sp or lnsp of the same time too"
        )
    half = grib_half_levels(header)
    dim = next((str(dim) for dim in dataset[name].dims if str(dim).startswith("hybrid")), None)
    if dim is None or half is None:
        raise BadDataError(
            f"{held}, {'of which one is not enough' if dim is None else 'and the message has no coefficients (pv)'}"
        )
    number = dataset[dim].values.astype(np.int64)
    if number.max() >= half.shape[1] or number.min() < 1:
        raise BadDataError(f"{held} {number.min()} to {number.max()}, its coefficients are of {half.shape[1] - 1}")
    a, b = (xr.DataArray(0.5 * (row[number - 1] + row[number]), dims=dim) for row in half)
    return a + b * surface.drop_vars(dim, errors="ignore")


def grib_fields(path: Path, *, time: np.datetime64 | None, select: Mapping[str, str]) -> frozenset[object]:
    """What tells the known fields of a file apart: quantity, level, member and valid time; only those at `time`."""
    return frozenset(
        (header.variable.name, header.pressure, header.member, header.valid)
        for header in grib_headers(path, select)
        if header.variable is not None and (time is None or header.valid == time)
    )


def grib_times(path: Path, select: Mapping[str, str]) -> list[np.datetime64]:
    """Return the valid times of the known fields of a file, in order."""
    headers = grib_headers(path, select)
    return sorted({header.valid.astype("datetime64[ns]") for header in headers if header.variable is not None})


def _choose_member(headers: Sequence[Header], member: MemberChoice, source: str) -> list[Header]:
    if member is None:
        return list(headers)
    member_index(sorted({header.member for header in headers}), member, source)
    chosen = (member,) if isinstance(member, int) else member
    return [header for header in headers if header.member in chosen]


def _one_grid(headers: Sequence[Header], source: str) -> Header:
    of_points = ("gridType", "Ni", "Nj", "numberOfDataPoints", "iScansNegatively", "jScansPositively")
    corner = (*(key for key in KEYS if key.endswith("InDegrees")), *of_points, *PROJECTED)
    grids: dict[tuple[Any, ...], Header] = {}
    for header in headers:
        grids.setdefault(tuple(header.keys.get(key) for key in corner), header)
    if len(grids) > 1:
        several = [f"{h.keys['Nj']}×{h.keys['Ni']} ({h.keys['shortName']})" for h in grids.values()]
        listed = ", ".join(several[:4]) + (" …" if len(several) > 4 else "")
        choice = next(iter(grids.values())).keys["Ni"]
        raise BadDataError(
            f"{source}: holds {len(grids)} grids: {listed}; choose one, for example --select Ni={choice}"
        )
    return next(iter(grids.values()))


def _time_coordinates(headers: Sequence[Header], valid: np.datetime64) -> dict[str, xr.Variable]:
    coordinates = {"time": xr.Variable((), valid, {"standard_name": "time", "long_name": "valid time"})}
    bases = {(int(header.keys["dataDate"]), int(header.keys["dataTime"])) for header in headers}
    if len(bases) == 1:
        attributes = {"standard_name": "forecast_reference_time", "long_name": "initial time of forecast"}
        base = grib_moment(*bases.pop())
        coordinates["forecast_reference_time"] = xr.Variable((), base, attributes)
    return coordinates
