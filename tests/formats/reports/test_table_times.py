"""Times of tables: every usual form is the same moment; what is no time is never taken for one."""

from __future__ import annotations

import io

import numpy as np
import pytest

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.formats.reports.table_times import clocks, moments
from phyda_cli.observations.table import Flag

NOON = np.datetime64("2020-01-02T12:00:00", "ns")


def read_times(header, *cells):
    lines = [f"{header},lat,lon,variable,value,pressure_hpa", *(f"{cell},10,8,t,262,500" for cell in cells)]
    return read_observations(io.StringIO("\n".join(lines) + "\n"), name="obs.csv")


@pytest.mark.parametrize(
    "text",
    [
        "2020-01-02T12:00:00Z",
        "2020-01-02 12:00",
        "2020-01-02T12",
        "2020-01-02 12:00 UTC",
        "2020-01-02 12:00:00 GMT",
        "2020-01-02 12:00:00.000+00:00",
        "2020-01-02T13:00+01:00",
        "2020-01-02T09:30:00-02:30",
        "2020-01-02T13:00+0100",
        "2020/01/02 12:00",
        "2020/1/2 12:00",
        "2020-1-2 12:00",
        "2020010212",
        "202001021200",
        "20200102120000",
        "20200102T1200Z",
        "20200102T120000Z",
        "20200102_1200",
        "2020010212.0",
        "2 Jan 2020 12:00",
        "02-Jan-2020 12:00:00",
        "Thu, 02 Jan 2020 12:00:00 GMT",
    ],
)
def test_every_form_is_noon(text):
    assert moments(np.array([text], dtype=object))[0] == NOON


@pytest.mark.parametrize(
    "text",
    [
        "now", "today", "NaT", "", "tomorrow", "01/02/2020", "1.2.2020 12:00", "02-01-2020", "43831.5", "1577880000",
        "1577880000000", "2020-02-30", "2020-13-01", "2020-01-02T25:00", "2020-01-02T12:61", "12:00", "1600-01-01",
        "9999-01-01", "2020-01-02-03", "1701010112",
    ],
)  # fmt: skip
def test_what_is_no_moment(text):
    assert np.isnat(moments(np.array([text], dtype=object))[0])


def test_clocks_by_the_digits():
    texts = [
        "0",
        "12",
        "100",
        "1200",
        "2300",
        "12:00",
        "9:30",
        "12:00:30",
        "12Z",
        "1200.0",
        "2400",
        "2500",
        "1261",
        "now",
    ]
    expected = [0, 12, 1, 12, 23, 12, 9.5, 12 + 30 / 3600, 12, 12, 24, np.nan, np.nan, np.nan]
    np.testing.assert_allclose(clocks(np.array(texts, dtype=object)) / 3600.0, expected)


def test_clocks_with_seconds_make_all_of_their_column_hhmmss():
    np.testing.assert_allclose(clocks(np.array(["120000", "500", "93005", "0"], dtype=object)), [43200, 300, 34205, 0])


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("date,time", "20200102,1200"),
        ("date,time", "2020-01-02,12:00"),
        ("date,time", "2020-01-02,13:00:00+01:00"),
        ("date,time", "2020-01-03,01:00+1300"),
        ("date,time", "2020/01/02,12:00:00"),
        ("date,time", "20200102,120000"),
        ("date,time", "20200102,12"),
        ("date,time", "2020-01-02,2020-01-02T12:00"),
        ("date,hour", "20200102,12"),
        ("date,hour,minute", "2020-01-02,12,0"),
        ("date,hour", "20200102,1200"),
        ("year,month,day,hour", "2020,1,2,12"),
        ("year,month,day,hour,minute,second", "2020,01,02,12,00,00"),
        ("Year,Month,Day,Hour,Minute", "2020,1.0,2,12.0,"),
        ("year,month,day,time", "2020,1,2,1200"),
        ("unix_time", "1577966400"),
    ],
)
def test_dates_and_clocks_in_columns_of_their_own(header, cells):
    assert read_times(header, cells).time[0] == NOON


@pytest.mark.parametrize(
    ("header", "cell", "words"),
    [
        ("time", "01/02/2020", "day and month cannot be told apart; write ISO 8601"),
        ("time", "13.02.2020 12:00", "write ISO 8601"),
        ("time", "43831.5", "unix_time"),
        ("time", "1577880000", "unix_time"),
        ("time", "now", "write ISO 8601"),
        ("unix_time", "1577880000000", "seconds since 1970-01-01"),
        ("time", "1200", "unix_time"),
        ("date,time", "01/02/2020,12:00", "column 'date'"),
        ("date,time", "20200102,noon", "HHMM"),
        ("date,time", "20200102,0.5", "HHMM"),
        ("year,month,day", "2020,13,1", "'2020-13-1'"),
    ],
)
def test_a_column_of_no_times_is_refused(header, cell, words):
    with pytest.raises(BadDataError, match=r"^obs\.csv: ") as failure:
        read_times(header, cell, cell)
    assert words in str(failure.value)


def test_a_single_word_is_no_time():
    result = read_times("time", "2020-01-02T12:00", "now")
    assert result.flag.tolist() == [Flag.PASS, Flag.MISSING]
    assert np.isnat(result.time[1])
