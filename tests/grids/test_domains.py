"""Grids that are no global latitude-longitude ones: positions, directions, rims, areas, orders and who refuses what."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors import BadDataError
from phyda_cli.grids.curvilinear import CurvilinearGrid
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.maps import Cone, Cylinder, Earth
from phyda_cli.grids.orientation import along_axes, along_rows, at_points, in_plane, rotated
from phyda_cli.grids.places import distance, unit_vectors, vicinities
from phyda_cli.grids.plane import PlaneGrid, Rotated
from phyda_cli.grids.reduced import ReducedGrid

EARTH = Earth(EARTH_RADIUS)
LAMBERT = PlaneGrid(
    Cone.lambert(EARTH, -95, 25, 25, 25),
    tuple((81_271.0 * np.arange(65) - 832_697.0).tolist()),
    tuple((81_271.0 * np.arange(93) - 4_226_108.0).tolist()),
)
POLAR = PlaneGrid(
    Cone.stereographic(EARTH, 0, north=True, true_latitude=60),
    tuple(np.linspace(-2e6, 2e6, 21).tolist()),
    tuple(np.linspace(-2.1e6, 2.1e6, 22).tolist()),
)
GRIDS = {
    "0°": along_axes(np.arange(40.0, 61.0), np.arange(350.0, 371.0) % 360.0).grid,
    "180°": along_axes(np.arange(-10.0, 11.0), np.arange(170.0, 191.0) - 360.0 * (np.arange(170.0, 191.0) > 180)).grid,
    "uneven": along_axes(np.array([10.0, 11.0, 13.0, 16.0]), np.array([5.0, 6.0, 8.0, 11.0])).grid,
    "rotated": rotated(39.25, -162.0, 0.0, np.arange(-20.0, 21.0), np.arange(-15.0, 16.0)).grid,
    "Lambert": LAMBERT,
    "pole inside": POLAR,
    "Mercator": in_plane(
        Cylinder.mercator(EARTH, 170, 20), 1e5 * np.arange(-8.0, 9.0), 1e5 * np.arange(-20.0, 21)
    ).grid,
    "places": CurvilinearGrid(*(x.reshape(LAMBERT.shape) for x in LAMBERT.coordinates)),
    "reduced": ReducedGrid.even(300e3),
    "thinned": along_rows(
        np.repeat([0.0, 10.0, 20.0], [5, 4, 3]),
        np.concatenate([np.linspace(330, 420, n) % 360 for n in (5, 4, 3)]),
    ).grid,
}
REGIONAL = {name: grid for name, grid in GRIDS.items() if name != "reduced"}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_a_grid_is_where_its_points_are(grid):
    """At the points all weight is on the point itself; a linear function of n comes back between them."""
    latitude, longitude = grid.coordinates
    corners = grid.corners(latitude, longitude)
    own = (np.arange(latitude.size)[corners.index] * corners.weight).sum(1)
    np.testing.assert_allclose(own, np.arange(latitude.size), rtol=0, atol=1e-6)
    assert corners.inside.all()
    assert float(grid.area.sum()) == pytest.approx(1.0)
    assert grid.area.shape == grid.shape


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_interpolated_places_are_the_places(grid):
    """Between points the unit vector is interpolated to the place itself, to second order of the spacing."""
    random = np.random.default_rng(1)
    around = unit_vectors(*grid.coordinates)
    at = around[random.integers(0, len(around), 300)] + 0.3 * random.normal(size=(300, 3)) * grid.spacing / EARTH_RADIUS
    at /= np.linalg.norm(at, axis=1, keepdims=True)
    latitude, longitude = np.degrees(np.arcsin(at[:, 2])), np.degrees(np.arctan2(at[:, 1], at[:, 0]))
    corners = grid.corners(latitude, longitude)
    assert corners.inside.mean() > 0.3
    sign = np.where(corners.sign < 0, -1.0, 1.0)
    assert (sign == 1.0).all() or grid.rim is None
    found = (around[corners.index] * corners.weight[..., None]).sum(1)[corners.inside]
    apart = np.linalg.norm(found / np.linalg.norm(found, axis=1, keepdims=True) - at[corners.inside], axis=1)
    assert apart.max() < 0.12 * grid.spacing / EARTH_RADIUS


@pytest.mark.parametrize("grid", REGIONAL.values(), ids=REGIONAL.keys())
def test_outside_a_place_is_as_far_as_it_is(grid):
    """The antipode is outside; a point pushed over the rim is about as far out as it was pushed."""
    latitude, longitude = grid.coordinates
    assert grid.corners(-latitude[:1], longitude[:1] + 180.0).beyond[0] > 1e6
    rim = grid.rim
    assert rim is not None
    assert rim.shape == grid.shape
    assert rim.min() == 0.0
    edge = np.argmin(rim.ravel())
    deep = np.argmax(rim.ravel())
    inward, outward = (unit_vectors(latitude[[i]], longitude[[i]])[0] for i in (deep, edge))
    beyond = outward + 0.01 * (outward - inward) / np.linalg.norm(outward - inward)
    beyond /= np.linalg.norm(beyond)
    lat, lon = np.degrees(np.arcsin(beyond[2])), np.degrees(np.arctan2(beyond[1], beyond[0]))
    pushed = distance(latitude[[edge]], longitude[[edge]], np.array([lat]), np.array([lon]))[0]
    found = grid.corners(np.array([lat]), np.array([lon])).beyond[0]
    assert 0.3 * pushed < found <= 1.01 * pushed


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_neighbours_find_every_place_within_the_radius(grid):
    random = np.random.default_rng(2)
    latitude, longitude = np.degrees(np.arcsin(random.uniform(-1, 1, 400))), random.uniform(-180, 180, 400)
    own = unit_vectors(*grid.coordinates)
    near = (
        2
        * EARTH_RADIUS
        * np.arcsin(np.minimum(0.5 * np.linalg.norm(own[:, None] - unit_vectors(latitude, longitude), axis=-1), 1.0))
    )
    found = np.zeros(near.shape, dtype=bool)
    seen = np.zeros(len(own), dtype=int)
    for part in vicinities(grid.coordinates, latitude, longitude, 800e3):
        found[np.ix_(part.points, part.places)] = True
        seen[part.points] += 1
    assert (seen <= 1).all()
    assert found[near <= 800e3].all()
    assert found.mean() < 0.25 or grid.shape[1] < 30


def test_the_rows_of_a_lambert_grid_turn_with_the_cone():
    """α = −sin φ_1 (λ − λ_0), Snyder's convergence of the meridians with its sign turned."""
    longitude = LAMBERT.coordinates[1].reshape(LAMBERT.shape)
    expected = -np.sin(np.radians(25.0)) * np.radians(longitude - 265.0)
    np.testing.assert_allclose(LAMBERT.turn, expected, rtol=0, atol=1e-12)
    by_points = GRIDS["places"].turn
    np.testing.assert_allclose(by_points, expected, rtol=0, atol=5e-3)  # half a grid length off at the rim


