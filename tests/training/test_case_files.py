"""Shards of cases: the same whoever makes them, resumed, and what is in them, computed by hand."""

from __future__ import annotations

import os
import signal
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from phyda_cli.errors import BadDataError, InputMissingError, WorkerError
from phyda_cli.formats.gridded.background_error import read_background_error
from phyda_cli.networks.gridded import GriddedObservations
from phyda_cli.observations.errors import default_error_table
from phyda_cli.training import case_files
from phyda_cli.training.batches import assembled, draw
from phyda_cli.training.case_files import _block, make_cases, make_shard, open_cases, shard_path
from phyda_cli.training.case_rows import Cases, sparse
from phyda_cli.training.cases import CLIMATOLOGY, SCALE_SPREAD, CaseMaker, ErrorGrowth, monthly, statistics_of
from phyda_cli.training.made_cases import FreshCases
from phyda_cli.training.networks import Network, draw_network, operational_network
from tests.support.background_error import CHANNELS, GRID, small_statistics


@pytest.fixture(scope="module")
def cases(place) -> Cases:
    held = open_cases(place.cases / "train")
    return held.rows(range(len(held)))


def test_a_shard_is_the_same_whoever_makes_it_and_others_stay(place, tmp_path):
    first = shard_path(place.cases / "train", 0).read_bytes()
    validation = place.source("validation", 8)
    alone = make_shard(1, source=validation, directory=tmp_path).read_bytes()
    (tmp_path / "together").mkdir()
    made = list(make_cases(validation, tmp_path / "together", count=2 * case_files.SHARD, workers=2))
    assert [path.name for path in made] == ["cases-00000.safetensors", "cases-00001.safetensors"]
    assert made[1].read_bytes() == alone
    assert made[0].read_bytes() == shard_path(place.cases / "validation", 0).read_bytes()
    assert made[0].read_bytes() != made[1].read_bytes()
    assert shard_path(place.cases / "train", 0).read_bytes() == first
    made[0].unlink()
    kept = made[1].stat().st_mtime_ns
    again = list(make_cases(validation, tmp_path / "together", count=2 * case_files.SHARD))
    assert again == [made[0]]
    assert made[0].read_bytes() == shard_path(place.cases / "validation", 0).read_bytes()
    assert made[1].stat().st_mtime_ns == kept
    assert list(make_cases(validation, tmp_path / "together", count=129)) == []


