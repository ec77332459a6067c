"""Observations in Parquet read as the same table in CSV does, whatever the types of its columns."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from phyda_cli.errors import BadDataError, ConfigError, InputMissingError
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.formats.reports.stations import Place
from phyda_cli.observations.table import Flag, Observations

NOON = dt.datetime(2011, 1, 15, 12)
BERLIN = dt.timezone(dt.timedelta(hours=1))


def columns(**other) -> dict:
    base = {
        "time": [NOON, NOON],
        "lat": [52.5, -10.0],
        "lon": [-13.4, 350.0],
        "variable": ["t", "u"],
        "value": [250.5, 7.0],
        "pressure": [50_000.0, 30_000.0],
        "station": ["10393", "61901"],
    }
    return {name: cells for name, cells in (base | other).items() if cells is not None}


def read(folder: Path, **other) -> Observations:
    """Written with a suffix that says something else, and told by its first bytes."""
    path = folder / "obs.csv"
    pq.write_table(pa.table(columns(**other)), path)
    return read_observations(path)


def test_a_long_table(tmp_path):
    result = read(tmp_path, error=[0.7, None])
    assert result.variable.tolist() == ["t", "u"]
    assert result.latitude.tolist() == [52.5, -10.0]
    np.testing.assert_allclose(result.longitude, [346.6, 350.0])
    assert result.pressure.tolist() == [50_000.0, 30_000.0]
    assert result.value.tolist() == [250.5, 7.0]
    np.testing.assert_array_equal(result.error, [0.7, np.nan])
    assert result.time.tolist() == [np.datetime64("2011-01-15T12", "ns").item()] * 2
    assert result.station.tolist() == ["10393", "61901"]
    assert result.row.tolist() == [1, 2]
    assert result.used.all()
    assert result.sources == (str(tmp_path / "obs.csv"),)


def test_it_is_the_csv_of_the_same_table(tmp_path):
    text = "time,lat,lon,p,t [degC],td_degc,dd,ff\n"
    text += "2011-01-15T12,50,10,850,-3.5,-8.25,270,10\n2011-01-15T12,51,10,850,,,90,4\n"
    (tmp_path / "a.csv").write_text(text)
    table = pa.table(
        {
            "time": [NOON, NOON],
            "lat": pa.array([50, 51], pa.int32()),
            "lon": pa.array([10.0, 10.0], pa.float32()),
            "p": pa.array([850, 850], pa.uint16()),
            "t [degC]": [-3.5, None],
            "td_degc": pa.array([-8.25, np.nan], pa.float32()),
            "dd": [270, 90],
            "ff": [10.0, 4.0],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    one, two = read_observations(tmp_path / "a.csv"), read_observations(tmp_path / "a.parquet")
    assert len(one) == len(two) == 6
    for name in ("variable", "latitude", "longitude", "pressure", "value", "error", "time", "row", "flag", "reason"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    # 10 m/s from the west blow to the east, 4 m/s from the east to the west
    assert two.value[two.variable == "u"].round(12).tolist() == [10.0, -4.0]


@pytest.mark.parametrize(
    "time",
    [
        pa.array([NOON, NOON], pa.timestamp("s")),
        pa.array([NOON, NOON], pa.timestamp("ns")),
        pa.array([NOON.replace(hour=13, tzinfo=BERLIN)] * 2, pa.timestamp("us", tz="Europe/Berlin")),
        pa.array(["2011-01-15T12:00Z", "2011-01-15T13:00+01:00"]),
        pa.array(["2011-01-15T12:00Z"] * 2).dictionary_encode(),
    ],
    ids=["s", "ns", "zone", "text", "dictionary"],
)
def test_times_are_utc(tmp_path, time):
    result = read(tmp_path, time=time)
    assert result.time.astype("datetime64[s]").tolist() == [NOON, NOON]
    assert result.used.all()


@pytest.mark.parametrize(
    ("date", "clock"),
    [
        (pa.array([20110115, 20110115]), pa.array([120000, 120000])),
        (pa.array([20110115.0, 20110115.0]), pa.array([120000.0, 120000.0])),
        (pa.array([dt.date(2011, 1, 15)] * 2), pa.array([dt.time(12)] * 2)),
    ],
    ids=["whole", "float", "typed"],
)
def test_date_and_clock(tmp_path, date, clock):
    assert read(tmp_path, date=date, time=clock).time.astype("datetime64[s]").tolist() == [NOON, NOON]


def test_narrow_numbers_are_read_as_they_were_written(tmp_path):
    result = read(tmp_path, lat=pa.array([1.48, -10.1], pa.float32()))
    assert result.latitude.tolist() == [1.48, -10.1]


def test_station_numbers_that_became_floats(tmp_path):
    assert read(tmp_path, station=[10393.0, None]).station.tolist() == ["10393", ""]


def test_nulls_and_nan_are_missing_cells(tmp_path):
    result = read(tmp_path, value=[None, np.nan], variable=pa.array(["t", "u"]).dictionary_encode())
    assert result.flag.tolist() == [Flag.MISSING, Flag.MISSING]
    assert result.reason.tolist() == ["value is missing", "value is missing"]


def test_rows_keep_their_reasons(tmp_path):
    result = read(tmp_path, variable=["snow", "u"], lat=[10.0, 91.0])
    assert result.reason.tolist() == ["unknown variable snow", "latitude 91 is not within -90..90"]


def test_columns_of_lists_are_not_looked_at(tmp_path):
    assert read(tmp_path, extra=[[1, 2], [3]]).used.all()


def test_no_rows_are_no_observations(tmp_path):
    pq.write_table(pa.table(columns()).slice(0, 0), tmp_path / "a")
    assert len(read_observations(tmp_path / "a")) == 0


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"lat": None}, "no latitude column"),
        ({"latitude": [1.0, 2.0]}, "both give the latitude"),
        ({"LAT": [1.0, 2.0]}, "more than once"),
        ({"station": [b"\xff", b"\xfe"]}, "column 'station' of type binary cannot be read as text"),
    ],
)
def test_a_table_that_is_none(tmp_path, other, says):
    with pytest.raises(BadDataError, match=says):
        read(tmp_path, **other)


@pytest.mark.parametrize("part", [4, 50, -1, -8])
def test_a_file_that_is_cut_off(tmp_path, part):
    pq.write_table(pa.table(columns()), tmp_path / "a")
    (tmp_path / "b").write_bytes((tmp_path / "a").read_bytes()[:part])
    with pytest.raises(BadDataError, match=r"b: the Parquet file is damaged or cut off .*fetch it again") as error:
        read_observations(tmp_path / "b")
    assert "\n" not in str(error.value)


def test_a_damaged_page(tmp_path):
    plain = {"compression": "NONE", "use_dictionary": False, "write_statistics": False}
    pq.write_table(pa.table(columns()), tmp_path / "a", write_page_checksum=True, **plain)
    data = (tmp_path / "a").read_bytes()
    at = data.index(np.float64(250.5).tobytes())
    (tmp_path / "a").write_bytes(data[: at + 6] + b"\x7f" + data[at + 7 :])
    with pytest.raises(BadDataError, match="damaged"):
        read_observations(tmp_path / "a")


def test_no_file(tmp_path):
    with pytest.raises(InputMissingError):
        read_observations(tmp_path / "none")


def test_without_the_library(tmp_path, monkeypatch):
    pq.write_table(pa.table(columns()), tmp_path / "a")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match=r"pip install 'phyda\[parquet\]'"):
        read_observations(tmp_path / "a")


def test_a_column_name_that_is_no_text(tmp_path):
    pq.write_table(pa.table(columns()), tmp_path / "a", store_schema=False)
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes().replace(b"station", b"st\xfftion"))
    with pytest.raises(BadDataError, match="damaged or cut off"):
        read_observations(tmp_path / "a")


def test_units_and_stations_are_for_these_tables_too(tmp_path, caplog):
    path = tmp_path / "obs.parquet"
    levels = [[1.0], [2.0]]
    pq.write_table(pa.table(columns(value=[-20.0, 7.0], lat=None, lon=None, variable=["t", "t"], levels=levels)), path)
    places = {"10393": Place("52.5", "14", "100"), "61901": Place("-10", "350", "5")}
    result = read_observations(path, stations=places, units={"t": "degC"})
    np.testing.assert_allclose(result.value, [253.15, 280.15])
    assert result.latitude.tolist() == [52.5, -10.0]
    assert "columns of lists or structures, which are not read: levels" in caplog.text
