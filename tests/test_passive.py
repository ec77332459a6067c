"""Withheld and monitored observations: checked like all others, heard by nothing, counted apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from phyda_cli.assimilation import assimilate
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.summary import format_summary, summarise, summarise_reports
from phyda_cli.observations.table import Flag, Observations, Use
from tests.support.background_error import small_statistics
from tests.test_assimilation import OPTIONS, observe, truth_and_background


def split(table: Observations, use: Use, every: int = 5) -> Observations:
    aside = np.arange(len(table)) % every == 0
    return replace(table, use=np.where(aside, use.value, table.use))


def run(table: Observations, *, spread: float = 1.0, scale: float | None = None, members: int = 0):
    truth, background = truth_and_background()
    far = replace(background, values=truth.values + spread * (background.values - truth.values))
    method = ThreeDVar(small_statistics(), members=members, tolerance=1e-6)
    options = replace(OPTIONS, background_error_scale=scale)
    return assimilate(far, table, method=method, table=default_error_table(), options=options)


@pytest.fixture(scope="module")
def table():
    return observe(truth_and_background()[0], 400, seed=3, noise=1.0)


@pytest.mark.parametrize("use", [Use.WITHHOLD, Use.MONITOR])
@pytest.mark.parametrize("spread", [1.0, 4.0])  # the second asks for trial analyses
def test_their_values_do_not_move_a_bit_of_the_analysis(table, use, spread):
    aside = split(table, use)
    passive = aside.use == use.value
    first = run(aside, spread=spread)
    assert (first.log["trials"] > 0) == (spread > 1.0)
    changed = replace(aside, value=np.where(passive, aside.value + 40.0 * aside.error, aside.value))
    without = aside.take(~passive)
    for other in (run(changed, spread=spread), run(without, spread=spread)):
        assert torch.equal(first.state.values, other.state.values)
        assert first.log["background_error_scale"] == other.log["background_error_scale"]
    np.testing.assert_array_equal(
        first.feedback.observations.flag[~passive], run(without, spread=spread).feedback.observations.flag
    )


def test_a_wrong_one_is_rejected_and_a_right_one_is_set_aside(table):
    aside = split(table, Use.WITHHOLD)
    wrong = replace(aside, value=np.where(np.arange(len(aside)) == 10, aside.value + 60 * aside.error, aside.value))
    o = run(wrong, scale=1.0).feedback.observations
    assert Flag(int(o.flag[10])) in (Flag.FIRST_GUESS, Flag.BOUNDS)
    rest = np.flatnonzero((aside.use == Use.WITHHOLD.value) & (np.arange(len(aside)) != 10))
    assert set(zip(o.flag[rest].tolist(), o.reason[rest].tolist(), strict=True)) == {(int(Flag.PASSIVE), "withheld")}


def test_withheld_rows_judge_the_analysis(table):
    """Drawn from the truth: the analysis of the others is nearer to them than the background."""
    entries = summarise(run(split(table, Use.WITHHOLD), scale=1.0).feedback)
    assert sum(entry.withheld.count for entry in entries) == 80
    assert sum(entry.used for entry in entries) == 320
    for entry in entries:
        assert entry.withheld.analysis.rms < entry.withheld.background.rms
        assert entry.total == entry.used + entry.withheld.count + entry.monitored.count + sum(entry.rejected.values())


def test_neither_group_makes_the_other_a_duplicate(table):
    twice = table.take(np.array([0, 0, 1, 1, 1]))
    uses = np.array([Use.ASSIMILATE, Use.WITHHOLD, Use.ASSIMILATE, Use.MONITOR, Use.MONITOR], dtype=object)
    o = run(replace(twice, use=uses), scale=1.0).feedback.observations
    assert o.flag.tolist() == [Flag.PASS, Flag.PASSIVE, Flag.PASS, Flag.PASSIVE, Flag.THINNED]


def test_tables_for_people_keep_them_apart(table):
    reports = np.where(np.arange(len(table)) % 2 == 0, "sonde", "aircraft").astype(object)
    mixed = replace(split(table, Use.WITHHOLD), report=reports)
    feedback = run(mixed, scale=1.0).feedback
    text = format_summary(summarise(feedback), summarise_reports(feedback))
    assert max(map(len, text.splitlines())) <= 120
    withheld = text.split("withheld", 1)[1]
    assert "monitored  " not in text.split("report type")[0]
    assert len([line for line in withheld.splitlines() if line[:1] in "tuvz" and line.strip()]) >= 4
    assert [line.split()[0] for line in text.split("report type")[1].splitlines()[1:]] == ["aircraft", "sonde"]
    kinds = summarise_reports(feedback)
    assert sum(entry.total for entry in kinds) == len(table)
    assert {(entry.report, entry.variable) for entry in kinds} == {
        (r, v) for r in ("sonde", "aircraft") for v in "tuvz"
    }


def test_everything_withheld_is_the_background(table):
    result = run(split(table, Use.WITHHOLD, every=1), scale=1.0)
    assert float(result.increment.values.abs().max()) == 0.0
    assert result.log["used"] == 0
