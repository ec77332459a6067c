"""Decoding WMO BUFR messages with ecCodes: the elements of each report in order, with the level that they belong to.

ecCodes gives all numbers of a message in one array, report after report, compressed or not, and its template with
sequences and fixed replications written out. Walking the template along the numbers, a delayed replication reads its
count from them, and says which numbers are one level:

    307004 …, 1 10 000, 0 31 002 (count), [0 07 004, 0 12 101, …] · count       level 0 | level 1, 2, … count

A replication without a vertical coordinate and a quantity (clouds, bit maps) makes no levels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import eccodes
import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.bufr_messages import Message

Integers = NDArray[np.int64]

_MISSING: Final = -1e99
"""ecCodes marks a missing number by −1e100."""
_VERTICAL: Final = frozenset({7002, 7004, 7007, 7009, 7010})
_QUANTITIES: Final = frozenset({10003, 10008, 10009, 12001, 12003, 12101, 12103, 11001, 11002, 11003, 11004})
_COUNTS: Final = frozenset({31000, 31001, 31002})
_COUNT_SLICES: Final = frozenset((count,) for count in (*_COUNTS, 31011, 31012))
_ABOUT_THE_DATA: Final = frozenset({222_000, 223_000, 224_000, 225_000, 232_000})
"""Operators after which a report holds no further data: quality, substituted values, statistics."""
_CHANGES: Final = range(96, 161)
_ONE: Final = (0, 255)
_OPERATORS: Final = {
    **{1: (0, *_CHANGES), 2: (0, *_CHANGES), 3: (*range(33), 255), 4: range(33), 5: range(256), 6: range(65)},
    **{7: range(10), 8: range(256), 21: range(256)},
    **dict.fromkeys((22, 23, 24, 25, 32, 35, 36, 37, 41, 42, 43), _ONE),
}
"""X of the operators 2 X Y → the Y that they can have; ecCodes does not survive numbers of more than 64 bits."""
_TABLES: Final = 31
"""Version of the master tables that sequences are looked up in."""
_MOST_ELEMENTS: Final = 200_000
"""Elements of a report; a spectrum of a sounder has some 20 000."""
_MOST_NUMBERS: Final = 3_000_000
"""Numbers of a message."""
_MOST_COUNTED: Final = 6_000_000
"""The same where only decoding tells how many they are, and mostly they are far fewer."""
_FEW: Final = 1000
"""So few elements cost nothing, whatever the data; operators may leave elements without any bits."""
ASIDE: Final = -1
"""The level of elements after such an operator."""


@dataclass(frozen=True)
class Elements:
    """The elements of a message: descriptor, value (NaN when missing), report and level (0: none, or ASIDE), all (n,).

    texts: what text elements hold; the value of such an element is the index into it.
    """

    descriptor: Integers
    value: NDArray[np.float64]
    report: Integers
    level: Integers
    texts: tuple[str, ...]


@dataclass(frozen=True)
class _Loop:
    body: tuple[int | _Loop, ...]
    makes_levels: bool


def decode(message: Message) -> Elements:
    """Return the elements of a message. Raises BadDataError when ecCodes or the walk finds it unreadable."""
    _check(message.descriptors)
    _check_size(message)
    try:
        values, template, texts = _numbers(_without_remarks(message), message.subsets)
    except eccodes.CodesInternalError as error:
        raise BadDataError(f"ecCodes cannot decode it: {error}") from None
    if not message.subsets:
        raise BadDataError("it holds no report")
    steps = _parse(template)
    descriptors: list[Integers] = []
    levels: list[Integers] = []
    sizes: list[int] = []
    position = 0
    fixed = _fixed(steps)
    for _ in range(message.subsets):
        if fixed is not None:
            ordered, level = fixed
        else:
            found: list[int] = []
            of_level: list[int] = []
            _walk(steps, values, position, found, of_level, 0)
            ordered, level = np.array(found, np.int64), np.array(of_level, np.int64)
        descriptors.append(ordered)
        levels.append(level)
        sizes.append(ordered.size)
        position += ordered.size
    if position != values.size:
        raise BadDataError(f"its {values.size} numbers do not fit its template ({position})")
    report = np.repeat(np.arange(message.subsets), sizes)
    values = np.where(values < _MISSING, np.nan, values)
    return Elements(np.concatenate(descriptors), values, report, np.concatenate(levels), texts)


def _check(descriptors: tuple[int, ...]) -> None:
    """Raise BadDataError for descriptors that are no template; ecCodes does not survive every such list."""
    ends = [len(descriptors)]
    for at, descriptor in enumerate(descriptors):
        kind, x, y = descriptor // 100_000, descriptor // 1000 % 100, descriptor % 1000
        while at >= ends[-1] and len(ends) > 1:
            ends.pop()
        if kind == 1:
            counted = y == 0
            if counted and descriptors[at + 1 : at + 2] not in _COUNT_SLICES:
                raise BadDataError(f"its replication {descriptor:06d} has no count")
            end = at + 1 + x + counted
            if x == 0 or end > ends[-1]:
                raise BadDataError(f"its replication {descriptor:06d} reaches beyond its template")
            ends.append(end)
        elif kind == 2 and y not in _OPERATORS.get(x, ()):
            raise BadDataError(f"there is no operator {descriptor:06d}")


def _check_size(message: Message) -> None:
    """Raise BadDataError for a template that makes more numbers than its data can hold or a machine should.

    A few bytes of template can ask for billions of elements, and ecCodes makes them all before it looks at the data.
    """
    elements = _least_elements(message.descriptors)
    numbers = elements * message.subsets
    if elements > _MOST_ELEMENTS or numbers > _MOST_NUMBERS:
        raise BadDataError(f"its template asks for {numbers} numbers, more than any report holds")
    bits = 8 * len(message.data)
    if not message.compressed and numbers > max(bits, _FEW):
        raise BadDataError(f"its template asks for {numbers} numbers, its data have {bits} bits")
    # A compressed element has its lowest value, of one bit at least, and a width of six; its counts are in the data.
    counted = any(entry in _COUNTS for entry in message.descriptors) or any(e >= 300_000 for e in message.descriptors)
    if message.compressed and counted and bits // 7 * message.subsets > _MOST_COUNTED:
        raise BadDataError(
            f"{message.subsets} compressed reports with counts of levels in {len(message.data)} bytes of data may hold "
            "more numbers than phyda makes room for; uncompress them, for example with bufr_filter"
        )


def _least_elements(descriptors: tuple[int, ...]) -> int:
    """Return how many elements a report has at least: sequences and fixed replications written out, counted ones as
    one.
    """
    total, at = 0, 0
    while at < len(descriptors):
        kind, x, y = descriptors[at] // 100_000, descriptors[at] // 1000 % 100, descriptors[at] % 1000
        if kind == 1:
            counted = y == 0
            body = descriptors[at + 1 + counted : at + 1 + counted + x]
            total += 1 if counted else y * _least_elements(body)
            at += 1 + counted + x
        else:
            total += _elements_of_sequence(descriptors[at]) if kind == 3 else int(kind == 0)
            at += 1
    return total


@lru_cache(maxsize=512)
def _elements_of_sequence(descriptor: int) -> int:
    """Return how many descriptors a sequence of WMO's table D expands to; 1 for one that ecCodes does not know."""
    handle = eccodes.codes_bufr_new_from_samples("BUFR4")
    try:
        eccodes.codes_set(handle, "masterTablesVersionNumber", _TABLES)
        eccodes.codes_set_array(handle, "unexpandedDescriptors", [descriptor])
        return int(eccodes.codes_get_size(handle, "expandedDescriptors"))
    except eccodes.CodesInternalError:
        return 1
    finally:
        eccodes.codes_release(handle)


