"""The summary's numbers, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.observations.summary import format_summary, summarise
from phyda_cli.observations.table import Feedback, Flag, concatenate
from tests.support.observations import make_observations

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
