from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.errors import BadDataError
from phyda_cli.fields.standard_atmosphere import standard_height, standard_pressure
from phyda_cli.formats.reports.bufr_messages import is_bufr
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.observations.table import Flag
from tests.support.bufr import raw_message, wmo_message
from tests.support.damage import flipped_bits

GRAVITY = 9.80665
WHEN = {"year": 2024, "month": 2, "day": 29, "hour": 23, "minute": 30}
PLACE = {"latitude": 52.5, "longitude": -1.25}
STATION = {"blockNumber": 3, "stationNumber": 5}


def sonde(levels, **head):
    """A TEMP of template 309052; levels: dicts of ecCodes keys."""
    values = STATION | WHEN | PLACE | {"heightOfStationGroundAboveMeanSeaLevel": 70.0} | head
    for number, level in enumerate(levels, 1):
        values |= {f"#{number}#{key}": value for key, value in level.items()}
    return wmo_message([309052], [values], category=2, replications=[1], long_replications=[len(levels)])


LOW = {
    "pressure": 100_000.0, "nonCoordinateGeopotentialHeight": 120.0, "airTemperature": 285.15,
    "dewpointTemperature": 273.16, "windDirection": 270.0, "windSpeed": 10.0,
}  # fmt: skip
HIGH = {
    "pressure": 50_000.0, "airTemperature": 250.0, "windDirection": 180.0, "windSpeed": 20.0,
    "timePeriod": 1800.0, "latitudeDisplacement": 0.5, "longitudeDisplacement": 1.25,
}  # fmt: skip
SYNOP = STATION | WHEN | PLACE | {
    "heightOfStationGroundAboveMeanSeaLevel": 68.0, "heightOfBarometerAboveMeanSeaLevel": 71.5,
    "nonCoordinatePressure": 99_870.0, "pressureReducedToMeanSeaLevel": 100_730.0, "airTemperature": 280.25,
    "dewpointTemperature": 277.5, "windDirection": 90.0, "windSpeed": 4.0,
}  # fmt: skip


def write(tmp_path, *messages):
    path = tmp_path / "observations.bin"
    path.write_bytes(b"".join(messages))
    return path


def read(tmp_path, *messages):
    return read_observations(write(tmp_path, *messages))


def rows(observations, number):
    """variable → value of a level's rows that passed."""
    o = observations
    mask = (o.row == number) & o.used
    return dict(zip(o.variable[mask], o.value[mask], strict=True))


def test_a_sounding(tmp_path):
    o = read(tmp_path, sonde([LOW, HIGH]))
    low, high = rows(o, 1), rows(o, 2)
    assert sorted(low) == ["q", "t", "u", "v", "z"]
    assert sorted(high) == ["t", "u", "v"]
    # e_w(273.16 K) = 611.21 Pa; q = 0.62198 · 611.21 / (100000 − 0.37802 · 611.21) = 0.0038105
    assert low["q"] == pytest.approx(0.0038105, rel=1e-4)
    assert (low["t"], low["z"]) == (pytest.approx(285.15), pytest.approx(120.0 * GRAVITY))
    assert (low["u"], low["v"]) == (pytest.approx(10.0), pytest.approx(0.0, abs=1e-12))
    assert (high["u"], high["v"]) == (pytest.approx(0.0, abs=1e-12), pytest.approx(20.0))
    assert set(o.pressure) == {100_000.0, 50_000.0}
    assert (set(o.station), set(o.report), set(o.elevation)) == ({"03005"}, {"sonde"}, {70.0})


def test_a_drifting_sonde_has_its_own_place_and_time_at_each_level(tmp_path):
    o = read(tmp_path, sonde([LOW, HIGH], **{"second": 10}))
    start, drifted = o.take(o.row == 1), o.take(o.row == 2)
    assert set(start.time) == {np.datetime64("2024-02-29T23:30:10")}
    assert set(drifted.time) == {np.datetime64("2024-03-01T00:00:10")}
    assert (set(start.latitude), set(start.longitude)) == ({52.5}, {358.75})
    assert (set(drifted.latitude), set(drifted.longitude)) == ({53.0}, {0.0})


def test_a_sounding_without_a_level_is_one_row(tmp_path):
    o = read(tmp_path, sonde([]), sonde([LOW]))
    assert o.flag[o.row == 1].tolist() == [Flag.MISSING]
    assert len(rows(o, 2)) == 5


@pytest.mark.parametrize("compressed", [False, True])
def test_synoptic_reports_packed_either_way(tmp_path, compressed):
    other = SYNOP | {"stationNumber": 6, "airTemperature": 270.0, "latitude": -33.0}
    o = read(
        tmp_path, wmo_message([307080], [SYNOP, other], category=0, compressed=compressed, replications=[0, 0] * 2)
    )
    first = rows(o, 1)
    assert first == {
        "t2m": pytest.approx(280.25), "d2m": pytest.approx(277.5), "sp": 99_870.0, "msl": 100_730.0,
        "u10": pytest.approx(-4.0), "v10": pytest.approx(0.0, abs=1e-12),
    }  # fmt: skip
    assert rows(o, 2)["t2m"] == pytest.approx(270.0)
    assert (set(o.station[o.row == 2]), set(o.latitude[o.row == 2])) == ({"03006"}, {-33.0})
    assert set(o.elevation) == {71.5}
    assert np.isnan(o.pressure).all()


