"""A wide table of stations at the ground is of surface reports; soundings and aircraft stay upper air."""

from __future__ import annotations

import io
import logging

import numpy as np
import pytest

from phyda_cli.errors import BadDataError
from phyda_cli.fields.standard_atmosphere import standard_height
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.formats.reports.stations import Place

HEADER = "time,latitude,longitude,elevation,station,temperature,dewpoint,pressure_hpa,wind_speed,wind_direction"
STATIONS = (
    "2020-01-01T12:00,47,11,2000,11146,268,262,790.2,8,270",
    "2020-01-01T12:00,47,8,400,06660,279,274,965.0,3,180",
)


def read(*rows, header=HEADER):
    return read_observations(io.StringIO("\n".join([header, *rows]) + "\n"), name="obs.csv")


def test_stations_with_their_pressure(caplog):
    with caplog.at_level(logging.WARNING):
        table = read(*STATIONS)
    assert table.used.all()
    assert sorted(table.variable[table.row == 1]) == ["d2m", "sp", "t2m", "u10", "v10"]
    found = dict(zip(table.variable[table.row == 1], table.value[table.row == 1], strict=True))
    np.testing.assert_allclose([found[k] for k in ("t2m", "d2m", "sp", "u10")], [268, 262, 79_020, 8])
    assert np.isnan(table.pressure).all()
    assert set(table.report) == {"surface"}
    assert "read as surface reports, and pressure_hpa as station pressure" in caplog.text


def test_a_report_column_decides():
    table = read(*(f"{row},sonde" for row in STATIONS), header=f"{HEADER},report")
    assert set(table.variable) == {"t", "q", "u", "v"}


def test_soundings_stay_upper_air():
    levels = [
        STATIONS[1].replace("965.0", str(p)).replace("279", str(t)) for p, t in ((965, 279), (850, 272), (500, 250))
    ]
    assert set(read(*levels).variable) == {"t", "q", "u", "v"}
    assert set(read(levels[0], levels[2].replace("06660", "06661")).variable) == {"t", "q", "u", "v"}


def test_aircraft_stay_upper_air():
    pressures = np.array([900.0, 500.0, 250.0])
    rows = [f"2020-01-01T12:0{i},47,8,{standard_height(100 * p):.0f},X,250,,{p},8,270" for i, p in enumerate(pressures)]
    assert set(read(*rows).variable) == {"t", "u", "v"}


def test_pressure_reduced_to_sea_level_is_refused():
    rows = [row.replace("790.2", "1013.0").replace("965.0", "1015.0").replace(",400,", ",1400,") for row in STATIONS]
    with pytest.raises(BadDataError, match="name it msl"):
        read(*rows)
    header = HEADER.replace("pressure_hpa", "msl [hPa]")
    table = read(*rows, header=header)
    np.testing.assert_allclose(table.value[table.variable == "msl"], [101_300, 101_500])
    assert "t2m" in table.variable


def test_marks_judge_the_station_pressure_too():
    table = read(
        *(f"{row},{mark}" for row, mark in zip(STATIONS, (9, 0), strict=True)), header=f"{HEADER},pressure_hpa_qm"
    )
    assert table.used[(table.variable == "sp")].tolist() == [False, True]
    assert table.used[(table.variable == "t2m")].tolist() == [True, True]


def test_elevations_of_stations_fill_what_a_table_lacks():
    stations = {"A": Place("47", "8", "400"), "B": Place("50", "9", "100")}
    rows = ("A,47.05,368,270", "B,-9999,-9999,271", "A,20,8,272")
    text = "\n".join(["time,station,lat,lon,t2m", *(f"2020-01-01T12,{row}" for row in rows)])
    table = read_observations(io.StringIO(text), stations=stations)
    np.testing.assert_allclose(table.latitude, [47.05, 50, 20])
    np.testing.assert_allclose(table.elevation, [400, 100, np.nan])  # the third is another place than A's


