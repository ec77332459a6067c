"""The analysis as a CF-1.11, ACDD-1.3 NetCDF file, on the background's own grid, orientation, levels and units.

Every gridded field gets an axis of time of length one, so that files can be joined along it; of the background's own
times none but the valid one is kept. What the analysis did not change stays bit for bit (`restore`). Analysed
fields are NaN only where the background is. The same inputs, seed and SOURCE_DATE_EPOCH give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import netCDF4
import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from phyda_cli import __version__
from phyda_cli.constants import GRAVITY
from phyda_cli.errors import BadDataError
from phyda_cli.fields.bit_rounding import bit_rounded
from phyda_cli.fields.moments import Moments
from phyda_cli.fields.state import Channel, Planes, PlanesOnDemand, State
from phyda_cli.fields.variables import VARIABLES, Variable
from phyda_cli.formats.gridded.contents import MEMBER_NAMES, OF_MEMBERS
from phyda_cli.formats.gridded.layout import (
    WINDS,
    Background,
    Conversion,
    FieldLayout,
    check_fits,
    from_channel,
    has_axes,
    horizontal_view,
    inputs_of,
    missing,
    other_component,
    restore,
    restored_field,
)
from phyda_cli.formats.gridded.made_fields import create, placeholder, write_dataset, write_made
from phyda_cli.formats.gridded.valid_time import VALID_TIME, times_beside
from phyda_cli.formats.units import candidates, udunits
from phyda_cli.outputs import atomic_path

MEMBER: Final = "number"
"""The axis of members in a file."""
_TITLE: Final = "Analysis: background and observations combined by data assimilation"
_INCREMENT_TITLE: Final = "Analysis increment: analysis minus background"
_MEMBERS_TITLE: Final = "Analysis members: samples of the state of the atmosphere, given background and observations"
_QUANTITY: Final = {
    Conversion.HEIGHT: "gh",
    Conversion.RELATIVE_HUMIDITY: "r",
    Conversion.DEWPOINT: "td",
    Conversion.SCREEN_HUMIDITY: "r2m",
}
_SPREAD_BITS: Final = 10
"""A spread is known to a tenth of itself; it is written to a two thousandth, in half the bytes."""
_KEPT: Final = ("long_name", "cell_methods", "grid_mapping")
"""Attributes of an analysed field that stay as the background has them; ranges and the like are no longer true."""
_GLOBAL_KEPT: Final = ("institution", "references", "license")


def write_analysis(
    path: Path,
    background: Background,
    analysis: State,
    *,
    spread: Planes | None = None,
    of_humidity: HumiditySpread | None = None,
    attributes: Mapping[str, str],
    overwrite: bool = False,
) -> None:
    """Write the analysis, whole or not at all: `analysis_dataset`, which has the arguments, one field in memory.

    Raises BadDataError when a field is not finite, CannotWriteError as `atomic_path` does.
    """
    require_finite(path, analysis, "analysis")
    spread = None if spread is None else finite(path, spread, "spread")
    if _needs_all(background):
        dataset = analysis_dataset(background, analysis, spread=spread, of_humidity=of_humidity, attributes=attributes)
        write_dataset(path, dataset, overwrite=overwrite)
        return
    check_fits(background, analysis)
    names, spreads = known_names(background), {}
    outline = background.dataset.assign({name: placeholder(background.dataset[name]) for name in names})
    if spread is not None:
        spreads = _spreads_to_make(background, spread, of_humidity)
        outline = outline.assign(_spread_outline(background, spreads))
    outline = _finish(_describe(outline, background), background, _TITLE, attributes)
    fields = {name: partial(restored_field, background, analysis, name) for name in names}
    write_made(path, outline, fields | spreads, missing=_missing_in(background), overwrite=overwrite)


def _needs_all(background: Background) -> bool:
    """Whether the file's own layout is made of all fields together."""
    return background.folding is not None or background.model is not None


