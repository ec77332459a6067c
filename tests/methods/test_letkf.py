"""The LETKF on a grid: dense solutions, geometry, invariances and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors import BadDataError, ConfigError
from phyda_cli.errors_b.error_scale import ErrorScale
from phyda_cli.errors_b.localisation import gaspari_cohn
from phyda_cli.fields.standard_atmosphere import SEA_LEVEL_PRESSURE
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.reduced import ReducedGrid
from phyda_cli.methods.anchors import Anchors
from phyda_cli.methods.base import Departures, Increment
from phyda_cli.methods.letkf import LETKF
from phyda_cli.operators.operator import Operator
from tests.support.background_error import zero_time
from tests.support.observations import moved_to

GRID = LatLonGrid.equiangular(6, 8)
LEVELS = (25_000.0, 85_000.0)
CHANNELS = (*(Channel(name, level) for name in ("t", "u") for level in LEVELS), Channel("msl"))
MEMBERS = 7
EVERYWHERE = 1e12


def boxcar(ratio: torch.Tensor) -> torch.Tensor:
    return (ratio.abs() < 2.0).double()


def ensemble(seed: int = 1, grid: LatLonGrid = GRID) -> State:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(MEMBERS, len(CHANNELS), *grid.shape, generator=generator, dtype=torch.float64)
    return State(250.0 + values, CHANNELS, grid, zero_time())


def departures(state: State, count: int = 40, seed: int = 2, **places: np.ndarray) -> Departures:
    """Observations at random places, or at those given; their departures are random."""
    draw = np.random.default_rng(seed)
    variable = places.get("variable", draw.choice(np.array(["t", "u", "msl"], dtype=object), count))
    pressure = places.get("pressure", draw.uniform(LEVELS[0], LEVELS[1], count))
    latitude = places.get("latitude", draw.uniform(-90, 90, count))
    longitude = places.get("longitude", draw.uniform(0, 360, count))
    pressure = np.where(variable == "msl", np.nan, pressure)
    operator = Operator.at(variable, latitude, longitude, pressure)
    equivalents = operator.increments(state.grid, state.channels)(state.values).numpy()
    n = len(variable)
    return Departures(operator, draw.standard_normal(n), draw.uniform(0.5, 2, n), equivalents)


def single(latitude: float, longitude: float, *, departure: float = 1.0, state: State | None = None) -> Departures:
    place = {"latitude": latitude, "longitude": longitude, "pressure": LEVELS[1]}
    columns = {name: np.array([value]) for name, value in place.items()}
    found = departures(state or ensemble(), 1, variable=np.array(["t"], dtype=object), **columns)
    return replace(found, departure=np.array([departure]), error=np.array([1.0]))


def analyse(state: State, data: Departures, **settings: object) -> Increment:
    return LETKF(state, **settings).increment(replace(state, values=state.values.mean(0)), data)  # type: ignore[arg-type]


def analysed(state: State, data: Departures, **settings: object) -> torch.Tensor:
    members = analyse(state, data, **settings).members
    assert members is not None
    return state.values + members


def distance(latitude: np.ndarray, longitude: np.ndarray, at: tuple[float, float]) -> np.ndarray:
    """Great circles [m] by the haversine formula."""
    phi, lam, phi0, lam0 = (np.radians(x) for x in (latitude, longitude, *at))
    h = np.sin((phi - phi0) / 2) ** 2 + np.cos(phi) * np.cos(phi0) * np.sin((lam - lam0) / 2) ** 2
    return 2 * EARTH_RADIUS * np.arcsin(np.sqrt(np.clip(h, 0, 1)))


def dense(values: np.ndarray, data: Departures, use: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance (point, point) of the ensemble Kalman filter for values (member, point) from some rows."""
    x, y = values - values.mean(0), data.equivalents - data.equivalents.mean(0)
    x, y = x.T, y.T[use]
    innovation = y @ y.T / (MEMBERS - 1) + np.diag(data.error[use] ** 2)
    gain = np.linalg.solve(innovation, y @ x.T / (MEMBERS - 1)).T
    return values.mean(0) + gain @ data.departure[use], (x @ x.T - gain @ y @ x.T) / (MEMBERS - 1)


