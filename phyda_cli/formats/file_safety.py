"""What files must not do: lead to other files, hold groups in circles, ask for any amount of memory.

External links, external storage and virtual datasets read bytes of whatever file they name, which an output would then
hold; groups that contain each other keep the library busy until memory ends. Nothing is followed here. The environment
variable `PHYDA_ALLOW_EXTERNAL=1` allows what leads to other files, for files that one trusts.

A header of some bytes can declare far more values than the file holds: such a file is refused.

The NetCDF library reads a classic file that was cut off as if the lost part were zeros. The header says where every
variable begins and how long it is, so

    size ≥ max over fixed variables of (begin + vsize),    and    begin + (numrecs − 1)·recsize + vsize  for record ones

(The NetCDF Classic Format Specification; vsize is computed from the dimensions, since the stored one may overflow.)
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from phyda_cli.errors import BadDataError

ALLOW: Final = "PHYDA_ALLOW_EXTERNAL"
_MOST_OBJECTS: Final = 100_000


def check_hdf5(path: Path) -> None:
    """Raises BadDataError for a file that leads to other files, or whose groups are in circles or beyond count.

    A file that cannot be opened is left to the reader, which says why.
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except (OSError, RuntimeError, ValueError):
        return
    allowed = os.environ.get(ALLOW, "") == "1"
    with file:
        try:
            for count, (name, problem, external) in enumerate(_problems(file), start=1):
                if count > _MOST_OBJECTS:
                    raise BadDataError(f"{path}: holds more than {_MOST_OBJECTS} objects; no background has so many")
                if problem is not None and not (external and allowed):
                    trust = f"; if you trust the file, set {ALLOW}=1" if external else "; the file is damaged"
                    raise BadDataError(f"{path}: {name!r} {problem}{trust}")
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            reason = str(error).split("\n")[0]
            raise BadDataError(f"{path}: its contents cannot be listed ({reason}); fetch the file again") from None


def _problems(file: Any) -> Iterator[tuple[str, str | None, bool]]:
    """Yield every object's name, what is wrong with it, and whether that is that it leads to another file."""
    import h5py

    def identity(item: Any) -> tuple[Any, ...]:
        info = h5py.h5o.get_info(item.id)
        return info.fileno, getattr(info, "addr", None), bytes(getattr(info, "token", b""))

    seen = {identity(file)}
    waiting = [file]
    while waiting:
        group = waiting.pop()
        for key in group:
            name = f"{group.name.rstrip('/')}/{key}"
            link = group.get(key, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                yield name, f"is a link to another file, {link.filename!r}", True
                continue
            if isinstance(link, h5py.SoftLink):
                if group.get(key, getclass=True) is h5py.Group:
                    yield name, "is a link to a group, so that groups may contain each other", False
                continue
            item = group[key]
            if isinstance(item, h5py.Dataset):
                if item.external:
                    yield name, f"has its values in another file, {item.external[0][0]!r}", True
                    continue
                if item.is_virtual:
                    yield name, "is a virtual dataset, whose values are in other files", True
                    continue
            elif isinstance(item, h5py.Group):
                if identity(item) in seen:
                    yield name, "is a group that is there already: groups contain each other", False
                    continue
                seen.add(identity(item))
                waiting.append(item)
            yield name, None, False


_HARMLESS: Final = 1 << 28
"""What any machine has room for [byte]."""
_RATIO: Final = 2000
"""No compression of NetCDF files does better: that of deflate ends at 1032."""
_TEXT: Final = 16
"""Least size of a text in memory [byte]."""


def check_declared_size(path: Path, variables: Iterable[tuple[str, Mapping[str, int], int]]) -> None:
    """Raise BadDataError for a variable (name, axes, bytes of a value) that a file of this size cannot hold."""
    held = path.stat().st_size
    for name, sizes, width in variables:
        declared = math.prod(sizes.values()) * width
        if declared > _HARMLESS and declared > _RATIO * held:
            axis = max(sizes, key=lambda dimension: sizes[dimension])
            raise BadDataError(
                f"{path}: its variable {name!r} declares {declared / 1e9:.3g} GB (axis {axis!r}: {sizes[axis]}), but "
                f"the file has {held} bytes: most of it was never written; write the file anew with its true sizes"
            )


def declared_variables(group: Any) -> Iterator[tuple[str, Mapping[str, int], int]]:
    """Yield the variables of an open netCDF4 dataset and of its groups, as `check_declared_size` takes them."""
    for name, variable in group.variables.items():
        width = _TEXT if variable.dtype is str else getattr(variable.dtype, "itemsize", _TEXT)
        yield name, dict(zip(variable.dimensions, variable.shape, strict=True)), width
    for inner in group.groups.values():
        yield from declared_variables(inner)


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
    """Return the least size [byte] of a whole file with this header.

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
