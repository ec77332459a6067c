"""ODB-2 files of ECMWF (extra `odb`): one row for each row of the file.

Columns are found with or without their table (`obsvalue@body`, `obsvalue`):

    varno, obsvalue                   what was observed (`ODB_NUMBERS`), in SI
    lat, lon                          degrees; a file in radians, as ODB-1 archives are, cannot be told with certainty
    date, time                        yyyymmdd and hhmmss (UTC)
    vertco_reference_1, vertco_type   Pa where the type is 1 (pressure) or 11 (derived pressure) or not given
    obs_error                         σ_o, or else final_obs_error
    report_status, datum_status       bits 0 active, 1 passive, 2 rejected, 3 blacklisted, of the report and the value;
                                      also as columns of their own (`datum_status.active`)
    statid, stalt, obstype, codetype  station, its elevation, report type

Blacklisted rows get BLACKLIST, rejected ones PRE_QC, passive ones that are not active are monitored. Rows without any
bit have not been judged and are used.

The pure Python decoder reads the file: the compiled one ends the process on a damaged file.
"""

from __future__ import annotations

import importlib
import io
import logging
import struct
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError, InputMissingError, MissingExtraError
from phyda_cli.formats.reports.build import Given, Reports, reject_unplaced, reports_of, uses, without_missing
from phyda_cli.formats.reports.cells import is_fill
from phyda_cli.formats.reports.columns import ODB_NUMBERS
from phyda_cli.observations.table import Flag, Observations

_STATUS: Final = ("report_status", "datum_status")
_ACTIVE, _PASSIVE, _REJECTED, _BLACKLISTED = 1, 2, 4, 8
_BITS: Final = {"active": _ACTIVE, "passive": _PASSIVE, "rejected": _REJECTED, "blacklisted": _BLACKLISTED}
_NEEDED: Final = ("varno", "obsvalue", "lat", "lon", "date", "time")
_TABLES: Final = {
    **dict.fromkeys(("varno", "obsvalue", "vertco_type", "vertco_reference_1"), "body"),
    **dict.fromkeys(("lat", "lon", "date", "time", "statid", "stalt", "obstype", "codetype"), "hdr"),
    **dict.fromkeys(("obs_error", "final_obs_error"), "errstat"),
    "report_status": "hdr",
    "datum_status": "body",
    **{f"report_status.{bit}": "hdr" for bit in _BITS},
    **{f"datum_status.{bit}": "body" for bit in _BITS},
}
"""The columns that are read → the table whose column is meant when several have one of that name."""

_PRESSURE_TYPES: Final = (1, 11)
_VERTICAL: Final = {
    2: "height", 3: "satellite channel", 4: "scatterometer channel", 5: "model level", 6: "impact height",
}  # fmt: skip
_OBSERVATION_TYPES: Final = {
    1: "synop", 2: "aircraft", 3: "satwind", 4: "buoy", 5: "sonde", 6: "pilot", 7: "satellite", 8: "paob",
    9: "scatterometer", 10: "gpsro",
}  # fmt: skip
_CODE_TYPES: Final = {21: "ship", 24: "ship", 34: "profiler", 140: "metar"}
"""Code types whose reports have a name of their own; they come before the observation type."""

_FRAME_HEAD: Final = 5 + 4 + 8 + 4 + 32 + 4 + 8
_FEW: Final = 10
"""Fewer places than this may well all be close to 0 N 0 E."""

_logger = logging.getLogger(__name__)


