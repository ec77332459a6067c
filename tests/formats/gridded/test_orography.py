"""The background's own surface in files as they come."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from phyda_cli.constants import GRAVITY
from phyda_cli.errors import BadDataError
from phyda_cli.fields.ground import Ground
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.gridded.ground import ground_of, read_ground
from phyda_cli.formats.gridded.layout import Background
from tests.support.fields import dataset, latitudes, longitudes, message, save, write_grib

HEIGHT = 1000.0 * np.cos(np.radians(latitudes()))[:, None] + np.radians(longitudes())[None, :]


def height_of(background: Background) -> torch.Tensor | None:
    return ground_of(background).height


def found(tmp_path, name, factor=1.0, *, dims=("latitude", "longitude"), **attributes):
    data = dataset(["t"])
    values = HEIGHT * factor
    data[name] = (dims, values[None] if dims[0] == "time" else values, attributes)
    height = height_of(read_background([save(data.isel(latitude=slice(None, None, -1)), tmp_path / "bg.nc")]))
    return None if height is None else height.numpy()


@pytest.mark.parametrize(
    ("name", "factor", "attributes"),
    [
        ("orog", 1.0, {"units": "m"}),
        ("orography", 1.0, {}),
        ("z", GRAVITY, {"units": "m**2 s**-2", "standard_name": "geopotential"}),
        ("PHIS", GRAVITY, {"units": "m2/s2"}),
        ("model_ground", 1.0, {"units": "m", "standard_name": "surface_altitude"}),
        ("zsfc", 0.1, {"units": "dam"}),
    ],
)
def test_names_and_units(tmp_path, name, factor, attributes):
    np.testing.assert_allclose(found(tmp_path, name, factor, **attributes), HEIGHT, rtol=1e-9)


def test_with_a_time_axis(tmp_path):
    height = found(tmp_path, "orog", dims=("time", "latitude", "longitude"), units="m")
    np.testing.assert_allclose(height, HEIGHT, rtol=1e-9)


def test_what_is_no_surface(tmp_path):
    assert found(tmp_path, "ground", units="m") is None
    assert found(tmp_path, "orog", 100.0, units="m") is None  # higher than any mountain
    assert height_of(read_background([save(dataset(["t", "z"]), tmp_path / "z.nc")])) is None


@pytest.mark.parametrize(("name", "factor"), [("orog", 1.0), ("z", GRAVITY)])
def test_grib(tmp_path, name, factor):
    on_ground = {"typeOfLevel": "surface", "level": 0}
    handles = [message("t", 50000.0), message(name, values=(HEIGHT * factor)[::-1], keys=on_ground)]
    height = height_of(read_background([write_grib(handles, tmp_path / "bg.grib2")]))
    assert height is not None
    np.testing.assert_allclose(height.numpy(), HEIGHT, atol=1e-3)


def test_the_ground_of_another_grib_file(tmp_path):
    background = read_background([save(dataset(["t"]), tmp_path / "bg.nc")])
    on_ground = {"typeOfLevel": "surface", "level": 0}
    own = write_grib([message("orog", values=HEIGHT[::-1], keys=on_ground)], tmp_path / "orog.grib2")
    height = read_ground(background, own, None).height
    assert height is not None
    np.testing.assert_allclose(height.numpy(), HEIGHT, atol=1e-3)


def test_the_ground_of_another_file_comes_to_the_background_s_grid(tmp_path):
    """A file with twice the points: at those that both have it is the same to the last digit."""
    background = read_background([save(dataset(["t"]), tmp_path / "bg.nc")])
    fine = xr.Dataset(
        {
            "orography": (("lat", "lon"), 100.0 + np.zeros((37, 72)), {"units": "m"}),
            "lsm": (("lat", "lon"), np.tile(np.arange(72) / 100.0, (37, 1))),
        },
        {
            "lat": ("lat", np.linspace(-90, 90, 37), {"units": "degrees_north"}),
            "lon": ("lon", np.arange(72) * 5.0, {"units": "degrees_east"}),
        },
    )
    path = save(fine, tmp_path / "constants.nc")
    ground = read_ground(background, path, path)
    shape = background.state.grid.shape
    torch.testing.assert_close(ground.height, torch.full(shape, 100.0, dtype=torch.float64))
    _, longitude = background.state.grid.coordinates
    inside = longitude < 350.0
    np.testing.assert_allclose(ground.land.numpy().ravel()[inside], longitude[inside] / 500.0, atol=1e-12)


def test_a_file_without_a_mask_is_refused_and_a_missing_one_is_said(tmp_path, caplog):
    background = read_background([save(dataset(["t"]), tmp_path / "bg.nc")])
    with pytest.raises(BadDataError, match=r"bg.nc: holds no land-sea mask"):
        read_ground(background, None, tmp_path / "bg.nc")
    caplog.set_level("INFO")
    assert read_ground(background, None, None) == Ground()
    assert "--land-sea" in caplog.text
    assert "--orography" in caplog.text


@pytest.mark.parametrize(("scale", "taken"), [(1.0, True), (100.0, True), (30.0, False), (-1.0, False)])
def test_land_is_a_part_or_a_percentage(tmp_path, scale, taken):
    data = dataset(["t"])
    part = np.abs(np.cos(np.radians(latitudes())))[:, None] + 0.0 * longitudes()[None, :]
    data["land_sea_mask"] = (("latitude", "longitude"), scale * part / part.max())
    land = ground_of(read_background([save(data, tmp_path / "bg.nc")])).land
    assert (land is not None) == taken
    assert land is None or land.max() == 1.0
