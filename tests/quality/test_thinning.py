"""Thinning: the outcomes of UFO's Gaussian_Thinning tests, and what must not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from phyda_cli.observations.settings import Mesh
from phyda_cli.observations.table import Flag, Use
from phyda_cli.quality.thinning import Placed, bins, nearest, thin
from tests.support.observations import TIME, observations

WINDOW = np.timedelta64(3, "h")


def thinned(table, *meshes):
    return np.flatnonzero(thin(table, meshes, time=TIME, window=WINDOW).flag == Flag.THINNED).tolist()


# Places, mesh [km] and expected outcome of UFO test/testinput/unit_tests/filters/qc_gauss_thinning_unittests.yaml
@pytest.mark.parametrize(
    ("latitude", "longitude", "mesh", "expected"),
    [
        ([-2, -1, 0, 1, 2], [178, 179, 180, 181, 182], 20_000, [1, 2, 3]),
        ([0] * 6, [0, 90, 179, 181, 270, 359.9999], 20_000, [0, 2, 3, 5]),
        ([0] * 6, [0, 90, 179, -179, -90, -0.0001], 20_000, [0, 2, 3, 5]),
        ([-90, -45, 0, 45, 90], [90] * 5, 20_000, [0, 1, 3, 4]),
        ([0] * 9, [0, 1, 2, 238, 239, 240, 358, 359, 359.9999], 10_000, [0, 1, 4, 5, 7, 8]),
    ],
)
def test_horizontal_meshes_of_ufo(latitude, longitude, mesh, expected):
    table = observations("t", [250.0] * len(latitude), latitude=latitude, longitude=longitude, error=1.0)
    assert thinned(table, Mesh(horizontal_km=mesh)) == expected


# The same file: positions 8 to 1 in bins of 2 from `lowest` to `highest`
@pytest.mark.parametrize(
    ("lowest", "highest", "expected"),
    [(3, 5, [0, 1, 2, 3, 5, 6, 7]), (1, 5, [0, 1, 2, 3, 5, 7]), (7, 11, [1, 2, 3, 4, 5, 6, 7])],
)
def test_vertical_and_time_meshes_of_ufo(lowest, highest, expected):
    found = bins(np.arange(8.0, 0.0, -1.0), 2.0, lowest=lowest, highest=highest)
    kept = nearest(Placed(found.number, found.offset**2), observations("t", np.arange(8.0), error=1.0))
    assert [row for row in range(8) if kept[row] != row] == expected


def test_categories_of_ufo():
    # two bins of two categories, here variables: each keeps its own
    pressure = 100.0 * np.array([4, 3, 4, 3, 2, 1, 2, 1]) * 50 - 5000.0
    table = observations(["u", "u", "t", "t", "t", "t", "u", "u"], [1.0] * 8, pressure=pressure, error=1.0)
    assert thinned(table, Mesh(horizontal_km=40_000, vertical_hpa=100)) == [1, 3, 5, 7]


def test_distance_counts_every_direction_in_half_cells():
    # at the centre of the only cell in the horizontal; the layer's middle is 550 hPa, the hour's 12:30
    table = observations(
        "t", [250.0] * 3, latitude=0.0, longitude=180.0, pressure=[52_000.0, 57_000.0, 53_000.0], error=1.0,
        time=TIME + np.array([30, 30, 0]).astype("timedelta64[m]"),
    )  # fmt: skip
    mesh = Mesh(horizontal_km=40_000, vertical_hpa=100, hours=1)
    # D²: 0.6² + 0², 0.4² + 0², 0.4² + 1²
    assert thinned(table, mesh) == [0, 2]
    assert thinned(table.take(np.array([0, 2])), mesh) == [1]


def test_ln_p_cells():
    # cells of 0.5 in ln(p / Pa): 10.5..11.0 is 363..599 hPa
    table = observations("t", [250.0] * 3, pressure=[40_000.0, 47_000.0, 60_000.0], error=1.0)
    assert thinned(table, Mesh(horizontal_km=500, vertical_ln=0.5)) == [0]


def test_without_a_depth_only_equal_pressures_share_a_cell():
    table = observations("t", [250.0] * 3, pressure=[50_000.0, 50_000.0, 50_100.0], error=[2.0, 1.0, 1.0])
    assert thinned(table, Mesh(horizontal_km=500)) == [0]
    single = observations("msl", [1e5, 1e5], pressure=np.nan, error=[1.0, 2.0])
    assert thinned(single, Mesh(horizontal_km=500, vertical_hpa=100)) == [1]


def test_first_rule_that_fits_and_only_what_is_assimilated():
    table = observations(
        "t", [250.0] * 4, report=["aircraft", "aircraft", "sonde", "sonde"], error=1.0,
        use=[Use.ASSIMILATE, Use.MONITOR, Use.ASSIMILATE, Use.ASSIMILATE], latitude=[50.0, 50.001, 50.002, 50.003],
    )  # fmt: skip
    result = thin(table, [Mesh(horizontal_km=500, report="sonde")], time=TIME, window=WINDOW)
    assert (result.flag == Flag.THINNED).sum() == 1
    assert result.used[:2].all()
    assert thinned(table, Mesh(horizontal_km=500, report="aircraft")) == []


def test_the_reason_names_the_row_that_stays():
    table = observations("t", [250.0, 251.0], error=[2.0, 1.0])
    result = thin(table, [Mesh(horizontal_km=500)], time=TIME, window=WINDOW)
    assert result.reason.tolist() == ["row 2 is nearer to the centre of its cell", ""]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_and_the_longitude_convention_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    n = 400
    table = observations(
        rng.choice(["t", "u"], n), rng.normal(size=n), error=rng.choice([1.0, 2.0], n),
        latitude=rng.choice([-90.0, 89.9, 0.0, 50.0], n) + rng.choice([0.0, 0.05], n),
        longitude=rng.choice([0.0, 179.9, 180.1, 359.9], n), pressure=rng.choice([50_000.0, 50_010.0], n),
        time=TIME + rng.integers(-180, 180, n).astype("timedelta64[m]"),
    )  # fmt: skip
    mesh = Mesh(horizontal_km=100, vertical_hpa=50, hours=2)
    straight = thin(table, [mesh], time=TIME, window=WINDOW)
    assert 0 < straight.used.sum() < n
    order = rng.permutation(n)
    assert thin(table.take(order), [mesh], time=TIME, window=WINDOW).flag.tolist() == straight.flag[order].tolist()
    west = np.where(table.longitude > 180, table.longitude - 360, table.longitude)
    turned = thin(replace(table, longitude=west), [mesh], time=TIME, window=WINDOW)
    assert turned.flag.tolist() == straight.flag.tolist()


def test_one_row_and_none():
    for n in (0, 1):
        assert thin(observations("t", [250.0] * n), [Mesh(horizontal_km=1)], time=TIME, window=WINDOW).used.sum() == n


def test_distances_that_differ_by_rounding_are_equal():
    """Of two rows at one distance but for 1e-12 the one with the smaller error is kept; 1e-6 nearer is nearer."""
    table = observations("t", [1.0, 2.0], error=[2.0, 1.0])
    cell = np.zeros(2, dtype=np.int64)
    assert nearest(Placed(cell, np.array([0.25, 0.25 + 1e-12])), table).tolist() == [1, 1]
    assert nearest(Placed(cell, np.array([0.25, 0.25 + 1e-6])), table).tolist() == [0, 0]
