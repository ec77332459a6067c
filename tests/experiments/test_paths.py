"""The path of the analysis beside that of the method, on the small store."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.cli.app import main
from phyda_cli.errors import BadDataError
from phyda_cli.evaluation.scores import area_mean
from phyda_cli.experiments.journal import Journal
from phyda_cli.experiments.methods.base import Analyses, AnalysisRow, Row, solver
from phyda_cli.experiments.methods.guided_prior import GuidedPriorMethod
from phyda_cli.experiments.methods.registry import _analysed
from tests.support.background_error import small_statistics

METHOD = solver(small_statistics(), (1.0, 1.0), tolerance=1e-4)
BOTH = (Row("3dvar", "", lambda density: METHOD), AnalysisRow("3dvar (analysis)", "", lambda pair: METHOD))


@pytest.fixture(scope="module")
def batch(drawer):
    pairs = drawer.store.pair_index("test")[[0, 3, 5, 6]]
    return drawer.draw(pairs, drawer.read(pairs), 5.0)


def rmse(drawer, batch, analyses: Analyses) -> torch.Tensor:
    """(case,) in units of σ_b, of all but humidity: the states of this store are noise, often below zero."""
    dry = [number for number, channel in enumerate(batch.channels) if channel.variable != "q"]
    rest = ((analyses.mean - batch.error) / batch.sigma)[:, dry]
    return area_mean(rest.square(), drawer.store.grid).mean(1).sqrt()


def test_right_statistics_make_both_paths_alike(drawer, batch):
    by_method, by_analysis = (row.analyse(batch) for row in BOTH)
    # s from 410 departures errs by up to √(2/410) = 7 % twice over; the error is stationary in s, of second order: 2 %
    assert torch.allclose(rmse(drawer, batch, by_analysis), rmse(drawer, batch, by_method), rtol=0.03)
    assert list(by_analysis.used) == list(by_method.used) == [410] * 4
    assert by_method.scale == batch.scale.tolist()
    assert np.allclose(by_analysis.scale, by_method.scale, rtol=0.2)


def test_gross_errors_harm_the_method_and_are_refused_by_the_analysis(drawer, batch):
    random = np.random.default_rng(1)
    planted, wrong = [], []
    for number, case in enumerate(batch.departures):
        hit = random.random(len(case)) < 0.1
        sigma = batch.operators[number].of_spread(batch.sigma[number].expand_as(batch.error[number]).double()).numpy()
        size = 20.0 * np.hypot(sigma, case.error) * random.choice([-1, 1], len(case))
        planted.append(replace(case, departure=case.departure + np.where(hit, size, 0.0)))
        wrong.append(int(hit.sum()))
    clean = rmse(drawer, batch, BOTH[1].analyse(batch))
    by_method, by_analysis = (row.analyse(replace(batch, departures=tuple(planted))) for row in BOTH)
    assert (rmse(drawer, batch, by_method) > 3.0 * rmse(drawer, batch, by_analysis)).all()
    # a tenth of the observations less
    assert torch.allclose(rmse(drawer, batch, by_analysis), clean, rtol=0.15)
    for used, count in zip(by_analysis.used, wrong, strict=True):
        assert 410 - 1.2 * count - 4 <= used <= 410 - 0.97 * count


def test_members_move_from_the_background_and_have_a_seed_for_each_pair(batch):
    row = AnalysisRow("3dvar (analysis)", "", lambda pair: replace(METHOD, members=3, seed=pair))
    made = row.analyse(batch)
    assert made.members is not None
    assert made.members.shape == (4, 3, *batch.error.shape[1:])
    dry = made.members[:, :, :9] - made.mean[:, None, :9]
    spread = (dry.std(1) / batch.sigma[:, :9]).square().mean((1, 2, 3)).sqrt() / batch.scale.clamp_max(1.0)
    assert ((spread > 0.3) & (spread < 1.1)).all()
    # the same case under another number draws others, its mean is the same
    other = row.analyse(replace(batch, pairs=tuple(1000 + pair for pair in batch.pairs)))
    assert other.members is not None
    assert torch.equal(other.mean, made.mean)
    assert not torch.allclose(other.members[0, 0], made.members[0, 0])


def test_a_prior_has_no_analysis(ground):
    class Material:
        weights = ground.weights

    with pytest.raises(BadDataError, match="a prior has no analysis"):
        _analysed(GuidedPriorMethod("phyda", "", None, 4), Material())


def test_both_paths_stand_in_one_run_that_goes_on(ground, tmp_path, monkeypatch, capsys):
    output, added, plain = tmp_path / "out", [], Journal.add

    def counted(self, method, density, records):
        if len(added) == 7:
            raise KeyboardInterrupt
        plain(self, method, density, records)
        added.append((method, density))

    words = [*ground.words(output), "--dates", "2", "--quiet"]
    assert main([*words, "--methods", "background,3dvar"]) == 0
    words += ["--path", "method,analysis", "--methods", "background,3dvar,phyda,unet"]
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", counted)
        assert main(words) == 130
        first = added[:]
        added.clear()
        assert main(words) == 0
    # background and 3dvar of the first run are not made again, nor what the second had made
    wanted = {(name, d) for name in ("3dvar (analysis)", "phyda", "phyda (analysis)", "unet", "unet (analysis)")
              for d in (5.0, 0.0)}  # fmt: skip
    assert sorted(first + added) == sorted(wanted)

    with (output / "scores.csv").open(newline="") as file:
        held = {tuple(row[:4]): row[4] for row in csv.reader(file)}
    for name in ("3dvar", "phyda", "unet"):
        both = [float(held[own, "5", "t", "nrmse"]) for own in (name, f"{name} (analysis)")]
        assert both[1] == pytest.approx(both[0], rel=0.1)
        assert (f"{name} (analysis)", "5", "t", "spread_skill") in held or name == "unet"
        assert float(held[name, "5", "all", "used"]) == 410
        assert float(held[f"{name} (analysis)", "5", "all", "used"]) <= 410
    # nothing observed: the analysis is the background, its scale the usual one; the method is told 1 and 3
    nothing = held["background", "0", "all", "nrmse"]
    assert all(held[f"{name} (analysis)", "0", "all", "nrmse"] == nothing for name in ("3dvar", "phyda", "unet"))
    assert float(held["3dvar (analysis)", "0", "all", "used"]) == 0
    assert float(held["3dvar (analysis)", "0", "all", "scale"]) == 1
    assert float(held["3dvar", "0", "all", "scale"]) == pytest.approx(2.0, rel=0.1)
    assert ("background", "5", "all", "used") not in held
    identities = json.loads((output / "scores.json").read_text())["methods"]
    assert identities["phyda"] != identities["phyda (analysis)"]
    assert not re.search(r"\]\([^)]*[ (]", (output / "report.md").read_text())
    assert main([*words, "--path", "shortest"]) == 2
    assert "give method or analysis, or both with a comma" in capsys.readouterr().err
