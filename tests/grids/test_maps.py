"""Conformal maps against PROJ, which runs in a process of its own, and what a map must do."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from phyda_cli.errors import BadDataError
from phyda_cli.grids.maps import Cone, Cylinder, Earth

SPHERE, WGS84 = Earth(6_371_229.0), Earth.of_axes(6_378_137.0, 6_356_752.314245179)
ELLIPSOIDS = {"+R=6371229": SPHERE, "+a=6378137 +b=6356752.314245179": WGS84}
MAPS = {
    "+proj=lcc +lat_1=25 +lat_2=25 +lat_0=25 +lon_0=-95": lambda e: Cone.lambert(e, -95, 25, 25, 25),
    "+proj=lcc +lat_1=30 +lat_2=60 +lat_0=40 +lon_0=10": lambda e: Cone.lambert(e, 10, 40, 30, 60),
    "+proj=lcc +lat_1=-30 +lat_2=-60 +lat_0=-40 +lon_0=140": lambda e: Cone.lambert(e, 140, -40, -30, -60),
    "+proj=stere +lat_0=90 +lat_ts=60 +lon_0=-80": lambda e: Cone.stereographic(e, -80, north=True, true_latitude=60),
    "+proj=stere +lat_0=-90 +lat_ts=-71 +lon_0=9": lambda e: Cone.stereographic(e, 9, north=False, true_latitude=-71),
    "+proj=stere +lat_0=90 +lat_ts=90 +lon_0=0": lambda e: Cone.stereographic(e, 0, north=True, true_latitude=90),
    "+proj=merc +lat_ts=20 +lon_0=20": lambda e: Cylinder.mercator(e, 20, 20),
}
CASES = [(f"{name} {earth}", make(ELLIPSOIDS[earth])) for name, make in MAPS.items() for earth in ELLIPSOIDS]
PROJ = """
import json, sys
import numpy as np
import pyproj
names, longitude, latitude = json.load(sys.stdin)
result = {}
for name in names:
    projection = pyproj.Proj(name)
    x, y = projection(longitude, latitude)
    angle = projection.get_factors(longitude, latitude).meridian_convergence
    result[name] = [np.asarray(part).tolist() for part in (y, x, angle)]
json.dump(result, sys.stdout)
"""


def places() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.uniform(-80, 85, 200), random.uniform(-180, 180, 200)


@pytest.fixture(scope="module")
def proj() -> dict:
    """y, x and the convergence of meridians [degree] of every map, by PROJ: beside that of ecCodes it would crash."""
    pytest.importorskip("importlib.util").find_spec("pyproj") or pytest.skip("needs pyproj")
    latitude, longitude = places()
    text = json.dumps([[name for name, _ in CASES], longitude.tolist(), latitude.tolist()])
    done = subprocess.run([sys.executable, "-c", PROJ], input=text, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(("name", "map_"), CASES, ids=[name for name, _ in CASES])
def test_places_and_directions_are_those_of_proj(proj, name, map_):
    latitude, longitude = places()
    y, x, convergence = (np.array(part) for part in proj[name])
    near = np.hypot(y, x) < 2e7
    own = map_.forward(latitude, longitude)
    np.testing.assert_allclose(own[0][near], y[near], rtol=0, atol=1e-6)
    np.testing.assert_allclose(own[1][near], x[near], rtol=0, atol=1e-6)
    turn = map_.turn(*own)
    turn = np.zeros_like(latitude) if turn is None else turn
    apart = np.angle(np.exp(1j * (turn + np.radians(convergence))))
    np.testing.assert_allclose(apart[near], 0.0, atol=1e-9)


@pytest.mark.parametrize(("name", "map_"), CASES, ids=[name for name, _ in CASES])
def test_there_and_back(name, map_):
    latitude, longitude = places()
    back = map_.inverse(*map_.forward(latitude, longitude))
    np.testing.assert_allclose(back[0], latitude, rtol=0, atol=1e-10)
    np.testing.assert_allclose(np.mod(back[1] - longitude + 180, 360) - 180, 0.0, atol=1e-10)


def test_a_cone_near_its_origin_is_the_earth_s_own_metre():
    """At the parallel of true scale a step of one kilometre north and east is one kilometre on the map."""
    cone = Cone.lambert(SPHERE, 10, 45, 45, 45)
    step = np.degrees(1000.0 / SPHERE.radius)
    y, x = cone.forward(np.array([45.0, 45.0 + step, 45.0]), np.array([10.0, 10.0, 10.0 + step * np.sqrt(2.0)]))
    assert [y[0], x[0]] == pytest.approx([0.0, 0.0], abs=1e-6)
    assert y[1] == pytest.approx(1000.0, abs=1e-3)
    assert x[2] == pytest.approx(1000.0, abs=1e-3)


def test_what_is_no_map_is_refused():
    with pytest.raises(BadDataError, match="make no cone"):
        Cone.lambert(SPHERE, 0, 0, 30, -30)
    with pytest.raises(BadDataError, match="is none"):
        Earth.of_axes(6_356_752.0, 6_378_137.0)
