"""Archives of stations: IGRA 2 soundings, ISD in its three forms, and their lists of stations. Values by hand."""

from __future__ import annotations

import io
import logging

import numpy as np
import pytest

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.formats.reports.stations import read_stations
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.quality.checks import check_missing

TIME = np.datetime64("2020-01-01T00:00")
IGRA = (
    "#USM00072357 2020 01 01 00 2315    3 ncdc-gts ncdc-gts  351811  -974378\n"
    "21     0  97200B  345B   50A  800    40   180    36 \n"
    "10   530  50000B 5570B -178B  200   132   265   257 \n"
    "30 -9999 -9999   6000 -9999 -9999 -9999   270   300 \n"
    "#USM00072357 2020 01 05 12 9999    1 ncdc-gts ncdc-gts  351811  -974378\n"
    "10 -9999  50000B 5600B -200B -9999 -9999 -9999 -9999 \n"
)
ISD = (
    "0133725080147402020010111514+40660-074170FM-15+0002KJFK V0302705N00515220001CN0160931N5"
    "+00505-00225101325ADDMA1102985101285REMMET"
)
ISD_LITE = "2020 01 01 00   -28   -39 10225     0     0     2 -9999 -9999\n2020 01 01 01 -9999   -44 -9999   270    31     2 -9999 -9999\n"  # noqa: E501
ISD_CSV = (
    '"STATION","DATE","LATITUDE","LONGITUDE","ELEVATION","NAME","REPORT_TYPE","WND","TMP","DEW","SLP","MA1"\n'
    '"72508014740","2020-01-01T11:51:00","41.9375","-72.6819","53.3","X, Y","FM-15","270,5,N,0051,5","+0050,5",'
    '"-0022,3","10132,5","10298,5,10128,5"\n'
    '"72508014740","2020-01-01T12:51:00","41.9375","-72.6819","53.3","X, Y","FM-12","999,9,C,0000,5","+9999,9",'
    '"+9999,9","99999,9",""\n'
)


def read(text: str, time: np.datetime64 | None = TIME, **options: object) -> Observations:
    return read_observations(io.StringIO(text), name="archive", reference_time=time, **options)


def values(observations: Observations, row: int) -> dict[str, float]:
    mine = (observations.row == row) & observations.used
    return dict(zip(observations.variable[mine].tolist(), observations.value[mine].tolist(), strict=True))


def test_a_sounding_of_igra_by_hand():
    o = read(IGRA)
    first = values(o, 1)
    # 5.0 °C with a depression of 4.0 K; 180° at 3.6 m/s is all from the south
    assert first["t"] == pytest.approx(278.15)
    assert first["z"] == pytest.approx(345 * 9.80665)
    assert (first["u"], first["v"]) == (pytest.approx(0.0, abs=1e-12), pytest.approx(3.6))
    vapour = 611.21 * np.exp(17.502 * (274.15 - 273.16) / (274.15 - 32.19))  # over water at the dew point of 1.0 °C
    assert first["q"] == pytest.approx(0.621981 * vapour / (97_200 - 0.378019 * vapour), rel=1e-4)
    second = o.row == 2
    assert set(o.pressure[second]) == {50_000.0}
    assert values(o, 2)["t"] == pytest.approx(255.35)
    np.testing.assert_allclose(o.latitude, 35.1811)
    np.testing.assert_allclose(o.longitude, 360 - 97.4378)
    assert set(o.station) == {"USM00072357"}


def test_the_time_of_a_level_is_its_release_and_flight():
    o = read(IGRA)
    # released at 23:15 of the day before the nominal 00 UTC; the second level 5 min 30 s later
    assert set(o.time[o.row == 1]) == {np.datetime64("2019-12-31T23:15:00", "ns")}
    assert set(o.time[o.row == 2]) == {np.datetime64("2019-12-31T23:20:30", "ns")}
    # a level without a time in flight has the nominal hour
    assert set(o.time[o.row == 3]) == {np.datetime64("2020-01-01T00:00:00", "ns")}


def test_a_wind_by_height_has_no_pressure_and_is_kept():
    o = read(IGRA)
    assert set(o.variable[o.row == 3]) == {"z", "u", "v"}
    assert np.isnan(o.pressure[o.row == 3]).all()
    judged = check_missing(o)
    assert set(judged.reason[o.row == 3]) == {"no pressure for a variable on pressure levels"}


def test_soundings_far_from_the_analysis_are_not_read_and_counted(caplog):
    with caplog.at_level(logging.INFO):
        assert set(read(IGRA).row) == {1, 2, 3}
    assert "1 of 2 soundings lie within 48 h" in caplog.text
    assert set(read(IGRA, None).row) == {1, 2, 3, 4}
    assert values(read(IGRA, np.datetime64("2020-01-05T06:00")), 1)["t"] == pytest.approx(253.15)


def test_a_moving_station_has_no_place():
    moving = IGRA.replace(" 351811  -974378", "-988888 -9988888")
    o = check_missing(read(moving))
    assert not o.used.any()
    assert "place is missing or not finite" in set(o.reason)


