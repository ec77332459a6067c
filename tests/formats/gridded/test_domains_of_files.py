"""Backgrounds on every kind of domain, GRIB and NetCDF: places by ecCodes, winds turned, outputs as the file came."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import eccodes
import numpy as np
import pytest
import torch
import xarray as xr

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel
from phyda_cli.formats.gridded.analysis import write_analysis, write_increment
from phyda_cli.formats.gridded.background import background_of, read_background
from phyda_cli.formats.gridded.layout import Background
from phyda_cli.grids.curvilinear import CurvilinearGrid
from phyda_cli.grids.places import distance
from phyda_cli.grids.plane import PlaneGrid
from phyda_cli.grids.reduced import ReducedGrid

CALM = np.zeros(108)
TIME = {"dataDate": 20200301, "dataTime": 1200}
CORNER = {"latitudeOfFirstGridPointInDegrees": 30.0, "longitudeOfFirstGridPointInDegrees": 350.0}
ENDS = {"latitudeOfLastGridPointInDegrees": 60.0, "longitudeOfLastGridPointInDegrees": 20.0}
SQUARE = {"Nx": 12, "Ny": 9, "DxInMetres": 150_000.0, "DyInMetres": 150_000.0}
_TRUE = 6_371_229.0 * np.cos(np.radians(20.0))
GRIDS: dict[str, dict[str, object]] = {
    "lambert": {
        "gridType": "lambert", **SQUARE, **CORNER, "LaDInDegrees": 45.0, "LoVInDegrees": 5.0, "Latin1InDegrees": 40.0,
        "Latin2InDegrees": 50.0, "jScansPositively": 1, "resolutionAndComponentFlags": 56,
    },
    "polar_stereographic": {
        "gridType": "polar_stereographic", **SQUARE, **CORNER, "LaDInDegrees": 60.0,
        "orientationOfTheGridInDegrees": 10.0, "jScansPositively": 1, "resolutionAndComponentFlags": 56,
    },
    "mercator": {
        "gridType": "mercator", "Ni": 12, "Nj": 9, **CORNER, **ENDS, "LaDInDegrees": 20.0,
        "DiInMetres": _TRUE * np.radians(30.0) / 11,
        "DjInMetres": _TRUE * (np.arctanh(np.sin(np.radians(60.0))) - np.arctanh(0.5)) / 8, "jScansPositively": 1,
    },
    "rotated_ll": {
        "gridType": "rotated_ll", "Ni": 12, "Nj": 9, "latitudeOfFirstGridPointInDegrees": -8.0,
        "latitudeOfLastGridPointInDegrees": 8.0, "longitudeOfFirstGridPointInDegrees": 354.5,
        "longitudeOfLastGridPointInDegrees": 5.5, "iDirectionIncrementInDegrees": 1.0,
        "jDirectionIncrementInDegrees": 2.0, "latitudeOfSouthernPoleInDegrees": -39.25,
        "longitudeOfSouthernPoleInDegrees": 18.0, "jScansPositively": 1, "resolutionAndComponentFlags": 56,
    },
    "regular_ll": {
        "gridType": "regular_ll", "Ni": 12, "Nj": 9, **CORNER, **ENDS, "latitudeOfFirstGridPointInDegrees": 60.0,
        "latitudeOfLastGridPointInDegrees": 30.0, "iDirectionIncrementInDegrees": 30.0 / 11,
        "jDirectionIncrementInDegrees": 3.75,
    },
}  # fmt: skip


def handle(keys: dict[str, object], name: str, values: np.ndarray | None = None, level: int = 500) -> int:
    sample = "reduced_gg_pl_32_grib2" if keys == {} else "regular_ll_pl_grib2"
    own = eccodes.codes_grib_new_from_samples(sample)
    for key, value in (keys | TIME | {"shortName": name, "typeOfLevel": "isobaricInhPa", "level": level}).items():
        eccodes.codes_set(own, key, value)
    if keys:
        eccodes.codes_set(own, "numberOfDataPoints", 108)
    count = eccodes.codes_get(own, "numberOfDataPoints")
    eccodes.codes_set(own, "bitsPerValue", 24)
    eccodes.codes_set_values(own, np.linspace(240, 280, count) if values is None else values.ravel())
    return own


def write(path: Path, handles: list[int]) -> Path:
    with path.open("wb") as file:
        for own in handles:
            eccodes.codes_write(own, file)
            eccodes.codes_release(own)
    return path


@pytest.mark.parametrize("kind", [*GRIDS, "reduced"])
@pytest.mark.parametrize("northward", [True, False])
def test_points_of_grib_are_where_eccodes_has_them(tmp_path, kind, northward):
    """Whatever way the rows run, each value is at the place that ecCodes gives it."""
    keys = dict(GRIDS.get(kind, {}))
    if keys and not northward:
        if kind in ("lambert", "polar_stereographic", "mercator"):
            pytest.skip("ecCodes gives the places of maps as if all rows ran northward")
        first, last = "latitudeOfFirstGridPointInDegrees", "latitudeOfLastGridPointInDegrees"
        keys |= {first: keys[last], last: keys[first], "jScansPositively": 1 - int(keys.get("jScansPositively", 0))}
    own = handle(keys, "t")
    latitude, longitude, values = (eccodes.codes_get_array(own, k) for k in ("latitudes", "longitudes", "values"))
    state = read_background([write(tmp_path / "bg.grib2", [own])]).state
    found = state.grid.coordinates
    order = np.argsort(values)
    at = np.argsort(state.values[0].numpy().ravel())
    apart = distance(found[0][at], found[1][at], latitude[order], longitude[order])
    assert apart.max() < 15.0  # metres: corners in millionths of a degree, steps in millimetres
    expected = ReducedGrid if kind == "reduced" else PlaneGrid
    assert isinstance(state.grid, expected)


@pytest.mark.parametrize("kind", ["lambert", "polar_stereographic"])
@pytest.mark.parametrize("scanning", [0, 64, 128, 192])
def test_rows_and_columns_of_a_map_run_as_the_scanning_mode_says(tmp_path, kind, scanning):
    """The first value is at the first point, the next one a step of 150 km along the row, the next row one across."""
    keys = GRIDS[kind] | {"jScansPositively": scanning // 64 % 2, "iScansNegatively": scanning // 128}
    background = read_background([write(tmp_path / "bg.grib2", [handle(keys, "t")])])
    state, values = background.state, np.linspace(240, 280, 108)
    latitude, longitude = state.grid.coordinates
    y, x = state.grid.projection.forward(latitude, longitude)
    first, beside, below = (np.argmin(np.abs(state.values[0].numpy().ravel() - values[i])) for i in (0, 1, 12))
    assert [latitude[first], longitude[first]] == pytest.approx([30.0, 350.0], abs=1e-6)
    assert x[beside] - x[first] == pytest.approx(150e3 * (-1 if scanning >= 128 else 1))
    assert y[below] - y[first] == pytest.approx(150e3 * (1 if scanning % 128 else -1))
    assert background.dataset["t"].values.ravel()[:2] == pytest.approx(values[:2], abs=1e-3)


@pytest.mark.parametrize("kind", ["lambert", "polar_stereographic", "rotated_ll"])
def test_winds_are_turned_to_east_and_north_and_back(tmp_path, kind):
    """A wind along the grid's rows blows along them on the sphere; what is written is along the grid again."""
    keys = GRIDS[kind]
    along, across = np.full(108, 10.0), np.full(108, -3.0)
    path = write(tmp_path / "bg.grib2", [handle(keys, "u", along), handle(keys, "v", across), handle(keys, "t")])
    background = read_background([path])
    state, grid = background.state, background.state.grid
    u, v = (state.values[state.index(Channel(name, 50_000.0))].numpy() for name in "uv")
    latitude, longitude = (x.reshape(grid.shape) for x in grid.coordinates)
    east = np.gradient(np.unwrap(longitude, axis=1, period=360.0), axis=1) * np.cos(np.radians(latitude))
    angle = np.arctan2(np.gradient(latitude, axis=1), east)[:, 1:-1]
    # by the places beside each point, to the square of half a grid length
    np.testing.assert_allclose(u[:, 1:-1], 10 * np.cos(angle) + 3 * np.sin(angle), atol=2e-2)
    np.testing.assert_allclose(v[:, 1:-1], 10 * np.sin(angle) - 3 * np.cos(angle), atol=2e-2)
    assert np.abs(angle).max() > 0.05
    assert any("turned" in note for note in background.notes)

    moved = state.values.clone()
    moved[state.index(Channel("u", 50_000.0))] += torch.from_numpy(np.cos(grid.turn))
    moved[state.index(Channel("v", 50_000.0))] += torch.from_numpy(np.sin(grid.turn))
    spread = replace(state, values=torch.full_like(moved, 2.0))
    write_analysis(tmp_path / "an.nc", background, replace(state, values=moved), spread=spread, attributes={})
    with xr.open_dataset(tmp_path / "an.nc") as analysis:
        np.testing.assert_allclose(analysis["u"].values, 11.0, atol=1e-5)
        np.testing.assert_allclose(analysis["v"].values, -3.0, atol=1e-5)
        np.testing.assert_allclose(analysis["u_spread"].values, 2.0, atol=1e-5)
        assert analysis["u"].attrs["standard_name"] == "x_wind"
        assert analysis["u"].attrs["grid_mapping"] == "projection"
        assert analysis["t"].dims == ("time", "isobaricInhPa", "y", "x")
        assert analysis["latitude"].dims == ("y", "x")
    again = read_background([tmp_path / "an.nc"]).state
    assert again.grid.shape == grid.shape
    np.testing.assert_allclose(again.select(state.channels).values, moved, atol=1e-4)
    np.testing.assert_allclose(again.grid.coordinates, grid.coordinates, atol=1e-6)


