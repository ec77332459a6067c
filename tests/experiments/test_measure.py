from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.evaluation.scores import mse
from phyda_cli.experiments.ensembles import spread_skill
from phyda_cli.experiments.measure import Measure
from phyda_cli.experiments.methods.base import Analyses, Row
from phyda_cli.experiments.results import Results
from phyda_cli.methods.base import Departures
from phyda_cli.operators.operator import Operator
from phyda_cli.operators.rows import entries

NOTHING = Row("background", "", lambda density: None)


@pytest.fixture(scope="module")
def batch(drawer):
    pairs = drawer.store.pair_index("test")[[0, 3, 5]]
    return drawer.draw(pairs, drawer.read(pairs), 5.0)


@pytest.fixture(scope="module")
def measure(drawer):
    return Measure(drawer.store.channels, drawer.store.grid)


def zeros(record, *names):
    return all(np.abs(record[name]).max() < 1e-6 for name in names)


def test_a_perfect_analysis_scores_zero(batch, measure):
    for record in measure.records(batch, Analyses(batch.error), seconds=3.0):
        assert zeros(record, "mse", "nmse", "mae", "nmae", "bias", "nbias")
        assert zeros(record, "withheld_mse", "withheld_nmse", "withheld_mae", "withheld_bias")
        assert zeros(record, "specdiv_mean", "hydrostatic_mean", "geostrophic_mean")
        assert zeros(record, "specdiv_increment_mean")
        assert record["power_increment_mean"] == pytest.approx(np.array(record["power_increment_truth"]))
        assert record["power_mean"] == pytest.approx(np.array(record["power_truth"]))
        assert record["seconds"] == pytest.approx(1.0)


def test_the_background_has_the_known_error(batch, measure, drawer):
    for row, record in enumerate(measure.records(batch, NOTHING.analyse(batch), seconds=0.0)):
        expected = mse(torch.zeros_like(batch.error[row]), batch.error[row], drawer.store.grid)
        assert record["mse"] == pytest.approx(expected.tolist(), rel=1e-5)
        # σ_b is that of the lead: the errors of both leads, 1 and 3 times as large, are 1 in their units
        assert np.mean(record["nmse"]) == pytest.approx(1.0, abs=0.35)
        assert record["nincrement"] == [0.0] * 16
        assert np.isnan(record["specdiv_increment_mean"]).all()  # nothing has no spectrum
        assert record["chi2_innovation"] == pytest.approx(1.0, abs=0.35)
        assert record["desroziers_b"] == 0.0


def test_members_of_an_exact_mean(batch, measure, drawer):
    # mean right, members σ_b apart: variance 2 σ_b² (M − 1 = 1), CRPS of ±σ: σ − σ = 0 with the fair estimate
    members = torch.stack([batch.error - batch.sigma, batch.error + batch.sigma], dim=1)
    for record in measure.records(batch, Analyses(batch.error, members), seconds=0.0):
        assert record["nvariance"] == pytest.approx([2.0] * 16, rel=1e-4)
        assert zeros(record, "nmse", "ncrps", "withheld_ncrps")
        # the truth lies between the two everywhere
        ranks = np.array(record["ranks"])
        assert ranks[:, [0, 2]].sum() == 0
        assert ranks.sum() == 16 * 16 * 32


def test_an_ensemble_that_is_drawn_like_the_truth_is_reliable(batch, measure):
    generator = torch.Generator().manual_seed(1)
    shape = (3, 8, *batch.error.shape[1:])
    centre = batch.error + batch.sigma * torch.randn(batch.error.shape, generator=generator)
    members = centre[:, None] + batch.sigma[:, None] * torch.randn(shape, generator=generator)
    records = measure.records(batch, Analyses(members.mean(1), members), seconds=0.0)
    held = {("a", 5.0, pair): record for pair, record in zip(batch.pairs, records, strict=True)}
    found = Results(held, batch.pairs, batch.valid_time, ("a",), (5.0,), measure.channels)
    assert spread_skill(found, "a", 5.0)["all"] == pytest.approx(1.0, abs=0.05)


def test_the_withheld_places_are_not_those_of_the_methods(batch):
    for row, case in enumerate(batch.departures):
        assert len(batch.withheld[row]) == round(0.02 * batch.error[0].numel())
        own, withheld = (entries(part[row].blocks)[2][:400] for part in (batch.operators, batch.withheld))
        assert not torch.equal(own, withheld)
        assert len(case) == round(0.05 * batch.error[0].numel())


def test_nothing_observed_says_nothing_of_consistency(batch, measure):
    none = Departures(Operator.at(np.zeros(0, dtype=object), *[np.zeros(0)] * 3), np.zeros(0), np.zeros(0))
    empty = replace(batch, departures=(none,) * 3)
    assert "chi2_innovation" not in measure.records(empty, NOTHING.analyse(batch), seconds=0.0)[0]