def _missing_in(background: Background) -> set[str]:
    """Return the fields with missing values, and their spreads."""
    held = {name for name in known_names(background) if bool(missing(background.dataset[name].values).any())}
    return held | {f"{name}_spread" for name in held}


def analysis_dataset(
    background: Background,
    analysis: State,
    *,
    spread: Planes | None = None,
    of_humidity: HumiditySpread | None = None,
    attributes: Mapping[str, str],
) -> xr.Dataset:
    """Return the analysis as its file holds it.

    analysis, spread: on the background's grid [SI]; the spread goes to `NAME_spread`. of_humidity: that of relative
    humidity and dew point (`humidity_spread`), without which these have none. attributes: provenance, added to the
    global attributes.
    """
    dataset = restore(background, analysis)
    if spread is not None:
        dataset = dataset.assign(spread_fields(background, spread, of_humidity))
    return _finish(_describe(dataset, background), background, _TITLE, attributes)


def write_increment(
    path: Path, background: Background, analysis: State, *, attributes: Mapping[str, str], overwrite: bool = False
) -> None:
    """Write `increment_dataset`, one field in memory. Raises as `write_analysis` does."""
    require_finite(path, analysis, "analysis")
    if _needs_all(background):
        write_dataset(path, increment_dataset(background, analysis, attributes=attributes), overwrite=overwrite)
        return
    check_fits(background, analysis)
    names = known_names(background)
    outline = background.dataset[names].assign({name: placeholder(background.dataset[name]) for name in names})
    outline = _finish(
        _as_increments(_describe(outline, background), background),
        background,
        _INCREMENT_TITLE,
        attributes,
        differences=True,
    )

    def increment(name: str) -> NDArray[Any]:
        made: NDArray[Any] = restored_field(background, analysis, name) - background.dataset[name].values
        return made

    fields = {name: partial(increment, name) for name in names}
    write_made(path, outline, fields, missing=_missing_in(background), overwrite=overwrite)


def increment_dataset(background: Background, analysis: State, *, attributes: Mapping[str, str]) -> xr.Dataset:
    """Analysis minus background of the known fields, in the file's units."""
    restored, original = restore(background, analysis), background.dataset
    names = known_names(background)
    described = _as_increments(_describe(restored[names], background), background)
    for name in names:
        described[name] = (restored[name] - original[name]).assign_attrs(described[name].attrs)
    return _finish(described, background, _INCREMENT_TITLE, attributes, differences=True)


def _as_increments(described: xr.Dataset, background: Background) -> xr.Dataset:
    """Return the known fields with the attributes of their increments."""
    for name in known_names(background):
        kept = {key: described[name].attrs[key] for key in ("units", "coverage_content_type")}
        label = {"long_name": f"analysis increment of {described[name].attrs['long_name']}"}
        own = background.dataset[name].attrs
        described[name].attrs = own | kept | label | _temperature(kept["units"], "difference")
    return described


def spread_dataset(analysis: xr.Dataset) -> xr.Dataset:
    """Return the spreads beside the fields of `analysis_dataset` under the names of these."""
    names = {str(name): str(name).removesuffix("_spread") for name in analysis if str(name).endswith("_spread")}
    return analysis[list(names)].rename(names).assign_attrs(analysis.attrs | {"title": "Analysis standard deviation"})


def write_spread(
    path: Path,
    background: Background,
    spread: Planes,
    *,
    of_humidity: HumiditySpread | None = None,
    attributes: Mapping[str, str],
    overwrite: bool = False,
) -> None:
    """Write `spread_dataset`, one field in memory; arguments as of `analysis_dataset`. Raises as `write_analysis`."""
    spread = finite(path, spread, "spread")
    if _needs_all(background):
        beside = analysis_dataset(
            background, background.state, spread=spread, of_humidity=of_humidity, attributes=attributes
        )
        whole = spread_dataset(beside)
        write_dataset(path, whole, overwrite=overwrite)
        return
    made = _spreads_to_make(background, spread, of_humidity)
    outline = background.dataset.assign(_spread_outline(background, made))
    outline = spread_dataset(_finish(_describe(outline, background), background, _TITLE, attributes))
    fields = {name.removesuffix("_spread"): make for name, make in made.items()}
    write_made(path, outline, fields, missing=_missing_in(background), overwrite=overwrite)


