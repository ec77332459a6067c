"""The framing of a GRIB file: where each message begins and ends, and how many fields it holds.

    GRIB 1   "GRIB" length(3) edition(1) … "7777"; a length with the top bit set counts in units of 120 bytes
    GRIB 2   "GRIB" reserved(2) discipline(1) edition(1) length(8), sections length(4) number(1) …, "7777"
             one field for each data section (number 7)

Every byte is accounted for: only text (WMO bulletin headers) and padding may stand between messages. A file that was
cut off or damaged is found here, with the message's number and offset, before any library fills the gap in silence.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from phyda_cli.errors import BadDataError

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
    """The number of data sections, 0 when the sections do not lead to the end of the message."""
    position, end, fields = start + 16, start + size - 4, 0
    while position < end:
        length, number = int.from_bytes(data[position : position + 4], "big"), data[position + 4]
        if length < 5 or not 1 <= number <= 7:
            return 0
        fields += number == 7
        position += length
    return fields if position == end else 0
