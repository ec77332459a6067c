"""Superobs: the mean of a cell by hand, its error, and that every row is found again."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.observations.settings import Superob
from phyda_cli.observations.table import Flag, Use
from phyda_cli.quality.superob import superob
from tests.support.observations import TIME, observations

WINDOW = np.timedelta64(3, "h")


def merged(table, background, **rule):
    rule = Superob(**({"horizontal_km": 500} | rule))
    return superob(table, np.asarray(background, dtype=float), [rule], time=TIME, window=WINDOW)


def test_mean_departure_at_the_middle_place():
    # departures 1, 2, 3 on a background that rises with latitude; the middle row carries their mean
    table = observations("t", [251.0, 262.0, 273.0], latitude=[50.0, 50.1, 50.2], error=2.0)
    result = merged(table, [250.0, 260.0, 270.0], correlation=0.25)
    assert result.flag.tolist() == [Flag.SUPEROB, Flag.PASS, Flag.SUPEROB]
    assert result.value.tolist() == [251.0, 262.0, 273.0]
    # 4 · (0.25 + 0.75 / 3) = 2
    assert result.error.tolist() == pytest.approx([2.0, np.sqrt(2.0), 2.0])
    assert result.reason.tolist() == [
        "is part of the superob of row 2",
        "superob of 3 rows; its own value was 262",
        "is part of the superob of row 2",
    ]


def test_weights_are_inverse_variances():
    # weights 1 and 1/4: departure (0 + 5/4) / (5/4) = 1; σ̄² = 2 / 1.25 = 1.6; ρ = 0: 1.6 / 2 = 0.8
    table = observations("t", [250.0, 255.0], latitude=[50.0, 50.1], error=[1.0, 2.0])
    result = merged(table, [250.0, 250.0], correlation=0.0)
    assert result.flag.tolist() == [Flag.PASS, Flag.SUPEROB]
    assert result.value[0] == pytest.approx(251.0)
    assert result.error[0] == pytest.approx(np.sqrt(0.8))


def test_correlated_errors_have_a_floor():
    n = 1000
    table = observations("t", [250.0] * n, latitude=50.0 + 1e-5 * np.arange(n), error=2.0)
    result = merged(table, [250.0] * n, correlation=0.3)
    assert result.used.sum() == 1
    assert result.error[result.used][0] == pytest.approx(2.0 * np.sqrt(0.3 + 0.7 / n))
    assert merged(table, [250.0] * n, correlation=1.0).error[result.used][0] == pytest.approx(2.0)


def test_levels_variables_and_too_few_rows_stay_apart():
    table = observations(
        ["t", "t", "u", "t"], [250.0, 251.0, 5.0, 252.0], pressure=[50_000.0, 50_000.0, 50_000.0, 70_000.0],
        latitude=[50.0, 50.01, 50.0, 50.0], error=1.0,
    )  # fmt: skip
    result = merged(table, [250.0, 250.0, 5.0, 250.0])
    assert result.flag.tolist() == [Flag.PASS, Flag.SUPEROB, Flag.PASS, Flag.PASS]
    assert result.value[2:].tolist() == [5.0, 252.0]
    assert merged(table, [250.0, 250.0, 5.0, 250.0], minimum=3).used.all()
    assert merged(table, [250.0, 250.0, 5.0, 250.0], vertical_hpa=1000).used.sum() == 2


def test_rejected_and_monitored_rows_take_no_part():
    table = observations(
        "t", [250.0, 900.0, 252.0, 254.0], error=1.0, flag=[0, Flag.FIRST_GUESS, 0, 0], latitude=[50, 50, 50, 50.1],
        use=[Use.ASSIMILATE, Use.ASSIMILATE, Use.WITHHOLD, Use.ASSIMILATE],
    )  # fmt: skip
    result = merged(table, [250.0] * 4)
    assert result.flag.tolist() == [Flag.PASS, Flag.FIRST_GUESS, Flag.PASS, Flag.SUPEROB]
    assert result.value.tolist() == [252.0, 900.0, 252.0, 254.0]


def test_across_the_date_line_and_the_pole():
    # with an odd number of cells around the equator none ends at the date line; at the pole three cells meet
    table = observations("t", [250.0, 252.0], latitude=0.0, longitude=[179.9, 180.1], error=1.0)
    assert merged(table, [250.0] * 2, horizontal_km=1380).used.sum() == 1
    polar = observations("t", [250.0, 252.0], latitude=89.9, longitude=[10.0, 110.0], error=1.0)
    assert merged(polar, [250.0] * 2, horizontal_km=500).used.sum() == 1


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    n = 300
    table = observations(
        rng.choice(["t", "u"], n), rng.normal(size=n), error=rng.choice([1.0, 2.0], n),
        latitude=rng.uniform(-90, 90, n).round(), longitude=rng.uniform(0, 360, n).round(),
    )  # fmt: skip
    background = rng.normal(size=n)
    order = rng.permutation(n)
    straight = merged(table, background, horizontal_km=2000)
    permuted = merged(table.take(order), background[order], horizontal_km=2000)
    assert (straight.flag == Flag.SUPEROB).sum() > 50
    assert permuted.flag.tolist() == straight.flag[order].tolist()
    assert permuted.value.tolist() == straight.value[order].tolist()
    assert permuted.error.tolist() == straight.error[order].tolist()


def test_one_row_and_none():
    for n in (0, 1):
        assert merged(observations("t", [250.0] * n, error=1.0), [250.0] * n).used.sum() == n
