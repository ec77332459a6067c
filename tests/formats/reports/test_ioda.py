"""IODA files read: names of both generations, units, missing values, quality marks, surface reports and faults."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest

from phyda_cli.constants import EPSILON, GRAVITY
from phyda_cli.errors import BadDataError, InputMissingError
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.formats.feedback.netcdf import write_feedback
from phyda_cli.formats.reports.ioda_names import NAMES, VIRTUAL, find_ioda, ioda_name, report_type
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.observations.table import Feedback, Flag
from tests.support.ioda import GONE, NOON, metadata, write
from tests.support.observations import observations


def read(path, groups, **options):
    return read_observations(write(path / "obs.nc4", groups, **options))


def rows(table):
    return list(zip(table.variable.tolist(), table.flag.tolist(), strict=True))


def test_a_radiosonde_file_by_the_convention(tmp_path):
    table = read(
        tmp_path,
        {
            "MetaData": metadata(
                2, longitude=[-20.0, 350.0], pressure=[50_000.0, 85_000.0], stationElevation=[96.0, 12.0]
            ),
            "ObsValue": {
                "airTemperature": [250.0, 280.0],
                "windEastward": [12.5, GONE],
                "specificHumidity": [1e-3, 5e-3],
                "geopotentialHeight": [5_600.0, GONE],
            },
            "ObsError": {"airTemperature": [1.2, GONE], "geopotentialHeight": [10.0, 10.0]},
            "PreQC": {"airTemperature": [3, 4], "windEastward": [-2147483643, 9], "specificHumidity": [0, 1]},
            "ObsType": {"airTemperature": [120, 120], "windEastward": [220, 220]},
        },
    )
    # The second eastward wind has no value but a mark, and is a row; the second height has neither.
    assert rows(table) == [("t", 0), ("u", 0), ("q", 0), ("z", 0), ("t", 11), ("u", 11), ("q", 0)]
    assert table.row.tolist() == [1, 1, 1, 1, 2, 2, 2]
    np.testing.assert_allclose(table.value[:5], [250.0, 12.5, 1e-3, GRAVITY * 5600.0, 280.0], rtol=1e-7)
    np.testing.assert_allclose(table.error, [1.2, GONE, GONE, GRAVITY * 10.0, GONE, GONE, GONE], rtol=1e-7)
    assert table.reason[4] == "quality mark 4 in the file (0 to 3 are used)"
    assert table.pressure.tolist() == [50_000.0] * 4 + [85_000.0] * 3
    assert table.longitude[0] == 340.0
    assert table.longitude[4] == 350.0
    assert table.elevation[0] == 96.0
    assert (table.time == np.datetime64("2020-03-01T12:00:00", "ns")).all()
    assert table.station.tolist() == ["S0"] * 4 + ["S1"] * 3
    assert table.report.tolist() == ["sonde", "sonde", "", "", "sonde", "sonde", ""]
    assert table.use.tolist() == ["assimilate"] * 7


def test_names_of_the_first_layout(tmp_path):
    path = tmp_path / "v1.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as dataset:
        dataset.date_time = np.int32(2020030112)
        dataset.createDimension("nlocs", 2)
        dataset.createDimension("nstring", 5)
        for name, kind, values in (
            ("latitude@MetaData", "f4", [10.0, 20.0]),
            ("longitude@MetaData", "f4", [0.0, 30.0]),
            ("air_pressure@MetaData", "f4", [50_000.0, 70_000.0]),
            ("time@MetaData", "f4", [-1.5, 0.25]),
            ("air_temperature@ObsValue", "f4", [250.0, netCDF4.default_fillvals["f4"]]),
            ("eastward_wind@ObsValue", "f4", [5.0, 6.0]),
            ("air_temperature@ObsError", "f4", [1.0, 1.0]),
            ("eastward_wind@PreQC", "i4", [2, 12]),
        ):
            dataset.createVariable(name, kind, ("nlocs",))[:] = values
        station = dataset.createVariable("station_id@MetaData", "S1", ("nlocs", "nstring"))
        station[:] = netCDF4.stringtochar(np.array(["10393", "ABC"], dtype="S5"))
    table = read_observations(path)
    assert rows(table) == [("t", 0), ("u", 0), ("u", 11)]
    assert table.station.tolist() == ["10393", "10393", "ABC"]
    assert table.pressure.tolist() == [50_000.0, 50_000.0, 70_000.0]
    assert table.error[0] == 1.0
    assert table.time.astype("datetime64[s]").astype(str).tolist()[1:] == ["2020-03-01T10:30:00", "2020-03-01T12:15:00"]


@pytest.mark.parametrize(
    ("values", "units", "expected"),
    [
        ([NOON, NOON - 86_400], "seconds since 1970-01-01T00:00:00Z", ["2020-03-01T12:00:00", "2020-02-29T12:00:00"]),
        ([30, -1], "minutes since 2020-03-01 11:30", ["2020-03-01T12:00:00", "2020-03-01T11:29:00"]),
        ([0, 43_200], "seconds since 2020-03-01", ["2020-03-01T00:00:00", "2020-03-01T12:00:00"]),
        (["2020-03-01T12:00:00Z", "*** MISSING ***"], None, ["2020-03-01T12:00:00", "NaT"]),
        ([NOON, GONE], "seconds since 1970-01-01T00:00:00Z", ["2020-03-01T12:00:00", "NaT"]),
        ([NOON, 2_000_000_000 * 100], "seconds since 1970-01-01T00:00:00Z", ["2020-03-01T12:00:00", "NaT"]),
    ],
)
def test_times(tmp_path, values, units, expected):
    given = metadata(2, dateTime=np.array(values, dtype=object if isinstance(values[0], str) else None))
    about = {"MetaData/dateTime": units} if units else {"MetaData/dateTime": ""}
    table = read(tmp_path, {"MetaData": given, "ObsValue": {"airTemperature": [250.0, 251.0]}}, units=about)
    assert table.time.astype("datetime64[s]").astype(str).tolist() == expected


@pytest.mark.parametrize("hours", [1.13, 2.01])
def test_fractions_of_hours_are_rounded_to_microseconds(tmp_path, hours):
    """In floating point 1.13 h and 2.01 h are just under 4068 s and 7236 s."""
    given = {"MetaData": metadata(1, dateTime=None), "ObsValue": {"airTemperature": [250.0]}}
    path = write(tmp_path / "obs.nc4", given, attributes={"date_time": "2020030100"})
    with netCDF4.Dataset(path, "a") as dataset:
        dataset["MetaData"].createVariable("time", "f8", ("Location",))[:] = hours
    expected = {1.13: "2020-03-01T01:07:48.000000000", 2.01: "2020-03-01T02:00:36.000000000"}[hours]
    assert str(read_observations(path).time[0]) == expected


def test_words_are_no_times(tmp_path):
    given = metadata(2, dateTime=np.array(["2020-03-01T12:00:00Z", "now"], dtype=object))
    table = read(tmp_path, {"MetaData": given, "ObsValue": {"airTemperature": [250.0, 251.0]}})
    assert np.isnat(table.time).tolist() == [False, True]
    given = metadata(1, dateTime=np.array([60.0]))
    about = {"MetaData/dateTime": "seconds since today"}
    with pytest.raises(BadDataError, match="seconds since a moment"):
        read(tmp_path, {"MetaData": given, "ObsValue": {"airTemperature": [250.0]}}, units=about)


def test_the_old_name_of_a_time_in_text(tmp_path):
    given = metadata(1, dateTime=None, datetime=np.array(["2020-03-01T12:00:00Z"], dtype=object))
    table = read(tmp_path, {"MetaData": given, "ObsValue": {"air_temperature": [250.0]}})
    assert table.time[0] == np.datetime64("2020-03-01T12:00:00")


def test_units_are_honoured_for_values_errors_and_places(tmp_path):
    table = read(
        tmp_path,
        {
            "MetaData": metadata(1, pressure=[500.0], stationElevation=[0.1]),
            "ObsValue": {
                "airTemperature": [-23.15],
                "specificHumidity": [2.5],
                "windEastward": [10.0],
                "geopotentialHeight": [56_000.0],
                "windNorthward": [3.0],
            },
            "ObsError": {"airTemperature": [1.5], "specificHumidity": [0.5], "windEastward": [2.0]},
        },
        units={
            "MetaData/pressure": "hPa",
            "MetaData/stationElevation": "km",
            "ObsValue/airTemperature": "degC",
            "ObsError/airTemperature": "K",
            "ObsValue/specificHumidity": "g kg-1",
            "ObsValue/windEastward": "knots",
            "ObsValue/geopotentialHeight": "m2 s-2",
            "ObsValue/windNorthward": "furlong",
        },
    )
    assert rows(table) == [("t", 0), ("q", 0), ("u", 0), ("z", 0), ("v", 12)]
    np.testing.assert_allclose(table.value[:4], [250.0, 2.5e-3, 18520.0 / 3600.0, 56_000.0], rtol=1e-6)
    np.testing.assert_allclose(table.error[:3], [1.5, 0.5e-3, 3704.0 / 3600.0], rtol=1e-6)
    assert table.pressure[0] == 50_000.0
    assert table.elevation[0] == pytest.approx(100.0)
    assert table.reason[4] == "unit furlong is not known for windNorthward"


def test_an_unknown_unit_of_the_error_is_flagged(tmp_path):
    table = read(
        tmp_path,
        {"MetaData": metadata(1), "ObsValue": {"airTemperature": [250.0]}, "ObsError": {"airTemperature": [1.0]}},
        units={"ObsError/airTemperature": "%"},
    )
    assert rows(table) == [("t", 12)]


def test_surface_reports(tmp_path):
    table = read(
        tmp_path,
        {
            "MetaData": metadata(3, pressure=None, height=[120.0, 130.0, 140.0], stationElevation=[110.0] * 3),
            "ObsValue": {
                "airTemperature": [280.0, GONE, GONE],
                "windEastward": [3.0, GONE, GONE],
                "stationPressure": [99_000.0, 98_000.0, 97_000.0],
                "pressureReducedToMeanSeaLevel": [101_000.0, GONE, GONE],
                "specificHumidity": [GONE, 6e-3, GONE],
                "windSpeed": [GONE, 5.0, GONE],
                "windDirection": [GONE, 270.0, GONE],
            },
            "ObsType": {"airTemperature": [181, 181, 181], "windSpeed": [999, 999, 999]},
        },
    )
    assert rows(table) == [
        ("t2m", 0), ("u10", 0), ("sp", 0), ("msl", 0),
        ("sp", 0), ("d2m", 0), ("u10", 0), ("v10", 0),
        ("sp", 0),
    ]  # fmt: skip
    assert table.report.tolist()[:2] == ["surface", "surface"]
    # e = q p / (ε + (1 − ε) q) = 939.7 Pa; the WMO's dew point there is 279.3 K
    vapour = 6e-3 * 98_000.0 / (EPSILON + (1.0 - EPSILON) * 6e-3)
    ratio = np.log(vapour / 611.21)
    assert table.value[5] == pytest.approx((17.502 * 273.16 - 32.19 * ratio) / (17.502 - ratio), rel=1e-6)
    np.testing.assert_allclose(table.value[6:8], [5.0, 0.0], atol=1e-6)


def test_names_at_2_and_10_metres(tmp_path):
    table = read(
        tmp_path,
        {
            "MetaData": metadata(1),
            "ObsValue": {
                "airTemperatureAt2M": [280.0],
                "dewpointTemperatureAt2M": [275.0],
                "windSpeedAt10M": [4.0],
                "windDirectionAt10M": [180.0],
                "precipitableWater": [20.0],
            },
        },
    )
    assert rows(table) == [("t2m", 0), ("d2m", 0), ("u10", 0), ("v10", 0), ("tcwv", 0)]
    np.testing.assert_allclose(table.value[2:4], [0.0, 4.0], atol=1e-6)


def test_a_wind_at_height_without_pressure_is_no_surface_wind(tmp_path):
    groups = {
        "MetaData": metadata(2, pressure=None, height=[110.0, 3_000.0], stationElevation=[100.0, 100.0]),
        "ObsValue": {"windEastward": [3.0, 30.0]},
    }
    assert rows(read(tmp_path, groups)) == [("u10", 0), ("u", 0)]


def test_a_level_that_lacks_its_pressure_is_no_surface_report(tmp_path):
    groups = {"MetaData": metadata(2, pressure=[50_000.0, GONE]), "ObsValue": {"airTemperature": [250.0, 260.0]}}
    table = read(tmp_path, groups)
    assert rows(table) == [("t", 0), ("t", 0)]
    assert np.isnan(table.pressure[1])
    groups["MetaData"] = metadata(2, pressure=None)
    assert rows(read(tmp_path, groups)) == [("t2m", 0), ("t2m", 0)]


def test_pressures_of_stations_make_surface_reports_but_a_sonde_stays_one(tmp_path):
    value = {"airTemperature": [280.0, 281.0], "stationPressure": [99_000.0, 98_000.0]}
    groups = {"MetaData": metadata(2, pressure=[99_000.0, 98_000.0]), "ObsValue": value}
    assert [name for name, _ in rows(read(tmp_path, groups))] == ["t2m", "sp", "t2m", "sp"]
    groups["ObsValue"] = {"airTemperature": [280.0, 281.0], "stationPressure": [99_000.0, GONE]}
    assert [name for name, _ in rows(read(tmp_path, groups))] == ["t", "sp", "t"]


def test_virtual_temperature(tmp_path):
    table = read(
        tmp_path,
        {
            "MetaData": metadata(4),
            "ObsValue": {
                "virtualTemperature": [281.0, 282.0, 283.0, 284.0],
                "specificHumidity": [0.01, GONE, 0.01, 0.01],
                "airTemperature": [GONE, GONE, 282.0, GONE],
            },
            "ObsError": {"virtualTemperature": [1.5] * 4},
            "PreQC": {"specificHumidity": [0, 0, 0, 9]},
        },
    )
    assert rows(table) == [
        ("t", 0), ("q", 0),
        (VIRTUAL, 10),
        (VIRTUAL, 16), ("q", 0), ("t", 0),
        (VIRTUAL, 10), ("q", 11),
    ]  # fmt: skip
    # 1/ε − 1 = 461.5250/287.0597 − 1 = 0.607767
    assert table.value[0] == pytest.approx(281.0 / 1.00607767, rel=1e-6)
    assert table.error[0] == pytest.approx(1.5 / 1.00607767, rel=1e-6)
    assert "specificHumidity" in table.reason[2]


def test_radiances_profiles_and_strange_names_are_flagged_once_for_each_location(tmp_path):
    table = read(
        tmp_path,
        {
            "MetaData": metadata(3),
            "ObsValue": {
                "brightnessTemperature": [[200.0, 210.0], [GONE, 220.0], [GONE, GONE]],
                "bendingAngle": [0.01, GONE, GONE],
                "remark": np.array(["", "fine", ""], dtype=object),
            },
        },
    )
    assert rows(table) == [
        ("brightnessTemperature", 15), ("bendingAngle", 15), ("brightnessTemperature", 15), ("remark", 15), ("", 10)
    ]  # fmt: skip
    assert table.reason[0] == "2 channels of brightnessTemperature have no operator"
    assert table.reason[1] == "unknown variable bendingAngle"
    assert table.reason[4] == "the location holds no value"
    assert set(table.row.tolist()) == {1, 2, 3}


def test_uses(tmp_path):
    groups = {
        "MetaData": metadata(3),
        "ObsValue": {"airTemperature": [250.0] * 3},
        "PreUseFlag": {"airTemperature": [0, 100, 101]},
    }
    assert read(tmp_path, groups).use.tolist() == ["assimilate", "monitor", "monitor"]


def test_places_and_values_that_are_not_finite_stay_rows(tmp_path):
    path = write(tmp_path / "obs.nc4", {"MetaData": metadata(3), "ObsValue": {"airTemperature": [250.0, 251.0, 252.0]}})
    with netCDF4.Dataset(path, "a") as dataset:
        dataset["MetaData/latitude"][0] = np.nan
        dataset["MetaData/longitude"][1] = np.inf
        dataset["ObsValue/airTemperature"][2] = np.nan
    table = read_observations(path)
    assert len(table) == 3
    assert np.isnan(table.latitude[0])
    assert np.isnan(table.longitude[1])
    assert (table.flag[2], table.reason[2]) == (Flag.MISSING, "value is not a finite number")


@pytest.mark.parametrize("fill", [-3.3687953e38, 9.96921e36, -9.99e8, np.nan])
def test_every_kind_of_missing_number(tmp_path, fill):
    path = write(tmp_path / "obs.nc4", {"MetaData": metadata(2), "ObsValue": {"windEastward": [3.0, 4.0]}})
    with netCDF4.Dataset(path, "a") as dataset:
        variable = dataset["ObsValue"].createVariable(
            "airTemperature", "f4", ("Location",), fill_value=np.float32(fill)
        )
        variable[:] = np.array([250.0, fill], dtype=np.float32)
    assert rows(read_observations(path)) == [("u", 0), ("t", 0), ("u", 0)]


def test_no_locations(tmp_path):
    groups = {"MetaData": metadata(0), "ObsValue": {"airTemperature": np.empty(0)}}
    assert len(read(tmp_path, groups)) == 0


def test_the_order_of_the_variables_does_not_matter(tmp_path):
    value = {"virtualTemperature": [281.0, 282.0], "specificHumidity": [0.01, 0.02], "windSpeed": [5.0, 6.0]}
    value["windDirection"] = [90.0, 10.0]
    tables = [
        read(tmp_path, {"MetaData": metadata(2), "ObsValue": dict(sorted(value.items(), reverse=backwards))})
        for backwards in (False, True)
    ]
    found = [sorted(zip(t.row, t.variable, t.value, t.flag, strict=True)) for t in tables]
    assert found[0] == found[1]


def test_faults_of_the_whole_file(tmp_path):
    def refused(path, text):
        with pytest.raises(BadDataError, match=text) as caught:
            read_observations(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)

    good = {"MetaData": metadata(2), "ObsValue": {"airTemperature": [250.0, 251.0]}}
    whole = write(tmp_path / "whole.nc4", good).read_bytes()
    for size in (100, len(whole) // 2, len(whole) - 100):
        cut = tmp_path / "cut.nc4"
        cut.write_bytes(whole[:size])
        refused(cut, "cut off")
    refused(write(tmp_path / "a.nc4", {"MetaData": metadata(2)}), "no group ObsValue; there are: MetaData, Location")
    place = metadata(2, latitude=None)
    refused(write(tmp_path / "b.nc4", {**good, "MetaData": place}, size=2), "MetaData/latitude is missing")
    refused(write(tmp_path / "c.nc4", {**good, "MetaData": metadata(2, dateTime=None)}), "expected dateTime")
    strange = {"MetaData/dateTime": "fortnights since 1970-01-01"}
    refused(write(tmp_path / "d.nc4", good, units=strange), "units 'fortnights since 1970-01-01', expected seconds")
    refused(write(tmp_path / "e.nc4", good, units={"MetaData/pressure": "bar"}), "MetaData/pressure has units 'bar'")
    grid = tmp_path / "grid.nc"
    with netCDF4.Dataset(grid, "w") as dataset:
        dataset.createDimension("latitude", 3)
        dataset.createVariable("latitude", "f4", ("latitude",))
    refused(grid, "--background")
    empty = np.empty(0)
    write_feedback(tmp_path / "f.nc", Feedback(observations("t", []), empty, empty, empty), attributes={})
    refused(tmp_path / "f.nc", "feedback file of phyda")
    with pytest.raises(InputMissingError):
        read_observations(tmp_path / "none.nc4")


def test_damaged_bytes_give_a_table_or_one_line(tmp_path):
    value = {"airTemperature": [250.0, GONE], "virtualTemperature": [250.0, 251.0], "specificHumidity": [1e-3, 2e-3]}
    groups = {"MetaData": metadata(2), "ObsValue": value, "PreQC": {"airTemperature": [1, 9]}}
    whole = write(tmp_path / "whole.nc4", groups).read_bytes()
    generator = np.random.default_rng(3)
    for trial in range(25):
        damaged = bytearray(whole)
        for place in generator.integers(16, len(whole), 6):
            damaged[place] = generator.integers(256)
        path = tmp_path / f"{trial}.nc4"
        path.write_bytes(damaged)
        rows_found, message = [], ""
        try:
            rows_found = read_observations(path).row.tolist()
        except BadDataError as error:
            message = str(error)
        assert "\n" not in message
        assert set(rows_found) == set(range(1, max(rows_found, default=0) + 1))


def test_marks_that_are_no_numbers_of_a_table(tmp_path):
    marks = {"airTemperature": [1e20, 2.0, GONE]}
    groups = {"MetaData": metadata(3), "ObsValue": {"airTemperature": [250.0] * 3}, "PreQC": marks, "ObsType": marks}
    table = read(tmp_path, groups)
    assert table.flag.tolist() == [0, 0, 0]
    assert table.report.tolist() == ["", "2", ""]


@pytest.mark.parametrize("place", ["MetaData/pressure", "ObsValue/airTemperature", "ObsError/airTemperature"])
def test_variables_of_the_wrong_length(tmp_path, place):
    path = write(tmp_path / "obs.nc4", {"MetaData": metadata(3, pressure=None), "ObsValue": {}, "ObsError": {}})
    with netCDF4.Dataset(path, "a") as dataset:
        dataset.createDimension("Other", 2)
        for name in {"ObsValue/airTemperature", place}:
            group, _, variable = name.partition("/")
            dimension = "Other" if name == place else "Location"
            made = dataset[group].createVariable(variable, "f4", (dimension,))
            made[:] = 250.0
    with pytest.raises(BadDataError, match=rf"{place} has shape \(2,\), expected \(3,\)"):
        read_observations(path)


def test_the_table_of_names():
    assert len({entry.name for entry in NAMES}) == len(NAMES)
    for entry in NAMES:
        assert find_ioda(entry.name) is entry
        assert all(find_ioda(old) is entry for old in entry.old)
        if entry.quantity in VARIABLES:
            assert VARIABLES[entry.quantity].units == entry.units
            assert ioda_name(entry.quantity) == (entry.name, entry.units, 1.0)
    assert ioda_name("z") == ("geopotentialHeight", "m", 1.0 / GRAVITY)
    numbers = (120, 187, 233, 245, 145, 280, 42, 387)
    assert [report_type(number) for number in numbers] == [
        "sonde", "surface", "aircraft", "satwind", "145", "ship", "42", "387"
    ]  # fmt: skip
