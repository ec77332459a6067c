"""H: exact where it must be exact, the transpose of itself, continuous everywhere on the sphere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.standard_atmosphere import standard_height
from phyda_cli.fields.state import Channel
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.operators.brightness_temperature import SOUNDERS
from phyda_cli.operators.kinds import KINDS
from phyda_cli.operators.operator import Operator
from phyda_cli.operators.rows import entries, stacked
from tests.support.observations import rows_of

CHANNELS = (
    Channel("t", 85_000.0),
    Channel("u", 85_000.0),
    Channel("t", 20_000.0),
    Channel("u", 20_000.0),
    Channel("t", 50_000.0),
    Channel("msl"),
)
GRIDS = {
    "equiangular": LatLonGrid.equiangular(12, 24),
    "poles": LatLonGrid.with_poles(13, 24),
    "gaussian": LatLonGrid.gaussian(16),
    "odd": LatLonGrid.equiangular(9, 15),
    "shifted": LatLonGrid((-75.0, -45.0, -10.0, 20.0, 60.0, 80.0), tuple(np.arange(12) * 30.0 + 15.0)),
}


def operator(grid, variable, latitude, longitude, pressure, **options):
    n = len(latitude)
    names = np.array([variable] * n if isinstance(variable, str) else variable, dtype=object)
    place = (np.asarray(c, dtype=np.float64) for c in (latitude, longitude, np.broadcast_to(pressure, n)))
    return rows_of(grid, CHANNELS, names, *place, **options)


def scattered(n, seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.choice(np.array(["t", "u", "msl"], dtype=object), n),
        np.concatenate([[90.0, -90.0, 89.9], np.degrees(np.arcsin(rng.uniform(-1, 1, n - 3)))]),
        rng.uniform(-180, 360, n),
        np.exp(rng.uniform(np.log(5_000), np.log(110_000), n)),
    )


def horizontal_field(grid, function):
    lat, lon = np.meshgrid(np.asarray(grid.latitudes), np.asarray(grid.longitudes), indexing="ij")
    return torch.from_numpy(np.broadcast_to(function(lat, lon), (len(CHANNELS), *grid.shape)).copy())


@pytest.mark.parametrize("beyond", [False, True])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_adjoint_is_the_transpose(grid, beyond):
    h = operator(grid, *scattered(300), beyond=beyond)
    generator = torch.Generator().manual_seed(1)
    delta = torch.randn(len(CHANNELS), *grid.shape, generator=generator, dtype=torch.float64)
    y = torch.randn(300, generator=generator, dtype=torch.float64)
    left, right = (h(delta) * y).sum(), (delta * h.adjoint(y)).sum()
    assert abs(left - right) <= 1e-12 * abs(left)
    assert abs(left) > 1e-3


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_exact_at_grid_points_and_levels(grid):
    field = torch.randn(len(CHANNELS), *grid.shape, dtype=torch.float64)
    for position, channel in enumerate(CHANNELS):
        lat, lon = np.meshgrid(np.asarray(grid.latitudes), np.asarray(grid.longitudes), indexing="ij")
        h = operator(grid, channel.variable, lat.ravel(), lon.ravel(), channel.level or np.nan)
        assert h.defined.all()
        assert torch.equal(h(field), field[position].ravel())


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_exact_for_a_field_linear_in_latitude_and_in_the_logarithm_of_pressure(grid):
    bottom = min(abs(grid.latitudes[0]), abs(grid.latitudes[-1]))
    latitude = np.linspace(-bottom, bottom, 41)
    pressure = np.geomspace(20_000.0, 85_000.0, 41)
    slope = torch.tensor([0.0 if c.level is None else np.log(c.level) for c in CHANNELS], dtype=torch.float64)
    field = horizontal_field(grid, lambda lat, lon: 3.0 * lat) + 5.0 * slope[:, None, None]
    h = operator(grid, "t", latitude, np.linspace(-180, 180, 41), pressure)
    np.testing.assert_allclose(h(field), 3.0 * latitude + 5.0 * np.log(pressure), rtol=0, atol=1e-11)


def test_hand_derived_weights():
    # 30° boxes with the first row at −75°; the place is ⅓ of the way north and ¼ of the way east, ln p half-way.
    grid = LatLonGrid.equiangular(6, 12)
    field = torch.zeros(len(CHANNELS), 6, 12, dtype=torch.float64)
    field[2, 2, 1] = 1.0  # t at 200 hPa, latitude −15, longitude 30
    field[4, 3, 2] = 12.0  # t at 500 hPa, latitude 15, longitude 60
    h = operator(grid, "t", [-5.0], [37.5], [np.sqrt(20_000.0 * 50_000.0)])
    assert h(field).item() == pytest.approx(0.5 * (2 / 3) * (3 / 4) + 0.5 * (1 / 3) * (1 / 4) * 12.0, rel=1e-14)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_longitude_convention_does_not_matter(grid):
    variable, latitude, longitude, pressure = scattered(200)
    field = torch.randn(len(CHANNELS), *grid.shape, dtype=torch.float64)
    east = operator(grid, variable, latitude, np.mod(longitude, 360.0), pressure)
    signed = operator(grid, variable, latitude, np.mod(longitude + 180.0, 360.0) - 180.0, pressure)
    np.testing.assert_allclose(east(field), signed(field), rtol=0, atol=1e-11)


@pytest.mark.parametrize("meridian", [0.0, 180.0, 360.0, -180.0, 352.5])
def test_continuous_over_every_meridian(meridian):
    grid = GRIDS["equiangular"]
    field = torch.randn(len(CHANNELS), *grid.shape, dtype=torch.float64)
    h = operator(grid, "t", [33.0] * 3, [meridian - 1e-9, meridian, meridian + 1e-9], 70_000.0)
    west, here, east = h(field).tolist()
    assert west == pytest.approx(here, abs=1e-8)
    assert east == pytest.approx(here, abs=1e-8)


@pytest.mark.parametrize("name", ["equiangular", "gaussian", "odd", "shifted"])
@pytest.mark.parametrize("pole", [90.0, -90.0])
def test_a_smooth_scalar_goes_on_across_the_pole(name, pole):
    grid = GRIDS[name]
    field = torch.randn(len(CHANNELS), *grid.shape, dtype=torch.float64)
    h = operator(grid, "t", [pole, pole, pole * (1 - 1e-12)], [40.0, 220.0, 220.0], 85_000.0)
    here, opposite, before = h(field).tolist()
    assert here == pytest.approx(opposite, abs=1e-12)
    assert before == pytest.approx(here, abs=1e-9)


@pytest.mark.parametrize("name", ["equiangular", "gaussian", "shifted"])
@pytest.mark.parametrize(("end", "sign"), [(-1, 1.0), (0, -1.0)])
def test_a_uniform_flow_over_the_pole_keeps_its_speed_there(name, end, sign):
    # A uniform vector across the pole has u ∝ sin λ on the last row; half a turn on, the same vector has −u.
    grid = GRIDS[name]
    field = horizontal_field(grid, lambda lat, lon: np.sin(np.radians(lon)))
    last = grid.latitudes[end]
    longitude = grid.longitudes[1]
    latitude = np.array([last, 0.5 * (last + sign * 90.0), sign * 90.0])
    h = operator(grid, "u", latitude, [longitude] * 3, 85_000.0)
    np.testing.assert_allclose(h(field), np.sin(np.radians(longitude)), rtol=0, atol=1e-12)
    scalar = operator(grid, "t", latitude, [longitude] * 3, 85_000.0)
    np.testing.assert_allclose(scalar(field)[2], 0.0, atol=1e-12)


def test_a_batch_equals_its_members_and_keeps_its_type():
    grid = GRIDS["gaussian"]
    h = operator(grid, *scattered(50))
    batch = torch.randn(2, 3, len(CHANNELS), *grid.shape)
    together = h(batch)
    assert together.dtype == torch.float32
    assert together.shape == (2, 3, 50)
    back = h.adjoint(together)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(together[i, j], h(batch[i, j]), rtol=0, atol=0)
            torch.testing.assert_close(back[i, j], h.adjoint(together[i, j]))


def test_gradient_of_h_is_its_adjoint():
    grid = GRIDS["poles"]
    h = operator(grid, *scattered(40))
    field = torch.randn(len(CHANNELS), *grid.shape, dtype=torch.float64, requires_grad=True)
    y = torch.randn(40, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((h(field) * y).sum(), field)
    torch.testing.assert_close(gradient, h.adjoint(y), rtol=1e-13, atol=1e-13)


def test_defined_only_where_the_variable_its_levels_and_the_place_exist():
    cases = [  # variable, latitude, longitude, pressure, defined
        ("t", 0.0, 0.0, 50_000.0, True),
        ("t", 0.0, 0.0, 85_000.0, True),
        ("t", 0.0, 0.0, 85_001.0, False),
        ("t", 0.0, 0.0, 19_999.0, False),
        ("t", 0.0, 0.0, np.nan, False),
        ("t", 0.0, 0.0, -5.0, False),
        ("msl", 0.0, 0.0, np.nan, True),
        ("q", 0.0, 0.0, 50_000.0, False),
        ("t", 90.1, 0.0, 50_000.0, False),
        ("t", np.nan, 0.0, 50_000.0, False),
        ("t", 0.0, np.inf, 50_000.0, False),
    ]
    variable, latitude, longitude, pressure, expected = (list(column) for column in zip(*cases, strict=True))
    h = operator(GRIDS["equiangular"], variable, latitude, longitude, pressure)
    assert h.defined.tolist() == expected
    values = h(torch.ones(len(CHANNELS), 12, 24, dtype=torch.float64))
    np.testing.assert_allclose(values, np.array(expected, dtype=float), atol=1e-14)


def test_increments_go_on_outside_the_levels():
    # Constant below; above 200 hPa linear in ln p to zero at 100 hPa, so ½ at 200/√2 hPa.
    field = torch.zeros(len(CHANNELS), 12, 24, dtype=torch.float64)
    field[0], field[2] = 7.0, 3.0
    pressure = [102_000.0, 20_000.0, 20_000.0 / np.sqrt(2.0), 10_000.0, 500.0]
    h = operator(GRIDS["equiangular"], "t", [10.0] * 5, [20.0] * 5, pressure, beyond=True)
    assert h.defined.all()
    np.testing.assert_allclose(h(field), [7.0, 3.0, 1.5, 0.0, 0.0], atol=1e-12)


def test_no_observations():
    h = operator(GRIDS["equiangular"], "t", [], [], np.nan)
    assert h(torch.zeros(4, len(CHANNELS), 12, 24)).shape == (4, 0)
    assert torch.count_nonzero(h.adjoint(torch.zeros(4, 0))) == 0


@pytest.mark.parametrize("first", [0.0, 2.5])
def test_a_longitude_next_to_the_first_meridian_is_between_its_neighbours(first):
    """T = longitude index; −1e-14 degrees is 360 after the modulus: the first meridian's value, or just west of it."""
    grid = LatLonGrid((-45.0, 45.0), tuple(first + 30.0 * k for k in range(12)))
    values = torch.arange(12.0, dtype=torch.float64).expand(1, 2, 12)
    expected = 0.0 if first == 0.0 else (2.5 / 30.0) * 11.0
    for longitude in (-1e-14, 0.0, 360.0):
        found = rows_of(
            grid,
            (Channel("t2m"),),
            np.array(["t2m"], object),
            np.array([0.0]),
            np.array([longitude]),
            np.array([np.nan]),
        )
        assert found(values).item() == pytest.approx(expected, abs=1e-9)


