"""Stores of public archives, by their layouts: every number comes to the store's grid as an independent way has it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phyda_cli.errors import BadDataError, InputMissingError, MissingExtraError
from phyda_cli.fields.state import Channel
from phyda_cli.formats.gridded.lazy import lazy_states
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.grids.orientation import along_rows
from phyda_cli.grids.regrid import regrid
from phyda_cli.preparation.from_files import Choice, files_material, hours
from tests.support import public_stores as public

FINE = LatLonGrid.with_poles(25, 48)
COARSE = LatLonGrid.equiangular(16, 32)
TARGET = LatLonGrid.equiangular(8, 16)
CHOICE = Choice(rows=8, levels=(85_000.0, 50_000.0))
START = int(hours(public.START))
DAYS = list(range(0, 24 * 12, 12))


def expected(name: str, level: float | None, grid: LatLonGrid, hour: float) -> np.ndarray:
    """The field on its own grid, brought to the target as a whole."""
    values = torch.from_numpy(public.field(name, level, *public.latlon(grid), hour).astype(np.float32)).double()
    return regrid(values, grid, TARGET, vector=name in ("u", "v", "u10", "v10")).numpy()


def check(material, grid: LatLonGrid, every: int = 12) -> None:
    """Every channel of the first, a middle and the last state."""
    for row in (0, 7, material.times.size - 1):
        values = material.states.read(np.array([row]))[0]
        hour = int(material.times[row]) - START
        assert hour % every == 0
        for place, channel in enumerate(material.channels):
            level = None if channel.level is None else channel.level / 100
            want = expected(channel.variable, level, grid, hour)
            assert values[place] == pytest.approx(want, rel=1e-5, abs=1e-5 * np.abs(want).max()), channel


@pytest.fixture(scope="module")
def hres(tmp_path_factory):
    path = tmp_path_factory.mktemp("hres") / "hres.zarr"
    return public.forecasts(path, FINE, DAYS[:-4], (0, 12, 24, 240))


@pytest.fixture(scope="module")
def wb2(tmp_path_factory):
    return public.era5(tmp_path_factory.mktemp("era5") / "era5.zarr", FINE, DAYS)


def test_weatherbench_era5_and_forecasts_pair_by_valid_time(wb2, hres):
    material = files_material([wb2], [hres], CHOICE)
    assert [str(channel) for channel in material.channels] == [
        *(f"{name}{level}" for name in "uvtqz" for level in (850, 500)), "msl", "t2m", "u10", "v10",
    ]  # fmt: skip
    check(material, FINE)
    assert material.times.tolist() == [START + hour for hour in DAYS]
    # leads of 0 and 240 h are none of a short forecast
    assert material.skipped["forecasts_of_other_leads"] == 2 * len(DAYS[:-4])
    assert sorted(set((material.valid_times - material.init_times).tolist())) == [12, 24]
    chosen = [3, 4, 11]
    values = material.forecasts.read(np.array(chosen))
    for row, number in enumerate(chosen):
        start, valid = int(material.init_times[number]) - START, int(material.valid_times[number]) - START
        noise = start + 7 + valid - start
        own = public.field("t", 500, *public.latlon(FINE), valid, noise).astype(np.float32)
        want = regrid(torch.from_numpy(own), FINE, TARGET).numpy()
        assert values[row, material.channels.index(Channel("t", 50_000.0))] == pytest.approx(want, abs=2e-3)


def test_forecasts_without_attributes_are_in_si(wb2, tmp_path, caplog):
    path = public.forecasts(tmp_path / "graphcast.zarr", FINE, DAYS[:-4], (12,), bare=True)
    with caplog.at_level("INFO"):
        material = files_material([wb2], [path], CHOICE)
    assert "fields without units were taken in SI units" in caplog.text
    values = material.forecasts.read(np.array([0]))[0]
    own = public.field("u", 850, *public.latlon(FINE), 12, 19).astype(np.float32)
    assert values[0] == pytest.approx(regrid(torch.from_numpy(own), FINE, TARGET, vector=True).numpy(), abs=1e-4)


def test_longitude_may_come_before_latitude_and_a_chunk_may_hold_many_dates(hres, tmp_path):
    path = public.coarse(tmp_path / "coarse.zarr", COARSE, DAYS, chunk=10)
    material = files_material([path], [hres], CHOICE)
    check(material, COARSE)
    # across the border of two chunks, and back again, as the shards of a store may lie
    both = material.states.read(np.arange(7, 13))
    assert np.array_equal(material.states.read(np.array([9]))[0], both[2])
    assert np.array_equal(material.states.read(np.array([12]))[0], both[5])


def test_arco_has_37_levels_and_room_for_days_to_come(hres, tmp_path):
    path = public.arco(tmp_path / "arco.zarr", FINE, DAYS)
    material = files_material([path], [hres], Choice(rows=8, levels=(85_000.0, 50_000.0), every=12))
    assert material.times.tolist() == [START + hour for hour in DAYS]
    check(material, FINE)
    with pytest.raises(BadDataError, match=r"arco\.zarr: u500 valid 2020-01-01T01:00Z has missing values"):
        files_material([path], [hres], CHOICE).states.read(np.array([1]))


def test_anemoi_on_a_regular_grid(hres, tmp_path):
    lat, lon = (x[::-1].ravel() for x in public.latlon(FINE))
    path = public.anemoi(tmp_path / "anemoi.zarr", lat, lon, DAYS, missing=(24,))
    material = files_material([path], [hres], CHOICE)
    assert START + 24 not in material.times
    check(material, FINE)


def test_anemoi_on_a_reduced_gaussian_grid(hres, tmp_path):
    lat, lon = public.octahedral(12)
    path = public.anemoi(tmp_path / "anemoi.zarr", lat, lon, DAYS)
    material = files_material([path], [hres], CHOICE)
    orientation = along_rows(lat.astype(np.float32), lon.astype(np.float32))
    values = material.states.read(np.array([3, 5]))
    for row, hour in enumerate((DAYS[3], DAYS[5])):
        for name, level in (("t", 500), ("q", 850), ("msl", None), ("u10", None)):
            own = public.field(name, level, lat, lon, hour)[orientation.columns].astype(np.float32)
            vector = name == "u10"
            want = regrid(torch.from_numpy(own)[None], orientation.grid, TARGET, vector=vector).numpy()
            place = material.channels.index(Channel(name, None if level is None else 100.0 * level))
            assert values[row, place] == pytest.approx(want, rel=1e-5, abs=1e-5), (name, hour)


def test_what_one_side_lacks_is_left_out_and_said(wb2, tmp_path, caplog):
    path = public.forecasts(tmp_path / "pangu.zarr", FINE, DAYS[:-4], (24,), names=("u", "t", "msl"), levels=(850, 250))
    with caplog.at_level("WARNING"):
        material = files_material([wb2], [path], Choice(rows=8))
    assert "t2m (2 metre temperature) is not in the forecasts: the store goes without" in caplog.text
    assert "the data do not reach 1000, 925, 200, 150, 100, 50 hPa" in caplog.text
    assert [str(channel) for channel in material.channels] == [
        *(f"{name}{level}" for name in "ut" for level in (850, 700, 600, 500, 400, 300, 250)), "msl",
    ]  # fmt: skip
    # 500 hPa between 850 and 250 of the forecasts: linear in ln p
    share = np.log(850 / 500) / np.log(850 / 250)
    own = [public.field("t", p, *public.latlon(FINE), 24, 31).astype(np.float32) for p in (850, 250)]
    want = regrid(torch.from_numpy((1 - share) * own[0] + share * own[1]), FINE, TARGET).numpy()
    at_500 = material.forecasts.read(np.array([0]))[0, material.channels.index(Channel("t", 50_000.0))]
    assert at_500 == pytest.approx(want, abs=1e-3)


def test_units_that_numbers_contradict_are_refused(hres, tmp_path):
    import xarray as xr

    path = public.era5(tmp_path / "a.zarr", FINE, DAYS[:2], names=("t", "msl"))
    with xr.open_zarr(path) as dataset:
        dataset["temperature"].attrs["units"] = "degC"
        dataset.load().drop_encoding().to_zarr(tmp_path / "b.zarr", zarr_format=2)
    with pytest.raises(BadDataError, match=r"b\.zarr: variable 'temperature': its numbers.*contradict its unit"):
        files_material([tmp_path / "b.zarr"], [hres], CHOICE)


def test_a_url_is_a_store_too(wb2, hres):
    material = files_material([f"file://{wb2}"], [hres], CHOICE)
    check(material, FINE)


def test_urls_that_cannot_be_opened_say_what_to_do(hres):
    with pytest.raises(InputMissingError, match=r"file:///nowhere/a\.zarr: no Zarr store there"):
        files_material(["file:///nowhere/a.zarr"], [hres], CHOICE)
    with pytest.raises(InputMissingError, match="no such protocol 'nonsense'"):
        files_material(["nonsense://a.zarr"], [hres], CHOICE)


def test_a_cloud_without_its_extra_is_one_line(monkeypatch):
    import fsspec

    def missing(protocol):
        raise ImportError("Install gcsfs")

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    with pytest.raises(MissingExtraError, match=r"gs://b/a\.zarr: the protocol gs needs .*phyda\[cloud\]"):
        lazy_states("gs://b/a.zarr", ("u",))
