from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.errors import BadDataError
from phyda_cli.preparation.split import OUTSIDE, Splits, split_by_fraction, split_by_year


def hour(date: str) -> int:
    return int(np.datetime64(date, "h").astype(np.int64))


def test_three_years_by_hand():
    # 1096 days less two gaps of 25: 1046 days; ⅔ is 697 d 8 h → 697 d 6 h, 1/6 is 174 d 8 h → 174 d 6 h
    splits = split_by_fraction(0, 1096 * 24)
    assert splits.train == (0, 697 * 24 + 6)
    assert splits.validation == (722 * 24 + 6, 896 * 24 + 12)
    assert splits.test == (921 * 24 + 12, 1096 * 24)
    assert splits.gap_hours == 600


def test_a_short_run_is_split_the_same_way_with_short_gaps():
    # 96 h: a tenth is 9 h, so gaps of 6 h; 84 h remain: 54, 12, and the rest
    splits = split_by_fraction(0, 96)
    assert (splits.train, splits.validation, splits.test) == ((0, 54), (60, 72), (78, 96))


def test_by_year_takes_the_gap_from_the_earlier_part():
    splits = split_by_year(hour("2018-01-01T00"), hour("2021-01-01T00"), validation=2019, test=2020, gap_hours=480)
    assert splits.train == (hour("2018-01-01T00"), hour("2018-12-12T00"))
    assert splits.validation == (hour("2019-01-01T00"), hour("2019-12-12T00"))
    assert splits.test == (hour("2020-01-01T00"), hour("2021-01-01T00"))


@pytest.mark.parametrize(("validation", "test"), [(2020, 2019), (2018, 2020), (2019, 2030)])
def test_years_that_leave_a_part_empty_are_refused(validation, test):
    with pytest.raises(BadDataError, match="part from"):
        split_by_year(hour("2018-01-01T00"), hour("2021-01-01T00"), validation=validation, test=test)


def test_codes_at_the_boundaries():
    splits = Splits((0, 12), (24, 36), (48, 60))
    assert splits.code([-6, 0, 11, 12, 24, 35, 36, 48, 59, 60]).tolist() == [-1, 0, 0, -1, 1, 1, -1, 2, 2, -1]


def test_a_pair_needs_both_ends_in_one_part():
    splits = Splits((0, 12), (12, 24), (48, 60))
    assert splits.pair_code([0, 6, 6, 36], [6, 12, 18, 48]).tolist() == [0, OUTSIDE, OUTSIDE, OUTSIDE]


def test_overlapping_parts_and_unknown_names_are_refused():
    with pytest.raises(BadDataError, match="validation part"):
        Splits((0, 12), (6, 24), (48, 60))
    with pytest.raises(BadDataError, match="no part 'tset'"):
        Splits((0, 12), (12, 24), (48, 60)).interval("tset")
