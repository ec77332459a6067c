from __future__ import annotations

import pytest

from tests.experiments.records import comparison, record

GOOD = [record([1.0, 1.0]), record([1.0, 1.0])]
BETTER = [record([0.81, 0.81]), record([0.81, 0.81])]
MIXED = [record([0.81, 1.21]), record([0.81, 1.21])]


def test_a_method_that_is_better_everywhere_loses_no_cell():
    made = comparison({"3dvar": GOOD, "phyda": BETTER})
    assert [c for c in made.losses("phyda", ["3dvar"]) if "nrmse" in c.score.name or "mae" in c.score.name] == []
    assert made.losses("phyda", ["3dvar"]) == ()


def test_every_cell_that_is_worse_is_listed_and_no_other():
    lost = comparison({"3dvar": GOOD, "phyda": MIXED}).losses("phyda", ["3dvar"])
    assert {cell.channel for cell in lost} == {"t850", "t", "all"}
    assert {cell.score.name for cell in lost if cell.channel == "t850"} == {
        f"{place}{name}" for place in ("", "withheld_") for name in ("rmse", "nrmse", "mae", "nmae", "crps", "ncrps")
    }
    # pooled: (0.81 + 1.21)/2 = 1.01 of squares is worse, (0.9 + 1.1)/2 = 1 of absolute errors is not
    assert {cell.score.name for cell in lost if cell.channel == "all"} == {"nrmse", "withheld_nrmse"}
    (cell,) = [c for c in lost if (c.channel, c.score.name) == ("t850", "rmse")]
    assert (cell.ratio, cell.low, cell.high) == (pytest.approx(1.1), pytest.approx(1.1), pytest.approx(1.1))
    assert cell.significant


def test_losses_against_all_others_are_listed():
    made = comparison({"3dvar": GOOD, "unet": BETTER, "phyda": MIXED})
    lost = made.losses("phyda", ["3dvar", "unet"])
    assert {cell.other for cell in lost if cell.channel == "t850"} == {"3dvar", "unet"}


def test_a_worse_spectrum_is_a_losing_cell():
    rough = [record([0.5, 0.5], specdiv=[0.3, 0.05]), record([0.5, 0.5], specdiv=[0.3, 0.05])]
    lost = comparison({"3dvar": GOOD, "phyda": rough}).losses("phyda", ["3dvar"])
    assert {(cell.score.name, cell.channel) for cell in lost} == {
        (f"specdiv_{part}", channel) for part in ("mean", "members") for channel in ("t500", "t", "all")
    }


def test_a_chance_that_goes_both_ways_is_not_significant():
    swinging = [record([0.5, 0.5]), record([1.7, 1.7])]
    lost = comparison({"3dvar": GOOD, "phyda": swinging}).losses("phyda", ["3dvar"])
    assert [cell.significant for cell in lost if (cell.channel, cell.score.name) == ("t500", "rmse")] == [False]
