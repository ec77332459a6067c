"""The headers of GRIB fields: every field of a file, what it is and when it is valid, without its values.

The messages come from cfgrib's stream with multi-field support and errors raised; their number must be what the framing
of the file promises. The framing says where each message begins and ends, and how many fields it holds:

    GRIB 1   "GRIB" length(3) edition(1) … "7777"; a length with the top bit set counts in units of 120 bytes
    GRIB 2   "GRIB" reserved(2) discipline(1) edition(1) length(8), sections length(4) number(1) …, "7777"
             one field for each data section (number 7)

Every byte is accounted for: only text (WMO bulletin headers) and padding may stand between messages. A file that was
cut off or damaged is found here, with the message's number and offset, before any library fills the gap in silence.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import eccodes
import numpy as np
from cfgrib import messages

from phyda_cli.errors import BadDataError
from phyda_cli.fields.variables import Variable, find_grib_variable

_END: Final = b"7777"
_LARGE: Final = 0x800000
_LONGEST_HEADER: Final = 512
"""A bulletin header between two messages is shorter than this [byte]."""


@dataclass(frozen=True)
class Frame:
    """One message: its offset and size [byte] and the number of fields in it."""

    offset: int
    size: int
    fields: int


def scan_frames(path: Path) -> tuple[Frame, ...]:
    """The messages of a GRIB file. Raises BadDataError with message number and byte offset where it is damaged."""
    frames: list[Frame] = []
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        position = 0
        while True:
            start = data.find(b"GRIB", position)
            gap = data[position : start if start >= 0 else len(data)]
            if not _is_filler(gap):
                raise BadDataError(
                    f"{path}: {len(gap)} bytes at byte {position}, after message {len(frames)}, are not GRIB: "
                    "part of the file is lost; fetch it again (grib_copy keeps the messages that are whole)"
                )
            if start < 0:
                return tuple(frames)
            frame = _frame(data, start, path, len(frames) + 1)
            frames.append(frame)
            position = frame.offset + frame.size


def _is_filler(gap: bytes) -> bool:
    return not gap.strip(b"\0") or (len(gap) <= _LONGEST_HEADER and max(gap) < 0x80)


def _frame(data: mmap.mmap, start: int, path: Path, number: int) -> Frame:
    where = f"{path}: message {number} at byte {start}"
    if len(data) - start < 16:
        raise BadDataError(f"{where} is cut off within its header; fetch the file again")
    edition = data[start + 7]
    if edition not in (1, 2):
        raise BadDataError(f"{where} has edition {edition}, phyda reads GRIB 1 and 2; the file may be damaged")
    long = int.from_bytes(data[start + 8 : start + 16], "big")
    size = _size_of_edition_1(data, start) if edition == 1 else long
    if start + size > len(data):
        raise BadDataError(
            f"{where} is cut off: it needs {size} bytes, the file has {len(data) - start} from there; fetch it again"
        )
    if size < 16 or data[start + size - 4 : start + size] != _END:
        raise BadDataError(
            f"{where} does not end with 7777 after its {size} bytes: the file is damaged; fetch it again"
        )
    fields = 1 if edition == 1 else _fields_of_edition_2(data, start, size)
    if fields < 1:
        raise BadDataError(f"{where} is damaged: its sections do not fill its {size} bytes; fetch the file again")
    return Frame(start, size, fields)


def _size_of_edition_1(data: mmap.mmap, start: int) -> int:
    size = int.from_bytes(data[start + 4 : start + 7], "big")
    if not size & _LARGE:
        return size
    # Larger than 8 MB: the length counts in 120 bytes, and the data section's own length holds what is too much.
    flags = data[start + 15]
    section = start + 8
    section += int.from_bytes(data[section : section + 3], "big")
    for present in (flags & 0x80, flags & 0x40):
        if present:
            section += int.from_bytes(data[section : section + 3], "big")
    excess = int.from_bytes(data[section : section + 3], "big")
    whole = (size & (_LARGE - 1)) * 120
    return whole - excess + 4 if excess < 120 else size


def _fields_of_edition_2(data: mmap.mmap, start: int, size: int) -> int:
    """Return the number of data sections, 0 when the sections do not lead to the end of the message."""
    position, end, fields = start + 16, start + size - 4, 0
    while position < end:
        length, number = int.from_bytes(data[position : position + 4], "big"), data[position + 4]
        if length < 5 or not 1 <= number <= 7:
            return 0
        fields += number == 7
        position += length
    return fields if position == end else 0


KEYS: Final = (  # noqa: SIM905
    "gridType numberOfDataPoints Ni Nj N latitudeOfFirstGridPointInDegrees latitudeOfLastGridPointInDegrees "
    "longitudeOfFirstGridPointInDegrees longitudeOfLastGridPointInDegrees iScansNegatively jScansPositively "
    "jPointsAreConsecutive alternativeRowScanning shortName cfVarName cfName name units paramId "
    "typeOfLevel stepType stepRange dataType stream dataDate dataTime validityDate validityTime number edition centre "
    "expver resolutionAndComponentFlags typeOfGeneratingProcess discipline parameterCategory parameterNumber"
).split()
_OF_AXES: Final = ("regular_ll", "regular_gg")
PROJECTED: Final = (  # noqa: SIM905
    "LaDInDegrees LoVInDegrees Latin1InDegrees Latin2InDegrees DxInMetres DyInMetres orientationOfTheGridInDegrees "
    "projectionCentreFlag latitudeOfSouthernPoleInDegrees longitudeOfSouthernPoleInDegrees angleOfRotationInDegrees "
    "earthIsOblate earthMajorAxisInMetres earthMinorAxisInMetres radius"
).split()
"""Read of grids without latitude and longitude axes."""
_LEVEL_KEYS: Final = ("level", "topLevel", "bottomLevel")

_SCALED: Final = ("scaleFactorOfFirstFixedSurface", "scaledValueOfFirstFixedSurface")

_ANALYSED: Final = ("u", "v", "t", "q", "z")
_ALONG_GRID: Final = 8
"""Bit of the component flags: winds are in the grid's own directions."""
NO_STATE: Final = {"ea": 7, "4i": 20}
"""Kinds of field that are no state of the atmosphere, the analysis error and the analysis increment: MARS type and
process (code table 4.3 of GRIB 2)."""