def test_without_localisation_it_is_the_dense_kalman_filter() -> None:
    state = ensemble()
    data = departures(state)
    result = analysed(state, data, radius=EVERYWHERE, vertical_radius=EVERYWHERE, taper=boxcar).flatten(1).numpy()
    mean, covariance = dense(state.values.flatten(1).numpy(), data, np.ones(len(data), dtype=bool))
    np.testing.assert_allclose(result.mean(0), mean, rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.cov(result.T), covariance, rtol=0, atol=1e-9)


def test_observations_of_every_point_make_the_scalar_filter_when_they_alone_reach_it() -> None:
    """Identity H, and a radius below the grid's step: each point has its own Kalman gain σ²/(σ² + σ_o²)."""
    state = ensemble()
    lat, lon = (x.ravel() for x in np.meshgrid(GRID.latitudes, GRID.longitudes, indexing="ij"))
    same = {"latitude": lat, "longitude": lon, "pressure": np.full(lat.size, LEVELS[0])}
    data = departures(state, variable=np.full(lat.size, "t", dtype=object), **same)
    result = analyse(state, data, radius=300e3, vertical_radius=0.5)
    prior, obs = state.values[:, 0].var(0).flatten().numpy(), data.error**2
    expected = prior / (prior + obs) * data.departure
    np.testing.assert_allclose(result.mean.values[0].flatten(), expected, rtol=0, atol=1e-9)
    assert result.members is not None
    posterior = (state.values + result.members)[:, 0].var(0).flatten()
    np.testing.assert_allclose(posterior, prior * obs / (prior + obs), rtol=0, atol=1e-9)
    assert float(result.mean.values[1].abs().max()) == 0.0


@pytest.mark.parametrize("radius", [2500e3, 6000e3])
def test_a_boxcar_is_the_dense_solution_of_every_point(radius: float) -> None:
    state = ensemble()
    data = departures(state, 60)
    result = analysed(state, data, radius=radius, vertical_radius=0.9, taper=boxcar).numpy()
    height = np.log(np.where(np.isnan(data.pressure), SEA_LEVEL_PRESSURE, data.pressure))
    for c, channel in enumerate(CHANNELS):
        here = np.log(channel.level or SEA_LEVEL_PRESSURE)
        for i, lat in enumerate(GRID.latitudes):
            for j, lon in enumerate(GRID.longitudes):
                near = distance(data.latitude, data.longitude, (lat, lon)) < radius
                mean, covariance = dense(
                    state.values[:, c, i, j, None].numpy(), data, near & (abs(height - here) < 0.9)
                )
                assert result[:, c, i, j].mean() == pytest.approx(float(mean[0]), abs=1e-9)
                assert result[:, c, i, j].var(ddof=1) == pytest.approx(float(covariance[0, 0]), abs=1e-9)


def test_the_radius_is_where_the_influence_ends() -> None:
    state = ensemble(grid=LatLonGrid.equiangular(18, 36))
    data = single(5.0, 100.0, state=state)
    touched = analyse(state, data, radius=3000e3).mean.values[1] != 0
    lat, lon = np.meshgrid(state.grid.latitudes, state.grid.longitudes, indexing="ij")
    near = distance(lat.ravel(), lon.ravel(), (5.0, 100.0)).reshape(lat.shape)
    assert np.array_equal(touched.numpy(), near < 3000e3)
    # 25 and 85 kPa lie ln 3.4 = 1.22 apart
    assert float(analyse(state, data, radius=3000e3, vertical_radius=1.2).mean.values[0].abs().max()) == 0.0
    assert float(analyse(state, data, radius=3000e3, vertical_radius=1.3).mean.values[0].abs().max()) > 0.0


@pytest.mark.parametrize(("place", "other"), [((90.0, 0.0), (90.0, 250.0)), ((10.0, 0.0), (10.0, 360.0))])
def test_poles_and_date_line_have_no_edge(place: tuple[float, float], other: tuple[float, float]) -> None:
    """The pole seen from any meridian is one place, and so is the date line from either side."""
    grid = LatLonGrid.with_poles(9, 16)
    state = ensemble(grid=grid)
    data = single(*place, state=state)
    moved = moved_to(data, longitude=np.array([other[1]]))
    a, b = (analyse(state, x, radius=4000e3).mean.values for x in (data, moved))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    lat, lon = np.meshgrid(grid.latitudes, grid.longitudes, indexing="ij")
    near = distance(lat.ravel(), lon.ravel(), place).reshape(lat.shape) < 4000e3
    assert np.array_equal((a[1] != 0).numpy(), near)
    assert near[:, :3].any()
    assert near[:, -3:].any()


