"""Radio occultations and zenith delays in WMO BUFR: levels and places, marks, and what is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.geometric_height import geopotential_of_height
from phyda_cli.fields.standard_atmosphere import standard_pressure
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.observations.table import Flag, Observations
from tests.support.bufr import wmo_message

NOMINAL = 16640
"""Offline product, open-loop data: bits 2 and 8 of 16."""


def message(*, levels: int = 3, places: int | None = None, retrieved: int = 2, **changes) -> bytes:
    """A message of template 3 10 026 with so many levels of refractivity and places of bending angles."""
    places = levels if places is None else places
    head = {
        "satelliteIdentifier": 825, "year": 2018, "month": 4, "day": 15, "hour": 0, "minute": 18, "second": 23.0,
        "radioOccultationDataQualityFlags": NOMINAL, "#1#percentConfidence": 100,
        "platformTransmitterIdNumber": 26, "#1#latitude": 44.0, "#1#longitude": 78.0,
    }  # fmt: skip
    listed = {f"#{k + 2}#latitude": 44.5 + 0.1 * k for k in range(places)}
    listed |= {f"#{k + 2}#longitude": 77.5 - 0.1 * k for k in range(places)}
    heights = {f"#{k + 1}#height": 2000 + 200 * k for k in range(levels)}
    values = {f"#{2 * k + 1}#atmosphericRefractivity": 220.0 - 5.0 * k for k in range(levels)}
    errors = {f"#{2 * k + 2}#atmosphericRefractivity": 1.0 for k in range(levels)}
    report = {**head, **listed, **heights, **values, **errors, **changes}
    return wmo_message(
        [310026], [report], category=3, replications=[1] * places, long_replications=[places, levels, retrieved]
    )


def read(tmp_path: Path, *messages: bytes) -> Observations:
    path = tmp_path / "occultations.bufr"
    path.write_bytes(b"".join(messages))
    return read_observations(path)


def test_levels_have_their_own_heights_and_places(tmp_path):
    found = read(tmp_path, message())
    assert found.variable.tolist() == ["refractivity"] * 3
    assert found.height.tolist() == [2000.0, 2200.0, 2400.0]
    np.testing.assert_allclose(found.value, [220.0, 215.0, 210.0], atol=1e-3)
    np.testing.assert_allclose(found.latitude, [44.5, 44.6, 44.7], atol=1e-5)
    np.testing.assert_allclose(found.longitude, [77.5, 77.4, 77.3], atol=1e-5)
    assert set(found.station) == {"825-26"}
    assert set(found.report) == {"gnssro"}
    assert set(found.time) == {np.datetime64("2018-04-15T00:18:23", "ns")}
    assert np.isnan(found.error).all()
    assert found.used.all()
    expected = standard_pressure(geopotential_of_height(found.height, found.latitude) / GRAVITY)
    np.testing.assert_allclose(found.pressure, expected, rtol=1e-12)


def test_without_a_place_for_each_level_the_head_has_it(tmp_path):
    found = read(tmp_path, message(levels=4, places=2))
    np.testing.assert_allclose(found.latitude, 44.0, atol=1e-5)
    np.testing.assert_allclose(found.longitude, 78.0, atol=1e-5)
    assert len(found) == 4


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"radioOccultationDataQualityFlags": NOMINAL | 1 << 15}, "the profile is marked as non-nominal"),
        ({"radioOccultationDataQualityFlags": NOMINAL | 1 << 10}, "its refractivity is marked as non-nominal"),
        ({"#1#percentConfidence": 0}, "no confidence in the profile (0 %)"),
    ],
)
def test_marks_of_the_profile_condemn_all_levels(tmp_path, changes, reason):
    found = read(tmp_path, message(**changes), message())
    assert found.flag.tolist() == [Flag.PRE_QC] * 3 + [Flag.PASS] * 3
    assert set(found.reason[:3]) == {reason}


def test_other_marks_do_not(tmp_path):
    others = sum(1 << (16 - bit) for bit in (2, 3, 4, 5, 7, 8, 14, 15))
    assert read(tmp_path, message(radioOccultationDataQualityFlags=others)).used.all()


def test_levels_without_confidence_or_value_go_alone(tmp_path):
    """The confidences behind that of the head: three of bending angles, then those of the levels."""
    found = read(tmp_path, message(**{"#6#percentConfidence": 0, "#1#atmosphericRefractivity": -1e100}))
    assert found.flag.tolist() == [Flag.MISSING, Flag.PRE_QC, Flag.PASS]
    assert found.reason[1] == "no confidence in the level (0 %)"


def test_a_receiver_without_a_number_and_values_that_cannot_be(tmp_path):
    found = read(tmp_path, message(satelliteIdentifier=2147483647), message(**{"#3#atmosphericRefractivity": 510.0}))
    assert found.flag.tolist() == [Flag.PRE_QC] * 3 + [Flag.PASS, Flag.BOUNDS, Flag.PASS]
    assert found.reason[0] == "no satellite identifier"


def test_other_soundings_of_satellites_are_named(tmp_path, caplog):
    sounder = wmo_message([1007, 5001, 6001, 12101], [{"satelliteIdentifier": 3, "latitude": 1.0}], category=3)
    found = read(tmp_path, sounder, message())
    assert "without refractivity (data category 3) is not read" in caplog.text
    assert found.flag.tolist() == [Flag.PRE_QC] + [Flag.PASS] * 3


def delays(*rays: tuple[float, float]) -> bytes:
    """A message of template 3 07 022 with so many rays (elevation [degree], path delay [m])."""
    head = {"stationOrSiteName": "ABCD-TEST", "year": 2018, "month": 4, "day": 15, "hour": 0, "minute": 15,
            "latitude": 51.0, "longitude": 4.0, "heightOfStation": 70.0}  # fmt: skip
    listed = {f"#{k + 1}#elevation": angle for k, (angle, _) in enumerate(rays)}
    listed |= {f"#{k + 1}#atmosphericPathDelayInSatelliteSignal": path for k, (_, path) in enumerate(rays)}
    return wmo_message([307022], [head | listed], category=0)


def test_of_path_delays_that_to_the_zenith_is_read(tmp_path):
    found = read(tmp_path, delays((70.0, 2.56), (90.0, 2.4123), (60.0, 2.78)))
    rows = found.take(found.variable == "ztd")
    assert len(rows) == 1
    assert rows.value[0] == pytest.approx(2.4123, abs=1e-4)
    assert rows.elevation.tolist() == [70.0]
    assert np.isnan(rows.pressure).all()
    assert "ztd" not in read(tmp_path, delays((70.0, 2.56), (60.0, 2.78))).variable.tolist()
