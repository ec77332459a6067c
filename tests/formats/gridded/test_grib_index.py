"""The index of a GRIB file: headers are read once, whatever is asked, and again when the file has changed."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.errors import BadDataError
from phyda_cli.formats.gridded import grib_index
from phyda_cli.formats.gridded.background import read_background
from tests.support.fields import message, wave, write_grib

DAYS = (20200301, 20200302, 20200303)


@pytest.fixture
def read(monkeypatch):
    """The places of all fields whose header was read, in the order of reading."""
    seen = []

    def header_of(field, path, index):
        seen.append(index)
        return original(field, path, index)

    original = grib_index.header_of
    monkeypatch.setattr(grib_index, "header_of", header_of)
    return seen


def dated(path):
    """Two levels of t on each of three days: the wave plus the number of the day."""
    handles = [
        message("t", level, values=wave("t", level)[::-1] + number, keys={"dataDate": day})
        for number, day in enumerate(DAYS)
        for level in (85000.0, 50000.0)
    ]
    return write_grib(handles, path)


def test_every_date_of_a_file_costs_its_own_fields_alone(tmp_path, read):
    path = dated(tmp_path / "a.grib")
    for number, day in enumerate(DAYS):
        time = np.datetime64(f"{str(day)[:4]}-{str(day)[4:6]}-{str(day)[6:]}T12:00", "ns")
        state = read_background([path], time=time, select={"dataDate": str(day)}).state
        expected = wave("t", 50000.0) + number
        np.testing.assert_allclose(state.values[[c.level for c in state.channels].index(50000.0)], expected, atol=1e-2)
    assert read == [0, 1, 2, 3, 4, 5]


def test_a_changed_file_is_read_again(tmp_path, read):
    path = dated(tmp_path / "a.grib")
    assert len(list(grib_index.grib_headers(path, {}))) == 6
    write_grib([message("t", 50000.0)], path)
    assert len(list(grib_index.grib_headers(path, {}))) == 1
    assert read == [0, 1, 2, 3, 4, 5, 0]


def test_keys_that_headers_do_not_hold_choose_too(tmp_path):
    path = dated(tmp_path / "a.grib")
    of_march_2 = grib_index.grib_headers(path, {"day": "2"})
    assert [header.keys["dataDate"] for header in of_march_2] == [DAYS[1]] * 2
    assert list(grib_index.grib_headers(path, {"dataDate": "20200302", "level": "123"})) == []
    assert list(grib_index.grib_headers(path, {"nonsense": "1"})) == []


def test_headers_share_what_is_the_same(tmp_path):
    first, _, other_day = (header.keys for header in list(grib_index.grib_headers(dated(tmp_path / "a.grib"), {}))[:3])
    assert first.maps[1] is other_day.maps[1]
    assert (first["dataDate"], other_day["dataDate"]) == DAYS[:2]


def test_a_damaged_header_harms_those_alone_who_choose_it(tmp_path, monkeypatch):
    original = grib_index.header_of

    def header_of(field, path, index):
        if index == 1:
            raise BadDataError(f"{path}: message 2 has no valid date")
        return original(field, path, index)

    monkeypatch.setattr(grib_index, "header_of", header_of)
    path = write_grib([message("t", 50000.0), message("t", 85000.0)], tmp_path / "a.grib")
    assert [header.pressure for header in grib_index.grib_headers(path, {"level": "500"})] == [50000.0]
    with pytest.raises(BadDataError, match="message 2 has no valid date"):
        list(grib_index.grib_headers(path, {}))
