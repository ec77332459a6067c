"""A step's batch: a pure function of seed and step, shared exactly, symmetric in sign."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.fields.variables import VARIABLES
from phyda_cli.training import batches
from phyda_cli.training.batches import Batch, as_they_are, assembled
from phyda_cli.training.loader import Steps, drawn_ahead

FIELDS = ("increment", "first_guess", "background", "static", "density", "state", "sigma")
STEPS = 100
OBSERVED = ("signal", "noise", "density")


@pytest.fixture(scope="module")
def data(place):
    return place.data()


def draw(data, step: int, *, seed: int = 0, size: int = 8, rank: int = 0, world: int = 1) -> Batch:
    noise = ((3, 2), ())
    drawn = batches.draw(
        data.train, data.statistics, size=size, step=step, steps=STEPS, seed=seed, rank=rank, world=world, noise=noise
    )
    return assembled(drawn, data.statistics)


def training_batch(cases, statistics, **settings) -> Batch:
    return assembled(batches.draw(cases, statistics, **settings), statistics)


def contents(batch: Batch) -> list[torch.Tensor]:
    own = [getattr(batch, name) for name in FIELDS] + [getattr(batch.observations, name) for name in OBSERVED]
    return [*own, *batch.noise]


def equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_it_depends_on_seed_and_step_alone(data):
    wanted = contents(draw(data, 5))
    torch.manual_seed(99)
    draw(data, 4)
    assert equal(contents(draw(data, 5)), wanted)
    assert not equal(contents(draw(data, 6)), wanted)
    assert not equal(contents(draw(data, 5, seed=1)), wanted)


@pytest.mark.parametrize("world", [2, 4])
def test_the_shares_of_all_processes_are_the_whole(data, world):
    whole = contents(draw(data, 3))
    parts = [contents(draw(data, 3, rank=rank, world=world)) for rank in range(world)]
    assert equal([torch.cat(pieces) for pieces in zip(*parts, strict=True)], whole)


def turned(batch: Batch, columns: list[int]) -> Batch:
    """Each case moved eastward by its number of columns."""

    def move(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([one.roll(shift, -1) for one, shift in zip(x, columns, strict=True)])

    names = ("increment", "first_guess", "background", "state", "static")
    seen = batch.observations
    return replace(
        batch,
        observations=replace(seen, **{name: move(getattr(seen, name)) for name in OBSERVED}),
        **{name: move(getattr(batch, name)) for name in names},
    )


def turned_back(batch: Batch, plain: torch.Tensor) -> tuple[Batch, list[int]]:
    """The batch with every case turned until its increment is that of `plain`, of any sign and hemisphere."""
    columns = []
    for own, case in zip(batch.increment.abs(), plain.abs(), strict=True):
        fits = [k for k in range(own.shape[-1]) if any(torch.equal(own.roll(k, -1), x) for x in (case, case.flip(-2)))]
        columns.append(fits[0])
    return turned(batch, columns), columns


def test_v_at_ten_metres_is_mirrored_as_v_is():
    assert [name for name, variable in VARIABLES.items() if variable.is_northward] == ["v", "v10"]


def test_signed_cases_keep_signs_and_hemispheres(data):
    cases, size = data.train, len(data.train)
    shuffled = np.random.default_rng([0, 0]).permutation(size).tolist()
    batch = training_batch(cases, data.statistics, size=size, step=0, steps=STEPS, seed=0, signed=True)
    back, columns = turned_back(batch, cases.increment[shuffled].float())
    assert torch.equal(back.increment, cases.increment[shuffled].float())
    assert torch.equal(back.first_guess, cases.first_guess[shuffled].float())
    assert len(set(columns)) > 16


def test_signs_turn_the_errors_and_mirrors_the_sphere(data):
    cases, size = data.train, len(data.train)
    shuffled = np.random.default_rng([0, 0]).permutation(size).tolist()
    batch, _ = turned_back(draw(data, 0, size=size), cases.increment[shuffled].float())
    north = torch.tensor([-1.0 if c.variable == "v" else 1.0 for c in data.statistics.channels])[:, None, None]
    plain = cases.increment[shuffled].float()
    mirror = (batch.increment.abs() == plain.flip(-2).abs()).all((1, 2, 3))
    assert torch.equal((batch.increment.abs() == plain.abs()).all((1, 2, 3)), ~mirror)

    def flipped(x: torch.Tensor, sign: torch.Tensor | float) -> torch.Tensor:
        return torch.stack([row.flip(-2) * sign if turn else row for row, turn in zip(x, mirror, strict=True)])

    sign = torch.sign((batch.increment * flipped(plain, north)).sum((1, 2, 3)))[:, None, None, None]
    for drawn in (sign, 1 - 2 * mirror.float()):
        assert set(drawn.flatten().tolist()) == {-1.0, 1.0}
        assert abs(float(drawn.mean())) < 0.4
    observed = cases.rows(shuffled).observations()
    assert torch.equal(batch.increment, flipped(plain, north) * sign)
    assert torch.equal(batch.first_guess, flipped(cases.first_guess[shuffled].float(), north) * sign)
    assert torch.equal(batch.observations.signal, flipped(observed.signal, north) * sign)
    assert torch.equal(batch.observations.noise, flipped(observed.noise, 1.0))
    assert torch.equal(batch.observations.density, flipped(observed.density, 1.0))
    assert torch.equal(batch.density, cases.density[shuffled])
    background = flipped(cases.background[shuffled].float(), north).clamp(-5, 5)
    kept = (batch.background != 0).flatten(2).any(2)
    assert torch.equal(batch.background, background * kept[:, :, None, None])
    gaps = (~kept).any(1).float().mean()
    assert gaps == pytest.approx(batches._CASES_WITH_GAPS, abs=0.15)


def test_an_epoch_visits_every_case_once_across_batches(data):
    size, numbered = len(data.train), replace(data.train, density=torch.arange(len(data.train)).float())
    assert size % 8 == 0 or size > 8
    seen = []
    for step in range(-(-2 * size // 8)):
        seen += training_batch(numbered, data.statistics, size=8, step=step, steps=STEPS, seed=3).density.tolist()
    assert sorted(seen[:size]) == list(range(size))
    assert sorted(seen[size : 2 * size]) == list(range(size))
    assert seen[:size] != seen[size : 2 * size]


def test_a_batch_may_be_larger_than_the_cases(data):
    assert draw(data, 0, size=3 * len(data.train)).increment.shape[0] == 3 * len(data.train)


def test_backgrounds_are_clipped(data):
    wild = replace(data.train, background=data.train.background * 100)
    batch = training_batch(wild, data.statistics, size=8, step=0, steps=STEPS, seed=0)
    assert float(batch.background.abs().max()) == batches.ANOMALY_LIMIT


def test_state_static_and_statistics_are_those_of_the_turned_case(data):
    """x_b of a mirrored case is the mirrored x_b, and its season is half a year later."""
    size = 8
    order = np.random.default_rng([0, 0]).permutation(len(data.train)).tolist()[:size]
    drawn = batches.draw(data.train, data.statistics, size=size, step=0, steps=STEPS, seed=0)
    batch, plain = (
        assembled(drawn, data.statistics),
        assembled(as_they_are(data.train, data.statistics, order), data.statistics),
    )
    north = torch.tensor([-1.0 if c.variable == "v" else 1.0 for c in data.statistics.channels])[:, None, None]
    assert 0 < sum(drawn.mirror) < size
    for k, (mirror, shift) in enumerate(zip(drawn.mirror, drawn.columns, strict=True)):

        def moved(x: torch.Tensor, sign: torch.Tensor | float = 1.0, *, mirror=mirror, shift=shift) -> torch.Tensor:
            return (x.flip(-2) * sign if mirror else x).roll(shift, -1)

        assert torch.equal(batch.state[k], moved(plain.state[k], north))
        assert torch.equal(batch.base.anomaly[k], moved(plain.base.anomaly[k], north))
        assert torch.equal(batch.sigma[k], moved(plain.sigma[k]))
        assert torch.equal(batch.base.ratio[k], moved(plain.base.ratio[k]))
        assert torch.equal(batch.static[k, :2], plain.static[k, :2])
        assert torch.equal(batch.static[k, 2:4], plain.static[k, 2:4] * (-1 if mirror else 1))
        assert torch.equal(batch.static[k, 4:], moved(plain.static[k, 4:]))


def test_workers_give_the_steps_of_one_process_in_their_order(data):
    source = Steps(data.train, data.statistics, 4, 5, 0, False, 0, 1, ((),))
    here, there = (list(drawn_ahead(source, 2, torch.device("cpu"), workers=n)) for n in (0, 2))
    assert len(here) == len(there) == 3
    for one, other in zip(here, there, strict=True):
        assert (one.mirror, one.columns, one.progress) == (other.mirror, other.columns, other.progress)
        assert torch.equal(one.rows.increment, other.rows.increment)
        assert torch.equal(one.noise[0], other.noise[0])
