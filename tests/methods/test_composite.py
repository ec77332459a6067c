"""The upper air and the ground, as one method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.assimilation import AssimilationOptions, assimilate
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.errors_b.surface_structure import Structure
from phyda_cli.fields.standard_atmosphere import SEA_LEVEL_PRESSURE
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.methods.composite import Composite
from phyda_cli.methods.surface import QUANTITIES, SurfaceAnalysis
from phyda_cli.methods.surface_fit import GroundError
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.settings import Consistency, Quality
from tests.support.background_error import CHANNELS, small_statistics, zero_time
from tests.support.observations import make_departures, make_observations

FINE = LatLonGrid.equiangular(24, 48)
ALL = (*CHANNELS, Channel("t2m"))
UPPER = ThreeDVar(small_statistics(), tolerance=1e-8)
ERRORS = {name: quantity.usual for name, quantity in QUANTITIES.items()} | {
    "temperature": GroundError(2.0, Structure(800e3))
}
GROUND = SurfaceAnalysis(FINE, (Channel("t2m"),), errors=ERRORS)
BOTH = Composite(UPPER, GROUND)
ROWS = [("t", 50_000.0, 10.0, 40.0, 1.0, 0.5), ("t2m", np.nan, -18.75, 300.0, 3.0, 1.0)]


def background() -> State:
    return State(torch.zeros(len(ALL), *FINE.shape, dtype=torch.float64), ALL, FINE, zero_time())


def test_each_row_serves_the_fields_that_it_reaches():
    departures = make_departures(ROWS)
    made = BOTH.increment(background(), departures)
    upper = UPPER.increment(background(), departures.take(np.array([0])))
    ground = GROUND.increment(background(), departures.take(np.array([1])))
    expected = upper.onto(FINE, ALL).values + ground.onto(FINE, ALL).values
    torch.testing.assert_close(made.onto(FINE, ALL).values, expected)
    near = expected[-1].abs().max()
    assert float(near) == pytest.approx(3.0 * 4.0 / 5.0, rel=0.05)
    assert made.spread_onto(FINE, ALL).values[-1].min() == pytest.approx(2.0 / np.sqrt(5.0), rel=0.05)
    at = made.at(departures.operator)
    assert at[1] == pytest.approx(3.0 * 4.0 / 5.0, rel=0.05)
    assert 0 < at[0] < 1.0


def test_the_ground_takes_what_the_upper_air_leaves():
    """δ = δ_u + K (d − H δ_u): with K = ½ at the station and δ_u = 1 there, d = 3 gives 2; far away δ_u stays."""

    class Warmer:
        name, largest_scale = "warmer", ErrorScale.uniform(1.0)

        def increments(self, cases):
            ones = torch.ones(1, *FINE.shape, dtype=torch.float64)
            state = State(ones, (Channel("t2m"),), FINE, zero_time())
            return [replace(GROUND.unobserved(case.background), mean=state) for case in cases]

    errors = ERRORS | {"temperature": GroundError(1.0, Structure(100e3))}
    ground = replace(GROUND, errors=errors)
    latitude, longitude = FINE.coordinates
    rows = [("t2m", np.nan, float(latitude[500]), float(longitude[500]), 3.0, 1.0)]
    made = Composite(Warmer(), ground).increment(background(), make_departures(rows))
    field = made.onto(FINE, ALL).values[-1].reshape(-1)
    assert float(field[500]) == pytest.approx(2.0)
    assert float(field[0]) == pytest.approx(1.0)


def test_the_ground_judges_its_rows_and_the_upper_air_has_the_scale():
    operator = make_departures([*ROWS, ("u10", np.nan, 0.0, 0.0, 1.0, 1.0)]).operator
    sigma = BOTH.background_error_at(operator, background())
    assert sigma[0] == pytest.approx(UPPER.background_error_at(operator, background())[0])
    assert sigma[1:].tolist() == [2.0, 0.0]
    assert BOTH.predicts(operator).tolist() == [False, True, False]
    tripled = BOTH.scaled(ErrorScale.uniform(3.0)).background_error_at(operator, background())
    np.testing.assert_allclose(tripled, [3.0 * sigma[0], 2.0, 0.0])
    assert BOTH.scaling is UPPER
    assert GROUND.scaling is None


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
    assert result.log["method"] == "3dvar+surface"
    moved = result.feedback.analysis_equivalent - result.feedback.background_equivalent
    assert (moved > 0).all()


def test_rows_are_left_out_for_scores_only_when_these_are_asked_for(monkeypatch):
    calls = []
    predicted = SurfaceAnalysis.predicted

    def counted(self, departures, wanted, judging):
        calls.append(int(wanted.sum()))
        return predicted(self, departures, wanted, judging)

    monkeypatch.setattr(SurfaceAnalysis, "predicted", counted)
    names = [("t2m", np.nan, 10.0 + 2.0 * i, 40.0, 270.0 + i, 1.0) for i in range(3)]
    rows = replace(make_observations(names, time=zero_time()), elevation=np.zeros(3))
    start = replace(background(), values=background().values + 270.0)
    options = AssimilationOptions(
        window=np.timedelta64(3, "h"), quality=Quality(consistency=Consistency(enabled=False))
    )
    ground = torch.zeros(FINE.shape, dtype=torch.float64)
    result = assimilate(start, rows, method=BOTH, table=default_error_table(), options=options, orography=ground)
    assert calls == []
    found = result.left_out
    assert calls == [3]
    assert found is result.left_out
    assert np.isfinite(found.residual).all()


def test_members_near_the_ground_have_the_spread_of_the_analysis_there():
    """Aloft they are the upper air's; t2m, which that does not reach, has the analysis error of the ground's method."""
    upper = replace(UPPER, members=64)
    both = Composite(upper, GROUND)
    departures = make_departures(ROWS)
    for made in (both.increment(background(), departures), both.unobserved(background())):
        members = torch.stack([made.member_onto(number, FINE, ALL).values for number in range(64)])
        spread, mean = made.spread_onto(FINE, ALL).values, made.onto(FINE, ALL).values
        ratio = ((members[:, -1] - mean[-1]) / spread[-1]).square().mean((-2, -1))
        assert float(ratio.mean()) == pytest.approx(1.0, abs=0.1)
        here = np.unravel_index(int(spread[-1].argmin()), FINE.shape)
        near = (members[:, -1, *here] - mean[-1, *here]).square().mean().sqrt()
        assert float(near) == pytest.approx(float(spread[-1, *here]), rel=0.3)
        again = made.member_onto(3, FINE, ALL).values
        torch.testing.assert_close(again, members[3], rtol=0, atol=0)
        aloft = made.parts[0].onto(FINE, ALL).values[:-1] + torch.stack(
            [replace(made, parts=()).member_onto(number, FINE, ALL[:-1]).values for number in range(2)]
        )
        torch.testing.assert_close(members[:2, :-1], aloft)


def test_members_of_a_field_of_both_are_the_upper_airs_in_the_size_of_the_ground():
    """msl: (x_i − x̄) σ/σ_u, so that members keep their balance with what is aloft."""
    upper = replace(UPPER, members=4)
    both = Composite(upper, SurfaceAnalysis(FINE, (Channel("msl"),)))
    made = both.increment(background(), make_departures(ROWS[:1]))
    alone, msl = replace(made, parts=()), (Channel("msl"),)
    apart = alone.member_onto(2, FINE, msl).values - alone.onto(FINE, msl).values
    expected = apart * made.spread_onto(FINE, msl).values / alone.spread_onto(FINE, msl).values
    found = made.member_onto(2, FINE, ALL).values[ALL.index(msl[0])] - made.onto(FINE, ALL).values[ALL.index(msl[0])]
    torch.testing.assert_close(found[None], expected)
    assert float(made.spread_onto(FINE, msl).values.max()) == pytest.approx(1.5e-3 * SEA_LEVEL_PRESSURE)
