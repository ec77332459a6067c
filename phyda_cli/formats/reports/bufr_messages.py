"""The framing of a BUFR file: where each message begins and ends, what its header says, and which are damaged.

    section 0   "BUFR" length(3) edition(1)
    section 1   length(3) … centre, category, tables, time
    section 2   optional, where the first bit of section 1's flags is set
    section 3   length(3) 0 subsets(2) flags(1) descriptors(2 each)
    section 4   length(3) 0 data
    section 5   "7777"

Between messages may stand WMO bulletin headers, padding and Fortran record lengths. A damaged message ends none of the
others: reading goes on at the next "BUFR", and the damage is reported. A file cut off at its end is another matter
(it may still be on its way) and an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from phyda_cli.errors import BadDataError

_MAGIC: Final = b"BUFR"
_END: Final = b"7777"
_EDITIONS: Final = (2, 3, 4)
_COMPRESSED: Final = 0x40
_LONGEST_GAP: Final = 512
"""A bulletin's trailer and header between two messages are shorter than this [byte]."""
_RECORD_ENDS: Final = 16
"""Padding to 8 bytes and the lengths of two Fortran records."""


@dataclass(frozen=True)
class Message:
    """A whole message. number: from 1 in the file. offset: of its first byte in the file.

    descriptors: F·100000 + X·1000 + Y, as section 3 has them. description: size of section 3 [byte].
    data: section 4 without its header of 4 bytes. raw: all its bytes. time: of section 1 (UTC, datetime64[s]), NaT when
    it gives none.
    """

    number: int
    offset: int
    edition: int
    category: int
    subsets: int
    compressed: bool
    descriptors: tuple[int, ...]
    description: int
    time: np.datetime64
    data: bytes
    raw: bytes


@dataclass(frozen=True)
class Damage:
    """A message that cannot be read, or bytes that are none. number: of the message, from 1 in the file."""

    number: int
    offset: int
    reason: str


def is_bufr(head: bytes) -> bool:
    """Return whether the first bytes of a file are BUFR's, also after a bulletin header or a Fortran record length."""
    start = head.find(_MAGIC)
    if start < 0 or (start > 0 and len(head) < start + 8):
        return False
    # In a text that speaks of BUFR a letter stands where the edition is.
    return head[start + 7 : start + 8] in (b"", b"\x00", b"\x01", b"\x02", b"\x03", b"\x04")


def scan_messages(content: bytes, label: str) -> list[Message | Damage]:
    """Return the messages of a file and the damage among them, in order.

    content: the whole file. label: its name for errors.
    Raises BadDataError when the file is empty or cut off within its last message.
    """
    if not content:
        raise BadDataError(f"{label}: the file is empty (0 bytes); fetch it again")
    found: list[Message | Damage] = []
    position = 0
    while True:
        start = content.find(_MAGIC, position)
        gap = content[position : start if start >= 0 else len(content)]
        if found and not isinstance(found[-1], Damage) and not _is_filler(gap):
            found.append(Damage(len(found) + 1, position, f"{len(gap)} bytes between messages are no BUFR"))
        if start < 0:
            return found
        number = len(found) + 1
        size = int.from_bytes(content[start + 4 : start + 7], "big")
        another = content.find(_MAGIC, start + 4)
        if (start + max(size, 8) > len(content)) and another < 0:
            raise BadDataError(
                f"{label}: message {number} at byte {start} is cut off: {len(content) - start} of {size} bytes are "
                "there; fetch the file again"
            )
        item = _message(content[start : start + size], number, start)
        found.append(item)
        if isinstance(item, Message):
            position = start + size
        elif another < 0:
            return found
        else:
            position = another


def _is_filler(gap: bytes) -> bool:
    """Return whether bytes between messages are padding, record lengths or the text of bulletins."""
    return len(gap) <= _RECORD_ENDS or not gap.strip(b"\0") or (len(gap) <= _LONGEST_GAP and max(gap) < 0x80)


def _message(raw: bytes, number: int, offset: int) -> Message | Damage:
    if raw[-4:] != _END or len(raw) < 8:
        return Damage(number, offset, f"its length of {len(raw)} bytes does not lead to its end")
    edition = raw[7]
    if edition not in _EDITIONS:
        return Damage(number, offset, f"BUFR edition {edition} is not one of 2, 3, 4")
    try:
        one, rest = _section(raw[8:])
        if one[9 if edition == 4 else 7] & 0x80:
            _, rest = _section(rest)
        three, rest = _section(rest)
        four, rest = _section(rest)
        category = one[10 if edition == 4 else 8]
        subsets, flags = int.from_bytes(three[4:6], "big"), three[6]
        time = _time(one, edition)
    except IndexError:
        return Damage(number, offset, "the lengths of its sections contradict each other")
    if rest != _END:
        return Damage(number, offset, "the lengths of its sections contradict each other")
    packed = np.frombuffer(three[7 : 7 + (len(three) - 7) // 2 * 2], ">u2").astype(np.int64)
    descriptors = (packed >> 14) * 100_000 + (packed >> 8 & 63) * 1000 + (packed & 255)
    compressed, all_descriptors = bool(flags & _COMPRESSED), tuple(descriptors.tolist())
    return Message(
        number, offset, edition, category, subsets, compressed, all_descriptors, len(three), time, four[4:], raw
    )


def _section(data: bytes) -> tuple[bytes, bytes]:
    """Return the first section of `data` and what follows it. Raises IndexError when its length is none."""
    size = int.from_bytes(data[:3], "big")
    if not 4 <= size <= len(data):
        raise IndexError
    return data[:size], data[size:]


def _time(one: bytes, edition: int) -> np.datetime64:
    if edition == 4:
        year, rest = int.from_bytes(one[15:17], "big"), one[17:21]
    else:
        # Octet 18 is the century where a centre gives it, as NCEP does (20 for 1989); others leave 0 there.
        century = one[17] if len(one) > 17 else 0
        short = one[12]
        if century in (20, 21):
            year = 100 * (century - 1) + short
        else:
            year = 1900 + short if 40 < short <= 100 else 2000 + short % 100
        rest = one[13:17]
    month, day, hour, minute = rest[0], rest[1], rest[2], rest[3]
    try:
        return np.datetime64(datetime(year, month, day, hour % 24, minute), "s") + np.timedelta64(hour // 24, "D")
    except ValueError:  # a month 0, a minute 60 or more
        return np.datetime64("NaT", "s")
