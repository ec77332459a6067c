"""Observation tables: every way to write the same table reads the same; every fault is said in one line."""

from __future__ import annotations

import gzip
import io
import logging

import numpy as np
import pytest

from phyda_cli.errors import BadDataError, InputMissingError
from phyda_cli.fields.standard_atmosphere import standard_height
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.observations.table import Flag

HEADER = "time,lat,lon,observation,variable,pres,station"
ROW = "2011-01-15T12:00:00Z,52.5,-13.4,250.5,t,50000,10393"


def read(text, **options):
    return read_observations(io.StringIO(text), **options)


def table(*rows, header=HEADER):
    return read("\n".join([header, *rows]) + "\n")


def one(header, row):
    result = table(row, header=header)
    assert len(result) == 1
    return result


def test_a_row_in_si():
    result = table(ROW)
    assert result.variable.tolist() == ["t"]
    assert result.latitude.tolist() == [52.5]
    np.testing.assert_allclose(result.longitude, [346.6])
    assert result.pressure.tolist() == [50_000.0]
    assert result.value.tolist() == [250.5]
    assert np.isnan(result.error[0])
    assert result.time[0] == np.datetime64("2011-01-15T12:00:00")
    assert result.station.tolist() == ["10393"]
    assert result.row.tolist() == [1]
    assert result.used.all()
    assert result.sources == ("standard input",)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("date,latitude,longitude,value,variable,pressure", "2011-01-15T12:00,1,2,250,temperature,50000"),
        ("valid_time,latitude_deg,longitude_deg,value,variable,level_pa", "2011-01-15 12:00,1,2,250,T,50000"),
        ("time,lat,lon,observation,variable,pressure_hpa", "20110115T1200,1,2,250,air_temperature,500"),
        ("time,lat,lon,observation,variable,p", "2011-01-15T13:00:00+01:00,1,2,250,TMP,500"),
        ("Time,LAT,Lon,Observation,Variable,level_hPa", "2011-01-15T12:00:00.000Z,1,2,250,t,500"),
        ("time,lat,lon,value,variable,pressure [kPa]", "2011-01-15T12,1,2,250,t,50"),
        ("time,lat,lon,value,variable,pres,unit", "2011-01-15T12,1,2,-23.15,t,50000,degC"),
        ("time,lat,lon,p,t", "2011-01-15T12,1,2,500,250"),
        ("time,lat,lon,p,temperature [degC]", "2011-01-15T12,1,2,500,-23.15"),
        ("time,lat,lon,p,t_degc", "2011-01-15T12,1,2,500,-23.15"),
        ("date,time,lat,lon,varno,vertco_reference_1,obsvalue", "20110115,120000,1,2,2,50000,250"),
        ("time;lat;lon;observation;variable;pres", "2011-01-15T12;1;2;250;t;50000"),
        ("time\tlat\tlon\tobservation\tvariable\tpres", "2011-01-15T12\t1\t2\t250\tt\t50000"),
    ],
)
def test_the_same_observation_in_every_accepted_form(header, row):
    result = one(header, row)
    assert result.used.all(), result.reason
    assert result.variable.tolist() == ["t"]
    assert result.pressure[0] == pytest.approx(50_000.0)
    assert result.value[0] == pytest.approx(250.0)
    assert (result.latitude[0], result.longitude[0]) == (1.0, 2.0)
    assert result.time[0] == np.datetime64("2011-01-15T12:00:00")


@pytest.mark.parametrize(
    ("variable", "value", "unit", "name", "si"),
    [
        ("u", "10", "kt", "u", 5.144444),
        ("msl", "1013.25", "hPa", "msl", 101_325.0),
        ("q", "5", "g/kg", "q", 0.005),
        ("t", "50", "degF", "t", 283.15),
        ("gh", "5500", "gpm", "z", 5500 * 9.80665),
        ("z", "5500", "m", "z", 5500 * 9.80665),
        ("z", "53936.575", "m2 s-2", "z", 53_936.575),
        ("gh", "550", "dam", "z", 5500 * 9.80665),
    ],
)
def test_units_and_their_errors(variable, value, unit, name, si):
    header = "time,lat,lon,observation,variable,pres,unit,error"
    result = one(header, f"2011-01-15T12,1,2,{value},{variable},50000,{unit},{float(value) / 100}")
    assert result.used.all(), result.reason
    assert result.variable.tolist() == [name]
    assert result.value[0] == pytest.approx(si, rel=1e-6)
    offset = 0.0 if unit != "degF" else 283.15 - 50 * 5 / 9
    assert result.error[0] == pytest.approx((si - offset) / 100, rel=1e-6)