def test_the_rows_of_a_rotated_grid_turn_as_its_poles_lie():
    """On the meridian of the pole they run east; elsewhere finite differences of the places agree."""
    projection = Rotated(39.25, -162.0)
    assert projection.turn(np.array([5.0, -7.0]), np.array([0.0, 0.0])) == pytest.approx(0.0, abs=1e-12)
    random = np.random.default_rng(3)
    y, x = random.uniform(-30, 30, 50), random.uniform(-40, 40, 50)
    latitude, longitude = projection.inverse(y, x)
    step = 1e-4
    ahead, behind = projection.inverse(y, x + step), projection.inverse(y, x - step)
    east = np.mod(ahead[1] - behind[1] + 180, 360) - 180
    expected = np.arctan2(ahead[0] - behind[0], east * np.cos(np.radians(latitude)))
    np.testing.assert_allclose(projection.turn(y, x), expected, rtol=0, atol=1e-7)
    assert longitude.min() >= 0.0


def test_places_alone_make_the_same_grid_as_their_projection():
    random = np.random.default_rng(4)
    latitude, longitude = random.uniform(5, 70, 3000), random.uniform(190, 330, 3000)
    first, second = LAMBERT.corners(latitude, longitude), GRIDS["places"].corners(latitude, longitude)
    np.testing.assert_array_equal(first.inside, second.inside)
    places = [(np.array(LAMBERT.coordinates).T[c.index] * c.weight[..., None]).sum(1) for c in (first, second)]
    np.testing.assert_allclose(places[0][first.inside], places[1][first.inside], rtol=0, atol=2e-3)


def test_a_full_reduced_grid_is_the_regular_one():
    """With as many points in every row it interpolates as `LatLonGrid` does, across the poles and for winds too."""
    regular = LatLonGrid.gaussian(16)
    grid = along_rows(*regular.coordinates).grid
    random = np.random.default_rng(5)
    latitude, longitude = random.uniform(-90, 90, 500), random.uniform(-180, 360, 500)
    field = random.normal(size=16 * 32)
    first, second = grid.corners(latitude, longitude), regular.corners(latitude, longitude)
    for sign in (1.0, None):
        values = [(field[c.index] * c.weight * (c.sign if sign is None else sign)).sum(1) for c in (first, second)]
        np.testing.assert_allclose(values[0], values[1], rtol=0, atol=1e-12)
    assert grid.rim is None
    np.testing.assert_allclose(grid.area.reshape(regular.shape), regular.area, rtol=1e-12)


