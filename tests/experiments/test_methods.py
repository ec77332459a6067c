from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.evaluation.scores import area_mean
from phyda_cli.experiments.methods.base import Analyses, FirstGuesses, solver
from phyda_cli.experiments.methods.registry import Material, make_methods
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.operators.rows import entries
from tests.support.background_error import small_statistics


@pytest.fixture(scope="module")
def batch(drawer):
    pairs = drawer.store.pair_index("test")[[0, 3, 5]]
    return drawer.draw(pairs, drawer.read(pairs), 5.0)


def increments(method: ThreeDVar, batch) -> torch.Tensor:
    return Analyses.of(method.increments(batch.cases()), batch).mean


def size(drawer, batch, increment) -> float:
    rest = (increment - batch.error) / batch.sigma
    return float(area_mean(rest.square(), drawer.store.grid).mean())


def test_the_draw_of_a_pair_depends_on_nothing_else(drawer, batch):
    alone = np.array(batch.pairs[1:2])
    again = drawer.draw(alone, drawer.read(alone), 5.0)
    for name in ("variable", "pressure", "latitude", "longitude", "departure", "error"):
        first, second = getattr(batch.departures[1], name), getattr(again.departures[0], name)
        assert first.tolist() == second.tolist() or np.array_equal(first, second, equal_nan=True)
    assert torch.equal(entries(again.withheld[0].blocks)[1], entries(batch.withheld[1].blocks)[1])
    other = drawer.draw(alone, drawer.read(alone), 2.0)
    assert torch.equal(entries(other.withheld[0].blocks)[1], entries(batch.withheld[1].blocks)[1])
    assert not set(other.departures[0].latitude.tolist()) & set(again.departures[0].latitude.tolist())


def test_departures_are_the_error_with_the_noise_that_is_told(drawer, batch):
    for row, (case, operator) in enumerate(zip(batch.departures, batch.operators, strict=True)):
        noise = (case.departure - operator(batch.error[row].double()).numpy()) / case.error
        assert noise.std() == pytest.approx(1.0, abs=0.12)
        assert abs(noise.mean()) < 0.2


def test_the_scale_is_the_known_growth(batch):
    # three times as large at 48 h as at 24 h, the nominal lead
    assert dict(zip(batch.lead_hours.tolist(), batch.scale.tolist(), strict=True)) == {
        24: pytest.approx(1.0),
        48: pytest.approx(3.0, rel=0.15),
    }


def test_cases_of_different_scale_are_solved_together_as_one_by_one(batch):
    together = increments(solver(small_statistics(), (1.0, 1.0), tolerance=1e-5), batch)
    for row, case in enumerate(batch.departures):
        alone = ThreeDVar(small_statistics().scaled(float(batch.scale[row])), tolerance=1e-6).minimise([case])[0][0]
        assert ((together[row] - alone) / batch.sigma[row]).square().mean().sqrt() < 0.02


def test_factors_are_those_of_the_density(ground, batch):
    def row(factors):
        material = Material(
            ground.place.opened(), small_statistics(), ground.place.background_error, _digest(ground), {}, {}, factors,
            4, 0,
        )  # fmt: skip
        return make_methods(["3dvar"], material)[0]

    plain, other = row({}), solver(small_statistics(), (0.5, 1.25))
    tuned = row({5.0: (0.5, 1.25), 1.0: (2.0, 1.0)})
    assert torch.equal(tuned.analyse(batch).mean, increments(other, batch))
    assert not torch.allclose(tuned.analyse(batch).mean, plain.analyse(batch).mean)
    assert torch.equal(tuned.analyse(replace(batch, density=3.0)).mean, plain.analyse(batch).mean)


def test_first_guesses_are_solved_once_for_a_batch(batch, monkeypatch):
    solved = []
    plain = ThreeDVar.minimise
    monkeypatch.setattr(
        ThreeDVar, "minimise", lambda self, cases, own=(): solved.append(len(cases)) or plain(self, cases, own)
    )
    guesses = FirstGuesses(ThreeDVar(small_statistics(), tolerance=1e-5))
    first = guesses(batch)[0]
    assert torch.equal(guesses(batch)[0], first)
    assert solved == [3]
    moved = replace(batch, departures=tuple(replace(c, departure=2.0 * c.departure) for c in batch.departures))
    assert torch.allclose(guesses(moved)[0], 2.0 * first, rtol=1e-2, atol=1e-3 * float(first.abs().max()))
    assert solved == [3, 3]


def test_all_methods_help_and_see_one_network(ground, drawer, batch):
    place = ground.place
    material = Material(
        place.opened(), small_statistics(), place.background_error, _digest(ground), ground.weights,
        {"phyda": "1", "unet": "2"}, {}, 4, 0,
    )  # fmt: skip
    methods = make_methods(["background", "3dvar", "oi", "phyda", "unet"], material)
    made = {method.name: method.analyse(batch) for method in methods}
    scores = {name: size(drawer, batch, analyses.mean) for name, analyses in made.items()}
    assert scores["background"] > scores["oi"]
    assert scores["background"] > scores["3dvar"]
    # untrained, the reconstruction is the first guess, and the members scatter around it in pairs
    assert scores["unet"] == pytest.approx(scores["3dvar"], rel=0.1)
    assert torch.allclose(made["phyda"].mean / batch.sigma, made["unet"].mean / batch.sigma, atol=0.05)
    assert made["phyda"].members.shape[1] == 4
    assert [name for name, analyses in made.items() if analyses.members is not None] == ["phyda"]


def test_weights_of_another_background_error_are_refused(ground):
    place = ground.place
    material = Material(
        place.opened(), small_statistics(), place.background_error, "other", ground.weights, {"phyda": "1"}, {}, 4, 0
    )
    with pytest.raises(BadDataError, match="another background error"):
        make_methods(["phyda"], material)


def _digest(ground) -> str:
    from phyda_cli.resources import sha256

    return sha256(ground.place.background_error)
