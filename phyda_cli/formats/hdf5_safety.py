"""What an HDF5 file must not do before the NetCDF library opens it: lead to other files, or hold groups in circles.

External links, external storage and virtual datasets read bytes of whatever file they name, which an output would then
hold; groups that contain each other keep the library busy until memory ends. Nothing is followed here. The environment
variable `PHYDA_ALLOW_EXTERNAL=1` allows what leads to other files, for files that one trusts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
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
