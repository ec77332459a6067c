from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.observations.table import Flag
from tests.support.bufr import raw_message
from tests.support.damage import flipped_bits
from tests.support.prepbufr import ELEMENTS, SEQUENCES, reports, tables

HEAD = {"SID": "01001", "XOB": -8.66667, "YOB": 70.93333, "DHR": -0.5, "ELV": 9, "TYP": 120}


def event(**values):
    return values


def level(*, p=850.0, pqm=2, t=None, q=None, z=None, wind=None, drift=None, cat=1):
    """A level; t, q, z, wind: lists of events, the latest first, with their errors as the last item of `error`."""
    record = {"CAT": cat, "P___INFO": [{"P__EVENT": [event(POB=p, PQM=pqm)], "POE": 1.1}]}
    if t:
        record["T___INFO"] = [{"T__EVENT": t, "TOE": 1.5}]
    if q:
        record["Q___INFO"] = [{"Q__EVENT": q, "QOE": 2.0}]
    if z:
        record["Z___INFO"] = [{"Z__EVENT": z}]
    if wind:
        record["W___INFO"] = [{"W__EVENT": wind, "WOE": 2.5}]
    if drift:
        record["DRFTINFO"] = [drift]
    return record


SONDE = HEAD | {
    "PRSLEVEL": [
        level(
            # The latest event is the virtual temperature; below it stands the measured one.
            t=[event(TOB=11.2, TQM=1, TPC=8), event(TOB=10.0, TQM=2, TPC=1)],
            q=[event(QOB=7000, QQM=2), event(QOB=6000, QQM=2)],
            z=[event(ZOB=1457, ZQM=2)],
            drift={"XDR": -8.5, "YDR": 71.0, "HRDR": -0.25},
        ),
        level(p=500.0, t=[event(TOB=-20.0, TQM=13, TPC=1)], z=[event(ZOB=5500, ZQM=14)]),
        level(p=300.0, pqm=9, t=[event(TOB=-45.0, TQM=2, TPC=1)]),
        level(p=250.0, t=[event(TOB=-50.0, TQM=2, TPC=8)]),
    ]
}
WIND = HEAD | {"TYP": 220, "PRSLEVEL": [level(wind=[event(UOB=10.0, VOB=-3.5, WQM=3)])]}


def write(tmp_path, *messages):
    path = tmp_path / "gdas.prepbufr"
    path.write_bytes(b"".join(messages))
    return path


def read(tmp_path, *messages):
    return read_observations(write(tmp_path, *messages))


def only(observations, variable, row):
    (index,) = np.flatnonzero((observations.variable == variable) & (observations.row == row))
    return observations.take(np.array([index]))


def test_the_latest_event_counts_and_the_units_become_si(tmp_path):
    o = read(tmp_path, tables(), reports("ADPUPA", [SONDE, WIND]))
    q = only(o, "q", 1)
    assert q.value[0] == pytest.approx(0.007)
    t = only(o, "t", 1)
    # T = 284.35 K / (1 + 0.60777 · 0.007), with 461.5250/287.0597 − 1 = 0.60777
    assert t.value[0] == pytest.approx(284.35 / (1 + 0.60777 * 0.007), abs=1e-4)
    assert t.error[0] == 1.5
    assert t.pressure[0] == 85_000.0
    z = only(o, "z", 1)
    assert z.value[0] == pytest.approx(1457 * 9.80665)
    u, v = only(o, "u", 5), only(o, "v", 5)
    assert (u.value[0], v.value[0], u.error[0]) == (10.0, -3.5, 2.5)
    assert (u.flag[0], v.flag[0]) == (Flag.PASS, Flag.PASS)
    assert set(o.report) == {"sonde"}
    assert set(o.station) == {"01001"}


def test_the_error_of_humidity_is_that_of_relative_humidity(tmp_path):
    q = only(read(tmp_path, tables(), reports("ADPUPA", [SONDE])), "q", 1)
    # QOE 2 is 20 % of saturation: e_s(10 °C) = 611.21 exp(17.502·9.99/(283.15−32.19)) = 1226.8 Pa at T 283.146 K,
    # q_s = 0.62198 · 1226.8/(85000 − 0.378 · 1226.8) = 0.0090263
    assert q.error[0] == pytest.approx(0.2 * 0.0090263, rel=2e-3)


def test_place_and_time_of_report_and_of_a_drifting_level(tmp_path):
    o = read(tmp_path, tables(), reports("ADPUPA", [SONDE]))
    drifting, still = only(o, "t", 1), only(o, "t", 2)
    assert (drifting.latitude[0], drifting.longitude[0]) == (71.0, 351.5)
    assert drifting.time[0] == np.datetime64("2020-11-01T11:45")
    assert (still.latitude[0], still.longitude[0]) == (pytest.approx(70.93333), pytest.approx(360 - 8.66667))
    assert still.time[0] == np.datetime64("2020-11-01T11:30")
    assert still.elevation[0] == 9.0


