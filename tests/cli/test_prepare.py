from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from phyda_cli.cli.app import main
from phyda_cli.preparation.from_simulation import expected_pairs
from phyda_cli.preparation.split import PARTS
from phyda_cli.preparation.store import open_store
from phyda_cli.simulation.config import PRESETS

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


def test_a_simulation_too_short_for_a_background_error_is_refused_before_it_begins(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", PRESETS["tiny"].model_copy(update={"days": 6}))
    words = ["prepare", "--simulate", "--preset", "tiny", "--out", str(tmp_path / "s.zarr")]
    assert main([*words, "--background-error", str(tmp_path / "b.safetensors")]) == 2
    assert "has no forecast of 24 h within its validation part" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_has_forecasts_to_train_tune_and_test_on(name):
    for part in PARTS:
        for leads in ((6,), (24,)):
            assert expected_pairs(PRESETS[name], part, leads) > 0, (part, leads)


def test_dates_that_leave_a_part_empty_are_refused_before_fields_are_read(tmp_path, capsys):
    """Three months of some days each: what lies between them belongs to the validation part."""
    words = ["prepare", "--out", str(tmp_path / "s.zarr")]
    for month in (1, 2, 9):
        for option, offset in (("--analysis", 0.0), ("--forecast", 2.0)):
            path = tmp_path / f"{option[2:]}-{month}.nc"
            write(path, offset, forecast=option == "--forecast")
            with xr.open_dataset(path) as dataset:
                shift = np.datetime64(f"2020-{month:02d}-01", "ns") - np.datetime64("2020-01-01", "ns")
                starts = {"forecast_reference_time": dataset.forecast_reference_time + shift} if offset else {}
                moved = dataset.assign_coords(time=dataset.time + shift, **starts).load()
            moved.to_netcdf(path, mode="w")
            words += [option, str(path)]
    assert main(words) == 65
    said = capsys.readouterr().err
    assert "none of 120 forecasts starts and ends in the validation part, 2020-06" in said
    assert "--validation-year" in said
    assert not (tmp_path / "s.zarr").exists()
