"""The tables that NCEP embeds in its BUFR files (DX tables, messages of data category 11).

A DX message is text in fixed columns, so it is read without any table, each list led by its length in one byte:

    A:  number (3), two lines of 32                                    what a message type is called
    B:  F X YYY, two lines of 32, unit (24), scale (±3), reference (±10), width (3)      an element
    D:  F X YYY, name (64), then a list of F X YYY (6)                 a sequence

The first line of an entry of B and the name in D begin with a mnemonic of 8 characters, such as POB or P___INFO.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from phyda_cli.errors import BadDataError

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
