"""Methods on grids of their own, as one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.assimilation import AssimilationOptions, assimilate
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.methods.composite import Composite
from phyda_cli.methods.oi import OptimalInterpolation
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.observations.errors import default_error_table
from tests.support.background_error import CHANNELS, small_statistics, zero_time
from tests.support.observations import make_departures, make_observations

FINE = LatLonGrid.equiangular(24, 48)
ALL = (*CHANNELS, Channel("t2m"))
UPPER = ThreeDVar(small_statistics(), tolerance=1e-8)
GROUND = OptimalInterpolation(
    State(torch.full((1, *FINE.shape), 2.0, dtype=torch.float64), (Channel("t2m"),), FINE, zero_time())
)
BOTH = Composite((UPPER, GROUND))
ROWS = [("t", 50_000.0, 10.0, 40.0, 1.0, 0.5), ("t2m", np.nan, -18.75, 300.0, 3.0, 1.0)]


def background() -> State:
    return State(torch.zeros(len(ALL), *FINE.shape, dtype=torch.float64), ALL, FINE, zero_time())


def test_each_row_goes_to_the_method_that_reaches_it():
    departures = make_departures(ROWS)
    made = BOTH.increment(background(), departures)
    upper = UPPER.increment(background(), departures.take(np.array([0])))
    ground = GROUND.increment(background(), departures.take(np.array([1])))
    expected = upper.onto(FINE, ALL).values + ground.onto(FINE, ALL).values
    torch.testing.assert_close(made.onto(FINE, ALL).values, expected)
    near = expected[-1].abs().max()
    assert float(near) == pytest.approx(3.0 * 4.0 / 5.0, rel=0.05)
    assert float(expected[ALL.index(("t", 50_000.0))].abs().max()) > 0.1
    assert made.spread_onto(FINE, ALL).values[-1].min() < 2.0
    at = made.at(departures.operator)
    assert at[1] == pytest.approx(3.0 * 4.0 / 5.0, rel=0.05)
    assert 0 < at[0] < 1.0


def test_the_background_error_is_that_of_the_owner_and_scales():
    operator = make_departures([*ROWS, ("u10", np.nan, 0.0, 0.0, 1.0, 1.0)]).operator
    sigma = BOTH.background_error_at(operator, background())
    assert sigma[0] == pytest.approx(UPPER.background_error_at(operator, background())[0])
    assert sigma[1:].tolist() == [2.0, 0.0]
    np.testing.assert_allclose(
        BOTH.scaled(ErrorScale.uniform(3.0)).background_error_at(operator, background()), 3.0 * sigma
    )


def test_it_goes_through_the_whole_analysis():
    rows = make_observations([(*row[:4], 270.0 + row[4], row[5]) for row in ROWS], time=zero_time())
    start = background()
    start = replace(start, values=start.values + 270.0)
    rows = replace(rows, elevation=np.array([np.nan, 0.0]))
    options = AssimilationOptions(window=np.timedelta64(3, "h"), background_error_scale=1.0)
    ground = torch.zeros(FINE.shape, dtype=torch.float64)
    result = assimilate(start, rows, method=BOTH, table=default_error_table(), options=options, orography=ground)
    assert result.feedback.observations.used.all()
    assert float(result.increment.values[-1].max()) == pytest.approx(3.0 * 4.0 / 5.0, rel=0.05)
    assert result.log["method"] == "3dvar+oi"
    moved = result.feedback.analysis_equivalent - result.feedback.background_equivalent
    assert (moved > 0).all()
