from __future__ import annotations

import gzip

import pytest

from phyda_cli.errors import BadDataError, InputMissingError
from phyda_cli.formats.sniff import FileFormat, sniff
from tests.support.fields import dataset, message, save, write_grib


def test_magic_bytes_decide_whatever_the_suffix(tmp_path):
    assert sniff(write_grib([message("t", 50000.0)], tmp_path / "gfs.t00z.nc")) is FileFormat.GRIB
    assert sniff(save(dataset(["t"]), tmp_path / "a.grib")) is FileFormat.HDF5
    assert sniff(save(dataset(["t"]), tmp_path / "b.h5", format="NETCDF3_64BIT")) is FileFormat.NETCDF_CLASSIC


def test_a_bulletin_header_may_stand_before_grib(tmp_path):
    plain = write_grib([message("t", 50000.0)], tmp_path / "plain")
    path = tmp_path / "bulletin"
    path.write_bytes(b"\x01\r\r\n001\r\r\nHTXC85 KWBC 011200\r\r\n" + plain.read_bytes())
    assert sniff(path) is FileFormat.GRIB


def test_missing_file(tmp_path):
    with pytest.raises(InputMissingError, match=r"nothing\.nc: no such file"):
        sniff(tmp_path / "nothing.nc")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty \\(0 bytes\\)"),
        (b"CDF\x01", "cut off within its header \\(4 bytes\\)"),
        (b"\x89HDF\r\n\x1a\n", "cut off within its header \\(8 bytes\\)"),
        (b"station,lat,lon\nGRIB is a word here\n", "neither GRIB nor NetCDF"),
        (gzip.compress(b"x" * 100, mtime=0), "gunzip"),
        (b"BUFR" + bytes(60), "observations"),
    ],
)
def test_what_is_no_background_is_refused_with_its_size(tmp_path, content, says):
    path = tmp_path / "input.grib"
    path.write_bytes(content)
    with pytest.raises(BadDataError, match=says) as caught:
        sniff(path)
    assert str(path) in str(caught.value)


def test_a_directory_is_refused_unless_it_is_a_store(tmp_path):
    with pytest.raises(BadDataError, match="directory"):
        sniff(tmp_path)
    (tmp_path / ".zgroup").write_text("{}")
    assert sniff(tmp_path) is FileFormat.ZARR