def test_a_day_that_is_none_is_no_time(tmp_path):
    bad = SYNOP | {"month": 2, "day": 31}
    o = read(tmp_path, wmo_message([307080], [SYNOP, bad], category=0, replications=[0, 0] * 2))
    assert not np.isnat(o.time[o.row == 1]).any()
    assert np.isnat(o.time[o.row == 2]).all()


def test_an_aerodrome_report_is_named_by_its_indicator(tmp_path):
    report = WHEN | PLACE | {
        "icaoLocationIndicator": "EGLL", "windDirection": 180.0, "windSpeed": 7.0, "airTemperature": 283.0,
        "dewpointTemperature": 280.0, "pressureReducedToMeanSeaLevel": 101_300.0,
    }  # fmt: skip
    template = [1063, 301011, 301012, 301021, 7006, 11001, 11002, 7006, 12001, 12003, 10051]
    o = read(tmp_path, wmo_message(template, [report, report | {"icaoLocationIndicator": "EIDW"}], category=0))
    assert (set(o.station), set(o.report)) == ({"EGLL", "EIDW"}, {"metar"})
    assert rows(o, 2) == {
        "t2m": pytest.approx(283.0), "d2m": pytest.approx(280.0), "msl": 101_300.0,
        "u10": pytest.approx(0.0, abs=1e-12), "v10": pytest.approx(7.0),
    }  # fmt: skip


def test_aircraft_at_a_height_have_the_pressure_of_the_standard_atmosphere(tmp_path):
    report = WHEN | PLACE | {
        "aircraftFlightNumber": "EU1234", "height": 5000, "airTemperature": 255.7, "windDirection": 360.0,
        "windSpeed": 30.0,
    }  # fmt: skip
    o = read(tmp_path, wmo_message([311001], [report], category=4))
    # ICAO: 540.20 hPa at 5000 m
    np.testing.assert_allclose(o.pressure, 54_020.0, atol=10.0)
    assert rows(o, 1) == {
        "t": pytest.approx(255.7), "u": pytest.approx(0.0, abs=1e-12), "v": pytest.approx(-30.0)
    }  # fmt: skip
    assert set(o.station) == {"EU1234"}


def test_a_satellite_wind_is_the_first_of_its_alternatives(tmp_path):
    report = {f"#1#{key}": value for key, value in WHEN.items()} | {f"#1#{key}": v for key, v in PLACE.items()}
    report |= {"satelliteIdentifier": 57, "#1#pressure": 30_000.0, "#1#windDirection": 270.0, "#1#windSpeed": 40.0}
    report |= {"#2#pressure": 70_000.0, "#2#windDirection": 90.0, "#2#windSpeed": 5.0, "#1#airTemperature": 230.0}
    o = read(tmp_path, wmo_message([310014], [report], category=5))
    assert rows(o, 1) == {"u": pytest.approx(40.0), "v": pytest.approx(0.0, abs=1e-12)}
    assert (set(o.pressure), set(o.station), set(o.report)) == ({30_000.0}, {"57"}, {"satwind"})


def test_quality_information_at_the_end_changes_nothing(tmp_path):
    template = [311001, 222000, 101018, 31031, 1031, 1032, 101018, 33007]
    plain = WHEN | PLACE | {"aircraftFlightNumber": "A", "height": 9000, "airTemperature": 230.0}
    o = read(tmp_path, wmo_message(template, [plain], category=4))
    two = read(tmp_path, wmo_message(template, [plain, plain | {"airTemperature": 231.0}], category=4))
    assert rows(o, 1) == {"t": pytest.approx(230.0)}
    assert [rows(two, 1)["t"], rows(two, 2)["t"]] == [pytest.approx(230.0), pytest.approx(231.0)]


def test_bulletin_headers_and_padding_between_messages(tmp_path):
    header = b"\x01\r\r\n012\r\r\nIUSD01 EGRR 292330\r\r\n"
    plain = read(tmp_path, sonde([LOW]), sonde([HIGH]))
    content = header + sonde([LOW]) + b"\r\r\n\x03" + header + sonde([HIGH]) + b"\0" * 2000
    assert is_bufr(content[:4096])
    o = read(tmp_path, content)
    np.testing.assert_array_equal(o.value, plain.value)
    assert o.used.all()


