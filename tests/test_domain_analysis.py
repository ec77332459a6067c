"""Analyses on domains: the increments of the globe inside, what lies outside, the rim, filters on the own points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.assimilation import AssimilationOptions, assimilate, fading
from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors_b.humidity import humidity_size
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.maps import Cone, Earth
from phyda_cli.grids.orientation import along_axes
from phyda_cli.grids.plane import PlaneGrid
from phyda_cli.grids.reduced import ReducedGrid
from phyda_cli.grids.regrid import regrid
from phyda_cli.methods.letkf import LETKF
from phyda_cli.methods.oi import OptimalInterpolation
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.observations.errors import DOUBLING, default_error_table
from phyda_cli.observations.table import Flag
from tests.support.background_error import CHANNELS, GRID, random_errors, small_statistics, zero_time
from tests.support.observations import make_observations, rows_of

WORLD = LatLonGrid.with_poles(37, 72)
CUT = along_axes(np.asarray(WORLD.latitudes)[24:35], np.asarray(WORLD.longitudes)[np.r_[66:72, 0:9]])
LAMBERT = PlaneGrid(
    Cone.lambert(Earth(6_371_229.0), 0.0, 55.0, 55.0, 55.0),
    tuple((250e3 * np.arange(-6, 7)).tolist()),
    tuple((250e3 * np.arange(-8, 9)).tolist()),
)
OPTIONS = AssimilationOptions(window=np.timedelta64(3, "h"), background_error_scale=1.0)
TABLE = default_error_table()
BASE = {"t": 260.0, "q": 2e-3}


def start() -> torch.Tensor:
    """Fields on the statistics' grid that can be: a temperature, a humidity and waves of the background's errors."""
    base = torch.tensor([BASE.get(c.variable, 0.0) for c in CHANNELS], dtype=torch.float64)[:, None, None]
    return base + 0.3 * random_errors(1, seed=11)[0]


def on(grid, values: torch.Tensor, source=GRID) -> State:
    """Global fields (channel, lat, lon) at a grid's points."""
    fields = [regrid(x, source, grid, vector=c.variable in "uv") for c, x in zip(CHANNELS, values, strict=True)]
    return State(torch.stack(fields), CHANNELS, grid, zero_time())


