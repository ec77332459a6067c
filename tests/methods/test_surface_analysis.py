"""The analysis near the ground: closed forms at single stations, what the departures tell, invariances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors_b.local_size import LocalSize
from phyda_cli.errors_b.surface_structure import Detail, GroundPlaces, Structure
from phyda_cli.fields.standard_atmosphere import SEA_LEVEL_PRESSURE, standard_pressure
from phyda_cli.fields.state import Channel, State
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.methods.base import Departures
from phyda_cli.methods.surface import QUANTITIES, SurfaceAnalysis
from phyda_cli.methods.surface_fit import GroundError, Sample, _size, fitted
from phyda_cli.operators.operator import Operator

GRID = LatLonGrid.equiangular(18, 36)
CHANNELS = tuple(Channel(name) for name in ("t2m", "d2m", "u10", "v10", "msl", "sp"))
FLAT = torch.zeros(GRID.shape, dtype=torch.float64)
POINT = 250
SIZES = (280.0, 275.0, 3.0, 1.0, 1.0e5, 9.0e4)


def background() -> State:
    values = torch.tensor(SIZES, dtype=torch.float64)[:, None, None].expand(-1, *GRID.shape).clone()
    return State(values, CHANNELS, GRID, np.datetime64("2020-01-01T00", "ns"))


def method(**errors: GroundError) -> SurfaceAnalysis:
    usual = {name: quantity.usual for name, quantity in QUANTITIES.items()}
    return SurfaceAnalysis(GRID, CHANNELS, FLAT, FLAT + 1.0, errors=usual | errors)


def station(variable: str, departure: float, error: float, *, height: float = 0.0, land: float = 1.0) -> Departures:
    """One at a grid point, whose ground is at sea level and land."""
    latitude, longitude = (x[[POINT]] for x in GRID.coordinates)
    operator = Operator.at(
        np.array([variable], dtype=object), latitude, longitude, np.array([np.nan]),
        surface_pressure=np.array([SEA_LEVEL_PRESSURE]), difference=np.array([height]), height=np.array([height]),
        land=np.array([land]),
    )  # fmt: skip
    return Departures(operator, np.array([departure]), np.array([error]))


def at_point(state: State, variable: str) -> float:
    return float(state.values[state.index(Channel(variable))].reshape(-1)[POINT])


def test_a_station_at_a_grid_point():
    """δ = σ_b²/(σ_b² + σ_o²) d, σ_a² = σ_b² σ_o²/(σ_b² + σ_o²)."""
    made = method(temperature=GroundError(2.0, Structure(100e3))).increment(background(), station("t2m", 3.0, 1.0))
    assert at_point(made.mean, "t2m") == pytest.approx(3.0 * 4.0 / 5.0)
    assert at_point(made.spread, "t2m") == pytest.approx(np.sqrt(4.0 / 5.0))
    others = [i for i, channel in enumerate(CHANNELS) if channel.variable != "t2m"]
    assert not made.mean.values[others].any()
    assert at_point(made.spread, "d2m") == pytest.approx(QUANTITIES["dew point"].usual.sigma)


def test_height_and_land_make_an_observation_worth_less():
    """σ_o² + (ρ_h δ)² + (ρ_l Δl)², and of the correlation the factors of height and land."""
    error = GroundError(2.0, Structure(100e3, 600.0, 0.5))
    made = method(temperature=error).increment(background(), station("t2m", 3.0, 1.0, height=400.0, land=0.0))
    quantity = QUANTITIES["temperature"]
    rho = np.exp(-0.5 * (400.0 / 600.0) ** 2 - 0.5 / 0.25)
    variance = 1.0 + (quantity.height * 400.0) ** 2 + quantity.land**2
    assert at_point(made.mean, "t2m") == pytest.approx(rho * 3.0 * 4.0 / (4.0 + variance))


def test_pressure_is_one_field_whatever_the_height_of_the_barometer():
    """A station at 1500 m with d ln p = 0.002 moves msl and sp by the same part as one at sea level."""
    error = GroundError(2e-3, Structure(300e3))
    part = 0.002 * 0.8
    for height in (0.0, 1500.0):
        pressure = float(standard_pressure(height))
        rows = station("sp", 0.002 * pressure, 1e-3 * pressure, height=height)
        quantity = QUANTITIES["pressure"]._replace(height=0.0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(QUANTITIES, "pressure", quantity)
            made = method(pressure=error).increment(background(), rows)
        assert at_point(made.mean, "msl") == pytest.approx(part * SEA_LEVEL_PRESSURE, rel=1e-6)
        assert at_point(made.mean, "sp") == pytest.approx(part * 9.0e4, rel=1e-6)


def test_what_others_say_is_in_si_and_mute_ones_say_nothing():
    one = station("t2m", 3.0, 1.0).operator
    operator = Operator.at(
        np.array(["t2m", "t2m"], dtype=object), *(np.repeat(x, 2) for x in (one.latitude, one.longitude, one.pressure)),
        surface_pressure=np.full(2, SEA_LEVEL_PRESSURE), difference=np.zeros(2), height=np.zeros(2), land=np.ones(2),
    )  # fmt: skip
    rows = Departures(operator, np.array([3.0, 1.0]), np.ones(2))
    analysis, everyone = method(temperature=GroundError(2.0, Structure(100e3))), np.ones(2, dtype=bool)
    found = analysis.predicted(rows, everyone, everyone)
    np.testing.assert_allclose(found.residual, [3.0 - 0.8, 1.0 - 2.4])
    np.testing.assert_allclose(found.expected, np.sqrt(4.0 + 1.0 - 16.0 / 5.0))
    assert found.count.tolist() == [1, 1]
    alone = analysis.predicted(rows, everyone, np.array([True, False]))
    assert alone.residual[0] == pytest.approx(3.0, abs=1e-4)
    assert alone.residual[1] == pytest.approx(1.0 - 2.4, abs=1e-4)
    assert alone.expected[1] == pytest.approx(np.sqrt(5.0 - 16.0 / 5.0), rel=1e-4)
    assert alone.count.tolist() == [0, 1]


def drawn(error: GroundError, sigma_o: float, n: int = 700) -> Sample:
    """Departures with the covariance of a background error and independent observation errors."""
    rng = np.random.default_rng(11)
    places = GroundPlaces.at(rng.uniform(45, 55, n), rng.uniform(0, 15, n), rng.uniform(0, 500, n), None)
    covariance = error.sigma**2 * error.structure.correlation(places, places).numpy()
    lower = np.linalg.cholesky(covariance + sigma_o**2 * np.eye(n))
    return Sample(places, lower @ rng.normal(size=n), np.ones(n))


def apart(error: GroundError, distance: float) -> float:
    """½ of the mean square difference of errors so far [m] apart, σ² (1 − ρ): what departures within reach can tell."""
    places = GroundPlaces.at(np.array([0.0, np.degrees(distance / EARTH_RADIUS)]), np.zeros(2), None, None)
    return float(error.sigma**2 * (1.0 - error.structure.correlation(places, places)[0, 1]))


def test_departures_tell_size_length_and_observation_error():
    truth = GroundError(3.0, Structure(200e3, 600.0))
    usual = GroundError(1.5, Structure(100e3, 600.0, detail=Detail(0.2, 50e3, 300.0)))
    sample = drawn(truth, sigma_o=1.0)
    spoiled = sample.departure.copy()
    spoiled[::50] += 60.0
    for one in (sample, replace(sample, departure=spoiled)):
        found = fitted(usual, [one])
        assert found.structure.length == truth.structure.length
        assert found.structure.detail.part <= 0.05
        assert apart(found, 100e3) == pytest.approx(apart(truth, 100e3), rel=0.3)
        assert found.factor == pytest.approx(1.0, rel=0.3)


def test_departures_tell_detail_from_weather():
    """40 % of the variance is detail of 50 km: one term for both cannot be right near and far."""
    structure = Structure(400e3, 2000.0, detail=Detail(0.4, 50e3, 300.0))
    truth = GroundError(3.0, structure)
    sample = drawn(truth, sigma_o=0.5, n=1200)
    found = fitted(QUANTITIES["temperature"].usual, [sample])
    assert found.structure.detail.part >= 0.2
    for distance in (30e3, 100e3):
        assert apart(found, distance) == pytest.approx(apart(truth, distance), rel=0.3)


def test_the_size_here_and_there_is_that_of_the_place():
    """Errors twice as large in the west than in the east: s is √(8/5) and √(2/5), since 1 is that of both."""
    sample = drawn(GroundError(3.0, Structure(100e3)), sigma_o=1.0, n=1000)
    position = sample.places.position.numpy()
    longitude = np.degrees(np.arctan2(position[:, 1], position[:, 0]))
    twice = replace(sample, departure=np.where(longitude < 7.5, 2.0, 1.0) * sample.departure)
    found = fitted(GroundError(1.5, Structure(100e3, detail=Detail(0.0, 50e3))), [twice])
    west, east = found.size(np.array([50.0, 50.0]), np.array([2.0, 13.0]))
    assert west == pytest.approx(np.sqrt(8 / 5), rel=0.15)
    assert east == pytest.approx(np.sqrt(2 / 5), rel=0.15)
    assert found.size(np.array([-50.0]), np.array([0.0]))[0] == 1.0


def test_few_departures_tell_the_size_alone():
    usual = GroundError(1.5, Structure(100e3, 600.0))
    sample = drawn(GroundError(3.0, Structure(30e3)), sigma_o=1.0, n=150)
    found = fitted(usual, [sample])
    assert found.structure == usual.structure
    assert found.sigma == pytest.approx(3.0, rel=0.25)
    few = Sample(sample.places.take(torch.arange(20)), sample.departure[:20], sample.error[:20])
    assert fitted(usual, [few]).sigma == usual.sigma


def test_the_order_of_rows_and_a_turn_of_the_globe_do_not_matter():
    rng = np.random.default_rng(2)
    n = 40
    names = rng.choice(np.array(["t2m", "u10", "v10", "sp", "msl"], dtype=object), n)
    latitude, longitude = rng.uniform(-80, 80, n), rng.uniform(0, 360, n)

    def analysed(order, turn):
        operator = Operator.at(
            names, latitude, longitude + turn, np.full(n, np.nan), height=np.zeros(n), difference=np.zeros(n),
            surface_pressure=np.full(n, 1e5), land=np.ones(n),
        )  # fmt: skip
        rows = Departures(operator, np.sin(np.arange(n)), np.full(n, 1.0))
        return method().increment(background(), rows.take(order)).mean.values

    first = analysed(np.arange(n), 0.0)
    assert first.abs().max() > 0.3
    torch.testing.assert_close(analysed(rng.permutation(n), 0.0), first, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        analysed(np.arange(n), 30.0), first.roll(3, -1), rtol=0, atol=5e-3
    )  # blocks end where ρ is 0.3 %


def test_without_observations_it_is_the_background_error():
    nothing = method().unobserved(background())
    assert not nothing.mean.values.any()
    assert at_point(nothing.spread, "sp") == pytest.approx(QUANTITIES["pressure"].usual.sigma * 9.0e4)


def stations(names, departures, latitude, **known) -> Departures:
    """Several on the meridian of Greenwich, at sea level on land unless something else is known."""
    n = len(names)
    usual = {"height": np.zeros(n), "difference": np.zeros(n), "surface_pressure": np.full(n, 1e5), "land": np.ones(n)}
    operator = Operator.at(
        np.array(names, dtype=object), np.asarray(latitude), np.zeros(n), np.full(n, np.nan), **usual | known
    )
    return Departures(operator, np.asarray(departures, dtype=float), np.ones(n))


def test_components_of_the_wind_at_the_same_places_stay_apart():
    """Solved together, as if alone."""
    rows = stations(["u10", "v10"] * 3, [1.0, -2.0, 0.5, 4.0, 2.0, 1.0], [15.0, 15.0, 25.0, 25.0, 35.0, 35.0])
    both = method().increment(background(), rows)
    for name in ("u10", "v10"):
        alone = method().increment(background(), rows.take(rows.variable == name))
        own = CHANNELS.index(Channel(name))
        assert alone.mean.values[own].abs().max() > 0.5
        torch.testing.assert_close(both.mean.values[own], alone.mean.values[own])


def test_the_size_of_the_place_is_in_spread_and_prediction_but_not_in_the_analysis():
    names, latitude = ["t2m"] * 3, [24.0, 25.0, 26.0]
    rows = stations(names, [1.0, 2.0, 4.0], latitude)
    position = GroundPlaces.at(np.full(5, 25.0), np.zeros(5), None, None).position.numpy()
    plain = GroundError(2.0, Structure(300e3))
    wide = replace(plain, local=LocalSize(position, np.full(5, 9.0)))
    one, other = (method(temperature=error).increment(background(), rows) for error in (plain, wide))
    torch.testing.assert_close(one.mean.values, other.mean.values)
    size = torch.from_numpy(wide.size(*GRID.coordinates)).reshape(GRID.shape)
    assert size.max() > 1.4
    torch.testing.assert_close(other.spread.values[0], one.spread.values[0] * size)
    everyone = np.ones(3, dtype=bool)
    said, wider = (method(temperature=error).predicted(rows, everyone, everyone) for error in (plain, wide))
    np.testing.assert_allclose(wider.residual, said.residual)
    np.testing.assert_allclose(wider.expected, said.expected * wide.size(np.array(latitude), np.zeros(3)))


def test_neighbours_count_within_a_correlation_length_and_when_they_judge():
    rows = stations(["t2m"] * 4, [1.0, 2.0, 1.0, 1.0], [10.0, 10.5, 10.8, 40.0])  # 0, 56, 89 and 3336 km
    analysis, everyone = method(temperature=GroundError(2.0, Structure(60e3))), np.ones(4, dtype=bool)
    assert analysis.predicted(rows, everyone, everyone).count.tolist() == [1, 2, 1, 0]
    assert analysis.predicted(rows, everyone, np.array([True, False, True, True])).count.tolist() == [0, 2, 0, 0]


def test_pressure_of_a_station_without_a_height_needs_a_surface_pressure():
    rows = stations(["sp", "sp"], [100.0, 100.0], [10.0, 60.0], height=np.array([0.0, np.nan]))
    everything = method()
    assert everything.predicts(rows.operator).tolist() == [True, True]
    reduced = replace(everything, channels=tuple(c for c in CHANNELS if c.variable != "sp"))
    assert reduced.predicts(rows.operator).tolist() == [True, False]
    without = replace(everything, channels=(Channel("t2m"),))
    assert not without.predicts(rows.operator).any()


def test_gross_errors_are_told_by_the_larger_of_background_error_and_departures():
    rows = stations(["t2m", "u10"], [1.0, 1.0], [10.0, 10.0])
    usual = QUANTITIES["temperature"].usual
    for error, expected in ((usual, usual.sigma), (replace(usual, departure=6.0), 6.0)):
        found = method(temperature=error).background_error_at(rows.operator, background())
        np.testing.assert_allclose(found, [expected, QUANTITIES["wind"].usual.sigma])


def test_the_size_of_errors_leaves_out_what_is_beyond_four_of_it():
    """2 of 1000 normal errors, and still 2 where fifty of fifteen times that size are among them."""
    square = 4.0 * np.random.default_rng(3).standard_normal(1000) ** 2
    assert _size(square) == pytest.approx(2.0, rel=0.05)
    assert _size(np.append(square, np.full(50, 900.0))) == pytest.approx(2.0, rel=0.06)
    assert _size(np.zeros(10)) == 0.0
