"""The humidity control variable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.errors_b.humidity import humidity_size
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.thermodynamics import saturation_specific_humidity
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.methods.base import Case
from phyda_cli.methods.threedvar import ThreeDVar
from tests.support.background_error import CHANNELS, GRID, small_statistics, zero_time
from tests.support.observations import make_departures

FINE = LatLonGrid.with_poles(37, 72)
HELD = (Channel("t", 50_000.0), Channel("q", 50_000.0))


def background(relative: float, temperature: float = 260.0) -> State:
    """One temperature and one relative humidity everywhere."""
    e = saturation_specific_humidity(torch.tensor(temperature, dtype=torch.float64), 50_000.0)
    values = torch.stack([torch.full(FINE.shape, temperature), torch.full(FINE.shape, float(e) * relative)])
    return State(values.double(), HELD, FINE, zero_time())


def size_at_500(state: State) -> float:
    size = humidity_size(state, GRID, CHANNELS)[CHANNELS.index(Channel("q", 50_000.0))]
    assert float(size.std()) < 1e-12
    return float(size.mean())


def test_a_unit_is_the_saturation_times_the_room_that_humidity_has() -> None:
    """r = ½: f² = 6/4. RH is e/e_s and q/q_s is not quite that: 0.2 % here."""
    saturated = float(saturation_specific_humidity(torch.tensor(260.0, dtype=torch.float64), 50_000.0))
    assert size_at_500(background(0.5)) == pytest.approx(saturated * 1.5**0.5, rel=2e-3)


def test_dry_and_saturated_air_have_little_room() -> None:
    half = size_at_500(background(0.5))
    for relative in (0.0, 1.0, 1.2):
        assert size_at_500(background(relative)) == pytest.approx(half * (0.15 / 1.5) ** 0.5, rel=1e-2)
    assert size_at_500(background(0.3)) == pytest.approx(size_at_500(background(0.7)), rel=5e-3)


def test_other_channels_stay_what_they_are() -> None:
    size = humidity_size(background(0.5), GRID, CHANNELS)
    assert bool((size[[c.variable != "q" for c in CHANNELS]] == 1.0).all())


def test_without_temperature_the_standard_atmosphere_stands_for_it() -> None:
    dry = replace(background(0.5), values=background(0.5).values[1:], channels=HELD[1:])
    standard = float(saturation_specific_humidity(torch.tensor(252.0, dtype=torch.float64), 50_000.0))
    assert size_at_500(dry) < 2 * standard
    nothing = State(torch.zeros(1, *FINE.shape, dtype=torch.float64), (Channel("msl"),), FINE, zero_time())
    assert size_at_500(nothing) == pytest.approx(standard * 1.5**0.5, rel=0.02)


def test_the_analysis_of_one_humidity_is_the_scalar_one() -> None:
    """δ at the observation = σ²/(σ² + σ_o²) d, with σ = S σ_x there; the spread where nothing is seen is S σ_x."""
    state = background(0.8, 270.0)
    method = ThreeDVar(replace(small_statistics(), relative_humidity=True), tolerance=1e-10)
    departures = make_departures([("q", 50_000.0, 50.625, 90.0, 3e-4, 1e-4)])
    sigma = float(method.background_error_at(departures.operator, state)[0])
    size = humidity_size(state, GRID, CHANNELS)
    place = CHANNELS.index(Channel("q", 50_000.0))
    row = small_statistics().sigma[place] * size[place, :, 0]
    assert sigma == pytest.approx(float(np.interp(50.625, GRID.latitudes, row.numpy())), rel=1e-9)
    found = method.increments([Case(state, departures)])[0].at(departures.operator)[0]
    assert found == pytest.approx(3e-4 * sigma**2 / (sigma**2 + 1e-8), rel=1e-3)
    together = method.increments([Case(state, departures), Case(background(0.1, 250.0), departures)])
    assert together[0].at(departures.operator)[0] == pytest.approx(found, rel=1e-6)
    assert together[1].at(departures.operator)[0] < 0.5 * found


def test_without_observations_too_the_members_have_the_humidity_of_the_background() -> None:
    """What a dry run asks for: draws of q have the spread S σ_x, so that those of two backgrounds are as their S."""
    method = ThreeDVar(replace(small_statistics(), relative_humidity=True), members=100)
    moist, dry = (method.unobserved(background(0.5, temperature)) for temperature in (280.0, 250.0))
    place = CHANNELS.index(Channel("q", 50_000.0))
    assert moist.members is not None
    assert dry.members is not None
    assert moist.spread is not None
    drawn, stated = moist.members[:, place], moist.spread.values[place]
    assert float(drawn.square().mean() / stated.square().mean()) == pytest.approx(1.0, abs=0.1)
    sizes = [humidity_size(background(0.5, temperature), GRID, CHANNELS)[place] for temperature in (280.0, 250.0)]
    torch.testing.assert_close(drawn / sizes[0], dry.members[:, place] / sizes[1], rtol=1e-9, atol=1e-12)
    other = CHANNELS.index(Channel("t", 50_000.0))
    assert torch.equal(moist.members[:, other], dry.members[:, other])


def test_without_backgrounds_there_is_one_clear_line() -> None:
    method = ThreeDVar(replace(small_statistics(), relative_humidity=True))
    with pytest.raises(BadDataError, match="need the backgrounds"):
        method.minimise([make_departures([("t", 50_000.0, 0.0, 0.0, 1.0, 1.0)])])
