"""METAR bulletins, lists of soundings, and tables of stations that give reports their places."""

from __future__ import annotations

import io

import numpy as np
import pytest

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.formats.reports.stations import Place, read_stations
from phyda_cli.observations.table import Flag, Observations

KNOT = 1852.0 / 3600.0
BULLETINS = """\x01
455
SAUS70 KWBC 011200
METAR
KAAA 011155Z AUTO 27010G20KT 10SM CLR 21/M02 A3005 RMK AO2 SLP158 T02121017
     10225=
KBBB 302350Z VRB03KT 9999 R08/1000 M05/ Q1013=
\x03
SPECI KCCC 011201Z 36005MPS 20/18 RMK SLP982 SLPNO=
KDDD 011200Z NIL=
KEEE 991200Z 00000KT 20/18=
TAF KAAA 011130Z 0112/0212 27010KT 10/08=
"""
STATIONS = (
    "icao,lat,lon,elev\nKAAA,40,-90,200\nKBBB,10.0,20.0,\nKBBB,10.05,20.0,\nKCCC,-5,3,7\nKDDD,0,0,0\nKEEE,1,1,1\n"
)
SOUNDING = """72357 OUN Norman Observations at 12Z 22 May 2011

-----------------------------------------------------------------------------
   PRES   HGHT   TEMP   DWPT   RELH   MIXR   DRCT   SKNT   THTA   THTE   THTV
    hPa     m      C      C      %    g/kg    deg   knot     K      K      K
-----------------------------------------------------------------------------
 1000.0     36
  966.0    345   22.2   21.0     93  16.50    180      7  298.3  346.4  301.2
  850.0   1450          15.0                  270     20
"""
PLACE = "Station information\n   Station latitude: 35.18\n  Station longitude: -97.44\n  Station elevation: 345.0\n"
PLACED = (("KAAA", "1,2"), ("kaaa", ","), ("KAAA", ","))
TIME = np.datetime64("2019-07-01T12:00")


@pytest.fixture
def stations(tmp_path):
    (tmp_path / "stations.csv").write_text(STATIONS, encoding="utf-8")
    return read_stations(tmp_path / "stations.csv")


def metar(stations=None, time=TIME) -> Observations:
    return read_observations(io.StringIO(BULLETINS), name="bulletins", reference_time=time, stations=stations)


def values(observations: Observations, station: str) -> dict[str, float]:
    mine = (observations.station == station) & observations.used
    return dict(zip(observations.variable[mine].tolist(), observations.value[mine].tolist(), strict=True))


def test_reports_by_hand(stations):
    o = metar(stations)
    assert list(dict.fromkeys(o.station.tolist())) == ["KAAA", "KBBB", "KCCC", "KDDD", "KEEE"]
    assert set(o.report.tolist()) == {"metar"}
    # tenths of the remarks: T0212 1017 is 21.2 and −1.7 °C; wind from 270° is all u
    assert values(o, "KAAA") == {
        "t2m": pytest.approx(294.35),
        "d2m": pytest.approx(271.45),
        "u10": pytest.approx(10 * KNOT),
        "v10": pytest.approx(0.0, abs=1e-12),
        "msl": pytest.approx(101_580.0),
    }
    # no dew point, a runway's range that is none, and a wind without a direction
    assert values(o, "KBBB") == {"t2m": pytest.approx(268.15)}
    assert values(o, "KCCC")["msl"] == pytest.approx(99_820.0)
    assert values(o, "KCCC")["v10"] == pytest.approx(-5.0)
    place = o.station == "KAAA"
    assert set(zip(o.latitude[place], o.longitude[place], o.elevation[place], strict=True)) == {(40.0, 270.0, 200.0)}


def test_the_month_is_the_nearest(stations):
    o = metar(stations)
    moments = {name: set(o.time[o.station == name].tolist()) for name in ("KAAA", "KBBB")}
    assert moments["KAAA"] == {np.datetime64("2019-07-01T11:55", "ns").item()}
    assert moments["KBBB"] == {np.datetime64("2019-06-30T23:50", "ns").item()}
    # there is no 30 February
    march = metar(stations, np.datetime64("2019-03-01T00:00"))
    assert set(march.time[march.station == "KBBB"].astype("datetime64[M]").astype(str)) == {"2019-03"}
    with pytest.raises(BadDataError, match="give the analysis's time"):
        metar(stations, None)


