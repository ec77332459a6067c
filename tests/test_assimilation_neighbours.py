"""assimilate() on a background much worse than a short forecast: what the neighbours say decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phyda_cli.assimilation import Analysis, AssimilationOptions, assimilate
from phyda_cli.fields.state import Channel, State
from phyda_cli.methods.base import Departures, Increment
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.settings import Quality
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.quality.neighbours import ROUNDS
from tests.support.background_error import CHANNELS, GRID, small_statistics, zero_time
from tests.support.observations import observations

BACKGROUND, ERROR, SCALE = 260.0, 0.8, 8.0
LEVELS = (25_000.0, 50_000.0, 85_000.0)
PLACES = [(50.0 + 0.5 * row, 100.0 + 0.5 * column) for row in range(4) for column in range(3)]


def sigma_b(level: float, latitude: float) -> float:
    sigma = small_statistics().sigma[CHANNELS.index(Channel("t", level))].numpy()
    return float(np.interp(latitude, GRID.latitudes, sigma))


def soundings(departures: np.ndarray, places=PLACES) -> Observations:
    """A sounding of t at three levels for each place; departures (place, level) [K] from the background."""
    n = len(places)
    return observations(
        "t",
        BACKGROUND + np.asarray(departures, dtype=float).ravel(),
        pressure=np.tile(LEVELS, n),
        latitude=np.repeat([place[0] for place in places], 3),
        longitude=np.repeat([place[1] for place in places], 3),
        station=np.repeat([f"S{i}" for i in range(n)], 3),
        error=ERROR,
        time=zero_time(),
    )


def background() -> State:
    return State(torch.full((len(CHANNELS), *GRID.shape), BACKGROUND, dtype=torch.float64), CHANNELS, GRID, zero_time())


def run(table: Observations, *, scale: float = SCALE, update: bool = True, method=None) -> Analysis:
    return assimilate(
        background(),
        table,
        method=method or ThreeDVar(small_statistics(), tolerance=1e-6),
        table=default_error_table(),
        options=AssimilationOptions(np.timedelta64(3, "h"), background_error_scale=scale, update=update),
    )


class Counting(ThreeDVar):
    """3D-Var that counts its analyses, and those of them with members."""

    calls: list[int] = []  # noqa: RUF012
    started: list[bool] = []  # noqa: RUF012

    def increment(self, background: State, departures: Departures, start: torch.Tensor | None = None) -> Increment:
        self.calls.append(self.members)
        self.started.append(start is not None)
        return super().increment(background, departures, start)


@pytest.fixture
def counting() -> Counting:
    Counting.calls, Counting.started = [], []
    return Counting(small_statistics(), members=2, tolerance=1e-3)


def test_a_lone_observation_is_not_rejected_for_being_alone() -> None:
    # 4.9 of the expected √(σ_o² + s²σ_b²): it passes, and x_a comes to it as far as the errors say
    variance = ERROR**2 + (SCALE * sigma_b(50_000.0, 50.0)) ** 2
    departure = 4.9 * np.sqrt(variance)
    lone = soundings([[0.0, departure, 0.0]], [(50.0, 100.0)]).take(np.array([1]))
    result = run(lone)
    assert result.feedback.observations.used.all()
    assert result.feedback.analysis_departure[0] == pytest.approx(ERROR**2 / variance * departure, rel=0.5)
    assert abs(result.feedback.analysis_departure[0]) < 5 * ERROR
    # the same departure that far from a short forecast is an error
    assert run(lone, scale=1.0).feedback.observations.flag.tolist() == [Flag.FIRST_GUESS]


def test_agreeing_observations_far_from_a_bad_background_survive() -> None:
    shift = 12.0 * sigma_b(50_000.0, 51.0)
    result = run(soundings(np.full((12, 3), shift)))
    assert result.feedback.observations.used.all()
    assert result.log["trials"] == 1
    assert np.abs(result.feedback.analysis_departure).max() < 0.25 * shift


def test_a_bad_sounding_among_good_ones_goes_as_a_whole_and_alone() -> None:
    departures = np.zeros((12, 3))
    departures[4] = (20.0, 20.0, 0.5)
    table = soundings(departures)
    assert 5 * SCALE * min(sigma_b(level, 51.0) for level in LEVELS) > 20.0
    assert run(table, update=False).feedback.observations.used.all()
    result = run(table)
    checked = result.feedback.observations
    bad = table.station == "S4"
    assert checked.flag[bad].tolist() == [Flag.BUDDY] * 3
    assert "neighbours" in checked.reason[bad][0]
    assert checked.reason[bad][2] == "2 of the 3 values of its report are rejected for their departures"
    assert checked.used[~bad].all()
    assert float(result.increment.values.abs().max()) < 1e-6
    assert result.log["used"] == 33


def test_good_neighbours_that_a_bad_one_made_look_bad_come_back() -> None:
    # equal errors: the first trial is near the mean, 66/3 = 22 from the good two, whose limit is below 15; all go.
    # The second has nobody left and is the background, with which the good two agree.
    places = [(50.0, 100.0), (50.0, 101.0), (50.0, 102.0)]
    assert 5 * np.hypot(ERROR, max(sigma_b(level, 50.0) for level in LEVELS)) < 15.0
    assert 5 * SCALE * min(sigma_b(level, 50.0) for level in LEVELS) > 66.0
    result = run(soundings([[0.0] * 3, [66.0] * 3, [0.0] * 3], places))
    assert result.feedback.observations.used.tolist() == [True] * 3 + [False] * 3 + [True] * 3
    assert result.log["trials"] == 3


def test_the_verdicts_do_not_depend_on_the_order_of_the_rows() -> None:
    departures = np.random.default_rng(5).normal(scale=ERROR, size=(12, 3))
    departures[3], departures[7, 0] = 20.0, -15.0
    table = soundings(departures)
    order = np.random.default_rng(6).permutation(len(table))
    straight, permuted = run(table), run(table.take(order))
    flags = straight.feedback.observations.flag
    assert flags[order].tolist() == permuted.feedback.observations.flag.tolist()
    assert (flags == Flag.BUDDY).sum() == 4
    assert torch.equal(straight.state.values, permuted.state.values)


def test_a_dry_run_makes_no_analysis(counting: Counting) -> None:
    departures = np.zeros((12, 3))
    departures[4] = 20.0
    result = run(soundings(departures), update=False, method=counting)
    assert counting.calls == []
    assert result.log["trials"] == 0
    assert result.feedback.observations.used.all()


def test_a_short_forecast_makes_no_trial_and_trials_make_no_members_but_a_start(counting: Counting) -> None:
    table = soundings(np.zeros((12, 3)))
    assert run(table, scale=1.0, method=counting).log["trials"] == 0
    assert counting.calls == [2]
    assert run(table, method=counting).log["trials"] == 1
    assert counting.calls == [2, 0, 2]
    assert counting.started == [False, False, True]  # the analysis begins where its last trial ended


def test_buddies_judge_a_short_forecast_and_trials_a_bad_background(counting: Counting) -> None:
    # within 5 times the expected departure of one observation alone, but not of one among its neighbours
    departures = np.zeros((12, 3))
    departures[4, 1] = 4.9 * np.hypot(ERROR, sigma_b(50_000.0, 50.5))
    table = soundings(departures)
    checked = run(table, scale=1.0, method=counting).feedback.observations
    assert np.flatnonzero(checked.flag == Flag.BUDDY).tolist() == [13]
    assert "buddies" in checked.reason[13]
    assert run(table, scale=1.0, update=False).feedback.observations.flag.tolist() == checked.flag.tolist()
    assert len(counting.calls) == 1
    bad = run(table, scale=SCALE).feedback.observations
    assert not any("buddies" in reason for reason in bad.reason)


def test_thinning_comes_after_the_checks() -> None:
    # the sounding in the middle of the cell is bad, so another one is kept
    departures = np.zeros((12, 3))
    departures[4] = 20.0
    table = soundings(departures)
    quality = Quality(thinning=[{"horizontal_km": 1000}])
    options = AssimilationOptions(np.timedelta64(3, "h"), background_error_scale=1.0, update=False, quality=quality)
    method = ThreeDVar(small_statistics(), members=0)
    result = assimilate(background(), table, method=method, table=default_error_table(), options=options)
    flags = result.feedback.observations.flag
    assert set(flags[12:15].tolist()) <= {Flag.FIRST_GUESS, Flag.BUDDY}
    assert (flags == Flag.PASS).sum() == 3
    assert (flags == Flag.THINNED).sum() == 30


def test_whole_reports_are_judged_without_a_trial_too() -> None:
    departures = np.zeros((2, 3))
    departures[1] = (20.0, 20.0, 0.5)
    checked = run(soundings(departures, [(50.0, 100.0), (0.0, 0.0)]), scale=1.0).feedback.observations
    assert checked.flag.tolist() == [Flag.PASS] * 3 + [Flag.FIRST_GUESS] * 2 + [Flag.BUDDY]


def test_the_rounds_are_bounded(counting: Counting) -> None:
    departures = np.random.default_rng(8).choice([-15.0, 0.0, 15.0], size=(12, 3))
    assert 1 <= int(run(soundings(departures), method=counting).log["trials"]) <= ROUNDS
    assert len(counting.calls) <= ROUNDS + 1
