"""A background on 2-D coordinates goes through the whole analysis; only the grid knows what it looks like."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phyda_cli.assimilation import AssimilationOptions, assimilate
from phyda_cli.fields.state import State
from phyda_cli.grids.regrid import regrid
from phyda_cli.methods.letkf import LETKF
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.table import Flag
from tests.support.background_error import CHANNELS, GRID, random_errors, small_statistics, zero_time
from tests.support.curvilinear import RotatedGrid
from tests.support.observations import make_observations, rows_of

DOMAIN = RotatedGrid(latitude=60.0, longitude=350.0, rows=14, columns=18, step=2.0)
OPTIONS = AssimilationOptions(window=np.timedelta64(3, "h"), background_error_scale=1.0)


BASE = torch.tensor([260.0 if c.variable == "t" else 0.0 for c in CHANNELS], dtype=torch.float64)[:, None, None]
"""A temperature that can be."""


def on_domain(values: torch.Tensor) -> State:
    """Global fields at the domain's points."""
    fields = [regrid(x, GRID, DOMAIN, vector=c.variable in "uv") for c, x in zip(CHANNELS, values, strict=True)]
    return State(torch.stack(fields), CHANNELS, DOMAIN, zero_time())


def stations() -> tuple[np.ndarray, np.ndarray]:
    """Places in the middle of the domain, across the meridian of Greenwich, and one outside."""
    random = np.random.default_rng(3)
    return np.append(random.uniform(52, 68, 25), -30.0), np.mod(np.append(random.uniform(-22, 4, 25), 120.0), 360.0)


def observations(truth: State, grid) -> object:
    latitude, longitude = stations()
    n = latitude.size
    variable, pressure = np.array(["t"] * n, dtype=object), np.full(n, 50_000.0)
    value = rows_of(grid, CHANNELS, variable, latitude, longitude, pressure)(truth.values).numpy()
    rows = zip(variable, pressure, latitude, longitude, value, np.full(n, 0.5), strict=True)
    return make_observations(list(rows), time=zero_time())


def test_the_corners_of_a_rotated_domain_meet_its_points_and_stay_within_it():
    latitude, longitude = DOMAIN.coordinates
    corners = DOMAIN.corners(latitude, longitude)
    assert corners.inside.sum() >= 0.8 * latitude.size  # those at the rim may lie out by rounding
    at = (np.arange(latitude.size)[corners.index] * corners.weight).sum(1)
    np.testing.assert_allclose(at[corners.inside], np.flatnonzero(corners.inside), atol=1e-6)
    assert not DOMAIN.corners(np.array([-30.0]), np.array([120.0])).inside[0]
    assert float(DOMAIN.area.sum()) == pytest.approx(1.0)


def test_the_increment_on_the_domain_is_the_global_one_there():
    """3D-Var knows nothing of the domain: the same departures give its increment at the domain's points."""
    truth = State(BASE + random_errors(1, seed=5)[0], CHANNELS, GRID, zero_time())
    zero = BASE.expand(-1, *GRID.shape).clone()
    table, method = default_error_table(), ThreeDVar(small_statistics(), tolerance=1e-8)
    rows = observations(truth, GRID)
    regional = assimilate(on_domain(zero), rows, method=method, table=table, options=OPTIONS)
    everywhere = assimilate(State(zero, CHANNELS, GRID, zero_time()), rows, method=method, table=table, options=OPTIONS)
    outside = regional.feedback.observations
    assert outside.flag[-1] == Flag.DOMAIN
    assert outside.used[:-1].all()
    assert everywhere.feedback.observations.used.all()
    one = assimilate(
        State(zero, CHANNELS, GRID, zero_time()), rows.take(np.arange(25)), method=method, table=table, options=OPTIONS
    )
    torch.testing.assert_close(regional.increment.values, on_domain(one.increment.values).values, atol=1e-5, rtol=1e-6)
    assert float(regional.increment.values.abs().max()) > 0.1


def test_an_ensemble_is_filtered_on_the_domain_s_own_points():
    """Towards a truth that is one of the members, with its seam at Greenwich and wherever the domain turns."""
    members = torch.stack([on_domain(BASE + x).values for x in random_errors(12, seed=9)])
    truth = State(members[0], CHANNELS, DOMAIN, zero_time())
    state = State(members[1:], CHANNELS, DOMAIN, zero_time())
    rows = observations(truth, DOMAIN)
    background = State(state.values.mean(0), CHANNELS, DOMAIN, zero_time())
    result = assimilate(
        background, rows, method=LETKF(state, radius=3000e3), table=default_error_table(), options=OPTIONS
    )
    middle = (CHANNELS.index(("t", 50_000.0)), slice(4, 10), slice(5, 13))
    before, after = (float((x.values - truth.values)[middle].square().mean()) for x in (background, result.state))
    assert result.feedback.observations.used.sum() == 25
    assert after < 0.6 * before