def test_every_report_is_accounted_for(stations):
    o = metar(stations)
    assert o.flag[o.station == "KDDD"].tolist() == [Flag.MISSING]
    bad = o.station == "KEEE"
    assert set(o.flag[bad].tolist()) == {Flag.MISSING}
    assert "time '991200Z' is not an ISO 8601 time" in set(o.reason[bad].tolist())
    assert o.row.max() == 5


def test_without_a_place_nothing_is_used_and_nothing_lost(stations):
    o = metar()
    assert len(o) == len(metar(stations))
    assert not o.used.any()
    assert "latitude is missing" in set(o.reason.tolist())


def test_a_place_of_its_own_stays(stations):
    rows = ["station,time,lat,lon,t2m", *(f"{name},2019-07-01T12:00,{place},290" for name, place in PLACED)]
    o = read_observations(io.StringIO("\n".join(rows)), stations=stations)
    assert o.latitude[[0, 2]].tolist() == [1.0, 40.0]
    assert o.flag.tolist() == [Flag.PASS, Flag.MISSING, Flag.PASS]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("station,lat\nA,1\n", "no longitude column"),
        ("station,lat,lon\nA,1,2\nB,x,2\n", "row 2: place 'x', '2' is no pair of numbers"),
        ("station,lat,lon\nA,1,2\nA,1,2.5\n", "row 2: station A is at another place"),
    ],
)
def test_a_bad_table_of_stations(tmp_path, content, words):
    (tmp_path / "s.csv").write_text(content, encoding="utf-8")
    with pytest.raises(BadDataError, match=words):
        read_stations(tmp_path / "s.csv")


def test_one_place_said_in_two_ways(tmp_path):
    (tmp_path / "s.csv").write_text("station,lat,lon\nA,1,-0.02\nA,1,359.99\n", encoding="utf-8")
    assert read_stations(tmp_path / "s.csv")["A"].longitude == "-0.02"


def test_a_sounding_by_hand(tmp_path):
    (tmp_path / "OUN.txt").write_text(SOUNDING + PLACE + SOUNDING.replace("72357", "72358"), encoding="utf-8")
    o = read_observations(tmp_path / "OUN.txt")
    first = (o.station == "72357") & (o.pressure == 96_600.0)
    held = dict(zip(o.variable[first].tolist(), o.value[first].tolist(), strict=True))
    assert held["t"] == pytest.approx(295.35)
    assert held["z"] == pytest.approx(345 * 9.80665)
    assert held["v"] == pytest.approx(7 * KNOT)
    # e(21 °C) = 24.9 hPa: q = 0.622 · 24.9 / (966 − 0.378 · 24.9)
    assert held["q"] == pytest.approx(0.622 * 24.9 / (966 - 0.378 * 24.9), rel=5e-3)
    assert o.used[first].all()
    assert set(zip(o.latitude[first], o.longitude[first], o.elevation[first], strict=True)) == {(35.18, 262.56, 345.0)}
    assert set(o.time[first].astype(str)) == {"2011-05-22T12:00:00.000000000"}
    # blank cells shift nothing: no temperature at 850 hPa, but a wind
    high = (o.station == "72357") & (o.pressure == 85_000.0)
    assert "t" not in o.variable[high].tolist()
    assert o.value[high & (o.variable == "u")].tolist() == [pytest.approx(20 * KNOT)]
    # the second list says no place
    assert not o.used[o.station == "72358"].any()


def test_units_given_for_columns(caplog):
    text = "icao,unix_time,lat,lon,temp,wspd,wdir\nA,1561982400,1,2,20,10,180\n"
    o = read_observations(io.StringIO(text), units={"Temp": "degC", "wspd": "kt", "dewp": "degC"})
    assert dict(zip(o.variable.tolist(), o.value.tolist(), strict=True)) == {
        "t2m": pytest.approx(293.15),
        "u10": pytest.approx(0.0, abs=1e-12),
        "v10": pytest.approx(10 * KNOT),
    }
    assert set(o.time.tolist()) == {np.datetime64("2019-07-01T12:00", "ns").item()}
    assert "no column or variable dewp, whose unit is given" in caplog.text


def test_a_report_without_its_end_does_not_swallow_the_next(stations):
    lines = [
        "METAR KAAA 011155Z 27010KT 20/10",
        "METAR KCCC 011150Z 36005KT 15/M01 RMK SLP500",
        "KDDD 011151Z 00000KT 9/8",
    ]
    o = read_observations(io.StringIO("\n".join(lines)), reference_time=TIME, stations=stations)
    assert values(o, "KAAA")["t2m"] == pytest.approx(293.15)
    assert values(o, "KCCC")["d2m"] == pytest.approx(272.15)
    assert values(o, "KCCC")["msl"] == pytest.approx(95_000.0)
    assert (o.station == "KDDD").any()