def test_marks_above_three_reject_and_are_named(tmp_path):
    o = read(tmp_path, tables(), reports("ADPUPA", [SONDE]))
    failed, purged = only(o, "t", 2), only(o, "z", 2)
    assert (failed.flag[0], failed.reason[0]) == (
        Flag.PRE_QC,
        "quality mark TQM 13, failed automatic quality control",
    )
    assert (purged.flag[0], purged.reason[0]) == (
        Flag.BLACKLIST,
        "quality mark ZQM 14, purged by the forecaster on duty",
    )
    by_pressure = only(o, "t", 3)
    assert by_pressure.reason[0] == "quality mark PQM 9, no observation error assigned"
    dry = only(o, "t", 4)
    assert (dry.flag[0], dry.reason[0]) == (Flag.PRE_QC, "virtual temperature, and no humidity to convert it")


@pytest.mark.parametrize(("mark", "flag"), [(0, 0), (1, 0), (2, 0), (3, 0), (4, 11), (9, 11), (12, 14), (15, 11)])
def test_each_mark(tmp_path, mark, flag):
    record = HEAD | {"PRSLEVEL": [level(t=[event(TOB=1.0, TQM=mark, TPC=1)])]}
    assert only(read(tmp_path, tables(), reports("ADPUPA", [record])), "t", 1).flag[0] == flag


def test_what_a_station_at_the_surface_gives(tmp_path):
    surface = level(
        p=1002.5, cat=0, t=[event(TOB=5.0, TQM=1, TPC=1)], q=[event(QOB=4000, QQM=2)], z=[event(ZOB=9, ZQM=2)],
        wind=[event(UOB=1.0, VOB=2.0, WQM=2)],
    )  # fmt: skip
    land = HEAD | {"TYP": 187, "PMSL_SEQ": [{"PMO": 1003.6, "PMQ": 12}]} | surface
    ship = HEAD | {"TYP": 180, "ELV": 0} | surface
    o = read(tmp_path, tables(), reports("ADPSFC", [land]), reports("SFCSHP", [ship]))
    assert sorted(o.variable[o.row == 1]) == ["d2m", "msl", "sp", "t2m", "u10", "v10"]
    assert set(o.report) == {"metar", "ship"}
    assert only(o, "sp", 1).value[0] == pytest.approx(100_250.0)
    assert only(o, "sp", 1).error[0] == pytest.approx(110.0)
    assert (only(o, "msl", 1).value[0], only(o, "msl", 1).flag[0]) == (100_360.0, Flag.BLACKLIST)
    assert only(o, "t2m", 1).value[0] == pytest.approx(278.15)
    # e = 0.004 · 100250/(0.62198 + 0.37802 · 0.004) = 643.2 Pa, the saturation pressure at 0.72 °C
    assert only(o, "d2m", 1).value[0] == pytest.approx(273.87, abs=0.02)
    # A ship's pressure at 0 m is that of the sea level.
    assert sorted(o.variable[o.row == 2]) == ["d2m", "msl", "t2m", "u10", "v10"]
    assert only(o, "msl", 2).value[0] == pytest.approx(100_250.0)


def test_pressure_and_height_are_given_once_by_the_report_of_mass(tmp_path):
    surface = level(p=1002.5, cat=6, z=[event(ZOB=9, ZQM=2)], wind=[event(UOB=1.0, VOB=2.0, WQM=2)])
    wind = HEAD | {"TYP": 281, "PMSL_SEQ": [{"PMO": 1003.6, "PMQ": 2}]} | surface
    aloft = HEAD | {"TYP": 220, "PRSLEVEL": [surface]}
    o = read(tmp_path, tables(), reports("ADPSFC", [wind]), reports("ADPUPA", [aloft]))
    assert sorted(o.variable[o.row == 1]) == ["u10", "v10"]
    assert only(o, "z", 2).flag[0] == Flag.BLACKLIST
    assert only(o, "u", 2).flag[0] == Flag.PASS


def test_the_height_of_an_aircraft_is_no_observation(tmp_path):
    record = HEAD | {"TYP": 231} | level(z=[event(ZOB=1457, ZQM=2)], wind=[event(UOB=1.0, VOB=2.0, WQM=2)])
    o = read(tmp_path, tables(), reports("AIRCFT", [record]))
    assert only(o, "z", 1).flag[0] == Flag.BLACKLIST
    assert only(o, "u", 1).flag[0] == Flag.PASS