def write_members(
    path: Path,
    background: Background,
    members: Iterable[State],
    *,
    count: int,
    attributes: Mapping[str, str],
    overwrite: bool = False,
) -> None:
    """Write the members of an analysis as `members_dataset` has them; one at a time is in memory.

    Those of a background that folds its fields are in memory all at once. Raises as `write_analysis`.
    """
    if background.folding is not None or background.model is not None:
        checked = (_finite(path, member, f"member {number}") for number, member in enumerate(members))
        dataset = members_dataset(background, checked, count=count, attributes=attributes)
        write_dataset(path, dataset, overwrite=overwrite)
        return
    axis, names = _member_axis(background, count), known_names(background)
    with atomic_path(path, overwrite=overwrite) as temporary:
        for number, member in enumerate(members):
            require_finite(path, member, f"member {number}")
            own = background if background.member is None else background.one_member(number)
            if number == 0:
                _create_members(temporary, own, axis, attributes)
            with netCDF4.Dataset(temporary, "a") as file:
                file.set_auto_maskandscale(False)
                for name in names:
                    file[name][0, number] = restored_field(own, member, name)


def _create_members(path: Path, one: Background, axis: xr.Variable, attributes: Mapping[str, str]) -> None:
    """Write a file of members without their values, by the example of one."""
    names, held = known_names(one), one.dataset
    outline = held[names].assign({name: placeholder(held[name]) for name in names})
    outline = _describe(outline.drop_vars(MEMBER_NAMES, errors="ignore"), one)
    outline = outline.assign({n: outline[n].expand_dims({MEMBER: axis.size}) for n in names})
    outline = _finish(outline.assign_coords({MEMBER: axis}), one, _MEMBERS_TITLE, attributes)
    create(path, outline, names, missing=_missing_in(one))


def members_dataset(
    background: Background, members: Iterable[State], *, count: int, attributes: Mapping[str, str]
) -> xr.Dataset:
    """Return the members of an analysis: the known fields along the axes `time` and `number`, in the file's units.

    members: `count` of them, each on the background's grid [SI]. Of a background with members each belongs to the one
    at its place, whose number it gets; of another they are numbered from 0.
    """
    fields, own = [], background
    for number, member in enumerate(members):
        own = background if background.member is None else background.one_member(number)
        names = known_names(own)
        fields.append(_describe(restore(own, member)[names].drop_vars(MEMBER_NAMES, errors="ignore"), own))
    dataset = xr.concat(fields, dim=MEMBER, coords="minimal", compat="override", combine_attrs="override")
    return _finish(dataset.assign_coords({MEMBER: _member_axis(background, count)}), own, _MEMBERS_TITLE, attributes)


def _member_axis(background: Background, count: int) -> xr.Variable:
    labels = background.member_numbers[:count] or tuple(range(count))
    return xr.Variable(MEMBER, np.array(labels, np.int32), OF_MEMBERS)


def _finite(path: Path, state: State, what: str) -> State:
    require_finite(path, state, what)
    return state


def require_finite(path: Path, state: State, what: str) -> None:
    """Raise BadDataError where a state is not finite."""
    checked = finite(path, state, what)
    for channel in state.channels:
        checked.plane(channel)


def finite(path: Path, fields: Planes, what: str) -> Planes:
    """Return fields that raise BadDataError where one is asked for that is not finite."""

    def made(channel: Channel) -> torch.Tensor:
        plane = fields.plane(channel)
        bad = plane.numel() - int(plane.isfinite().sum())
        if bad:
            raise BadDataError(f"{path}: not written: {bad} values of the {what} of {channel} are not finite")
        return plane

    return PlanesOnDemand(made, fields.channels, fields.grid)


