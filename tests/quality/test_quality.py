"""Quality control: each check by a case made for it, one verdict a row, counts that reconcile, in any order."""

from __future__ import annotations

import time as clock
from dataclasses import replace

import numpy as np
import pytest

from phyda_cli.fields.state import Channel
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.settings import Domain, Duplicates, Quality, Rule
from phyda_cli.observations.table import Flag, concatenate
from phyda_cli.quality.checks import (
    QUANTITY_BOUNDS,
    check_background,
    check_below_ground,
    check_bounds,
    check_missing,
    check_window,
)
from phyda_cli.quality.duplicates import check_duplicates
from phyda_cli.quality.screening import counts, screen
from tests.support.observations import TIME, guess_of, observations

TABLE = default_error_table()
CHANNELS = tuple(Channel(name, level) for name in ("t", "u", "z") for level in (10_000.0, 50_000.0, 100_000.0))


def control(table, background=None, defined=None):
    """Bounds as every reader checks them, then screening and the background check with σ_b = 0."""
    n = len(table)
    equivalent = table.value if background is None else np.asarray(background, dtype=float)
    known = {} if defined is None else {"defined": defined}
    screened = screen(check_bounds(table), guess_of(table, CHANNELS, equivalent, **known))
    return check_background(screened, equivalent, np.zeros(n), TABLE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_missing(value):
    result = check_missing(observations("t", [value, 250.0]))
    assert result.flag.tolist() == [Flag.MISSING, Flag.PASS]


def test_missing_place_time_and_pressure():
    table = observations(
        ["t", "t", "t", "msl"],
        [250.0, 250.0, 250.0, 101_000.0],
        latitude=[np.nan, 0, 0, 0],
        time=np.array([TIME, np.datetime64("NaT", "ns"), TIME, TIME]),
        pressure=[5e4, 5e4, np.nan, np.nan],
    )
    assert check_missing(table).flag.tolist() == [Flag.MISSING, Flag.MISSING, Flag.MISSING, Flag.PASS]


@pytest.mark.parametrize(
    ("variable", "value", "columns", "words"),
    [
        ("t", 250.0, {"latitude": 91.0}, ["latitude 91"]),
        ("t", 250.0, {"longitude": 400.0}, ["longitude 400"]),
        ("t", 250.0, {"pressure": 0.0}, ["pressure 0"]),
        ("t", 250.0, {"pressure": 5e6}, ["5e+06", "Pa given as hPa"]),
        ("t", 250.0, {"error": 0.0}, ["error 0"]),
        ("t", 250.0, {"error": -2.0}, ["error -2"]),
        ("t", -12.5, {}, ["t -12.5", "degrees C", "degC"]),
        ("t", 500.0, {}, ["t 500 is not within 150..350"]),
        ("msl", 1013.2, {}, ["1013.2", "hPa given as Pa"]),
        ("q", 8.0, {}, ["g/kg"]),
        ("r", 55.0, {}, ["%"]),
        ("u", 500.0, {}, ["u 500"]),
        ("wind_direction", 370.0, {}, ["370"]),
        ("z", 5500.0, {}, ["height in m"]),
        ("z", 5500.0 * 9.8, {"pressure": 500.0}, ["pressure in hPa"]),
    ],
)
def test_bounds_name_the_value_and_the_suspicion(variable, value, columns, words):
    result = check_bounds(observations(variable, [value], **columns))
    assert result.flag.tolist() == [Flag.BOUNDS]
    for word in words:
        assert word in result.reason[0]


def test_reasons_without_a_plausible_unit_have_no_suspicion():
    assert "looks like" not in check_bounds(observations("t", [500.0])).reason[0]


def test_credible_values_pass_the_bounds():
    table = observations(
        ["t", "u", "z", "msl", "q"], [220.0, -90.0, 5500 * 9.8, 95_000.0, 0.02], latitude=[90, -90, 0, 1, 2], error=1.0
    )
    assert check_bounds(table).used.all()


def test_window_is_inclusive_and_two_sided():
    ages = np.array([0, 180, -180, 181, -181]).astype("timedelta64[m]")
    result = check_window(observations("t", [250.0] * 5, time=TIME + ages), TIME, np.timedelta64(3, "h"))
    assert result.flag.tolist() == [Flag.PASS] * 3 + [Flag.DOMAIN] * 2
    assert "+3.0 h" in result.reason[3]
    assert "window" in result.reason[4]


def test_background_check_uses_both_errors():
    # σ_o 3, σ_b 4: expected 5, limit 25
    departures = [24.9, -24.9, 25.1, -25.1]
    table = observations("t", [250.0 + d for d in departures], error=3.0)
    result = check_background(table, np.full(4, 250.0), np.full(4, 4.0), TABLE)
    assert result.flag.tolist() == [Flag.PASS, Flag.PASS, Flag.FIRST_GUESS, Flag.FIRST_GUESS]
    own = replace(TABLE, limits={"t": 4.0})
    assert check_background(table, np.full(4, 250.0), np.full(4, 4.0), own).used.sum() == 0


UFO = (np.arange(10.0, 20.0), np.arange(10.0, 30.0, 2.0), np.arange(25.0, 15.0, -1.0))
"""The three variables of UFO's filter tests (filters_testdata.nc4, as its yaml files quote them)."""


@pytest.mark.parametrize(("names", "passed"), [(("u", "v", "t"), 13), (("r", "v", "t"), 17), (("u", "r", "t"), 20)])
def test_bounds_check_of_ufo(names, passed, monkeypatch):
    """UFO test/testinput/unit_tests/filters/qc_boundscheck.yaml, 14 to 19; r is a variable that is not checked."""
    for name in names:
        monkeypatch.setitem(QUANTITY_BOUNDS, name, (14.0, 19.0) if name != "r" else (-99.0, 99.0))
    table = observations(np.repeat(names, 10).tolist(), np.concatenate(UFO))
    assert check_bounds(table).used.sum() == passed


@pytest.mark.parametrize(("limits", "passed"), [({}, 22), ({"t": 99.0}, 25)])
def test_background_check_of_ufo(limits, passed):
    """UFO test/testinput/unit_tests/filters/qc_backgroundcheck.yaml, threshold 2 σ_o; a limit of 99 is no check."""
    background = np.concatenate([np.arange(12.0, 22.0), np.arange(10.0, 40.0, 3.0), np.arange(25.0, 5.0, -2.0)])
    error = np.concatenate([np.ones(10), np.repeat([2.0, 1.5], 5), np.tile([2.0, 4.0], 5)])
    table = observations(np.repeat(["u", "v", "t"], 10).tolist(), np.concatenate(UFO), error=error)
    own = replace(TABLE, limits=limits, default_limit=2.0)
    assert check_background(table, background, np.zeros(30), own).used.sum() == passed


def test_below_the_ground_of_the_background():
    table = observations(["t", "t", "t", "msl"], [250.0] * 3 + [1e5], pressure=[90_000.0, 95_000.0, 95_001.0, 99_000.0])
    surface = np.full(4, 90_000.0)
    result = check_below_ground(table, surface, Domain())
    assert result.flag.tolist() == [0, 0, Flag.DOMAIN, 0]
    assert result.reason[2] == "95001 Pa is below the ground of the background, 90000 Pa"
    assert check_below_ground(table, np.full(4, np.nan), Domain()).used.all()
    assert check_below_ground(table, surface, Domain(enabled=False)).used.all()


def test_a_background_that_is_not_finite_rejects():
    result = control(observations("t", [250.0] * 2, error=1.0, latitude=[0, 10]), background=[np.nan, 250.0])
    assert result.flag.tolist() == [Flag.H_FAILED, Flag.PASS]


def test_variables_and_levels_that_the_background_has_not():
    table = observations(
        ["q", "xyz", "t", "t"], [0.01, 1.0, 250.0, 250.0], pressure=[5e4, 5e4, 104_000.0, 500.0], error=1.0
    )
    result = control(table, defined=np.zeros(4, dtype=bool))
    assert result.flag.tolist() == [Flag.H_FAILED, Flag.H_FAILED, Flag.DOMAIN, Flag.DOMAIN]
    assert "no q" in result.reason[0]
    assert "unknown variable xyz" in result.reason[1]
    assert "below the lowest level" in result.reason[2]
    assert "pressure_hpa" in result.reason[3]


def test_one_verdict_a_row_and_counts_that_reconcile():
    table = observations(
        ["t", "t", "t", "q", "t", "t", "t"],
        [np.nan, 20.0, 250.0, 0.01, 250.0, 250.0, 280.0],
        latitude=[0, 91, 0, 0, 10, 10, 20],
        time=TIME + np.array([0, 0, 300, 0, 0, 0, 0]).astype("timedelta64[m]"),
        error=1.0,
    )
    result = control(table, background=[250.0] * 7)
    assert result.flag.tolist() == [
        Flag.MISSING,
        Flag.BOUNDS,
        Flag.DOMAIN,
        Flag.H_FAILED,
        Flag.PASS,
        Flag.THINNED,
        Flag.FIRST_GUESS,
    ]
    assert all(bool(reason) != used for reason, used in zip(result.reason, result.used, strict=True))
    assert counts(result)["t", Flag.PASS] == 1
    assert sum(counts(result).values()) == 7


def test_a_verdict_of_the_reader_stays():
    table = observations("t", [np.nan], flag=Flag.PRE_QC)
    assert control(table, background=[250.0]).flag.tolist() == [Flag.PRE_QC]


def test_no_observations():
    table = observations("t", [])
    assert len(control(table)) == 0
    assert counts(table) == {}


def test_duplicates_within_every_tolerance_and_not_beyond():
    same = {"latitude": [50.001, 50.004], "longitude": [10.0, 10.0], "station": ["a", "a"], "error": [1.0, 2.0]}
    assert check_duplicates(observations("t", [250.0, 250.1], **same), TIME).flag.tolist() == [0, Flag.THINNED]
    for change in (
        {"latitude": [50.0, 50.03]},
        {"longitude": [10.0, 10.03]},
        {"station": ["a", "b"]},
        {"pressure": [50_000.0, 50_051.0]},
        {"time": TIME + np.array([0, 31]).astype("timedelta64[m]")},
    ):
        assert check_duplicates(observations("t", [250.0, 250.1], **{**same, **change}), TIME).used.all(), change
    assert check_duplicates(observations(["t", "u"], [250.0, 250.1], **same), TIME).used.all()


@pytest.mark.parametrize("longitude", [0.0, 179.99, 359.995, 10.02, 33.333])
@pytest.mark.parametrize("latitude", [-90.0, -0.005, 12.34, 89.99])
def test_duplicates_are_found_wherever_they_lie(latitude, longitude):
    other = [np.clip(latitude + 0.01, -90, 90), np.mod(longitude + 0.019, 360)]
    table = observations(
        "msl", [1e5, 1e5], latitude=[latitude, other[0]], longitude=[longitude, other[1]], pressure=np.nan
    )
    assert check_duplicates(table, TIME).used.sum() == 1


def test_of_duplicates_the_better_one_stays():
    by_error = observations("t", [250.0, 251.0, 252.0], error=[2.0, 1.0, 3.0], station="a")
    assert check_duplicates(by_error, TIME).used.tolist() == [False, True, False]
    assert "row 2" in check_duplicates(by_error, TIME).reason[0]
    ages = np.array([20, -10, 15]).astype("timedelta64[m]")
    by_time = observations("t", [250.0, 251.0, 252.0], error=1.0, station="a", time=TIME + ages)
    assert check_duplicates(by_time, TIME).used.tolist() == [False, True, False]


def test_a_chain_keeps_what_no_kept_row_repeats():
    # 0, 20 and 40 minutes: the first repeats the second, the second the third; the best two are the ends.
    ages = np.array([0, 20, 40]).astype("timedelta64[m]")
    table = observations("t", [250.0, 251.0, 252.0], error=1.0, station="a", time=TIME + ages)
    assert check_duplicates(table, TIME).used.tolist() == [True, False, True]


def test_one_report_under_two_names_in_two_files():
    same = {"latitude": [50.001, 50.0], "longitude": [10.0, 10.004], "error": 1.0, "station": ["11035", "LOWW"]}
    assert check_duplicates(observations("t", [250.01, 250.0], **same), TIME).used.sum() == 1
    # two stations in one town: values that differ by more than rounding
    assert check_duplicates(observations("t", [250.1, 250.0], **same), TIME).used.all()


def test_nameless_reports_are_the_same_only_within_a_minute():
    for minutes, kept in ((1, 1), (2, 2)):
        times = TIME + np.array([0, minutes]).astype("timedelta64[m]")
        table = observations("t", [250.0, 255.0], time=times, error=1.0, station=["", "A1"])
        assert check_duplicates(table, TIME).used.sum() == kept


def test_neighbouring_levels_high_up_are_no_duplicates():
    high = observations("t", [220.0, 220.5], pressure=[1000.0, 1030.0], station="a", error=[1.0, 1.5])
    assert check_duplicates(high, TIME).used.all()
    low = observations("t", [280.0, 280.5], pressure=[85_000.0, 85_030.0], station="a", error=[1.0, 1.5])
    assert check_duplicates(low, TIME).flag.tolist() == [0, Flag.THINNED]


def test_tolerances_of_duplicates_can_be_chosen():
    table = observations("t", [250.0, 251.0], latitude=[50.0, 50.3], station="a", error=[1.0, 1.5])
    assert check_duplicates(table, TIME).used.all()
    assert check_duplicates(table, TIME, Duplicates(degrees=0.3)).used.sum() == 1
    assert check_duplicates(table, TIME, Duplicates(degrees=0.3, enabled=False)).used.all()


def test_the_settings_reach_every_check():
    """One row for each check; what a check would flag passes where it is off, and order decides what two would flag."""
    hours = np.arange(30) * 12
    stuck = observations(
        "t", [250.0] * 30, station="S", latitude=0.0, time=TIME + (hours - 174).astype("timedelta64[m]")
    )
    track = observations("t", [250.0, 251.0, 252.0, 253.0], station="A", report="ship", latitude=[0, 60, 0.1, 0.2],
                         time=TIME + (np.arange(4) * 30).astype("timedelta64[m]"))  # fmt: skip
    profile = observations("t", [290.0, 230.0], station="P", latitude=20.0, pressure=[90_000.0, 80_000.0])
    listed = observations("t", [250.0, 251.0], station="B", latitude=30.0)
    table = concatenate([stuck, track, profile, listed])

    def flags(**settings):
        screened = screen(table, guess_of(table, CHANNELS, table.value, quality=Quality(**settings)))
        return [sorted(set(screened.flag[table.station == name].tolist())) for name in "SAPB"]

    off = {"enabled": False}
    assert flags() == [[Flag.TRACK], [0, Flag.TRACK], [Flag.PROFILE], [0, Flag.THINNED]]
    assert flags(track=off, stuck=off, profile=off, duplicates=off) == [[0]] * 4
    assert flags(blacklist=[Rule(station="[SB]")])[::3] == [[Flag.BLACKLIST]] * 2


def clustered(n, seed):
    rng = np.random.default_rng(seed)
    return observations(
        rng.choice(["t", "u"], n),
        rng.normal(size=n).round(1),
        latitude=50 + rng.uniform(0, 0.08, n),
        longitude=np.mod(rng.uniform(-0.04, 0.04, n), 360),
        pressure=rng.choice([50_000.0, 50_040.0, 50_080.0], n),
        time=TIME + rng.integers(-60, 60, n).astype("timedelta64[m]"),
        station=rng.choice(["", "a", "b"], n).astype(object),
        error=rng.choice([1.0, 2.0], n),
    )


@pytest.mark.parametrize("seed", range(5))
def test_duplicates_do_not_depend_on_the_order_of_the_rows(seed):
    table = clustered(200, seed)
    verdict = dict(zip(table.row.tolist(), check_duplicates(table, TIME).flag.tolist(), strict=True))
    assert 0 < sum(flag != 0 for flag in verdict.values()) < 200
    permuted = table.take(np.random.default_rng(seed + 100).permutation(200))
    result = check_duplicates(permuted, TIME)
    assert {row: verdict[row] for row in permuted.row.tolist()} == dict(
        zip(permuted.row.tolist(), result.flag.tolist(), strict=True)
    )


@pytest.mark.parametrize("seed", range(3))
def test_duplicates_agree_with_the_plain_definition(seed):
    table = clustered(120, seed)

    def repeats(i, j):
        gap = abs(table.longitude[i] - table.longitude[j])
        stations = {table.station[i], table.station[j]}
        return (
            table.variable[i] == table.variable[j]
            and abs(table.latitude[i] - table.latitude[j]) <= 0.02
            and min(gap, 360 - gap) <= 0.02
            and abs(table.pressure[i] - table.pressure[j]) <= 50
            and abs(table.time[i] - table.time[j]) <= np.timedelta64(30, "m")
            and (
                table.station[i] == table.station[j]
                or ("" in stations and abs(table.time[i] - table.time[j]) <= np.timedelta64(1, "m"))
                or abs(table.value[i] - table.value[j]) <= 0.05 * min(table.error[i], table.error[j])
            )
        )

    kept = np.flatnonzero(check_duplicates(table, TIME).used)
    assert not any(repeats(i, j) for i in kept for j in kept if i < j)
    for i in set(range(120)) - set(kept.tolist()):
        assert any(repeats(i, j) and table.error[j] <= table.error[i] for j in kept)


def test_quality_control_does_not_depend_on_the_order_of_the_rows():
    table = clustered(150, 7)
    background = np.random.default_rng(1).normal(scale=5.0, size=150)
    order = np.random.default_rng(2).permutation(150)
    straight, permuted = control(table, background), control(table.take(order), background[order])
    assert straight.flag[order].tolist() == permuted.flag.tolist()


def test_a_hundred_thousand_rows_are_controlled_in_time():
    n = 100_000
    rng = np.random.default_rng(0)
    table = observations(
        rng.choice(["t", "u"], n),
        rng.uniform(200, 300, n),
        latitude=rng.uniform(-90, 90, n),
        longitude=rng.uniform(0, 360, n),
        error=1.0,
    )
    start = clock.process_time()
    result = control(table)
    assert clock.process_time() - start < 3.0
    assert sum(counts(result).values()) == n