def test_the_top_level_reaches_as_far_as_rounding_and_no_farther():
    channels = (Channel("t", 50_000.0), Channel("t", 25_000.0))
    pressure = np.array([25_000.0 * (1 - 5e-7), 25_000.0 * (1 - 2e-6), 50_000.0 * (1 + 5e-7), 50_000.0 * (1 + 2e-6)])
    values = torch.tensor([1.0, 2.0], dtype=torch.float64)[:, None, None].expand(2, 2, 12)
    grid = LatLonGrid((-45.0, 45.0), tuple(30.0 * k for k in range(12)))
    found = rows_of(grid, channels, np.array(["t"] * 4, object), np.zeros(4), np.zeros(4), pressure)
    assert found.defined.tolist() == [True, False, True, False]
    np.testing.assert_allclose(found(values).numpy()[[0, 2]], [2.0, 1.0], atol=1e-12)


FULL = (
    *(Channel(name, level) for name in ("z", "t", "q") for level in (20_000.0, 50_000.0, 85_000.0)),
    *(Channel(name) for name in ("t2m", "d2m", "u10", "v10", "sp", "msl")),
)
SIZES = {"t": 260.0, "q": 4e-3, "u10": 6.0, "v10": -8.0, "t2m": 280.0, "d2m": 275.0, "sp": 9.8e4, "msl": 1.01e5}
SEEN = [*KINDS, "t", "q", "msl", "u10", "u"]
LAYER = "refractivity"
"""Of z, which must grow upwards as in weather."""