def test_one_component_alone_is_not_read(tmp_path):
    path = write(tmp_path / "bg.grib2", [handle(GRIDS["lambert"], "u", CALM), handle(GRIDS["lambert"], "t")])
    background = read_background([path])
    assert background.state.variables == ("t",)
    assert any("other component" in note for note in background.notes)


def test_components_in_different_directions_are_refused(tmp_path):
    east = GRIDS["lambert"] | {"resolutionAndComponentFlags": 48}
    path = write(tmp_path / "bg.grib2", [handle(GRIDS["lambert"], "u", CALM), handle(east, "v", CALM)])
    with pytest.raises(BadDataError, match="give both in the same directions"):
        read_background([path])


def test_a_reduced_grid_is_written_along_its_points(tmp_path):
    path = write(tmp_path / "bg.grib2", [handle({}, "t"), handle({}, "u", np.zeros(6114))])
    background = read_background([path])
    state = background.state
    assert state.values.shape == (2, 1, 6114)
    write_increment(tmp_path / "inc.nc", background, replace(state, values=state.values + 1.5), attributes={})
    with xr.open_dataset(tmp_path / "inc.nc") as increment:
        assert increment["t"].dims == ("time", "isobaricInhPa", "values")
        assert increment["latitude"].dims == ("values",)
        np.testing.assert_allclose(increment["t"].values, 1.5, atol=1e-4)
    write_analysis(tmp_path / "an.nc", background, state, attributes={})
    again = read_background([tmp_path / "an.nc"]).state
    assert isinstance(again.grid, ReducedGrid)
    np.testing.assert_allclose(again.values, state.values, rtol=1e-6)


