from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.experiments.methods import registry
from phyda_cli.experiments.methods.guided_prior import GuidedPriorMethod, strength
from phyda_cli.experiments.methods.registry import Material, learned_method
from phyda_cli.networks.phyda import PhyDA
from tests.support.background_error import CHANNELS, GRID, small_statistics
from tests.support.learned import CONFIG, checkpoint


@pytest.fixture(scope="module")
def prior():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return checkpoint(PhyDA(len(CHANNELS), GRID.shape, CONFIG.model_copy(update={"conditional": False})).eval())


@pytest.fixture(scope="module")
def batch(drawer):
    pairs = drawer.store.pair_index("test")[[0, 3]]
    return drawer.draw(pairs, drawer.read(pairs), 5.0)


def fit(batch, analyses) -> float:
    """Mean square of the departures left, in units of those of the background."""
    pairs = zip(batch.departures, batch.operators, analyses.mean, strict=True)
    left = [(case.departure - operator(mean.double()).numpy()) / case.error for case, operator, mean in pairs]
    before = [case.departure / case.error for case in batch.departures]
    return float(np.square(np.concatenate(left)).mean() / np.square(np.concatenate(before)).mean())


def test_the_strength_grows_with_the_density_within_its_limits():
    assert [strength(x) for x in (0.0, 0.5, 5.0, 10.0, 50.0)] == [0.5, 0.5, 1.0, 2.0, 2.0]


def test_observations_draw_the_members_to_themselves(prior, batch):
    """Before training the decoder carries about a tenth of σ_b: little can be drawn, but towards the observations."""
    guided = GuidedPriorMethod("prior", "", prior, 4).analyse(batch)
    free = GuidedPriorMethod("prior", "", prior, 4).analyse(without_observations(batch))
    assert guided.members.shape == (2, 4, *batch.error.shape[1:])
    assert torch.equal(guided.mean, guided.members.mean(1))
    assert fit(batch, guided) < fit(batch, free) - 0.01


def test_a_case_does_not_hang_on_the_others(prior, batch, drawer):
    method = GuidedPriorMethod("prior", "", prior, 2, seed=3)
    alone = np.array(batch.pairs[1:])
    single = method.analyse(drawer.draw(alone, drawer.read(alone), 5.0))
    assert torch.equal(single.members[0], method.analyse(batch).members[1])


def test_twice_the_errors_and_departures_are_twice_the_members(prior, batch):
    method = GuidedPriorMethod("prior", "", prior, 2)
    doubled = replace(
        batch,
        scale=2.0 * batch.scale,
        departures=tuple(replace(c, departure=2.0 * c.departure, error=2.0 * c.error) for c in batch.departures),
    )
    once, twice = method.analyse(batch).members / batch.sigma[:, None], method.analyse(doubled).members
    assert torch.allclose(twice / batch.sigma[:, None], 2.0 * once, atol=1e-3 * float(once.abs().max()))


def test_weights_of_a_prior_are_guided(prior, drawer, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "read_checkpoint", lambda path: prior)
    monkeypatch.setattr(registry, "_check_origin", lambda *given: None)
    weights, digests = {"prior": tmp_path / "x"}, {"prior": "ab"}
    material = Material(drawer.store, small_statistics(), tmp_path / "b", "", weights, digests, {}, 4, 1)
    made = learned_method("prior", material)
    assert isinstance(made, GuidedPriorMethod)
    assert (made.members, made.seed, made.identity) == (4, 1, "ab guided, 4 members")


def without_observations(batch):
    nothing = np.zeros(0, dtype=np.int64)
    return replace(batch, departures=tuple(case.take(nothing) for case in batch.departures))
