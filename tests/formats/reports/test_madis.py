"""Files of MADIS rebuilt from their CDL: surface reports, aircraft, soundings. Values by hand."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phyda_cli.errors import BadDataError
from phyda_cli.fields.standard_atmosphere import standard_height
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.quality.checks import check_missing

NOON = 1_577_880_000.0
"""2020-01-01T12:00 UTC in seconds since 1970."""


class Writer:
    """A file of MADIS with a number of records."""

    def __init__(self, path: Path, records: int) -> None:
        self.dataset = netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC")
        self.dataset.createDimension("recNum", records)
        self.dataset.createDimension("length", 8)

    def number(
        self, name: str, values: object, units: str | None = None, fill: float = 99999.0, dims=("recNum",)
    ) -> None:
        kind = "f8" if "ime" in name else "f4"
        variable = self.dataset.createVariable(name, kind, dims, fill_value=fill)
        variable.set_auto_mask(False)
        if units is not None:
            variable.units = units
        variable[:] = np.asarray(values)

    def text(self, name: str, values: list[str]) -> None:
        self.dataset.createVariable(name, "S1", ("recNum", "length"))[:] = netCDF4.stringtochar(np.array(values, "S8"))

    def letters(self, name: str, values: str, dims=("recNum",)) -> None:
        shape = tuple(len(self.dataset.dimensions[dim]) for dim in dims)
        self.dataset.createVariable(name, "S1", dims)[:] = np.array(list(values), "S1").reshape(shape)


def values(o: Observations, row: int) -> dict[str, float]:
    mine = (o.row == row) & o.used
    return dict(zip(o.variable[mine].tolist(), o.value[mine].tolist(), strict=True))


def write_metar(path: Path, speed_unit: str = "meter/sec") -> None:
    w = Writer(path, 2)
    w.text("stationName", ["KJFK", "EDDF"])
    w.text("rawMETAR", ["KJFK", "EDDF"])
    w.number("latitude", [40.6, 50.0], "degree_north", 3.402823e38)
    w.number("longitude", [-73.8, 8.6], "degree_east", 3.402823e38)
    w.number("elevation", [4.0, 111.0], "meter", 3.402823e38)
    w.number("timeObs", [NOON - 540.0, NOON], "seconds since 1970-1-1 00:00:00.0", 3.40282346e38)
    w.number("temperature", [278.15, 270.0], "kelvin", 3.402823e38)
    w.letters("temperatureDD", "VX")
    w.number("dewpoint", [271.45, 3.402823e38], "kelvin", 3.402823e38)
    w.letters("dewpointDD", "SZ")
    w.number("windDir", [270.0, 0.0], "degree", 3.402823e38)
    w.number("windSpeed", [5.0, 3.0], speed_unit, 3.402823e38)
    w.number("seaLevelPress", [101_320.0, 102_000.0], "pascal", 3.402823e38)
    w.letters("seaLevelPressDD", "CQ")
    w.dataset.close()


def test_metar(tmp_path):
    write_metar(tmp_path / "metar.nc")
    o = read_observations(tmp_path / "metar.nc")
    assert values(o, 1) == {
        "t2m": pytest.approx(278.15),
        "d2m": pytest.approx(271.45),
        "u10": pytest.approx(5.0),
        "v10": pytest.approx(0.0, abs=1e-6),
        "msl": pytest.approx(101_320.0),
    }
    assert values(o, 2) == {"u10": pytest.approx(0.0, abs=1e-6), "v10": pytest.approx(-3.0)}
    rejected = o.flag == Flag.PRE_QC
    assert sorted(o.reason[rejected]) == [
        "MADIS descriptor Q: questioned, failed level 2 or 3",
        "MADIS descriptor X: failed level 1",
    ]
    assert set(o.report) == {"metar"}
    assert o.station.tolist()[0] == "KJFK"
    assert set(o.time[o.row == 1]) == {np.datetime64("2020-01-01T11:51", "ns")}
    assert o.elevation[o.row == 2][0] == 111.0


def test_a_unit_that_is_not_known_is_refused(tmp_path):
    write_metar(tmp_path / "metar.nc", "furlong/fortnight")
    with pytest.raises(BadDataError, match="'windSpeed' has the unit 'furlong/fortnight'"):
        read_observations(tmp_path / "metar.nc")


def test_ships_give_the_pressure_of_their_station(tmp_path):
    w = Writer(tmp_path / "ship.nc", 1)
    w.text("stationName", ["41001"])
    for name, value, units in (
        ("latitude", 34.7, "degree_north"), ("longitude", -72.7, "degree_east"), ("elevation", 0.0, "meter"),
        ("temperature", 290.0, "kelvin"), ("windDir", 180.0, "degree"), ("windSpeed", 10.0, "meter/sec"),
        ("stationPress", 101_000.0, "pascal"), ("seaSurfaceTemp", 292.0, "kelvin"),
    ):  # fmt: skip
        w.number(name, [value], units)
    w.number("timeObs", [NOON], "seconds since 1970-1-1 00:00:00.0")
    w.dataset.close()
    o = read_observations(tmp_path / "ship.nc")
    assert values(o, 1)["sp"] == 101_000.0
    assert values(o, 1)["v10"] == pytest.approx(10.0)
    assert set(o.report) == {"ship"}


def test_aircraft_are_at_the_pressure_of_their_flight_level(tmp_path):
    w = Writer(tmp_path / "acars.nc", 2)
    w.text("en_tailNumber", ["10A", "10B"])
    altitude = float(standard_height(25_000.0))
    for name, value, units in (
        ("latitude", [40.0, 41.0], "degree_N"), ("longitude", [-80.0, -81.0], "degree_E"),
        ("altitude", [altitude, 99999.0], "meter (pressure altitude, msl)"),
        ("temperature", [221.0, 250.0], "Kelvin"), ("windDir", [270.0, 90.0], "degree_true"),
        ("windSpeed", [40.0, 20.0], "meter/sec"), ("waterVaporMR", [1e-4, 99999.0], "kg/kg"),
    ):  # fmt: skip
        w.number(name, value, units)
    w.number("timeObs", [NOON, NOON + 61.0], "seconds since 1970-1-1 00:00:00", 0.0)
    w.letters("windSpeedDD", "SX")
    w.dataset.close()
    o = read_observations(tmp_path / "acars.nc")
    held = values(o, 1)
    assert held["t"] == pytest.approx(221.0)
    assert held["u"] == pytest.approx(40.0)
    assert held["q"] == pytest.approx(1e-4 / 1.0001, rel=1e-6)
    np.testing.assert_allclose(o.pressure[o.row == 1], 25_000.0, rtol=1e-6)
    assert set(o.report) == {"aircraft"}
    second = check_missing(o)
    assert not second.used[second.row == 2].any()
    assert set(o.time[o.row == 2]) == {np.datetime64("2020-01-01T12:01:01", "ns")}


def test_soundings_have_all_families_of_levels(tmp_path):
    w = Writer(tmp_path / "raob.nc", 1)
    for name, size in (("manLevel", 2), ("sigTLevel", 1), ("sigWLevel", 1)):
        w.dataset.createDimension(name, size)
    w.text("staName", ["OUN"])
    w.number("wmoStaNum", [72357])
    w.number("staLat", [35.18], "degree_N")
    w.number("staLon", [-97.44], "degree_E")
    w.number("staElev", [345.0], "meter")
    w.number("synTime", [NOON], "seconds since (1970-1-1 00:00:0.0)")
    w.number("relTime", [NOON - 2700.0], "seconds since (1970-1-1 00:00:0.0)", -1e38)
    levels = ("recNum", "manLevel")
    w.number("prMan", [[972.0, 500.0]], "hectopascal", dims=levels)
    w.number("htMan", [[345.0, 5570.0]], "meter", dims=levels)
    w.number("tpMan", [[278.15, 255.35]], "kelvin", dims=levels)
    w.number("tdMan", [[4.0, 99999.0]], "kelvin", dims=levels)
    w.number("wdMan", [[180.0, 270.0]], "degree", dims=levels)
    w.number("wsMan", [[3.6, 25.0]], "meter/sec", dims=levels)
    w.letters("tpManDD", "VX", levels)
    w.number("prSigT", [[700.0]], "hectopascal", dims=("recNum", "sigTLevel"))
    w.number("tpSigT", [[270.0]], "kelvin", dims=("recNum", "sigTLevel"))
    w.number("tdSigT", [[10.0]], "kelvin", dims=("recNum", "sigTLevel"))
    w.number("htSigW", [[2000.0]], "meter", dims=("recNum", "sigWLevel"))
    w.number("wdSigW", [[90.0]], "degree", dims=("recNum", "sigWLevel"))
    w.number("wsSigW", [[8.0]], "meter/sec", dims=("recNum", "sigWLevel"))
    w.dataset.close()
    o = read_observations(tmp_path / "raob.nc")
    first = values(o, 1)
    assert first["t"] == pytest.approx(278.15)
    assert first["v"] == pytest.approx(3.6)
    assert first["z"] == pytest.approx(345 * 9.80665)
    vapour = 611.21 * np.exp(17.502 * (274.15 - 273.16) / (274.15 - 32.19))  # dew point 4.0 K below
    assert first["q"] == pytest.approx(0.621981 * vapour / (97_200 - 0.378019 * vapour), rel=1e-4)
    assert "t" not in values(o, 2)
    assert values(o, 2)["u"] == pytest.approx(25.0)
    assert values(o, 3)["t"] == pytest.approx(270.0)
    assert set(o.pressure[o.row == 3]) == {70_000.0}
    wind = check_missing(o)
    assert set(wind.reason[wind.row == 4]) == {"no pressure for a variable on pressure levels"}
    assert set(o.station) == {"72357"}
    assert set(o.time) == {np.datetime64("2020-01-01T11:15", "ns")}
