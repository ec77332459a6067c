from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.errors import BadDataError
from phyda_cli.evaluation.bootstrap import paired_bootstrap


def test_a_constant_difference_has_no_width():
    a = np.array([3.0, 9.0, 5.0])
    interval = paired_bootstrap(a, a - 2.0, seed=0)
    assert (interval.difference, interval.low, interval.high) == pytest.approx((2.0, 2.0, 2.0))
    assert bool(interval.significant)


def test_the_width_is_that_of_the_normal_law():
    # differences of variance 1 on 400 dates: ± 1.96/20
    difference = np.random.default_rng(1).normal(size=400)
    difference = (difference - difference.mean()) / difference.std()
    interval = paired_bootstrap(difference, np.zeros(400), seed=2, resamples=4000)
    assert interval.low == pytest.approx(-0.098, abs=0.006)
    assert interval.high == pytest.approx(0.098, abs=0.006)
    assert not bool(interval.significant)


def test_pairing_takes_out_the_difficulty_of_the_date():
    hard = np.linspace(0.0, 100.0, 50)
    noise = np.random.default_rng(3).normal(0.0, 0.1, size=50)
    assert bool(paired_bootstrap(hard + 1.0 + noise, hard, seed=4).significant)
    assert not bool(paired_bootstrap(hard + 1.0 + noise, hard[::-1], seed=4).significant)


def test_the_seed_decides_and_columns_are_separate():
    a = np.random.default_rng(5).normal(size=(30, 2)) + np.array([0.0, 5.0])
    first, second = (paired_bootstrap(a, np.zeros((30, 2)), seed=6) for _ in range(2))
    assert np.array_equal(first.low, second.low)
    assert not np.array_equal(first.low, paired_bootstrap(a, np.zeros((30, 2)), seed=7).low)
    assert first.significant.tolist() == [False, True]


@pytest.mark.parametrize(("a", "b"), [(np.zeros(3), np.zeros(4)), (np.zeros(1), np.zeros(1))])
def test_unpaired_scores_are_refused(a, b):
    with pytest.raises(BadDataError, match="paired bootstrap"):
        paired_bootstrap(a, b, seed=0)