def _without_remarks(message: Message) -> bytes:
    """Return the message without what it says about its own data at its end, where that can be told from the data.

    Reports that stand one behind the other keep it, since the next one begins after it.
    """
    cut = next((at for at, entry in enumerate(message.descriptors) if entry in _ABOUT_THE_DATA), None)
    if cut is None or (message.subsets > 1 and not message.compressed):
        return message.raw
    start = len(message.raw) - len(message.data) - 8 - message.description
    section = bytearray(message.raw[start : start + 7 + 2 * cut])
    section += b"\0" * (len(section) % 2)
    section[:3] = len(section).to_bytes(3, "big")
    result = bytearray(message.raw[:start] + section + message.raw[start + message.description :])
    result[4:7] = len(result).to_bytes(3, "big")
    return bytes(result)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what ecCodes itself writes to stderr from there: its errors are raised and told in one line."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _numbers(raw: bytes, subsets: int) -> tuple[NDArray[np.float64], tuple[int, ...], tuple[str, ...]]:
    """Return all numbers of a message, its template and its texts. Raises CodesInternalError, BadDataError for too
    many.
    """
    handle = eccodes.codes_new_from_message(raw)
    try:
        numbers = subsets * int(eccodes.codes_get_size(handle, "expandedDescriptors"))
        if numbers > _MOST_NUMBERS:
            raise BadDataError(f"its template asks for {numbers} numbers, more than any report holds")
        eccodes.codes_set(handle, "skipExtraKeyAttributes", 1)
        eccodes.codes_set(handle, "unpack", 1)
        values = np.asarray(eccodes.codes_get_array(handle, "numericValues"), np.float64)
        template = tuple(int(entry) for entry in eccodes.codes_get_array(handle, "expandedDescriptors"))
        texts: tuple[str, ...] = ()
        if eccodes.codes_get_size(handle, "stringValues"):
            texts = tuple(str(text) for text in eccodes.codes_get_array(handle, "stringValues"))
        return values, template, texts
    finally:
        eccodes.codes_release(handle)


