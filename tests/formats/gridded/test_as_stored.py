"""A state in the precision of its file: the numbers are the file's, the memory too, and results are those of double."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from phyda_cli.fields.state import Channel
from phyda_cli.formats.gridded.analysis import write_analysis, write_increment
from phyda_cli.formats.gridded.background import background_of
from phyda_cli.formats.gridded.layout import restore

LATITUDES = np.linspace(90.0, -90.0, 7)


def dataset(**changes) -> xr.Dataset:
    rng = np.random.default_rng(0)
    heights = np.array([54.6e3, 14.3e3])[:, None, None]
    size = {
        "t": (260.0, 5.0, "K"), "q": (4e-3, 5e-4, "kg kg-1"), "u": (5.0, 8.0, "m s-1"), "z": (heights, 100.0, "m2 s-2"),
    }  # fmt: skip
    dims = ("level", "latitude", "longitude")
    fields = {
        name: (dims, rng.normal(mean, width, (2, 7, 12)).astype(np.float32), {"units": units})
        for name, (mean, width, units) in size.items()
    }
    axes = {
        "level": ("level", [500.0, 850.0], {"units": "hPa"}),
        "latitude": ("latitude", LATITUDES, {"units": "degrees_north"}),
        "longitude": ("longitude", np.arange(12) * 30.0, {"units": "degrees_east"}),
        "time": np.datetime64("2020-01-01", "ns"),
    }
    return xr.Dataset({**fields, **changes}, axes)


def test_the_state_is_single_and_the_file_s_fields_are_views_of_it():
    source = dataset()
    background = background_of(source, as_stored=True)
    assert background.state.values.dtype == torch.float32
    for name in "tuz":
        assert np.shares_memory(background.dataset[name].values, background.state.values.numpy())
        np.testing.assert_array_equal(background.dataset[name].values, source[name].values)
    double = background_of(source)
    assert torch.equal(background.state.values.double(), double.state.values)
    assert restore(background, background.state).identical(background.dataset)


def test_what_is_changed_on_the_way_in_stays_in_the_file():
    source = dataset()
    source["q"][0, 2, 3] = -1e-6
    background = background_of(source, as_stored=True)
    assert float(background.state.values[background.state.index(Channel("q", 5e4)), 4, 3]) == 0.0
    assert float(background.dataset["q"][0, 2, 3]) == np.float32(-1e-6)


@pytest.mark.parametrize("odd", ["double", "west"])
def test_other_fields_are_copies(odd):
    """A double-precision field makes the state double; a file from −180° cannot be a view of one from 0°."""
    source = dataset()
    if odd == "double":
        source["t"] = source["t"].astype(np.float64)
    else:
        source = source.assign_coords(longitude=("longitude", np.arange(12) * 30.0 - 180.0, {"units": "degrees_east"}))
    background = background_of(source, as_stored=True)
    assert background.state.values.dtype == (torch.float64 if odd == "double" else torch.float32)
    np.testing.assert_array_equal(background.dataset["u"].values, source["u"].values)
    assert not np.shares_memory(background.dataset["u"].values, background.state.values.numpy())


@pytest.mark.parametrize("write", [write_analysis, write_increment])
def test_outputs_are_those_of_double_precision(tmp_path, write):
    """To the rounding of the stored numbers; of an increment, to that of the fields that it is the difference of."""
    found = []
    for as_stored in (True, False):
        background = background_of(dataset(), as_stored=as_stored)
        values = background.state.values
        moved = replace(background.state, values=values + (0.01 * values.double()).to(values.dtype))
        write(tmp_path / "out.nc", background, moved, attributes={}, overwrite=True)
        with xr.open_dataset(tmp_path / "out.nc") as file:
            found.append(file.load())
    for name in "tquz":
        size = float(np.abs(dataset()[name]).max())
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=0.0, atol=3e-7 * size)