def read_odb(path: Path, label: str, given: Given) -> Reports:
    """Read an ODB-2 file. Raises MissingExtraError without pyodc; InputMissingError when the file cannot be read;
    BadDataError when it is damaged, cut off or without the columns needed.
    """
    del given  # rows tell their times
    table = _decode(path)
    missing = [name for name in _NEEDED if name not in table]
    if missing:
        raise BadDataError(f"{label}: the ODB has no column {missing[0]}; phyda needs {', '.join(_NEEDED)}")
    n = len(table)

    def number(name: str) -> NDArray[np.float64]:
        if name not in table:
            return np.full(n, np.nan)
        return np.asarray(pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan))

    latitude, longitude = number("lat"), number("lon")
    _warn_of_radians(path, latitude, longitude)
    vertical = number("vertco_type")
    by_pressure = np.isin(vertical, _PRESSURE_TYPES) | np.isnan(vertical)
    reference = np.where(is_fill(number("vertco_reference_1")), np.nan, number("vertco_reference_1"))
    own_error, final_error = number("obs_error"), number("final_obs_error")
    error = np.where(np.isnan(own_error) | is_fill(own_error), final_error, own_error)
    datum, report = (_status(table, name, n) for name in reversed(_STATUS))
    date, clock = number("date"), number("time")
    observations = Observations.build(
        label,
        variable=_names(number("varno")),
        latitude=latitude,
        longitude=longitude,
        pressure=np.where(by_pressure, reference, np.nan),
        value=number("obsvalue"),
        error=np.where(is_fill(error), np.nan, error),
        time=_times(date, clock),
        station=_stations(table, n),
        report=_report_types(number("obstype"), number("codetype")),
        elevation=np.where(is_fill(number("stalt")), np.nan, number("stalt")),
        use=uses(((datum | report) & _PASSIVE > 0) & (datum & _ACTIVE == 0)),
    )
    result = without_missing(observations)
    result = result.reject(
        np.isnat(result.time), Flag.MISSING, lambda i: f"date {date[i]:g} and time {clock[i]:g} are no time"
    )
    for bit, flag, word in ((_BLACKLISTED, Flag.BLACKLIST, "blacklisted"), (_REJECTED, Flag.PRE_QC, "rejected")):
        for name, status in (("report_status", report), ("datum_status", datum)):
            result = _reject_marked(result, name, status, bit, flag, word)
    result = reject_unplaced(
        result,
        ~by_pressure,
        lambda i: f"placed by {_VERTICAL.get(vertical[i], f'vertco_type {vertical[i]:g}')}, not by pressure",
    )
    return reports_of(result)


def _reject_marked(
    observations: Observations, name: str, status: NDArray[np.int64], bit: int, flag: Flag, word: str
) -> Observations:
    return observations.reject(status & bit > 0, flag, lambda i: f"{word} in the ODB ({name} {status[i]})")


def _decode(path: Path) -> pd.DataFrame:
    """Return the columns that phyda reads, named without their tables; frames that lack one have NaN in it."""
    try:
        pyodc = importlib.import_module("pyodc")
    except (ImportError, OSError):
        raise MissingExtraError("reading ODB", "odb") from None
    try:
        with path.open("rb") as stream:
            _check_frames(stream)
            parts = []
            for frame in pyodc.Reader(stream).frames:
                chosen = _choose([column.name for column in frame.columns])
                part = frame.dataframe(list(chosen)) if chosen else pd.DataFrame(index=range(frame.nrows))
                parts.append(part.rename(columns=chosen))
    except OSError as error:
        raise InputMissingError(f"{path}: cannot be read: {error.strerror}") from None
    except Exception as error:  # the decoder meets damaged bytes with errors of every kind
        says = f"{type(error).__name__} {error}".strip()[:80]
        raise BadDataError(f"{path}: the ODB is damaged or cut off ({says}); fetch it again") from None
    return pd.concat(parts, ignore_index=True, sort=False) if parts else pd.DataFrame()


def _check_frames(stream: BinaryIO) -> None:
    """Raise EOFError unless frames fill the file; the decoder takes a header that is cut off for the end.

    A frame: magic (5 bytes), byte order, version (2), digest (length, text), length of the rest of the header, of the
    data (8 bytes), header, data.
    """
    size, at = stream.seek(0, io.SEEK_END), 0
    while at < size:
        stream.seek(at)
        head = stream.read(_FRAME_HEAD)
        if len(head) < _FRAME_HEAD:
            raise EOFError(f"{size - at} bytes at the end")
        order = "<" if head[5:9] == b"\x01\0\0\0" else ">"
        header, data = struct.unpack_from(f"{order}iq", head, _FRAME_HEAD - 12)
        at += _FRAME_HEAD - 8 + header + data
        if header < 0 or data < 0 or at > size:
            raise EOFError(f"{size} of {at} bytes")
    stream.seek(0)


