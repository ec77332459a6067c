"""An increment brought to the background's grid and channels."""

from __future__ import annotations

import numpy as np
import torch

from phyda_cli.fields.column import column_weights
from phyda_cli.fields.increment import interpolate_increment, interpolate_spread
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.regrid import regrid

TIME = np.datetime64("2008-12-08T12:00", "ns")
METHOD = LatLonGrid.equiangular(8, 16)
CHANNELS = (
    Channel("t", 50_000.0),
    Channel("u", 50_000.0),
    Channel("t", 100_000.0),
    Channel("msl"),
    Channel("u10"),
)


def increment() -> State:
    values = torch.randn(2, 5, 8, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return State(values, CHANNELS, METHOD, TIME)


def test_the_same_grid_and_channels_keep_every_bit():
    state = increment()
    out = interpolate_increment(state, CHANNELS, METHOD)
    assert torch.equal(out.values, state.values)
    assert out.time == TIME


def test_channels_are_matched_by_variable_and_level():
    state = increment()
    middle = float(np.sqrt(50_000.0 * 100_000.0))
    wanted = (Channel("q", 50_000.0), Channel("msl"), Channel("t", middle), Channel("t", 25_000.0), Channel("sp"))
    out = interpolate_increment(state, wanted, METHOD).values
    torch.testing.assert_close(out[:, 2], 0.5 * (state.values[:, 0] + state.values[:, 2]))
    assert torch.equal(out[:, 1], state.values[:, 3])
    for absent_or_far_above in (0, 3):
        assert torch.all(out[:, absent_or_far_above] == 0)


def test_the_pressure_at_the_ground_moves_by_as_much_of_ln_p_as_that_at_sea_level():
    state = increment()
    surface = torch.full(METHOD.shape, 0.7 * 101_325.0, dtype=torch.float64)
    out = interpolate_increment(state, (Channel("sp"), Channel("msl")), METHOD, surface).values
    torch.testing.assert_close(out[:, 0], 0.7 * out[:, 1])
    assert torch.equal(interpolate_increment(state, (Channel("sp"),), METHOD).values[:, 0], out[:, 1])


def test_winds_are_regridded_as_vectors_and_scalars_are_not():
    state, target = increment(), LatLonGrid.with_poles(19, 36)
    out = interpolate_increment(state, CHANNELS, target).values
    for index, channel in enumerate(CHANNELS):
        vector = channel.variable in ("u", "u10")
        torch.testing.assert_close(out[:, index], regrid(state.values[:, index], METHOD, target, vector=vector))
    assert not torch.allclose(out[:, 1], regrid(state.values[:, 1], METHOD, target))


def test_a_spread_is_a_magnitude():
    """Not zero at the pole where a wind's sign turns, nor above the top level; never negative."""
    state, target = increment(), LatLonGrid.with_poles(19, 36)
    spread = State(state.values.abs() + 1.0, CHANNELS, METHOD, TIME)
    wanted = (Channel("u", 50_000.0), Channel("u", 10_000.0), Channel("v", 50_000.0))
    out = interpolate_spread(spread, wanted, target).values
    torch.testing.assert_close(out[:, 0], regrid(spread.values[:, 1], METHOD, target))
    assert torch.equal(out[:, 1], out[:, 0])
    assert out[:, 0].min() >= 1.0
    assert torch.all(out[:, 2] == 0)


def test_a_column_of_water_comes_from_humidity_down_to_the_ground():
    """1 g/kg on every level onto a grid with two grounds; its spread as if all errors were one."""
    source, target = LatLonGrid.equiangular(8, 16), LatLonGrid.equiangular(16, 32)
    levels = (85_000.0, 50_000.0, 25_000.0)
    humid = State(
        torch.full((3, *source.shape), 1e-3, dtype=torch.float64), tuple(Channel("q", p) for p in levels), source,
        np.datetime64("2020-01-01"),
    )  # fmt: skip
    ground = torch.full(target.shape, 100_000.0, dtype=torch.float64)
    ground[:, 16:] = 60_000.0
    expected = [1e-3 * float(column_weights(levels, torch.tensor([p], dtype=torch.float64)).sum()) for p in (1e5, 6e4)]
    for brought in (interpolate_increment, interpolate_spread):
        found = brought(humid, (Channel("tcwv"), Channel("msl")), target, ground).values
        assert torch.allclose(found[0, :, :16], torch.tensor(expected[0]).double())
        assert torch.allclose(found[0, :, 16:], torch.tensor(expected[1]).double())
        assert not found[1].any()
