"""The spatial consistency test: the worst goes first, passive rows are judged and judge nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from phyda_cli.observations.predicted import Predicted
from phyda_cli.observations.settings import Consistency
from phyda_cli.observations.table import Flag, Use
from phyda_cli.quality.consistency import check_consistency
from tests.support.observations import observations

SETTINGS = Consistency()


def row_of_stations(values, **columns):
    """Stations 20 km apart on a meridian."""
    return observations("t2m", values, latitude=50.0 + 0.18 * np.arange(len(values)), pressure=np.nan, **columns)


def by_the_mean_of_neighbours(rows, wanted, judging):
    """ŷ: the mean of the judging rows within 50 km; s = 1."""
    result = Predicted.none(len(rows))
    for i in np.flatnonzero(wanted):
        near = judging & (np.abs(rows.latitude - rows.latitude[i]) < 0.45)
        near[i] = False
        result.count[i] = near.sum()
        if near.any():
            result.residual[i], result.expected[i] = rows.value[i] - rows.value[near].mean(), 1.0
    return result


def test_a_bad_station_goes_and_its_neighbours_stay():
    """20 K too warm, so that each of four neighbours is 5 K too cold beside the mean of theirs: more than 4 s."""
    rows = row_of_stations([280.0, 281.0, 280.5, 300.0, 280.0, 281.0, 280.0])
    first = by_the_mean_of_neighbours(rows, rows.used, rows.used)
    assert (np.abs(first.residual) > 4.0).sum() > 1
    checked = check_consistency(rows, by_the_mean_of_neighbours, SETTINGS)
    assert checked.flag.tolist() == [0, 0, 0, Flag.BUDDY, 0, 0, 0]
    assert checked.reason[3] == "19.38 from what 4 neighbours say, whose expected error is 1"


def test_two_bad_stations_side_by_side_go_one_after_the_other():
    rows = row_of_stations([280.0, 280.0, 280.0, 300.0, 295.0, 280.0, 280.0, 280.0])
    checked = check_consistency(rows, by_the_mean_of_neighbours, SETTINGS)
    assert np.flatnonzero(checked.flag == Flag.BUDDY).tolist() == [3, 4]


def test_a_lone_station_is_not_judged():
    rows = row_of_stations([280.0, 300.0, 280.0])  # two neighbours at most
    assert check_consistency(rows, by_the_mean_of_neighbours, SETTINGS).used.all()
    assert not check_consistency(rows, by_the_mean_of_neighbours, Consistency(neighbours=2)).used.all()


def test_passive_rows_are_judged_and_judge_nothing():
    rows = row_of_stations([280.0, 281.0, 280.5, 300.0, 280.0, 281.0, 280.0])
    rows = replace(rows, use=np.where(rows.value == 300.0, Use.WITHHOLD.value, rows.use).astype(object))
    checked = check_consistency(rows, by_the_mean_of_neighbours, SETTINGS)
    assert checked.flag.tolist() == [0, 0, 0, Flag.BUDDY, 0, 0, 0]
    good = replace(rows, value=np.where(rows.value == 300.0, 280.0, rows.value))
    assert check_consistency(good, by_the_mean_of_neighbours, SETTINGS).used.all()


def test_it_can_be_turned_off_and_its_limit_moved():
    rows = row_of_stations([280.0, 281.0, 280.5, 300.0, 280.0, 281.0, 280.0])
    assert check_consistency(rows, by_the_mean_of_neighbours, Consistency(enabled=False)).used.all()
    assert check_consistency(rows, by_the_mean_of_neighbours, Consistency(limit=25.0)).used.all()