def lambert_file(
    folder: Path, *, units: str = "m", mapping: bool = True, places: bool = True
) -> tuple[xr.Dataset, Background]:
    """A CF file on the Lambert grid of GRIB, and what GRIB makes of that grid."""
    reference = read_background([write(folder / "lambert.grib2", [handle(GRIDS["lambert"], "t")])])
    source = reference.dataset
    scale = 0.001 if units == "km" else 1.0
    about = {"units": "m s-1", "grid_mapping": "crs"}
    wind = np.stack([np.full((9, 12), 10.0), np.full((9, 12), -3.0)]).astype(np.float32)
    data = xr.Dataset(
        {
            "t": (("level", "y", "x"), source["t"].values, {"units": "K", "grid_mapping": "crs"}),
            "u": (("level", "y", "x"), wind[:1], about | {"standard_name": "x_wind"}),
            "v": (("level", "y", "x"), wind[1:], about | {"standard_name": "y_wind"}),
        },
        {
            "time": np.datetime64("2020-03-01T12:00", "ns"),
            "level": ("level", [500.0], {"units": "hPa"}),
            "y": ("y", scale * source["y"].values, {"units": units, "standard_name": "projection_y_coordinate"}),
            "x": ("x", scale * source["x"].values, {"units": units, "standard_name": "projection_x_coordinate"}),
        },
    )
    if mapping:
        data["crs"] = ((), 0, dict(source["projection"].attrs))
    if places:
        data = data.assign_coords(lat=source["latitude"].variable, lon=source["longitude"].variable)
    return data, reference