def weather(grid, seed: int, *, part: float = 0.1) -> torch.Tensor:
    """Fields that vary by a part of their usual size."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [SIZES[c.variable] if c.variable != "z" else GRAVITY * float(standard_height(c.level)) for c in FULL]
    size = torch.tensor(sizes, dtype=torch.float64)[:, None, None]
    return size * (1.0 + part * torch.randn(len(FULL), *grid.shape, generator=generator, dtype=torch.float64))


def anywhere(variable: str, n: int = 40) -> Operator:
    rng = np.random.default_rng(5)
    latitude = np.concatenate([[90.0, -90.0, 89.0], rng.uniform(-90, 90, n - 3)])
    return Operator.at(
        np.array([variable] * n, dtype=object), latitude, rng.uniform(-180, 360, n), rng.uniform(2.1e4, 8.4e4, n),
        surface_pressure=rng.uniform(6e4, 1.03e5, n), difference=rng.uniform(-400, 400, n),
        ground_temperature=rng.uniform(260, 290, n),
        height=rng.uniform(1600, 5300, n) if variable in (LAYER, "ztd") else None,
        below=np.full(n, 85_000.0), above=np.full(n, 50_000.0), top=np.full(n, 2.05e4),
    )  # fmt: skip


@pytest.mark.parametrize("variable", SEEN)
def test_increments_are_the_tangent_of_states(variable):
    """[H(x + ε p) − H(x)]/ε → H'p, its error falling with ε (or none, where H is linear)."""
    grid = GRIDS["gaussian"]
    state, step = weather(grid, 1), weather(grid, 2) - weather(grid, 3)
    operator = anywhere(variable).states(grid, FULL)
    assert operator.defined.all() == (variable not in ("u", *SOUNDERS))  # which need levels higher up
    tangent = operator.linearised(state).increments(grid, FULL)(step).numpy()
    errors = []
    for size in (1e-2, 1e-3):
        slope = (operator(state + size * step) - operator(state)) / size
        errors.append(np.abs(slope - tangent).max() / max(np.abs(tangent).max(), 1e-30))
    assert errors[1] < 1e-9 or errors[1] < 0.2 * errors[0]
    assert errors[1] < 1e-2
    if variable in ("sp", "ztd", "ws10", LAYER):
        assert errors[0] > 1e-8  # those that are not linear