def test_rows_and_longitude_convention_do_not_matter() -> None:
    state = ensemble()
    data = departures(state, 60)
    whole = analysed(state, data, radius=4000e3)
    shuffled = data.take(np.random.default_rng(3).permutation(60))
    assert torch.equal(whole, analysed(state, shuffled, radius=4000e3))
    west = moved_to(data, longitude=np.where(data.longitude > 180, data.longitude - 360, data.longitude))
    torch.testing.assert_close(analysed(state, west, radius=4000e3), whole, rtol=0, atol=1e-10)


def test_blocks_and_threads_do_not_matter() -> None:
    state = ensemble()
    data = departures(state, 300)
    results = []
    before = torch.get_num_threads()
    for threads, block in ((1, 4_000_000), (1, 2_000), (1, 1), (2, 4_000_000)):
        torch.set_num_threads(threads)
        results.append(analysed(state, data, radius=4000e3, block=block))
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in pairwise(results))


def test_the_layout_of_the_members_in_memory_does_not_matter() -> None:
    state = ensemble()
    strided = replace(state, values=state.values.mT.contiguous().mT)
    assert not strided.values.is_contiguous()
    data = departures(state)
    made = analyse(state, data).mean.values
    assert made.abs().max() > 0
    assert torch.equal(analyse(strided, data).mean.values, made)


def test_the_order_of_the_members_does_not_matter() -> None:
    state = ensemble()
    data = departures(state)
    order = [3, 0, 6, 1, 5, 2, 4]
    turned = replace(state, values=state.values[order])
    assert data.equivalents is not None
    a = analysed(state, data, relaxation=0.5)
    b = analysed(turned, replace(data, equivalents=data.equivalents[order]), relaxation=0.5)
    torch.testing.assert_close(b, a[order], rtol=0, atol=1e-10)


def test_the_increment_is_the_mean_of_the_members() -> None:
    state = ensemble()
    result = analyse(state, departures(state), radius=4000e3, relaxation=0.7, inflation=1.2)
    assert result.members is not None
    torch.testing.assert_close(result.members.mean(0), result.mean.values, rtol=0, atol=1e-12)


def test_where_nothing_is_observed_members_keep_every_bit() -> None:
    state = ensemble()
    result = analyse(state, single(5.0, 100.0), radius=2000e3, inflation=1.5, relaxation=1.0)
    assert result.members is not None
    untouched = result.mean.values == 0
    assert int(untouched.sum()) > untouched.numel() // 2
    assert float(result.members[:, untouched].abs().max()) == 0.0
    nothing = analyse(state, departures(state).take(np.zeros(40, dtype=bool)))
    assert nothing.members is not None
    assert float(nothing.members.abs().max()) == 0.0


def test_relaxation_and_inflation_of_the_spread() -> None:
    """α = 1 gives the background's spread back; inflation alone by the scalar Kalman filter of s² σ_b²."""
    state = ensemble()
    at = (GRID.latitudes[3], GRID.longitudes[2])
    data = single(*at)
    spread = state.values[:, 1, 3, 2].var()
    full = analysed(state, data, relaxation=1.0)[:, 1, 3, 2].var()
    half = analysed(state, data, relaxation=0.5)[:, 1, 3, 2].std()
    none = analysed(state, data)[:, 1, 3, 2].std()
    assert float(full) == pytest.approx(float(spread), rel=1e-12)
    assert float(half) == pytest.approx(float(0.5 * (none + spread.sqrt())), rel=1e-12)
    inflated = analysed(state, data, inflation=1.5)[:, 1, 3, 2].var()
    assert float(inflated) == pytest.approx(float(2.25 * spread / (2.25 * spread + 1.0)), rel=1e-12)