def test_rows_without_a_place_are_said_once_with_the_remedy(caplog):
    text = "METAR KJFK 011151Z 27010KT 15/M02 A2992=\nMETAR KBOS 011154Z 27010KT 15/M02 A2992=\n"
    with caplog.at_level(logging.WARNING):
        read_observations(io.StringIO(text), name="m.txt", reference_time=np.datetime64("2020-01-01T12"))
    assert caplog.text.count("--stations FILE") == 1
    assert "of KBOS, KJFK" in caplog.text
    with pytest.raises(BadDataError, match="--stations FILE"):
        read_observations(io.StringIO("time,station,t2m\n2020-01-01T12,A,270\n"))


def test_a_profile_by_height_is_not_at_the_surface():
    header = "time,lat,lon,station,height,u,v"
    table = read(*(f"2020-01-01T12:00,47,8,P,{height},5,6" for height in (500, 1000, 5000)), header=header)
    assert set(table.variable) == {"z", "u", "v"}  # which need a pressure
    stations = read(
        *(f"2020-01-01T12:00,47,8,{name},{height},5,6" for name, height in (("A", 10), ("B", 90))), header=header
    )
    assert {"u10", "v10"} <= set(stations.variable[stations.used])


@pytest.mark.parametrize("name", ["altitude", "altitude_m", "Altitude [ft]", "height_km", "flight_level", "FL"])
def test_heights_without_pressure_are_no_surface_reports(name):
    header = f"time,latitude,longitude,variable,{name},value"
    with pytest.raises(BadDataError) as refused:
        read("2020-01-01T12:00,50,10,u,5600,25", header=header)
    assert repr(name) in str(refused.value)
    assert "pressure_hpa" in str(refused.value)
    assert "elevation" in str(refused.value)


def test_both_remedies_for_heights_without_pressure_help():
    station = read("2020-01-01T12:00,50,10,u,560,25", header="time,latitude,longitude,variable,elevation,value")
    assert (station.variable[0], station.elevation[0], station.used[0]) == ("u10", 560, True)
    header = "time,latitude,longitude,variable,altitude,value,pressure_hpa"
    aircraft = read("2020-01-01T12:00,50,10,u,5600,25,500", header=header)
    assert (aircraft.variable[0], aircraft.pressure[0], aircraft.used[0]) == ("u", 50_000, True)


def test_a_height_beside_what_names_its_own_level_is_only_not_read(caplog):
    with caplog.at_level(logging.WARNING):
        table = read("2020-01-01T12:00,50,10,u10,560,5", header="time,latitude,longitude,variable,altitude,value")
    assert (table.variable[0], table.value[0], table.used[0]) == ("u10", 5, True)
    assert "columns that were not read: altitude" in caplog.text


def test_the_unit_column_of_a_wide_table_is_not_read_and_named(caplog):
    header = "time,latitude,longitude,pressure_hpa,temperature,unit"
    with caplog.at_level(logging.WARNING):
        table = read("2020-01-01T12:00,50,10,500,-18,degC", header=header)
    assert "columns that were not read: unit" in caplog.text
    assert "column's name" in table.reason[0]
    mended = read("2020-01-01T12:00,50,10,500,-18", header=header.replace("temperature,unit", "temperature [degC]"))
    np.testing.assert_allclose(mended.value, 255.15)
    assert mended.used.all()


@pytest.mark.parametrize("uses", [("yes", "no"), ("1", "0")])
def test_a_column_of_uses_that_holds_none_is_refused(uses):
    header = "time,latitude,longitude,variable,pressure_hpa,value,use"
    rows = [f"2020-01-01T12:00,50,{10 + i},t,500,255,{use}" for i, use in enumerate(uses)]
    with pytest.raises(BadDataError, match=f"column 'use' holds no use: '{uses[0]}', '{uses[1]}'; write one of assim"):
        read(*rows, header=header)
    some = read(rows[0].rpartition(",")[0] + ",Monitor", rows[1], header=header)
    assert some.use[0] == "monitor"
    assert some.used.tolist() == [True, False]