@lru_cache(maxsize=512)
def _parse(template: tuple[int, ...]) -> tuple[int | _Loop, ...]:
    """Return a template as elements and loops over delayed replications.

    ecCodes writes the number of descriptors replicated, which may exceed 99, in the thousands of 1 00 000.
    """
    steps: list[int | _Loop] = []
    at = 0
    while at < len(template):
        descriptor = template[at]
        counted = at + 1 < len(template) and template[at + 1] in _COUNTS
        if descriptor >= 100_000 and descriptor % 1000 == 0 and counted:
            size = (descriptor - 100_000) // 1000
            body = template[at + 2 : at + 2 + size]
            levels = bool(_VERTICAL & set(body) and _QUANTITIES & set(body))
            steps += [template[at + 1], _Loop(_parse(body), levels)]
            at += 2 + size
        else:
            steps.append(descriptor)
            at += 1
    return tuple(steps)


@lru_cache(maxsize=512)
def _fixed(steps: tuple[int | _Loop, ...]) -> tuple[Integers, Integers] | None:
    """Descriptors and levels of a template without delayed replication, or None."""
    if any(isinstance(step, _Loop) for step in steps):
        return None
    found: list[int] = []
    of_level: list[int] = []
    _walk(steps, np.empty(0), 0, found, of_level, 0)
    return np.array(found, np.int64), np.array(of_level, np.int64)


def _walk(
    steps: tuple[int | _Loop, ...],
    values: NDArray[np.float64],
    position: int,
    found: list[int],
    of_level: list[int],
    level: int,
) -> int:
    """Append the descriptors and levels of one report from `position` on; returns the position behind it."""
    last = level
    for step in steps:
        if not isinstance(step, _Loop):
            level = ASIDE if step in _ABOUT_THE_DATA else level
            found.append(step)
            of_level.append(level)
            position += 1
            continue
        count = values[position - 1] if position <= values.size else 0.0
        for _ in range(int(count) if count > 0 and step.body else 0):
            if position > values.size:
                raise BadDataError("its replications exceed its numbers")
            if step.makes_levels:
                last = max([last, *of_level[-1:]]) + 1
            position = _walk(step.body, values, position, found, of_level, last if step.makes_levels else level)
    return position
