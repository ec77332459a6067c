"""Decoding the data of BUFR messages whose tables are embedded in the file, as NCEP's are.

A message's descriptors are compiled once into runs of bits of fixed length and loops over them:

    run    n bits, of which some are elements wanted: number = (bits >> shift) mod 2^width
    loop   a count in the next w bits, then its body as often

so that a run of many elements costs one read, and what nobody wants is stepped over. NCEP writes the length of each
subset before it (0 63 000) and pads it to whole bytes, which is checked: a subset that does not end where its length
says is not believed.

The tables (DX tables) stand in messages of data category 11. A DX message is text in fixed columns, so it is read
without any table, each list led by its length in one byte:

    A:  number (3), two lines of 32                                    what a message type is called
    B:  F X YYY, two lines of 32, unit (24), scale (±3), reference (±10), width (3)      an element
    D:  F X YYY, name (64), then a list of F X YYY (6)                 a sequence

The first line of an entry of B and the name in D begin with a mnemonic of 8 characters, such as POB or P___INFO.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.bufr_messages import Message

DX_CATEGORY = 11
"""The data category of a message that holds tables."""


@dataclass(frozen=True)
class Element:
    """An entry of table B: value = (number + reference) / 10^scale, a number of `width` bits; text when `text`."""

    mnemonic: str
    unit: str
    scale: int
    reference: int
    width: int

    @property
    def text(self) -> bool:
        return self.unit.startswith("CCITT")


@dataclass(frozen=True)
class Sequence:
    """An entry of table D: the descriptors that it stands for."""

    mnemonic: str
    members: tuple[int, ...]


@dataclass
class DxTables:
    """Elements and sequences by descriptor, F·100000 + X·1000 + Y; filled message by message as a file is read."""

    elements: dict[int, Element] = field(default_factory=dict)
    sequences: dict[int, Sequence] = field(default_factory=dict)

    def add(self, body: bytes) -> None:
        """Take in the entries of a DX message; body: its section 4 without the header of 4 bytes.

        Raises BadDataError when it is cut off or holds no such text.
        """
        text = _Text(body)
        for _ in range(text.count()):
            text.take(3 + 64)
        for _ in range(text.count()):
            descriptor, line, _, unit = text.number(6), text.take(32), text.take(32), text.take(24)
            scale, reference, width = text.signed(3), text.signed(10), text.number(3)
            self.elements[descriptor] = Element(line[:8].strip(), unit.strip(), scale, reference, width)
        for _ in range(text.count()):
            descriptor, name = text.number(6), text.take(64)
            members = tuple(text.number(6) for _ in range(text.count()))
            self.sequences[descriptor] = Sequence(name[:8].strip(), members)


class _Text:
    """Fixed columns, read from left to right."""

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def count(self) -> int:
        return self._bytes(1)[0]

    def take(self, size: int) -> str:
        return self._bytes(size).decode("latin-1")

    def number(self, size: int) -> int:
        text = self.take(size)
        if not (text.isascii() and text.strip().isdigit()):
            raise BadDataError(f"DX table holds {text!r} where a number is due")
        return int(text)

    def signed(self, size: int) -> int:
        sign = self.take(1)
        number = self.number(size)
        return -number if sign == "-" else number

    def _bytes(self, size: int) -> bytes:
        piece = self._body[self._at : self._at + size]
        if len(piece) < size:
            raise BadDataError("DX table is cut off")
        self._at += size
        return piece


_BYTE_COUNT: Final = 63_000
_NO_COUNT: Final = 0xFFFF
_PREFIXES: Final = (360_001, 360_002, 360_003, 360_004)
"""NCEP's delayed replications of the sequence that follows: 16, 8, 8 (a stack of events) and 1 bit."""
_LONGEST_PADDING: Final = 16
"""Bits after the data of a subset: a count of 8 and up to 8 of padding."""
_WIDEST: Final = 63
_LARGEST_SCALE: Final = 15
_DEEPEST: Final = 32
_LONGEST: Final = 200_000
"""More elements than this in one template are no template."""


@dataclass(frozen=True)
class Run:
    """Bits of fixed length. fields: (index of the element wanted, shift from the right, mask)."""

    bits: int
    fields: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Loop:
    """A body repeated; the count is in the next `bits` bits."""

    bits: int
    body: tuple[Run | Loop, ...]