def test_mixed_iso_forms_in_one_column():
    times = ["2011-01-15T12:00:00Z", "2011-01-15 12:00", "20110115T120000", "2011-01-15T14:00+02:00", "2011-01-15T12"]
    result = table(*(f"{moment},{i},0,250,t,50000,x" for i, moment in enumerate(times)))
    assert result.used.all()
    assert set(result.time) == {np.datetime64("2011-01-15T12:00:00", "ns")}


def test_longitudes_of_both_conventions_are_the_same():
    signed, positive = (table(ROW.replace("-13.4", longitude)) for longitude in ("-13.4", "346.6"))
    np.testing.assert_allclose(signed.longitude, positive.longitude)
    assert table(ROW.replace("-13.4", "360")).longitude.tolist() == [0.0]


def test_gzip_and_byte_order_mark_whatever_the_suffix(tmp_path):
    text = f"{HEADER}\r\n{ROW}\r\n"
    plain, packed = tmp_path / "obs.dat", tmp_path / "obs.nc"
    plain.write_bytes(b"\xef\xbb\xbf" + text.encode())
    packed.write_bytes(gzip.compress(text.encode()))
    for path in (plain, packed):
        result = read_observations(path)
        assert result.value.tolist() == [250.5]
        assert result.sources == (str(path),)


def test_a_wide_table_has_one_entry_for_each_filled_cell():
    result = table(
        "2011-01-15T12,1,2,500,250,5,",
        "2011-01-15T12,1,2,300,,,",
        "2011-01-15T12,1,2,200,220,7,-3",
        header="time,lat,lon,p,t,u,v",
    )
    assert result.variable.tolist() == ["t", "u", "", "t", "u", "v"]
    assert result.row.tolist() == [1, 1, 2, 3, 3, 3]
    assert result.flag.tolist() == [0, 0, Flag.MISSING, 0, 0, 0]
    assert result.pressure.tolist() == [50_000, 50_000, 30_000, 20_000, 20_000, 20_000]


def test_wide_errors_stand_beside_their_variable():
    result = table("2011-01-15T12,1,2,500,250,5,0.7", header="time,lat,lon,p,t,u,t_error")
    assert result.error[0] == 0.7
    assert np.isnan(result.error[1])


def test_wind_of_a_long_table_is_paired_by_report_and_keeps_its_rows():
    rows = [
        "2011-01-15T12,1,2,270,wind_direction,50000,a",
        "2011-01-15T12,1,2,180,wind_direction,50000,b",
        "2011-01-15T12,1,2,10,wind_speed,50000,a",
        "2011-01-15T12,1,2,20,wind_speed,50000,b",
        "2011-01-15T12,1,2,30,wind_speed,70000,b",
    ]
    result = table(*rows)
    assert result.variable.tolist() == ["v", "v", "u", "u", "wind_speed"]
    np.testing.assert_allclose(result.value[:4], [0, 20, 10, 0], atol=1e-12)
    assert result.row.tolist() == [1, 2, 3, 4, 5]
    assert result.flag.tolist() == [0, 0, 0, 0, Flag.MISSING]


def test_a_table_without_pressure_is_of_surface_reports():
    result = table("2011-01-15T12,1,2,280,275", header="time,lat,lon,t,td")
    assert result.variable.tolist() == ["t2m", "d2m"]
    assert result.used.all()


def test_times_relative_to_the_analysis():
    text = "dhr,lat,lon,p,t\n-1.5,1,2,500,250\n,1,2,500,250\n"
    result = read(text, reference_time=np.datetime64("1989-01-01T06"))
    assert result.time[0] == np.datetime64("1989-01-01T04:30")
    assert result.flag.tolist() == [0, Flag.MISSING]
    with pytest.raises(BadDataError, match="dhr gives hours from the analysis"):
        read(text)


def test_quality_marks_of_the_table_reject():
    wide = table("2011-01-15T12,1,2,500,2,250,15,5,3", header="time,lat,lon,p,pqm,t,tqm,u,wqm")
    assert wide.flag.tolist() == [Flag.PRE_QC, Flag.PASS]
    assert "quality mark 15" in wide.reason[0]
    bad_pressure = table("2011-01-15T12,1,2,500,13,250,2,5,", header="time,lat,lon,p,pqm,t,tqm,u,wqm")
    assert bad_pressure.flag.tolist() == [Flag.PRE_QC, Flag.PRE_QC]
    assert table(f"{ROW},4", header=f"{HEADER},quality").flag.tolist() == [Flag.PRE_QC]


