"""Why rows were rejected, said by flag."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from phyda_cli.observations.passive import REASONS
from phyda_cli.observations.reasons import Share, format_rejections, format_share, rejections, share_of
from phyda_cli.observations.table import Feedback, Flag, Observations, Use
from tests.support.observations import observations


def table() -> Feedback:
    n = 7
    o = Observations.build(
        "obs.csv",
        variable=np.array(["z"] * n, object),
        latitude=np.zeros(n),
        longitude=np.zeros(n),
        value=np.full(n, 9.80665 * 5500.0),
        time=np.full(n, np.datetime64("2020-03-01", "ns")),
        pressure=np.full(n, 5e4),
        station=np.array(list("ABCDEFG"), object),
    )
    flag = [Flag.PASS, Flag.BUDDY, Flag.BUDDY, Flag.BUDDY, Flag.BOUNDS, Flag.PASSIVE, Flag.PASSIVE]
    reason = ["", "other", "off by 12.5 σ", "off by 7 σ", "too high", REASONS[Use.WITHHOLD], "not reached"]
    use = ["assimilate"] * 5 + ["withhold", "assimilate"]
    o = replace(
        o, flag=np.array(flag, np.int16), reason=np.array(reason, object), use=np.array(use, object)
    )  # fmt: skip
    return Feedback(o, np.zeros(n), np.zeros(n), np.zeros(n))


def test_each_flag_has_its_commonest_reason_and_the_first_row_of_it():
    found = rejections(table())
    assert [(one.flag, one.count, one.reason, one.of_reason) for one in found] == [
        ("buddy", 3, "off by … σ", 2),
        ("bounds", 1, "too high", 1),
        ("passive", 1, "not reached", 1),  # the withheld row is not rejected
    ]
    assert found[0].example == "obs.csv row 3, station C: z 5500 gpm at 500 hPa: off by 12.5 σ"
    assert all(one.remedy for one in found)


def test_the_lines_name_count_reason_row_and_remedy():
    lines = format_rejections(rejections(table())).splitlines()
    assert lines[2].split() == ["buddy", "3", "off", "by", "…", "σ", "(2", "of", "3)"]
    assert "row 3" in lines[3]
    assert format_rejections(()) == ""


def test_the_share_of_valid_rows_and_what_is_lost_most():
    """10 rows: 6 used, 1 withheld, 1 that its file rejects, 2 lost for one reason with different numbers."""
    o = observations("t2m", np.full(10, 280.0), flag=[0] * 6 + [Flag.PASSIVE, Flag.PRE_QC, Flag.DOMAIN, Flag.DOMAIN])
    reasons = np.full(10, "", dtype=object)
    reasons[6:] = ["withheld", "quality mark 9", "station is +612 m from it", "station is -501.5 m from it"]
    use = np.where(reasons == "withheld", Use.WITHHOLD.value, o.use).astype(object)
    share = share_of(replace(o, reason=reasons, use=use))
    assert share == Share(8, 6, (("station is … m from it", 2),))
    assert format_share(share).splitlines()[:2] == [
        "6 of 8 valid rows are used (75.0 %); lost most:",
        "       2  station is … m from it",
    ]
    assert format_share(Share(0, 0, ())).strip() == "0 of 0 valid rows are used"
