"""What files must not do: lead to other files, hold groups in circles, ask for any amount of memory.

External links, external storage and virtual datasets read bytes of whatever file they name, which an output would then
hold; groups that contain each other keep the library busy until memory ends. Nothing is followed here. The environment
variable `PHYDA_ALLOW_EXTERNAL=1` allows what leads to other files, for files that one trusts.

A header of some bytes can declare far more values than the file holds: such a file is refused.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

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
    """Every object's name, what is wrong with it, and whether that is that it leads to another file."""
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
    """The variables of an open netCDF4 dataset and of its groups, as `check_declared_size` takes them."""
    for name, variable in group.variables.items():
        width = _TEXT if variable.dtype is str else getattr(variable.dtype, "itemsize", _TEXT)
        yield name, dict(zip(variable.dimensions, variable.shape, strict=True)), width
    for inner in group.groups.values():
        yield from declared_variables(inner)
