"""The sense of scatterometers' winds: turned where the background is nearer then, and said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from phyda_cli.fields.state import Channel
from phyda_cli.observations.conversion import convert
from phyda_cli.observations.settings import Ambiguity, Quality
from phyda_cli.observations.table import Flag
from phyda_cli.quality.ambiguity import choose_solutions
from phyda_cli.quality.screening import screen
from tests.support.observations import guess_of, observations


def winds(pairs, report="scatterometer"):
    """One row of a file for each wind."""
    names = ["u10", "v10"] * len(pairs)
    made = observations(names, np.ravel(pairs), pressure=np.nan, report=report)
    return replace(made, row=np.repeat(np.arange(1, 1 + len(pairs)), 2))


def test_a_wind_against_the_background_is_turned_whole():
    rows = winds([(5.0, 1.0), (-5.0, 1.0), (1.0, -6.0)])
    background = np.ravel([(4.0, 0.0), (4.0, 3.0), (3.0, 2.0)])
    found = choose_solutions(rows, background, enabled=True)
    assert found.value.tolist() == [5.0, 1.0, 5.0, -1.0, -1.0, 6.0]
    assert [bool(reason) for reason in found.reason] == [False, False, True, True, True, True]
    assert found.used.all()
    assert choose_solutions(rows, background, enabled=False) is rows


def test_only_scatterometers_and_whole_winds():
    pairs, against = [(5.0, 1.0)], np.array([-5.0, -1.0])
    assert choose_solutions(winds(pairs, report="ship"), against, enabled=True).value.tolist() == [5.0, 1.0]
    alone = winds(pairs).reject(np.array([False, True]), Flag.PRE_QC, "marked")
    assert choose_solutions(alone, against, enabled=True).value.tolist() == [5.0, 1.0]
    unknown = np.array([-5.0, np.nan])
    assert choose_solutions(winds(pairs), unknown, enabled=True).value.tolist() == [5.0, 1.0]
    assert choose_solutions(winds(pairs, report="ASCAT"), against, enabled=True).value.tolist() == [-5.0, -1.0]


def test_a_speed_without_a_direction_is_one_of_10_metres_at_sea_alone():
    rows = observations(["wind_speed"] * 3, [7.0, 8.0, 9.0], report=["altimeter", "synop", "scatterometer"],
                        pressure=np.nan)  # fmt: skip
    directed = observations(["wind_direction"], [270.0], report="scatterometer", pressure=np.nan)
    both = {name: np.concatenate([getattr(rows, name), getattr(directed, name)])
            for name in ("variable", "value", "report")}  # fmt: skip
    table = observations(both["variable"], both["value"], report=both["report"], pressure=np.nan)
    found = convert(table, np.array([0, 1, 2, 2]))
    assert found.variable.tolist() == ["ws10", "wind_speed", "u10", "v10"]
    assert found.flag.tolist() == [Flag.PASS, Flag.MISSING, Flag.PASS, Flag.PASS]
    np.testing.assert_allclose(found.value[[0, 2, 3]], [7.0, 9.0, 0.0], atol=1e-12)


def test_winds_are_turned_before_they_are_judged():
    """Screening turns them, so that neither the background's scale nor its check sees their departures."""
    rows = winds([(-9.0, 2.0)])
    rows = replace(rows, error=np.full(2, 2.0))
    background = np.array([8.0, -1.0])
    known = guess_of(rows, (Channel("u10"), Channel("v10")), background)
    found = screen(rows, known)
    assert found.value.tolist() == [9.0, -2.0]
    assert found.used.all()
    off = screen(rows, replace(known, quality=Quality(ambiguity=Ambiguity(enabled=False))))
    assert off.value.tolist() == [-9.0, 2.0]