def known_names(background: Background) -> list[str]:
    """Return the names of the fields that phyda knows, in the file."""
    return list(_places(background))


def _places(background: Background) -> dict[str, tuple[Variable, FieldLayout]]:
    """Return what each field of the file that phyda knows holds, with the place of one of its levels."""
    pairs = (*background.layout.items(), *background.companions)
    return {p.name: (VARIABLES[_QUANTITY.get(p.conversion, channel.variable)], p) for channel, p in pairs}


def _units(variable: Variable, place: FieldLayout) -> str:
    """The unit of a field as UDUNITS reads it; the table's conversion decides, whatever spelling the file had."""
    for unit in candidates(variable.units):
        if np.isclose(1.0 / unit.scale, place.scale) and np.isclose(-unit.offset / unit.scale, place.offset):
            return udunits(unit.label)
    return variable.units


def _temperature(units: str, kind: str) -> dict[str, str]:
    return {"units_metadata": f"temperature: {kind}"} if units in ("K", "degC") else {}


def _describe(dataset: xr.Dataset, background: Background) -> xr.Dataset:
    """Return the known fields with CF attributes; the others keep theirs, less what only GRIB tools read."""
    dataset = dataset.copy()
    for name in dataset.variables:
        kept = {key: value for key, value in dataset[name].attrs.items() if not str(key).startswith("GRIB_")}
        if "units" in kept:
            kept["units"] = udunits(str(kept["units"]))
            kept = _temperature(str(kept["units"]), "unknown") | kept
        about = {"coverage_content_type": "modelResult"} if name in dataset.data_vars else {}
        dataset[name].attrs = {"long_name": str(name)} | about | kept
    for name, (variable, place) in _places(background).items():
        units, old = _units(variable, place), dataset[name].attrs
        dataset[name].attrs = {
            **_named(variable, place, old),
            **{key: old[key] for key in _KEPT if key in old},
            "units": units,
            "coverage_content_type": "modelResult",
            **_temperature(units, "on_scale"),
            **({"ancillary_variables": f"{name}_spread"} if f"{name}_spread" in dataset else {}),
        }
    return dataset


