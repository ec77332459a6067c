from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from phyda_cli.cli.app import main
from phyda_cli.preparation.store import open_store

LEVELS = [925.0, 850.0, 700.0, 500.0, 300.0, 250.0, 200.0, 100.0]


def write(path, offset: float, *, forecast: bool):
    """Winds over 10 days, 6 h apart, on a coarse grid; forecasts lie `offset` off and start 6 h before their time."""
    rows, columns, steps = 8, 16, 40
    time = np.datetime64("2020-01-01T00", "ns") + np.arange(steps) * np.timedelta64(6, "h")
    u = np.random.default_rng(0).normal(0.0, 5.0, (steps, len(LEVELS), rows, columns)).astype(np.float32) + offset
    dims = ("time", "level", "latitude", "longitude")
    attrs = {"units": "m s-1"}
    start = {"forecast_reference_time": ("time", time - np.timedelta64(6, "h"))} if forecast else {}
    dataset = xr.Dataset(
        {"u": (dims, u, attrs), "v": (dims, u[::-1].copy(), attrs)},
        {
            "time": ("time", time, {"standard_name": "time"}),
            "level": ("level", LEVELS, {"units": "hPa", "standard_name": "air_pressure"}),
            "latitude": ("latitude", np.linspace(78.75, -78.75, rows), {"units": "degrees_north"}),
            "longitude": ("longitude", np.arange(columns) * 22.5, {"units": "degrees_east"}),
            **start,
        },
    )
    if forecast:
        dataset["forecast_reference_time"].attrs["standard_name"] = "forecast_reference_time"
    dataset.to_netcdf(path)
    return str(path)


@pytest.fixture
def words(tmp_path):
    analyses = write(tmp_path / "a.nc", 0.0, forecast=False)
    forecasts = write(tmp_path / "f.nc", 2.0, forecast=True)
    return ["prepare", "--analysis", analyses, "--forecast", forecasts, "--out", str(tmp_path / "s.zarr")]


def test_files_become_a_store(words, tmp_path, capsys):
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    store = open_store(tmp_path / "s.zarr")
    assert store.leads == (6,)
    assert document["counts"]["pairs_train"] == store.pair_index("train").size > 0
    assert store.sigma_b()[0, 10] == pytest.approx(2.0, abs=1e-4)
    assert main(words) == 73
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


def test_refusals(words, tmp_path, capsys):
    assert main(["prepare", "--out", str(tmp_path / "s.zarr")]) == 2
    assert main([*words, "--simulate"]) == 2
    assert main([*words[:3], *words[5:]]) == 2
    capsys.readouterr()
    gone = [*words[:2], str(tmp_path / "gone.nc"), *words[3:]]
    assert main(gone) == 66
    error = capsys.readouterr().err
    assert "gone.nc" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "s.zarr").exists()


def test_a_simulation_too_short_for_a_background_error_is_refused_before_it_begins(tmp_path, capsys):
    words = ["prepare", "--simulate", "--preset", "tiny", "--out", str(tmp_path / "s.zarr")]
    assert main([*words, "--background-error", str(tmp_path / "b.safetensors")]) == 2
    assert "has no forecast of 24 h within its validation part" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