def stations(count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Places in the middle of both domains, across the meridian of Greenwich."""
    random = np.random.default_rng(3)
    return random.uniform(50, 63, count), random.uniform(-14, 14, count)


def observations(truth: torch.Tensor, *, latitude=None, longitude=None, names=("t", "u", "v", "q", "z")):
    """Values of the truth (on `GRID`) at stations, of all variables, with small errors."""
    at = stations() if latitude is None else (np.asarray(latitude, float), np.asarray(longitude, float))
    n = at[0].size
    variable = np.array([names[i % len(names)] for i in range(n)], dtype=object)
    pressure = np.array([(25_000.0, 50_000.0, 85_000.0)[i % 3] for i in range(n)])
    value = rows_of(GRID, CHANNELS, variable, *at, pressure, beyond=True)(truth).numpy()
    error = np.array([{"q": 2e-4, "z": 80.0}.get(name, 1.0) for name in variable])
    return make_observations(list(zip(variable, pressure, *at, value, error, strict=True)), time=zero_time())


def run(background: State, rows, **options):
    method = options.pop("method", None) or ThreeDVar(small_statistics(), tolerance=1e-8)
    return assimilate(background, rows, method=method, table=TABLE, options=replace(OPTIONS, **options))


def test_a_cut_out_has_the_increments_of_its_globe():
    """Every variable, also humidity in its limits and quality control by neighbours: to 1e-6 of the largest."""
    truth = start() + random_errors(1, seed=5)[0]
    world = on(WORLD, start())
    part = State(world.values[:, 24:35][..., np.r_[66:72, 0:9]][..., CUT.columns], CHANNELS, CUT.grid, zero_time())
    rows = observations(truth)
    whole, regional = run(world, rows), run(part, rows)
    assert regional.feedback.observations.used.all()
    expected = whole.increment.values[:, 24:35][..., np.r_[66:72, 0:9]][..., CUT.columns]
    for number, channel in enumerate(CHANNELS):
        size = float(expected[number].abs().max())
        assert size > 0, channel
        torch.testing.assert_close(regional.increment.values[number], expected[number], rtol=0, atol=1e-6 * size)
    np.testing.assert_allclose(
        regional.feedback.analysis_equivalent, whole.feedback.analysis_equivalent, rtol=1e-6, atol=1e-6
    )


def test_a_cut_out_has_the_humidity_of_its_globe_as_a_unit():
    """Where it covers the points of the statistics' grid; elsewhere that of the standard atmosphere."""
    world = on(WORLD, start())
    part = State(world.values[:, 24:35][..., np.r_[66:72, 0:9]][..., CUT.columns], CHANNELS, CUT.grid, zero_time())
    whole, regional = (humidity_size(state, GRID, CHANNELS) for state in (world, part))
    latitude, longitude = (x.reshape(GRID.shape) for x in GRID.coordinates)
    inside = (np.abs(latitude - 55) < 14) & (np.abs(np.mod(longitude + 174, 360) - 180) < 24)
    at = torch.from_numpy(inside)
    assert int(at.sum()) >= 8
    torch.testing.assert_close(regional[:, at], whole[:, at], rtol=1e-12, atol=0)
    assert bool((regional > 0).all())


@pytest.mark.parametrize("grid", [LAMBERT, ReducedGrid.even(300e3)], ids=["Lambert", "reduced"])
def test_analysed_on_a_projection_is_the_projected_analysis(grid):
    """The background is known only at other points, so its departures differ by the error of interpolation."""
    truth = start() + random_errors(1, seed=5)[0]
    world = on(WORLD, start())
    rows = observations(truth)
    whole = run(world, rows)
    projected = run(on(grid, start()), rows)
    expected = whole.result.onto(grid, CHANNELS).values
    for number, channel in enumerate(CHANNELS):
        size = float(expected[number].abs().max())
        # humidity is bent at its limits afterwards
        found = projected.result.onto(grid, CHANNELS) if channel.variable == "q" else projected.increment
        error = float((found.values[number] - expected[number]).abs().max())
        assert error < 0.05 * size, channel
    apart = projected.feedback.background_equivalent - whole.feedback.background_equivalent
    assert np.abs(apart).max() > 0  # what the increments differ by comes from here


def test_outside_is_passive_with_its_distance_and_a_margin_takes_what_is_near():
    truth = start() + random_errors(1, seed=5)[0]
    south = float(CUT.grid.y[0])
    inside = stations(10)
    rows = observations(
        truth,
        latitude=[*inside[0], south - 1.0, south - 3.0, -30.0],
        longitude=[*inside[1], 0.0, 0.0, 120.0],
    )
    part = on(CUT.grid, start())
    alone_error = run(part, rows).feedback.observations.error[10:12]
    for margin, used in ((0.0, 10), (150e3, 11), (400e3, 12)):
        result = run(part, rows, margin=margin)
        found = result.feedback.observations
        assert found.used.sum() == used
        assert (found.flag[used:] == Flag.DOMAIN).all()
        assert np.isfinite(result.feedback.background_equivalent[:used]).all()
        assert np.isnan(result.feedback.background_equivalent[used:]).all()
    assert found.reason[-1].endswith("km outside of the background's grid")
    beyond = np.radians([1.0, 3.0]) * EARTH_RADIUS
    assert rows.variable[10:12].tolist() == ["t", "u"]
    np.testing.assert_allclose(found.error[10:12] / alone_error, np.hypot(1.0, beyond / DOUBLING), rtol=1e-3)
    alone = run(part, rows).feedback.observations
    assert "111 km outside of the background's grid; --margin" in alone.reason[10]
    assert result.log["used_outside"] == 2
    # beyond the rim the background is that at the rim
    rim = rows_of(CUT.grid, CHANNELS, rows.variable[10:11], np.array([south]), np.array([0.0]), rows.pressure[10:11])
    expected = float(rim(part.values)[0])
    assert result.feedback.background_equivalent[10] == pytest.approx(expected, rel=1e-12)


def test_increments_fade_towards_the_rim_and_the_members_with_them():
    truth = start() + random_errors(1, seed=5)[0]
    part, rows = on(CUT.grid, start()), observations(truth)
    plain, faded = run(part, rows), run(part, rows, taper=800e3)
    weight = fading(CUT.grid, 800e3)
    assert weight is not None
    assert float(weight.max()) == 1.0
    assert float(weight[0].max()) == float(weight[:, -1].max()) == 0.0
    row = int(np.argmin(np.abs(CUT.grid.rim[:, 7] - 555e3)))
    at = CUT.grid.rim[row, 7] / 800e3
    assert float(weight[row, 7]) == pytest.approx(0.5 * (1 - np.cos(np.pi * at)))
    linear = [number for number, c in enumerate(CHANNELS) if c.variable != "q"]  # humidity is bent at its limits
    expected = plain.increment.values[linear] * weight
    torch.testing.assert_close(faded.increment.values[linear], expected, rtol=1e-9, atol=1e-12)
    method = ThreeDVar(small_statistics(), members=3, tolerance=1e-8)
    sampled = run(part, rows, taper=800e3, method=method)
    member = sampled.member(1).values - sampled.background.values
    assert float(member[..., 0, :].abs().max()) == 0.0
    assert fading(WORLD, 800e3) is None


def test_interpolation_on_the_own_points_is_that_of_a_global_grid_there():
    """OI solves for each point alone: on the points of a cut-out it gives what it gives on those of the globe."""
    sigma = on(WORLD, ThreeDVar(small_statistics()).background_error().values)
    sigma = replace(sigma, values=sigma.values.abs())
    own = State(sigma.values[:, 24:35][..., np.r_[66:72, 0:9]][..., CUT.columns], CHANNELS, CUT.grid, zero_time())
    truth, world = start() + random_errors(1, seed=5)[0], on(WORLD, start())
    part, rows = on(CUT.grid, start()), observations(truth, names=("t", "u", "q"))
    whole = run(world, rows, method=OptimalInterpolation(sigma))
    regional = run(part, rows, method=OptimalInterpolation(own))
    expected = whole.increment.values[:, 24:35][..., np.r_[66:72, 0:9]][..., CUT.columns]
    assert float(expected.abs().max()) > 0.1
    torch.testing.assert_close(regional.increment.values, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("grid", [CUT.grid, LAMBERT, ReducedGrid.even(400e3)], ids=["cut-out", "Lambert", "reduced"])
def test_an_ensemble_is_filtered_on_the_own_points(grid):
    """Towards a truth that is one of the members."""
    members = torch.stack([on(grid, start() + x).values for x in random_errors(12, seed=9)])
    truth = start() + random_errors(12, seed=9)[0]
    state = State(members[1:], CHANNELS, grid, zero_time())
    background = State(state.values.mean(0), CHANNELS, grid, zero_time())
    rows = observations(truth, names=("t",))
    result = run(background, rows, method=LETKF(state, radius=3000e3))
    latitude, longitude = (x.reshape(grid.shape) for x in grid.coordinates)
    near = torch.from_numpy((np.abs(latitude - 56) < 6) & (np.abs(np.mod(longitude + 180, 360) - 180) < 12))
    level = CHANNELS.index(Channel("t", 50_000.0))
    before, after = (float((x.values - members[0])[level][near].square().mean()) for x in (background, result.state))
    assert result.feedback.observations.used.all()
    assert after < 0.6 * before


def test_of_a_cut_out_the_filter_is_that_of_the_globe():
    """Observations reach only so far, so the members inside are the same to the last digits."""
    world = torch.stack([on(WORLD, start() + x).values for x in random_errors(6, seed=9)])
    part = world[:, :, 24:35][..., np.r_[66:72, 0:9]][..., CUT.columns]
    rows = observations(start(), names=("t", "v"))
    results = []
    for grid, members in ((WORLD, world), (CUT.grid, part)):
        state = State(members, CHANNELS, grid, zero_time())
        results.append(run(State(members.mean(0), CHANNELS, grid, zero_time()), rows, method=LETKF(state)))
    expected = results[0].increment.values[:, 24:35][..., np.r_[66:72, 0:9]][..., CUT.columns]
    assert float(expected.abs().max()) > 0.1
    torch.testing.assert_close(results[1].increment.values, expected, rtol=1e-9, atol=1e-9)
