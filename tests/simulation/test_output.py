"""The output's fields of made-up model states whose values on the output grid are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.simulation.config import preset

pytestmark = [pytest.mark.simulate, pytest.mark.filterwarnings("default")]
CONFIG = preset("core").model_copy(update={"nature_truncation": 31, "forecast_truncation": 31})


def test_the_near_surface_air_comes_onto_the_output_grid():
    pytest.importorskip("jcm.model", reason="phyda[simulate] is not installed", exc_type=ImportError)
    from phyda_cli.simulation.model import Saved, SpectralModel
    from phyda_cli.simulation.regrid import Output

    model = SpectralModel(31, 30, 31)
    latitude = np.asarray(model.grid.latitudes)[None, :]
    longitude = np.asarray(model.grid.longitudes)[:, None]
    wave = np.cos(latitude) * np.cos(longitude)
    t2m, logarithm = 280.0 + 10.0 * wave, np.log(95_000.0) + 0.1 * np.sin(latitude) + 0.0 * longitude
    rest = model.model.dycore.initial_state(None)
    _, _, _, saved = model.stepper(6, 6)(rest, model.first_carry, 0, 0)
    dynamics = saved.dynamics.replace(normalized_surface_pressure=np.exp(logarithm)[None] / 1e5)
    wind = (12.0 * np.cos(latitude) + 0.0 * longitude)[None]  # solid-body rotation
    fields = Output(model, CONFIG).fields(Saved(dynamics, {"t2m": t2m[None], "u10": wind, "v10": 0.0 * wind}))
    rows = np.radians(-90.0 + (np.arange(64) + 0.5) * 180.0 / 64)[:, None]
    columns = np.radians(np.arange(128) * 360.0 / 128)[None, :]
    assert fields["u"].shape == (1, 13, 64, 128)
    np.testing.assert_allclose(fields["t2m"][0], 280.0 + 10.0 * np.cos(rows) * np.cos(columns), atol=2e-3)
    np.testing.assert_allclose(fields["sp"][0], 95_000.0 * np.exp(0.1 * np.sin(rows)) + 0.0 * columns, rtol=2e-5)
    np.testing.assert_allclose(fields["u10"][0], 12.0 * np.cos(rows) + 0.0 * columns, atol=2e-3)
    np.testing.assert_allclose(fields["v10"][0], 0.0, atol=2e-3)