@pytest.mark.parametrize("factor", [1.0, 9.80665])
def test_z_without_unit_is_told_by_its_size(factor, caplog):
    pressure = np.array([850.0, 700.0, 500.0, 300.0])
    height = standard_height(100 * pressure) - 120.0
    rows = [f"2011-01-15T12,{i},2,{p},{z * factor:.3f}" for i, (p, z) in enumerate(zip(pressure, height, strict=True))]
    with caplog.at_level(logging.WARNING):
        result = table(*rows, header="time,lat,lon,p,z")
    assert result.used.all(), result.reason
    np.testing.assert_allclose(result.value, 9.80665 * height, rtol=1e-5)
    assert bool(caplog.records) == (factor == 1.0)


@pytest.mark.parametrize(
    ("row", "flag", "words"),
    [
        (ROW.replace("250.5", "nan"), Flag.MISSING, "value is missing"),
        (ROW.replace("250.5", ""), Flag.MISSING, "value is missing"),
        (ROW.replace("250.5", "inf"), Flag.MISSING, "'inf' is not a number"),
        (ROW.replace("250.5", "warm"), Flag.MISSING, "'warm' is not a number"),
        (ROW.replace("250.5", "-9999"), Flag.MISSING, "-9999 is a fill value"),
        (ROW.replace("250.5", "9.96921e36"), Flag.MISSING, "fill value"),
        (ROW.replace("250.5", "-22.5"), Flag.BOUNDS, "degrees C given as K"),
        (ROW.replace("52.5", "91"), Flag.BOUNDS, "latitude 91"),
        (ROW.replace("52.5", "5x"), Flag.MISSING, "latitude '5x'"),
        (ROW.replace("-13.4", "999"), Flag.BOUNDS, "longitude 999"),
        (ROW.replace("50000", "abc"), Flag.MISSING, "pressure 'abc'"),
        (ROW.replace("50000", "5e6"), Flag.BOUNDS, "Pa given as hPa"),
        (ROW.replace("2011-01-15T12:00:00Z", "yesterday"), Flag.MISSING, "time 'yesterday'"),
        (ROW.replace("2011-01-15T12:00:00Z", "9999-01-01"), Flag.MISSING, "time '9999-01-01'"),
        (ROW.replace("2011-01-15T12:00:00Z", ""), Flag.MISSING, "time is missing"),
        (ROW.replace(",t,", ",radiance,"), Flag.H_FAILED, "unknown variable radiance"),
        (ROW.replace(",t,", ",,"), Flag.MISSING, "names no variable"),
    ],
)
def test_a_bad_row_is_flagged_and_the_others_are_read(row, flag, words):
    good = ROW.replace("52.5", "10")
    result = table(good, row, good.replace("10,", "11,"))
    assert result.flag.tolist() == [Flag.PASS, flag, Flag.PASS]
    assert words in result.reason[1]
    assert result.row.tolist() == [1, 2, 3]


@pytest.mark.parametrize("error", ["0", "-1", "inf", "small"])
def test_an_error_that_is_not_positive_is_flagged(error):
    result = table(f"{ROW},{error}", f"{ROW},", f"{ROW},0.5", header=f"{HEADER},error")
    assert result.flag.tolist() == [Flag.BOUNDS, Flag.PASS, Flag.PASS]
    assert error in result.reason[0]
    assert result.error[2] == 0.5


def test_an_unknown_unit_is_flagged():
    result = table(f"{ROW},furlong", header=f"{HEADER},unit")
    assert result.flag.tolist() == [Flag.BOUNDS]
    assert "furlong" in result.reason[0]