@pytest.mark.parametrize("variable", SEEN)
def test_every_kind_has_its_transpose(variable):
    grid = GRIDS["poles"]
    rows = anywhere(variable).states(grid, FULL).linearised(weather(grid, 1)).increments(grid, FULL)
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(len(FULL), *grid.shape, generator=generator, dtype=torch.float64)
    y = torch.randn(len(rows), generator=generator, dtype=torch.float64)
    left, right = (rows(x) * y).sum(), (x * rows.adjoint(y)).sum()
    assert abs(left - right) <= 1e-12 * abs(left)


def test_a_column_of_water_is_the_integral_down_to_the_ground():
    """1 g/kg at every level: (p_s − 200 hPa + 200 hPa (1 − 1/(2 ln 2)))/g of it, above two grounds."""
    grid, value = GRIDS["equiangular"], 1e-3
    surface = np.array([101_325.0, 60_000.0])
    names = np.array(["tcwv"] * 2, dtype=object)
    operator = Operator.at(names, np.array([10.0, -40.0]), np.array([3.0, 200.0]), np.full(2, np.nan),
                           surface_pressure=surface)  # fmt: skip
    humid = torch.zeros(len(FULL), *grid.shape, dtype=torch.float64)
    humid[[c.variable == "q" for c in FULL]] = value
    expected = value * (surface - 20_000.0 + 20_000.0 * (1.0 - 0.5 / np.log(2.0))) / GRAVITY
    np.testing.assert_allclose(operator.states(grid, FULL)(humid), expected, rtol=1e-4)
    np.testing.assert_allclose(operator.increments(grid, FULL)(humid).numpy(), expected, rtol=1e-4)
    assert operator.integrates(FULL).all()
    assert operator.level.tolist() == [85_000.0] * 2


def test_a_field_of_the_column_comes_before_its_integral():
    grid, channels = GRIDS["equiangular"], (*FULL, Channel("tcwv"))
    operator = anywhere("tcwv")
    values = torch.cat([weather(grid, 1), torch.full((1, *grid.shape), 25.0, dtype=torch.float64)])
    np.testing.assert_allclose(operator.states(grid, channels)(values), 25.0)
    assert not operator.integrates(channels).any()


def test_levels_that_hold_half_of_the_water_are_no_column():
    upper = tuple(c for c in FULL if c.level != 85_000.0)
    assert not anywhere("tcwv").states(GRIDS["equiangular"], upper).defined.any()
    assert anywhere("tcwv").increments(GRIDS["equiangular"], upper).defined.all()


