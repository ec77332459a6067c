"""Files that declare far more values than they hold: a header of some bytes can ask for any amount of memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from phyda_cli.errors import BadDataError

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
