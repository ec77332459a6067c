"""The background's own surface in files as they come."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.constants import GRAVITY
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.gridded.layout import orography
from tests.support.fields import dataset, latitudes, longitudes, message, save, write_grib

HEIGHT = 1000.0 * np.cos(np.radians(latitudes()))[:, None] + np.radians(longitudes())[None, :]


def found(tmp_path, name, factor=1.0, *, dims=("latitude", "longitude"), **attributes):
    data = dataset(["t"])
    values = HEIGHT * factor
    data[name] = (dims, values[None] if dims[0] == "time" else values, attributes)
    height = orography(read_background([save(data.isel(latitude=slice(None, None, -1)), tmp_path / "bg.nc")]))
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
    assert orography(read_background([save(dataset(["t", "z"]), tmp_path / "z.nc")])) is None


@pytest.mark.parametrize(("name", "factor"), [("orog", 1.0), ("z", GRAVITY)])
def test_grib(tmp_path, name, factor):
    on_ground = {"typeOfLevel": "surface", "level": 0}
    handles = [message("t", 50000.0), message(name, values=(HEIGHT * factor)[::-1], keys=on_ground)]
    height = orography(read_background([write_grib(handles, tmp_path / "bg.grib2")]))
    assert height is not None
    np.testing.assert_allclose(height.numpy(), HEIGHT, atol=1e-3)
