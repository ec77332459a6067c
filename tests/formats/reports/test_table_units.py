"""Units of tables are those of whole columns; fills are empty; what was not read is said."""

from __future__ import annotations

import io
import logging

import numpy as np
import pytest

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.observations.table import Flag

PLACE = "time,lat,lon,station"
AT = "2020-01-01T12:00,47,8,A"


def read(header, *rows, **options):
    lines = [f"{PLACE},{header}", *(f"{AT},{row}" for row in rows)]
    return read_observations(io.StringIO("\n".join(lines) + "\n"), name="obs.csv", **options)


def values(table, variable):
    return table.value[table.variable == variable]


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("level", 100.0), ("lev", 100.0), ("press", 100.0), ("plev", 100.0), ("pressure_level", 100.0), ("P", 100.0),
        ("isobaric", 100.0), ("isobaricInhPa", 100.0), ("level_hpa", 100.0), ("mb", 100.0), ("prs", 100.0),
        ("pressure", 100.0), ("pres", 100.0), ("pressure_mb", 100.0), ("pressure_hPa", 100.0), ("level [hPa]", 100.0),
    ],
)  # fmt: skip
def test_names_of_pressure_in_hpa(name, factor):
    table = read(f"{name},t", "850,280", "500,255", "300,230")
    np.testing.assert_allclose(table.pressure, factor * np.array([850.0, 500.0, 300.0]))
    assert set(table.variable) == {"t"}
    assert table.used.all()


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("level", ("85000,280", "50000,255")),
        ("p", ("85000,280", "50000,255")),
        ("plev", ("85000,280", "50000,255")),
        ("pres_kPa", ("85,280", "50,255")),
        ("pressure [kPa]", ("85,280", "50,255")),
    ],
)
def test_other_units_of_pressure(name, rows):
    np.testing.assert_allclose(read(f"{name},t", *rows).pressure, [85_000.0, 50_000.0])


def test_heights_tell_the_unit_of_low_pressures():
    """At 31 km the pressure is 10 hPa, not 10 Pa."""
    np.testing.assert_allclose(read("pressure,height", "10,31000", "20,26400").pressure, [1000.0, 2000.0])


def test_a_level_does_not_count_beside_a_pressure(caplog):
    with caplog.at_level(logging.WARNING):
        table = read("level,pressure,t", "1,85000,280", "2,50000,255")
    np.testing.assert_allclose(table.pressure, [85_000.0, 50_000.0])
    assert "columns that were not read: level" in caplog.text


def test_humidity_in_per_cent_is_told_by_all_rows(caplog):
    """Of dry air at 200 hPa 1 is 1 %: q = 0.622 · 0.01 · e_w(217 K) / p, some 1e-6."""
    rows = ["1000,290,85", "850,282,40", "700,272,12", "500,255,2", "400,244,1", "300,230,1.5", "200,217,1"]
    with caplog.at_level(logging.WARNING):
        table = read("pressure_hpa,t,rh", *rows)
    assert table.used.all()
    assert values(table, "q")[-1] < 2e-6
    assert "rh has no unit; by its numbers (1 to 85) it is in %" in caplog.text


def test_humidity_as_fractions():
    table = read("pressure_hpa,t,rh", "1000,290,0.85", "850,282,0.4", "700,272,0.12")
    percent = read("pressure_hpa,t,rh_%", "1000,290,85", "850,282,40", "700,272,12")
    np.testing.assert_allclose(values(table, "q"), values(percent, "q"))


def test_units_of_a_long_table_are_those_of_a_variable_in_the_whole_file():
    table = read(
        "pressure_hpa,variable,value", "1000,t,290", "1000,rh,85", "500,t,255", "500,rh,2", "300,t,230", "300,rh,1"
    )
    wide = read("pressure_hpa,t,rh_%", "1000,290,85", "500,255,2", "300,230,1")
    np.testing.assert_allclose(values(table, "q"), values(wide, "q"))


