from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from synthetic import quiet

from phyda_cli.errors import BadDataError, InputMissingError
from phyda_cli.fields.state import Channel
from phyda_cli.preparation.build import build_store
from phyda_cli.preparation.catalogue import catalogue
from phyda_cli.preparation.from_files import Choice, files_material, hours

LEVELS = (85_000.0, 50_000.0)
CHOICE = Choice(rows=8, levels=LEVELS)
START = np.datetime64("2020-01-01T00", "ns")


def dates(count: int, step: int = 6) -> np.ndarray:
    return START + np.arange(count) * np.timedelta64(step, "h")


def field(values: np.ndarray) -> xr.Dataset:
    """u = the given value of each time everywhere, t = 250 K + 10 ln(p/500 hPa), north to south, 900 and 400 hPa."""
    latitude, longitude = np.linspace(78.75, -78.75, 8), np.arange(0, 360, 22.5)
    level = np.array([900.0, 400.0])
    shape = (values.size, 2, latitude.size, longitude.size)
    u = np.broadcast_to(values[:, None, None, None], shape).astype(np.float32)
    t = np.broadcast_to((250 + 10 * np.log(level / 500))[None, :, None, None], shape).astype(np.float32)
    dims = ("time", "level", "latitude", "longitude")
    coords = {
        "level": ("level", level, {"units": "hPa", "standard_name": "air_pressure"}),
        "latitude": ("latitude", latitude, {"units": "degrees_north"}),
        "longitude": ("longitude", longitude, {"units": "degrees_east"}),
    }
    variables = {"u": (dims, u, {"units": "m s-1"}), "t": (dims, t, {"units": "K"})}
    return xr.Dataset(variables, coords)


@pytest.fixture
def analyses(tmp_path):
    # 10 days: u at 6 h steps is 0, 1, 2, …; in two files, the second half given first
    path = tmp_path / "analyses"
    path.mkdir()
    whole = field(np.arange(40.0)).assign_coords(time=("time", dates(40)))
    files = [path / "b.nc", path / "a.nc"]
    whole.isel(time=slice(20, 40)).to_netcdf(files[0])
    whole.isel(time=slice(0, 20)).to_netcdf(files[1])
    return files


def forecasts_by_lead(path, leads=(6, 12)):
    """WeatherBench layout, axes time and prediction_timedelta: u = step of the valid time + lead/12."""
    parts = []
    for lead in leads:
        valid_step = np.arange(0, 40, 2) + lead // 6
        parts.append(field(valid_step + 0.5 * lead / 6).assign_coords(time=("time", dates(20, 12))))
    whole = xr.concat(parts, xr.DataArray(list(leads), dims="prediction_timedelta", attrs={"units": "hours"}))
    whole = whole.rename(concat_dim="prediction_timedelta") if "concat_dim" in whole.dims else whole
    whole = whole.assign_coords(prediction_timedelta=("prediction_timedelta", list(leads), {"units": "hours"}))
    whole.to_netcdf(path)
    return path


def test_pairs_meet_at_the_valid_time_on_the_store_grid(analyses, tmp_path):
    forecasts = forecasts_by_lead(tmp_path / "f.nc")
    material = files_material(analyses, [forecasts], CHOICE)
    assert material.channels == tuple(Channel(v, p) for v in ("u", "t") for p in LEVELS)
    store = build_store(material, tmp_path / "s.zarr", overwrite=False, progress=quiet)
    total = 0
    for part in ("train", "validation", "test"):
        for batch in store.pairs(part):
            step = (batch.valid_time - hours(START)) / 6
            # a constant wind keeps its value away from the poles' own rows
            assert batch.truth[:, 0, 1, 0] == pytest.approx(step, abs=1e-5)
            assert batch.background[:, 0, 1, 0] == pytest.approx(step + 0.5 * batch.lead_hours / 6, abs=1e-5)
            assert batch.truth[:, 3, 2, 5] == pytest.approx(np.full(step.size, 250.0), abs=1e-3)
            total += step.size
    counts = store.attributes["counts"]
    # the start at step 38 with lead 12 h is valid at step 40, after the last analysis
    assert counts["forecasts_without_truth"] == 1
    assert total + counts["forecasts_between_parts"] + 1 == 40
    assert store.sigma_b(12)[0, 1] == pytest.approx(1.0, abs=1e-5)
    assert store.sigma_b(6)[0, 1] == pytest.approx(0.5, abs=1e-5)


