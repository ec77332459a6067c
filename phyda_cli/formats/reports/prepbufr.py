"""NCEP PREPBUFR: reports with quality marks and event stacks, decoded by the tables in the file, as observations.

Of an event stack the first, which is the latest, counts. Marks (NCEP's table 7): 0 keep, 1 good, 2 neutral and
3 suspect are used as in the GSI; 4 to 15 reject. The pressure's mark counts for all of its level.

    POB hPa → p       TOB °C → T, or T_v where one of its events is VIRTMP:  T = T_v / (1 + (R_v/R_d − 1) q)
    QOB mg/kg → q     QOE (relative humidity / 10 %) → σ_q = QOE/10 · q_s(T, p)
    ZOB m → gh        UOB, VOB m/s → u, v      PWO kg/m² → tcwv      time = the message's + DHR, or HRDR of the level

At the surface POB is sp (msl for a ship at 0 m that gives no PMO), T is t2m, q is d2m by the dew point at q and p, the
wind is u10 and v10, and ZOB is the elevation. NCEP gives a report twice, its mass under a type of 100 to 199 and its
wind under 200 to 299; pressure and height are those of the first, and only a coordinate in the second. Drifting sondes
have a place and time for each level (XDR, YDR, HRDR).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.fields.thermodynamics import (
    dewpoint_from_specific_humidity,
    saturation_specific_humidity,
    temperature_from_virtual,
)
from phyda_cli.fields.variables import QUANTITIES, Prepbufr, Variable
from phyda_cli.formats.reports.bufr_messages import Message
from phyda_cli.formats.reports.build import Reports
from phyda_cli.formats.reports.cells import Floats, Texts
from phyda_cli.formats.reports.columns import WORST_USED_MARK
from phyda_cli.formats.reports.dx_decode import Decoder, DxTables, Numbers
from phyda_cli.formats.reports.level_rows import Levels, Quantity, first_values, observations_from_levels, quantity
from phyda_cli.observations.table import Flag


def prepbufr_names(rows: Iterable[Variable]) -> dict[str, Prepbufr]:
    """Mnemonics of each quantity that has any."""
    return {row.name: row.prepbufr for row in rows if row.prepbufr is not None}


_NAMES: Final = prepbufr_names(QUANTITIES.values())
_OF_REPORTS: Final = (
    "SID", "XOB", "YOB", "DHR", "ELV", "TYP", "CAT", "XDR", "YDR", "HRDR", "TPC", "POE", "QOE", "TOE", "WOE",
)  # fmt: skip
_MEASURED: Final = [mnemonic for names in _NAMES.values() for mnemonic in (names.value, names.mark)]
_INDEX: Final = {name: index for index, name in enumerate(dict.fromkeys((*_OF_REPORTS, *_MEASURED)))}
_VIRTUAL: Final = "VIRTMP"
_VIRTUAL_CODE: Final = 8
_PROGRAM_CODES: Final = 363_000
"""The table names event program n by the sequence 3 63 n."""
_SURFACE: Final = frozenset({"ADPSFC", "SFCSHP", "MSONET", "QKSWND", "ASCATW", "WDSATR", "ERS1DA", "SFCBOG"})
_NO_HEIGHT: Final = frozenset({"AIRCFT", "AIRCAR", "SATWND", "VADWND", "PROFLR", "RASSDA"})
"""Their pressure is the standard atmosphere's at the height, or the height's at the pressure."""
_REPORTS: Final = {
    "ADPUPA": "sonde", "AIRCFT": "aircraft", "AIRCAR": "aircraft", "SATWND": "satwind", "ADPSFC": "synop",
    "SFCSHP": "ship", "PROFLR": "profiler",
}  # fmt: skip
_WIND_TYPES: Final = 200
_KINDS: Final = {21: "pilot", 32: "dropsonde", 82: "dropsonde", 87: "metar"}
_BY_TYPE: Final = {group + kind: name for kind, name in _KINDS.items() for group in (100, 200)}
"""Report types that tell more than their message: 1 for mass, 2 for wind, and the kind."""
_MARKS: Final = {
    8: "pressure or value impossible",
    9: "no observation error assigned",
    10: "surface pressure far from the guess",
    12: "on the reject list",
    13: "failed automatic quality control",
    14: "purged by the forecaster on duty",
    15: "monitored, not for use",
}
_BLACKLISTING: Final = (12, 14)


def is_prepbufr(tables: DxTables) -> bool:
    """Return whether embedded tables are those of a PREPBUFR file."""
    return {"POB", "PQM", "TYP", "DHR"} <= {element.mnemonic for element in tables.elements.values()}


@dataclass(frozen=True)
class _Table:
    """Decoded numbers as a table. values (level, wanted): first of each in a level, as the table scales it, or NaN.

    virtual, station, kind (level,): whether T is T_v, the station, the message type. subset (level,): of the file.
    base (level,): the time of the message.
    """

    values: Floats
    virtual: NDArray[np.bool_]
    station: Texts
    kind: Texts
    subset: NDArray[np.int64]
    base: NDArray[np.datetime64]

    def __getitem__(self, name: str) -> Floats:
        return np.asarray(self.values[:, _INDEX[name]])

    def si(self, quantity: str) -> Floats:
        """(level,) a quantity in SI."""
        names = _NAMES[quantity]
        return names.scale * self[names.value] + names.offset


def read_prepbufr(
    messages: list[Message | str], tables: DxTables, label: str, reference_time: np.datetime64 | None
) -> tuple[Reports, Counter[str]]:
    """Return the observations of a PREPBUFR file, and how often each reason made a report or message unreadable.

    messages: in order; a text stands for a message that cannot be read and says why. reference_time: (UTC) for a
    message that does not tell its time. One level of a report is one row; what cannot be read is one row as well.
    """
    numbers, decoder = Numbers(), Decoder(tables, _INDEX)
    kinds: list[str] = []
    times: list[np.datetime64] = []
    lost: dict[int, str] = {}
    for message in messages:
        first = len(kinds)
        reason = message if isinstance(message, str) else ""
        if isinstance(message, Message):
            try:
                bad = decoder.decode(message, first, numbers)
            except BadDataError as error:
                reason = f"message {message.number} at byte {message.offset}: {error}"
            else:
                kinds += [_kind(message, tables)] * message.subsets
                time = message.time
                if np.isnat(time) and reference_time is not None:
                    time = reference_time.astype("datetime64[s]")
                times += [time] * message.subsets
                says = f"message {message.number} at byte {message.offset}: the report is damaged"
                lost |= dict.fromkeys(bad, says)
                continue
        kinds.append("")
        times.append(np.datetime64("NaT", "s"))
        lost[first] = reason
    table = _table(numbers, decoder, tables, np.array(kinds, object), np.array(times, "datetime64[s]"))
    levels, quantities = _observed(table)
    unread = np.flatnonzero(np.isin(table.subset, list(lost)))
    levels = replace(levels, lost={int(index): lost[int(table.subset[index])] for index in unread})
    return observations_from_levels(levels, quantities, label), Counter(lost.values())


def _kind(message: Message, tables: DxTables) -> str:
    names = (tables.sequences[d].mnemonic for d in message.descriptors if d in tables.sequences)
    return next(names, "")


def _table(numbers: Numbers, decoder: Decoder, tables: DxTables, kinds: Texts, times: NDArray[np.datetime64]) -> _Table:
    element, subset, raw = (np.array(part) for part in (numbers.element, numbers.subset, numbers.number))
    element, subset = element.astype(np.int64), subset.astype(np.int64)
    n_subsets = kinds.size
    # A level begins with its category; a report without any is one level.
    begins = element == _INDEX["CAT"]
    with_levels = np.zeros(n_subsets, bool)
    with_levels[subset[begins]] = True
    starts = np.append(True, np.diff(subset) != 0)[: subset.size]
    begins |= starts & ~with_levels[subset]
    absent = np.setdiff1d(np.arange(n_subsets), subset)
    level_subset = np.concatenate([subset[begins], absent])
    order = np.argsort(level_subset, kind="stable")
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    ordinal = np.cumsum(begins) - 1
    within = (ordinal >= 0) & (subset == subset[begins][np.maximum(ordinal, 0)] if begins.any() else begins)
    row = place[ordinal[within]]

    names = np.full(n_subsets, "", object)
    number = np.zeros(element.size)
    for index, entry in decoder.elements.items():
        hit = element == index
        if entry.text:
            names[subset[hit]] = [_text(int(value), entry.width) for value in raw[hit]]
            continue
        packed = raw[hit].astype(np.int64)
        missing = (packed == (1 << entry.width) - 1) & (entry.width > 1)
        number[hit] = np.where(missing, np.nan, (packed + entry.reference) / 10.0**entry.scale)
    # The first of a level is its latest event.
    values = first_values(row, element[within], number[within], (order.size, len(_INDEX)))
    header = first_values(subset[~within], element[~within], number[~within], (n_subsets, len(_INDEX)))
    of_level = level_subset[order]
    values = np.where(np.isnan(values), header[of_level], values)
    code = next(
        (d - _PROGRAM_CODES for d, s in tables.sequences.items() if s.mnemonic == _VIRTUAL and d >= _PROGRAM_CODES),
        _VIRTUAL_CODE,
    )
    virtual = np.zeros(order.size, bool)
    virtual[row[(element[within] == _INDEX["TPC"]) & (number[within] == code)]] = True
    return _Table(values, virtual, names[of_level], kinds[of_level], of_level, times[of_level])


def _text(number: int, width: int) -> str:
    if number == (1 << width) - 1:
        return ""
    return number.to_bytes((width + 7) // 8, "big").decode("latin-1").replace("\0", " ").strip()


def _observed(t: _Table) -> tuple[Levels, list[Quantity]]:
    """Return place, time and quantities of the levels, SI, each value with its mark's verdict."""
    n = t.subset.size
    surface, ship = np.isin(t.kind, list(_SURFACE)), t.kind == "SFCSHP"
    drift = np.isfinite(t["XDR"]) & np.isfinite(t["YDR"])
    hours = np.where(np.isfinite(t["HRDR"]), t["HRDR"], t["DHR"])
    seconds = np.where(np.isfinite(hours), np.round(hours * 3600.0), 0.0).astype("timedelta64[s]")
    time = np.where(np.isfinite(hours), t.base + seconds, np.datetime64("NaT", "s"))
    pressure, humidity, temperature = t.si("sp"), t.si("q"), t.si("t")
    moist = t.virtual & np.isfinite(humidity)
    temperature = np.where(moist, temperature_from_virtual(temperature, humidity), temperature)
    with np.errstate(invalid="ignore", divide="ignore"):
        humidity_error = 0.1 * t["QOE"] * saturation_specific_humidity(temperature, pressure)
        dew_point = np.where(humidity > 0, dewpoint_from_specific_humidity(np.abs(humidity), pressure), np.nan)
    wind_alone = t["TYP"] >= _WIND_TYPES
    at_sea_level = ship & (t["ELV"] == 0) & np.isnan(t["PMO"])
    unknown = np.full(n, np.nan)

    def part(name: str, where: NDArray[np.bool_], value: Floats, error: Floats, like: str = "") -> Quantity:
        """Return a quantity, judged by its mark or that of the quantity it is `like`, and on levels by the pressure's
        too.
        """
        marks = [_NAMES[like or name].mark]
        if like or QUANTITIES[name].pressure_level:
            marks = list(dict.fromkeys((_NAMES["sp"].mark, *marks)))
        return _judged(quantity(name, np.where(where, value, np.nan), error), {mark: t[mark] for mark in marks})

    mass, error = surface & ~wind_alone, 100.0 * t["POE"]
    height_repeats = wind_alone | np.isin(t.kind, list(_NO_HEIGHT))
    quantities = [
        part("t", ~surface, temperature, t["TOE"]),
        part("t2m", surface, temperature, t["TOE"], "t"),
        part("q", ~surface, humidity, humidity_error),
        part("d2m", surface, dew_point, unknown, "q"),
        _reject(
            part("gh", ~surface, t.si("gh"), unknown),
            height_repeats,
            Flag.BLACKLIST,
            "height is the pressure's in another form",
        ),
        part("u", ~surface, t.si("u"), t["WOE"]),
        part("v", ~surface, t.si("v"), t["WOE"]),
        part("u10", surface, t.si("u"), t["WOE"], "u"),
        part("v10", surface, t.si("v"), t["WOE"], "v"),
        part("sp", mass & ~at_sea_level, pressure, error),
        part("msl", mass & at_sea_level, pressure, error, "sp"),
        part("msl", mass & ~at_sea_level, t.si("msl"), unknown),
    ]
    held = {entry.name for entry in quantities}
    quantities += [part(name, np.ones(n, bool), t.si(name), unknown) for name in _NAMES if name not in held]
    dry = t.virtual & ~np.isfinite(humidity)
    quantities[:2] = [
        _reject(entry, dry, Flag.PRE_QC, "virtual temperature, and no humidity to convert it")
        for entry in quantities[:2]
    ]
    named = np.array([_REPORTS.get(kind, kind.lower()) for kind in t.kind], object)
    for code, name in _BY_TYPE.items():
        named[t["TYP"] == code] = name
    latitude, longitude = np.where(drift, t["YDR"], t["YOB"]), np.where(drift, t["XDR"], t["XOB"])
    return Levels(latitude, longitude, pressure, t["ELV"], time, t.station, named), quantities


def _judged(entry: Quantity, marks: dict[str, Floats]) -> Quantity:
    """Flag the values whose worst mark is above 3, with the mark's name and meaning."""
    names = list(marks)
    stacked = np.nan_to_num(np.stack([marks[name] for name in names]), nan=-1.0)
    worst = np.argmax(stacked, axis=0)
    mark = stacked.max(axis=0).astype(np.int64)
    result = entry
    for code in np.unique(mark[mark > WORST_USED_MARK]):
        meaning = f", {_MARKS[code]}" if code in _MARKS else ""
        flag = Flag.BLACKLIST if code in _BLACKLISTING else Flag.PRE_QC
        for at, name in enumerate(names):
            result = _reject(result, (mark == code) & (worst == at), flag, f"quality mark {name} {code}{meaning}")
    return result


def _reject(entry: Quantity, mask: NDArray[np.bool_], flag: Flag, reason: str) -> Quantity:
    hit = mask & (entry.flag == Flag.PASS) & np.isfinite(entry.value)
    return replace(
        entry,
        flag=np.where(hit, flag, entry.flag).astype(np.int16),
        reason=np.where(hit, reason, entry.reason).astype(object),
    )