def test_a_text_that_speaks_of_bufr_is_none(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("time,lat,lon,variable,value,station\n2020-01-01T00:00,0,0,t2m,280,BUFR converted\n")
    assert len(read_observations(path)) == 1


def test_what_is_not_read_is_one_row_and_counted(tmp_path, caplog):
    radiances = raw_message([1007, 5001, 6001], b"\0" * 16, category=21, subsets=2)
    unknown = raw_message([63001, 48002], b"\0" * 8, category=2)
    bogus = raw_message([12101, 101032, 101018, 33007], b"\0" * 8, category=0)
    o = read(tmp_path, sonde([LOW]), radiances, unknown, bogus, sonde([HIGH]))
    assert o.row.max() == 5
    reasons = [o.reason[o.row == row][0] for row in (2, 3, 4)]
    assert [o.flag[o.row == row].tolist() for row in (2, 3, 4)] == [[Flag.PRE_QC]] * 3
    assert reasons[0].endswith("data category 21 is not read")
    assert "message 3 at byte" in reasons[1]
    assert "replication 101018 reaches beyond its template" in reasons[2]
    assert len(rows(o, 1)) == 5
    assert len(rows(o, 5)) == 3
    assert len(caplog.records) == 1
    assert "of 5 messages some are not read" in caplog.text
    with pytest.raises(BadDataError, match="none of its 2 messages can be read"):
        read(tmp_path, radiances, unknown)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ([12101, 231031], "there is no operator 231031"),
        ([203129, 12101], "there is no operator 203129"),
        ([201200, 12101], "there is no operator 201200"),
        ([12101, 131031, 12101], "replication 131031 reaches beyond"),
        ([101000, 12101, 12101], "replication 101000 has no count"),
        ([100001, 12101], "replication 100001 reaches beyond"),
        ([12101], "it holds no report"),
    ],
)
def test_templates_that_the_library_would_not_survive(tmp_path, template, reason):
    bogus = raw_message(template, b"\0" * 40, category=0, subsets=0 if len(template) == 1 else 1)
    o = read(tmp_path, bogus, sonde([LOW]))
    assert reason in o.reason[0]
    assert len(rows(o, 2)) == 5


def test_a_damaged_message_does_not_cost_the_others(tmp_path):
    wrong_length = bytearray(sonde([LOW]))
    wrong_length[6] += 40
    garbage = bytes(range(128, 256)) * 3
    for damaged in (bytes(wrong_length), sonde([LOW])[:60], sonde([LOW]) + garbage):
        o = read(tmp_path, sonde([HIGH]), damaged, sonde([HIGH]))
        lost = o.variable == ""
        assert o.flag[lost].tolist() == [Flag.PRE_QC]
        assert "is damaged" in o.reason[lost][0]
        assert len(rows(o, o.row.max())) == 3
        assert o.used.sum() >= 6


def test_every_cut_is_refused(tmp_path):
    content = sonde([LOW]) + sonde([HIGH])
    first = len(sonde([LOW]))
    for size in (0, 3, 7, 20, first - 1, first + 4, first + 30, len(content) - 1):
        with pytest.raises(BadDataError):
            read_observations(write(tmp_path, content[:size]))


def test_bit_flips_never_end_in_a_traceback(tmp_path):
    content = sonde([LOW, HIGH])
    for damaged in flipped_bits(content, 80):
        try:
            read_observations(write(tmp_path, damaged))
        except BadDataError:
            continue


def test_the_pole_and_missing_times(tmp_path):
    o = read(tmp_path, sonde([LOW], latitude=-90.0))
    assert o.used.all()
    values = {key: value for key, value in SYNOP.items() if key != "hour"}
    without = read(tmp_path, wmo_message([307080], [values], category=0, replications=[0, 0]))
    assert np.isnat(without.time).all()


def test_standard_pressure_is_the_inverse_of_standard_height():
    heights = np.array([-300.0, 0.0, 5000.0, 10999.0, 11001.0, 18000.0])
    np.testing.assert_allclose(standard_height(standard_pressure(heights)), heights, atol=1e-2)
    assert standard_pressure(0.0) == pytest.approx(101_325.0)


@pytest.mark.parametrize(
    ("template", "data", "subsets", "compressed", "words"),
    [
        ([103255, 102255, 101255, 12101], 40, 1, False, "asks for 16581375 numbers"),  # 255³
        ([102255, 101255, 309052], 65_000, 1, False, "asks for 3186225 numbers"),  # 255² sequences of 49
        ([101200, 12101], 40, 60, False, "asks for 12000 numbers, its data have 320 bits"),
        ([101250, 12101], 60_000, 65_535, True, "asks for 16383750 numbers"),
        ([103000, 31001, 101000, 31001, 31031], 60_000, 65_535, True, "65535 compressed reports with counts"),
    ],
)
def test_templates_that_ask_for_more_than_their_data_hold_are_refused(
    tmp_path, template, data, subsets, compressed, words
):
    raw = raw_message(template, b"\0" * data, category=2, subsets=subsets, compressed=compressed)
    with pytest.raises(BadDataError, match=words):
        read(tmp_path, raw)


def test_a_bomb_costs_its_neighbours_nothing(tmp_path):
    bomb = raw_message([103255, 102255, 101255, 12101], b"\0" * 40, category=2)
    report = WHEN | PLACE | {
        "aircraftFlightNumber": "EU1234", "height": 5000, "airTemperature": 255.7, "windDirection": 360.0,
        "windSpeed": 30.0,
    }  # fmt: skip
    o = read(tmp_path, bomb + wmo_message([311001], [report], category=4))
    assert o.flag[o.row == 1].tolist() == [Flag.PRE_QC]
    assert rows(o, 2)["t"] == pytest.approx(255.7)
