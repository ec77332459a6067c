"""The checks of radio occultations: relative departures by height and latitude, super-refraction by profile."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.observations.settings import Refractivity
from phyda_cli.observations.table import Flag
from phyda_cli.quality.occultation import check_occultations, profiles, relative_limit
from tests.support.observations import TIME, observations


def profile(height, value, **columns):
    height = np.asarray(height, float)
    return observations("refractivity", value, height=height, pressure=np.nan, **columns)


def test_limits_by_hand():
    """7.5 % at 20 km over the equator, 4.5 % at a pole; 24 % and 8 % near the ground; between them linear."""
    height = np.array([20e3, 20e3, 1e3, 4e3, 7.5e3, 11e3])
    latitude = np.array([0.0, 90.0, 0.0, -90.0, 0.0, 60.0])
    expected = [0.075, 0.045, 0.24, 0.08, 0.5 * (0.24 + 0.075), 0.06]
    np.testing.assert_allclose(relative_limit(height, latitude), expected, atol=1e-12)


def test_departures_are_relative_and_either_way():
    background = np.array([20.0, 20.0, 20.0, 300.0, 300.0, 300.0])
    departure = np.array([0.074, 0.076, -0.076, 0.23, 0.25, -0.25])
    rows = profile([20e3] * 3 + [1e3] * 3, background * (1.0 + departure), latitude=0.0, station=list("abcdef"))
    found = check_occultations(rows, background, Refractivity())
    assert (found.flag == Flag.FIRST_GUESS).tolist() == [False, True, True, False, True, True]
    assert found.reason[1] == "departure of +7.6 % exceeds 7.5 % of the background"
    wide = check_occultations(rows, background, Refractivity(departure=2.0))
    assert wide.used.all()
    off = check_occultations(rows, background, Refractivity(enabled=False))
    assert off.used.all()


HEIGHT = np.arange(200.0, 6200.0, 200.0)
SMOOTH = 330.0 * np.exp(-HEIGHT / 7500.0)


def ducted(height: float, fall: float) -> np.ndarray:
    """A smooth profile with so much more refractivity below a height."""
    return SMOOTH + np.where(height > HEIGHT, fall, 0.0)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("observed", [False, True])
def test_a_critical_gradient_takes_all_below_it(observed, reverse):
    """A fall of 24 − (what is there) within 200 m is 0.118 m⁻¹: from the lower end of that step down all goes."""
    steep = ducted(2100.0, 15.0)  # between 2000 and 2200 m: 15 + 6.7 → 0.109; with 18: 0.124
    order = slice(None, None, -1) if reverse else slice(None)
    for fall, below in ((15.0, False), (18.0, True)):
        steep = ducted(2100.0, fall)
        value, background = (steep, SMOOTH) if observed else (SMOOTH, steep)
        rows = profile(HEIGHT[order], value[order])
        found = check_occultations(rows, background[order], Refractivity())
        assert (found.flag[order] == Flag.SUPER_REFRACTION).tolist() == (below & (HEIGHT <= 2000.0)).tolist()
    sharp = check_occultations(rows, background[order], Refractivity(gradient=1.0))
    assert sharp.used.all()


def test_neither_a_step_higher_up_nor_a_gap_nor_a_level_twice_is_super_refraction():
    high = profile(HEIGHT, ducted(5500.0, 60.0))
    assert check_occultations(high, high.value, Refractivity()).used.all()
    gap = np.array([500.0, 1600.0, 1601.0, 2600.0])
    rows = profile(gap, [400.0, 250.0, 240.0, 225.0])
    assert check_occultations(rows, rows.value, Refractivity()).used.all()


def test_profiles_do_not_know_of_each_other():
    """Of two receivers, two transmitters, and one pair two hours later; the times of one drift by a minute."""
    names = ["825-1"] * 4 + ["825-2"] * 2 + ["750-1"] * 2
    minutes = np.array([0, 1, 120, 121, 0, 1, 0, 1]).astype("timedelta64[m]")
    height = np.array([3000.0, 2800.0] * 4)
    value = np.array([230.0, 233.0, 230.0, 270.0, 230.0, 233.0, 230.0, 233.0])
    rows = profile(height, value, station=names, time=TIME + minutes)
    assert profiles(rows).tolist() == [1, 1, 2, 2, 3, 3, 0, 0]
    found = check_occultations(rows, np.full(8, 231.0), Refractivity())
    assert np.flatnonzero(found.flag == Flag.SUPER_REFRACTION).tolist() == [3]
    shuffled = np.random.default_rng(3).permutation(8)
    again = check_occultations(rows.take(shuffled), np.full(8, 231.0), Refractivity())
    assert again.flag.tolist() == found.flag[shuffled].tolist()


def test_rejected_levels_take_no_part():
    value = ducted(2100.0, 18.0)
    rows = profile(HEIGHT, value)
    bad = rows.reject(HEIGHT == 2000.0, Flag.PRE_QC, "marked")
    found = check_occultations(bad, SMOOTH, Refractivity())
    # 2200 − 1800 m: 18 N more over 400 m are 0.078 m⁻¹, not critical
    assert (found.flag == Flag.SUPER_REFRACTION).sum() == 0
    assert found.flag[HEIGHT == 2000.0] == Flag.PRE_QC


def test_other_rows_are_left_alone():
    rows = observations("t", [250.0, 400.0], pressure=50_000.0)
    assert check_occultations(rows, np.array([100.0, 100.0]), Refractivity()) is rows
