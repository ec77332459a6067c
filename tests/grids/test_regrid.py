"""Regridding: constants, linear functions, conserved means, the dateline, the poles, rotation and identity."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.orientation import along_axes
from phyda_cli.grids.reduced import ReducedGrid
from phyda_cli.grids.regrid import regrid

COARSE = LatLonGrid.equiangular(16, 32)
FINE = LatLonGrid.equiangular(48, 96)
POLES = LatLonGrid.with_poles(37, 72)
GAUSSIAN = LatLonGrid.gaussian(24)
GRIDS = [COARSE, FINE, POLES, GAUSSIAN]
PAIRS = [pytest.param(a, b, id=f"{a} to {b}") for a in GRIDS for b in GRIDS if a is not b]


def angles(grid: LatLonGrid) -> tuple[torch.Tensor, torch.Tensor]:
    latitude = torch.tensor(grid.latitudes, dtype=torch.float64).deg2rad()
    longitude = torch.tensor(grid.longitudes, dtype=torch.float64).deg2rad()
    return latitude[:, None], longitude[None, :]


def noise(grid: LatLonGrid, *batch: int) -> torch.Tensor:
    return torch.randn(*batch, *grid.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def mean(x: torch.Tensor, grid: LatLonGrid) -> torch.Tensor:
    return (x.mean(-1) * torch.tensor(grid.area_weights)).sum(-1)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_constants_stay_constant(source, target):
    x = torch.full(source.shape, 273.16, dtype=torch.float64)
    torch.testing.assert_close(
        regrid(x, source, target), torch.full(target.shape, 273.16, dtype=torch.float64), rtol=1e-14, atol=0
    )


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_no_new_extremes(source, target):
    x = noise(source, 2)
    y = regrid(x, source, target)
    assert y.max() <= x.max() + 1e-12
    assert y.min() >= x.min() - 1e-12


def test_the_same_grid_gives_the_same_bits():
    x = noise(COARSE, 3).float()
    assert torch.equal(regrid(x, COARSE, LatLonGrid.equiangular(16, 32)), x)
    assert torch.equal(regrid(x, COARSE, LatLonGrid.equiangular(16, 32), vector=True), x)


def test_points_that_coincide_keep_their_values():
    """Every third point of 48×96 shifted by one cell lies on 16×32; refining must return the coarse values there."""
    x = noise(COARSE)
    torch.testing.assert_close(regrid(x, COARSE, FINE)[1::3, ::3], x, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("source", [COARSE, GAUSSIAN], ids=str)
def test_a_linear_function_of_latitude_is_exact_between_rows(source):
    target = LatLonGrid.with_poles(181, 360)
    latitude = torch.tensor(source.latitudes, dtype=torch.float64)[:, None].expand(source.shape)
    wanted = torch.tensor(target.latitudes, dtype=torch.float64)
    # Beyond the last row the field tends to the mean of that row, which is here its own value.
    expected = wanted.clamp(source.latitudes[0], source.latitudes[-1])[:, None].expand(target.shape)
    torch.testing.assert_close(regrid(latitude, source, target), expected, rtol=0, atol=1e-12)


def test_linear_between_columns_over_the_dateline():
    """Two columns 354.375 and 0 hold 0 and 1: a quarter of the way gives ¼, on both sides of the seam."""
    source, target = LatLonGrid.equiangular(8, 64), LatLonGrid.equiangular(8, 256)
    x = torch.zeros(source.shape, dtype=torch.float64)
    x[:, 0] = 1.0
    row = regrid(x, source, target)[3]
    expected = torch.zeros(256, dtype=torch.float64)
    for step, value in enumerate((1.0, 0.75, 0.5, 0.25)):
        expected[step] = expected[-step] = value
    torch.testing.assert_close(row, expected, rtol=0, atol=1e-13)


def test_coarsening_averages_whole_cells():
    """48×96 onto 16×32 with cell edges that coincide: each coarse cell is the area mean of 3×3 fine cells."""
    source = LatLonGrid(FINE.latitudes, tuple(1.875 + 3.75 * i for i in range(96)))
    target = LatLonGrid(COARSE.latitudes, tuple(5.625 + 11.25 * i for i in range(32)))
    x = noise(source)
    weights = torch.tensor(source.area_weights)[:, None]
    blocks = (x * weights).reshape(16, 3, 32, 3).sum((1, 3)) / (3 * weights.reshape(16, 3).sum(1, keepdim=True))
    torch.testing.assert_close(regrid(x, source, target), blocks, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (FINE, COARSE),
        (POLES, COARSE),
        (FINE, GAUSSIAN),
        (FINE, POLES),
        (FINE, LatLonGrid.with_poles(19, 36)),
        (POLES, GAUSSIAN),
    ],
    ids=str,
)
def test_coarsening_conserves_the_mean_over_the_sphere(source, target):
    x = noise(source, 4)
    torch.testing.assert_close(mean(regrid(x, source, target), target), mean(x, source), rtol=0, atol=1e-12)


@pytest.mark.parametrize("vector", [False, True])
@pytest.mark.parametrize(
    ("source", "target"), [(COARSE, FINE), (FINE, COARSE), (COARSE, LatLonGrid.with_poles(37, 64))], ids=str
)
def test_turning_the_globe_turns_the_result(source, target, vector):
    """Moving the source by 3/32 of the circle moves the target by the same angle."""
    x = noise(source)
    moved = regrid(x.roll(3 * source.shape[1] // 32, -1), source, target, vector=vector)
    expected = regrid(x, source, target, vector=vector).roll(3 * target.shape[1] // 32, -1)
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-12)


def test_a_shifted_first_longitude_is_taken_into_account():
    shifted = LatLonGrid(COARSE.latitudes, tuple(5.625 + 11.25 * i for i in range(32)))
    _, longitude = angles(COARSE)
    _, wanted = angles(shifted)
    y = regrid(longitude.cos().expand(COARSE.shape), COARSE, shifted)
    # The mean of two neighbours of a cosine is the cosine half-way times cos(half the step).
    torch.testing.assert_close(y, (wanted.cos() * np.cos(np.radians(5.625))).expand(shifted.shape), rtol=0, atol=1e-13)


def test_a_scalar_has_one_value_at_the_pole_and_is_linear_towards_it():
    target = LatLonGrid.with_poles(181, 32)
    x = noise(COARSE)
    y = regrid(x, COARSE, target)
    for last, pole in ((0, 0), (-1, -1)):
        torch.testing.assert_close(y[pole], x[last].mean().expand(32), rtol=0, atol=1e-14)
    # 89°N lies 1° from the pole, the last row of the source (84.375°N) 5.625° from it.
    share = 1 / 5.625
    torch.testing.assert_close(y[-2], share * x[-1] + (1 - share) * x[-1].mean(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("target", [LatLonGrid.with_poles(181, 360), LatLonGrid.with_poles(9, 16)], ids=str)
def test_a_wind_blows_straight_over_the_pole(target):
    """Flow along one direction over the pole, u = −sin λ, v = −cos λ at the north pole: opposite signs across it."""
    _, longitude = angles(COARSE)
    _, wanted = angles(target)
    u = regrid((-longitude.sin()).expand(COARSE.shape), COARSE, target, vector=True)
    v = regrid((-longitude.cos()).expand(COARSE.shape), COARSE, target, vector=True)
    amplitude = v[-1].abs().max()
    assert 0.98 < amplitude < 1 + 1e-12
    torch.testing.assert_close(u[-1], -amplitude * wanted[0].sin(), rtol=0, atol=1e-12)
    torch.testing.assert_close(v[-1], -amplitude * wanted[0].cos(), rtol=0, atol=1e-12)
    torch.testing.assert_close(v[-1].roll(target.shape[1] // 2), -v[-1], rtol=0, atol=1e-12)
    # A scalar with the same row has nothing but its mean, zero, left there.
    assert regrid((-longitude.cos()).expand(COARSE.shape), COARSE, target)[-1].abs().max() < 1e-12


def test_rotation_about_the_axis_leaves_no_wind_at_the_pole():
    u = regrid(
        torch.full(COARSE.shape, 10.0, dtype=torch.float64), COARSE, LatLonGrid.with_poles(181, 360), vector=True
    )
    assert u[-1].abs().max() < 1e-12
    torch.testing.assert_close(u[90], torch.full((360,), 10.0, dtype=torch.float64))


def test_the_source_s_own_pole_row_is_used():
    source, target = LatLonGrid.with_poles(19, 36), LatLonGrid.equiangular(180, 36)
    x = torch.zeros(source.shape, dtype=torch.float64)
    x[-1] = 1.0
    y = regrid(x, source, target)
    torch.testing.assert_close(y[-1], torch.full((36,), 0.95, dtype=torch.float64))
    assert torch.all(y[:170] == 0)


def test_single_precision_stays_single_and_gradients_flow():
    x = noise(COARSE).float().requires_grad_()
    y = regrid(x, COARSE, POLES)
    assert y.dtype == torch.float32
    y.sum().backward()
    # Each row of the weights sums to 1: the gradient of the sum sums to the number of target points.
    assert x.grad.sum().item() == pytest.approx(37 * 72, rel=1e-5)


def test_a_field_on_another_grid_is_refused():
    with pytest.raises(BadDataError, match=r"shape \(16, 32\) are not on the grid 48×96"):
        regrid(noise(COARSE), FINE, COARSE)


CUT_OUTS = {
    "over Greenwich": (np.arange(20, 34), np.r_[60:72, 0:9]),
    "to the pole": (np.arange(25, 37), np.arange(10, 30)),
    "a band": (np.arange(5, 30), np.arange(72)),
}


@pytest.mark.parametrize("vector", [False, True])
@pytest.mark.parametrize(("rows", "columns"), CUT_OUTS.values(), ids=CUT_OUTS.keys())
@pytest.mark.parametrize("source", [COARSE, LatLonGrid.equiangular(64, 128)], ids=["finer", "coarser"])
def test_onto_a_cut_out_a_field_comes_as_onto_the_whole_grid(source, rows, columns, vector):
    x = noise(source)
    cut = along_axes(np.asarray(POLES.latitudes)[rows], np.asarray(POLES.longitudes)[columns])
    whole = regrid(x, source, POLES, vector=vector)[rows][:, columns[cut.columns]]
    expected = whole[1:-1, 1:-1] if source is not COARSE else whole  # averages need whole cells, the rim's are halves
    found = regrid(x, source, cut.grid, vector=vector)
    found = found[1:-1, 1:-1] if source is not COARSE else found
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("target", [COARSE, LatLonGrid.equiangular(72, 144)], ids=["coarser", "finer"])
def test_a_cut_out_gives_what_its_global_field_gives_where_it_covers_and_zero_elsewhere(target):
    x = noise(POLES) + 10.0
    rows, columns = CUT_OUTS["over Greenwich"]
    cut = along_axes(np.asarray(POLES.latitudes)[rows], np.asarray(POLES.longitudes)[columns])
    part = regrid(x[rows][:, columns[cut.columns]], cut.grid, target)
    whole = regrid(x, POLES, target)
    covered = part != 0
    assert 0.01 < float(covered.double().mean()) < 0.15
    torch.testing.assert_close(part[covered], whole[covered], rtol=0, atol=1e-12)
    latitude, longitude = (axis.reshape(target.shape) for axis in target.coordinates)
    middle = (latitude > 30) & (latitude < 60) & ((longitude < 25) | (longitude > 315))
    assert covered[torch.from_numpy(middle)].all()


def reduced_gaussian():
    """Rows of a Gaussian grid of 48 with fewer points towards the poles, as octahedral grids have: 20 + 4 a row."""
    latitudes = LatLonGrid.gaussian(48).latitudes
    counts = [20 + 4 * min(row, 47 - row) for row in range(48)]
    steps = tuple(360.0 / count for count in counts)
    return ReducedGrid(latitudes, tuple(counts), (0.0,) * 48, steps, True)


def test_a_reduced_grid_conserves_means_and_constants():
    source, target = reduced_gaussian(), LatLonGrid.equiangular(12, 24)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, *source.shape)))
    x[1] = 7.0
    y = regrid(x, source, target)
    assert y[1] == pytest.approx(np.full(target.shape, 7.0), abs=1e-12)
    assert float((y[0] * torch.as_tensor(target.area.copy())).sum()) == pytest.approx(
        float((x[0] * torch.as_tensor(source.area)).sum()), abs=1e-12
    )


def test_the_cells_of_a_reduced_grid_by_hand():
    # rows at -60 and 60 of two points, between them one of four; the target has rows at +-45 and columns at 0, 90, …:
    # its northern row holds the northern row of the source (sin 90 - sin 30 = 0.5) and half of the middle one (0.5)
    source = ReducedGrid((-60.0, 0.0, 60.0), (2, 4, 2), (0.0, 0.0, 0.0), (180.0, 90.0, 180.0), True)
    target = LatLonGrid.equiangular(2, 4)
    x = torch.tensor([[0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 10.0, 20.0]], dtype=torch.float64)
    # the columns of the northern row are 10, the mean of 10 and 20, 20, the mean of both again
    assert regrid(x, source, target)[1].tolist() == pytest.approx([5.5, 8.5, 11.5, 9.5])