_ISOBARIC: Final = {"isobaricInhPa": 100.0, "isobaricInPa": 1.0}
_SINGLE_LEVELS: Final = frozenset(
    {"surface", "meanSea", "heightAboveGround", "atmosphere", "atmosphereSingleLayer", "entireAtmosphere"}
)


@dataclass(frozen=True)
class Header:
    """The header of one field. index: its place in its file. keys: eccodes keys; absent ones are None."""

    path: Path
    index: int
    keys: Mapping[str, Any]
    valid: np.datetime64
    level: tuple[float, float, float]

    @property
    def pressure(self) -> float | None:
        """Pressure [Pa] of an isobaric level, None for other levels."""
        factor = _ISOBARIC.get(str(self.keys["typeOfLevel"]))
        return None if factor is None else self.level[0] * factor

    @property
    def member(self) -> int:
        """Ensemble member, 0 where the message has none."""
        return int(self.keys["number"] or 0)

    @property
    def variable(self) -> Variable | None:
        """What phyda knows it as: instantaneous, on a pressure level or at the surface."""
        known = find_grib_variable(str(self.keys["shortName"]))
        if known is None or not self.is_instant or self.of_no_state:
            return None
        if known.pressure_level:
            return known if self.pressure is not None else None
        return known if self.keys["typeOfLevel"] in _SINGLE_LEVELS else None

    @property
    def on_model_levels(self) -> bool:
        """Whether it is a field for analysis on hybrid levels."""
        return self.keys["typeOfLevel"] == "hybrid" and self.keys["shortName"] in _ANALYSED

    @property
    def along_grid(self) -> bool:
        """Whether winds are in the grid's own directions."""
        return bool(int(self.keys["resolutionAndComponentFlags"] or 0) & _ALONG_GRID)

    @property
    def is_instant(self) -> bool:
        """Whether it holds at one moment, not over a time."""
        return self.keys["stepType"] in ("instant", None)

    @property
    def of_no_state(self) -> str | None:
        """The kind of field, where it is no state; NCEP's GRIB 1 has no key for it."""
        keys = self.keys
        process = keys["typeOfGeneratingProcess"] if keys["edition"] == 2 else None
        return next((kind for kind, code in NO_STATE.items() if keys["dataType"] == kind or process == code), None)

    @property
    def group(self) -> tuple[str, ...]:
        """What makes one variable of the dataset: parameter, kind of level, kind and range of time step, no state."""
        keys = self.keys
        kind = "isobaricInhPa" if self.pressure is not None else str(keys["typeOfLevel"])
        code = "" if keys["shortName"] != "unknown" else "_".join(str(keys[k]) for k in KEYS[-3:])
        span = "" if self.is_instant else str(keys["stepRange"])
        step, other = str(keys["stepType"]), self.of_no_state or ""
        return str(keys["shortName"]), str(keys["paramId"]), code, kind, step, span, other