def test_an_elevation_of_its_own_stays(tmp_path):
    (tmp_path / "s.csv").write_text("station,lat,lon,elev\nA,1,2,\nB,3,4,50\n", encoding="utf-8")
    text = "station,time,lat,lon,elev,t2m\n" + "".join(f"{name},2019-07-01T12:00,,,350,290\n" for name in "AB")
    o = read_observations(io.StringIO(text), stations=read_stations(tmp_path / "s.csv"))
    assert o.elevation.tolist() == [350.0, 350.0]
    assert o.latitude.tolist() == [1.0, 3.0]


def test_what_lies_on_no_level_has_no_pressure():
    text = "station,time,lat,lon,pressure,report,t,u\nA,2019-07-01T12:00,1,2,100800,synop,290,3\n"
    o = read_observations(io.StringIO(text))
    assert o.variable.tolist() == ["t2m", "u10"]
    assert np.isnan(o.pressure).all()


def test_a_mark_of_the_wind_judges_speed_and_direction():
    text = "station,time,lat,lon,p,wind_speed,wind_direction,t,wqm,tqm\nA,2019-07-01T12:00,1,2,500,9,90,260,9,1\n"
    o = read_observations(io.StringIO(text))
    assert dict(zip(o.variable.tolist(), o.flag.tolist(), strict=True)) == {
        "wind_speed": Flag.PRE_QC,
        "wind_direction": Flag.PRE_QC,
        "t": Flag.PASS,
    }


def of_metar(text: str, time: np.datetime64 | None = TIME) -> Observations:
    return read_observations(
        io.StringIO(text), name="metar", reference_time=time, stations={"KJFK": Place("40.6", "-73.8", "4")}
    )