def killed(number: int, **options: object) -> None:
    """What the machine does to a process that takes too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_is_said_in_one_line(place, tmp_path, monkeypatch):
    monkeypatch.setattr(case_files, "make_shard", killed)
    with pytest.raises(WorkerError, match=r"killed, most likely for memory; give fewer --workers than 2") as caught:
        list(make_cases(place.source("validation", 8), tmp_path, count=2 * case_files.SHARD, workers=2))
    assert caught.value.exit_code == 75
    assert list(tmp_path.iterdir()) == []


def test_rows_come_from_the_shards_that_hold_them(place, cases, tmp_path):
    other = open_cases(place.cases / "validation")
    for number, part in enumerate(("train", "validation")):
        shard_path(tmp_path, number).write_bytes(shard_path(place.cases / part, 0).read_bytes())
    joined = open_cases(tmp_path)
    assert len(joined) == len(cases) + len(other)
    chosen = [len(cases) + 3, 2, len(cases), 2, len(cases) - 1]
    read = joined.rows(chosen)
    for position, k in enumerate(chosen):
        expected = cases.rows([k]) if k < len(cases) else other.rows([k - len(cases)])
        for field in fields(Cases):
            assert torch.equal(getattr(read.rows([position]), field.name), getattr(expected, field.name)), field.name
        for name in ("signal", "noise", "density"):
            assert torch.equal(getattr(read.observations(), name)[position], getattr(expected.observations(), name)[0])
    assert len(open_cases(tmp_path, count=128)) == len(cases)
    with pytest.raises(InputMissingError, match="no training cases"):
        open_cases(tmp_path / "nothing")


def test_a_batch_from_disk_is_that_from_memory(place):
    memory, statistics = place.data(), place.data().statistics
    shards = open_cases(place.cases / "train")
    for step in (0, 5):
        batches = [
            assembled(draw(cases, statistics, size=8, step=step, steps=10, seed=0), statistics)
            for cases in (memory.train, shards)
        ]
        assert all(torch.equal(getattr(batches[0], n), getattr(batches[1], n)) for n in ("increment", "state", "sigma"))
        assert torch.equal(batches[0].observations.signal, batches[1].observations.signal)
    assert torch.equal(memory.states, replace(memory, train=shards).states)


def test_fresh_cases_depend_on_pair_and_number_alone_and_are_those_of_a_shard(place, cases):
    """The block of a shard's pairs, with the shard's numbers, makes the shard."""
    source = place.source()
    index = place.opened().pair_index("train")
    fresh = FreshCases(source, index.size)
    block = _block(index, 0, source.seed)
    pairs = np.searchsorted(index, block[:4]).tolist()
    few = fresh.made(pairs, range(4))
    for name in ("increment", "background", "scale", "density", "hours", "offset", "place", "noise"):
        wanted = cases.rows(range(4))
        assert torch.equal(getattr(few, name), getattr(wanted, name)), name
    assert torch.allclose(few.first_guess.float(), wanted.first_guess.float(), atol=2e-3)
    one = fresh.made([pairs[2]], [2])
    assert torch.equal(one.place, few.rows([2]).place)
    assert not torch.equal(fresh.made([pairs[2]], [9]).scale, one.scale)
    alone, whole = fresh.rows([2]), fresh.made([2], [2])
    assert torch.equal(alone.increment, whole.increment)
    assert torch.equal(alone.background, whole.background)
    assert alone.place.numel() == 0
    assert not bool(alone.first_guess.any())


def test_a_step_of_fresh_cases_has_its_own_networks_and_comes_again(place):
    statistics = statistics_of(place.opened())
    fresh = FreshCases(place.source(), 3)
    steps = [draw(fresh, statistics, size=3, step=step, steps=9, seed=0) for step in (0, 1, 1)]
    hours = [sorted(step.rows.hours.tolist()) for step in steps]
    assert hours[0] == hours[1], "each epoch visits every pair"
    assert not set(steps[0].rows.scale.tolist()) & set(steps[1].rows.scale.tolist())
    assert torch.equal(steps[1].rows.first_guess, steps[2].rows.first_guess)
    share = draw(fresh, statistics, size=3, step=1, steps=9, seed=0, rank=2, world=3)
    assert torch.equal(share.rows.place, steps[1].rows.rows([2]).place)
    assert torch.equal(share.rows.scale, steps[1].rows.scale[2:])


def test_sparse_storage_gives_the_dense_observations_back(cases):
    generator = torch.Generator().manual_seed(1)
    shape = (3, len(CHANNELS), *GRID.shape)
    seen = torch.rand(shape, generator=generator) < torch.tensor([0.0, 0.01, 1.0])[:, None, None, None]
    values = [torch.where(seen, torch.rand(shape, generator=generator) + 0.1, 0.0) for _ in range(3)]
    count = values[2] * 5
    dense = GriddedObservations(values[0] - seen * 0.6, values[1], -torch.expm1(-count))
    each = [GriddedObservations(dense.signal[k], dense.noise[k], dense.density[k]) for k in range(3)]
    empty = torch.zeros(3, *shape[1:]).half()
    scalars = [torch.zeros(3)] * 2 + [torch.zeros(3, dtype=torch.long)]
    back = Cases(empty, empty, empty, *scalars, *sparse(each)).rows([2, 0, 1]).observations()
    for name in ("signal", "noise", "density"):
        assert torch.allclose(getattr(back, name), getattr(dense, name)[[2, 0, 1]], atol=1e-3, rtol=1e-3), name
        assert torch.equal(getattr(back, name) == 0, (getattr(dense, name) == 0)[[2, 0, 1]]), name
    assert not back.density[1].any()


def test_increment_scale_and_background_of_every_case_by_hand(place, cases):
    store, table = place.opened(), default_error_table()
    pairs = store.read_pairs(store.pair_index("train"))
    growth = {24: 1.0, 48: float(np.sqrt(np.average((store.sigma_b(48) / store.sigma_b(24)) ** 2, axis=0) @ weights()))}
    assert growth[48] == pytest.approx(3.0, rel=0.05)
    sigma, statistics = store.sigma_b(), statistics_of(store, maps=False)
    climatology = monthly(store, "monthly_mean")
    replaced = 0
    for k in range(len(cases)):
        generator = np.random.default_rng([7, k])
        layout = {"grid": GRID, "channels": CHANNELS, "table": table}
        operational = generator.random() < 0.5
        hours = int(pairs.valid_time[k])
        network = operational_network(generator, hours, **layout) if operational else draw_network(generator, **layout)
        instead = generator.random() < CLIMATOLOGY
        factor = np.exp(SCALE_SPREAD * generator.standard_normal())
        month = int(pairs.valid_time[k].astype("datetime64[h]").astype("datetime64[M]").astype(int)) % 12
        background = climatology[month] if instead else pairs.background[k]
        size = ErrorGrowth.of(store).climatology if instead else growth[int(pairs.lead_hours[k])]
        scale = float(cases.scale[k])
        assert scale == pytest.approx(size * factor, rel=1e-5)
        increment = (pairs.truth[k] - background) / (scale * sigma[:, :, None])
        assert np.allclose(cases.increment[k].float(), increment, rtol=2e-3, atol=2e-3)
        anomaly = (background - statistics.mean.numpy()[:, :, None]) / statistics.std.numpy()[:, :, None]
        assert np.allclose(cases.background[k].float(), anomaly, rtol=2e-3, atol=2e-3)
        assert cases.density[k] == pytest.approx(network.density)
        assert cases.hours[k] == pairs.valid_time[k]
        assert bool(cases.rows([k]).observations().density.any()) == bool(len(network))
        replaced += instead
    assert 2 <= replaced < 0.25 * len(cases)
    spread = np.concatenate([states for _, states in store.nature("train")]).std((0, 3))
    expected = float(np.sqrt(np.average((spread / sigma) ** 2, axis=0) @ weights()))
    assert ErrorGrowth.of(store).climatology == pytest.approx(expected, rel=0.03)


def weights() -> np.ndarray:
    area = np.asarray(GRID.area_weights)
    return area / area.sum()


def test_the_first_guess_of_one_observation_is_the_closed_form(place):
    store = place.opened()
    statistics = read_background_error(place.background_error)[0]
    channel, row, column, scale, error = 7, 5, 11, 2.5, 0.8
    assert CHANNELS[channel].variable == "t"
    network = Network(
        np.array(["t"], dtype=object), np.array([CHANNELS[channel].level]),
        np.asarray(GRID.latitudes)[[row]], np.asarray(GRID.longitudes)[[column]], np.array([error]),
        np.array([np.nan]), np.array([np.nan]), 0.0,
    )  # fmt: skip
    truth_less_background = torch.full((1, len(CHANNELS), *GRID.shape), 0.0)
    truth_less_background[0, channel, row, column] = 3.0
    made = CaseMaker(store, statistics, default_error_table()).make(
        truth_less_background, [network], [scale], [np.random.default_rng(4)], truth_less_background
    )
    departure = 3.0 + error * np.random.default_rng(4).standard_normal()
    sigma_b = store.sigma_b()[channel, row]
    o = made.observations
    assert o.signal[0, channel, row, column] == pytest.approx(departure / scale / sigma_b, rel=1e-5)
    assert o.noise[0, channel, row, column] == pytest.approx(error / scale / sigma_b, rel=1e-5)
    assert o.density[0, channel, row, column] == pytest.approx(1 - np.exp(-1), rel=1e-5)
    assert int((o.density > 0).sum()) == 1
    variance = float(small_statistics().sigma[channel, row]) ** 2
    gain = variance / (variance + (error / scale) ** 2)
    expected = gain * departure / scale / sigma_b
    assert made.first_guess[0, channel, row, column] == pytest.approx(expected, rel=0.02)


def test_no_observation_means_no_first_guess(cases):
    empty = [k for k in range(len(cases)) if cases.offset[k] == cases.offset[k + 1]]
    assert empty
    assert not cases.first_guess[empty].any()
    full = [k for k in range(len(cases)) if k not in empty]
    assert all(bool(cases.first_guess[k].any()) for k in full)


def test_the_first_guess_knows_something_of_the_increment(cases):
    dense = cases.density > 0.05
    assert dense.sum() > 5
    error = (cases.increment - cases.first_guess)[dense].float().square().mean()
    assert error < 0.8 * cases.increment[dense].float().square().mean()


def test_blocks_are_neighbours_and_cover_the_part_once_an_epoch():
    index = np.arange(1000, 1300)
    blocks = [_block(index, number, 7) for number in range(6)]
    for epoch in (blocks[:3], blocks[3:]):
        assert sorted(np.concatenate(epoch).tolist()) == index.tolist()
    assert all((np.diff(block) == 1).all() for block in blocks)
    orders = {tuple(_block(index, number, seed)[0] for number in range(3)) for seed in range(20)}
    assert len(orders) > 3


def test_nan_in_the_store_is_refused_when_cases_are_made(place, tmp_path, monkeypatch):
    read = type(place.opened()).read_pairs

    def broken(self, index):
        pairs = read(self, index)
        pairs.truth[3, 2, 1, 0] = np.nan
        return pairs

    monkeypatch.setattr(type(place.opened()), "read_pairs", broken)
    with pytest.raises(BadDataError, match="NaN or absurd values in the validation part"):
        make_shard(0, source=place.source("validation"), directory=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_month_without_states_has_the_mean_of_the_others(place):
    store = place.opened()
    raw, filled = store.statistic("monthly_mean"), monthly(store, "monthly_mean")
    held = np.isfinite(raw).all((1, 2, 3))
    assert 0 < held.sum() < 12
    assert np.array_equal(filled[held], raw[held])
    assert np.allclose(filled[~held], raw[held].mean(0))


def test_files_have_the_umask_s_mode_and_all_fields(place, tmp_path):
    path = shard_path(place.cases / "train", 0)
    (tmp_path / "x").touch()
    assert path.stat().st_mode == (tmp_path / "x").stat().st_mode
    assert {field.name for field in fields(Cases)} >= {"increment", "count"}