def test_what_stands_still_in_every_member_stays() -> None:
    """A field without spread: no σ_b, no increment."""
    values = torch.cat([ensemble().values, torch.full((MEMBERS, 1, *GRID.shape), 280.0, dtype=torch.float64)], dim=1)
    state = State(values, (*CHANNELS, Channel("t2m")), GRID, zero_time())
    assert float(LETKF(state).background_error().values[-1].abs().max()) == 0.0
    found = analyse(state, single(5.0, 100.0, state=state), radius=3000e3).mean.values
    assert float(found[-1].abs().max()) < 1e-9
    assert float(found[:-1].abs().max()) > 0.1


def test_sigma_b_is_the_inflated_spread() -> None:
    state = ensemble()
    sigma = LETKF(state, inflation=1.5).scaled(ErrorScale.uniform(2.0)).background_error()
    torch.testing.assert_close(sigma.values, 3.0 * state.values.std(0))


def test_what_cannot_be_is_refused() -> None:
    state = ensemble()
    with pytest.raises(BadDataError, match="at least two members, not of 1"):
        LETKF(replace(state, values=state.values[:1]))
    with pytest.raises(BadDataError, match="at least two members, not of 1"):
        LETKF(replace(state, values=state.values[0]))
    with pytest.raises(ConfigError, match="radius must be positive"):
        LETKF(state, radius=0.0)
    with pytest.raises(ConfigError, match="within 0 and 1"):
        LETKF(state, relaxation=1.1)
    with pytest.raises(BadDataError, match="members at the observations"):
        analyse(state, replace(single(0.0, 0.0), equivalents=None))


@pytest.mark.parametrize(("name", "height_of"), [("msl", 101_325.0), ("tcwv", 85_000.0)])
def test_surface_observations_stand_at_the_pressure_of_the_sea_and_columns_in_their_water(name, height_of) -> None:
    """One observation y of msl: δx_k = ρ_k cov(x_k, y) d / (ρ_k var(y) + σ_o²), ρ_k at |ln p_k − ln 101 325 Pa|."""
    state = ensemble()
    if name == "tcwv":
        channels = tuple(Channel("tcwv") if c == Channel("msl") else c for c in state.channels)
        state = replace(state, channels=channels)
    place = {"latitude": 20.0, "longitude": 40.0, "pressure": np.nan}
    columns = {key: np.array([value]) for key, value in place.items()}
    data = departures(state, 1, variable=np.array([name], dtype=object), **columns)
    data = replace(data, departure=np.array([1.5]), error=np.array([0.7]))
    mean = analyse(state, data, radius=EVERYWHERE, vertical_radius=2.0, taper=gaspari_cohn).mean.values
    y = data.equivalents[:, 0] - data.equivalents.mean()
    x = (state.values - state.values.mean(0)).numpy()
    for index, channel in enumerate(state.channels):
        p = 101_325.0 if channel.level is None else channel.level
        height = abs(np.log(p / height_of))
        rho = float(gaspari_cohn(torch.tensor(height * 2.0 / 2.0, dtype=torch.float64)))
        covariance = np.tensordot(y, x[:, index], 1) / (MEMBERS - 1)
        variance = y @ y / (MEMBERS - 1)
        expected = rho * covariance * 1.5 / (rho * variance + 0.7**2)
        np.testing.assert_allclose(mean[index].numpy(), expected, rtol=1e-3, atol=1e-6)


FINE = LatLonGrid.equiangular(18, 36)


def test_weights_that_are_the_same_everywhere_are_so_between_their_places() -> None:
    """Without localisation one place's weights are those of all: interpolated they are the dense filter."""
    state = ensemble(grid=FINE)
    data = departures(state)
    everywhere = {"radius": EVERYWHERE, "vertical_radius": EVERYWHERE, "taper": boxcar}
    coarse = analysed(state, data, spacing=3000e3, **everywhere).flatten(1).numpy()
    mean, covariance = dense(state.values.flatten(1).numpy(), data, np.ones(len(data), dtype=bool))
    np.testing.assert_allclose(coarse.mean(0), mean, rtol=0, atol=1e-9)
    np.testing.assert_allclose(coarse.var(0, ddof=1), np.diag(covariance), rtol=0, atol=1e-9)


