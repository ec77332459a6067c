"""The checks of a sounding by itself, on an isothermal and a moist atmosphere with known thickness."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from phyda_cli.constants import GRAVITY, R_DRY
from phyda_cli.observations.settings import Profile
from phyda_cli.observations.table import Flag, concatenate
from phyda_cli.quality.profile import check_profile
from tests.support.observations import TIME, observations

LEVELS = np.array([100_000.0, 85_000.0, 70_000.0, 50_000.0, 40_000.0, 30_000.0])
COLD = 250.0


def sounding(t=None, gh=None, levels=LEVELS, **columns):
    """t [K] and height [m] at the levels: isothermal and in balance, unless given."""
    t = np.full(levels.size, COLD) if t is None else np.asarray(t, dtype=float)
    balanced = 100.0 + R_DRY * COLD / GRAVITY * np.log(levels[0] / levels)
    gh = balanced if gh is None else np.asarray(gh, dtype=float)
    n = levels.size
    columns = {"station": "A1", "report": "sonde", **columns}
    table = observations(["t"] * n + ["z"] * n, np.append(t, GRAVITY * gh), pressure=np.tile(levels, 2), **columns)
    return table.take(np.isfinite(table.value))


def flagged(table, **settings):
    """Levels whose t, and whose z, are rejected."""
    bad = check_profile(table, Profile(**settings)).flag == Flag.PROFILE
    return [np.flatnonzero(bad[table.variable == name]).tolist() for name in ("t", "z")]


def shifted(level, metres):
    gh = 100.0 + R_DRY * COLD / GRAVITY * np.log(LEVELS[0] / LEVELS)
    gh[level] += metres
    return sounding(gh=gh)


def test_a_balanced_sounding_passes():
    assert flagged(sounding()) == [[], []]


def test_a_wrong_height_goes_alone():
    # layers 850-700 and 700-500 hPa: limits 40 + 6 · 29.27 · ln(...) = 74 and 99 m
    assert flagged(shifted(2, 90.0)) == [[1, 2], [1, 2]]
    assert flagged(shifted(2, 70.0)) == [[], []]
    assert flagged(shifted(2, 120.0)) == [[], [2]]
    assert flagged(shifted(2, -120.0)) == [[], [2]]


def test_the_limit_of_one_layer():
    # the lowest layer alone: ε_z + ε_T R/g ln(1000/850)
    limit = 40.0 + 6.0 * R_DRY / GRAVITY * np.log(1.0 / 0.85)
    assert flagged(shifted(0, -limit + 0.1)) == [[], []]
    result = check_profile(shifted(0, -limit - 0.1), Profile())
    assert (result.flag == Flag.PROFILE).nonzero()[0].tolist() == [0, 1, 6, 7]
    assert result.reason[0] == f"thickness and temperature of its sounding differ by {limit + 0.1:.0f} m"
    assert flagged(shifted(0, -limit - 0.1), thickness_m=41.0) == [[], []]
    # what would be an error of more than 30 K of the layer is one of height
    assert flagged(shifted(0, -200.0)) == [[], [0, 1]]


def test_a_wrong_temperature_goes_alone():
    # +40 K at 700 hPa, 20 K in both layers: 20 · 29.27 · ln(850/700) = 114 and 20 · 29.27 · ln(700/500) = 197 m
    t = np.full(6, COLD)
    t[2] += 40.0
    assert flagged(sounding(t), superadiabatic_k=100.0) == [[2], []]


def test_superadiabatic_layers():
    # dry adiabatic from 850 to 700 hPa: 290 (700/850)^(2/7) = 274.36
    adiabatic = 290.0 * (70.0 / 85.0) ** (2.0 / 7.0)
    assert adiabatic == pytest.approx(274.32, abs=0.05)
    for excess, expected in ((5.9, [[], []]), (6.1, [[1, 2], []])):
        t = np.array([295.0, 290.0, adiabatic - excess, 260.0, 250.0, 240.0])
        assert flagged(sounding(t, gh=np.full(6, np.nan))) == expected
    result = check_profile(sounding(t, gh=np.full(6, np.nan)), Profile())
    assert result.reason[1] == "temperature falls 6.1 K more than dry adiabatically"


def test_humidity_counts_in_the_thickness():
    # q = 0.02: T_v 1.2 % more, 3.04 K of 250: 3.04 · 29.27 · ln(1000/300) = 107 m over the whole column
    q = observations("q", [0.02] * 6, pressure=LEVELS, station="A1", report="sonde")
    heights = 100.0 + R_DRY * COLD * (1.0 + 0.6078 * 0.02) / GRAVITY * np.log(LEVELS[0] / LEVELS)
    strict = {"thickness_m": 1.0, "thickness_k": 0.1}
    assert flagged(_joined(sounding(gh=heights), q), **strict) == [[], []]
    # every layer fails in the same sense: the temperatures between them
    assert flagged(_joined(sounding(), q), **strict) == [[1, 2, 3, 4], []]


def _joined(first, second):
    """Both as one source."""
    joined = concatenate([first, second])
    return replace(joined, source=np.zeros(len(joined), dtype=np.int64), sources=first.sources)


def test_temperatures_between_the_heights_are_summed():
    # heights at 1000 and 500 hPa only; a warm layer between at 700 hPa makes them right
    levels = np.array([100_000.0, 70_000.0, 50_000.0])
    t = np.array([250.0, 290.0, 250.0])
    thickness = R_DRY / GRAVITY * 270.0 * np.log(2.0)
    table = sounding(t, gh=[0.0, np.nan, thickness], levels=levels)
    assert flagged(table, superadiabatic_k=100.0, thickness_m=1.0, thickness_k=0.0) == [[], []]
    # a gap of ln 4 between two temperatures is not judged
    sparse = sounding([250.0, 250.0], gh=[0.0, 0.0], levels=np.array([80_000.0, 20_000.0]))
    assert flagged(sparse) == [[], []]


def test_stations_times_and_level_flights_are_no_sounding():
    t = np.array([300.0, 250.0])
    levels = np.array([90_000.0, 80_000.0])
    nothing = np.full(2, np.nan)
    together = sounding(t, nothing, levels)
    assert flagged(together) == [[0, 1], []]
    assert flagged(sounding(t, nothing, levels, station=["A", "B"] * 2)) == [[], []]
    later = TIME + np.array([0, 16, 0, 16]).astype("timedelta64[m]")
    assert flagged(sounding(t, nothing, levels, time=later)) == [[], []]
    # 100 hPa are 961 m of height: a way of 14.5 km is a drift, one of 20 km a flight
    for degrees, expected in ((0.13, [[0, 1], []]), (0.18, [[], []])):
        place = np.tile([50.0, 50.0 + degrees], 2)
        soon = TIME + np.array([0, 5, 0, 5]).astype("timedelta64[m]")
        assert flagged(sounding(t, nothing, levels, latitude=place, time=soon)) == expected


def test_rejected_rows_take_no_part_and_it_can_be_off():
    table = shifted(2, 120.0)
    assert flagged(table, enabled=False) == [[], []]
    t = np.full(6, COLD)
    flag = np.zeros(12, dtype=int)
    flag[8] = Flag.BOUNDS
    gh = table.value[6:] / GRAVITY
    result = check_profile(sounding(t, gh, flag=flag), Profile())
    assert (result.flag == Flag.PROFILE).sum() == 0


def test_the_order_of_rows_does_not_matter():
    table = shifted(2, 120.0)
    flags = check_profile(table, Profile()).flag
    order = np.random.default_rng(0).permutation(12)
    assert check_profile(table.take(order), Profile()).flag.tolist() == flags[order].tolist()


def test_one_row_and_none():
    for n in (0, 1):
        assert check_profile(observations("t", [250.0] * n), Profile()).used.sum() == n
    assert check_profile(observations("msl", [1e5] * 3, pressure=np.nan), Profile()).used.all()


def test_a_layer_may_differ_by_what_the_errors_make_of_it():
    """By hand, 850–700 hPa alone: s² = 2 σ_z²/g² + (R/g)² (½ ln(850/700))² 2 σ_t², limit 4.5 s."""
    layer = np.array([85_000.0, 70_000.0])
    expected = np.sqrt(2 * 20.0**2 + 2 * (R_DRY / GRAVITY * 0.5 * np.log(85 / 70) * 3.0) ** 2)
    for excess, rejected in ((-0.1, []), (0.1, [0, 1])):
        gh = R_DRY * COLD / GRAVITY * np.log(layer[0] / layer) + [0.0, 4.5 * expected + excess]
        table = sounding(gh=gh, levels=layer)
        table = replace(table, error=np.where(table.variable == "z", 20.0 * GRAVITY, 3.0))
        assert flagged(table)[1] == rejected


def test_temperatures_between_two_heights_share_their_errors():
    """Heights at 850 and 500 hPa, a temperature at 700 between: its coefficient is half the whole layer's depth."""
    levels = np.array([85_000.0, 70_000.0, 50_000.0])
    logs = np.log(levels[:-1] / levels[1:])
    weight = R_DRY / GRAVITY * np.array([0.5 * logs[0], 0.5 * logs.sum(), 0.5 * logs[1]])
    limit = 4.5 * np.sqrt(np.sum((weight * 6.0) ** 2) + 2 * 1.0**2)
    for excess, rejected in ((-0.1, []), (0.1, [0, 1])):
        gh = R_DRY * COLD / GRAVITY * np.log(levels[0] / levels) + [0.0, np.nan, limit + excess]
        table = sounding(gh=gh, levels=levels)
        table = replace(table, error=np.where(table.variable == "z", GRAVITY, 6.0))
        assert flagged(table)[1] == rejected


@pytest.mark.parametrize("lapse", [0.0, 9.5e-3])
def test_errors_as_large_as_those_assumed_are_not_rejected(lapse):
    """200 soundings of 60 levels, isothermal or nearly adiabatic, with independent errors of exactly σ_o."""
    levels = np.exp(np.linspace(np.log(1e5), np.log(3e4), 60))
    balanced = 300.0 * (levels / 1e5) ** (R_DRY * lapse / GRAVITY)
    depth = 0.5 * (balanced[1:] + balanced[:-1]) * np.log(levels[:-1] / levels[1:])
    gh = np.append(0.0, np.cumsum(R_DRY / GRAVITY * depth))
    table = concatenate([sounding(balanced, gh, levels, station=f"S{number}") for number in range(200)])
    table = replace(table, error=np.where(table.variable == "z", 10.0 * GRAVITY, 1.5))
    noise = np.random.default_rng(5).standard_normal(len(table))
    judged = check_profile(replace(table, value=table.value + table.error * noise), Profile())
    assert (~judged.used).sum() <= 2
    wrong = replace(table, value=np.where(table.row == 30, table.value + 25.0, table.value))
    assert not check_profile(wrong, Profile()).used.all()
