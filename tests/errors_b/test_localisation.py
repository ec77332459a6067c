"""The localisation: closed form, 1 at distance zero, positive definite, α fields that have it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.errors_b.hybrid import AlphaTransform, Localisation
from phyda_cli.errors_b.localisation import TAIL, gaspari_cohn, localisation_spectrum, vertical_localisation
from phyda_cli.fields.state import Channel
from phyda_cli.grids.places import chord_distance, unit_vectors
from tests.support.background_error import CHANNELS, GRID


def on_the_sphere(spectrum: np.ndarray, angle: np.ndarray) -> np.ndarray:
    return np.polynomial.legendre.legval(np.cos(angle), (2 * np.arange(len(spectrum)) + 1) * spectrum)


@pytest.mark.parametrize("radius", [1000e3, 3000e3, 8000e3, 15000e3])
def test_the_spectrum_sums_to_the_taper(radius: float) -> None:
    angle = np.linspace(0, np.pi, 401)
    taper = gaspari_cohn(torch.from_numpy(angle * 2 * EARTH_RADIUS / radius)).numpy()
    for tail, tolerance in ((TAIL, 1.2 * TAIL), (1e-4, 2e-4)):
        spectrum = localisation_spectrum(radius, 400, tail=tail)
        assert (spectrum >= 0).all()
        assert on_the_sphere(spectrum, np.zeros(1))[0] == pytest.approx(1.0, abs=1e-12)
        np.testing.assert_allclose(on_the_sphere(spectrum, angle), taper, atol=tolerance)


def test_a_long_localisation_needs_few_wavenumbers_and_a_short_one_gets_those_there_are() -> None:
    assert len(localisation_spectrum(6000e3, 100)) < len(localisation_spectrum(3000e3, 100)) < 101
    short = localisation_spectrum(200e3, 20)
    assert len(short) == 21
    assert on_the_sphere(short, np.zeros(1))[0] == pytest.approx(1.0, abs=1e-12)


def test_vertical_localisation_is_the_taper_of_ln_p() -> None:
    found = vertical_localisation(np.array([50_000.0, 50_000.0 * np.e, 500_000.0]), 2.0)
    assert found[0, 0] == 1.0
    assert found[0, 1] == pytest.approx(5 / 24)  # half the cut-off radius
    assert found[0, 2] == 0.0


def test_products_of_alpha_have_the_localisation_of_their_places_and_levels() -> None:
    """Σ over the control vector of α at one place times α at all others: ρ_h ρ_v; single levels have the lowest's."""
    radius = 6000e3
    ones = torch.ones(1, len(CHANNELS), *GRID.shape, dtype=torch.float64)
    transform = AlphaTransform(GRID, CHANNELS, ones, Localisation(radius, 1.5))
    row, column = 11, 7
    place = torch.zeros(32, 16, len(CHANNELS), 1, dtype=torch.float64)
    t500 = CHANNELS.index(Channel("t", 50_000.0))
    place[column, row, t500] = 1.0
    found = transform.forward(transform.adjoint(place))[..., 0]
    here = unit_vectors(np.array([GRID.latitudes[row]]), np.array([GRID.longitudes[column]]))
    distance = chord_distance(unit_vectors(*GRID.coordinates), here).reshape(GRID.shape)
    horizontal = gaspari_cohn(torch.from_numpy(distance * 2 / radius))
    for index, channel in enumerate(CHANNELS):
        level = channel.level or 85_000.0
        vertical = float(gaspari_cohn(torch.tensor(abs(np.log(level / 50_000.0)) * 2 / 1.5)))
        torch.testing.assert_close(found[..., index].T, vertical * horizontal, rtol=0, atol=0.01)
    assert float(found[column, row, t500]) == pytest.approx(1.0, abs=1e-12)


def test_the_adjoint_is_the_transpose() -> None:
    generator = torch.Generator().manual_seed(3)
    drawn = torch.randn(3, len(CHANNELS), *GRID.shape, generator=generator, dtype=torch.float64)
    transform = AlphaTransform(GRID, CHANNELS, drawn, Localisation(4000e3, 1.0))
    v = torch.randn(transform.size, 2, generator=generator, dtype=torch.float64)
    x = transform.forward(v)
    y = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close((x * y).sum((0, 1, 2)), (v * transform.adjoint(y)).sum(0), rtol=1e-12, atol=0)
