"""Several files of one background, such as one file for each variable, as one.

The files must be valid at the same time and lie on the same grid; a file that runs the other way (north to south, or
from −180°) is turned to the orientation of the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.formats.gridded.contents import Array, Contents, format_time

_TOLERANCE = 1e-3
"""How far [degree] two files' coordinates of the same place may differ."""


def merge_contents(contents: Sequence[Contents]) -> Contents:
    """One Contents of several. Raises BadDataError naming both files where times, grids, members or fields disagree."""
    merged = contents[0]
    for item in contents[1:]:
        merged = _join(merged, item)
    return merged


def _join(first: Contents, second: Contents) -> Contents:
    both = f"{first.source} and {second.source}"
    if first.time is not None and second.time is not None and first.time != second.time:
        raise BadDataError(
            f"{both}: valid at different times, {format_time(first.time)} and {format_time(second.time)}; "
            "choose one with --time"
        )
    if first.folding is not None or second.folding is not None:
        raise BadDataError(
            f"{both}: fields along an axis of points or names cannot be merged with others; give one file"
        )
    incoming = _turn(_rename(first, second), first, both)
    for name in sorted(set(incoming.dataset.variables) & set(first.dataset.variables), key=str):
        known = name in {field.name for field in (*incoming.fields, *first.fields)}
        if known:
            raise BadDataError(
                f"{both}: both hold the field {name!r}, so they are no parts of one background, and members would hold "
                "all the same fields; make one file of each member first, or remove one"
            )
    kept = incoming.dataset.drop_vars([name for name in incoming.dataset.variables if name in first.dataset.variables])
    return replace(
        first,
        dataset=first.dataset.assign(kept.variables).set_coords([str(name) for name in kept.coords]),
        member=first.member or incoming.member,
        time=first.time if first.time is not None else incoming.time,
        fields=first.fields + incoming.fields,
        source=f"{first.source} + {second.source}",
        selected=first.selected | incoming.selected,
        notes=first.notes + incoming.notes,
    )


def on_axes_of(first: Contents, second: Contents) -> Contents:
    """`second` with the horizontal axes of `first`, their names too. Raises BadDataError for another grid."""
    names = {second.latitude: first.latitude, second.longitude: first.longitude}
    dataset = second.dataset.rename({old: new for old, new in names.items() if old != new})
    return _turn(replace(second, dataset=dataset), first, f"{first.source} and {second.source}")


def _rename(first: Contents, second: Contents) -> Contents:
    """Give `second` the horizontal names of `first`, and other names to dimensions whose coordinates differ."""
    if (first.member is None) != (second.member is None):
        raise BadDataError(
            f"{first.source} and {second.source}: only one of them has members; choose one with --member"
        )
    names = {second.latitude: first.latitude, second.longitude: first.longitude}
    if first.member is not None and second.member is not None:
        names[second.member] = first.member
        ours, theirs = first.dataset[first.member].values, second.dataset[second.member].values
        if not np.array_equal(ours, theirs):
            raise BadDataError(f"{first.source} and {second.source}: hold different members; choose one with --member")
    for dim in second.dataset.dims:
        if dim in names or dim not in first.dataset.dims:
            continue
        ours, theirs = first.dataset[dim].values, second.dataset[dim].values
        if not np.array_equal(ours, theirs):
            count = 2
            while f"{dim}_{count}" in first.dataset.variables:
                count += 1
            names[str(dim)] = f"{dim}_{count}"
    dataset = second.dataset.rename({old: new for old, new in names.items() if old != new})
    fields = tuple(
        replace(field, level_dim=names.get(field.level_dim, field.level_dim) if field.level_dim else None)
        for field in second.fields
    )
    return replace(second, dataset=dataset, fields=fields)


def _turn(second: Contents, first: Contents, both: str) -> Contents:
    """Bring `second` to the axes of `first`."""
    dataset = second.dataset
    for dim, period in ((first.latitude, None), (first.longitude, 360.0)):
        ours, theirs = np.asarray(first.dataset[dim], np.float64), np.asarray(dataset[dim], np.float64)
        index = _matching(ours, theirs, period)
        if index is None or theirs.size > ours.size + 1 or ours.size > theirs.size + 1:
            shapes = [f"{d.sizes[first.latitude]}×{d.sizes[first.longitude]}" for d in (first.dataset, dataset)]
            raise BadDataError(
                f"{both}: on different grids ({shapes[0]} and {shapes[1]}); "
                "bring them to one grid first, for example with cdo remapbil"
            )
        if not np.array_equal(index, np.arange(theirs.size)):
            dataset = dataset.isel({dim: index})
        dataset = dataset.assign_coords({dim: xr.Variable((dim,), first.dataset[dim].values, first.dataset[dim].attrs)})
    return replace(second, dataset=dataset)


def _matching(ours: Array, theirs: Array, period: float | None) -> NDArray[np.int64] | None:
    """For each of our coordinates the index of theirs, or None when one has no partner."""
    apart = ours[:, None] - theirs[None, :]
    if period is not None:
        apart = np.mod(apart + period / 2, period) - period / 2
    index = np.argmin(np.abs(apart), axis=1)
    return index if np.all(np.abs(apart[np.arange(ours.size), index]) <= _TOLERANCE) else None