def _choose(names: list[str]) -> dict[str, str]:
    """Column → its name without the table, of the columns that are read; of several with one name the usual table's."""
    chosen: dict[str, str] = {}
    for base, usual in _TABLES.items():
        alike = [name for name in names if name.casefold().partition("@")[0] == base]
        alike.sort(key=lambda name: (name.casefold() != f"{base}@{usual}", "@" in name))
        chosen |= dict.fromkeys(alike[:1], base)
    return chosen


def _status(table: pd.DataFrame, name: str, n: int) -> NDArray[np.int64]:
    """Return the status bits of the report or the value; 0 where the file has none."""

    def whole(column: str) -> NDArray[np.int64]:
        if column not in table:
            return np.zeros(n, dtype=np.int64)
        numbers = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        return np.where(np.isfinite(numbers) & ~is_fill(numbers), numbers, 0.0).astype(np.int64)

    single = [(whole(f"{name}.{bit}") != 0) * value for bit, value in _BITS.items()]
    return np.asarray(whole(name) | np.bitwise_or.reduce(single), dtype=np.int64)


def _names(numbers: NDArray[np.float64]) -> NDArray[np.object_]:
    codes, distinct = pd.factorize(numbers, use_na_sentinel=False)
    names = [ODB_NUMBERS.get(f"{number:g}", f"varno {number:g}") for number in distinct]
    return np.array([*names, ""], dtype=object)[codes]


def _report_types(kinds: NDArray[np.float64], codes: NDArray[np.float64]) -> NDArray[np.object_]:
    result = np.full(kinds.size, "", dtype=object)
    for numbers, known, label in ((kinds, _OBSERVATION_TYPES, "obstype"), (codes, _CODE_TYPES, "")):
        for number in np.unique(numbers[np.isfinite(numbers)]):
            name = known.get(int(number), f"{label} {number:g}" if label else None)
            if name is not None:
                result[numbers == number] = name
    return result


def _stations(table: pd.DataFrame, n: int) -> NDArray[np.object_]:
    if "statid" not in table:
        return np.full(n, "", dtype=object)
    codes, distinct = pd.factorize(table["statid"], use_na_sentinel=False)
    names = ["" if pd.isna(text) else str(text).strip(" '\0") for text in distinct]
    return np.array([*names, ""], dtype=object)[codes]


def _times(date: NDArray[np.float64], clock: NDArray[np.float64]) -> NDArray[np.datetime64]:
    """yyyymmdd and hhmmss → UTC; NaT where they are no time."""
    day, second = (np.where(np.isfinite(x) & (np.abs(x) < 1e9), x, 0.0).astype(np.int64) for x in (date, clock))
    known = np.isfinite(date) & np.isfinite(clock) & (second >= 0)
    codes, distinct = pd.factorize(day)
    days = pd.to_datetime(pd.Series(distinct).astype(str), format="%Y%m%d", errors="coerce").to_numpy()
    hours, minutes, seconds = second // 10_000, second // 100 % 100, second % 100
    known &= (hours < 24) & (minutes < 60) & (seconds < 60)
    moments = days.astype("datetime64[ns]")[codes] + (3600 * hours + 60 * minutes + seconds).astype("timedelta64[s]")
    return np.where(known, moments, np.datetime64("NaT", "ns"))


def _warn_of_radians(path: Path, latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> None:
    places = np.unique(np.stack([latitude, longitude])[:, np.isfinite(latitude)], axis=1)
    if places.shape[1] >= _FEW and np.all(np.abs(places[0]) <= np.pi / 2) and np.all(np.abs(places[1]) <= 2 * np.pi):
        _logger.warning(
            "%s: all %d places are within 1.57 N and 6.28 E: in radians? phyda reads degrees; convert lat and lon",
            path, places.shape[1],
        )  # fmt: skip