def test_taking_rows_takes_those_that_are_made(monkeypatch):
    """Rows are made once for a grid and channels, whatever is taken of them, and are those of the taken places."""
    grid = GRIDS["gaussian"]
    whole = anywhere("tcwv", 10)
    index = np.array([7, 2, 2])
    fresh = whole.take(index).increments(grid, FULL)
    whole.increments(grid, FULL)
    taken = whole.take(index)
    monkeypatch.setattr(Operator, "_build", lambda *given, **more: pytest.fail("made again"))
    kept = taken.increments(grid, FULL)
    x = weather(grid, 3)
    torch.testing.assert_close(kept(x), fresh(x), rtol=1e-13, atol=0.0)
    assert kept.defined.tolist() == fresh.defined.tolist()


def test_rows_of_different_widths_stand_together():
    """Also winds across a pole, whose weights are negative."""
    grid, x = GRIDS["gaussian"], weather(GRIDS["gaussian"], 4)
    channels = (*FULL[:-1], Channel("u", 50_000.0))
    parts = [anywhere(name, 6).increments(grid, channels) for name in ("t", "u", "tcwv")]
    assert float(parts[1].blocks[0].weights.min()) < 0
    blocks = stacked(parts)
    assert [tuple(block.indices.shape) for block in blocks] == [(12, 8), (6, 12)]
    row, index, weight = entries(blocks)
    together = torch.zeros(18, dtype=torch.float64).index_add(0, row, x.flatten()[index] * weight)
    torch.testing.assert_close(together, torch.cat([part(x) for part in parts]))


def test_wide_rows_leave_the_others_narrow_in_any_order():
    """Values, tangent, transpose and what is taken of a mixture are those of each variable alone."""
    grid, x = GRIDS["gaussian"], weather(GRIDS["gaussian"], 4)
    names = np.array(["t", LAYER, "tcwv", "t2m"] * 10, dtype=object)
    alone = {name: anywhere(name) for name in dict.fromkeys(names)}
    columns = {
        key: np.select([names == name for name in alone], [getattr(one, key) for one in alone.values()])
        for key in ("height", "pressure", "surface_pressure", "difference", "ground_temperature", "below", "above")
    }
    mixed = replace(anywhere("t"), variable=names, **columns)
    seen = mixed.states(grid, FULL)
    linear = seen.linearised(x)
    rows = linear.increments(grid, FULL)
    assert sorted(block.indices.shape[1] for block in rows.blocks) == [4, 8, 12, 24]
    step = weather(grid, 5) - weather(grid, 6)
    y = torch.randn(len(names), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    back = torch.zeros_like(step)
    for name, one in alone.items():
        of_name = names == name
        own = one.states(grid, FULL)
        np.testing.assert_allclose(seen(x)[of_name], own(x)[of_name], rtol=1e-12)
        tangent = own.linearised(x).increments(grid, FULL)
        torch.testing.assert_close(rows(step)[of_name], tangent(step)[of_name])
        torch.testing.assert_close(rows.of_spread(step.abs())[of_name], tangent.of_spread(step.abs())[of_name])
        torch.testing.assert_close(rows.by_channel(step)[of_name], tangent.by_channel(step)[of_name])
        back += tangent.adjoint(torch.where(torch.from_numpy(of_name), y, 0.0))
    torch.testing.assert_close(rows.adjoint(y), back)
    index = np.array([39, 2, 0, 2, 17])
    torch.testing.assert_close(rows.take(index)(step), rows(step)[index])
    torch.testing.assert_close(linear.take(index).increments(grid, FULL)(step), rows(step)[index])
    of_two = linear.take(names == "tcwv")
    torch.testing.assert_close(of_two.increments(grid, FULL)(step), rows(step)[names == "tcwv"])
    np.testing.assert_allclose(mixed.take(index).states(grid, FULL)(x), seen(x)[index], rtol=1e-12)


def test_rows_of_several_inputs_are_as_wide_as_what_they_see():
    """A layer of the channels' own levels: six inputs at one level and four corners each, whatever was padded."""
    grid, state = GRIDS["gaussian"], weather(GRIDS["gaussian"], 1)
    rows = anywhere(LAYER).states(grid, FULL).linearised(state).increments(grid, FULL)
    weights = rows.blocks[0].weights
    assert weights.shape[1] == 24
    assert int((weights != 0).sum(1).max()) == 24
    none = anywhere(LAYER, 3).take(np.zeros(0, dtype=np.int64)).states(grid, FULL)
    assert none.linearised(state).increments(grid, FULL)(state).shape == (0,)
