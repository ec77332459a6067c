"""Radio occultations through a whole analysis: drawn to, judged, out of reach above it, by the constants asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phyda_cli.assimilation import Analysis, AssimilationOptions, assimilate
from phyda_cli.constants import GRAVITY
from phyda_cli.fields.standard_atmosphere import standard_height, standard_temperature
from phyda_cli.fields.state import Channel, State
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.observations.conversion import placed
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.settings import Quality, Refractivity
from phyda_cli.observations.table import Flag, Observations
from phyda_cli.operators.first_guess import operator_of
from tests.support.background_error import CHANNELS, GRID, random_errors, small_statistics, zero_time
from tests.support.observations import observations

ALOFT = tuple(Channel(name, p) for name in ("z", "t", "q") for p in (10_000.0, 5_000.0))


def background() -> State:
    """The standard atmosphere with some humidity, two levels more than the method knows."""
    made = {
        "z": lambda p: GRAVITY * float(standard_height(p)),
        "t": lambda p: float(standard_temperature(standard_height(p))),
        "q": lambda p: 8e-3 * (p / 1e5) ** 3,
    }
    channels = (*CHANNELS, *ALOFT)
    values = [made[c.variable](c.level) if c.variable in made else 101_000.0 * (c.variable == "msl") for c in channels]
    fields = torch.tensor(values, dtype=torch.float64)[:, None, None].expand(-1, *GRID.shape).clone()
    return State(fields, channels, GRID, zero_time())


def profiles(state: State, heights, count: int = 60, *, bias: float = 1.0) -> Observations:
    """What a state has at these heights of so many profiles, times a factor."""
    random = np.random.default_rng(4)
    latitude, longitude = np.degrees(np.arcsin(random.uniform(-1, 1, count))), random.uniform(0, 360, count)
    n = len(heights)
    rows = placed(
        observations(
            "refractivity", np.zeros(count * n), height=np.tile(heights, count), latitude=np.repeat(latitude, n),
            longitude=np.repeat(longitude, n), station=np.repeat([f"R{k}" for k in range(count)], n), report="gnssro",
            pressure=np.nan, time=zero_time(),
        )
    )  # fmt: skip
    values = operator_of(state, rows).states(state.grid, state.channels)(state.values)
    return observations(
        "refractivity", bias * values, height=rows.height, latitude=rows.latitude, longitude=rows.longitude,
        station=rows.station, report="gnssro", pressure=rows.pressure, time=zero_time(),
    )  # fmt: skip


def run(rows: Observations, *, constants: str = "bevis") -> Analysis:
    settings = Refractivity(constants=constants)  # type: ignore[arg-type]
    return assimilate(
        background(),
        rows,
        method=ThreeDVar(small_statistics(), tolerance=1e-5),
        table=default_error_table(),
        options=AssimilationOptions(
            window=np.timedelta64(3, "h"), background_error_scale=1.0, quality=Quality(refractivity=settings)
        ),
    )


def truth() -> State:
    state = background()
    values = state.values.clone()
    values[: len(CHANNELS)] += random_errors(1, seed=5)[0]
    q = [number for number, channel in enumerate(state.channels) if channel.variable == "q"]
    values[q] = values[q].clamp_min(0.0)
    return State(values, state.channels, state.grid, state.time)


def test_the_analysis_draws_to_profiles_and_to_the_truth():
    true = truth()
    found = run(profiles(true, [3_000.0, 5_000.0, 7_000.0, 9_000.0], count=200))
    rows = found.feedback
    used = rows.observations.used
    assert used.mean() > 0.9
    before, after = (np.sqrt(np.mean(d[used] ** 2)) for d in (rows.background_departure, rows.analysis_departure))
    assert after < 0.65 * before
    for channel in (Channel("z", 50_000.0), Channel("t", 50_000.0)):
        number = true.channels.index(channel)
        error = [float((s.values - true.values)[number].square().mean().sqrt()) for s in (background(), found.state)]
        assert error[1] < 0.9 * error[0], channel
    assert np.isnan(rows.spread).all()


def test_what_is_above_the_reach_of_the_method_is_passive_and_what_is_above_the_background_outside():
    found = run(profiles(background(), [9_000.0, 18_500.0], count=4, bias=1.01)).feedback.observations
    assert found.flag.tolist() == [Flag.PASS, Flag.PASSIVE] * 4
    high = profiles(background(), [9_000.0], count=1)
    above = observations("refractivity", [3.0], height=31_000.0, pressure=1_000.0, time=zero_time(), report="gnssro")
    low = observations("refractivity", [3.0], height=np.nan, pressure=np.nan, time=zero_time(), report="gnssro")
    assert run(above).feedback.observations.flag.tolist() == [Flag.DOMAIN]
    assert run(low).feedback.observations.flag.tolist() == [Flag.MISSING]
    assert run(low).feedback.observations.reason.tolist() == ["no height for refractivity"]
    assert run(high).feedback.observations.used.all()


def test_departures_of_some_per_cent_are_rejected_and_super_refraction_before_them():
    rows = profiles(background(), [2_000.0, 2_200.0, 9_000.0], count=2)
    rows.value[2] *= 1.2
    rows.value[3] += 30.0
    found = run(rows).feedback.observations
    assert found.flag.tolist() == [
        Flag.PASS, Flag.PASS, Flag.FIRST_GUESS, Flag.SUPER_REFRACTION, Flag.PASS, Flag.PASS,
    ]  # fmt: skip


@pytest.mark.parametrize(("constants", "ratio"), [("bevis", 1.0), ("rueger", 77.689 / 77.6)])
def test_the_constants_are_a_setting(constants, ratio):
    rows = profiles(background(), [10_200.0], count=3)
    found = run(rows, constants=constants).feedback
    np.testing.assert_allclose(found.background_equivalent / rows.value, ratio, rtol=3e-5)


def test_columns_and_pressures_are_seen_without_fields_of_their_own():
    """q gives tcwv, and msl with a known ground the pressure of a station."""
    state = background()
    rows = observations(["tcwv", "sp"], [20.0, 1e5], pressure=np.nan, elevation=[np.nan, 100.0], time=zero_time())
    ground = torch.full(GRID.shape, 100.0, dtype=torch.float64)
    found = assimilate(
        state, rows, method=ThreeDVar(small_statistics()), table=default_error_table(), orography=ground,
        options=AssimilationOptions(window=np.timedelta64(3, "h"), background_error_scale=1.0),
    )  # fmt: skip
    assert np.isfinite(found.feedback.background_equivalent).all()
    raised = 101_000.0 * (1 - 0.0065 * 100 / 288.15) ** 5.2559
    assert found.feedback.background_equivalent[1] == pytest.approx(raised, rel=1e-4)
    assert not np.isin(found.feedback.observations.flag, (Flag.H_FAILED, Flag.DOMAIN)).any()
