"""Members of an ensemble: which of a file's are read, and several files of one member each as one background.

Several background files are members when all of them hold the same fields, each file one member or more; when they hold
different fields they are parts of one background (`merge_contents`). Files that share some fields only are neither, and
refused. Members must be valid at the same time, on the same grid, levels and in the same units. They keep the numbers
that the files give them where these are all there and distinct; files without an axis of members are else numbered from
0 in their order.

Parts of one background, such as one file for each variable, must be valid at the same time and lie on the same grid; a
file that runs the other way (north to south, or from −180°) is turned to the orientation of the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from phyda_cli.errors import BadDataError
from phyda_cli.formats.gridded.contents import (
    MEMBER,
    MEMBER_NAMES,
    OF_MEMBERS,
    Contents,
    FoundField,
    GribField,
    format_time,
    of_members,
)
from phyda_cli.formats.gridded.model_members import joined_models, on_common_levels
from phyda_cli.grids.base import Grid

_TOLERANCE = 1e-3
"""How far [degree] two files' coordinates of the same place may differ."""


def merge_contents(contents: Sequence[Contents]) -> Contents:
    """Return one Contents of several. Raises BadDataError naming both files where times, grids, members or fields
    disagree.
    """
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
    if first.model is not None or second.model is not None:
        raise BadDataError(f"{both}: fields on model levels cannot be merged with others; give one file")
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
        messages=first.messages + tuple(one for one in incoming.messages if one.name in kept),
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
    ours, theirs = first.orientation, second.orientation
    if not _same_places(ours.grid, theirs.grid):
        shapes = [f"{o.file_rows.size}×{o.file_columns.size}" for o in (ours, theirs)]
        raise BadDataError(
            f"{both}: on different grids ({shapes[0]} and {shapes[1]}); "
            "bring them to one grid first, for example with cdo remapbil"
        )
    dataset = second.dataset
    for dim, index in (
        (first.latitude, theirs.rows[ours.file_rows]),
        (first.longitude, theirs.columns[ours.file_columns]),
    ):
        if not np.array_equal(index, np.arange(dataset.sizes[dim])):
            dataset = dataset.isel({dim: index})
        if dim in first.dataset.variables:
            dataset = dataset.assign_coords({dim: first.dataset[dim].variable})
    return replace(second, dataset=dataset, orientation=ours)


def _same_places(ours: Grid, theirs: Grid) -> bool:
    """Return whether the points of two grids are the same, up to the rounding of coordinates."""
    if ours.shape != theirs.shape:
        return False
    latitude, longitude = (a - b for a, b in zip(ours.coordinates, theirs.coordinates, strict=True))
    apart = np.abs(np.mod(longitude + 180.0, 360.0) - 180.0) * np.cos(np.radians(ours.coordinates[0]))
    return bool(max(np.abs(latitude).max(), apart.max()) <= _TOLERANCE)


MemberChoice = int | tuple[int, ...] | None
"""One member, without an axis; several, in this order; or all."""


def member_index(numbers: Sequence[int], chosen: int | tuple[int, ...], source: str) -> int | list[int]:
    """Return where the chosen members are among a file's. Raises BadDataError, listing what there is, for one that is
    not.
    """
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
    messages = of_members(contents.messages, [index] if isinstance(index, int) else index)
    member = None if isinstance(chosen, int) else contents.member
    model = None if contents.model is None else contents.model.of_members(index)
    return replace(contents, dataset=dataset, member=member, messages=messages, model=model)


def stack_members(contents: Sequence[Contents]) -> Contents:
    """Return one Contents with an axis `number` of several that hold the same fields.

    Raises BadDataError naming both files where times, grids, levels, units or numbers of members disagree.
    """
    contents = on_common_levels(contents)
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
    kept = {
        str(name): coordinate.variable
        for name, coordinate in first.dataset.coords.items()
        if name not in MEMBER_NAMES and _same_everywhere(turned, str(name))
    }
    coordinates = {**kept, MEMBER: xr.Variable((MEMBER,), np.asarray(numbers, np.int32), OF_MEMBERS)}
    dropped = sorted({str(name) for item in turned for name in item.dataset.data_vars} - set(variables))
    note = (f"not the same in every member, left out: {', '.join(dropped)}",) if dropped else ()
    return replace(
        first,
        dataset=xr.Dataset(variables, coordinates, first.dataset.attrs),
        member=MEMBER,
        source=f"{first.source} and {len(contents) - 1} more",
        selected=frozenset().union(*(item.selected for item in contents)),
        notes=(*dict.fromkeys(n for item in contents for n in item.notes), *note),
        messages=_stacked(contents, variables),
        model=joined_models(contents),
    )


def _stacked(contents: Sequence[Contents], kept: Mapping[str, object]) -> tuple[GribField, ...]:
    """The messages of all members, one file's after the other's."""
    messages: list[GribField] = []
    before = 0
    for item in contents:
        messages += [replace(one, member=before + one.member) for one in item.messages if one.name in kept]
        before += 1 if item.member is None else item.dataset.sizes[item.member]
    return tuple(messages)


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
    """Return a variable with the members' axis first; one without gets it."""
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
