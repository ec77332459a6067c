"""How long a NetCDF classic file (CDF-1, CDF-2, CDF-5) must be, from its header.

The NetCDF library reads a classic file that was cut off as if the lost part were zeros. The header says where every
variable begins and how long it is, so

    size ≥ max over fixed variables of (begin + vsize),    and    begin + (numrecs − 1)·recsize + vsize  for record ones

(The NetCDF Classic Format Specification; vsize is computed from the dimensions, since the stored one may overflow.)
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import BinaryIO, Final

_TYPE_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}


class _Header:
    """A cursor over the big-endian header; counts are 8 bytes wide in CDF-5, offsets from CDF-2 on."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.version = self.raw(4)[3]

    def raw(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def int32(self) -> int:
        return int(struct.unpack(">I", self.raw(4))[0])

    def count(self) -> int:
        return int(struct.unpack(">Q", self.raw(8))[0]) if self.version == 5 else self.int32()

    def offset(self) -> int:
        return self.int32() if self.version == 1 else int(struct.unpack(">Q", self.raw(8))[0])

    def name(self) -> None:
        self.raw(_padded(self.count()))

    def list_length(self) -> int:
        self.int32()  # the tag: dimension, variable, attribute or absent
        return self.count()

    def attributes(self) -> None:
        for _ in range(self.list_length()):
            self.name()
            size = _TYPE_SIZES[self.int32()]
            self.raw(_padded(self.count() * size))


def _padded(size: int) -> int:
    return (size + 3) // 4 * 4


def expected_size(path: Path) -> int:
    """The least size [byte] of a whole file with this header.

    Raises EOFError when the file ends within the header, KeyError or IndexError when the header is garbled.
    """
    with path.open("rb") as stream:
        header = _Header(stream)
        records = header.count()
        # All bits set: the number of records is unknown (streaming); then it is as many as there are.
        streaming = records in (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
        dimensions = []
        for _ in range(header.list_length()):
            header.name()
            dimensions.append(header.count())
        header.attributes()
        ends: list[int] = []
        recorded: list[tuple[int, int]] = []
        for _ in range(header.list_length()):
            header.name()
            shape = [dimensions[header.count()] for _ in range(header.count())]
            header.attributes()
            kind = header.int32()
            header.count()  # vsize as stored
            begin = header.offset()
            is_record = bool(shape) and shape[0] == 0
            size = math.prod(shape[1:] if is_record else shape) * _TYPE_SIZES[kind]
            if is_record:
                recorded.append((begin, size))
            else:
                ends.append(begin + size)
        whole = max([stream.tell(), *ends])
        if recorded and records > 0 and not streaming:
            # A single record variable is not padded to four bytes.
            stride = recorded[0][1] if len(recorded) == 1 else sum(_padded(size) for _, size in recorded)
            whole = max([whole, *(begin + (records - 1) * stride + size for begin, size in recorded)])
        return whole