def test_heights_and_specific_humidity_without_a_unit():
    table = read("pressure_hpa,z,q", "850,1500,8.5", "500,5600,2.1", "300,9200,0.2")
    np.testing.assert_allclose(values(table, "z"), 9.80665 * np.array([1500.0, 5600.0, 9200.0]))
    np.testing.assert_allclose(values(table, "q"), [8.5e-3, 2.1e-3, 2e-4])


@pytest.mark.parametrize(
    ("header", "rows", "words"),
    [
        ("pressure_hpa,t_K", [f"{p},{t}" for p, t in ((850, 5), (700, -3), (600, -9), (500, -20), (400, -33))],
         "t_K (-33 to 5) cannot be in K"),
        ("pressure_hpa,t", [f"{p},{t}" for p, t in ((850, 5), (700, -3), (600, -9), (500, -20), (400, -33))],
         "--units 't=degC'"),
        ("pressure_pa,t", [f"{p},260" for p in (850, 700, 600, 500, 400)],
         "it looks like hPa: --units 'pressure_pa=hPa'"),
        ("pressure_hpa,t", [f"{p},260" for p in (85000, 70000, 60000, 50000, 40000)],
         "it looks like Pa: --units 'pressure_hpa=Pa'"),
    ],
)  # fmt: skip
def test_a_label_against_its_whole_column_refuses_the_table(header, rows, words):
    with pytest.raises(BadDataError, match=r"^obs\.csv: ") as failure:
        read(header, *rows)
    assert words in str(failure.value)


def test_the_remedy_helps():
    rows = [f"{p},{t}" for p, t in ((850, 5), (700, -3), (600, -9), (500, -20), (400, -33))]
    for header, name in (("pressure_hpa,t_K", "t_K"), ("pressure_hpa,t", "t")):
        table = read(header, *rows, units={name: "degC"})
        np.testing.assert_allclose(table.value[0], 278.15)
    pascal = read(
        "pressure_hpa,t", *(f"{p},260" for p in (85000, 70000, 60000, 50000, 4e4)), units={"pressure_hpa": "Pa"}
    )
    assert pascal.pressure[0] == 85_000.0
    long = read("pressure_hpa,variable,value", *(f"{row.replace(',', ',t,')}" for row in rows), units={"t": "degC"})
    np.testing.assert_allclose(long.value[0], 278.15)


def test_single_outliers_are_faults_of_their_rows():
    rows = [f"{p},{t}" for p, t in ((850, 285), (700, 277), (600, 270), (500, -20), (400, 240), (300, 228))]
    table = read("pressure_hpa,t", *rows)
    assert table.flag.tolist() == [0, 0, 0, Flag.BOUNDS, 0, 0]


@pytest.mark.parametrize(
    "error",
    ["9999", "99999", "999.9", "1e10", "1e11", "-888888", "-9999", "-999.9", "NaN", "nan", "NA", "M", "null", ""],
)
def test_fills_in_the_error_are_no_error(error):
    table = read("pressure_hpa,t,t_error", f"500,255,{error}")
    assert table.used.all()
    assert np.isnan(table.error).all()


@pytest.mark.parametrize(
    "fill", ["9999", "99999", "999.9", "-999.9", "1e11", "-888888", "NaN", "NA", "M", "null", "-9999"]
)
def test_fills_in_other_columns(fill):
    header = "elevation,pressure_hpa,t,wind_speed,wind_direction"
    table = read(header, "400,500,255,10,270", f"400,500,{fill},{fill},{fill}")
    assert set(table.flag[table.row == 2]) == {Flag.MISSING}
    assert table.used[table.row == 1].all()
    missing = read(header, f"{fill},500,255,10,270").elevation
    assert np.isnan(missing).all() or fill == "999.9"  # an elevation that can be


def test_real_values_that_look_like_fills():
    table = read("pressure_hpa,t,height", "999.9,290,100", "300,228,9999")
    np.testing.assert_allclose(table.pressure[:2], 99_990.0)
    assert table.used.all()
    np.testing.assert_allclose(values(table, "z"), [980.665, 98_056.7], rtol=1e-6)


def test_what_is_taken_as_si_is_said(caplog):
    with caplog.at_level(logging.INFO):
        read("pressure_hpa,t,wind_speed,wind_direction_deg", "500,255,10,270")
    assert "without a unit, taken as SI: t in K, wind_speed in m s-1" in caplog.text


