"""assimilate(): the whole method on small known cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.assimilation import Analysis, AssimilationOptions, assimilate
from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.methods.huber import Huber
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.table import Flag, Observations
from tests.support.background_error import CHANNELS, GRID, random_errors, small_statistics, zero_time
from tests.support.observations import make_observations, rows_of

OPTIONS = AssimilationOptions(window=np.timedelta64(3, "h"), background_error_scale=1.0)
OFFSET = {"u": 0.0, "v": 0.0, "t": 260.0, "q": 4e-3, "z": 5.5e4, "msl": 101_000.0}


def state(values: torch.Tensor) -> State:
    offset = torch.tensor([OFFSET[channel.variable] for channel in CHANNELS], dtype=torch.float64)
    return State(values + offset[:, None, None], CHANNELS, GRID, zero_time())


def truth_and_background() -> tuple[State, State]:
    truth = state(torch.zeros(len(CHANNELS), *GRID.shape, dtype=torch.float64))
    return truth, state(random_errors(1, seed=77)[0])


def observe(truth: State, count: int, *, seed: int, noise: float = 0.0) -> Observations:
    generator = np.random.default_rng(seed)
    size = {"u": 1.5, "v": 1.5, "t": 0.8, "z": 80.0}
    variable = generator.choice(np.array(sorted(size), dtype=object), count)
    pressure = generator.choice(np.array([25_000.0, 50_000.0, 85_000.0]), count)
    lat, lon = np.degrees(np.arcsin(generator.uniform(-1, 1, count))), generator.uniform(0, 360, count)
    value = rows_of(GRID, CHANNELS, variable, lat, lon, pressure)(truth.values).numpy()
    error = np.array([size[name] for name in variable])
    value = value + noise * error * generator.standard_normal(count)
    rows = list(zip(variable, pressure, lat, lon, value, error, strict=True))
    return make_observations(rows, time=zero_time())


def run(
    background: State, observations: Observations, *, orography: torch.Tensor | None = None, **changes: object
) -> Analysis:
    return assimilate(
        background,
        observations,
        method=ThreeDVar(small_statistics(), members=0, tolerance=1e-6),
        table=default_error_table(),
        options=replace(OPTIONS, **changes),  # type: ignore[arg-type]
        orography=orography,
    )


def rmse(analysis: State, truth: State) -> torch.Tensor:
    return (analysis.values - truth.values).square().mean(dim=(1, 2)).sqrt()


def test_observations_of_the_truth_recover_it() -> None:
    truth, background = truth_and_background()
    result = run(background, observe(truth, 600, seed=1, noise=1.0))
    before, after = rmse(background, truth), rmse(result.state, truth)
    for channel in ("u500", "v250", "z500", "z850", "t500"):
        index = [str(c) for c in CHANNELS].index(channel)
        assert float(after[index]) < 0.7 * float(before[index]), channel


def test_agreeing_observations_change_nothing() -> None:
    _, background = truth_and_background()
    result = run(background, observe(background, 50, seed=2))
    assert float((result.increment.values.abs().amax(dim=(1, 2)) / background.values.std(dim=(1, 2))).max()) < 1e-9


def test_mirrored_observations_make_it_worse() -> None:
    truth, background = truth_and_background()
    mirrored = replace(truth, values=2 * background.values - truth.values)
    result = run(background, observe(mirrored, 600, seed=3))
    index = [str(c) for c in CHANNELS].index("z500")
    assert float(rmse(result.state, truth)[index]) > 1.3 * float(rmse(background, truth)[index])


def test_feedback_has_every_row_and_departures_obs_minus_model() -> None:
    truth, background = truth_and_background()
    observations = observe(truth, 100, seed=4)
    result = run(background, observations)
    feedback = result.feedback
    assert np.array_equal(feedback.observations.row, observations.row)
    operator = rows_of(
        GRID, CHANNELS, observations.variable, observations.latitude, observations.longitude, observations.pressure
    )
    expected = observations.value - operator(background.values).numpy()
    assert np.allclose(feedback.background_departure, expected)
    used = feedback.observations.used
    assert np.sqrt(np.mean((feedback.analysis_departure / feedback.observations.error)[used] ** 2)) < np.sqrt(
        np.mean((feedback.background_departure / feedback.observations.error)[used] ** 2)
    )


def test_gross_error_is_rejected_and_cannot_reach_the_state() -> None:
    truth, background = truth_and_background()
    clean = observe(truth, 100, seed=5)
    rows = np.arange(101)
    rows[100] = 7
    spoiled = clean.take(rows)
    value, station = spoiled.value.copy(), spoiled.station.copy()
    value[100], station[100] = value[100] * 1.5 + 50.0, "BAD"
    latitude = spoiled.latitude.copy()
    latitude[100] -= 1.0
    spoiled = replace(spoiled, value=value, station=station, latitude=latitude, row=np.arange(1, 102))
    with_bad, without = run(background, spoiled), run(background, clean)
    assert with_bad.feedback.observations.flag[100] in (Flag.FIRST_GUESS, Flag.BOUNDS)
    assert torch.equal(with_bad.state.values, without.state.values)


def test_zero_usable_observations_leave_the_background() -> None:
    _, background = truth_and_background()
    nothing = make_observations([], time=zero_time())
    result = run(background, nothing)
    assert torch.equal(result.state.values, background.values)
    assert result.spread is not None
    channel = CHANNELS.index(Channel("t", 50_000.0))
    sigma = small_statistics().sigma[channel]
    assert torch.allclose(result.spread.values[channel, :, 0], sigma)


def test_dry_run_computes_departures_only() -> None:
    truth, background = truth_and_background()
    result = run(background, observe(truth, 50, seed=6), update=False)
    assert torch.equal(result.state.values, background.values)
    assert np.isfinite(result.feedback.background_departure).all()
    assert np.isnan(result.feedback.analysis_departure).all()
    assert result.log["used"] == 50


def test_scale_is_estimated_from_innovations() -> None:
    truth, background = truth_and_background()
    worse = replace(background, values=truth.values + 4.0 * (background.values - truth.values))
    result = run(worse, observe(truth, 800, seed=7, noise=1.0), background_error_scale=None)
    assert 2.5 < float(result.log["background_error_scale"]) < 6.0
    assert int(result.log["used"]) > 760


def test_humidity_stays_positive_and_is_counted() -> None:
    _, background = truth_and_background()
    lat, lon = GRID.latitudes[8], GRID.longitudes[4]
    dry = replace(background, values=background.values.clone())
    q = CHANNELS.index(Channel("q", 50_000.0))
    dry.values[q] = 1e-5
    rows = [("q", 50_000.0, lat, lon, 0.0, 1e-6)]
    observations = make_observations(rows, time=zero_time())
    values = observations.value.copy()
    values[0] = -9e-5
    result = run(dry, replace(observations, value=values))
    assert 0.0 < float(result.state.values[q].min()) < 1e-5
    assert int(result.log["humidity_clipped"]) > 0


def test_unreached_variable_is_passive() -> None:
    _, background = truth_and_background()
    values = torch.cat([background.values, torch.full((1, *GRID.shape), 5.0, dtype=torch.float64)])
    wider = State(values, (*CHANNELS, Channel("u10")), GRID, zero_time())
    rows = [("u10", float("nan"), 10.0, 20.0, 6.0, 1.0)]
    result = run(wider, make_observations(rows, time=zero_time()))
    assert result.feedback.observations.flag[0] == Flag.PASSIVE
    assert torch.equal(result.state.values[-1], values[-1])


def test_a_station_is_compared_at_its_own_height() -> None:
    """A ground at 200 m with 280 K: a station at 300 m should have 279.35 K; 281 K there is 1.65 K too much."""
    _, background = truth_and_background()
    warm, ground = (torch.full((1, *GRID.shape), x, dtype=torch.float64) for x in (280.0, 200.0))
    wider = State(torch.cat([background.values, warm]), (*CHANNELS, Channel("t2m")), GRID, zero_time())
    rows = make_observations([("t2m", float("nan"), 10.0, 20.0, 281.0, 1.0)] * 2, time=zero_time())
    feedback = run(wider, replace(rows, elevation=np.array([300.0, np.nan])), orography=ground[0]).feedback
    assert feedback.background_departure[0] == pytest.approx(1.65)
    assert feedback.observations.flag.tolist() == [Flag.PASSIVE, Flag.H_FAILED]


def test_finer_background_grid_gets_the_same_increment_at_shared_points() -> None:
    """Rows 1, 4, … and columns 0, 3, … of the three times finer grid are the points of the coarse one."""
    truth, _ = truth_and_background()
    observations = observe(truth, 60, seed=8)
    offset = torch.tensor([OFFSET[c.variable] for c in CHANNELS], dtype=torch.float64)[:, None, None] * 1.001
    coarse, fine = (
        run(State(offset.expand(-1, *grid.shape).clone(), CHANNELS, grid, zero_time()), observations)
        for grid in (GRID, LatLonGrid.equiangular(48, 96))
    )
    shared = fine.increment.values[:, 1::3, ::3]
    assert float((shared - coarse.increment.values).abs().max()) < 1e-5 * float(shared.abs().max())
    assert float(coarse.increment.values.abs().max()) > 1.0


def test_members_and_nan_backgrounds_are_refused() -> None:
    _, background = truth_and_background()
    nothing = make_observations([], time=zero_time())
    with pytest.raises(BadDataError, match="--member"):
        run(replace(background, values=background.values.expand(2, -1, -1, -1)), nothing)
    spoiled = background.values.clone()
    spoiled[0, 0, 0] = float("nan")
    with pytest.raises(BadDataError, match="not finite"):
        run(replace(background, values=spoiled), nothing)


def test_a_minimisation_that_did_not_converge_is_in_the_log() -> None:
    truth, background = truth_and_background()
    observations = observe(truth, 300, seed=4, noise=1.0)
    options = replace(OPTIONS, background_error_scale=4.0)

    def log(method: ThreeDVar) -> dict[str, object]:
        made = assimilate(background, observations, method=method, table=default_error_table(), options=options)
        return dict(made.log)

    hasty = log(ThreeDVar(small_statistics(), max_iterations=1, tolerance=1e-9))
    assert hasty["converged"] is False
    assert hasty["trials_converged"] is False
    done = log(ThreeDVar(small_statistics()))
    assert done["converged"] is True
    assert "trials_converged" not in done


def test_a_wind_by_height_is_rejected_for_its_missing_pressure() -> None:
    _, background = truth_and_background()
    rows = [("u", float("nan"), 10.0, 20.0, 6.0, float("nan")), ("u", 50_000.0, 10.0, 20.0, 6.0, float("nan"))]
    judged = run(background, make_observations(rows, time=zero_time())).feedback.observations
    assert judged.flag[0] == Flag.MISSING
    assert judged.reason[0] == "no pressure for a variable on pressure levels"
    assert judged.error[1] == default_error_table().sigma(np.array(["u"], object), np.array([5e4]))[0]


def test_the_feedback_says_how_far_an_observation_counts_that_the_huber_cost_holds_down() -> None:
    truth, background = truth_and_background()
    observations = observe(truth, 200, seed=4, noise=1.5)
    result = assimilate(
        background,
        observations,
        method=ThreeDVar(small_statistics(), tolerance=1e-6, huber=Huber(1.0)),
        table=default_error_table(),
        options=OPTIONS,
    )
    rows, residual = result.feedback.observations, result.feedback.analysis_departure / observations.error
    far = int(np.argmax(np.where(rows.used, np.abs(residual), 0.0)))
    assert float(rows.reason[far].split()[0]) == pytest.approx(1.0 / abs(residual[far]), abs=0.01)
    assert rows.reason[far].endswith(" of its weight, far from the analysis")
    told = rows.used & (rows.reason != "")
    assert int(told.sum()) == result.log["downweighted"] > 20
    assert (np.abs(residual[told]) > 0.97).all()
