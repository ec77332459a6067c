"""The track check: outcomes of UFO's tests, shared names, and what must not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from phyda_cli.observations.settings import Track
from phyda_cli.observations.table import Flag
from phyda_cli.quality.track import check_track
from tests.support.observations import TIME, observations


def moving(latitude, longitude, seconds, *, report="aircraft", station="A1", **columns):
    n = len(latitude)
    return observations(
        "t", [250.0] * n, latitude=latitude, longitude=np.mod(longitude, 360.0), report=report, station=station,
        time=TIME + np.asarray(seconds).astype("timedelta64[s]"), **columns,
    )  # fmt: skip


def rejected(table, **settings):
    return np.flatnonzero(check_track(table, Track(**settings)).flag == Flag.TRACK).tolist()


UFO = {"speed": {"aircraft": 500.0}, "kilometres": 1.0, "minutes": 4 / 60}


# Places, times, settings and outcomes of UFO test/testinput/unit_tests/filters/qc_trackcheck_unittests.yaml
@pytest.mark.parametrize(("longitude", "expected"), [([178, 179, 180, 181, 182], []), ([178, 179, 359, 181, 182], [2])])
def test_one_wrong_place_of_ufo(longitude, expected):
    assert rejected(moving([-2, -1, 0, 1, 2], longitude, np.arange(5) * 3600), **UFO) == expected


def test_clusters_of_wrong_places_of_ufo():
    latitude = np.zeros(31)
    latitude[[0, 10, 20, 30]], latitude[[9, 19, 29]], latitude[18] = 90, -90, 45
    table = moving(latitude, np.arange(31), np.arange(31) * 120)
    settings = {"speed": {"aircraft": 1000.0}, "kilometres": 112.0, "minutes": 1.0, "neighbours": 6}
    assert rejected(table, **settings) == [0, 9, 10, 18, 19, 20, 29, 30]


def test_several_stations_of_ufo():
    latitude = [-2, -2, -1, -1, 0, 0, 1, 1, 2, 2]
    longitude = [178, 88, 179, 89, 359, 269, 181, 91, 182, 92]
    table = moving(latitude, longitude, np.repeat(np.arange(5), 2) * 3600, station=["A1", "A2"] * 5)
    assert rejected(table, **UFO) == [4, 5]


def test_a_profile_off_the_track_of_a_ship_of_ufo():
    """UFO test/testinput/unit_tests/filters/qc_trackcheckship_unittests.yaml, records as single observations."""
    latitude, longitude, seconds = ([0, 0, 1, 0], [0, 0.1, 0.2, 0.3], [0, 3600, 7200, 9800])
    table = moving(*(np.repeat(column, 4) for column in (latitude, longitude, seconds)), report="ship")
    assert rejected(table, speed={"ship": 10.0}, kilometres=1e-7, minutes=1 / 60) == [8, 9, 10, 11]


def test_the_limit_is_a_speed_beyond_rounding():
    # 0.9° along the equator are 100.08 km; less 20 km within 48 + 2 minutes: 26.7 m/s, within 40 + 2: 31.8 m/s
    ship = {"report": "SFCSHP", "station": "ABCD"}
    seconds = np.array([0, 3600, 7200, 10800])
    far = [0.0, 0.0, 0.0, 0.9]

    def early(minutes):
        return np.array([0, 0, 0, 60 * minutes])

    assert rejected(moving([0] * 4, far, seconds - early(12), **ship)) == []
    assert rejected(moving([0] * 4, far, seconds - early(20), **ship), neighbours=1) == [3]
    assert rejected(moving([0] * 4, far, seconds - early(20), report="amdar")) == []


def test_every_row_of_a_bad_report_goes_and_says_why():
    table = moving([50, 50, 51, 51, 5, 5, 53, 53], [10] * 8, np.repeat(np.arange(4), 2) * 600)
    result = check_track(table, Track())
    assert result.flag.tolist() == [0, 0, 0, 0, Flag.TRACK, Flag.TRACK, 0, 0]
    assert result.reason[4] == "A1 would have to move faster than 400 m/s to and from its other reports"


@pytest.mark.parametrize(
    ("station", "report"), [("SHIP", "ship"), ("", "ship"), ("XX999", "aircraft"), ("AIRCFT", "AIRCFT")]
)
def test_shared_names_are_not_judged(station, report):
    latitude = [0, 1, 2, 60, 3, 4]
    assert rejected(moving(latitude, [0] * 6, np.arange(6) * 300, report=report, station=station)) == []


def test_a_name_that_cannot_be_one_platform_is_not_judged():
    assert rejected(moving([0, 50, 0, 50, 0, 50], [0] * 6, np.arange(6) * 60)) == []
    assert rejected(moving([0, 50], [0, 0], [0, 60])) == []


def test_what_does_not_move_and_earlier_verdicts_are_left():
    synop = moving([0, 0, 50, 0, 0], [0] * 5, np.arange(5) * 600, report="ADPSFC")
    assert rejected(synop) == []
    table = moving([0, 0, 50, 0, 0], [0] * 5, np.arange(5) * 600, flag=[0, 0, Flag.BOUNDS, 0, 0])
    assert rejected(table) == []
    assert rejected(moving([0, 0, 50, 0, 0], [0] * 5, np.arange(5) * 600), enabled=False) == []


def test_date_line_pole_order_and_longitude_convention():
    # along 179.5°E, across the pole and the date line, with one report far off
    latitude = np.array([86, 88, 90, 88, 86, 0, 84, 82.0])
    longitude = np.array([179.5, 179.5, 0, 359.5, 359.5, 100, -0.5, -0.5])
    table = moving(latitude, longitude, np.arange(8) * 900)
    assert rejected(table) == [5]
    order = np.random.default_rng(0).permutation(8)
    assert order[rejected(table.take(order))].tolist() == [5]
    west = np.where(table.longitude > 180, table.longitude - 360, table.longitude)
    assert rejected(replace(table, longitude=west)) == [5]


def test_one_row_and_none():
    for n in (0, 1):
        assert rejected(moving([0] * n, [0] * n, [0] * n)) == []


@pytest.mark.parametrize(("minutes", "expected"), [(2.0, []), (1.0, [2])])
def test_the_slack_in_time_is_that_of_the_settings(minutes, expected):
    """By hand: reports of one moment; the last is 0.24° = 26.7 km off: 107 s at 250 m/s, within 2 minutes, not 1."""
    settings = {"speed": {"aircraft": 250.0}, "kilometres": 0.0, "minutes": minutes, "neighbours": 1}
    assert rejected(moving([0, 0, 0], [10, 10.01, 10.25], [0, 0, 0]), **settings) == expected
    assert Track().minutes == 2.0
