"""The registry of observation formats: a new format is a row, whatever it claims; content decides, never the suffix."""

import io

import netCDF4
import numpy as np
import pytest

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.build import Reports
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.formats.reports.registry import FORMATS, ReportFormat, find_format
from phyda_cli.observations.table import Flag, Observations

SPEED, DIRECTION = 10.0, 270.0


def read_dummy(source, label, given):
    """A west wind of 10 m/s as speed and direction at one place, and a temperature that cannot be."""
    table = Observations.build(
        label,
        variable=np.array(["wind_speed", "wind_direction", "t"], dtype=object),
        latitude=np.full(3, 50.0),
        longitude=np.full(3, -10.0),
        pressure=np.full(3, 50_000.0),
        value=np.array([SPEED, DIRECTION, 1000.0]),
        time=np.full(3, given.reference_time, "datetime64[s]"),
    )
    return Reports(table, np.zeros(3, dtype=np.int64))


def open_file(path, name):
    with netCDF4.Dataset(path, "w") as dataset:
        dataset.createDimension(name, 1)
    return path


@pytest.mark.parametrize("of", ["bytes", "netcdf", "text"])
def test_a_new_format_is_one_row_and_ends_as_all_do(tmp_path, of):
    claims = {
        "bytes": lambda head: head.startswith(b"DUMMY"),
        "netcdf": lambda dataset: "dummy" in dataset.dimensions,
        "text": lambda text: text.startswith("dummy"),
    }[of]
    path = tmp_path / "misleading.csv"
    if of == "netcdf":
        open_file(path, "dummy")
    else:
        path.write_text("DUMMY" if of == "bytes" else "\n dummy\n".replace(" ", ""))
    formats = (*FORMATS, ReportFormat("dummy", of, claims, read_dummy))
    o = read_observations(path, reference_time=np.datetime64("2020-01-01T00"), formats=formats)
    assert o.variable.tolist() == ["u", "v", "t"]
    np.testing.assert_allclose(o.value[:2], [SPEED, 0.0], atol=1e-12)
    assert o.longitude.tolist() == [350.0] * 3
    assert o.flag.tolist() == [Flag.PASS, Flag.PASS, Flag.BOUNDS]
    assert o.row.tolist() == [1, 2, 3]
    assert o.sources == (str(path),)
    with pytest.raises(BadDataError):
        read_observations(path)


def test_a_file_that_nobody_claims_says_what_was_looked_for(tmp_path):
    path = open_file(tmp_path / "other.nc", "dummy")
    formats = (*FORMATS, ReportFormat("Dummy", "netcdf", lambda dataset: False, read_dummy, "dimension dumb"))
    with pytest.raises(BadDataError) as caught:
        read_observations(path, formats=formats)
    message = str(caught.value)
    assert message.startswith(f"{path}: is NetCDF or HDF5")
    for words in ("groups MetaData and ObsValue (IODA)", "(MADIS)", "dimension dumb (Dummy)", "there are: none"):
        assert words in message
    assert "\n" not in message


def test_every_format_with_open_files_says_how_it_is_known():
    assert all(known.evidence for known in FORMATS if known.of == "netcdf")
    assert len({known.name for known in FORMATS}) == len(FORMATS)


def test_the_first_row_that_claims_a_text_reads_it():
    text = "station,lat,lon,time,t\n"
    assert find_format("text", text) is None
    assert find_format("bytes", b"\xff\xffODA") is next(known for known in FORMATS if known.name == "ODB-2")
    assert len(read_observations(io.StringIO(text))) == 0
