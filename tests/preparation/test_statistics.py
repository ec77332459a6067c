from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.errors import BadDataError
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.preparation import statistics
from phyda_cli.preparation.statistics import Moments, lead_moments, merge_moments, monthly_moments, smooth_rows
from phyda_cli.preparation.workers import merged

# Rows at −60°, 0°, 60° have area shares ¼, ½, ¼.
GRID = LatLonGrid((-60.0, 0.0, 60.0), (0.0, 90.0, 180.0, 270.0))
JANUARY = int(np.datetime64("2001-01-01T00", "h").astype(np.int64))


def climatology(batches, grid):
    """That of batches (times, states)."""
    batches = list(batches)
    moments = merged((monthly_moments(*batch) for batch in batches), merge_moments)
    return statistics.climatology(moments, np.concatenate([hours for hours, _ in batches]), grid)


def error_statistics(batches):
    """Those of batches (leads, errors)."""
    return statistics.error_statistics(merged((lead_moments(*batch) for batch in batches), merge_moments))


def rows(*values: float) -> np.ndarray:
    """One channel (1, 1, 3, 4) constant along each row."""
    return np.repeat(np.array(values, dtype=np.float32)[None, None, :, None], 4, axis=-1)


def test_mean_and_standard_deviation_by_hand():
    # rows over two times: (0, 2), (4, 4), (0, 2): row means 1, 4, 1, area mean 2.5;
    # variance ¼·(1 + 2.25) + ½·(0 + 2.25) + ¼·(1 + 2.25) = 2.75
    states = [(np.array([JANUARY]), rows(0, 4, 0)), (np.array([JANUARY + 6]), rows(2, 4, 2))]
    result = climatology(iter(states), GRID)
    assert result.mean.tolist() == pytest.approx([2.5])
    assert result.std.tolist() == pytest.approx([np.sqrt(2.75)])


def numbers(count: int) -> np.ndarray:
    """States that are their number everywhere."""
    return np.arange(count, dtype=np.float32)[:, None, None, None] * np.ones((count, 1, 3, 4), np.float32)


def test_months_with_few_days_have_no_climatology():
    january = JANUARY + 6 * np.arange(40)
    february = JANUARY + 31 * 24 + 6 * np.arange(36)
    states = numbers(76)
    result = climatology([(np.concatenate([january, february]), states)], GRID)
    assert result.monthly_count.tolist() == [40, 36] + [0] * 10
    assert result.monthly_mean[0] == pytest.approx(np.full((1, 3, 4), 19.5))
    # variance of 0 … 39 is (40² − 1)/12
    assert result.monthly_std[0] == pytest.approx(np.full((1, 3, 4), np.sqrt(1599 / 12)))
    assert np.isnan(result.monthly_mean[1:]).all()


def test_ten_daily_states_make_a_month_whatever_batches_they_come_in():
    hours, states = JANUARY + 24 * np.arange(10), numbers(10)
    result = climatology([(hours[:3], states[:3]), (hours[3:], states[3:])], GRID)
    assert result.monthly_mean[0] == pytest.approx(np.full((1, 3, 4), 4.5))
    assert np.isnan(result.monthly_mean[1:]).all()


def test_where_no_month_has_enough_days_all_have_the_climatology_of_all_states():
    hours = JANUARY + 6 * np.arange(36)
    result = climatology([(hours, numbers(36))], GRID)
    assert result.monthly_mean == pytest.approx(np.full((12, 1, 3, 4), 17.5))
    assert result.monthly_std == pytest.approx(np.full((12, 1, 3, 4), np.sqrt((36**2 - 1) / 12)))
    assert result.monthly_count.tolist() == [36] + [0] * 11


def test_moments_do_not_cancel_and_do_not_depend_on_the_batches():
    values = 5.0e5 + np.random.default_rng(0).normal(0.0, 1e-3, size=(300, 2, 3))
    whole, parts = Moments.empty((2, 3)), Moments.empty((2, 3))
    whole.add(values)
    for batch in np.array_split(values, 7):
        parts.add(batch)
    assert whole.variance == pytest.approx(values.var(axis=0), rel=1e-9)
    assert parts.variance == pytest.approx(whole.variance, rel=1e-9)
    assert parts.mean == pytest.approx(whole.mean, rel=1e-15)