@pytest.mark.parametrize("units", ["m", "km"])
@pytest.mark.parametrize("places", [True, False])
def test_a_cf_grid_mapping_makes_the_grid_that_grib_makes(tmp_path, units, places):
    data, reference = lambert_file(tmp_path, units=units, places=places)
    state = background_of(data).state
    assert state.grid.projection == reference.state.grid.projection
    np.testing.assert_allclose(state.grid.coordinates, reference.state.grid.coordinates, atol=1e-7)
    assert float(state.values[state.index(Channel("v", 50_000.0))].abs().max()) > 3.0  # turned


def test_places_alone_are_a_grid_too_and_count_against_a_wrong_projection(tmp_path):
    data, reference = lambert_file(tmp_path, mapping=False)
    alone = background_of(data.drop_vars(("x", "y"))).state.grid
    assert isinstance(alone, CurvilinearGrid)
    np.testing.assert_allclose(alone.coordinates, reference.state.grid.coordinates, atol=1e-9)
    wrong, _ = lambert_file(tmp_path)
    wrong["crs"].attrs["longitude_of_central_meridian"] = 9.0
    background = background_of(wrong)
    assert isinstance(background.state.grid, CurvilinearGrid)
    assert any("contradicts" in note for note in background.notes)


def test_a_rotated_grid_mapping(tmp_path):
    path = write(tmp_path / "bg.grib2", [handle(GRIDS["rotated_ll"], "t")])
    reference = read_background([path])
    source = reference.dataset
    data = xr.Dataset(
        {"t": (("rlat", "rlon"), source["t"].values[0], {"units": "K"}), "pole": ((), 0, source["projection"].attrs)},
        {"rlat": source["y"].values, "rlon": source["x"].values, "plev": ((), 500.0, {"units": "hPa"})},
    )
    state = background_of(data, time=np.datetime64("2020-03-01T12:00", "ns")).state
    np.testing.assert_allclose(state.grid.coordinates, reference.state.grid.coordinates, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"grid_mapping_name": "lambert_conformal_conic", "standard_parallel": 30.0}, "lacks 'longitude_of_central"),
        ({"grid_mapping_name": "geostationary"}, "nothing says where its points are"),
        ({"grid_mapping_name": "rotated_latitude_longitude"}, "nothing says where its points are"),
    ],
)
def test_a_projection_that_is_not_known_is_refused(tmp_path, change, says):
    data, _ = lambert_file(tmp_path, places=False)
    data["crs"].attrs = change
    with pytest.raises(BadDataError, match=says):
        background_of(data)


def test_parts_of_a_regional_background_join_whatever_way_they_run(tmp_path):
    lat, lon = np.arange(40.0, 50.0), np.arange(-3.0, 5.0)
    fields = {
        name: np.random.default_rng(i).normal(mean, 1, (10, 8))
        for i, (name, mean) in enumerate([("t", 260.0), ("u", 0.0)])
    }
    paths = []
    for name, field in fields.items():
        turned = name == "u"
        data = xr.Dataset(
            {
                name: (
                    ("latitude", "longitude"),
                    field[::-1] if turned else field,
                    {"units": "K" if name == "t" else "m/s"},
                )
            },
            {
                "latitude": ("latitude", lat[::-1] if turned else lat, {"units": "degrees_north"}),
                "longitude": ("longitude", np.mod(lon, 360.0) if turned else lon, {"units": "degrees_east"}),
                "level": ((), 500.0, {"units": "hPa"}),
                "time": np.datetime64("2020-03-01T12:00", "ns"),
            },
        )
        data.to_netcdf(tmp_path / f"{name}.nc")
        paths.append(tmp_path / f"{name}.nc")
    state = read_background(paths).state
    for name, field in fields.items():
        np.testing.assert_array_equal(state.values[state.index(Channel(name, 50_000.0))], field)