def _named(variable: Variable, place: FieldLayout, old: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names of a field; a wind in the grid's own directions keeps those that it has."""
    if place.conversion not in WINDS:
        return {"standard_name": variable.standard_name, "long_name": variable.long_name}
    axis = "x" if place.conversion is Conversion.ALONG_X else "y"
    own = str(old.get("standard_name", ""))
    return {
        "standard_name": own if own.startswith("grid_") else f"{axis}_wind",
        "long_name": f"wind along the {axis} axis of the grid",
    }


def spread_fields(
    background: Background, spread: Planes, of_humidity: HumiditySpread | None = None
) -> dict[str, xr.Variable]:
    """`NAME_spread` for every field that is a linear function of a channel, and those of humidity that are given; zero
    at levels without one.

    The errors of u and v count as independent where winds are in the grid's own directions.
    """
    made = _spreads_to_make(background, spread, of_humidity)
    outline = _spread_outline(background, made)
    return {name: outline[name].copy(data=make()) for name, make in made.items()}


def _spreads_to_make(
    background: Background, spread: Planes, of_humidity: HumiditySpread | None
) -> dict[str, Callable[[], NDArray[Any]]]:
    """Return what makes `NAME_spread` of every field of which the method reaches a level."""
    result: dict[str, Callable[[], NDArray[Any]]] = {}
    for name in known_names(background):
        planes = partial(_spread_planes, background, spread, of_humidity or {}, name)
        if any(bool((plane > 0).any()) for _, plane in planes()):
            result[f"{name}_spread"] = partial(_spread_field, background, name, planes)
    return result


def _spread_outline(background: Background, names: Iterable[str]) -> dict[str, xr.Variable]:
    """Return placeholders of spreads with their attributes."""
    known, result = _places(background), {}
    for name in names:
        variable, place = known[name.removesuffix("_spread")]
        original, units = background.dataset[place.name], _units(variable, place)
        named = _named(variable, place, original.attrs)
        field = placeholder(original, np.dtype(np.float32))
        field.attrs = {
            "standard_name": f"{named['standard_name']} standard_error",
            "long_name": f"analysis standard deviation of {named['long_name']}",
            "units": units,
            "coverage_content_type": "qualityInformation",
            **_temperature(units, "difference"),
        }
        result[name] = field
    return result


def _spread_planes(
    background: Background, spread: Planes, others: HumiditySpread, name: str
) -> Iterator[tuple[FieldLayout, torch.Tensor]]:
    """Return for each level of a field that has a spread its place and the standard deviation (lat, lon) [SI]."""
    linear = (Conversion.IDENTITY, Conversion.HEIGHT, *WINDS)
    for channel, place in (*background.layout.items(), *background.companions):
        key = channel, place.conversion
        if (
            place.name != name
            or channel not in spread.channels
            or (place.conversion not in linear and key not in others)
        ):
            continue
        plane = others[key] if key in others else spread.plane(channel)
        if place.conversion in WINDS and spread.grid.turn is not None:
            angle = torch.from_numpy(spread.grid.turn)
            across = spread.plane(other_component(channel)).double()
            plane = ((plane.double() * angle.cos()).square() + (across * angle.sin()).square()).sqrt()
        yield place, plane.detach().cpu()


def _spread_field(
    background: Background, name: str, planes: Callable[[], Iterator[tuple[FieldLayout, torch.Tensor]]]
) -> NDArray[Any]:
    """Return the spread of a field in its axes and unit, missing where the field is."""
    original = background.dataset[name]
    result = np.zeros(original.shape, np.float32)
    for place, plane in planes():
        scale = place.scale / (GRAVITY if place.conversion is Conversion.HEIGHT else 1.0)
        target = horizontal_view(result, original.dims, background, place)
        in_unit = np.asarray(plane.numpy() * abs(scale), np.float32)
        target[...] = background.orientation.turned_back(bit_rounded(in_unit, _SPREAD_BITS))
        if bool((plane > 0).any()):
            target[missing(horizontal_view(original.values, original.dims, background, place))] = np.nan
    return result


HumiditySpread = Mapping[tuple[Channel, Conversion], torch.Tensor]
"""Standard deviation [SI] of fields that are no linear function of the channel behind them."""
_HUMIDITY: Final = (Conversion.RELATIVE_HUMIDITY, Conversion.DEWPOINT, Conversion.SCREEN_HUMIDITY)


def humidity_channels(background: Background) -> tuple[Channel, ...]:
    """Return the channels of which a file's relative humidity and dew point are made, with the temperatures that limit
    them; empty where it has none.
    """
    needed = [
        channel
        for humidity, conversion in _humidities(background)
        for channel in (*inputs_of(humidity, conversion), Channel("t", humidity.level))
    ]
    return tuple(channel for channel in dict.fromkeys(needed) if channel in background.state.channels)


def humidity_spread(background: Background, members: Iterable[State]) -> HumiditySpread:
    """Return the standard deviation of a file's relative humidity and dew point over members, at least two.

    members: with the `humidity_channels` of the background.
    """
    moments = {key: Moments() for key in _humidities(background)}
    for member in members:
        for (channel, conversion), moment in moments.items():
            planes = [member.values[member.index(c)].double().numpy() for c in inputs_of(channel, conversion)]
            moment.add(torch.from_numpy(from_channel(conversion, channel.level, member.grid, *planes)))
    return {key: moment.spread() for key, moment in moments.items()}


def _humidities(background: Background) -> list[tuple[Channel, Conversion]]:
    pairs = (*background.layout.items(), *background.companions)
    return [(channel, place.conversion) for channel, place in pairs if place.conversion in _HUMIDITY]


def _finish(
    dataset: xr.Dataset, background: Background, title: str, attributes: Mapping[str, str], *, differences: bool = False
) -> xr.Dataset:
    dataset = _with_coordinates(dataset, background)
    dataset.attrs = _global_attributes(dataset, background, title, attributes)
    if background.model is not None:
        dataset = background.model.back(dataset, differences=differences)
        dataset.attrs = background.dataset.attrs | dataset.attrs
    return dataset if background.folding is None else background.folding.fold(dataset)


def _with_coordinates(dataset: xr.Dataset, background: Background) -> xr.Dataset:
    """Return latitude, longitude, pressure, member and the one valid time, described as CF wants them."""
    time = _time_name(dataset)
    dataset = dataset.drop_vars([name for name in times_beside(dataset) if name not in dataset.dims])
    about = {"standard_name": "time", "long_name": "valid time", "axis": "T", "units_metadata": "leap_seconds: none"}
    horizontal = {background.latitude, background.longitude}
    gridded = {n: v.expand_dims(time) for n, v in dataset.data_vars.items() if horizontal <= set(v.dims)}
    dataset = dataset.assign(gridded)
    dataset = dataset.assign_coords({time: xr.Variable((time,), [background.state.time], about)})
    names = {
        background.latitude: ("latitude", "degrees_north", "Y"),
        background.longitude: ("longitude", "degrees_east", "X"),
    }
    if not has_axes(background):
        names = {}
    for name, (standard, units, axis) in names.items():
        dataset[name].attrs = {"standard_name": standard, "long_name": standard, "units": units, "axis": axis}
    for channel, place in background.layout.items():
        if place.level_dim is not None and place.level_index is not None and channel.level is not None:
            in_file = float(dataset[place.level_dim].values[place.level_index])
            units = "hPa" if np.isclose(in_file * 100.0, channel.level) else "Pa"
            about = {"standard_name": "air_pressure", "long_name": "pressure", "units": units, "positive": "down"}
            dataset[place.level_dim].attrs = {**about, "axis": "Z"}
    if background.member is not None:
        dataset[background.member].attrs = dict(OF_MEMBERS)
    return dataset


def _time_name(dataset: xr.Dataset) -> str:
    """Return the name of the axis of time: that of the file's own valid time, `time` or, as in new CDS files, the
    other.
    """
    taken = "time" in dataset.dims or ("time" not in dataset.variables and VALID_TIME in dataset.variables)
    return VALID_TIME if taken else "time"


def _extent(axis: str, values: NDArray[np.float64], units: str) -> dict[str, Any]:
    name = f"geospatial_{axis}"
    return {f"{name}_min": float(values.min()), f"{name}_max": float(values.max()), f"{name}_units": units}


def _global_attributes(
    dataset: xr.Dataset, background: Background, title: str, attributes: Mapping[str, str]
) -> dict[str, Any]:
    old, latitudes = background.dataset.attrs, background.state.grid.coordinates[0]
    time = np.datetime_as_string(background.state.time, unit="s") + "Z"
    longitudes = background.state.grid.coordinates[1]
    if has_axes(background):
        longitudes = np.asarray(dataset[background.longitude], np.float64)
    files = ", ".join(Path(source).name for source in background.sources)
    variables = [variable.standard_name for variable, _ in _places(background).values()]
    history = [attributes.get("history", ""), str(old.get("history", ""))]
    return {
        "Conventions": "CF-1.11, ACDD-1.3",
        "title": title,
        "summary": f"{title}, valid at {time}, on the grid of the background ({files}).",
        "keywords": ", ".join(sorted({re.sub("_", " ", name) for name in variables})),
        "source": f"phyda {__version__}, data assimilation",
        "processing_level": "analysis",
        "cdm_data_type": "Grid",
        "product_version": __version__,
        **_extent("lat", latitudes, "degrees_north"),
        **_extent("lon", longitudes, "degrees_east"),
        **{f"time_coverage_{end}": time for end in ("start", "end")},
        **{f"time_coverage_{length}": "PT0S" for length in ("duration", "resolution")},
        **{key: old[key] for key in _GLOBAL_KEPT if key in old},
        **attributes,
        "history": "\n".join(entry for entry in history if entry),
    }
