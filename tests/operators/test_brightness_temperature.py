"""Brightness temperatures: against a line-by-line model, the tangent, the ground, and what a background lacks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.observations.table import Flag
from phyda_cli.operators.brightness_temperature import LAND, SEA, SOUNDERS, WARM_NODES, WET_NODES, emulator
from phyda_cli.operators.first_guess import first_guess, operator_of
from phyda_cli.quality.checks import check_bounds, check_missing
from tests.support.observations import TIME, observations

GRID = LatLonGrid.equiangular(8, 16)
STANDARD = (
    287.5, 283.3, 278.7, 268.6, 260.9, 252.0, 241.5, 228.6, 220.9, 216.7, 216.7, 216.7, 216.7, 217.3, 220.5, 223.1,
    228.1,
)  # fmt: skip
MOIST = (4.705e-3, 4.026e-3, 3.369e-3, 1.971e-3, 1.244e-3, 7.0e-4, 3.31e-4, 8.88e-5)
"""The US standard atmosphere at the nodes."""
LINE_BY_LINE = {  # pyrtlib 1.2.0, absorption R20, at 288.2 K and 1013.25 hPa: a black ground, and one of ½
    0.0: ((253.22, 237.01, 227.30, 221.08, 217.98), (249.51, 236.81, 227.29, 221.08, 217.98)),
    50.0: ((243.89, 229.16, 222.09, 218.71, 218.45), None),
}


def state(warm=STANDARD, nodes=WARM_NODES, *, screen=288.2, humidity=MOIST, pressure=101_325.0) -> State:
    names = [Channel("t", p) for p in nodes] + [Channel("q", p) for p in WET_NODES[: len(humidity)]]
    values = [*warm, *humidity]
    for name, value in (("t2m", screen), ("sp", pressure)):
        if value is not None:
            names.append(Channel(name))
            values.append(value)
    fields = torch.tensor(values, dtype=torch.float64)[:, None, None].expand(-1, *GRID.shape).clone()
    return State(fields, tuple(names), GRID, TIME)


def rows(zenith=0.0, elevation=np.nan, names=tuple(SOUNDERS)):
    return observations(names, np.zeros(len(names)), zenith=zenith, elevation=elevation, pressure=np.nan)


def seen(of: State, **where) -> np.ndarray:
    own = rows(**where)
    return operator_of(of, own).states(of.grid, of.channels)(of.values)


@pytest.mark.parametrize("zenith", [0.0, 50.0, -50.0])
def test_the_standard_atmosphere_as_a_line_by_line_model_sees_it(zenith):
    """y is linear in ε: from land and sea to a black ground and to one of ½."""
    land, sea = seen(state(), zenith=zenith, elevation=20.0), seen(state(), zenith=zenith, elevation=0.0)
    of_emissivity = (land - sea) / (LAND - SEA)
    black, half = LINE_BY_LINE[abs(zenith)]
    np.testing.assert_allclose(land + (1.0 - LAND) * of_emissivity, black, atol=0.2)
    if half is not None:
        np.testing.assert_allclose(sea + (0.5 - SEA) * of_emissivity, half, atol=0.25)


def test_ground_that_is_not_known_is_between_land_and_sea():
    land, sea, unknown = (seen(state(), elevation=height) for height in (20.0, 0.0, np.nan))
    np.testing.assert_allclose(unknown, 0.5 * (land + sea), atol=1e-9)
    assert land[0] - sea[0] == pytest.approx(0.38 * 7.4, rel=0.15)  # 2 (253.22 − 249.51) K a unit
    assert np.abs(land - sea)[3:].max() < 0.05


def test_the_tangent_is_the_slope():
    """[H(x + h δ) − H(x)]/h → H'δ, twice as well for half of h."""
    background, own = state(), rows(zenith=33.0, elevation=0.0)
    first = first_guess(background, own, {})
    generator = torch.Generator().manual_seed(1)
    size = torch.tensor(
        [2.0 if c.variable in ("t", "t2m") else 2e-4 if c.variable == "q" else 0.0 for c in background.channels]
    )
    delta = (size * torch.randn(size.shape, generator=generator)).double()[:, None, None].expand_as(background.values)
    linear = first.increments.increments(GRID, background.channels)(delta).numpy()
    wrong = [
        np.abs((first(background.values + h * delta) - first(background.values)) / h - linear).max()
        for h in (0.5, 0.25)
    ]
    assert wrong[1] == pytest.approx(0.5 * wrong[0], rel=0.15)
    assert wrong[1] < 0.05 * np.abs(linear).max()


