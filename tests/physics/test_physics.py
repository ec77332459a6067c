"""The operator: symmetries of the sphere, precision, gradients, and what its configuration switches off."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from phyda_cli.constants import R_DRY
from phyda_cli.errors import BadDataError, ConfigError
from phyda_cli.fields.state import Channel
from phyda_cli.grids.harmonics import SphericalHarmonics
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.physics.level_fields import LevelChannels, LevelFields
from phyda_cli.physics.residuals import PhysicsConfig, PhysicsOperator
from tests.support.harmonics import complex_from_real

GRID = LatLonGrid.equiangular(32, 64)
LEVELS = (92_500.0, 85_000.0, 70_000.0, 50_000.0, 30_000.0, 25_000.0, 20_000.0, 10_000.0)
CHANNELS = (*(Channel(name, p) for name in "uvtqz" for p in LEVELS), Channel("msl"))
SIZE = {"u": 1e-4, "v": 1e-4, "t": 1e-4, "q": 1e-8, "z": 1e-1}
"""Typical rates of change [SI per s]."""


def weather(
    grid: LatLonGrid = GRID, channels: tuple[Channel, ...] = CHANNELS, *batch: int, seed: int = 0
) -> torch.Tensor:
    """Random large-scale weather, hydrostatic to first order: (…, channel, lat, lon)."""
    harmonics = SphericalHarmonics(grid, min(12, grid.shape[0] - 2))
    generator = torch.Generator().manual_seed(seed)
    n = harmonics.total_wavenumber.double()[:, None]
    norm = {"u": 10.0, "v": 8.0, "t": 4.0, "q": 5e-4, "z": 800.0, "msl": 500.0}

    def field(size: float) -> torch.Tensor:
        noise = torch.randn(*batch, harmonics.total_wavenumber.numel() ** 2, generator=generator, dtype=torch.float64)
        return size * harmonics.synthesis(complex_from_real(noise) / (1 + n))

    base = {"t": 260.0, "q": 4e-3, "msl": 101_000.0}
    out = []
    for name, level in channels:
        mean = R_DRY * 260.0 * np.log(1e5 / level) if name == "z" and level else base.get(name, 0.0)
        out.append(field(norm[name]) + mean)
    return torch.stack(out, dim=-3)


def operator(dtype: torch.dtype = torch.float64, channels: tuple[Channel, ...] = CHANNELS, **config) -> PhysicsOperator:
    return PhysicsOperator(PhysicsConfig(**config), channels, GRID, dtype=dtype)


def size_of(channels: tuple[Channel, ...] = CHANNELS) -> torch.Tensor:
    return torch.tensor([SIZE.get(c.variable, 1.0) for c in channels], dtype=torch.float64)[:, None, None]


def test_the_weather_of_these_tests_moves() -> None:
    tendency = operator().tendency(weather())
    for name in "uvtqz":
        rows = [i for i, c in enumerate(CHANNELS) if c.variable == name]
        assert tendency[rows].square().mean().sqrt() > 0.1 * SIZE[name]


@pytest.mark.parametrize("shift", [1, 17, 32])
def test_turning_the_earth_turns_the_answer_and_there_is_no_seam(shift: int) -> None:
    x = weather()
    full, proxy = operator(), operator(physics="proxy")
    error = (full.tendency(x.roll(shift, -1)) - full.tendency(x).roll(shift, -1)) / size_of()
    assert error.abs().max() < 1e-8
    error = (proxy.tendency(x.roll(shift, -1)) - proxy.tendency(x).roll(shift, -1)) / size_of()
    assert error.abs().max() < 1e-10  # rounding of terms that nearly cancel
    residual = full.geostrophic_residual(x)
    torch.testing.assert_close(
        full.geostrophic_residual(x.roll(shift, -1)), residual.roll(shift, -1), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("physics", ["proxy", "full"])
def test_the_mirrored_earth_has_the_mirrored_answer(physics: str) -> None:
    """North and south change places, and v its sign."""
    sign = torch.tensor([-1.0 if c.variable == "v" else 1.0 for c in CHANNELS], dtype=torch.float64)[:, None, None]
    x, k = weather(), operator(physics=physics)
    mirrored = k.tendency(sign * x.flip(-2))
    assert ((mirrored - sign * k.tendency(x).flip(-2)) / size_of()).abs().max() < 1e-8


@pytest.mark.parametrize("physics", ["proxy", "full"])
def test_the_order_of_the_channels_does_not_matter(physics: str) -> None:
    order = torch.randperm(len(CHANNELS), generator=torch.Generator().manual_seed(5)).tolist()
    shuffled = tuple(CHANNELS[i] for i in order)
    x, k, other = weather(), operator(physics=physics), operator(physics=physics, channels=shuffled)
    assert torch.equal(other.tendency(x[order]), k.tendency(x)[order])
    assert torch.equal(other.hydrostatic_residual(x[order]), k.hydrostatic_residual(x))
    assert not k.tendency(x)[-1].any()  # msl is passed over


def test_a_batch_is_its_cases() -> None:
    x, k = weather(GRID, CHANNELS, 2, 3), operator()
    together = k.tendency(x)
    assert together.shape == x.shape
    assert ((together[1, 2] - k.tendency(x[1, 2])) / size_of()).abs().max() < 1e-10
    assert k.hydrostatic_residual(x).shape == (2, 3, 7, 32, 64)
    assert k.geostrophic_residual(x).shape == (2, 3, 2, 8, 32, 64)


@pytest.mark.parametrize("physics", ["proxy", "full"])
def test_single_precision_is_enough(physics: str) -> None:
    x = weather()
    double, single = operator(physics=physics).tendency(x), operator(torch.float32, physics=physics).tendency(x)
    assert single.dtype == torch.float32
    error = (single.double() - double).square().mean((-2, -1)).sqrt()
    size = double.square().mean((-2, -1)).sqrt()
    assert (error <= 1e-3 * size).all()


def test_autocast_does_not_reach_the_physics() -> None:
    x, k = weather().float(), operator(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = k.tendency(x), k.hydrostatic_residual(x), k.geostrophic_residual(x)
    outside = k.tendency(x), k.hydrostatic_residual(x), k.geostrophic_residual(x)
    for a, b in zip(inside, outside, strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b)


@pytest.mark.parametrize("physics", ["proxy", "full"])
def test_gradients(physics: str) -> None:
    grid = LatLonGrid.equiangular(8, 16)
    channels = tuple(Channel(name, p) for name in "uvtqz" for p in (85_000.0, 50_000.0, 20_000.0))
    config = PhysicsConfig(physics=physics, latitudes=(0.0, 90.0))
    k = PhysicsOperator(config, channels, grid, dtype=torch.float64)
    base = weather(grid, channels)
    scale = torch.tensor([{"t": 1.0, "q": 1e-4, "z": 100.0}.get(c.variable, 5.0) for c in channels])[
        :, None, None
    ].double()

    def scaled(delta: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = base + scale * delta
        return k.tendency(x) / size_of(channels), k.hydrostatic_residual(x), k.geostrophic_residual(x) * 1e4

    delta = torch.zeros_like(base, requires_grad=True)
    assert torch.autograd.gradcheck(scaled, (delta,), eps=1e-5, atol=1e-6, rtol=1e-4, fast_mode=True)


@pytest.mark.parametrize("physics", ["hydrostatic", "proxy", "full"])
def test_gradients_reach_every_field_that_counts_and_no_other(physics: str) -> None:
    x = weather(GRID, CHANNELS, 2).float().requires_grad_()
    k = operator(torch.float32, physics=physics)
    weighted = (k.tendency(x) / size_of().float()).square().sum() + k.hydrostatic_residual(x).square().sum()
    (gradient,) = torch.autograd.grad(weighted, x)
    assert gradient.isfinite().all()
    reached = gradient.abs().amax((0, 2, 3)) > 0
    expected = {"hydrostatic": "tqz", "proxy": "uvtqz", "full": "uvtqz"}[physics]
    assert reached.tolist() == [c.variable in tuple(expected) for c in CHANNELS]


def test_a_grid_with_rows_on_the_poles() -> None:
    grid = LatLonGrid.with_poles(33, 64)
    for physics in ("proxy", "full"):
        k = PhysicsOperator(PhysicsConfig(physics=physics), CHANNELS, grid)
        x = weather(grid).float().requires_grad_()
        tendency = k.tendency(x)
        tendency.square().sum().backward()
        assert tendency.isfinite().all()
        assert x.grad is not None
        assert x.grad.isfinite().all()
        assert not tendency[:, [0, -1]].any()


def test_the_poles_are_masked_and_only_they() -> None:
    tendency = operator(latitudes=(0.0, 75.0)).tendency(weather())
    open_rows = tendency.abs().amax((0, 2)) > 0
    assert open_rows.tolist() == [abs(latitude) <= 75 for latitude in GRID.latitudes]


def test_equations_levels_and_latitudes_are_chosen() -> None:
    x = weather()
    whole = operator().tendency(x)
    chosen = operator(equations=("t", "z"), levels=(50_000.0, 85_000.0), latitudes=(30.0, 60.0))
    tendency = chosen.tendency(x)
    for i, (name, level) in enumerate(CHANNELS):
        for j, latitude in enumerate(GRID.latitudes):
            counts = name in "tz" and level in (50_000.0, 85_000.0) and 30 <= abs(latitude) <= 60
            assert torch.equal(tendency[i, j], whole[i, j] * counts)
    assert torch.equal(chosen.mask != 0, (tendency != 0).any(-1, keepdim=True))


def test_a_layer_counts_where_both_its_levels_do() -> None:
    residual = operator(levels=(50_000.0, 70_000.0, 92_500.0)).hydrostatic_residual(weather())
    # from the top: 100-200, 200-250, 250-300, 300-500, 500-700, 700-850, 850-925
    assert [bool(layer.any()) for layer in residual] == [False, False, False, False, True, False, False]


def test_the_geostrophic_residual_leaves_the_tropics_out() -> None:
    residual = operator(geostrophic_from=25.0).geostrophic_residual(weather())
    rows = residual.abs().amax((0, 1, 3)) > 0
    assert rows.tolist() == [25 <= abs(latitude) <= 80 for latitude in GRID.latitudes]


def test_hydrostatic_is_the_hydrostatic_residual_alone() -> None:
    x, k = weather(), operator(physics="hydrostatic")
    assert not k.tendency(x).any()
    assert not k.geostrophic_residual(x).any()
    assert not k.mask.any()
    assert torch.equal(k.hydrostatic_residual(x), operator().hydrostatic_residual(x))
    assert k.hydrostatic_residual(x).abs().max() > 1.0


def test_none_does_nothing_to_any_state() -> None:
    k = PhysicsOperator(PhysicsConfig(physics="none"), [Channel("msl")], GRID)
    x = torch.full((2, 1, 32, 64), 1e5, requires_grad=True)
    for answer in (k.tendency(x), k.hydrostatic_residual(x), k.geostrophic_residual(x)):
        assert answer.square().mean().item() == 0.0
        assert not answer.requires_grad


def test_without_condensation_humidity_is_only_carried() -> None:
    x = weather()
    wet, dry = operator(), operator(condensation=False)
    q = [i for i, c in enumerate(CHANNELS) if c.variable == "q"]
    u = [i for i, c in enumerate(CHANNELS) if c.variable == "u"]
    assert (wet.tendency(x)[q] - dry.tendency(x)[q]).abs().max() > 1e-10
    assert torch.equal(wet.tendency(x)[u], dry.tendency(x)[u])


def test_the_filter_takes_out_what_products_fold_back() -> None:
    """Truncation 31, fraction 2/3: the tendency of t holds no wavenumber beyond 20; with fraction 1 it does."""
    harmonics = SphericalHarmonics(GRID, 31)
    x = weather()
    t = CHANNELS.index(Channel("t", 50_000.0))

    def tail(fraction: float) -> float:
        tendency = operator(filter_fraction=fraction, latitudes=(0.0, 90.0)).tendency(x)[t]
        return float(harmonics.power(harmonics.analysis(tendency))[21:].sum())

    assert tail(2 / 3) < 1e-12 * tail(1.0)


def test_channels_come_back_where_they_were() -> None:
    channels = (Channel("z", 5e4), Channel("u", 5e4), Channel("msl"), *(Channel(n, 5e4) for n in "tvq"))
    order = LevelChannels((*channels, *(Channel(n, 2e4) for n in "qzuvt")))
    values = torch.arange(11.0)[:, None, None] + torch.zeros(11, 2, 4)
    fields = order.take(values)
    assert isinstance(fields, LevelFields)
    assert fields.u[:, 0, 0].tolist() == [8.0, 1.0]  # from the top down
    assert fields.z[:, 0, 0].tolist() == [7.0, 0.0]
    assert order.put(fields)[:, 0, 0].tolist() == [0.0, 1.0, 0.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]


def test_fields_that_do_not_share_levels_are_refused() -> None:
    with pytest.raises(BadDataError, match="same levels"):
        operator(channels=CHANNELS[1:])
    with pytest.raises(BadDataError, match="q: 0"):
        operator(channels=tuple(c for c in CHANNELS if c.variable != "q"))


def test_a_level_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="no level 60000 Pa; choose among 10000, 20000"):
        operator(levels=(60_000.0,))


@pytest.mark.parametrize(
    "wrong",
    [{"physics": "half"}, {"latitudes": (60.0, 30.0)}, {"latitudes": (0.0, 91.0)}, {"equations": ()}, {"filter": 1.0}],
)
def test_a_wrong_configuration_is_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        PhysicsConfig(**wrong)