def test_levels_are_interpolated_in_the_logarithm_of_pressure(analyses, tmp_path):
    forecasts = forecasts_by_lead(tmp_path / "f.nc")
    material = files_material(analyses, [forecasts], replace(CHOICE, levels=(70_000.0,)))
    values = material.states.read(np.array([0]))
    assert values[0, 1] == pytest.approx(np.full((8, 16), 250 + 10 * np.log(1.4)), abs=1e-3)


def test_files_without_a_start_need_a_lead(analyses, tmp_path):
    path = tmp_path / "f.nc"
    field(np.arange(40.0)).assign_coords(time=("time", dates(40))).to_netcdf(path)
    with pytest.raises(BadDataError, match=r"tells no start of the forecast valid 2020-01-01T00:00:00Z.*--lead"):
        files_material(analyses, [path], CHOICE)
    material = files_material(analyses, [path], replace(CHOICE, lead_hours=24))
    assert set((material.valid_times - material.init_times).tolist()) == {24}


def test_one_file_for_each_variable_makes_one_state(tmp_path):
    whole = field(np.arange(3.0)).assign_coords(time=("time", dates(3)))
    whole[["u"]].to_netcdf(tmp_path / "u.nc")
    whole[["t"]].to_netcdf(tmp_path / "t.nc")
    entries = catalogue([tmp_path / "u.nc", tmp_path / "t.nc"], forecasts=False)
    assert [entry.paths for entry in entries] == [(tmp_path / "u.nc", tmp_path / "t.nc")] * 3


def test_starts_and_leads_of_a_weatherbench_file(tmp_path):
    entries = catalogue([forecasts_by_lead(tmp_path / "f.nc")], forecasts=True)
    assert len(entries) == 40
    assert (entries[1].start, entries[1].valid) == (START, START + np.timedelta64(12, "h"))
    assert entries[1].select == (("prediction_timedelta", "12"),)


def test_levels_beyond_those_of_a_file_are_refused(analyses, tmp_path):
    forecasts = forecasts_by_lead(tmp_path / "f.nc")
    material = files_material(analyses, [forecasts], replace(CHOICE, levels=(92_500.0, 50_000.0)))
    with pytest.raises(BadDataError, match=r"a.nc: u reaches from 900 to 400 hPa, the store needs 925 hPa"):
        material.states.read(np.array([0]))


def test_dates_that_do_not_meet_are_refused(analyses, tmp_path):
    path = tmp_path / "f.nc"
    field(np.arange(4.0)).assign_coords(time=("time", dates(4) + np.timedelta64(1000, "D"))).to_netcdf(path)
    with pytest.raises(BadDataError, match="none of 4 forecasts"):
        files_material(analyses, [path], replace(CHOICE, lead_hours=6))


def test_leads_that_no_forecast_has_are_refused_with_those_that_there_are(analyses, tmp_path):
    forecasts = forecasts_by_lead(tmp_path / "f.nc")
    with pytest.raises(BadDataError, match=r"no forecast has a lead of 24, 48 h .* has 6, 12 h; choose with --leads"):
        files_material(analyses, [forecasts], replace(CHOICE, leads=(24, 48)))


def test_missing_files_are_named(analyses, tmp_path):
    with pytest.raises(InputMissingError, match=r"none\.nc"):
        files_material(analyses, [tmp_path / "none.nc"], CHOICE)
