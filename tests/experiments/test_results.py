from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.experiments.ensembles import band_ratios, pooled_divergence, spread_skill
from phyda_cli.experiments.score import CRPS, RMSE, Score
from phyda_cli.experiments.tables import rows, summary, text, to_csv
from tests.experiments.records import comparison, record, results

DATES = [record([1.0, 4.0]), record([3.0, 16.0])]


def test_roots_are_taken_after_the_mean_over_dates_and_channels():
    pooled = results({"a": DATES}).pooled("a", 1.0, RMSE)
    # t500: (1 + 3)/2 = 2; t850: (4 + 16)/2 = 10; both: 6
    assert pooled == {
        "t500": pytest.approx(2**0.5),
        "t850": pytest.approx(10**0.5),
        "t": pytest.approx(6**0.5),
        "all": pytest.approx(6**0.5),
    }


def test_scores_with_a_unit_are_not_pooled_over_channels():
    assert set(results({"a": DATES}).pooled("a", 1.0, Score("rmse"))) == {"t500", "t850"}


def test_withheld_places_count_one_by_one():
    dates = [
        record([1.0, 1.0], count=(3.0, 0.0), withheld=[2.0, 0.0]),
        record([1.0, 1.0], count=(1.0, 2.0), withheld=[6.0, 5.0]),
    ]
    pooled = results({"a": dates}).pooled("a", 1.0, Score("mse", withheld=True, relative=True))
    # t500: (3·2 + 1·6)/4 = 3; t850: 2·5/2 = 5, its empty date does not count; all: (6 + 6 + 10)/6
    assert pooled["t500"] == pytest.approx(3.0)
    assert pooled["t850"] == pytest.approx(5.0)
    assert pooled["all"] == pytest.approx(22.0 / 6.0)


def test_an_analysis_without_members_has_its_absolute_error_as_crps():
    found = results({"a": DATES})
    assert found.pooled("a", 1.0, CRPS) == found.pooled("a", 1.0, Score("mae", relative=True))
    assert found.pooled("a", 1.0, Score("crps", withheld=True)) == found.pooled("a", 1.0, Score("mae", withheld=True))
    assert found.pooled("a", 1.0, Score("specdiv", part="members")) == found.pooled(
        "a", 1.0, Score("specdiv", part="mean")
    )
    assert found.pooled("a", 1.0, Score("spread")) == {}


def test_scalars_and_the_size_of_the_increment():
    found = results({"a": DATES})
    assert found.scalar("a", 1.0, Score("hydrostatic", part="mean")) == pytest.approx(2.0)
    assert found.scalar("a", 1.0, Score("geostrophic", part="members")) == pytest.approx(3.0)
    assert found.pooled("a", 1.0, Score("increment", relative=True))["all"] == pytest.approx(0.02**0.5)


def test_spread_over_skill_by_hand():
    # M = 3: √(4/3) √(mean variance)/√(mean square error); t500: variance 1.5, error 2: √(4/3 · 0.75) = 1
    dates = [record([1.0, 4.0], variance=[1.0, 1.0]), record([3.0, 16.0], variance=[2.0, 1.0])]
    ratios = spread_skill(results({"a": dates}), "a", 1.0)
    assert ratios["t500"] == pytest.approx(1.0)
    assert ratios["t850"] == pytest.approx((4 / 3 / 10) ** 0.5)
    assert ratios["t"] == pytest.approx((4 / 3 * 1.25 / 6) ** 0.5)
    assert spread_skill(results({"a": DATES}), "a", 1.0) == {}


def test_band_ratios_divide_sums_and_pooled_specdiv_sees_shapes_only():
    first, second = record([1.0, 1.0]), record([1.0, 1.0])
    first["power_mean"], second["power_mean"] = [[1.0] * 7] * 2, [[2.0] * 7] * 2
    second["power_truth"] = [[5.0] * 7] * 2
    found = results({"a": [first, second]})
    assert band_ratios(found, "a", 1.0, "state", "mean") == pytest.approx(np.full((2, 7), 0.5))
    first["radial_mean"] = second["radial_mean"] = [[3.0, 3.0], [3.0, 1.0]]
    # t = (½, ½), p = (¾, ¼): ½ ln ⅔ + ½ ln 2
    expected = [0.0, 0.5 * np.log(2 / 3) + 0.5 * np.log(2)]
    assert pooled_divergence(found, "a", 1.0, "state", "mean").tolist() == pytest.approx(expected)


def test_the_tables_say_the_same():
    made = comparison({"background": DATES, "a": [record([0.25, 1.0]), record([0.75, 4.0])]})
    bands = ((1, 4), (5, 10))
    values = {(m, c, s): v for m, _, c, s, v in rows(made.results, bands)}
    assert values["a", "all", "nrmse"] == pytest.approx(1.5**0.5)
    lines = to_csv(made, bands).splitlines()
    (row,) = [line.split(",") for line in lines if line.startswith("a,1,all,nrmse,")]
    # half the background's error on every date: the ratio to it is exactly ½, the first reference is not there
    assert row[4:] == ["1.22474", "", "", "", "0.5", "0.5", "0.5"]
    table = text(summary(made), 0)
    assert "1.225" in table
