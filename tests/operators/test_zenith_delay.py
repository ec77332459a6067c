"""Zenith total delay and wind speed: closed forms, the integral of refractivity over height, and what they need."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phyda_cli.constants import GRAVITY, R_DRY, R_VAPOUR
from phyda_cli.fields.column import moist_mean_weights
from phyda_cli.fields.geometric_height import gravity_at
from phyda_cli.fields.refractivity import COEFFICIENTS, refractivity
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.observations.settings import Surface
from phyda_cli.observations.table import Flag
from phyda_cli.operators.first_guess import operator_of
from phyda_cli.operators.operator import Operator
from phyda_cli.quality.checks import check_operator, check_surface
from tests.support.heights import height_of_geopotential
from tests.support.observations import observations

GRID = LatLonGrid.equiangular(8, 16)
LEVELS = tuple(100.0 * p for p in (1000, 975, 950, 925, 900, 850, 800, 700, 600, 500, 400, 300, 250, 200, 150, 100, 50))
TIME = np.datetime64("2020-01-01")


def state(temperature, humidity, surface=101_325.0, ground=0.0) -> tuple[State, torch.Tensor]:
    """Air with T(p) and q(p) above a ground at a height [m], and that ground."""
    fields = {("t", p): temperature(p) for p in LEVELS} | {("q", p): humidity(p) for p in LEVELS}
    fields |= {("sp", None): surface, ("t2m", None): temperature(surface)}
    values = torch.tensor(list(fields.values()), dtype=torch.float64)[:, None, None].expand(-1, *GRID.shape)
    made = State(values.clone(), tuple(Channel(*key) for key in fields), GRID, TIME)
    return made, torch.full(GRID.shape, float(ground), dtype=torch.float64)


def delay(made: State, orography: torch.Tensor, elevation=0.0, latitude=45.0) -> float:
    rows = observations("ztd", [2.4], pressure=np.nan, elevation=elevation, latitude=latitude)
    operator = operator_of(made, rows, orography).states(made.grid, made.channels)
    assert operator.defined.all()
    return float(operator(made.values)[0])


def moist(p: float) -> float:
    return 0.012 * (p / 1e5) ** 3.3


def warm(p: float) -> float:
    return max(290.0 * (p / 1e5) ** 0.19, 216.65)


def test_dry_air_is_its_weight():
    """k₁ R_d p_s/g_m: 2.3071 m at 1013.25 hPa with g of 45° at 7.3 km."""
    found = delay(*state(warm, lambda _: 0.0))
    radius = 6_378_137.0 / (1.0 + 3.449786506841e-3)  # of gravity at 45°
    gravity = 9.8061977695 * (radius / (radius + 7300.0)) ** 2
    assert found == pytest.approx(0.776e-6 * R_DRY * 101_325.0 / gravity, rel=1e-9)
    assert found == pytest.approx(2.3071, abs=2e-4)
    high = delay(*state(warm, lambda _: 0.0, surface=79_500.0, ground=2000.0), elevation=2000.0)
    above = 9.8061977695 * (radius / (radius + 7300.0 + 0.9 * 2000.0)) ** 2
    assert high == pytest.approx(0.776e-6 * R_DRY * 79_500.0 / above, rel=1e-9)


def test_isothermal_air_of_uniform_humidity_has_the_closed_form():
    """W by `column_weights`, here (p_s − 50 hPa/(2 ln 2))/g: q goes from 50 hPa to nothing at 25 hPa."""
    temperature, humidity = 270.0, 2e-3
    made, ground = state(lambda _: temperature, lambda _: humidity)
    water = humidity * (101_325.0 - 5_000.0 / (2.0 * np.log(2.0))) / GRAVITY
    wet = 1e-6 * R_VAPOUR * (0.704 - 0.776 * R_DRY / R_VAPOUR + 3739.0 / temperature) * water
    assert delay(made, ground) - delay(*state(lambda _: temperature, lambda _: 0.0)) == pytest.approx(wet, rel=1e-4)


@pytest.mark.parametrize("latitude", [0.0, 45.0, 80.0])
def test_it_is_the_integral_of_refractivity_over_height(latitude):
    """10⁻⁶ ∫ N dz along geometric height of hydrostatic air to 0.01 hPa, within 3 mm, of which the levels make 2."""
    pressure = np.geomspace(101_325.0, 1.0, 40_000)
    temperature, humidity = np.vectorize(warm)(pressure), moist(pressure)
    virtual = temperature * (1.0 + (R_VAPOUR / R_DRY - 1.0) * humidity)
    step = -np.diff(np.log(pressure)) * R_DRY * 0.5 * (virtual[1:] + virtual[:-1])
    height = height_of_geopotential(np.append(0.0, np.cumsum(step)), latitude)
    number = refractivity(pressure, temperature, humidity, COEFFICIENTS["bevis"])
    expected = 1e-6 * float(np.sum(0.5 * (number[1:] + number[:-1]) * np.diff(height)))
    assert delay(*state(warm, moist), latitude=latitude) == pytest.approx(expected, abs=3e-3)


def test_a_station_above_the_ground_has_less_air_above_it():
    """400 m higher 46 hPa less: 0.107 m, and what water is between: 4.6 kg m-2 of it, some 3 cm."""
    made, ground = state(warm, moist)
    low, high = delay(made, ground), delay(made, ground, elevation=400.0)
    dry = delay(*state(warm, lambda _: 0.0)) - delay(*state(warm, lambda _: 0.0), elevation=400.0)
    assert dry == pytest.approx(0.776e-6 * R_DRY * 4_690.0 / 9.784, rel=0.02)
    assert low - high - dry == pytest.approx(0.0135 * 4.69e3 / 9.81 * 6.5e-3, rel=0.2)


def test_the_mean_temperature_is_where_the_water_is():
    surface = torch.tensor([101_325.0], dtype=torch.float64)
    weights = moist_mean_weights(LEVELS, surface)[:, 0].numpy()
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    levels = np.array(LEVELS)
    # ∫ p⁴ dp/∫ p³ dp = 4/5 p_s of a field equal to p, to what is linear in ln p between the levels and constant below
    assert float(weights @ levels) == pytest.approx(0.8 * 101_325.0, rel=0.01)


def test_it_needs_pressure_temperature_and_humidity():
    made, ground = state(warm, moist)
    rows = observations("ztd", [2.4], pressure=np.nan, elevation=0.0)
    for lacking, reason in (("q", "no q"), ("t", "no t"), ("sp", "no sp")):
        part = made.select(tuple(c for c in made.channels if c.variable != lacking))
        operator = operator_of(part, rows, ground).states(part.grid, part.channels)
        found = check_operator(rows, operator.defined, operator(part.values), part.channels)
        assert found.flag.tolist() == [Flag.H_FAILED]
        assert found.reason[0] == f"the background has {reason}, of which ztd is made"
    above = made.select(tuple(c for c in made.channels if c.level is None or c.level < 80_000.0))
    assert not operator_of(above, rows, ground).states(above.grid, above.channels).defined.any()


def test_wind_speed_and_its_slopes_by_hand():
    channels = (Channel("u10"), Channel("v10"))
    values = torch.tensor([3.0, -4.0], dtype=torch.float64)[:, None, None].expand(-1, *GRID.shape).clone()
    names = np.array(["ws10"], dtype=object)
    operator = Operator.at(names, np.array([12.0]), np.array([30.0]), np.array([np.nan])).states(GRID, channels)
    assert operator(values)[0] == pytest.approx(5.0)
    rows = operator.linearised(values).increments(GRID, channels)
    step = torch.tensor([0.1, 0.2], dtype=torch.float64)[:, None, None].expand(-1, *GRID.shape)
    assert float(rows(step)[0]) == pytest.approx(0.6 * 0.1 - 0.8 * 0.2)
    calm = operator.linearised(torch.zeros_like(values)).increments(GRID, channels)
    assert float(calm(step)[0]) == 0.0


def test_gravity_falls_with_height():
    assert float(gravity_at(0.0, 45.0)) == pytest.approx(9.8061977695, rel=1e-9)
    part = 1e4 / 6_378_137.0
    series = 9.8061977695 * (1.0 - 2.0 * part * (1.0 + 0.0033528 + 0.0034498 - 0.0033528) + 3.0 * part**2)
    assert float(gravity_at(1e4, 45.0)) == pytest.approx(series, rel=1e-7)


def test_other_constants_count():
    made, ground = state(warm, moist)
    rows = observations("ztd", [2.4], pressure=np.nan, elevation=0.0)
    bevis, rueger = (
        operator_of(made, rows, ground, coefficients=COEFFICIENTS[name]).states(made.grid, made.channels)(made.values)
        for name in ("bevis", "rueger")
    )
    assert 1.0012 < float(rueger[0] / bevis[0]) < 1.0016


def test_a_delay_hangs_on_the_stations_height_as_pressure_does():
    """Between grid points of different heights the pressure is that of `sp`; without a height it is refused."""
    made, _ = state(warm, moist)
    ground = torch.linspace(0.0, 1500.0, GRID.shape[1], dtype=torch.float64).expand(*GRID.shape).clone()
    values = made.values.clone()
    place = made.index(Channel("sp"))
    values[place] = 101_325.0 * (1.0 - 6.5e-3 * ground / 288.15) ** 5.2559
    sloping = State(values, made.channels, made.grid, made.time)
    rows = observations(["sp", "ztd"], [9e4, 2.2], pressure=np.nan, elevation=700.0, latitude=12.0, longitude=158.0)
    relief = operator_of(sloping, rows, ground).relief
    assert relief[0] == relief[1] != 1.0
    unknown = observations(["ztd", "msl"], [2.2, 1e5], pressure=np.nan)
    found = check_surface(unknown, np.full(2, np.nan), Surface())
    assert found.flag.tolist() == [Flag.H_FAILED, Flag.PASS]
