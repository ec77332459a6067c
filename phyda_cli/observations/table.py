"""Observations as a typed, frozen table: one entry for every input row, in SI, with its quality-control verdict.

Departures are observation minus model everywhere. Rows that could not be read are kept with NaN and a flag, so that the
counts of input, used and rejected rows always reconcile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum, StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError


class Flag(IntEnum):
    """Quality-control verdict, with the numbers of UFO's QCflags.h (only what phyda assigns)."""

    PASS = 0
    PASSIVE = 1
    MISSING = 10
    PRE_QC = 11
    BOUNDS = 12
    DOMAIN = 13
    BLACKLIST = 14
    H_FAILED = 15
    THINNED = 16
    CLOUD = 18
    FIRST_GUESS = 19
    TRACK = 21
    BUDDY = 22
    PROFILE = 24
    HISTORY = 28
    SUPER_REFRACTION = 30
    SUPEROB = 31


class Use(StrEnum):
    """What an observation is for; checks judge all alike."""

    ASSIMILATE = "assimilate"
    MONITOR = "monitor"
    WITHHOLD = "withhold"


@dataclass(frozen=True)
class Observations:
    """A table of observations; every field is a (n,) array.

    variable: short name, a key of `VARIABLES` (str); what is assimilated, after all conversions.
    latitude, longitude: degrees north, degrees east in [0, 360) (float64).
    pressure: Pa, NaN for single-level variables; of what is placed by height that of the standard atmosphere, by which
        checks and tables know its level (float64).
    top: Pa, the upper end of a layer, whose lower end is the pressure (float64, NaN for all others).
    value: SI (float64). error: standard deviation σ_o, SI, NaN until assigned (float64).
    time: UTC (datetime64[ns], NaT when missing).
    station: identifier (str). report: report type such as sonde, aircraft, synop (str, may be empty).
    elevation: m, of the station (float64, NaN when missing).
    height: m above mean sea level, geometric, of what is placed by height (float64, NaN for all others).
    zenith: degrees, the angle at the place from the zenith to the satellite, negative on one side of its track
        (float64, NaN for what is not measured along a slant path).
    use: `Use` (str): whether it may be assimilated, or is only looked at.
    source: index into `sources`. row: 1-based data row (the header not counted) in that source (int64).
    flag: `Flag` (int16). reason: why, a short slug with the value where it helps (str, empty when passed).
    """

    variable: NDArray[np.object_]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    pressure: NDArray[np.float64]
    value: NDArray[np.float64]
    error: NDArray[np.float64]
    time: NDArray[np.datetime64]
    station: NDArray[np.object_]
    report: NDArray[np.object_]
    elevation: NDArray[np.float64]
    height: NDArray[np.float64]
    zenith: NDArray[np.float64]
    top: NDArray[np.float64]
    use: NDArray[np.object_]
    source: NDArray[np.int64]
    row: NDArray[np.int64]
    flag: NDArray[np.int16]
    reason: NDArray[np.object_]
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            column = getattr(self, field.name)
            if field.name != "sources" and column.shape != (len(self),):
                raise BadDataError(f"observation column {field.name} has shape {column.shape}, expected ({len(self)},)")

    @classmethod
    def build(
        cls,
        label: str,
        *,
        variable: NDArray[np.object_],
        latitude: NDArray[np.float64],
        longitude: NDArray[np.float64],
        value: NDArray[np.float64],
        time: NDArray[np.datetime64],
        pressure: NDArray[np.float64] | None = None,
        error: NDArray[np.float64] | None = None,
        station: NDArray[np.object_] | None = None,
        report: NDArray[np.object_] | None = None,
        elevation: NDArray[np.float64] | None = None,
        height: NDArray[np.float64] | None = None,
        zenith: NDArray[np.float64] | None = None,
        top: NDArray[np.float64] | None = None,
        use: NDArray[np.object_] | None = None,
        row: NDArray[np.int64] | None = None,
        flag: NDArray[np.int16] | None = None,
        reason: NDArray[np.object_] | None = None,
    ) -> Observations:
        """Make the table of one file, whose name for messages and `sources` is `label`.

        Columns are (n,) as the fields say; longitudes may count from −180, times may have any resolution. What is left
        out is missing (numbers NaN, texts empty), to be assimilated, numbered from 1 and passed.
        """
        n = variable.shape[0]

        def filled(column: NDArray[Any] | None, default: Any, kind: type[Any]) -> NDArray[Any]:
            return np.full(n, default, dtype=kind) if column is None else column.astype(kind, copy=False)

        return cls(
            variable=variable,
            latitude=latitude,
            longitude=turned(longitude),
            pressure=filled(pressure, np.nan, np.float64),
            value=value,
            error=filled(error, np.nan, np.float64),
            time=time.astype("datetime64[ns]"),
            station=filled(station, "", object),
            report=filled(report, "", object),
            elevation=filled(elevation, np.nan, np.float64),
            height=filled(height, np.nan, np.float64),
            zenith=filled(zenith, np.nan, np.float64),
            top=filled(top, np.nan, np.float64),
            use=filled(use, Use.ASSIMILATE.value, object),
            source=np.zeros(n, dtype=np.int64),
            row=np.arange(1, n + 1, dtype=np.int64) if row is None else row,
            flag=filled(flag, Flag.PASS, np.int16),
            reason=filled(reason, "", object),
            sources=(label,),
        )

    def __len__(self) -> int:
        return int(self.variable.shape[0])

    @property
    def used(self) -> NDArray[np.bool_]:
        """(n,) True where the observation takes part in the analysis."""
        return np.asarray(self.flag == Flag.PASS)

    def reason_begins(self, word: str) -> NDArray[np.bool_]:
        """(n,) True where the reason begins so."""
        return np.asarray(np.strings.startswith(self.reason.astype(str), word))

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Observations:
        """Return the rows of an index or mask, in that order."""
        return replace(self, **{f.name: getattr(self, f.name)[index] for f in fields(self) if f.name != "sources"})

    def reject(
        self, mask: NDArray[np.bool_], flag: Flag, reason: str | NDArray[np.object_] | Callable[[int], str]
    ) -> Observations:
        """Flag the rows of `mask` that have passed so far; a row keeps its first verdict.

        reason: one for all, one for each row (n,), or a function that makes it from a row's index.
        """
        hit = np.flatnonzero(np.asarray(mask, dtype=bool) & self.used)
        flags, reasons = self.flag.copy(), self.reason.copy()
        flags[hit] = flag
        if callable(reason):
            reasons[hit] = [reason(int(index)) for index in hit]
        else:
            reasons[hit] = reason if isinstance(reason, str) else reason[hit]
        return replace(self, flag=flags, reason=reasons)


