"""Feedback in IODA layout: what UFO's groups hold, every row accounted for, and the way back through the reader."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phyda_cli.constants import GRAVITY
from phyda_cli.errors import CannotWriteError
from phyda_cli.formats.feedback.ioda import FILL, write_ioda
from phyda_cli.formats.reports.ioda_names import NAMES, VIRTUAL
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.observations.table import Feedback, Flag, Observations
from tests.support.observations import TIME, observations

DOCS = Path(__file__).parents[3] / "docs"
GONE = np.nan
TABLE = """\
time,latitude,longitude,pressure_hPa,station,report,elevation,variable,value,error,quality,use
2020-03-01T12:00:00Z,50.25,10.5,500,10393,sonde,112,t,250.5,1.2,2,assimilate
2020-03-01T12:00:00Z,50.25,10.5,500,10393,sonde,112,u,12.25,2,2,assimilate
2020-03-01T12:00:00Z,50.25,10.5,500,10393,sonde,112,gh,5600,10,2,monitor
2020-03-01T12:00:00Z,50.25,10.5,500,10393,sonde,112,q,0.001,0.0002,2,assimilate
2020-03-01T11:59:31Z,-45,359.5,,SHIP7,ship,0,msl,100150,,2,withhold
2020-03-01T11:59:31Z,-45,359.5,,SHIP7,ship,0,t,280,1,2,assimilate
2020-03-01T12:10:00Z,10,-20,850,AF1,aircraft,,t,281,1,13,assimilate
2020-03-01T12:10:00Z,10,-20,850,AF1,aircraft,,t,282,1,2,assimilate
2020-03-01T12:10:00Z,10,-20,850,,,,wind_speed,10,,2,assimilate
2020-03-01T12:10:00Z,10,-20,850,,,,wind_direction,270,,2,assimilate
"""


def feedback_of(table: Observations) -> Feedback:
    n = len(table)
    return Feedback(table, table.value - 1.5, table.value - 0.5, np.full(n, GONE))


def verdicts(dataset) -> Counter:
    """How often each verdict stands in EffectiveQC0."""
    dataset.set_auto_mask(False)
    numbers = [variable[:] for variable in dataset["EffectiveQC0"].variables.values()]
    found = Counter(np.concatenate(numbers).tolist()) if numbers else Counter()
    found.pop(int(FILL["i4"]), None)
    return found


def test_what_the_groups_hold(tmp_path):
    table = observations(
        ["t", "z", "msl", "t", "radiance/x", ""],
        [250.5, 5_600.0 * GRAVITY, 101_325.0, 260.0, 3.0, GONE],
        pressure=[50_000.0, 50_000.0, GONE, 50_000.0, GONE, GONE],
        latitude=[50.0, 50.0, 50.0, 50.0, GONE, 50.0],
        error=[1.2, 8.0 * GRAVITY, 100.0, 1.0, GONE, GONE],
        time=np.array([TIME] * 4 + [np.datetime64("NaT", "ns")] * 2),
        flag=[Flag.PASS, Flag.PASS, Flag.FIRST_GUESS, Flag.THINNED, Flag.H_FAILED, Flag.MISSING],
        use=["assimilate", "monitor", "assimilate", "assimilate", "assimilate", "assimilate"],
    )
    background = np.array([249.0, 5_590.0 * GRAVITY, 100_425.0, 249.0, GONE, GONE])
    analysis = np.array([250.0, 5_596.0 * GRAVITY, 100_600.0, 250.0, GONE, GONE])
    path = tmp_path / "feedback.nc4"
    write_ioda(path, Feedback(table, background, analysis, np.full(6, GONE)), attributes={"history": "made by a test"})
    with netCDF4.Dataset(path) as dataset:
        assert dataset.history == "made by a test"
        assert (dataset._ioda_layout, dataset._ioda_layout_version) == ("ObsGroup", 0)
        # t and z share a place; msl has no pressure; the second t is a further one; the last two have no place or time.
        assert dataset.dimensions["Location"].size == 5
        assert set(dataset["ombg"].variables) == {
            "airTemperature", "geopotentialHeight", "pressureReducedToMeanSeaLevel", "radiance_x", "unnamed"
        }  # fmt: skip
        height = "geopotentialHeight"
        for group, expected in (
            ("ObsValue", 5600.0),
            ("hofx0", 5590.0),
            ("hofx1", 5596.0),
            ("ombg", 10.0),
            ("oman", 4.0),
        ):
            assert dataset[f"{group}/{height}"][0] == pytest.approx(expected, rel=1e-5)
            assert dataset[f"{group}/{height}"].units == "m"
            assert dataset[f"{group}/{height}"].dtype == np.float32
        assert dataset[f"ObsError/{height}"][0] == pytest.approx(8.0)
        assert dataset["ombg/airTemperature"][:].compressed().tolist() == [1.5, 11.0]
        assert dataset["EffectiveError0/airTemperature"][:].compressed().tolist() == [np.float32(1.2)]
        assert dataset[f"EffectiveQC0/{height}"][0] == 1  # passed, but only monitored
        assert dataset["MetaData/dateTime"].units == "seconds since 1970-01-01T00:00:00Z"
        assert dataset["MetaData/dateTime"].dtype == np.int64
        assert verdicts(dataset) == Counter({0: 1, 1: 1, 19: 1, 16: 1, 15: 1, 10: 1})
        assert dataset["MetaData/latitude"][3] == FILL["f4"]
        assert dataset["MetaData/dateTime"][3] == FILL["i8"]
        flag = dataset["EffectiveQC0/airTemperature"]
        meanings = dict(zip(flag.flag_values.tolist(), flag.flag_meanings.split(), strict=True))
        assert meanings == {member.value: member.name.lower() for member in Flag}
        for group in dataset.groups.values():
            for variable in group.variables.values():
                assert variable.dimensions == ("Location",)
                if variable.dtype is not str:
                    assert np.isfinite(variable[:]).all()


def test_table_to_ioda_and_back(tmp_path):
    (tmp_path / "obs.csv").write_text(TABLE)
    table = read_observations(tmp_path / "obs.csv")
    path = tmp_path / "obs.nc4"
    write_ioda(path, feedback_of(table), attributes={})
    back = read_observations(path)
    with netCDF4.Dataset(path) as dataset:
        assert sum(verdicts(dataset).values()) == len(table) == len(back) == 10

    def ordered(o):
        index = np.lexsort((o.value, o.variable.astype(str), o.station.astype(str), o.latitude))
        return o.take(index)

    old, new = ordered(table), ordered(back)
    for name in ("variable", "station", "report", "use", "flag"):
        assert getattr(new, name).tolist() == getattr(old, name).tolist()
    np.testing.assert_array_equal(new.time, old.time)
    for name in ("latitude", "longitude", "pressure", "value", "error", "elevation"):
        np.testing.assert_allclose(getattr(new, name), getattr(old, name), rtol=1e-6, atol=1e-6)
    assert sorted(new.flag.tolist()) == [0] * 9 + [int(Flag.PRE_QC)]


def test_rows_in_another_order_give_the_same_numbers(tmp_path):
    (tmp_path / "obs.csv").write_text(TABLE)
    table = read_observations(tmp_path / "obs.csv")
    found = []
    for order in (np.arange(10), np.arange(10)[::-1]):
        path = tmp_path / f"{order[0]}.nc4"
        write_ioda(path, feedback_of(table.take(order)), attributes={})
        back = read_observations(path)
        columns = (back.variable, back.station, back.pressure.astype(str), back.value, back.flag, back.use)
        found.append(sorted(zip(*columns, strict=True)))
    assert found[0] == found[1]


def test_a_variable_that_phyda_wrote_stays_what_it_is(tmp_path):
    """No guess at surface reports: a temperature without pressure stays unusable, a humidity keeps its level."""
    table = observations(["t", "msl", "q"], [280.0, 101_000.0, 5e-3], pressure=[GONE, GONE, 99_000.0])
    table = replace(table, report=np.array(["", "", "synop"], dtype=object))
    write_ioda(tmp_path / "t.nc4", feedback_of(table), attributes={})
    back = read_observations(tmp_path / "t.nc4")
    assert back.variable.tolist() == ["t", "msl", "q"]
    assert back.report.tolist() == ["", "", "synop"]


def test_times_are_whole_seconds(tmp_path):
    moments = np.array([TIME + np.timedelta64(1_499, "ms"), TIME - np.timedelta64(501, "ms")])
    table = observations("t", [250.0, 251.0], time=moments)
    write_ioda(tmp_path / "t.nc4", feedback_of(table), attributes={})
    age = (read_observations(tmp_path / "t.nc4").time - TIME) / np.timedelta64(1, "s")
    assert age.tolist() == [1.0, -1.0]


def test_what_the_background_does_not_decide_is_rejected_on_the_way_back(tmp_path):
    table = observations("t", [250.0, 280.0, 281.0], latitude=[0.0, 1.0, 2.0], flag=[0, Flag.BOUNDS, Flag.BUDDY])
    table = replace(table, reason=np.array(["", "unit furlong is not known for t", "far from its neighbours"], object))
    write_ioda(tmp_path / "t.nc4", feedback_of(table), attributes={})
    assert read_observations(tmp_path / "t.nc4").flag.tolist() == [Flag.PASS, Flag.PRE_QC, Flag.PASS]


def test_no_observations(tmp_path):
    write_ioda(tmp_path / "none.nc4", feedback_of(observations("t", [])), attributes={})
    assert len(read_observations(tmp_path / "none.nc4")) == 0


def test_names_that_netcdf_does_not_allow(tmp_path):
    names = ["a/b", " ", "%", "x" * 300, "ü\n", "u\u0308\n", "\u2028a", "a\x00b", "٢", "airTemperature"]
    table = observations(names, np.arange(10.0), latitude=np.arange(10.0), flag=Flag.H_FAILED)
    write_ioda(tmp_path / "t.nc4", feedback_of(table), attributes={})
    with netCDF4.Dataset(tmp_path / "t.nc4") as dataset:
        assert verdicts(dataset) == Counter({int(Flag.H_FAILED): 10})


def test_an_existing_file_is_kept_and_a_failure_leaves_nothing(tmp_path):
    path = tmp_path / "feedback.nc4"
    path.write_text("precious")
    whole = feedback_of(observations("t", [250.0]))
    with pytest.raises(CannotWriteError, match="exists"):
        write_ioda(path, whole, attributes={})
    with pytest.raises((IndexError, ValueError)):
        write_ioda(path, replace(whole, analysis_equivalent=np.zeros(0)), attributes={}, overwrite=True)
    assert path.read_text() == "precious"
    assert [entry.name for entry in tmp_path.iterdir()] == ["feedback.nc4"]
    write_ioda(path, whole, attributes={}, overwrite=True)
    assert len(read_observations(path)) == 1


def table_of(path, heading):
    """The cells of the Markdown table that begins with a heading."""
    lines = path.read_text(encoding="utf-8").split(heading + "\n", 1)[1].splitlines()[1:]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in takewhile(lambda x: x.startswith("|"), lines)
    ]


def test_the_documented_flags_are_those_there_are():
    rows = table_of(DOCS / "ufo.md", "| number | phyda | UFO | when |")
    assert {int(number): name for number, name, *_ in rows} == {int(flag): flag.name.lower() for flag in Flag}
    assert [int(number) for number, *_ in rows] == sorted(int(flag) for flag in Flag)
    assert [ufo for _, _, ufo, _ in rows] == [
        "pass", "passive", "missing", "preQC", "bounds", "domain", "black", "Hfailed", "thinned", "clw", "fguess",
        "track", "buddy", "profile", "history", "superrefraction", "superob",
    ]  # fmt: skip


def test_the_documented_groups_are_those_written(tmp_path):
    write_ioda(tmp_path / "t.nc4", feedback_of(observations("t", [250.0])), attributes={})
    rows = table_of(DOCS / "ufo.md", "| group | what it holds | fill value where |")
    with netCDF4.Dataset(tmp_path / "t.nc4") as dataset:
        assert {group for groups, *_ in rows for group in groups.split(", ")} == set(dataset.groups)
        assert set(rows[0][1].split(", ")) == set(dataset["MetaData"].variables)


def test_the_documented_names_are_those_read():
    rows = table_of(DOCS / "formats.md", "| phyda | IODA | unit | read as well |")
    written = [(name, units, tuple(filter(None, old.split(", ")))) for _, name, units, old in rows]
    assert written == [(entry.name, entry.units, entry.old) for entry in NAMES]
    quantities = [quantity.replace(" ", "_") for quantity, *_ in rows]
    assert quantities == ["t" if entry.quantity == VIRTUAL else entry.quantity for entry in NAMES]