def test_a_sounding_that_is_cut_off_is_refused():
    with pytest.raises(BadDataError, match=r"2020-01-05 12 UTC has 0 levels, its heading says 1"):
        read(IGRA[: IGRA.rindex("10 -9999")], None)


def test_a_report_of_the_isd_by_hand():
    o = read(ISD)
    held = values(o, 1)
    assert held["t2m"] == pytest.approx(278.15)
    assert held["d2m"] == pytest.approx(270.95)
    assert (held["u10"], held["v10"]) == (pytest.approx(5.1), pytest.approx(0.0, abs=1e-12))
    assert held["msl"] == pytest.approx(101_320.0)
    assert held["sp"] == pytest.approx(101_280.0)
    assert set(o.station) == {"725080-14740"}
    assert set(o.report) == {"metar"}
    assert set(o.time) == {np.datetime64("2020-01-01T11:51", "ns")}
    assert (o.latitude[0], o.longitude[0], o.elevation[0]) == (pytest.approx(40.66), pytest.approx(285.83), 2.0)


def test_quality_codes_of_the_isd_reject():
    suspect = ISD.replace("+00505", "+00502")
    o = read(suspect)
    assert "t2m" not in values(o, 1)
    rejected = o.flag == Flag.PRE_QC
    assert o.reason[rejected].tolist() == ["ISD quality code 2"]
    assert "msl" in values(o, 1)


def test_a_line_of_the_isd_that_is_cut_off_is_flagged():
    o = read(ISD + "\n" + ISD[:70])
    assert {int(flag) for flag in o.flag[o.row == 2]} == {Flag.MISSING}
    assert values(o, 1)["t2m"] == pytest.approx(278.15)


def test_isd_lite_has_the_station_of_its_name(tmp_path):
    (tmp_path / "isd-history.csv").write_text(
        '"USAF","WBAN","STATION NAME","CTRY","STATE","ICAO","LAT","LON","ELEV(M)","BEGIN","END"\n'
        '"725080","14740","BRADLEY, FIELD","US","CT","KBDL","+41.938","-072.682","+0053.3","19730101","20250101"\n'
        '"725081","99999","NOWHERE","US","CT","","","","","19730101","20250101"\n'
    )
    path = tmp_path / "725080-14740-2020"
    path.write_text(ISD_LITE)
    o = read_observations(path, stations=read_stations(tmp_path / "isd-history.csv"))
    held = values(o, 1)
    assert held["t2m"] == pytest.approx(270.35)
    assert held["d2m"] == pytest.approx(269.25)
    assert held["msl"] == pytest.approx(102_250.0)
    assert (held["u10"], held["v10"]) == (pytest.approx(0.0), pytest.approx(0.0))
    assert values(o, 2)["u10"] == pytest.approx(3.1)
    assert "t2m" not in values(o, 2)
    assert set(o.station) == {"725080-14740"}
    assert (o.latitude[0], o.longitude[0], o.elevation[0]) == (41.938, pytest.approx(287.318), 53.3)
    assert set(o.time[o.row == 2]) == {np.datetime64("2020-01-01T01:00", "ns")}
    assert set(check_missing(read_observations(path)).reason) == {"place is missing or not finite"}


def test_isd_as_csv_by_hand():
    o = read(ISD_CSV)
    held = values(o, 1)
    assert held["t2m"] == pytest.approx(278.15)
    assert "d2m" not in held
    assert held["u10"] == pytest.approx(5.1)
    assert held["msl"] == pytest.approx(101_320.0)
    assert held["sp"] == pytest.approx(101_280.0)
    assert values(o, 2) == {"u10": pytest.approx(0.0), "v10": pytest.approx(0.0)}
    assert o.report[o.row == 2].tolist()[0] == "synop"
    assert (o.latitude[0], o.elevation[0]) == (41.9375, 53.3)


def test_the_list_of_igra_gives_elevations(tmp_path):
    (tmp_path / "igra2-station-list.txt").write_text(
        "USM00072357  35.1811  -97.4378  345.0 OK NORMAN/MAX WESTHEIMER         1989 2023  25094\n"
        "ZZM00099999 -98.8888 -998.8888 -998.8    MOBILE                         1989 2023      1\n"
    )
    stations = read_stations(tmp_path / "igra2-station-list.txt")
    assert set(stations) == {"USM00072357"}
    assert set(read(IGRA, stations=stations).elevation) == {345.0}


def test_a_table_of_the_isd_that_is_cut_off_inside_a_cell_is_refused():
    with pytest.raises(BadDataError, match="is cut off or damaged"):
        read(ISD_CSV + '"7250","2020')


@pytest.mark.parametrize("text", [IGRA, ISD, ISD_LITE, ISD_CSV])
def test_empty_lines_above_an_archive_change_nothing(text):
    bare, below = read(text), read("\r\n\n" + text)
    np.testing.assert_array_equal(below.value, bare.value)
    assert below.variable.tolist() == bare.variable.tolist()
