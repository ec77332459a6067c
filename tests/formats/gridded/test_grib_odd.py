"""GRIB of unusual headers: pressures with digits, two experiment versions, grids without points."""

from __future__ import annotations

import contextlib

import eccodes
import pytest

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel
from phyda_cli.formats.gridded.analysis import write_analysis
from phyda_cli.formats.gridded.background import read_background
from tests.support.fields import message, write_grib


@pytest.mark.parametrize(
    ("scale", "value", "pascal"),
    [(0, 50, 50.0), (0, 150, 150.0), (1, 1505, 150.5), (2, 25, 0.25), (-2, 5, 500.0), (0, 50_000, 50_000.0),
     (0, 92_550, 92_550.0), (-3, 85, 85_000.0)],
)  # fmt: skip
def test_pressures_keep_their_digits(tmp_path, scale, value, pascal):
    keys = {
        "typeOfFirstFixedSurface": 100,
        "scaleFactorOfFirstFixedSurface": scale,
        "scaledValueOfFirstFixedSurface": value,
    }
    background = read_background([write_grib([message("t", keys=keys)], tmp_path / "bg.grib2")])
    assert background.state.channels == (Channel("t", pascal),)
    write_analysis(tmp_path / "a.nc", background, background.state, attributes={})
    assert read_background([tmp_path / "a.nc"]).state.channels == (Channel("t", pascal),)


def test_levels_that_differ_by_half_a_hectopascal_are_two(tmp_path):
    about = {"typeOfFirstFixedSurface": 100, "scaleFactorOfFirstFixedSurface": 0}
    handles = [message("t", keys={**about, "scaledValueOfFirstFixedSurface": p}) for p in (100, 150, 200)]
    assert read_background([write_grib(handles, tmp_path / "bg.grib2")]).state.levels("t") == (200.0, 150.0, 100.0)


@pytest.mark.parametrize("choice", ["0001", "1", "0005", "5"])
def test_two_experiment_versions_are_offered_and_chosen(tmp_path, choice):
    handles = [message("t", 50000.0, edition=1, keys={"expver": expver}) for expver in ("0001", "0005")]
    values = eccodes.codes_get_values(handles[1])
    eccodes.codes_set_values(handles[1], values + 1.0)
    path = write_grib(handles, tmp_path / "era5t.grib")
    with pytest.raises(BadDataError, match="with expver 0001 and 0005; choose one with --select expver=0001"):
        read_background([path])
    mean = float(read_background([path], select={"expver": choice}).state.values.mean())
    assert mean == pytest.approx(values.mean() + int(choice) // 5, abs=1e-3)


def _with_size(edition, columns, rows, points):
    """The bytes of a message whose grid description says other numbers of points."""
    handle = message("t", 50000.0, edition=edition)
    data = bytearray(eccodes.codes_get_message(handle))
    eccodes.codes_release(handle)
    if edition == 1:
        at = 8 + int.from_bytes(data[8:11], "big")
        data[at + 6 : at + 8], data[at + 8 : at + 10] = columns.to_bytes(2, "big"), rows.to_bytes(2, "big")
        return bytes(data)
    at = 16
    while data[at + 4] != 3:
        at += int.from_bytes(data[at : at + 4], "big")
    data[at + 30 : at + 34], data[at + 34 : at + 38] = columns.to_bytes(4, "big"), rows.to_bytes(4, "big")
    if points is not None:
        data[at + 6 : at + 10] = points.to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize("points", [None, 0])
@pytest.mark.parametrize("size", [(0, 0), (0, 7), (12, 0), (12, 1), (65535, 7), (12, 65535), (65535, 65535)])
@pytest.mark.parametrize("edition", [1, 2])
def test_grids_without_points_are_damage(tmp_path, edition, size, points):
    path = tmp_path / "bg.grib"
    path.write_bytes(_with_size(edition, *size, points))
    with pytest.raises(BadDataError, match=r"message 1|field 1"):
        read_background([path])


@pytest.mark.parametrize("byte", range(0, 64, 3))
def test_any_damage_to_a_grid_description_is_bad_data_or_harmless(tmp_path, byte):
    data = bytearray(_with_size(2, 12, 7, None))
    data[37 + byte] ^= 0xFF
    path = tmp_path / "bg.grib"
    path.write_bytes(data)
    with contextlib.suppress(BadDataError):
        assert read_background([path]).state.channels[0].variable == "t"