Program = tuple[Run | Loop, ...]


@dataclass
class Numbers:
    """What was decoded, in the order of the file: index of the element wanted, its number as packed, its subset."""

    element: array[int] = field(default_factory=lambda: array("H"))
    number: array[int] = field(default_factory=lambda: array("Q"))
    subset: array[int] = field(default_factory=lambda: array("L"))


class Decoder:
    """Decodes messages by the tables of their file.

    wanted: mnemonic → index under which its numbers are given out.
    """

    def __init__(self, tables: DxTables, wanted: Mapping[str, int]) -> None:
        self._tables, self._wanted = tables, wanted
        self._programs: dict[tuple[int, ...], Program] = {}
        self.elements: dict[int, Element] = {}
        """The element of each index, with its scale, reference and width as they stand in the messages met."""

    def decode(self, message: Message, first: int, into: Numbers) -> set[int]:
        """Decode all subsets of a message; `first` is the number of its first one. Returns those that are damaged.

        Raises BadDataError when its descriptors are not in the tables or its data is compressed.
        """
        if message.compressed:
            raise BadDataError("compressed data by embedded tables is not read")
        counted = _BYTE_COUNT in message.descriptors[:1]
        program = self._program(message.descriptors[1:2] if counted else message.descriptors)
        data, position, end = message.data, 0, 8 * len(message.data)
        last = first + message.subsets
        damaged: set[int] = set()
        for subset in range(first, last):
            start, stop = position, end
            if counted:
                size = int.from_bytes(data[position >> 3 : (position >> 3) + 2], "big")
                if position + 16 > end or size < 2:
                    return damaged | set(range(subset, last))
                if size < _NO_COUNT:
                    stop = min(start + 8 * size, end)
                position += 16
            before = len(into.element)
            try:
                position = _execute(program, data, position, stop, into)
                ends = not counted or stop == end or stop - position <= _LONGEST_PADDING
            except IndexError:
                ends = False
            if not ends:
                damaged.add(subset)
                del into.element[before:], into.number[before:]
                if not counted:
                    return damaged | set(range(subset, last))
            into.subset.extend([subset] * (len(into.element) - before))
            if counted:
                position = stop
        return damaged

    def _program(self, descriptors: tuple[int, ...]) -> Program:
        if descriptors not in self._programs:
            compiler = _Compiler(self._tables, self._wanted, self.elements)
            self._programs[descriptors] = compiler.compile(descriptors)
        return self._programs[descriptors]


def _execute(program: Program, data: bytes, position: int, end: int, into: Numbers) -> int:
    """Run a program from a bit position on; returns the position behind it, IndexError when it is beyond `end`."""
    for step in program:
        stop = position + step.bits
        if stop > end:
            raise IndexError
        if isinstance(step, Run):
            if step.fields:
                chunk = int.from_bytes(data[position >> 3 : (stop + 7) >> 3], "big") >> (-stop & 7)
                for index, shift, mask in step.fields:
                    into.element.append(index)
                    into.number.append(chunk >> shift & mask)
            position = stop
        else:
            count = int.from_bytes(data[position >> 3 : (stop + 7) >> 3], "big") >> (-stop & 7)
            count &= (1 << step.bits) - 1
            position = stop
            for _ in range(count if step.body else 0):
                position = _execute(step.body, data, position, end, into)
    return position


