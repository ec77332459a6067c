"""Where every field of a GRIB file is and what it is: read once a file, whatever is asked of it afterwards.

A file of many dates is asked for its fields at each of them. The index holds every header, with the offset of its
message and the field's number in it, so that a date costs the decoding of its own fields alone. It is kept for the last
files that were asked, as long as these stay as they are; nothing is written beside the input.

Most keys of a header are those of its neighbours: headers share them, and only what tells dates and members apart is
their own. A header that cannot be read is an error of those who choose it, not of the whole file.
"""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import eccodes
import numpy as np
from cfgrib import messages
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.formats.gridded.grib_header import Header, grib_messages, header_of

_FILES: Final = 16
"""Files whose index is kept: those of a date may be one for each variable."""
_OWN: Final = ("dataDate", "dataTime", "validityDate", "validityTime", "stepRange", "number")
"""Keys that a header does not share with its neighbours."""


@dataclass(frozen=True)
class Place:
    """Where a field is: offset of its message [byte], and which of the fields of that message it is, from 0.

    alone: whether the message has no other.
    """

    offset: int
    number: int
    alone: bool


@dataclass(frozen=True)
class GribIndex:
    """The fields of a file, in order. headers: what each is, or the error of one that cannot be read."""

    headers: tuple[Header | BadDataError, ...]
    places: tuple[Place, ...]


def grib_index(path: Path) -> GribIndex:
    """Return the index of a file. Raises BadDataError for a damaged one."""
    stat = path.stat()
    return _index(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=_FILES)
def _index(path: Path, *_version: int) -> GribIndex:
    headers: list[Header | BadDataError] = []
    offsets: list[int] = []
    shared: dict[tuple[Any, ...], dict[str, Any]] = {}
    for index, message in enumerate(grib_messages(path)):
        offsets.append(int(message.message_get("offset", int)))
        try:
            header = header_of(message, path, index)
        except BadDataError as error:
            headers.append(error)
        else:
            headers.append(replace(header, keys=_compact(header.keys, shared)))
    together, first = Counter(offsets), {offset: index for index, offset in reversed(list(enumerate(offsets)))}
    places = (Place(offset, index - first[offset], together[offset] == 1) for index, offset in enumerate(offsets))
    return GribIndex(tuple(headers), tuple(places))


def _compact(keys: Mapping[str, Any], shared: dict[tuple[Any, ...], dict[str, Any]]) -> Mapping[str, Any]:
    own = {key: keys[key] for key in _OWN}
    rest = {key: value for key, value in keys.items() if key not in own}
    return ChainMap(own, shared.setdefault(tuple(rest.items()), rest))


def grib_headers(path: Path, select: Mapping[str, str]) -> Iterator[Header]:
    """Yield the headers of the fields whose keys are as `select` says.

    Raises BadDataError for a damaged file and for a header or date of a chosen field that cannot be read.
    """
    for number, header in enumerate(grib_index(path).headers):
        if select and not _is_chosen(path, number, header, select):
            continue
        if isinstance(header, BadDataError):
            raise header
        yield header


def grib_field(path: Path, index: int) -> messages.Message:
    """Return a field of a file by its place in it. Raises BadDataError where it is not there any more."""
    places = grib_index(path).places
    if index >= len(places):
        raise BadDataError(f"{path}: field {index + 1} is not there any more: the file has changed; start again")
    place = places[index]
    try:
        with path.open("rb") as stream:
            stream.seek(place.offset)
            if place.alone:
                return messages.Message.from_file(stream, errors="raise")
            with messages.multi_enabled(stream):
                for _ in range(place.number):
                    messages.Message.from_file(stream, errors="raise")
                return messages.Message.from_file(stream, errors="raise")
    except (eccodes.CodesInternalError, EOFError, KeyError) as error:
        raise BadDataError(f"{path}: field {index + 1} cannot be decoded ({error}); fetch the file again") from None


def grib_places(header: Header) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the latitudes and longitudes (n,) [degree] of a field's values, in their order. Raises BadDataError."""
    message = grib_field(header.path, header.index)
    try:
        latitude, longitude = (np.asarray(message.message_get(key), np.float64) for key in ("latitudes", "longitudes"))
    except (eccodes.CodesInternalError, KeyError, ValueError) as error:
        raise BadDataError(
            f"{header.path}: message {header.index + 1}: nothing says where its points are ({error}); fetch the file "
            "again"
        ) from None
    return latitude, longitude


def grib_half_levels(header: Header) -> NDArray[np.float64] | None:
    """Return a [Pa] and b (2, half level) of a field's hybrid coordinate, None where its message has none."""
    found = np.asarray(grib_field(header.path, header.index).message_get("pv", default=()), np.float64)
    return found.reshape(2, -1) if found.size and found.size % 2 == 0 else None


def _is_chosen(path: Path, index: int, header: Header | BadDataError, select: Mapping[str, str]) -> bool:
    """Return whether a field's keys are as `select` says; the message is asked for those that its header lacks."""
    if isinstance(header, Header) and all(key in header.keys for key in select):
        found = {key: None if header.keys[key] is None else str(header.keys[key]) for key in select}
    else:
        message = grib_field(path, index)
        found = {key: message.message_get(key, str, default=None) for key in select}
    return all(value is not None and _matches(value, select[key]) for key, value in found.items())


def _matches(found: str, wanted: str) -> bool:
    try:
        return float(found) == float(wanted)
    except ValueError:
        return found.casefold() == wanted.casefold()