def grib_messages(path: Path) -> Iterator[messages.Message]:
    """Yield every field of a file, in order. Raises BadDataError unless as many come out as the framing promises."""
    promised = sum(frame.fields for frame in scan_frames(path))
    count = 0
    try:
        for _, message in messages.FileStream(str(path), errors="raise").items():
            count += 1
            yield message
    except (eccodes.CodesInternalError, EOFError, KeyError, ZeroDivisionError) as error:
        raise BadDataError(f"{path}: field {count + 1} cannot be decoded ({error}); fetch the file again") from None
    if count != promised:
        raise BadDataError(
            f"{path}: {count} of {promised} fields could be decoded: the file is damaged; fetch it again"
        )


def header_of(message: messages.Message, path: Path, index: int) -> Header:
    """The header of one field, at its place in its file. Raises BadDataError for a damaged one."""
    try:
        keys = {key: message.message_get(key, default=None) for key in KEYS}
        if keys["gridType"] not in _OF_AXES:
            keys |= {key: message.message_get(key, default=None) for key in PROJECTED}
            keys["pl"] = tuple(np.asarray(message.message_get("pl", default=()), np.int64).tolist())
        level = _level(message, keys)
    except (eccodes.CodesInternalError, ValueError, OverflowError) as error:
        raise BadDataError(
            f"{path}: message {index + 1} has a header that cannot be read ({error}); fetch the file again"
        ) from None
    try:
        valid = grib_moment(keys["validityDate"], keys["validityTime"])
    except (ValueError, TypeError):
        raise BadDataError(
            f"{path}: message {index + 1} has no valid date ({keys['validityDate']}); set it with grib_set"
        ) from None
    return Header(path, index, keys, valid, level)


def grib_moment(day: int, clock: int) -> np.datetime64:
    """Return the moment (UTC, ns) of YYYYMMDD and HHMM as numbers. Raises ValueError where there is no such moment."""
    text = f"{day:08d}{clock:04d}"
    return np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[8:10]}:{text[10:]}", "ns")


def _level(message: messages.Message, keys: Mapping[str, Any]) -> tuple[float, float, float]:
    """The level, its top and bottom. eccodes rounds pressures to whole hPa; GRIB 2 holds them with their digits."""
    level, top, bottom = (float(message.message_get(key, float, default=0.0)) for key in _LEVEL_KEYS)
    factor = _ISOBARIC.get(str(keys["typeOfLevel"]))
    if factor is not None and keys["edition"] == 2:
        scale, value = (message.message_get(key, int, default=None) for key in _SCALED)
        if scale is not None and value is not None:
            level = round(value * 10.0**-scale, 6) / factor
    return level, top, bottom
