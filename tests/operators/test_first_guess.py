"""The first guess at the observations' own times: numbers by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.operators.first_guess import first_guess
from tests.support.observations import observations

GRID = LatLonGrid.equiangular(8, 16)
CHANNELS = (Channel("t", 50_000.0), Channel("u", 50_000.0))
NOON = np.datetime64("2020-01-01T12", "ns")


def state(hour: int, t: float, u: float = 0.0, channels=CHANNELS) -> State:
    fields = torch.tensor([t, u], dtype=torch.float64)[: len(channels), None, None].expand(-1, *GRID.shape).clone()
    return State(fields, channels, GRID, np.datetime64("2020-01-01T00", "ns") + np.timedelta64(hour, "h"))


def table(*minutes):
    """Temperatures at minutes from noon; None is no time."""
    times = [np.datetime64("NaT", "ns") if m is None else NOON + np.timedelta64(m, "m") for m in minutes]
    return observations("t", np.zeros(len(minutes)), time=np.array(times, dtype="datetime64[ns]"))


def others(*states: State):
    return {made.time: (lambda made=made: made) for made in states}


def test_linear_between_times_and_constant_beyond():
    """265 at 9, 270 at 12, 282 at 15 o'clock."""
    guess = first_guess(state(12, 270.0), table(0, -90, 60, -400, 400, None), others(state(15, 282.0), state(9, 265.0)))
    np.testing.assert_allclose(guess(state(12, 270.0).values), [270.0, 267.5, 274.0, 265.0, 282.0, 270.0], atol=1e-9)
    assert guess.outside.tolist() == [False, False, False, True, True, False]
    assert [str(time)[11:13] for time in guess.times] == ["09", "12", "15"]


def test_an_increment_counts_in_full_at_every_time():
    guess = first_guess(state(12, 270.0), table(-90, 60), others(state(15, 282.0), state(9, 265.0)))
    np.testing.assert_allclose(guess(state(12, 271.5).values), [269.0, 275.5], atol=1e-9)


def test_one_time_is_no_tendency():
    for held in ({}, others(state(12, 999.0))):
        guess = first_guess(state(12, 270.0), table(-90, 60), held)
        np.testing.assert_array_equal(guess(state(12, 270.0).values), [270.0, 270.0])


def test_times_that_no_observation_needs_are_not_read():
    def unwanted() -> State:
        raise AssertionError("read")

    held = others(state(15, 282.0)) | {state(18, 0.0).time: unwanted, state(3, 0.0).time: unwanted}
    guess = first_guess(state(12, 270.0), table(0, 60), held)
    np.testing.assert_allclose(guess(state(12, 270.0).values), [270.0, 274.0])


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (state(15, 1.0, channels=CHANNELS[:1]), "at 2020-01-01T15:00Z lacks u500"),
        (replace(state(15, 1.0), values=state(15, 1.0).values[None]), "holds several members"),
        (replace(state(15, 1.0), grid=replace(GRID, longitudes=tuple(x + 1 for x in GRID.longitudes))), "another grid"),
    ],
)
def test_a_time_that_does_not_fit_is_refused(other, words):
    with pytest.raises(BadDataError, match=words):
        first_guess(state(12, 270.0), table(60), others(other))


def test_stations_are_raised_at_every_time():
    """280 K at noon, 283 K at three, a ground at 200 m: an hour late and 100 m higher it is 281 − 0.65 K."""
    noon, later = (state(hour, t, channels=(Channel("t2m"),)) for hour, t in ((12, 280.0), (15, 283.0)))
    late = replace(table(60), variable=np.array(["t2m"], dtype=object), elevation=np.array([300.0]))
    ground = torch.full(GRID.shape, 200.0, dtype=torch.float64)
    guess = first_guess(noon, late, others(later), ground)
    assert guess(noon.values).tolist() == [pytest.approx(280.35)]


def test_an_observation_at_the_first_time_lies_within():
    assert first_guess(state(12, 270.0), table(0, 180), others(state(15, 282.0))).outside.tolist() == [False, False]