def test_at_the_places_themselves_interpolated_weights_are_the_filter_s() -> None:
    """A background whose points are the places: between none of them."""
    grid = ReducedGrid.even(2000e3)
    state = ensemble(grid=grid)
    data = departures(state)
    method = LETKF(state, radius=3000e3, spacing=2000e3)
    assert method._anchors is None  # no fewer places than points
    fine = ReducedGrid(
        grid.latitudes, tuple(4 * n for n in grid.counts), grid.first, tuple(s / 4 for s in grid.step), whole=True
    )
    (lat, lon), (own_lat, own_lon) = fine.coordinates, grid.coordinates
    same = (np.abs(lat[:, None] - own_lat) < 1e-9) & (np.abs(lon[:, None] - own_lon) < 1e-9)
    index = np.flatnonzero(same.any(1))
    assert index.size == grid.shape[1]
    many = ensemble(2, fine)
    seen = departures(many)
    full = analyse(many, seen, radius=3000e3).members
    coarse = analyse(many, seen, radius=3000e3, spacing=2000e3).members
    assert full is not None
    assert coarse is not None
    torch.testing.assert_close(coarse[..., index], full[..., index], rtol=0, atol=1e-9)
    assert float((coarse - full).abs().max()) > 1e-6
    assert data.equivalents is not None


def test_interpolated_weights_approach_the_filter_s_with_the_square_of_their_spacing() -> None:
    """Bilinear between the places: half the spacing leaves about a quarter of the difference."""
    state = ensemble(grid=LatLonGrid.equiangular(24, 48))
    data = departures(state, 60)
    full = analyse(state, data, radius=9000e3).mean.values
    apart = [
        float((analyse(state, data, radius=9000e3, spacing=spacing).mean.values - full).square().mean().sqrt())
        for spacing in (4000e3, 2000e3, 1000e3)
    ]
    assert apart[0] < 0.2 * float(full.square().mean().sqrt())
    assert [a / b for a, b in pairwise(apart)] == pytest.approx([4.0, 4.0], rel=0.4)


def test_what_no_place_with_observations_is_near_stays_bit_for_bit_between_places_too() -> None:
    state = ensemble(grid=FINE)
    data = single(5.0, 100.0, state=state)
    members = analyse(state, data, radius=2000e3, spacing=1500e3, relaxation=0.5).members
    assert members is not None
    lat, lon = np.meshgrid(FINE.latitudes, FINE.longitudes, indexing="ij")
    far = distance(lat.ravel(), lon.ravel(), (5.0, 100.0)).reshape(lat.shape) > 2000e3 + 2 * 1500e3
    assert float(members[..., torch.from_numpy(far)].abs().max()) == 0.0
    assert float(members.abs().max()) > 0.0


@pytest.mark.parametrize("block", [50, 5000])
def test_the_size_of_blocks_does_not_show_between_places(block: int) -> None:
    state = ensemble(grid=FINE)
    data = departures(state)
    one, other = (analyse(state, data, radius=4000e3, spacing=1500e3, block=b).mean.values for b in (4_000_000, block))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("most", [1, 60, 10_000])
def test_parts_of_the_places_hold_every_point_once(most: int) -> None:
    whole = Anchors.of(FINE, 1500e3)
    parts = list(whole.parts(most))
    np.testing.assert_array_equal(np.sort(np.concatenate([p.columns for p in parts])), np.arange(18 * 36))
    field = np.sin(np.radians(whole.latitude)) + 0.1 * np.cos(np.radians(whole.longitude))
    expected = np.empty(18 * 36)
    expected[whole.columns] = (field[whole.corners] * whole.weights).sum(1)
    rows = 2 * (np.diff(np.unique(whole.latitude)).size + 1)
    for part in parts:
        own = np.sin(np.radians(part.latitude)) + 0.1 * np.cos(np.radians(part.longitude))
        np.testing.assert_allclose((own[part.corners] * part.weights).sum(1), expected[part.columns], atol=1e-12)
        assert np.unique(part.latitude).size <= 2 or part.count <= most
    assert len(parts) <= rows
    if most == 10_000:
        assert len(parts) == 1