def test_sigma_b_and_bias_by_hand():
    # Errors 1 and 3 on the middle row, 0 elsewhere: second moment 5 there; ¼ ½ ¼ over rows: 5/4, 5/2, 5/4. Bias 2.
    errors = [(np.array([24, 24]), np.concatenate([rows(0, 1, 0), rows(0, 3, 0)]))]
    result = error_statistics(errors)
    assert result.sigma_b[0, 0] == pytest.approx(np.sqrt([1.25, 2.5, 1.25]))
    assert result.bias[0, 0].mean(axis=-1) == pytest.approx([0.0, 2.0, 0.0])
    assert (result.lead_hours.tolist(), result.pairs.tolist()) == ([24], [2])


def test_longitudes_count_alike_in_sigma_b_but_not_in_the_bias():
    # ε = 2 at one longitude of four: second moment 1, bias 2 at that point only
    field = np.zeros((1, 1, 3, 4), np.float32)
    field[..., 0] = 2.0
    result = error_statistics([(np.array([6]), field)])
    assert result.sigma_b[0, 0] == pytest.approx([1.0, 1.0, 1.0])
    assert result.bias[0, 0, 1].tolist() == [2.0, 0.0, 0.0, 0.0]


def test_leads_are_kept_apart_and_the_nominal_is_nearest_to_a_day():
    errors = [(np.array([48, 6, 36]), np.concatenate([rows(4, 4, 4), rows(1, 1, 1), rows(3, 3, 3)]))]
    result = error_statistics(errors)
    assert result.lead_hours.tolist() == [6, 36, 48]
    assert result.sigma_b[:, 0, 0].tolist() == [1.0, 3.0, 4.0]
    assert result.nominal_lead == 36


def test_smoothing_keeps_constants_and_counts_the_edge_twice():
    assert smooth_rows(np.full(5, 3.0)).tolist() == [3.0] * 5
    assert smooth_rows(np.array([4.0, 0.0, 0.0])).tolist() == [3.0, 1.0, 0.0]


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(BadDataError, match="holds 0 states, not two"):
        statistics.climatology({}, np.zeros(0, np.int64), GRID)
    with pytest.raises(BadDataError, match="holds 1 states, not two"):
        climatology([(np.array([JANUARY]), rows(0, 4, 0))], GRID)
    with pytest.raises(BadDataError, match="no pairs"):
        statistics.error_statistics({})


@pytest.mark.parametrize("pieces", [1, 2, 3, 7, 50])
def test_the_statistics_of_pieces_are_those_of_the_whole(pieces):
    """Any cut of a year: a trend, a season and a large mean, as those of all states at once by numpy."""
    rng = np.random.default_rng(3)
    hours = JANUARY + 6 * np.arange(1460)
    states = (5.0e5 + 0.01 * np.arange(1460)[:, None, None, None] + rng.normal(size=(1460, 2, 3, 4))).astype(np.float32)
    parts = zip(np.array_split(hours, pieces), np.array_split(states, pieces), strict=True)
    result = climatology(parts, GRID)
    month = hours.astype("datetime64[h]").astype("datetime64[M]").astype(int) % 12
    values = states.astype(np.float64)
    for number in range(12):
        own = values[month == number]
        assert result.monthly_mean[number] == pytest.approx(own.mean(axis=0), rel=1e-15)
        assert result.monthly_std[number] == pytest.approx(own.std(axis=0), rel=1e-10)
    weights = GRID.area_weights
    mean = values.mean(axis=(0, 3)) @ weights
    assert result.mean == pytest.approx(mean, rel=1e-15)
    assert result.std**2 == pytest.approx(((values - mean[:, None, None]) ** 2).mean(axis=(0, 3)) @ weights, rel=1e-10)


def test_merging_changes_neither_of_the_parts():
    first, second = (monthly_moments(np.array([JANUARY, JANUARY + 6]), rows(0, n, 0).repeat(2, axis=0)) for n in (1, 3))
    both = merge_moments(first, second)
    assert (first[0].count, second[0].count, both[0].count) == (2, 2, 4)
    assert [m[0].mean[0, 1, 0] for m in (first, second, both)] == [1.0, 3.0, 2.0]
