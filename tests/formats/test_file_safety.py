"""HDF5 files that lead to other files or round in circles, and dimensions that no file can fill."""

from __future__ import annotations

import json
import os
import resource
import time

import h5py
import numpy as np
import pytest

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel
from phyda_cli.formats.file_safety import ALLOW
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.reports.observations import read_observations
from tests.support.fields import COLUMNS, ROWS, dataset, save, wave


def external_link(file, folder):
    file["w"] = h5py.ExternalLink("other.nc", "/t")


def external_storage(file, folder):
    (folder / "secret").write_bytes(bytes(ROWS * COLUMNS))
    file.create_dataset("w", (ROWS, COLUMNS), "u1", external=[("secret", 0, ROWS * COLUMNS)])


def virtual(file, folder):
    layout = h5py.VirtualLayout((ROWS, COLUMNS), "f8")
    layout[:] = h5py.VirtualSource("other.nc", "t", (1, 2, ROWS, COLUMNS))[0, 0]
    file.create_virtual_dataset("w", layout)


def circle(file, folder):
    deep = file.create_group("a/b")
    deep["c"], deep["d"], deep["e"] = file["/"], file["a"], deep


def soft_circle(file, folder):
    file.create_group("a")["b"] = h5py.SoftLink("/a")


@pytest.fixture
def spoiled(tmp_path):
    def make(spoil):
        save(dataset(["t"]), tmp_path / "other.nc")
        path = save(dataset(["t"]), tmp_path / "bg.nc")
        with h5py.File(path, "a") as file:
            spoil(file, tmp_path)
        return path

    return make


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (external_link, f"'/w' is a link to another file, 'other.nc'; if you trust the file, set {ALLOW}=1"),
        (external_storage, f"'/w' has its values in another file, 'secret'; if you trust the file, set {ALLOW}=1"),
        (virtual, f"'/w' is a virtual dataset, whose values are in other files; if you trust the file, set {ALLOW}=1"),
        (circle, "is a group that is there already: groups contain each other"),
        (soft_circle, "'/a/b' is a link to a group"),
    ],
)
@pytest.mark.parametrize("reader", [lambda path: read_background([path]), read_observations])
def test_files_that_lead_elsewhere_or_in_circles_are_refused_at_once(spoiled, spoil, says, reader):
    path = spoiled(spoil)
    began, held = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadDataError, match=says):
        reader(path)
    assert time.monotonic() - began < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < 1_000_000  # KiB


def test_an_external_link_is_read_when_the_user_trusts_it(spoiled, tmp_path, monkeypatch):
    path = spoiled(lambda file, folder: None)
    with h5py.File(path, "a") as file:
        del file["t"]
        file["t"] = h5py.ExternalLink(str(tmp_path / "other.nc"), "/t")
    with pytest.raises(BadDataError, match=ALLOW):
        read_background([path])
    monkeypatch.setenv(ALLOW, "1")
    state = read_background([path]).state
    np.testing.assert_allclose(state.values[state.index(Channel("t", 85000.0))], wave("t", 85000.0))


def test_virtual_values_are_read_when_the_user_trusts_them(spoiled, monkeypatch):
    path = spoiled(virtual)
    monkeypatch.setenv(ALLOW, "1")
    state = read_background([path]).state
    np.testing.assert_allclose(state.values[state.index(Channel("t", 85000.0))], wave("t", 85000.0))


def test_a_dimension_beyond_all_bounds_names_itself(tmp_path):
    path = save(dataset(["t"]), tmp_path / "bg.nc")
    with h5py.File(path, "a") as file:
        file.create_dataset("huge", (1_000_000_000,), "f4", chunks=(1000,), compression="gzip")
        file["huge"].make_scale("huge")
    with pytest.raises(BadDataError, match=r"its dimension 'huge' has 1000000000 entries.*ncks -x -v NAME"):
        read_background([path])


def test_fields_larger_than_the_memory_name_the_largest(tmp_path, monkeypatch):
    """19 × 36 values on two levels do not fit into a machine of one kilobyte."""
    path = save(dataset(["t"]), tmp_path / "bg.nc")
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PHYS_PAGES": 1, "SC_PAGE_SIZE": 1000}[name])
    with pytest.raises(BadDataError, match=r"this machine has 0 GB; the largest is 't' \(.*\).*ncks -x -v t"):
        read_background([path])


def test_a_field_that_the_file_cannot_hold_is_named(tmp_path):
    path = save(dataset(["t"]), tmp_path / "bg.nc")
    with h5py.File(path, "a") as file:
        for name, size in (("many", 90_000_000), ("more", 90_000)):
            file.create_dataset(name, (size,), "i1", chunks=(1000,), compression="gzip").make_scale(name)
        field = file.create_dataset("soil", (90_000_000, 90_000), "f4", chunks=(100, 100), compression="gzip")
        field.dims[0].attach_scale(file["many"])
        field.dims[1].attach_scale(file["more"])
    with pytest.raises(BadDataError, match=r"its variable 'soil' declares 3.24e\+04 GB \(axis 'many': 90000000\)"):
        read_background([path])


@pytest.mark.parametrize(("rows", "columns"), [(2, 36), (4, 36), (19, 5)])
def test_a_grid_of_hardly_any_points_is_refused(tmp_path, rows, columns):
    edge = 90.0 - 90.0 / rows
    data = dataset(["t"]).interp(latitude=np.linspace(-edge, edge, rows), longitude=np.arange(columns) * 330 / columns)
    data = data.assign_coords(longitude=np.arange(columns) * 360 / columns)
    for name, unit in (("latitude", "degrees_north"), ("longitude", "degrees_east")):
        data[name].attrs["units"] = unit
    with pytest.raises(BadDataError, match=f"a grid of {rows} × {columns} points is too coarse"):
        read_background([save(data, tmp_path / "bg.nc")])


@pytest.mark.parametrize("name", ["t", "time", "latitude", "u"])
@pytest.mark.parametrize("codec", ["vlen-bytes", "vlen-utf8", "pickle", "json2", None])
def test_a_store_of_objects_is_bad_data(tmp_path, name, codec):
    pytest.importorskip("zarr")
    store = tmp_path / "bg.zarr"
    dataset(["t", "u"]).to_zarr(store, zarr_format=2, consolidated=False)
    about = store / name / ".zarray"
    text = json.loads(about.read_text())
    text |= {"dtype": "|O", "filters": None if codec is None else [{"id": codec}], "fill_value": 0}
    about.write_text(json.dumps(text))
    with pytest.raises(BadDataError, match="fetch"):
        read_background([store])