def test_a_channel_follows_the_air_where_its_weights_lie():
    """A layer that is 1 K warmer by a half sine over 1000–300 hPa, 300–100 hPa and above."""
    background = state()
    first = first_guess(background, rows(), {})
    p = np.array(WARM_NODES)
    for low, high, most in ((100_000.0, 30_000.0, 0), (30_000.0, 7_000.0, 3), (15_000.0, 3_000.0, 4)):
        inside = (p <= low) & (p >= high)
        profile = np.where(inside, np.sin(np.pi * np.log(low / p) / np.log(low / high)), 0.0)
        delta = torch.zeros_like(background.values)
        delta[: len(p)] = torch.from_numpy(profile)[:, None, None]
        change = first.increments.increments(GRID, background.channels)(delta).numpy()
        assert change.argmax() == most
        assert change.max() > 0.3


def test_air_that_is_warmer_everywhere_is_seen_as_the_line_by_line_model_sees_it():
    """1 K more in all air and the ground, less for what it lets through from below and above: black ground, nadir."""
    background = state()
    delta = torch.zeros_like(background.values)
    for number, channel in enumerate(background.channels):
        delta[number] = float(channel.variable in ("t", "t2m"))

    def change(elevation: float) -> np.ndarray:
        return (
            first_guess(background, rows(elevation=elevation), {})
            .increments.increments(GRID, background.channels)(delta)
            .numpy()
        )

    land, sea = change(20.0), change(0.0)
    black = land + (1.0 - LAND) * (land - sea) / (LAND - SEA)
    np.testing.assert_allclose(black, [0.926, 0.919, 0.951, 0.990, 0.996], atol=0.05)


def test_above_its_levels_a_background_goes_on_as_the_mean_of_the_fit():
    kept = 14
    mean = emulator()["mean"][: len(WARM_NODES)].numpy()
    whole = [*STANDARD[:kept], *(STANDARD[kept - 1] + mean[kept:] - mean[kept - 1])]
    short = state(STANDARD[:kept], WARM_NODES[:kept])
    np.testing.assert_allclose(seen(short), seen(state(whole)), atol=1e-9)
    slopes = first_guess(short, rows(), {}).increments.slopes
    of_whole = first_guess(state(whole), rows(), {}).increments.slopes
    np.testing.assert_allclose(slopes[kept], of_whole[kept : len(WARM_NODES) + 1].sum(0), atol=1e-12)


def test_a_background_without_humidity_and_screen_temperature_serves():
    poor = state(screen=None, humidity=(), pressure=None)
    assert np.abs(seen(poor) - seen(state())).max() < 2.0
    assert operator_of(poor, rows()).states(GRID, poor.channels).defined.all()


def test_a_background_that_ends_too_low_or_begins_too_high_has_no_h():
    up_to_100 = state(STANDARD[:12], WARM_NODES[:12])
    own = rows()
    assert operator_of(up_to_100, own).states(GRID, up_to_100.channels).defined.tolist() == [True] * 3 + [False] * 2
    from_700 = state(STANDARD[3:], WARM_NODES[3:])
    assert not operator_of(from_700, own).states(GRID, from_700.channels).defined.any()
    no_t = State(up_to_100.values[12:], up_to_100.channels[12:], GRID, TIME)
    assert not operator_of(no_t, own).states(GRID, no_t.channels).defined.any()


def test_angles_that_are_missing_or_beyond_the_fit_are_said():
    values = rows(zenith=[0.0, np.nan, 61.0, -59.0, -75.0])
    checked = check_bounds(check_missing(replace(values, value=np.full(5, 240.0))))
    assert checked.flag.tolist() == [Flag.PASS, Flag.MISSING, Flag.BOUNDS, Flag.PASS, Flag.BOUNDS]
    assert checked.reason[1] == "no zenith angle for a brightness temperature"
    assert checked.reason[2] == "zenith angle 61 is not within -60..60"


def test_the_air_at_the_ground_is_t2m_or_the_profile_at_the_surface_pressure():
    """Channel 5 sees 10 K more there, channel 9 does not; without t2m T at p_s, at 1000 hPa where p_s is higher."""
    change = seen(state(screen=298.2), elevation=20.0) - seen(state(), elevation=20.0)
    assert 0.4 < change[0] < 2.0
    assert abs(change[4]) < 0.1
    for pressure, ground in ((70_000.0, STANDARD[3]), (104_000.0, STANDARD[0])):
        profile, told = (seen(state(screen=t, pressure=pressure), elevation=20.0) for t in (None, ground))
        np.testing.assert_allclose(profile, told, atol=1e-9)
