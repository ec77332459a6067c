"""Whole reports: where half of one is condemned by its departures, the rest goes too."""

from __future__ import annotations

import numpy as np

from phyda_cli.observations.table import Flag
from phyda_cli.quality.neighbours import check_reports
from tests.support.observations import TIME, observations

BAD, BUDDY, OK, OUT = Flag.FIRST_GUESS, Flag.BUDDY, Flag.PASS, Flag.DOMAIN


def test_half_of_a_report_takes_the_rest_with_it_and_less_does_not():
    # a: 1 by the background and 1 by its neighbours of 4 judged; b: 1 of 3
    table = observations("t", [250.0] * 7, flag=[BAD, BUDDY, OK, OK, BAD, OK, OK], station=list("aaaabbb"))
    result = check_reports(table)
    assert result.flag.tolist() == [BAD, BUDDY, BUDDY, BUDDY, BAD, OK, OK]
    assert result.reason[2] == result.reason[3] == "2 of the 4 values of its report are rejected for their departures"
    assert result.reason[5] == ""


def test_rows_out_for_other_reasons_do_not_count():
    # 1 of 3 judged: the two rows outside the domain are neither evidence for nor against the report
    table = observations("t", [250.0] * 5, flag=[BAD, OK, OK, OUT, OUT])
    assert check_reports(table).flag.tolist() == [BAD, OK, OK, OUT, OUT]
    lone = observations("t", [250.0] * 4, flag=[BAD, OK, OUT, OUT])
    assert check_reports(lone).flag.tolist() == [BAD, BUDDY, OUT, OUT]


def test_a_report_has_one_source_station_type_place_and_time():
    other = {
        "source": [0, 1],
        "station": ["a", "b"],
        "report": ["sonde", "ship"],
        "latitude": [50.0, 50.5],
        "longitude": [10.0, 10.5],
        "time": TIME + np.array([0, 60]).astype("timedelta64[m]"),
    }
    for name, column in other.items():
        assert check_reports(observations("t", [250.0] * 2, flag=[BAD, OK], **{name: column})).used.tolist() == [
            False,
            True,
        ], name
    levels = observations(["u", "t"], [5.0, 250.0], flag=[BAD, OK], pressure=[50_000.0, 85_000.0])
    assert not check_reports(levels).used.any()


def test_reports_do_not_depend_on_the_order_of_the_rows():
    generator = np.random.default_rng(3)
    flags = generator.choice([OK, OK, BAD, BUDDY, OUT], 300)
    table = observations("t", [250.0] * 300, flag=flags, station=generator.integers(0, 80, 300).astype(str))
    order = generator.permutation(300)
    straight, permuted = check_reports(table), check_reports(table.take(order))
    assert straight.flag[order].tolist() == permuted.flag.tolist()
    assert straight.reason[order].tolist() == permuted.reason.tolist()
    assert 0 < straight.used.sum() < table.used.sum()


def test_without_a_condemned_row_nothing_changes():
    table = observations("t", [250.0] * 2, flag=[OK, OUT])
    assert check_reports(table) is table
    assert len(check_reports(observations("t", []))) == 0
