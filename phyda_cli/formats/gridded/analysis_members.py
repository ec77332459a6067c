"""The members of an analysis as a NetCDF file: the known fields along the axes `time` and `number`.

Of a background with members each belongs to the one at its place, from whose fields it is restored and whose number it
gets; of another they are numbered from 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import netCDF4
import numpy as np
import xarray as xr

from phyda_cli.fields.state import State
from phyda_cli.formats.gridded.analysis_attributes import described, finished, known_names, names_with_missing
from phyda_cli.formats.gridded.contents import MEMBER, MEMBER_NAMES, OF_MEMBERS
from phyda_cli.formats.gridded.finite import checked_finite, require_finite
from phyda_cli.formats.gridded.layout import Background, restore, restored_field
from phyda_cli.formats.gridded.made_fields import create, placeholder, write_dataset
from phyda_cli.outputs import atomic_path

_MEMBERS_TITLE: Final = "Analysis members: samples of the state of the atmosphere, given background and observations"


def write_members(
    path: Path,
    background: Background,
    members: Iterable[State],
    *,
    count: int,
    attributes: Mapping[str, str],
    overwrite: bool = False,
) -> None:
    """Write the members of an analysis as `members_dataset` has them; one at a time is in memory.

    Those of a background that folds its fields are in memory all at once. Raises as `write_analysis`.
    """
    if background.of_all_fields:
        checked = (checked_finite(path, member, f"member {number}") for number, member in enumerate(members))
        dataset = members_dataset(background, checked, count=count, attributes=attributes)
        write_dataset(path, dataset, overwrite=overwrite)
        return
    axis, names = _member_axis(background, count), known_names(background)
    with atomic_path(path, overwrite=overwrite) as temporary:
        for number, member in enumerate(members):
            require_finite(path, member, f"member {number}")
            own = background if background.member is None else background.one_member(number)
            if number == 0:
                _create_members(temporary, own, axis, attributes)
            with netCDF4.Dataset(temporary, "a") as file:
                file.set_auto_maskandscale(False)
                for name in names:
                    file[name][0, number] = restored_field(own, member, name)


def _create_members(path: Path, one: Background, axis: xr.Variable, attributes: Mapping[str, str]) -> None:
    """Write a file of members without their values, by the example of one."""
    names, held = known_names(one), one.dataset
    outline = held[names].assign({name: placeholder(held[name]) for name in names})
    outline = described(outline.drop_vars(MEMBER_NAMES, errors="ignore"), one)
    outline = outline.assign({n: outline[n].expand_dims({MEMBER: axis.size}) for n in names})
    outline = finished(outline.assign_coords({MEMBER: axis}), one, _MEMBERS_TITLE, attributes)
    create(path, outline, names, missing=names_with_missing(one))


def members_dataset(
    background: Background, members: Iterable[State], *, count: int, attributes: Mapping[str, str]
) -> xr.Dataset:
    """Return the members of an analysis: the known fields along the axes `time` and `number`, in the file's units.

    members: `count` of them, each on the background's grid [SI]. Of a background with members each belongs to the one
    at its place, whose number it gets; of another they are numbered from 0.
    """
    fields, own = [], background
    for number, member in enumerate(members):
        own = background if background.member is None else background.one_member(number)
        names = known_names(own)
        fields.append(described(restore(own, member)[names].drop_vars(MEMBER_NAMES, errors="ignore"), own))
    dataset = xr.concat(fields, dim=MEMBER, coords="minimal", compat="override", combine_attrs="override")
    if background.model is not None:
        own = replace(own, model=background.model.of_members(slice(count)))
    return finished(dataset.assign_coords({MEMBER: _member_axis(background, count)}), own, _MEMBERS_TITLE, attributes)


def _member_axis(background: Background, count: int) -> xr.Variable:
    labels = background.member_numbers[:count] or tuple(range(count))
    return xr.Variable(MEMBER, np.array(labels, np.int32), OF_MEMBERS)
