from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.experiments.intervals import Bootstrap, block_length


def days(*values: float) -> np.ndarray:
    return (24 * np.array(values)).astype(np.int64)


def test_ratio_of_pooled_roots_by_hand():
    # means of squares: (9 + 16)/2 and (1 + 1)/2; ratio of roots √12.5; with weights 3 and 1: (27 + 16)/4 against 1
    bootstrap = Bootstrap(days(0, 10))
    a, b = np.array([[9.0], [16.0]]), np.ones((2, 1))
    assert bootstrap.ratio(a, b, np.ones((2, 1)), root=True).value == pytest.approx(12.5**0.5)
    weighted = bootstrap.ratio(a, b, np.array([[3.0], [1.0]]), root=False)
    assert weighted.value == pytest.approx(43.0 / 4.0)
    assert (weighted.low, weighted.high) == (pytest.approx(9.0), pytest.approx(16.0))


def test_what_makes_a_date_hard_for_both_is_taken_out():
    hard = np.geomspace(1.0, 100.0, 30)[:, None]
    ratio = Bootstrap(days(*range(30))).ratio(0.9 * hard, hard, np.ones((30, 1)), root=False)
    assert (ratio.low, ratio.value, ratio.high) == tuple(pytest.approx(0.9) for _ in range(3))


def test_blocks_are_neighbours_of_about_four_days():
    assert block_length(days(*range(0, 100))) == 4
    assert block_length(days(*(range(0, 100, 10)))) == 1
    assert block_length((np.arange(200) * 12).astype(np.int64)) == 8
    bootstrap = Bootstrap(days(*range(12)), resamples=50)
    assert bootstrap.counts.sum(1).tolist() == [12.0] * 50
    # a block of four covers four neighbours: the count of dates 0 and 11 never exceeds that of their inner neighbours
    assert (bootstrap.counts[:, 0] <= bootstrap.counts[:, 3]).all()
    assert (bootstrap.counts[:, 11] <= bootstrap.counts[:, 8]).all()


def test_dates_that_hang_together_widen_the_interval():
    # each state lasts four days: single dates would pretend to four times as many independent ones
    generator = np.random.default_rng(0)
    lasting = np.repeat(1.0 + 0.3 * generator.standard_normal(30), 4)[:, None]
    near, far = Bootstrap(days(*range(120))), Bootstrap(days(*range(0, 1200, 10)))
    one, weight = np.ones_like(lasting), np.ones_like(lasting)
    widths = [float((r.high - r.low)[0]) for r in (b.ratio(lasting, one, weight, root=False) for b in (near, far))]
    assert widths[0] > 1.4 * widths[1]


def test_a_reference_without_error_has_no_ratio():
    ratio = Bootstrap(days(0, 10)).ratio(np.ones((2, 1)), np.zeros((2, 1)), np.ones((2, 1)), root=False)
    assert np.isnan(ratio.value).all()


def test_the_width_is_that_of_the_normal_law():
    # ratios to 1 of mean 1 and variance 1 on 400 independent dates: 1 ± 1.96/20
    values = np.random.default_rng(1).normal(size=400)
    values = 1.0 + (values - values.mean()) / values.std()
    ratio = Bootstrap(days(*range(0, 4000, 10)), seed=2, resamples=4000).ratio(
        values[:, None], np.ones((400, 1)), np.ones((400, 1)), root=False
    )
    assert ratio.low == pytest.approx(0.902, abs=0.006)
    assert ratio.high == pytest.approx(1.098, abs=0.006)


def test_the_seed_decides_and_columns_are_separate():
    values = np.random.default_rng(5).normal(size=(30, 2)) + np.array([3.0, 5.0])
    one = np.ones((30, 2))
    first, second, third = (Bootstrap(days(*range(30)), seed=s).ratio(values, one, one, root=False) for s in (6, 6, 7))
    assert np.array_equal(first.low, second.low)
    assert not np.array_equal(first.low, third.low)
    assert first.value == pytest.approx(values.mean(0))
