from __future__ import annotations

import pytest

from phyda_cli.experiments.goals import Goal, goals
from phyda_cli.grids.grid import Grid
from tests.experiments.records import comparison, record

GOOD = [record([1.0, 1.0]), record([1.0, 1.0])]
BETTER = [record([0.81, 0.81]), record([0.81, 0.81])]
MIXED = [record([0.81, 1.21]), record([0.81, 1.21])]


def test_a_method_that_is_better_everywhere_loses_no_cell():
    made = comparison({"3dvar": GOOD, "phyda": BETTER})
    assert [c for c in made.losses("phyda", ["3dvar"]) if "nrmse" in c.score or "mae" in c.score] == []
    assert made.losses("phyda", ["3dvar"]) == ()


def test_every_cell_that_is_worse_is_listed_and_no_other():
    lost = comparison({"3dvar": GOOD, "phyda": MIXED}).losses("phyda", ["3dvar"])
    assert {cell.channel for cell in lost} == {"t850", "t", "all"}
    assert {cell.score for cell in lost if cell.channel == "t850"} == {
        f"{place}{name}" for place in ("", "withheld_") for name in ("rmse", "nrmse", "mae", "nmae", "crps", "ncrps")
    }
    # pooled: (0.81 + 1.21)/2 = 1.01 of squares is worse, (0.9 + 1.1)/2 = 1 of absolute errors is not
    assert {cell.score for cell in lost if cell.channel == "all"} == {"nrmse", "withheld_nrmse"}
    (cell,) = [c for c in lost if (c.channel, c.score) == ("t850", "rmse")]
    assert (cell.ratio, cell.low, cell.high) == (pytest.approx(1.1), pytest.approx(1.1), pytest.approx(1.1))
    assert cell.significant


def test_losses_against_all_others_are_listed():
    made = comparison({"3dvar": GOOD, "unet": BETTER, "phyda": MIXED})
    lost = made.losses("phyda", ["3dvar", "unet"])
    assert {cell.other for cell in lost if cell.channel == "t850"} == {"3dvar", "unet"}


def test_a_worse_spectrum_is_a_losing_cell():
    rough = [record([0.5, 0.5], specdiv=[0.3, 0.05]), record([0.5, 0.5], specdiv=[0.3, 0.05])]
    lost = comparison({"3dvar": GOOD, "phyda": rough}).losses("phyda", ["3dvar"])
    assert {(cell.score, cell.channel) for cell in lost} == {
        (f"specdiv_{part}", channel) for part in ("mean", "members") for channel in ("t500", "t", "all")
    }


def test_a_chance_that_goes_both_ways_is_not_significant():
    swinging = [record([0.5, 0.5]), record([1.7, 1.7])]
    lost = comparison({"3dvar": GOOD, "phyda": swinging}).losses("phyda", ["3dvar"])
    assert [cell.significant for cell in lost if (cell.channel, cell.score) == ("t500", "rmse")] == [False]


def found(made, name: str, density: float = 1.0) -> Goal:
    (goal,) = [g for g in goals(made, "phyda", Grid.equiangular(32, 64)) if g.goal == name and g.channel == "all"]
    assert goal.density == density
    return goal


def ensemble(mse: float, variance: float = 1.0, **more) -> list:
    return [record([mse, mse], variance=[variance, variance], **more) for _ in range(2)]


def test_goals_by_hand():
    good = {"background": GOOD, "3dvar": GOOD, "unet": GOOD}
    made = comparison(good | {"phyda": ensemble(0.9025, 0.9025)})
    against = found(made, "nrmse / 3dvar's nrmse")
    assert against.value == pytest.approx(0.95)
    assert found(comparison(good | {"phyda": ensemble(0.90)}), "nrmse / 3dvar's nrmse").met is True
    assert found(comparison(good | {"phyda": ensemble(0.91)}), "nrmse / 3dvar's nrmse").met is False
    assert found(made, "nrmse / background's nrmse").met is True
    assert found(made, "nrmse / unet's nrmse").met is True
    # the records' CRPS is their MAE: 0.95 > 0.80
    assert found(made, "ncrps / 3dvar's MAE").met is False
    assert found(comparison(good | {"phyda": ensemble(0.60)}), "ncrps / 3dvar's MAE").met is True
    # √(4/3) = 1.155 for a spread as large as the error
    assert found(made, "spread/skill").value == pytest.approx((4 / 3) ** 0.5)
    assert found(made, "spread/skill").met is True
    assert found(comparison(good | {"phyda": ensemble(1.0, 0.4)}), "spread/skill").met is False
    # SpecDiv 0.1 for both: a ratio of 1 where 0.203 is asked for
    assert found(made, "specdiv_members / unet's specdiv_members").met is False
    less = comparison(good | {"phyda": ensemble(0.9, specdiv=[0.02, 0.02])})
    assert found(less, "specdiv_members / unet's specdiv_members").met is True


def test_a_goal_without_its_method_cannot_be_told():
    made = comparison({"phyda": ensemble(0.5)})
    assert found(made, "nrmse / unet's nrmse").met is None
    assert found(made, "nrmse / 3dvar's nrmse").value is None


def test_bars_of_the_rank_histogram_by_hand():
    """Of four bars only the first lies about 1 from date to date; the others are always above or below it."""
    name = "bars of the rank histograms that are flat within their interval"
    uneven = ensemble(0.5)
    assert found(comparison({"phyda": uneven}), name).value == 1.0
    uneven[0]["ranks"], uneven[1]["ranks"] = [[6, 10, 14, 4]], [[10, 10, 10, 4]]
    goal = found(comparison({"phyda": uneven}), name)
    # shares × 4: (0.71, 1.18, 1.65, 0.47) and (1.18, 1.18, 1.18, 0.47)
    assert goal.value == 0.25
    assert goal.met is False


def test_power_of_the_members_within_a_fifth():
    smooth = ensemble(0.5)
    for date in smooth:
        date["power_members"] = [[1.0] * 4 + [1.1, 1.19, 0.7]] * 2
    made = comparison({"phyda": smooth})
    # bands of 31 wavenumbers: (1-4, 5-10, 11-20, 21-31), then the octaves 4-7, 8-15, 16-31
    values = {octave: found(made, f"members' power / truth's, n = {octave}") for octave in ("4-7", "8-15", "16-31")}
    assert {octave: goal.met for octave, goal in values.items()} == {"4-7": True, "8-15": True, "16-31": False}


def test_without_observations_the_mean_increment_counts():
    made = comparison({"phyda": ensemble(1.0)}, density=0.0)
    # squares 0.01 and 0.03 of σ_b²: √0.02 = 0.14 > 0.05
    goal = found(made, "mean increment / sigma_b without observations", 0.0)
    assert goal.value == pytest.approx(0.02**0.5)
    assert goal.met is False
    assert not [g for g in goals(made, "phyda", Grid.equiangular(32, 64)) if "nrmse" in g.goal]