def test_what_was_not_read_is_named_once(caplog):
    with caplog.at_level(logging.WARNING):
        read("pressure_hpa,t,visibility,sky", "500,255,10,OVC", "400,244,9,OVC")
        read("pressure_hpa,variable,value,note", "500,radiance,255,x", "400,radiance,244,y", "400,t,244,z")
    assert caplog.text.count("columns that were not read: visibility, sky") == 1
    assert caplog.text.count("columns that were not read: note") == 1
    assert caplog.text.count("variables that are not known and not read: radiance") == 1


def test_names_of_the_university_of_wyoming():
    header = (
        "pressure_hPa,geopotential height_m,temperature_C,dew point temperature_C,wind direction_degree,wind speed_m/s"
    )
    table = read(header, "500.0,5665,-20.0,-30.0,270,30.0")
    np.testing.assert_allclose(values(table, "u"), [30.0])
    np.testing.assert_allclose(values(table, "v"), [0.0], atol=1e-12)
    np.testing.assert_allclose(values(table, "t"), [253.15])
    np.testing.assert_allclose(values(table, "z"), [5665 * 9.80665])
    assert table.used.all()


def test_letters_marks_and_words_of_quality():
    table = read("pressure_hpa,t,t_qc,qc", "500,255,V,", "400,244,X,", "300,230,S,bad", "200,217,,2", "100,210,,7")
    assert table.flag.tolist() == [0, Flag.PRE_QC, Flag.PRE_QC, 0, Flag.PRE_QC]
    assert "failed level 1" in table.reason[1]


def test_marks_that_are_not_known_refuse_the_table():
    with pytest.raises(BadDataError, match=r"'purple'.*rename the column"):
        read("pressure_hpa,t,quality_flag", "500,255,purple")


def test_data_frames_of_siphon_are_in_knots():
    """A frame of Wyoming's as it is saved, with its index as a column without a name."""
    names = "pressure,height,temperature,dewpoint,direction,speed,u_wind,v_wind,station,station_number,time,latitude"
    row = "0,500.0,5665,-20.0,-30.0,270.0,60.0,60.0,0.0,OUN,72357,2020-01-01 12:00:00,35.2,-97.4,345,9.1"
    table = read_observations(io.StringIO(f",{names},longitude,elevation,pw\n{row}\n"))
    used = table.take(table.used)
    found = dict(zip(used.variable, used.value, strict=True))
    np.testing.assert_allclose([found["t"], found["u"], found["z"]], [253.15, 60 * 1852 / 3600, 5665 * 9.80665])
    assert found["v"] == 0.0
    assert set(used.pressure) == {50_000.0}
    assert set(table.station) == {"OUN"}


def test_meteostat_is_in_kilometres_an_hour_and_its_pressure_at_sea_level():
    text = (
        "station,lat,lon,elevation,time,temp,dwpt,rhum,prcp,snow,wdir,wspd,wpgt,pres,tsun,coco\n"
        "A,50,8,112,2020-01-01 12:00:00,2.5,-1.0,77,0,,270,36.0,50.1,1020.4,,3\n"
    )
    table = read_observations(io.StringIO(text))
    found = dict(zip(table.variable, table.value, strict=True))
    np.testing.assert_allclose(
        [found["t2m"], found["d2m"], found["u10"], found["msl"]], [275.65, 272.15, 10.0, 102_040]
    )


def test_iem_names_say_their_units():
    text = (
        "station,valid,lon,lat,elevation,tmpf,dwpf,relh,drct,sknt,p01i,mslp\n"
        "DEN,2020-01-01 12:00,-104.7,39.8,1640,50.0,32.0,50.1,360,10,M,1013.2\n"
    )
    table = read_observations(io.StringIO(text))
    found = dict(zip(table.variable, table.value, strict=True))
    expected = [283.15, 273.15, -10 * 1852 / 3600, 101_320]
    np.testing.assert_allclose([found[name] for name in ("t2m", "d2m", "v10", "msl")], expected)
