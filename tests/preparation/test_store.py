from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
import zarr
from synthetic import CHANNELS, GRID, LEADS, START, quiet, synthetic

from phyda_cli.errors import BadDataError, CannotWriteError, InputMissingError
from phyda_cli.preparation.build import build_store
from phyda_cli.preparation.store import content_digest, open_store


@pytest.fixture(scope="module")
def data():
    return synthetic()


@pytest.fixture(scope="module")
def store(data, tmp_path_factory):
    return build_store(data.material(), tmp_path_factory.mktemp("store") / "s.zarr", overwrite=False, progress=quiet)


def test_states_come_back_in_their_parts(data, store):
    assert store.channels == CHANNELS
    assert store.grid == GRID
    for number, part in enumerate(("train", "validation", "test")):
        times = store.nature_times(part)
        expected = data.times[store.splits.code(data.times) == number]
        assert times.tolist() == expected.tolist()
        values = np.concatenate([batch for _, batch in store.nature(part, batch=7)])
        assert np.array_equal(values, data.states[(expected - START) // 6])
        start, end = store.attributes["splits"][part]["index"]
        assert data.times[start:end].tolist() == expected.tolist()


def test_every_pair_is_the_forecast_with_the_state_of_its_valid_time(data, store):
    rows = {(i, v): row for row, (i, v) in enumerate(zip(data.init.tolist(), data.valid.tolist(), strict=True))}
    for part in ("train", "validation", "test"):
        seen = 0
        for batch in store.pairs(part, batch=5, seed=1):
            for k in range(batch.valid_time.size):
                init, valid = int(batch.init_time[k]), int(batch.valid_time[k])
                assert batch.lead_hours[k] == valid - init
                assert np.array_equal(batch.background[k], data.forecasts[rows[init, valid]])
                assert np.array_equal(batch.truth[k], data.states[(valid - START) // 6])
                seen += 1
        assert seen == store.attributes["counts"][f"pairs_{part}"] > 0


def test_all_forecasts_are_accounted_for(data, store):
    counts = store.attributes["counts"]
    # the last start, 12 h before the end, has a truth at 6 h but not at 24 h, and the one before it neither at 24 h
    assert counts["forecasts_without_truth"] == 2
    names = ("pairs_train", "pairs_validation", "pairs_test", "forecasts_without_truth", "forecasts_between_parts")
    assert sum(counts[name] for name in names) == data.init.size


def test_leads_select_and_the_seed_only_reorders(store):
    assert store.leads == LEADS
    ordered = store.pair_index("train", [24])
    assert {int(lead) for batch in store.pairs("train", [24]) for lead in batch.lead_hours} == {24}
    shuffled = [v for batch in store.pairs("train", [24], batch=4, seed=3) for v in batch.valid_time.tolist()]
    plain = store.read_pairs(ordered).valid_time.tolist()
    assert shuffled != plain
    assert sorted(shuffled) == plain
    assert store.read_pairs(ordered[::-1]).valid_time.tolist() == plain[::-1]


def test_sigma_b_is_that_of_the_training_errors(data, store):
    chosen = (store.splits.pair_code(data.init, data.valid) == 0) & (data.valid - data.init == 24)
    truth = data.states[(data.valid[chosen] - START) // 6].astype(np.float64)
    second = ((data.forecasts[chosen] - truth) ** 2).mean(axis=(0, 3))
    middle = 0.25 * second[:, 0] + 0.5 * second[:, 1] + 0.25 * second[:, 2]
    assert store.sigma_b()[:, 1] == pytest.approx(np.sqrt(middle), rel=1e-9)
    assert np.array_equal(store.sigma_b(), store.sigma_b(24))
    with pytest.raises(BadDataError, match="no background error at lead 48"):
        store.sigma_b(48)


def test_xarray_reads_it_with_coordinates(data, store):
    with xr.open_zarr(store.path, group="nature", consolidated=False) as nature:
        assert nature["u"].dims == ("time", "level", "latitude", "longitude")
        assert nature["msl"].dims == ("time", "latitude", "longitude")
        assert nature["time"].values[0] == np.datetime64("2001-01-01T00")
        assert nature["level"].values.tolist() == [85_000.0, 50_000.0]
        assert np.array_equal(nature["t"].isel(time=70, level=1).values, data.states[70, 3])
    with xr.open_zarr(store.path, group="backgrounds", consolidated=False) as backgrounds:
        assert {"valid_time", "init_time", "lead_hours", "truth_index"} <= set(backgrounds["u"].coords)
    with xr.open_zarr(store.path, group="statistics", consolidated=False) as statistics:
        assert statistics["u_sigma_b"].dims == ("lead", "level", "latitude")
        assert statistics["msl_bias"].dims == ("lead", "latitude", "longitude")


def test_nothing_of_validation_and_test_enters_the_statistics(data, store, tmp_path):
    outside = store.splits.code(data.times) != 0
    states, forecasts = data.states.copy(), data.forecasts.copy()
    states[outside] += 1000.0
    forecasts[store.splits.pair_code(data.init, data.valid) != 0] -= 500.0
    other = build_store(
        data.where(states=states, forecasts=forecasts).material(), tmp_path / "o.zarr", overwrite=False, progress=quiet
    )
    for name in ("mean", "std", "monthly_mean", "monthly_std", "sigma_b", "bias"):
        assert np.array_equal(store.statistic(name), other.statistic(name), equal_nan=True), name
    assert other.attributes["digest"] != store.attributes["digest"]
    # and the statistics do see the training part
    states[data.times == data.times[0]] += 1.0
    third = build_store(data.where(states=states).material(), tmp_path / "t.zarr", overwrite=False, progress=quiet)
    assert not np.array_equal(store.statistic("mean"), third.statistic("mean"))


def test_the_digest_depends_on_the_values_alone(data, store, tmp_path):
    again = build_store(data.material(), tmp_path / "a.zarr", overwrite=False, progress=quiet)
    assert again.attributes["digest"] == store.attributes["digest"]
    assert content_digest(zarr.open_group(str(again.path), mode="r")) == store.attributes["digest"]


def test_a_changed_value_changes_the_digest(data, tmp_path):
    store = build_store(data.material(), tmp_path / "s.zarr", overwrite=False, progress=quiet)
    root = zarr.open_group(str(store.path), mode="a")
    root["nature/u"][3, 0, 0, 0] = 9.0
    assert content_digest(root) != store.attributes["digest"]


def test_an_existing_store_is_replaced_only_when_asked_and_kept_when_the_run_fails(data, tmp_path):
    target = tmp_path / "s.zarr"
    first = build_store(data.material(), target, overwrite=False, progress=quiet)
    with pytest.raises(CannotWriteError, match="--overwrite"):
        build_store(data.material(), target, overwrite=False, progress=quiet)
    broken = data.states.copy()
    broken[100, 4, 2, 3] = np.nan
    with pytest.raises(BadDataError, match="msl of the state valid 2001-01-26T00Z has missing"):
        build_store(data.where(states=broken).material(), target, overwrite=True, progress=quiet)
    assert open_store(target).attributes["digest"] == first.attributes["digest"]
    other = build_store(synthetic(seed=1).material(), target, overwrite=True, progress=quiet)
    assert other.attributes["digest"] != first.attributes["digest"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["s.zarr"]


def test_only_a_training_store_is_ever_replaced(data, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "letter.txt").write_text("dear")
    with pytest.raises(CannotWriteError, match="no training store"):
        build_store(data.material(), precious, overwrite=True, progress=quiet)
    assert (precious / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize("order", [np.arange(240)[::-1], np.r_[0:100, 99:240]])
def test_states_out_of_order_or_twice_are_refused(data, tmp_path, order):
    material = replace(data.material(), times=data.times[order])
    with pytest.raises(BadDataError, match="out of order or twice"):
        build_store(material, tmp_path / "s.zarr", overwrite=False, progress=quiet)
    assert list(tmp_path.iterdir()) == []


def test_other_things_are_not_opened(tmp_path):
    with pytest.raises(InputMissingError, match="phyda prepare"):
        open_store(tmp_path / "none.zarr")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadDataError, match="not a training store"):
        open_store(tmp_path / "empty")
    zarr.open_group(str(tmp_path / "z.zarr"), mode="w", zarr_format=3)
    with pytest.raises(BadDataError, match="found none"):
        open_store(tmp_path / "z.zarr")


def test_files_stay_few(store):
    # 240 states and as many pairs of three fields in shards of 64; one file each would be above 1400
    assert len([entry for entry in (store.path / "nature" / "u" / "c").rglob("*") if entry.is_file()]) == 4