@pytest.mark.parametrize(
    ("latitudes", "longitudes", "west", "columns"),
    [
        ((10, 20, 30), (5, 10, 350, 355, 0), 350.0, [2, 3, 4, 0, 1]),
        ((10, 20, 30), (170, 175, -180, -175), 170.0, [0, 1, 2, 3]),
        ((40, 30, 20), (-3, -2, -1), 357.0, [0, 1, 2]),
        ((-5, 5), (12, 11, 10), 10.0, [2, 1, 0]),
    ],
)
def test_a_cut_out_begins_in_the_west_wherever_the_seam_is(latitudes, longitudes, west, columns):
    found = along_axes(np.array(latitudes, float), np.array(longitudes, float))
    assert found.columns.tolist() == columns
    assert found.file_columns[found.columns].tolist() == list(range(len(columns)))
    assert found.grid.x[0] == west
    assert np.all(np.diff(found.grid.y) > 0)
    at = found.grid.corners(np.full(len(longitudes), float(latitudes[0])), np.array(longitudes, float))
    assert at.inside.all()


def test_a_band_goes_round_and_one_row_holds_half_a_step():
    band = along_axes(np.arange(-20.0, 21.0, 5.0), np.arange(0.0, 360.0, 5.0)).grid
    corners = band.corners(np.array([0.0, 0.0, 25.0]), np.array([357.5, -1.0, 0.0]))
    assert corners.inside.tolist() == [True, True, False]
    assert corners.weight[0].max() == pytest.approx(0.5)
    assert corners.beyond[2] == pytest.approx(np.radians(5.0) * EARTH_RADIUS)
    row = along_axes(np.array([50.0]), np.arange(0.0, 5.0, 0.5)).grid
    inside = row.corners(np.array([50.2, 50.3, 49.8]), np.array([1.25, 1.25, 1.25])).inside
    assert inside.tolist() == [True, False, True]
    point = along_axes(np.array([51.07]), np.array([7.27])).grid
    assert point.corners(np.array([51.07, 51.08]), np.array([7.27, 7.27])).inside.tolist() == [True, False]
    assert row.rim is not None
    assert row.rim.max() > 0  # a row is no rim of itself


def test_points_in_any_order_make_the_same_reduced_grid():
    grid = ReducedGrid.even(500e3)
    latitude, longitude = grid.coordinates
    order = np.random.default_rng(6).permutation(latitude.size)
    found = along_rows(latitude[order], longitude[order] - 360.0 * (longitude[order] > 180))
    assert found.grid == grid
    np.testing.assert_array_equal(order[found.columns], np.arange(latitude.size))


def test_two_dimensional_axes_are_axes():
    lat, lon = np.meshgrid(np.arange(40.0, 50.0), np.arange(-3.0, 4.0), indexing="ij")
    assert at_points(lat, lon).grid == along_axes(lat[:, 0], lon[0]).grid
    assert isinstance(at_points(lat + 0.01 * lon, lon).grid, CurvilinearGrid)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: along_axes(np.array([-45.0, 45.0]), np.arange(0.0, 360.0, 90.0)), "too coarse"),
        (lambda: along_axes(np.array([10.0, np.nan]), np.arange(3.0)), "NaN"),
        (lambda: along_axes(np.array([10.0, 95.0]), np.arange(3.0)), "within ±90"),
        (lambda: along_axes(np.array([10.0, 10.0]), np.arange(3.0)), "twice"),
        (lambda: along_rows(np.arange(30.0), np.arange(30.0)), "no rows"),
        (lambda: along_rows(np.repeat([0.0, 1.0], 4), np.array([0, 1, 2, 3, 0, 1, 2, 9.0])), "not evenly"),
        (
            lambda: along_rows(np.repeat([0.0, 1.0], [8, 3]), np.append(np.arange(8.0), np.arange(3.0))),
            "same meridians",
        ),
        (lambda: CurvilinearGrid(np.zeros((1, 5)), np.zeros((1, 5))), "2 × 2"),
        (lambda: in_plane(Cylinder.mercator(EARTH, 0, 0), np.array([0.0, 0.0]), np.arange(3.0)), "increase"),
    ],
)
def test_what_makes_no_grid_is_refused(make, says):
    with pytest.raises(BadDataError, match=says):
        make()