@pytest.mark.parametrize(
    "corrected",
    [
        "METAR KJFK 011151Z COR 27010KT 15/M02 A2992 RMK SLP152 T01501017=",
        "METAR COR KJFK 011151Z 27010KT 15/M02 A2992 RMK SLP152 T01501017=",
        "METAR KJFK 011151Z CCA 27010KT 15/M02 A2992 RMK SLP152 T01501017=",
        "SAXX40 KWBC 011200 CCA\nMETAR KJFK 011151Z 27010KT 15/M02 A2992 RMK SLP152 T01501017=",
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_a_correction_replaces_the_report_whole(corrected, order):
    first = "SAXX40 KWBC 011200\nMETAR KJFK 011151Z 09020KT 05/M02 A2992 RMK SLP132 T00501017="
    text = "\n".join([first, corrected][::order]) + "\n"
    o = of_metar(text)
    assert values(o, "KJFK") == {
        "t2m": pytest.approx(288.15),
        "d2m": pytest.approx(271.45),
        "u10": pytest.approx(10 * KNOT),
        "v10": pytest.approx(0.0, abs=1e-12),
        "msl": pytest.approx(101_520.0),
    }
    replaced = o.row == (1 if order == 1 else 2)
    assert set(o.flag[replaced]) == {Flag.PRE_QC}
    assert set(o.reason[replaced]) == {"replaced by a later or corrected report"}


def test_of_two_corrections_the_second_counts_and_repeats_stay():
    report = "METAR KJFK 011151Z {} 27010KT {}/M02 A2992=\n"
    assert values(of_metar(report.format("CCB", 12) + report.format("CCA", 14)), "KJFK")["t2m"] == pytest.approx(285.15)
    assert values(of_metar(report.format("", 12) + report.format("", 14)), "KJFK")["t2m"] == pytest.approx(287.15)
    assert of_metar(report.format("", 12) * 2).used.all()


@pytest.mark.parametrize("trend", ["TEMPO", "BECMG FM1300", "NOSIG RMK", "PROB30 TEMPO", "INTER 1215/1300"])
def test_forecasts_in_a_report_are_not_read(trend):
    o = of_metar(f"METAR KJFK 011151Z /////KT 9999 15/10 Q1015 {trend} 35030KT 02/01=\n")
    pressure = pytest.approx(101_550.0 - 48.0, abs=1.0)  # 1015.5 hPa, and 12 Pa a metre at 4 m
    assert values(o, "KJFK") == {"t2m": pytest.approx(288.15), "d2m": pytest.approx(283.15), "sp": pressure}


def test_an_altimeter_setting_is_the_pressure_at_the_station_unless_the_report_has_that_at_sea_level():
    o = of_metar("METAR KJFK 011151Z 27010KT 9999 15/10 A2992 RMK AO2=\nMETAR EDDF 011150Z 27010KT 9999 15/10 Q1013=\n")
    assert values(o, "KJFK")["sp"] == pytest.approx(29.92 * 3386.389 - 48.0, abs=1.0)
    both = of_metar("METAR KJFK 011151Z 27010KT 9999 15/10 A2992 RMK AO2 SLP132=\n")
    assert "sp" not in values(both, "KJFK")
    assert "the report gives msl itself" in both.reason.tolist()


def test_cycle_files_have_no_word_metar_and_tell_the_date():
    text = (
        "2018/03/31 23:51\nKJFK 312351Z 27010KT 10SM FEW040 05/M02 A2992 RMK AO2 SLP132 T00501017\n\n"
        "2018/03/31 23:58\nEDDF 312358Z 24008KT 9999 OVC012 04/03 Q1030\n\n"
    )
    o = of_metar(text, np.datetime64("2018-04-01T00:00"))
    assert values(o, "KJFK")["msl"] == pytest.approx(101_320.0)
    assert values(o, "KJFK")["t2m"] == pytest.approx(278.15)
    assert list(dict.fromkeys(o.station.tolist())) == ["KJFK", "EDDF"]
    # the date line tells the month and year, whatever the analysis
    for time in (np.datetime64("2024-06-15T00:00"), None):
        assert set(of_metar(text, time).time[o.station == "KJFK"]) == {np.datetime64("2018-03-31T23:51", "ns")}


LOST = """82244 SBSN Santarem Observations at 12Z 01 Jan 2020
   PRES   HGHT   TEMP   DWPT   RELH   MIXR   DRCT   SKNT   THTA   THTE   THTV
  850.0   1500    5.0    1.0     75   4.85    270     20  291.4  305.6  292.3
                           Station latitude: {}
                          Station longitude: {}
                          Station elevation: {}
"""


@pytest.mark.parametrize(
    ("place", "elevation"), [(("******", "", "-9999.0"), 72.0), (("-9999.0", "****", "12.0"), 12.0)]
)
def test_a_sounding_without_a_place_takes_that_of_the_table(place, elevation):
    stations = {"82244": Place("-2.43", "-54.72", "72")}
    o = read_observations(io.StringIO(LOST.format(*place)), name="list", stations=stations)
    assert o.used.all()
    np.testing.assert_allclose(o.latitude, -2.43)
    np.testing.assert_allclose(o.longitude, 360 - 54.72)
    assert set(o.elevation) == {elevation}
    assert not read_observations(io.StringIO(LOST.format(*place)), name="list").used.any()


def test_a_page_of_soundings_saved_as_html():
    page = (
        "<HTML>\n<BODY>\n<H2>"
        + LOST.format(-2.43, -54.72, 72.0).replace("2020\n", "2020</H2>\n<PRE>\n")
        + "</PRE></BODY>"
    )
    o = read_observations(io.StringIO(page), name="page")
    mine = dict(zip(o.variable.tolist(), o.value.tolist(), strict=True))
    assert mine["t"] == pytest.approx(278.15)
    assert mine["u"] == pytest.approx(20 * KNOT)
    assert o.used.all()


def test_a_report_sent_again_without_its_remarks_replaces_nothing():
    full = "METAR KJFK 011151Z 27010KT 15/M02 A2992 RMK SLP152 T01501017=\n"
    short = "METAR KJFK 011151Z 27010KT 15/M02 A2992=\n"
    for text in (full + short, short + full):
        assert values(of_metar(text), "KJFK")["msl"] == pytest.approx(101_520.0)
    nil = "METAR KJFK 011151Z NIL=\n"
    assert values(of_metar(short + nil), "KJFK")["t2m"] == pytest.approx(288.15)


def test_tenths_that_contradict_the_report_are_not_taken():
    """T1212… would be −21.2 °C beside 21: the whole degrees count; the dew point's tenths agree and do."""
    o = of_metar("METAR KJFK 011151Z 27010KT 21/15 A2992 RMK T12120152=\n")
    assert values(o, "KJFK")["t2m"] == pytest.approx(294.15)
    assert values(o, "KJFK")["d2m"] == pytest.approx(288.35)
