"""Guidance of the learned analysis by total column water vapour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.assimilation import Analysis, AssimilationOptions, assimilate
from phyda_cli.constants import GRAVITY
from phyda_cli.errors import BadDataError, ConfigError
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.fields.column import column_weights
from phyda_cli.fields.state import Channel, State
from phyda_cli.methods.guided import COLUMN, GuidedAnalysis
from phyda_cli.methods.phyda import LearnedAnalysis
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.table import Flag
from phyda_cli.operators.operator import ObservationOperator
from tests.support.background_error import CHANNELS, GRID, LEVELS, small_statistics, zero_time
from tests.support.learned import MEAN, checkpoint, scrambled, untrained
from tests.support.observations import make_departures, make_observations

NOWHERE = float("nan")
WIND = [("u", 50_000.0, 40.0, 100.0, 3.0, 2.0), ("t", 85_000.0, -20.0, 300.0, 1.0, 1.0)]


def learned(model=None, **changes) -> LearnedAnalysis:
    settings = {"members": 4, "evaluations": 4, **changes}
    return LearnedAnalysis(checkpoint(model or scrambled()), ThreeDVar(small_statistics(), tolerance=1e-4), **settings)


def climate(**single: float) -> State:
    """The same everywhere: the climatology and single-level fields."""
    channels = (*CHANNELS, *(Channel(name) for name in single))
    values = torch.tensor([*MEAN, *single.values()], dtype=torch.float64)
    return State(values[:, None, None].expand(-1, *GRID.shape).clone(), channels, GRID, zero_time())


def run(method, rows: list, scale: float = 1.0) -> Analysis:
    options = AssimilationOptions(window=np.timedelta64(3, "h"), background_error_scale=scale)
    observations = make_observations(rows, time=zero_time())
    background = climate(tcwv=20.0)
    return assimilate(background, observations, method=method, table=default_error_table(), options=options)


def test_the_column_of_a_constant_by_hand() -> None:
    """1 g/kg from p_s to 250 hPa, then linearly in ln p to zero at 125 hPa, where ∫ = 250 hPa (1 − 1/(2 ln 2))."""
    surface = torch.tensor([[101_325.0, 60_000.0]], dtype=torch.float64)
    weights = column_weights(LEVELS, surface)
    assert weights.shape == (3, 1, 2)
    fade = 25_000.0 * (1.0 - 0.5 / np.log(2.0))
    for place, pressure in enumerate((101_325.0, 60_000.0)):
        expected = 1e-3 * (pressure - 25_000.0 + fade) / GRAVITY
        assert float(1e-3 * weights[:, 0, place].sum()) == pytest.approx(expected, rel=1e-4)
    assert float(weights[LEVELS.index(85_000.0), 0, 0]) > 0
    # between 500 and 600 hPa the level at 850 hPa counts by ln(p/500)/ln(850/500)
    p = np.linspace(50_000.0, 60_000.0, 2001)
    integral = np.trapezoid(np.log(p / 50_000.0) / np.log(1.7), p) / GRAVITY
    assert float(weights[LEVELS.index(85_000.0), 0, 1]) == pytest.approx(integral, rel=1e-3)


def test_without_columns_it_is_the_learned_analysis() -> None:
    departures = make_departures(WIND)
    plain = learned().increment(climate(), departures)
    found = GuidedAnalysis(learned()).increment(climate(), departures)
    assert found.mean.channels == (*CHANNELS, COLUMN)
    assert torch.equal(found.mean.values[:-1], plain.mean.values)
    assert torch.equal(found.members[:, :-1], plain.members)
    assert torch.equal(found.spread.values[:-1], plain.spread.values)


def test_a_column_gives_what_a_linear_gaussian_prior_says() -> None:
    """Before training the prior is Gaussian and linear: mean C/(C + R) d and variance C R/(C + R) at the observation.

    C from 128 members without it (± 13 %); σ_o² = C, so that mean and variance are half of d and of C, whatever
    C is to ± 5 %. The sampler's start takes some 5 % off the mean; the spread has the members' noise of 9 %.
    """
    method = GuidedAnalysis(learned(untrained(), members=128, evaluations=12))
    lat, lon = GRID.latitudes[9], GRID.longitudes[5]
    nothing = method.learned.ensemble(climate(), make_departures([]))
    prior = float(method._column(nothing.members[0], method._weights(None))[:, 9, 5].var())
    above, below = (
        method.increment(climate(), make_departures([("tcwv", NOWHERE, lat, lon, sign * 2.0 * prior**0.5, prior**0.5)]))
        for sign in (1.0, -1.0)
    )
    # the members' noise is the same in both and cancels
    answer = 0.5 * (above.mean.values[-1] - below.mean.values[-1])
    assert float(answer[9, 5]) == pytest.approx(prior**0.5, rel=0.1)
    assert float(above.spread.values[-1, 9, 5]) == pytest.approx((0.5 * prior) ** 0.5, rel=0.25)
    # the other side of the world has heard nothing
    assert float(answer[3, 21].abs()) < 0.05 * prior**0.5


def test_columns_are_passive_without_guidance_and_drawn_to_with_it() -> None:
    rows = [*((name, p, lat, lon, MEAN[CHANNELS.index(Channel(name, p))] + d, e) for name, p, lat, lon, d, e in WIND)]
    rows += [("tcwv", NOWHERE, lat, lon, 21.0, 0.3) for lat, lon in ((10.0, 50.0), (-15.0, 200.0), (40.0, 310.0))]
    plain, guided = run(learned(), rows), run(GuidedAnalysis(learned(evaluations=12)), rows)
    columns = plain.feedback.observations.variable == "tcwv"
    assert (plain.feedback.observations.flag[columns] == Flag.PASSIVE).all()
    assert guided.feedback.observations.used.all()
    assert int(guided.log["guided"]) == 3
    before, after = (
        np.abs(x[columns]) for x in (guided.feedback.background_departure, guided.feedback.analysis_departure)
    )
    assert (after < 0.8 * before).all()
    assert (guided.feedback.spread[columns] > 0).all()
    moist = [i for i, channel in enumerate(guided.state.channels) if channel.variable == "q"]
    assert float((guided.increment.values - plain.increment.values)[moist].abs().max()) > 1e-5


def test_order_of_the_rows_does_not_matter() -> None:
    rows = [*WIND, *(("tcwv", NOWHERE, lat, 10.0 * lat, 1.0, 0.5) for lat in (10.0, 20.0, 30.0))]
    method = GuidedAnalysis(learned())
    first, second = (method.increment(climate(), make_departures(order)) for order in (rows, rows[::-1]))
    assert torch.equal(first.members, second.members)


def test_the_column_s_background_error_and_prior_members_scale() -> None:
    method = GuidedAnalysis(learned())
    sigma = method.background_error().values[-1]
    assert float(sigma.min()) > 0
    assert torch.allclose(method.scaled(ErrorScale.uniform(3.0)).background_error().values[-1], 3.0 * sigma)
    draws = method.prior_members()
    weights = column_weights(LEVELS, torch.tensor(101_325.0).double())
    moist = [i for i, channel in enumerate(CHANNELS) if channel.variable == "q"]
    assert torch.allclose(draws[:, -1], torch.einsum("l,nlij->nij", weights, draws[:, moist]))


def test_the_surface_pressure_of_the_background_counts() -> None:
    method = GuidedAnalysis(learned())
    departures = make_departures(WIND)
    low, high = (method.increment(climate(sp=p), departures).mean.values for p in (60_000.0, 101_325.0))
    assert torch.equal(low[:-1], high[:-1])
    assert not torch.allclose(low[-1], high[-1])
    assert torch.equal(high[-1], method.increment(climate(), departures).mean.values[-1])


def test_neighbours_that_do_not_know_the_column_do_not_judge_it() -> None:
    sigma = float(GuidedAnalysis(learned()).background_error().values[-1, 8, 0])
    result = run(GuidedAnalysis(learned()), [("tcwv", NOWHERE, 0.0, 0.0, 20.0 + 12.0 * sigma, 0.1 * sigma)], scale=8.0)
    assert int(result.log["trials"]) == 1
    assert result.feedback.observations.used.all()


def test_the_operator_and_the_analysis_agree() -> None:
    """O − A in the feedback is the departure less H of the column's increment."""
    row = ("tcwv", NOWHERE, 12.3, 45.6, 22.0, 0.5)
    result = run(GuidedAnalysis(learned()), [row])
    operator = ObservationOperator(
        GRID, [COLUMN], np.array(["tcwv"], dtype=object), *(np.array([x]) for x in (12.3, 45.6, NOWHERE))
    )
    column = result.increment.select((COLUMN,)).values
    assert result.feedback.analysis_departure[0] == pytest.approx(2.0 - float(operator(column)[0]))


def test_what_cannot_be_guided_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 2"):
        GuidedAnalysis(learned(members=0))
    made = learned()
    dry = tuple(replace_humidity(channel) for channel in CHANNELS)
    with pytest.raises(BadDataError, match="no humidity"):
        GuidedAnalysis(_with_channels(made, dry))


def replace_humidity(channel: Channel) -> Channel:
    """The channel, or vertical velocity for humidity."""
    return channel._replace(variable="w") if channel.variable == "q" else channel


def _with_channels(method: LearnedAnalysis, channels: tuple[Channel, ...]) -> LearnedAnalysis:
    statistics = replace(method.checkpoint.statistics, channels=channels)
    other = replace(method.first_guess, statistics=replace(small_statistics(), channels=channels))
    return replace(method, checkpoint=replace(method.checkpoint, statistics=statistics), first_guess=other)