class _Compiler:
    """Descriptors → program, with the operators 201, 202, 207 and 208 applied on the way."""

    def __init__(self, tables: DxTables, wanted: Mapping[str, int], elements: dict[int, Element]) -> None:
        self._tables, self._wanted, self._elements = tables, wanted, elements
        self._wider, self._finer, self._increase, self._text = 0, 0, 0, 0
        self._steps = 0

    def compile(self, descriptors: tuple[int, ...], depth: int = 0) -> Program:
        # the next descriptor stands last, where taking it is cheap
        queue = [part for entry in descriptors for part in self._prefix(entry)][::-1]
        program: list[Run | Loop] = []
        widths: list[tuple[int | None, int]] = []
        while queue:
            self._steps += 1
            if depth > _DEEPEST or max(self._steps, len(queue)) > _LONGEST:
                raise BadDataError("its tables describe no message: sequences without end")
            descriptor = queue.pop()
            kind, x, y = descriptor // 100_000, descriptor // 1000 % 100, descriptor % 1000
            if kind == 0:
                widths.append(self._element(descriptor))
            elif kind == 1:
                bits = self._width_of_count(queue.pop()) if y == 0 and queue else 0
                body = tuple(queue.pop() for _ in range(min(x, len(queue))))
                if y:
                    queue += body[::-1] * y
                    continue
                program += _run(widths)
                widths = []
                program.append(Loop(bits, self.compile(body, depth + 1)))
            elif kind == 2:
                self._operator(x, y, widths)
            else:
                sequence = self._tables.sequences.get(descriptor)
                if sequence is None:
                    raise BadDataError(f"descriptor {descriptor:06d} is not in its tables")
                program += _run(widths)
                widths = []
                program += self.compile(sequence.members, depth + 1)
        return _merge([*program, *_run(widths)])

    def _prefix(self, descriptor: int) -> tuple[int, ...]:
        if descriptor in _PREFIXES and descriptor in self._tables.sequences:
            return self._tables.sequences[descriptor].members
        return (descriptor,)

    def _entry(self, descriptor: int) -> Element:
        entry = self._tables.elements.get(descriptor)
        if entry is None:
            raise BadDataError(f"descriptor {descriptor:06d} is not in its tables")
        return entry

    def _width_of_count(self, descriptor: int) -> int:
        """Bits of a count; a replication whose count takes none could go on without end."""
        entry = self._entry(descriptor)
        if entry.width < 1:
            raise BadDataError(f"its tables give {entry.mnemonic} {entry.width} bits")
        return entry.width

    def _element(self, descriptor: int) -> tuple[int | None, int]:
        """Index (None: not wanted) and width of an element, as the operators leave it."""
        entry = self._entry(descriptor)
        scale, reference, width = entry.scale, entry.reference, entry.width
        if entry.text:
            width = 8 * self._text or width
        elif not entry.unit.startswith(("CODE", "FLAG")):
            scale, width = scale + self._finer + self._increase, width + self._wider
            reference *= 10**self._increase
            width += (10 * self._increase + 2) // 3
        if width < 1:
            raise BadDataError(f"its tables give {entry.mnemonic} {width} bits")
        index = self._wanted.get(entry.mnemonic)
        if index is not None:
            if not 0 < width < (_WIDEST + 2 if entry.text else _WIDEST) or abs(scale) > _LARGEST_SCALE:
                raise BadDataError(f"its tables give {entry.mnemonic} {width} bits and scale {scale}")
            met = Element(entry.mnemonic, entry.unit, scale, reference, width)
            if self._elements.setdefault(index, met) != met:
                raise BadDataError(f"{entry.mnemonic} comes in two packings, which is not read")
        return index, width

    def _operator(self, x: int, y: int, widths: list[tuple[int | None, int]]) -> None:
        if x == 1:
            self._wider = y - 128 if y else 0
        elif x == 2:
            self._finer = y - 128 if y else 0
        elif x == 5:
            widths.append((None, 8 * y))
        elif x == 7:
            self._increase = y
        elif x == 8:
            self._text = y
        else:
            raise BadDataError(f"operator 2{x:02d}{y:03d} is not read")


def _run(widths: list[tuple[int | None, int]]) -> list[Run | Loop]:
    """Elements of fixed width as one run."""
    total = sum(width for _, width in widths)
    fields, left = [], total
    for index, width in widths:
        left -= width
        if index is not None:
            fields.append((index, left, (1 << width) - 1))
    return [Run(total, tuple(fields))] if total else []


def _merge(program: list[Run | Loop]) -> Program:
    """Return the same with neighbouring runs as one."""
    merged: list[Run | Loop] = []
    for step in program:
        last = merged[-1] if merged else None
        if isinstance(step, Run) and isinstance(last, Run):
            moved = tuple((index, shift + step.bits, mask) for index, shift, mask in last.fields)
            merged[-1] = Run(last.bits + step.bits, moved + step.fields)
        else:
            merged.append(step)
    return tuple(merged)