def no_observations() -> Observations:
    """Return a table without rows."""
    numbers, texts = np.empty(0), np.empty(0, object)
    times = np.empty(0, "datetime64[ns]")
    return Observations.build("no file", variable=texts, latitude=numbers, longitude=numbers, value=numbers, time=times)


def turned(longitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return longitudes from −180 to 360 as those in [0, 360); others as they are, for the check of bounds to find."""
    usual = (longitude >= -180.0) & (longitude <= 360.0)
    return np.where(usual, np.mod(np.where(usual, longitude, 0.0), 360.0), longitude)


def concatenate(tables: Sequence[Observations]) -> Observations:
    """Return several tables (at least one) as one, rows in order; `source` then counts through all their sources."""
    names = [field.name for field in fields(Observations) if field.name not in ("source", "sources")]
    first = np.cumsum([0, *(len(table.sources) for table in tables)])
    return Observations(
        **{name: np.concatenate([getattr(table, name) for table in tables]) for name in names},
        source=np.concatenate([table.source + offset for table, offset in zip(tables, first, strict=False)]),
        sources=tuple(source for table in tables for source in table.sources),
    )


@dataclass(frozen=True)
class Feedback:
    """One entry for every input row, in input order.

    observations: values, final σ_o, flags and reasons.
    background_equivalent: (n,) H(x_b), SI, NaN where H is not defined.
    analysis_equivalent: (n,) H(x_a), SI, NaN where H is not defined.
    spread: (n,) standard deviation of the analysis in observation space, SI, NaN where the method has none.
    """

    observations: Observations
    background_equivalent: NDArray[np.float64]
    analysis_equivalent: NDArray[np.float64]
    spread: NDArray[np.float64]

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Feedback:
        """Return the rows of an index or mask, in that order."""
        columns = self.background_equivalent, self.analysis_equivalent, self.spread
        return Feedback(self.observations.take(index), *(column[index] for column in columns))

    @property
    def background_departure(self) -> NDArray[np.float64]:
        """(n,) O − B = y − H(x_b)."""
        return self.observations.value - self.background_equivalent

    @property
    def analysis_departure(self) -> NDArray[np.float64]:
        """(n,) O − A = y − H(x_a)."""
        return self.observations.value - self.analysis_equivalent
