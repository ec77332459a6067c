"""ODB-2 files: columns with and without their tables, marks, vertical places, and every fault in one line."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyodc
import pytest

from phyda_cli.errors import BadDataError, ConfigError, InputMissingError
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.observations.table import Flag, Observations, Use

TABLES = {"varno": "body", "obsvalue": "body", "vertco_type": "body", "vertco_reference_1": "body",
          "datum_status": "body", "obs_error": "errstat", "final_obs_error": "errstat"}  # fmt: skip


def frame(*, tables: bool = True, **other) -> pd.DataFrame:
    """Four values of a sonde at 500 hPa: t, u, v, q; `other` columns replace or join them, None takes one away."""
    base = {
        "varno": [2, 3, 4, 7],
        "obsvalue": [250.5, 7.0, -3.0, 0.001],
        "lat": [52.5] * 4,
        "lon": [-13.4] * 4,
        "date": [20110115] * 4,
        "time": [93005] * 4,
        "vertco_type": [1] * 4,
        "vertco_reference_1": [50_000.0] * 4,
        "statid": ["   10393"] * 4,
        "obstype": [5] * 4,
    }
    columns = {name: cells for name, cells in (base | other).items() if cells is not None}

    def named(name: str) -> str:
        return f"{name}@{TABLES.get(name.partition('.')[0], 'hdr')}" if tables and "@" not in name else name

    return pd.DataFrame({named(name): cells for name, cells in columns.items()})


def read(folder: Path, table: pd.DataFrame | None = None, **other) -> Observations:
    path = folder / "obs.txt"
    pyodc.encode_odb(frame(**other) if table is None else table, str(path))
    return read_observations(path)


@pytest.mark.parametrize("tables", [True, False])
def test_rows_in_si(tmp_path, tables):
    result = read(
        tmp_path, tables=tables, obs_error=[0.7, np.nan, 2.0, np.nan], final_obs_error=[9.0, 2.5, 9.0, np.nan]
    )
    assert result.variable.tolist() == ["t", "u", "v", "q"]
    assert result.value.tolist() == [250.5, 7.0, -3.0, 0.001]
    np.testing.assert_array_equal(result.error, [0.7, 2.5, 2.0, np.nan])
    np.testing.assert_allclose(result.longitude, 346.6)
    assert set(result.latitude) == {52.5}
    assert set(result.pressure) == {50_000.0}
    assert set(result.time) == {np.datetime64("2011-01-15T09:30:05", "ns")}
    assert set(result.station) == {"10393"}
    assert set(result.report) == {"sonde"}
    assert result.row.tolist() == [1, 2, 3, 4]
    assert result.used.all()
    assert set(result.use) == {Use.ASSIMILATE}


def test_a_file_of_several_frames_with_other_columns(tmp_path):
    path = tmp_path / "a"
    with path.open("wb") as stream:
        pyodc.encode_odb(frame(), stream)
        pyodc.encode_odb(frame(statid=None, lat=[10.0] * 4, stalt=[99.0] * 4), stream)
    result = read_observations(path)
    assert result.latitude.tolist() == [52.5] * 4 + [10.0] * 4
    assert result.station.tolist() == ["10393"] * 4 + [""] * 4
    np.testing.assert_array_equal(result.elevation, [np.nan] * 4 + [99.0] * 4)
    assert result.row.tolist() == list(range(1, 9))


def test_of_two_columns_of_a_name_that_of_the_header_is_read(tmp_path):
    table = frame()
    table.insert(0, "lat@sat", [1.0] * 4)
    assert set(read(tmp_path, table).latitude) == {52.5}


@pytest.mark.parametrize(
    ("status", "flag", "use", "says"),
    [
        ({"datum_status": 0}, Flag.PASS, Use.ASSIMILATE, ""),
        ({"datum_status": 1}, Flag.PASS, Use.ASSIMILATE, ""),
        ({"datum_status": 2}, Flag.PASS, Use.MONITOR, ""),
        ({"datum_status": 3}, Flag.PASS, Use.ASSIMILATE, ""),  # active goes before passive
        ({"report_status": 3, "datum_status": 3}, Flag.PASS, Use.ASSIMILATE, ""),
        ({"report_status": 1, "datum_status": 2}, Flag.PASS, Use.MONITOR, ""),
        ({"datum_status.active": 1, "datum_status.passive": 1}, Flag.PASS, Use.ASSIMILATE, ""),
        ({"report_status": 2, "datum_status": 0}, Flag.PASS, Use.MONITOR, ""),
        ({"datum_status": 4}, Flag.PRE_QC, Use.ASSIMILATE, "rejected in the ODB (datum_status 4)"),
        ({"datum_status": 12}, Flag.BLACKLIST, Use.ASSIMILATE, "blacklisted in the ODB (datum_status 12)"),
        ({"report_status": 4, "datum_status": 1}, Flag.PRE_QC, Use.ASSIMILATE, "rejected in the ODB (report_status 4)"),
        ({"datum_status.active": 0, "datum_status.rejected": 1}, Flag.PRE_QC, Use.ASSIMILATE,
         "rejected in the ODB (datum_status 4)"),
        ({"datum_status.passive": 1}, Flag.PASS, Use.MONITOR, ""),
    ],
)  # fmt: skip
def test_marks(tmp_path, status, flag, use, says):
    result = read(tmp_path, **{name: [value] * 4 for name, value in status.items()})
    assert set(result.flag) == {flag}
    assert set(result.use) == {use}
    assert set(result.reason) == {says}


def test_wind_and_humidity_are_converted_within_a_report(tmp_path):
    result = read(tmp_path, varno=[111, 112, 2, 59], obsvalue=[270.0, 10.0, 273.15, 273.15])
    assert result.variable.tolist() == ["v", "u", "t", "q"]
    np.testing.assert_allclose(result.value[:2], [0.0, 10.0], atol=1e-12)
    # 611.2 Pa of vapour at 0 degrees C and 500 hPa: 0.622 e / (p - 0.378 e)
    np.testing.assert_allclose(result.value[3], 0.622 * 611.2 / (50_000 - 0.378 * 611.2), rtol=2e-3)


def test_what_phyda_does_not_know_stays_a_row(tmp_path):
    result = read(tmp_path, varno=[119, 2, 108, 9], obsvalue=[230.0, 250.0, 101_300.0, 20.0])
    assert result.variable.tolist() == ["varno 119", "t", "msl", "tcwv"]
    assert result.flag.tolist() == [Flag.H_FAILED, Flag.PASS, Flag.PASS, Flag.PASS]
    assert result.reason[0] == "unknown variable varno 119"


def test_vertical_places(tmp_path):
    heights = [1.0, 11.0, 2.0, np.nan]
    result = read(tmp_path, vertco_type=heights, varno=[2] * 4, obsvalue=[250.0, 251.0, 252.0, 253.0],
                  vertco_reference_1=[50_000.0, 40_000.0, 5_500.0, 30_000.0])  # fmt: skip
    np.testing.assert_array_equal(result.pressure, [50_000.0, 40_000.0, np.nan, 30_000.0])
    assert result.flag.tolist() == [0, 0, Flag.H_FAILED, 0]
    assert result.reason[2] == "placed by height, not by pressure"


def test_surface_reports_need_no_pressure(tmp_path):
    result = read(tmp_path, varno=[39, 41, 110, 108], obsvalue=[280.0, 5.0, 99_000.0, 101_000.0], vertco_type=[2] * 4,
                  obstype=[1] * 4, codetype=[14, 14, 21, 140], vertco_reference_1=[100.0] * 4)  # fmt: skip
    assert result.variable.tolist() == ["t2m", "u10", "sp", "msl"]
    assert result.used.all()
    assert result.report.tolist() == ["synop", "synop", "ship", "metar"]


def test_missing_and_fill_values(tmp_path):
    result = read(tmp_path, obsvalue=[np.nan, -3.4028234663852886e38, 1.0, 0.001], obs_error=[1.5, 1.5, -1.5, 3e38])
    assert result.flag.tolist() == [Flag.MISSING, Flag.MISSING, Flag.BOUNDS, Flag.PASS]
    assert result.reason.tolist()[0] == "value is missing"
    assert "fill value" in result.reason[1]
    assert "error -1.5" in result.reason[2]
    assert np.isnan(result.error[3])


@pytest.mark.parametrize(
    ("date", "clock"), [(20110230, 0), (20110115, 240000), (20110115, 6000), (20110115, -1), (0, 0), (99999999, 0)]
)
def test_what_is_no_time(tmp_path, date, clock):
    result = read(tmp_path, date=[date, *[20110115] * 3], time=[clock, 0, 0, 235959])
    assert result.flag.tolist() == [Flag.MISSING, 0, 0, 0]
    assert result.reason[0] == f"date {date:g} and time {clock:g} are no time"
    assert result.time[3] == np.datetime64("2011-01-15T23:59:59")


def test_radians_are_suspected_aloud(tmp_path, caplog):
    n = 12
    table = pd.concat([frame(lat=[0.1 * i] * 4, lon=[0.5 * i] * 4) for i in range(n)], ignore_index=True)
    with caplog.at_level(logging.WARNING):
        read(tmp_path, table)
    assert "in radians?" in caplog.text


@pytest.mark.parametrize("column", ["varno", "obsvalue", "lat", "lon", "date", "time"])
def test_a_column_that_is_needed(tmp_path, column):
    with pytest.raises(BadDataError, match=f"no column {column}"):
        read(tmp_path, **{column: None})


@pytest.mark.parametrize("whole", [0, 1])
@pytest.mark.parametrize("part", [6, 40, 300, -1])
def test_a_file_that_is_cut_off(tmp_path, whole, part):
    """Within its only frame, or within the one after a whole one."""
    pyodc.encode_odb(frame(), str(tmp_path / "a"))
    data = (tmp_path / "a").read_bytes()
    (tmp_path / "b").write_bytes(whole * data + data[:part])
    with pytest.raises(BadDataError, match=r"b: the ODB is damaged or cut off .*fetch it again"):
        read_observations(tmp_path / "b")


@pytest.mark.parametrize("byte", range(4, 400, 9))
def test_damaged_bytes_are_never_a_bug(tmp_path, byte):
    pyodc.encode_odb(frame(), str(tmp_path / "a"))
    data = bytearray((tmp_path / "a").read_bytes())
    data[byte] ^= 0xFF
    (tmp_path / "a").write_bytes(data)
    with contextlib.suppress(BadDataError):
        assert len(read_observations(tmp_path / "a")) == 4


def test_no_file(tmp_path):
    with pytest.raises(InputMissingError, match="none: no such file"):
        read_observations(tmp_path / "none")


def test_without_the_library(tmp_path, monkeypatch):
    pyodc.encode_odb(frame(), str(tmp_path / "a"))
    monkeypatch.setitem(sys.modules, "pyodc", None)
    with pytest.raises(ConfigError, match=r"pip install 'phyda\[odb\]'"):
        read_observations(tmp_path / "a")
