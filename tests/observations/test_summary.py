"""The summary's numbers, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.observations.predicted import Predicted
from phyda_cli.observations.summary import (
    format_left_out,
    format_summary,
    left_out_of,
    summarise,
)
from phyda_cli.observations.table import Feedback, Flag, concatenate
from tests.support.observations import make_observations, observations

TIME = np.datetime64("2020-03-01T12", "ns")


def feedback():
    """Three temperatures (one rejected) with departures 3, −1 → 1, 0 at σ_o = 2, and one rejected wind."""
    rows = [("t", 5e4, 0.0, 0.0, 270.0, 2.0), ("t", 5e4, 1.0, 0.0, 271.0, 2.0), ("t", 5e4, 2.0, 0.0, 999.0, 2.0)]
    table = make_observations([*rows, ("u", 5e4, 0.0, 0.0, 500.0, 1.0)], time=TIME)
    table = table.reject(np.array([False, False, True, False]), Flag.FIRST_GUESS, "too far")
    table = table.reject(np.array([False, False, False, True]), Flag.BOUNDS, "too fast")
    before, after = np.array([267.0, 272.0, 270.0, 5.0]), np.array([269.0, 271.0, 270.0, 5.0])
    return Feedback(table, before, after, np.full(4, np.nan))


def test_counts_reconcile_and_departures_are_over_the_used_rows():
    temperature, wind = summarise(feedback())
    assert (temperature.variable, temperature.total, temperature.used) == ("t", 3, 2)
    assert temperature.rejected == {"first_guess": 1}
    assert temperature.background.bias == pytest.approx((3 - 1) / 2)
    assert temperature.background.rms == pytest.approx(np.sqrt((9 + 1) / 2))
    assert temperature.background.cost == pytest.approx((9 / 4 + 1 / 4) / 2)
    assert temperature.analysis.rms == pytest.approx(np.sqrt(0.5))
    assert (wind.total, wind.used, wind.rejected) == (1, 0, {"bounds": 1})
    assert np.isnan(wind.background.rms)


def test_table_for_people():
    lines = format_summary(summarise(feedback())).splitlines()
    assert len(lines) == 3
    assert lines[1].split()[:3] == ["t", "3", "2"]
    assert lines[1].endswith("first_guess 1")
    assert "nan" not in lines[2]


def test_tables_joined_keep_their_sources():
    first = make_observations([("t", 5e4, 0.0, 0.0, 270.0, 2.0)], time=TIME)
    second = make_observations([("u", 5e4, 0.0, 0.0, 1.0, 2.0), ("v", 5e4, 0.0, 0.0, 2.0, 2.0)], time=TIME)
    joined = concatenate([first, second])
    assert joined.variable.tolist() == ["t", "u", "v"]
    assert joined.source.tolist() == [0, 1, 1]
    assert joined.row.tolist() == [1, 1, 2]
    assert joined.sources == ("obs.csv", "obs.csv")


def test_scores_of_rows_that_others_predict():
    o = observations(["t2m", "t2m", "u"], [281.0, 283.0, 1.0])
    feedback = Feedback(o, np.array([280.0, 280.0, 0.0]), np.zeros(3), np.zeros(3))
    predicted = Predicted(np.array([0.6, -0.8, np.nan]), np.array([0.5, 1.0, np.nan]), np.array([3, 4, 0]))
    (score,) = left_out_of(feedback, predicted)
    assert (score.variable, score.count) == ("t2m", 2)
    assert score.background == pytest.approx(np.sqrt(5.0))
    assert score.predicted == pytest.approx(np.sqrt(0.5))
    assert score.ratio == pytest.approx(np.sqrt((1.44 + 0.64) / 2))
    assert format_left_out((score,)).splitlines()[-1].split() == ["t2m", "2", "K", "2.24", "0.707", "1.02"]
    assert format_left_out(()) == ""
