"""Members of an ensemble: which of a file's are read, and several files of one member each as one background.

Several background files are members when all of them hold the same fields, each file one member or more; when they hold
different fields they are parts of one background (`merge`). Files that share some fields only are neither, and refused.
Members must be valid at the same time, on the same grid, levels and in the same units. They keep the numbers that the
files give them where these are all there and distinct; files without an axis of members are else numbered from 0 in
their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from phyda_cli.errors import BadDataError
from phyda_cli.formats.gridded.contents import MEMBER_NAMES, Contents, FoundField, format_time
from phyda_cli.formats.gridded.merge import on_axes_of

MEMBER = MEMBER_NAMES[0]

MemberChoice = int | tuple[int, ...] | None
"""One member, without an axis; several, in this order; or all."""


def member_index(numbers: Sequence[int], chosen: int | tuple[int, ...], source: str) -> int | list[int]:
    """Where the chosen members are among a file's. Raises BadDataError, listing what there is, for one that is not."""
    for number in (chosen,) if isinstance(chosen, int) else chosen:
        if number not in numbers:
            there = ", ".join(map(str, numbers[:20])) + (" …" if len(numbers) > 20 else "")
            raise BadDataError(f"{source}: holds no member {number}; there are: {there}")
    return numbers.index(chosen) if isinstance(chosen, int) else [numbers.index(number) for number in chosen]


def choose_members(contents: Contents, chosen: MemberChoice) -> Contents:
    """The chosen members of contents that have an axis of them. Raises BadDataError for one that is not there."""
    if chosen is None or contents.member is None:
        return contents
    index = member_index(contents.dataset[contents.member].values.tolist(), chosen, contents.source)
    dataset = contents.dataset.isel({contents.member: index})
    return replace(contents, dataset=dataset, member=None if isinstance(chosen, int) else contents.member)


def stack_members(contents: Sequence[Contents]) -> Contents:
    """One Contents with an axis `number` of several that hold the same fields.

    Raises BadDataError naming both files where times, grids, levels, units or numbers of members disagree.
    """
    first = contents[0]
    turned = [first, *(_like(first, item) for item in contents[1:])]
    numbers = _numbers(turned)
    shared = set.intersection(*(set(item.dataset.data_vars) for item in turned))
    variables: dict[str, xr.Variable] = {}
    for name in (key for key in first.dataset.data_vars if key in shared):
        parts = [_leading(item, str(name)) for item in turned]
        if {first.latitude, first.longitude} <= set(parts[0].dims) and len({part.shape[1:] for part in parts}) == 1:
            values = np.concatenate([part.values for part in parts])
            variables[str(name)] = xr.Variable((MEMBER, *parts[0].dims[1:]), values, parts[0].attrs)
    about = {"standard_name": "realization", "long_name": "member", "units": "1"}
    kept = {
        str(name): coordinate.variable
        for name, coordinate in first.dataset.coords.items()
        if name not in MEMBER_NAMES and _same_everywhere(turned, str(name))
    }
    coordinates = {**kept, MEMBER: xr.Variable((MEMBER,), np.asarray(numbers, np.int32), about)}
    dropped = sorted({str(name) for item in turned for name in item.dataset.data_vars} - set(variables))
    note = (f"not the same in every member, left out: {', '.join(dropped)}",) if dropped else ()
    return replace(
        first,
        dataset=xr.Dataset(variables, coordinates, first.dataset.attrs),
        member=MEMBER,
        source=f"{first.source} and {len(contents) - 1} more",
        selected=frozenset().union(*(item.selected for item in contents)),
        notes=(*dict.fromkeys(n for item in contents for n in item.notes), *note),
    )


def _like(first: Contents, second: Contents) -> Contents:
    """`second` on the axes of `first`. Raises BadDataError unless it holds the same fields at the same time."""
    both = f"{first.source} and {second.source}"
    if first.time != second.time:
        times = [format_time(t) if t is not None else "an unknown time" for t in (first.time, second.time)]
        raise BadDataError(f"{both}: members must be valid at one time, not {times[0]} and {times[1]}; choose --time")
    for ours, theirs in zip(_in_order(first), _in_order(second), strict=False):
        if ours != theirs:
            what = "unit" if replace(theirs, unit=ours.unit) == ours else "levels"
            raise BadDataError(
                f"{both}: members must hold the same fields, and {theirs.name!r} differs in its {what}; make them alike"
            )
    if len(first.fields) != len(second.fields):
        raise BadDataError(f"{both}: members must hold the same fields, not {len(first.fields)} and other ones")
    return on_axes_of(first, second)


def _in_order(contents: Contents) -> list[FoundField]:
    return sorted(contents.fields, key=lambda field: (field.name, field.levels))


def _leading(contents: Contents, name: str) -> xr.Variable:
    """A variable with the members' axis first; one without gets it."""
    variable = contents.dataset[name].variable
    if contents.member is None or contents.member not in variable.dims:
        return xr.Variable((MEMBER, *variable.dims), variable.values[None], variable.attrs)
    return variable.transpose(contents.member, ...)


def _numbers(contents: Sequence[Contents]) -> list[int]:
    """The number of every member of every file. Raises BadDataError for two of one number where files have axes."""
    numbers: list[int] = []
    told = True
    for item in contents:
        if item.member is not None:
            own = item.dataset[item.member].values.tolist()
        else:
            label = next((item.dataset[name] for name in MEMBER_NAMES if name in item.dataset.variables), None)
            told = told and label is not None and label.ndim == 0
            own = [int(label)] if told and label is not None else [len(numbers)]
        numbers += own
    distinct = len(set(numbers)) == len(numbers)
    if all(item.member is None for item in contents):
        return numbers if told and distinct else list(range(len(numbers)))
    if not distinct:
        twice = next(number for number in numbers if numbers.count(number) > 1)
        raise BadDataError(
            f"{contents[0].source} and {len(contents) - 1} more: two of them hold member {twice}; remove one, or give "
            "the members of one file other numbers"
        )
    return numbers


def _same_everywhere(contents: Sequence[Contents], name: str) -> bool:
    values = [item.dataset[name].values for item in contents if name in item.dataset.coords]
    return len(values) == len(contents) and all(np.array_equal(values[0], other) for other in values[1:])
