"""Refractivity at a height: closed forms, levels of real occultations, its tangent by hand, and where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phyda_cli.constants import GRAVITY, R_DRY
from phyda_cli.fields.refractivity import COEFFICIENTS, refractivity
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.observations.table import Flag
from phyda_cli.operators.first_guess import first_guess, operator_of
from phyda_cli.operators.kind import Sites
from phyda_cli.operators.refractivity import Refractivity, common_levels
from phyda_cli.quality.checks import check_operator
from tests.support.heights import height_of_geopotential
from tests.support.observations import observations

GRID = LatLonGrid.equiangular(8, 16)
LEVELS = (100_000.0, 70_000.0, 40_000.0, 20_000.0)
REAL = (  # latitude, height, N; geopotential height, pressure, temperature and humidity below and above
    (83.07111, 6010.0, 147.669, (6010.0, 43990.0, 231.8, 1.1e-4), (6210.0, 42700.0, 230.0, 1e-4)),
    (83.03623, 10008.0, 81.421, (10010.0, 23970.0, 228.2, 0.0), (10209.0, 23260.0, 228.3, 0.0)),
    (83.00759, 15007.0, 38.903, (15003.0, 11310.0, 225.3, 0.0), (15202.0, 10970.0, 225.3, 0.0)),
    (-17.09591, 5926.0, 143.760, (5782.0, 50400.0, 269.3, 5e-5), (5981.0, 49140.0, 267.7, 8e-5)),
    (-16.94926, 10099.0, 93.278, (9962.0, 28590.0, 236.0, 1e-4), (10161.0, 27780.0, 234.4, 9e-5)),
    (-16.85621, 15067.0, 49.237, (14931.0, 13040.0, 203.7, 1e-5), (15130.0, 12610.0, 202.6, 0.0)),
    (-38.33984, 6090.0, 144.825, (5991.0, 47600.0, 255.1, 3e-4), (6190.0, 46340.0, 253.2, 2.9e-4)),
    (-38.17062, 10024.0, 92.776, (9978.0, 26980.0, 225.2, 4e-5), (10177.0, 26170.0, 224.0, 3e-5)),
    (-38.01172, 14942.0, 45.642, (14756.0, 12860.0, 214.4, 0.0), (14955.0, 12450.0, 213.5, 0.0)),
)
"""Levels of three occultations of KOMPSAT-5, 2018-04-15, with what was retrieved from them (pressures to 10 Pa)."""


def sites(latitude, height, below, above, name="bevis") -> Sites:
    nothing = np.full(np.size(height), np.nan)
    columns = (np.broadcast_to(np.asarray(c, float), nothing.shape).copy() for c in (latitude, below, above))
    place, lower, upper = columns
    known = {"height": np.asarray(height, float), "latitude": place, "below": lower, "above": upper}
    unknown = {column: nothing for column in Sites._fields if column not in ("coefficients", *known)}
    return Sites(**unknown, **known, coefficients=COEFFICIENTS[name])


def column(lapse: float, humidity: float = 0.0, levels=LEVELS, names=("z", "t", "q")) -> State:
    """Air in hydrostatic balance with 280 K at 1000 hPa and z = 0, a lapse rate [K per m2 s-2] and a uniform q."""
    exponent = R_DRY * lapse * (1.0 + (461.5250 / R_DRY - 1.0) * humidity)
    temperature = [280.0 * (p / 1e5) ** exponent for p in levels]
    heights = [(280.0 - t) / lapse for t in temperature]
    fields = {"z": heights, "t": temperature, "q": [humidity] * len(levels)}
    channels = tuple(Channel(name, p) for name in names for p in levels)
    values = torch.tensor([x for name in names for x in fields[name]], dtype=torch.float64)
    return State(values[:, None, None].expand(-1, *GRID.shape).clone(), channels, GRID, np.datetime64("2020-01-01"))


def seen(state: State, geopotential, latitude=12.0):
    geopotential = np.asarray(geopotential, float)
    heights = height_of_geopotential(geopotential, latitude)
    rows = observations("refractivity", np.zeros(heights.size), height=heights, latitude=latitude, pressure=np.nan)
    return rows, operator_of(state, rows).states(state.grid, state.channels)


@pytest.mark.parametrize("humidity", [0.0, 0.01])
def test_air_of_constant_lapse_rate_is_exact_at_every_height(humidity):
    """p = p₀ (T/T₀)^(1/(R_d α Γ)): the interpolation within layers is the hydrostatic one."""
    lapse = 6.5e-3 / GRAVITY
    state = column(lapse, humidity)
    heights = np.linspace(100.0, 100_000.0, 37)
    temperature = 280.0 - lapse * heights
    factor = 1.0 + (461.5250 / R_DRY - 1.0) * humidity
    pressure = 1e5 * (temperature / 280.0) ** (1.0 / (R_DRY * factor * lapse))
    expected = refractivity(pressure, temperature, np.full(37, humidity), COEFFICIENTS["bevis"])
    _, operator = seen(state, heights)
    assert operator.defined.all()
    np.testing.assert_allclose(operator(state.values), expected, rtol=1e-9)


def test_isothermal_air_falls_by_its_scale_height():
    state = column(1e-12)
    heights = np.array([1_000.0, 30_000.0, 90_000.0])
    _, operator = seen(state, heights)
    expected = 0.776 * 1e5 / 280.0 * np.exp(-heights / (R_DRY * 280.0))
    np.testing.assert_allclose(operator(state.values), expected, rtol=1e-6)


def test_levels_of_real_occultations_agree_with_what_was_measured():
    latitude, height, measured = (np.array([row[k] for row in REAL]) for k in (0, 1, 2))
    below, above = (np.array([row[k] for row in REAL]) for k in (3, 4))
    inputs = np.stack([below[:, 0] * GRAVITY, *below.T[2:], above[:, 0] * GRAVITY, *above.T[2:]])
    for name, mean in (("bevis", 0.0), ("rueger", 0.115)):
        found = Refractivity().value(inputs, sites(latitude, height, below[:, 1], above[:, 1], name))
        apart = 100.0 * (found / measured - 1.0)
        assert abs(apart.mean() - mean) < 0.03, name
        assert np.abs(apart - mean).max() < 0.12, name


def test_slopes_by_hand():
    """Half-way up in Φ: ∂N/∂T and ∂N/∂q of N(p, T, q) are shared by the levels; w moves by δr/8 of T_v,a/T_v,b − 1 = r,
    and p with it; a layer that rises as a whole takes its N along, Σ ∂N/∂z = −dN/dΦ.
    """
    below, above = (0.0, 285.0, 9e-3), (20_000.0, 275.0, 5e-3)
    inputs, seen_from = np.array([*below, *above])[:, None], height_of_geopotential([10_000.0], 45.0)
    slopes = Refractivity().slopes(inputs, sites(45.0, seen_from, 1e5, 79_000.0))[:, 0]
    pressure = 88_900.0
    vapour = 7e-3 * pressure / 0.62463
    of_air, of_vapour = -0.776 / 280.0**2, -2 * 3739.0 / 280.0**3 - 0.704 / 280.0**2
    assert slopes[1] + slopes[4] == pytest.approx(of_air * (pressure - vapour) + of_vapour * vapour, rel=4e-3)
    of_humidity = (3739.0 / 280.0**2 + (0.704 - 0.776) / 280.0) * pressure * 0.62198 / 0.62463**2
    assert slopes[2] + slopes[5] == pytest.approx(of_humidity, rel=4e-3)
    number = Refractivity().value(inputs, sites(45.0, seen_from, 1e5, 79_000.0))[0]
    assert slopes[4] - slopes[1] == pytest.approx(number * np.log(0.79) / 8.0 * 2.0 / 280.0, rel=0.05)
    raised = [Refractivity().value(inputs, sites(45.0, height_of_geopotential([h], 45.0), 1e5, 79_000.0))[0]
              for h in (9_999.0, 10_001.0)]  # fmt: skip
    assert slopes[0] + slopes[3] == pytest.approx(-(raised[1] - raised[0]) / 2.0, rel=1e-6)
    assert slopes[0] > 0 < slopes[3]


def test_only_levels_with_all_three_enclose_heights():
    state = column(6.5e-3 / GRAVITY)
    without = tuple(c for c in state.channels if c != Channel("q", 70_000.0))
    assert common_levels(without).tolist() == [100_000.0, 40_000.0, 20_000.0]
    _, operator = seen(state.select(without), [20_000.0, 90_000.0])
    made = operator.operator
    assert made.below.tolist() == [100_000.0, 40_000.0]
    assert made.above.tolist() == [40_000.0, 20_000.0]
    # the pressure of the place is the background's: linear in Φ in its logarithm
    own = state.select(without)
    z = [float(own.values[own.index(Channel("z", p)), 0, 0]) for p in (100_000.0, 40_000.0)]
    share = (20_000.0 - z[0]) / (z[1] - z[0])
    assert made.pressure[0] == pytest.approx(1e5 * 0.4**share, rel=1e-9)


def test_no_refractivity_outside_of_the_levels_or_without_z_t_and_q():
    state = column(6.5e-3 / GRAVITY)
    top = float(state.values[state.index(Channel("z", 20_000.0)), 0, 0])
    rows, operator = seen(state, [-50.0, 10.0, top - 10.0, top + 10.0])
    assert operator.defined.tolist() == [False, True, True, False]
    found = check_operator(rows, operator.defined, operator(state.values), state.channels)
    assert found.flag.tolist() == [Flag.DOMAIN, Flag.PASS, Flag.PASS, Flag.DOMAIN]
    assert found.reason[0].startswith("height -5 m is not between")
    dry = state.select(tuple(c for c in state.channels if c.variable == "z"))
    rows, operator = seen(dry, [10_000.0])
    found = check_operator(rows, operator.defined, operator(dry.values), dry.channels)
    assert found.flag.tolist() == [Flag.H_FAILED]
    assert found.reason[0] == "the background has no t and no q, of which refractivity is made"


def test_a_state_that_moves_the_height_out_of_its_layer_goes_on_with_it():
    """The layer is the background's: warmer air lifts the level above it, and H stays smooth."""
    state = column(6.5e-3 / GRAVITY)
    edge = float(state.values[state.index(Channel("z", 70_000.0)), 0, 0])
    _, operator = seen(state, [edge - 1.0])
    lower = state.values.clone()
    for number, channel in enumerate(state.channels):
        if channel.variable == "z":
            lower[number] -= 300.0
    shifted, _ = operator(lower)[0], None
    expected = seen(state, [edge + 299.0])[1](state.values)[0]
    assert shifted == pytest.approx(expected, rel=1e-5)


def test_the_constants_are_those_that_are_asked_for():
    state = column(6.5e-3 / GRAVITY)
    rows, _ = seen(state, [40_000.0])
    bevis, rueger = (first_guess(state, rows, {}, coefficients=COEFFICIENTS[name])(state.values)
                     for name in ("bevis", "rueger"))  # fmt: skip
    assert float(rueger[0] / bevis[0]) == pytest.approx(77.689 / 77.60, rel=1e-12)
