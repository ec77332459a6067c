"""Reader of GRIB 1 and 2: messages in, one dataset at one valid time out.

The messages come from cfgrib's stream with multi-field support and errors raised (NCEP packs u and v into one message);
the cube is assembled here, since cfgrib's own dataset drops fields whose levels or times conflict. A first pass reads
the headers and chooses; a second decodes only what was chosen. Nothing is written beside the input.

Names and attributes are cfgrib's (`t2m`, `isobaricInhPa`, `GRIB_shortName`), except that `time` is the valid time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import eccodes
import numpy as np
import xarray as xr
from cfgrib import messages
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.fields.variables import Variable, find_grib_variable
from phyda_cli.formats.contents import MEMBER_NAMES, Contents, FoundField, choose_time, format_time
from phyda_cli.formats.grib_frames import scan_frames
from phyda_cli.formats.grib_grid import axes, field, refuse_grid
from phyda_cli.formats.units import UnitConversion, find_unit

_KEYS: Final = (
    "gridType numberOfDataPoints Ni Nj N latitudeOfFirstGridPointInDegrees latitudeOfLastGridPointInDegrees "
    "longitudeOfFirstGridPointInDegrees longitudeOfLastGridPointInDegrees iScansNegatively jScansPositively "
    "jPointsAreConsecutive alternativeRowScanning shortName cfVarName cfName name units paramId "
    "typeOfLevel stepType stepRange dataType stream dataDate dataTime validityDate validityTime number edition centre "
    "discipline parameterCategory parameterNumber"
).split()
_LEVEL_KEYS: Final = ("level", "topLevel", "bottomLevel")
_DISTINGUISHING: Final = ("dataType", "stream", "stepRange", "dataDate", "dataTime", "stepType", "centre", "edition")
"""Keys that may tell apart two fields of the same quantity, level, member and valid time."""

_ISOBARIC: Final = {"isobaricInhPa": 100.0, "isobaricInPa": 1.0}
_SINGLE_LEVELS: Final = frozenset(
    "surface meanSea heightAboveGround atmosphere atmosphereSingleLayer entireAtmosphere totalColumn".split()
)
MEMBER: Final = MEMBER_NAMES[0]


@dataclass(frozen=True)
class Header:
    """The header of one field. index: its place in its file. keys: eccodes keys; absent ones are None."""

    path: Path
    index: int
    keys: Mapping[str, Any]
    valid: np.datetime64
    level: tuple[float, float, float]

    @property
    def pressure(self) -> float | None:
        """Pressure [Pa] of an isobaric level, None for other levels."""
        factor = _ISOBARIC.get(str(self.keys["typeOfLevel"]))
        return None if factor is None else self.level[0] * factor

    @property
    def member(self) -> int:
        """Ensemble member, 0 where the message has none."""
        return int(self.keys["number"] or 0)

    @property
    def variable(self) -> Variable | None:
        """What phyda knows it as: instantaneous, on a pressure level or at the surface."""
        known = find_grib_variable(str(self.keys["shortName"]))
        if known is None or self.keys["stepType"] not in ("instant", None):
            return None
        if known.pressure_level:
            return known if self.pressure is not None else None
        return known if self.keys["typeOfLevel"] in _SINGLE_LEVELS else None

    @property
    def group(self) -> tuple[str, ...]:
        """What makes one variable of the dataset: parameter, kind of level, kind and range of time step."""
        keys = self.keys
        kind = "isobaricInhPa" if self.pressure is not None else str(keys["typeOfLevel"])
        code = "" if keys["shortName"] != "unknown" else "_".join(str(keys[k]) for k in _KEYS[-3:])
        span = "" if keys["stepType"] in ("instant", None) else str(keys["stepRange"])
        return str(keys["shortName"]), str(keys["paramId"]), code, kind, str(keys["stepType"]), span


def read_grib(
    paths: Sequence[Path], *, time: np.datetime64 | None, member: int | None, select: Mapping[str, str]
) -> Contents:
    """Read one valid time of one or several GRIB files taken together.

    select: eccodes key → value that every message read must have. Raises BadDataError for damaged files, for grids and
    levels that phyda does not read, and, listing the choices, when times or fields are ambiguous.
    """
    source = " + ".join(str(path) for path in paths)
    headers = [header for path in paths for header in _headers(path, select)]
    if not headers:
        wanted = ", ".join(f"{key}={value}" for key, value in select.items())
        raise BadDataError(f"{source}: no message has {wanted}; see the file's keys with grib_ls")
    for header in headers:
        refuse_grid(f"{header.path}: message {header.index + 1} ({header.keys['shortName']})", header.keys)
    known = [header for header in headers if header.variable is not None]
    if not known:
        raise BadDataError(f"{source}: {_nothing_known(headers)}")
    valid = choose_time([header.valid for header in known], time, source)
    chosen = _choose_member([header for header in headers if header.valid == valid], member, source)
    grid = _one_grid(chosen, source)
    dataset, fields = _Assembly(chosen, source).build(*axes(grid))
    dataset = dataset.assign_coords(_time_coordinates(chosen, valid))
    return Contents(
        dataset,
        "latitude",
        "longitude",
        MEMBER if MEMBER in dataset.dims else None,
        valid,
        fields,
        source,
        frozenset(select),
    )


def _messages(path: Path) -> Iterator[messages.Message]:
    """Every field of a file, in order. Raises BadDataError unless as many come out as the framing promises."""
    promised = sum(frame.fields for frame in scan_frames(path))
    count = 0
    try:
        for _, message in messages.FileStream(str(path), errors="raise").items():
            count += 1
            yield message
    except (eccodes.CodesInternalError, EOFError, KeyError) as error:
        raise BadDataError(f"{path}: field {count + 1} cannot be decoded ({error}); fetch the file again") from None
    if count != promised:
        raise BadDataError(f"{path}: {count} of {promised} fields could be decoded: the file is damaged; fetch it again")


def _headers(path: Path, select: Mapping[str, str]) -> Iterator[Header]:
    for index, message in enumerate(_messages(path)):
        if not all(_matches(message.message_get(key, str, default=None), value) for key, value in select.items()):
            continue
        keys = {key: message.message_get(key, default=None) for key in _KEYS}
        level = tuple(float(message.message_get(key, float, default=0.0)) for key in _LEVEL_KEYS)
        try:
            day, clock = f"{keys['validityDate']:08d}", f"{keys['validityTime']:04d}"
            text = f"{day[:4]}-{day[4:6]}-{day[6:]}T{clock[:2]}:{clock[2:]}"
            valid = np.datetime64(text, "ns")
        except (ValueError, TypeError):
            raise BadDataError(
                f"{path}: message {index + 1} has no valid date ({keys['validityDate']}); set it with grib_set"
            ) from None
        yield Header(path, index, keys, valid, (level[0], level[1], level[2]))


def _matches(found: str | None, wanted: str) -> bool:
    if found is None:
        return False
    try:
        return float(found) == float(wanted)
    except ValueError:
        return found.casefold() == wanted.casefold()


def _nothing_known(headers: Sequence[Header]) -> str:
    held = sorted({f"{header.keys['shortName']} ({header.keys['typeOfLevel']})" for header in headers})
    listed = ", ".join(held[:6]) + (" …" if len(held) > 6 else "")
    if any(header.keys["typeOfLevel"] in ("hybrid", "hybridLayer", "sigma", "eta") for header in headers):
        return f"holds model levels only: {listed}; interpolate them to pressure levels first, for example with cdo ml2pl"
    return f"holds no analysed variable on pressure levels or at the surface: {listed}"


def _choose_member(headers: Sequence[Header], member: int | None, source: str) -> list[Header]:
    if member is None:
        return list(headers)
    there = sorted({header.member for header in headers})
    if member not in there:
        raise BadDataError(f"{source}: holds no member {member}; there are: {', '.join(map(str, there))}")
    return [header for header in headers if header.member == member]


def _one_grid(headers: Sequence[Header], source: str) -> Mapping[str, Any]:
    corner = (*(key for key in _KEYS if key.endswith("InDegrees")), "gridType", "Ni", "Nj", "jScansPositively")
    grids: dict[tuple[Any, ...], Header] = {}
    for header in headers:
        grids.setdefault(tuple(header.keys[key] for key in corner), header)
    if len(grids) > 1:
        listed = ", ".join(f"{h.keys['Nj']}×{h.keys['Ni']} ({h.keys['shortName']})" for h in grids.values())
        choice = next(iter(grids.values())).keys["Ni"]
        raise BadDataError(f"{source}: holds {len(grids)} grids: {listed}; choose one, for example --select Ni={choice}")
    return next(iter(grids.values())).keys


def _time_coordinates(headers: Sequence[Header], valid: np.datetime64) -> dict[str, xr.Variable]:
    coordinates = {"time": xr.Variable((), valid, {"standard_name": "time", "long_name": "valid time"})}
    bases = {(int(header.keys["dataDate"]), int(header.keys["dataTime"])) for header in headers}
    if len(bases) == 1:
        (day, clock), text = bases.pop(), ""
        text = f"{day:08d}{clock:04d}"
        base = np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[8:10]}:{text[10:]}", "ns")
        attributes = {"standard_name": "forecast_reference_time", "long_name": "initial time of forecast"}
        coordinates["forecast_reference_time"] = xr.Variable((), base, attributes)
    return coordinates


class _Assembly:
    """Turns the chosen headers into a dataset: groups become variables, (member, level) their leading axes."""

    def __init__(self, headers: Sequence[Header], source: str) -> None:
        self.source = source
        self.members = sorted({header.member for header in headers})
        self.groups: dict[tuple[str, ...], dict[tuple[int, tuple[float, ...]], Header]] = {}
        for header in headers:
            self._place(header)
        self.level_dims: dict[tuple[str, tuple[float, ...]], str] = {}
        self.coordinates: dict[str, xr.Variable] = {}
        self.names: set[str] = {"latitude", "longitude", "time", MEMBER, "forecast_reference_time"}

    def build(
        self, latitudes: NDArray[np.float64], longitudes: NDArray[np.float64]
    ) -> tuple[xr.Dataset, tuple[FoundField, ...]]:
        """The dataset and the fields in it that phyda knows."""
        shape = (latitudes.size, longitudes.size)
        variables: dict[str, xr.Variable] = {}
        fields: list[FoundField] = []
        targets: dict[tuple[Path, int], NDArray[np.float32]] = {}
        # Known and isobaric groups first: they get the plain names.
        order = sorted(self.groups.items(), key=lambda g: (not _is_known(g[1]), g[0][3] != "isobaricInhPa"))
        taken: set[tuple[str, float | None]] = set()
        for group, cells in order:
            first = next(iter(cells.values()))
            levels = sorted({key[1] for key in cells}, reverse=first.pressure is not None)
            members = self.members if len(self.members) > 1 else [key[0] for key in cells][:1]
            known = first.variable
            if known is not None:
                self._require_whole(cells, members, levels, known)
            level_dim = self._level_dim(group[3], levels) if first.pressure is not None or len(levels) > 1 else None
            dims = ((MEMBER,) if len(self.members) > 1 else ()) + ((level_dim,) if level_dim else ())
            data = np.full((len(members), len(levels), *shape), np.nan, np.float32)
            for (number, level), header in cells.items():
                targets[header.path, header.index] = data[members.index(number), levels.index(level)]
            name = self._name(first, group)
            lead = tuple(self.members if dim == MEMBER else levels for dim in dims)
            variables[name] = xr.Variable(
                (*dims, "latitude", "longitude"),
                data.reshape((*(len(axis) for axis in lead), *shape)),
                _attributes(first, levels if level_dim is None else ()),
            )
            if known is not None:
                pressures = tuple(level[0] for level in levels) if known.pressure_level else ()
                unit = find_unit(str(first.keys["units"]), known.units) or UnitConversion(known.units, known.units)
                # Two parameters of one quantity (prmsl and mslet): the first in the table is the one analysed.
                if not pressures and (known.name, None) in taken:
                    continue
                taken.add((known.name, None if not pressures else pressures[0]))
                fields.append(FoundField(name, known.name, unit, level_dim, pressures))
        _decode(targets, {header.path for cells in self.groups.values() for header in cells.values()})
        horizontal = {
            "latitude": xr.Variable(
                ("latitude",), latitudes, {"units": "degrees_north", "standard_name": "latitude"}
            ),
            "longitude": xr.Variable(
                ("longitude",), longitudes, {"units": "degrees_east", "standard_name": "longitude"}
            ),
        }
        if len(self.members) > 1:
            realization = {"standard_name": "realization", "long_name": "ensemble member numerical id", "units": "1"}
            horizontal[MEMBER] = xr.Variable((MEMBER,), np.asarray(self.members, np.int32), realization)
        return xr.Dataset(variables, {**horizontal, **self.coordinates}), tuple(fields)

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
        where = f"{self.source}: {header.keys['shortName']} at level {header.level[0]:g} valid {format_time(header.valid)}"
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
        for name in (short, f"{short}_{group[3]}", f"{short}_{group[3]}_{group[4]}"):
            if name not in self.names:
                break
        count = 2
        while name in self.names:
            name = f"{short}_{group[3]}_{group[4]}_{count}"
            count += 1
        self.names.add(name)
        return name


def _is_known(cells: Mapping[tuple[int, tuple[float, ...]], Header]) -> bool:
    return next(iter(cells.values())).variable is not None


def _attributes(header: Header, levels: Sequence[tuple[float, ...]]) -> dict[str, Any]:
    keys = header.keys
    standard = keys["cfName"]
    attributes = {
        "units": "1" if str(keys["units"]) in ("unknown", "~", "(0 - 1)", "Proportion", "Fraction") else keys["units"],
        "long_name": keys["name"],
        **({"standard_name": standard} if standard not in (None, "unknown") else {}),
        **{f"GRIB_{key}": keys[key] for key in ("paramId", "shortName", "typeOfLevel", "stepType", "dataType")},
    }
    if levels and header.pressure is None:
        attributes["GRIB_level"] = levels[0][0]
    return {key: value for key, value in attributes.items() if value is not None}


def _decode(targets: Mapping[tuple[Path, int], NDArray[np.float32]], paths: set[Path]) -> None:
    """Fill every target array with the values of its field, missing ones as NaN."""
    for path in sorted(paths):
        for index, message in enumerate(_messages(path)):
            target = targets.get((path, index))
            if target is None:
                continue
            values = np.asarray(message.message_get("values"), np.float64)
            values = np.where(values == messages.MISSING_VAUE_INDICATOR, np.nan, values)
            target[...] = field(values, {key: message.message_get(key, default=0) for key in _SCANNING})


_SCANNING: Final = ("Ni", "Nj", "jPointsAreConsecutive", "alternativeRowScanning")