def test_a_header_alone_is_a_table_without_observations():
    for header in (HEADER, "time,lat,lon,p,t"):
        assert len(read(header + "\n")) == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty"]),
        ("  \n\n", ["empty"]),
        ("nothing here\n", ["not a header"]),
        (f"{HEADER}\n{ROW},extra\n", ["row 1 has 8 fields, expected 7", "ragged"]),
        (f"{HEADER}\n{ROW}\n2011-01-15T12,5\n", ["row 2", "2 fields, expected 7"]),
        (f'{HEADER}\n{ROW}\n"{ROW}\n{ROW}\n', ["row 2", "ragged or cut off"]),
        ("time,lon,observation,variable\n", ["no latitude column", "lat, latitude", "time, lon"]),
        ("time,lat,observation,variable\n", ["no longitude column"]),
        ("lat,lon,observation,variable\n", ["no time column"]),
        ("time,lat,lon,variable\n", ["no value column", "observation, value"]),
        ("time,lat,lon,observation\n", ["no variable column"]),
        ("time,lat,lon,observation,variable,lat\n", ["lat", "more than once"]),
        ("time,lat,lon,observation,variable,variable\n", ["variable", "more than once"]),
        ("time,lat,Lat,lon,observation,variable\n", ["lat", "more than once"]),
        ("time,lat,latitude,lon,observation,variable\n", ["'lat' and 'latitude'"]),
        ("time,lat,lon,observation,variable,pres,pressure_hpa\n", ["'pres' and 'pressure_hpa'"]),
        ("time,lat,lon,p,t,temperature\n", ["'t' and 'temperature'"]),
    ],
)
def test_a_table_that_cannot_be_read_is_one_clear_line(text, words):
    with pytest.raises(BadDataError) as failure:
        read(text, name="obs.csv")
    message = str(failure.value)
    assert message.startswith("obs.csv: ")
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"GRIB\0\0\0\2" + bytes(100), "a GRIB file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "NetCDF or HDF5"),
        (bytes(range(256)), "binary"),
        (HEADER.encode() + b"\n2011-01-15T12,1,2,250,t,50000,Z\xfcrich\n", "line 2 holds byte 0xfc"),
        (gzip.compress(f"{HEADER}\n{ROW}\n".encode(), mtime=0)[:-9], "gzip"),
        (b"\x1f\x8b" + bytes(30), "gzip"),
    ],
)
def test_a_file_that_is_no_text_table_is_refused(tmp_path, data, words):
    path = tmp_path / "obs.csv"
    path.write_bytes(data)
    with pytest.raises(BadDataError, match=words):
        read_observations(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputMissingError, match="no such file"):
        read_observations(tmp_path / "none.csv")
    with pytest.raises(InputMissingError, match="directory"):
        read_observations(tmp_path)


@pytest.mark.parametrize("name", ["air_pressure_at_sea_level", "air_pressure_at_mean_sea_level", "sea_level_pressure"])
def test_the_standard_names_of_sea_level_pressure(name):
    text = f"time,latitude,longitude,elevation,{name} [hPa]\n2020-01-01T12:00,40,-104,1640,1015.2\n"
    o = read_observations(io.StringIO(text), name="table")
    assert (o.variable[0], o.value[0]) == ("msl", pytest.approx(101_520.0))


@pytest.mark.parametrize(
    ("levels", "refused"),
    [
        ([1, 2, 3, 4, 5], True),  # numbers of model levels
        (range(1, 138), True),
        ([100, 500, 1000, 3000, 9000], True),  # heights in m, or pressures in Pa of the stratosphere alone
        ([10], True),
        ([1000, 850, 500], False),
        ([100_000, 85_000, 50_000], False),
        ([50, 30, 20], False),
    ],
)
def test_a_level_without_a_unit_is_a_pressure_only_where_its_numbers_are(levels, refused):
    rows = "".join(f"2020-01-01T12:00,{k % 80},20,{level},250\n" for k, level in enumerate(levels))
    text = "time,latitude,longitude,level,t\n" + rows
    if refused:
        with pytest.raises(BadDataError, match="name it pressure_hpa or pressure_pa"):
            read_observations(io.StringIO(text), name="table")
        renamed = read_observations(io.StringIO(text.replace("level", "pressure_pa")), name="table")
        assert renamed.pressure[0] == float(levels[0])
    else:
        o = read_observations(io.StringIO(text), name="table")
        scale = 1.0 if max(levels) > 2000 else 100.0
        np.testing.assert_allclose(o.pressure, scale * np.array(levels))


def test_numbers_in_a_column_of_flags_may_mean_anything_and_judge_nothing(caplog):
    """Bits of an archive (6: an automatic station) are no marks of NCEP, whose 6 is bad."""
    text = "time,latitude,longitude,pressure_hpa,t,{}\n2020-01-01T12:00,40,-104,500,255,6\n"
    assert read_observations(io.StringIO(text.format("QcFlag")), name="table").used.all()
    assert "column 'QcFlag' holds numbers whose meaning is not known and judges nothing" in caplog.text
    for name in ("quality", "t_qm", "tqm"):
        judged = read_observations(io.StringIO(text.format(name)), name="table")
        assert "quality mark 6" in judged.reason[0]
