"""Times as tables write them: moments in one column, a date and a clock, or a column for each part; all of them UTC.

    moment   2020-01-01T12:00:00.5Z, 2020-01-01 12:00 UTC, 2020/1/1 12:00+01:00, 20200101, 2020010112, 202001011200,
             20200101120000, 20200101T1200Z, 1 Jan 2020 12:00
    clock    12, 1200, 120000, 12:00, 12:00:00, 12Z; one or two digits are hours, three or four HHMM. In a column with
             five or six digits somewhere all numbers are HHMMSS, as ODB writes them (500 is 00:05:00)

A text that is neither is no time: words such as `now`, days before months or months before days (`01/02/2020`), and
numbers that count from somewhere. A column without any time is refused; a single cell is left to its row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.cells import Floats, Mask, Texts, is_empty, numbers, texts_of

Times = NDArray[np.datetime64]

_DAY: Final = 86_400.0
_MOST_HOURS: Final = 1e5
"""No observation is farther from its analysis [h]; greater numbers are no hours."""
_CLOCK: Final = r"(?P<hour>\d{1,2})(?::?(?P<minute>\d\d)(?::?(?P<second>\d\d(?:[.,]\d+)?))?)?"
_ZONE: Final = r"\s*(?P<zone>z|\(?utc\)?|\(?gmt\)?|[+-]\d\d(?::?\d\d)?)?"


def _followed(date: str, between: str) -> re.Pattern[str]:
    """Return a date, and perhaps a clock with a zone after it."""
    return re.compile(rf"{date}(?:{between}{_CLOCK}{_ZONE})?\s*")


_MOMENTS: Final = (
    _followed(r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})", r"[t\s_]\s*"),
    _followed(r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)", r"[t\s_]?"),
    _followed(r"(?:[a-z]{3},?\s)?(?P<day>\d{1,2})[-\s](?P<name>[a-z]{3})[a-z]*[-\s](?P<year>\d{4})", r"[t\s,]\s*"),
)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FIRST_COMPACT: Final = 1850
"""Before this year eight and more digits without marks are no date: seconds since 1970 look like the year 1700."""
_FIRST, _LAST = np.datetime64("1678-01-01", "us"), np.datetime64("2262-01-01", "us")
"""Nanoseconds hold what lies between; other moments would wrap around."""
_PARTS: Final = ("year", "month", "day")
_AMBIGUOUS: Final = re.compile(r"\d{1,2}([-/.])\d{1,2}\1(\d\d|\d{4})\b.*")
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?", re.IGNORECASE)
_ISO: Final = "write ISO 8601, such as 2020-01-31T12:00Z"


def moments(texts: Texts) -> Times:
    """(n,) moments (UTC, ns) of texts; NaT where there is none."""
    codes, distinct = pd.factorize(texts)
    if not distinct.size:
        return np.full(texts.shape, np.datetime64("NaT", "ns"))
    series = (
        pd.Series(distinct, dtype=object).astype(str).str.strip().str.casefold().str.replace(r"\.0+$", "", regex=True)
    )
    result = np.full(len(series), np.datetime64("NaT", "ns"))
    for number, form in enumerate(_MOMENTS):
        parts = series.str.extract(f"^{form.pattern}$")
        rows = np.flatnonzero(parts["year"].notna().to_numpy() & np.isnat(result))
        if rows.size:
            result[rows] = _assembled(parts.iloc[rows], compact=number == 1)
    return np.asarray(result[codes])


def _assembled(parts: pd.DataFrame, *, compact: bool) -> Times:
    field = {name: numbers(parts[name].str.replace(",", ".").fillna("").to_numpy(dtype=object)) for name in (
        "year", "day", "hour", "minute", "second")}  # fmt: skip
    if "month" in parts:
        month: Floats = numbers(parts["month"].to_numpy(dtype=object))
    else:
        number = {name: index + 1.0 for index, name in enumerate(_MONTHS)}
        month = np.array([number.get(name, np.nan) for name in parts["name"]], dtype=np.float64)
    clock = _clock_seconds(*(np.nan_to_num(field[name]) for name in ("hour", "minute", "second")))
    result = _joined(_days(field["year"], month, field["day"]), clock - _ahead(parts["zone"].fillna("")))
    return np.where(compact & (field["year"] < _FIRST_COMPACT), np.datetime64("NaT", "ns"), result)


def _ahead(zones: pd.Series[str]) -> Floats:
    """(n,) seconds by which zones such as +01:00 are ahead of UTC; NaN beyond 18 hours."""
    zone = zones.str.extract(r"^(?P<sign>[+-])(?P<hour>\d\d):?(?P<minute>\d\d)?$").fillna("")
    ahead = np.nan_to_num(numbers(zone["hour"].to_numpy(dtype=object))) * 3600.0
    ahead += np.nan_to_num(numbers(zone["minute"].to_numpy(dtype=object))) * 60.0
    return np.where(ahead <= 18.0 * 3600.0, np.where(zone["sign"] == "-", -ahead, ahead), np.nan)


def _days(year: Floats, month: Floats, day: Floats) -> Times:
    """(n,) days of the calendar; NaT where there is no such day."""
    whole = np.isfinite(year + month + day) & (year == year.round()) & (month == month.round()) & (day == day.round())
    sane = whole & (year >= 1) & (year <= 9999) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    y, m, d = (np.where(sane, part, 1.0).astype(np.int64) for part in (year, month, day))
    first = (12 * (y - 1970) + m - 1).astype("datetime64[M]")
    result = first.astype("datetime64[D]") + (d - 1)
    return np.where(sane & (result.astype("datetime64[M]") == first), result, np.datetime64("NaT", "D"))


def _clock_seconds(hour: Floats, minute: Floats, second: Floats) -> Floats:
    """(n,) seconds of the day; 24:00 is its end; NaN where there is no such time of day."""
    total = 3600.0 * hour + 60.0 * minute + second
    return np.where(
        (hour >= 0) & (minute >= 0) & (minute < 60) & (second >= 0) & (second < 60) & (total <= _DAY), total, np.nan
    )


def _joined(days: Times, seconds: Floats) -> Times:
    known = np.isfinite(seconds) & ~np.isnat(days)
    microseconds = (np.where(known, seconds, 0.0) * 1e6).round().astype("timedelta64[us]")
    result = np.where(known, days.astype("datetime64[us]") + microseconds, np.datetime64("NaT", "us"))
    inside = (result > _FIRST) & (result < _LAST)
    return np.where(inside, result, np.datetime64("NaT", "us")).astype("datetime64[ns]")


def clocks(texts: Texts) -> Floats:
    """(n,) seconds of the day of clocks (UTC); NaN where there is none."""
    series = pd.Series(texts, dtype=object).astype(str).str.strip().str.casefold().str.replace(r"\.0+$", "", regex=True)
    series = series.str.replace(r"\s*(?:z|utc|gmt)$", "", regex=True)
    zone = series.str.extract(r"[\d:.]\s*(?P<zone>[+-]\d\d(?::?\d\d)?)$")["zone"].fillna("")
    series = series.str.replace(r"\s*[+-]\d\d(?::?\d\d)?$", "", regex=True)
    digits = series.str.fullmatch(r"\d{1,6}").to_numpy(dtype=bool)
    length = series.str.len().to_numpy()
    with_seconds = bool((digits & (length > 4)).any())
    padded = np.where(
        ~digits,
        series.str.replace(r"^(\d):", r"0\1:", regex=True),
        np.where(with_seconds, series.str.zfill(6), np.where(length <= 2, series.str.zfill(2), series.str.zfill(4))),
    )
    parts = pd.Series(padded, dtype=object).str.extract(f"^{_CLOCK}$").fillna("")
    found = (parts["hour"] != "").to_numpy()
    hour, minute, second = (
        np.nan_to_num(numbers(parts[name].str.replace(",", ".").to_numpy(dtype=object)))
        for name in ("hour", "minute", "second")
    )
    return np.where(found, _clock_seconds(hour, minute, second) - _ahead(zone), np.nan)


def times_of(
    table: pd.DataFrame, roles: Mapping[str, str], label: str, reference_time: np.datetime64 | None, *, unix: bool
) -> tuple[Times, Texts]:
    """Return times (UTC, ns; NaT where there is none) of a table's rows, and their texts.

    roles: what is there → its column, of time, date, year, month, day, hour, minute, second and relative_hours.
    reference_time: what relative_hours count from. unix: whether the time is in seconds since 1970-01-01.
    Raises BadDataError when no cell of a column is what it should be, and says what would be.
    """

    def cells(role: str) -> Texts:
        return texts_of(table[roles[role]])

    dated = "date" in roles or all(role in roles for role in _PARTS)
    if "time" in roles:
        texts = cells("time")
        if unix:
            found = _seconds_since(numbers(texts))
            _refuse_unless(~np.isnat(found), texts, label, roles["time"], lambda _: "write seconds since 1970-01-01")
            return found, texts
        found, seconds = moments(texts), clocks(texts) if dated else None
        if seconds is None or (not np.isnat(found).all() and not np.isfinite(seconds).any()):
            _refuse_unless(~np.isnat(found), texts, label, roles["time"], _why_no_moment)
            return found, texts
        clock_column = "time"
    elif "hour" in roles and dated:
        texts, clock_column = cells("hour"), "hour"
        seconds = _clock_of_parts(texts, *(cells(role) if role in roles else None for role in ("minute", "second")))
    elif "date" in roles:
        texts = cells("date")
        found = moments(texts)
        _refuse_unless(~np.isnat(found), texts, label, roles["date"], _why_no_moment)
        return found, texts
    elif dated:
        days, day_text = _dates(cells, roles, label)
        return _joined(days, np.zeros(len(table))), day_text
    else:
        return _relative(cells("relative_hours"), roles["relative_hours"], label, reference_time)
    days, day_text = _dates(cells, roles, label)
    _refuse_unless(np.isfinite(seconds), texts, label, roles[clock_column], _why_no_clock)
    return _joined(days, seconds), np.asarray(day_text + "T" + texts)


def _dates(cells: Callable[[str], Texts], roles: Mapping[str, str], label: str) -> tuple[Times, Texts]:
    if "date" in roles:
        texts = cells("date")
        days = moments(texts).astype("datetime64[D]")
        column = roles["date"]
    else:
        parts = [cells(role) for role in _PARTS]
        days = _days(*(numbers(part) for part in parts))
        texts = np.asarray(parts[0] + "-" + parts[1] + "-" + parts[2])
        column = roles["year"]
    _refuse_unless(~np.isnat(days), texts, label, column, _why_no_moment)
    return days, texts


def _clock_of_parts(hour: Texts, minute: Texts | None, second: Texts | None) -> Floats:
    """(n,) seconds of the day; hours without minutes may have a fraction, or be clocks."""
    count = numbers(hour)
    if minute is None and second is None and (np.isnan(count).all() or np.nanmax(count) > 24.0):
        return clocks(hour)
    more = [
        np.zeros(hour.shape) if part is None else np.where(is_empty(part), 0.0, numbers(part))
        for part in (minute, second)
    ]
    return _clock_seconds(count, *more)


def _seconds_since(seconds: Floats) -> Times:
    known = np.abs(seconds) < 1e11
    return _joined(np.where(known, np.datetime64(0, "D"), np.datetime64("NaT", "D")), seconds)


def _relative(texts: Texts, column: str, label: str, reference_time: np.datetime64 | None) -> tuple[Times, Texts]:
    if reference_time is None:
        raise BadDataError(f"{label}: {column} gives hours from the analysis; give its time")
    hours = numbers(texts)
    known = np.abs(hours) < _MOST_HOURS
    nanoseconds = (np.where(known, hours, 0.0) * 3.6e12).round().astype("timedelta64[ns]")
    found = reference_time.astype("datetime64[ns]") + nanoseconds
    return np.where(known, found, np.datetime64("NaT", "ns")), texts


def _refuse_unless(known: Mask, texts: Texts, label: str, column: str, why: Callable[[str], str]) -> None:
    """Raise BadDataError when no cell that is not empty is known."""
    filled = ~is_empty(texts)
    if filled.any() and not known.any():
        first = str(texts[np.flatnonzero(filled)[0]])
        raise BadDataError(
            f"{label}: column {column!r} holds no time that can be read, such as {first[:40]!r}: {why(first)}"
        )


def _why_no_moment(text: str) -> str:
    if _AMBIGUOUS.fullmatch(text):
        return f"day and month cannot be told apart; {_ISO}"
    if _NUMBER.fullmatch(text):
        return f"a number does not say what it counts; {_ISO}, or name a column of seconds since 1970 unix_time"
    return _ISO


def _why_no_clock(text: str) -> str:
    return "write a time of day as HH:MM, HHMM or HHMMSS (UTC)"
