"""Brightness temperatures over ill known ground and through clouds, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from phyda_cli.fields.state import Channel
from phyda_cli.observations.settings import Quality, Sounder
from phyda_cli.observations.table import Flag, Use
from phyda_cli.operators.brightness_temperature import LAND, SEA
from phyda_cli.operators.first_guess import first_guess
from phyda_cli.operators.kind import Ground
from phyda_cli.quality.screening import JUDGEMENT, checked
from phyda_cli.quality.sounder import check_clouds, check_ground, ground_error, seen_ground
from tests.operators.test_brightness_temperature import rows as of_channels
from tests.operators.test_brightness_temperature import state
from tests.support.observations import guess_of, observations

WARM, COLD = 280.0, 260.0


def test_the_error_of_the_ground_is_its_slope_times_that_of_the_emissivity():
    """8 K a unit: 0.4 K over warm land or sea, 1.2 K where it may be ice or snow or nobody says what it is."""
    ground = Ground(np.array([8.0, -8.0, 8.0, 8.0, 0.0]), np.array([WARM, WARM, COLD, WARM, np.nan]))
    land = np.array([1.0, 0.0, 0.0, np.nan, np.nan])
    of_ground = ground_error(ground, land, Sounder())
    np.testing.assert_allclose(of_ground, [0.4, 0.4, 1.2, 1.2, 0.0])
    own = observations("tb5", np.zeros(5), error=0.3)
    np.testing.assert_allclose(seen_ground(own, of_ground).error[[0, 4]], [0.5, 0.3])
    assert not ground_error(ground, land, Sounder(enabled=False)).any()


def test_the_slope_is_that_of_the_operator():
    own = of_channels(elevation=10.0)
    air = state()
    land, sea = (first_guess(air, replace(own, elevation=np.full(5, height)), {})(air.values) for height in (10.0, 0.0))
    seen = first_guess(air, own, {}).operator.ground(air.values)
    np.testing.assert_allclose(seen.slope, (land - sea) / (LAND - SEA), atol=1e-9)
    np.testing.assert_allclose(seen.temperature, 288.2)
    mountain = state(pressure=60_000.0)
    assert first_guess(mountain, own, {}).operator.ground(mountain.values).slope[1] > 4.0 * seen.slope[1]
    cool = observations("t", [250.0])
    plain = first_guess(air, cool, {}).operator.ground(air.values)
    assert plain.slope.tolist() == [0.0]
    assert np.isnan(plain.temperature).all()


def test_too_much_of_the_ground_is_rejected():
    own = check_ground(observations("tb5", np.zeros(2)), np.array([1.49, 1.51]), Sounder())
    assert own.flag.tolist() == [Flag.PASS, Flag.DOMAIN]
    assert own.reason[1] == "the emissivity of the ground makes it uncertain by 1.51 K, more than 1.5 K"


def soundings(*departures: float, **columns):
    """Channels 5, 6 and 7 of a place for each departure [K] of channel 6; the others have none."""
    n = len(departures)
    values = np.ravel([[0.0, d, 0.0] for d in departures])
    return observations(
        ["tb5", "tb6", "tb7"] * n, values, error=0.3, latitude=np.repeat(10.0 * np.arange(n), 3), zenith=0.0, **columns
    )


def test_a_cloud_takes_both_of_the_lowest_channels_of_its_place():
    """√(0.3² + 0.4²) = 0.5 K, 2.5 of which are 1.25 K."""
    own = soundings(1.3, 1.2, -1.3)
    found = check_clouds(own, np.zeros(9), np.full(9, 0.4), Sounder())
    cloudy, clear = [Flag.CLOUD, Flag.CLOUD, Flag.PASS], [Flag.PASS] * 3
    assert found.flag.tolist() == [*cloudy, *clear, *cloudy]
    assert found.reason[0] == "cloud or rain: channels 5 and 6 depart by up to 2.6 times the expected"
    # without a background error 0.75 K are too much
    assert check_clouds(own, np.zeros(9), np.full(9, np.nan), Sounder()).flag.tolist() == cloudy * 3
    assert check_clouds(own, np.zeros(9), np.full(9, 0.4), Sounder(enabled=False)).used.all()
    assert check_clouds(own, np.zeros(9), np.full(9, 0.4), Sounder(cloud=2.7)).used.all()


def test_neither_a_rejected_row_nor_another_satellite_or_time_is_asked():
    own = soundings(5.0, 0.0)
    own.flag[1] = Flag.PRE_QC
    found = check_clouds(own, np.zeros(6), np.zeros(6), Sounder())
    assert found.flag.tolist() == [Flag.PASS, Flag.PRE_QC, *[Flag.PASS] * 4]
    here = replace(soundings(5.0, 0.0), latitude=np.zeros(6))
    assert check_clouds(here, np.zeros(6), np.zeros(6), Sounder()).flag[3] == Flag.CLOUD
    others = replace(here, station=np.array(["n19"] * 3 + ["n18"] * 3, dtype=object))
    assert check_clouds(others, np.zeros(6), np.zeros(6), Sounder()).flag[3] == Flag.PASS


@pytest.mark.parametrize(("use", "flag"), [(Use.MONITOR, Flag.PASS), (Use.ASSIMILATE, Flag.CLOUD)])
def test_what_is_monitored_judges_nothing_that_is_assimilated(use, flag):
    """1.3 K in channel 6 are 2.6 of the expected: no reason for the background check, whose limit is 5."""
    uses = np.array([Use.ASSIMILATE.value, use.value, Use.ASSIMILATE.value], dtype=object)
    own = soundings(1.3, use=uses)
    guess = guess_of(own, [Channel("t", 50_000.0)], np.zeros(3), sigma=np.full(3, 0.4), quality=Quality())
    found = checked(own, guess, JUDGEMENT)
    assert found.flag.tolist() == [flag, Flag.CLOUD, Flag.PASS]