def test_an_empty_report_is_one_row(tmp_path):
    o = read(tmp_path, tables(), reports("ADPUPA", [HEAD, SONDE, HEAD]))
    assert (o.variable[o.row == 1].tolist(), o.flag[o.row == 1].tolist()) == ([""], [Flag.MISSING])
    assert o.row.max() == 6  # 1 + 4 levels + 1
    assert sorted(set(o.row)) == [1, 2, 3, 4, 5, 6]


def test_fortran_records_and_bulletins_around_the_messages(tmp_path):
    plain = read(tmp_path, tables(), reports("ADPUPA", [SONDE]), reports("ADPUPA", [WIND]))
    framed = b""
    for message in (tables(), reports("ADPUPA", [SONDE]), reports("ADPUPA", [WIND])):
        padded = message + b"\0" * (-len(message) % 8)
        size = len(padded).to_bytes(4, "big")
        framed += size + padded + size
    again = read(tmp_path, framed)
    assert again.variable.tolist() == plain.variable.tolist()
    np.testing.assert_array_equal(again.value, plain.value)
    assert again.flag.tolist() == plain.flag.tolist()


def test_a_damaged_report_does_not_cost_the_others(tmp_path, caplog):
    message = bytearray(reports("ADPUPA", [WIND, SONDE, WIND]))
    whole = read(tmp_path, tables(), bytes(message))
    # The count of levels of the first report, behind its head of 64 + 26 + 25 + 16 + 17 + 9 bits, is 255.
    start = message.index(b"01001") + 8 + (26 + 25 + 16 + 17 + 9) // 8
    message[start] |= 0xFF
    o = read(tmp_path, tables(), bytes(message))
    lost = o.take(o.row == 1)
    assert lost.flag.tolist() == [Flag.PRE_QC]
    assert "message 2 at byte" in lost.reason[0]
    np.testing.assert_array_equal(o.value[o.row > 1], whole.value[whole.row > 1])
    assert len(caplog.records) == 1


def test_what_the_tables_do_not_hold_is_told(tmp_path):
    other = raw_message([63000, 348199], b"\0\4\0\0", category=102)
    o = read(tmp_path, tables(), other, reports("ADPUPA", [WIND]))
    assert "descriptor 348199 is not in its tables" in o.reason[0]
    assert o.used.sum() == 2
    with pytest.raises(BadDataError, match="none of its 1 messages can be read: message 2"):
        read(tmp_path, tables(), other)


def test_every_cut_is_refused_or_accounted_for(tmp_path):
    content = tables() + reports("ADPUPA", [SONDE, WIND])
    for size in range(0, len(content), 97):
        with pytest.raises(BadDataError):
            read_observations(write(tmp_path, content[:size]))


def test_bit_flips_never_end_in_a_traceback(tmp_path):
    content = tables() + reports("ADPUPA", [SONDE, WIND])
    for damaged in flipped_bits(content, 100):
        try:
            read_observations(write(tmp_path, damaged))
        except BadDataError:
            continue


def test_a_century_and_the_reference_time(tmp_path):
    message = bytearray(reports("ADPUPA", [WIND]))
    assert only(read(tmp_path, tables(), bytes(message)), "u", 1).time[0] == np.datetime64("2020-11-01T11:30")
    message[8 + 13] = 0  # no month
    path = write(tmp_path, tables(), bytes(message))
    o = read_observations(path, reference_time=np.datetime64("2020-11-01T18:00"))
    assert only(o, "u", 1).time[0] == np.datetime64("2020-11-01T17:30")
    assert np.isnat(read_observations(path).time).all()


@pytest.mark.parametrize(
    ("descriptor", "entry", "words"),
    [
        (31001, ("DRF8BIT", "NUMERIC", 0, 0, 0), "give DRF8BIT 0 bits"),  # a count without bits goes on for ever
        (12247, ("TPC", "CODE TABLE", 0, 0, 0), "give TPC 0 bits"),
    ],
)
def test_elements_without_bits_are_refused(tmp_path, monkeypatch, descriptor, entry, words):
    monkeypatch.setitem(ELEMENTS, descriptor, entry)
    with pytest.raises(BadDataError, match=words):
        read(tmp_path, tables(), raw_message([63000, 348102], b"\0" * 400, category=102, subsets=1))


def test_sequences_that_write_themselves_out_without_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(SEQUENCES, 348102, ("ADPUPA", (102255, 101255, 12245, 12246)))
    monkeypatch.setitem(SEQUENCES, 348001, ("HEADR", (103255, 348102, 348102, 348102)))
    with pytest.raises(BadDataError, match="sequences without end"):
        read(tmp_path, tables(), raw_message([63000, 348001], b"\0" * 400, category=102, subsets=1))
