"""Whether the numbers of a file are what its labels say, field by field and level axis by level axis.

A label of units that the numbers of a whole field contradict (`judgement.py`) is refused with the remedy; so are values
out of the credible bounds of their variable. GRIB needs none of the former: there the parameter fixes the unit.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.constants import GRAVITY
from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.formats.gridded.contents import PASSIVE, Contents, FoundField
from phyda_cli.formats.judgement import FEWEST, Verdict, judge
from phyda_cli.formats.units import UnitConversion, find_unit, udunits

_LEAST: Final = {"q": -1e-3, "r": -0.05}
"""Humidity down to this [kg kg-1, 1] is zero with the ripples of a spectral model or of an interpolation around it."""
_MODEL_TOP: Final = 100.0
"""Above this pressure [Pa] the table's bounds, made for the troposphere and stratosphere, are not checked."""
_MESOSPHERE: Final = 100.0
"""Levels that are all above this pressure [Pa] are not judged without heights."""


def value_problem(
    channel: Channel, plane: NDArray[np.floating[Any]], field: FoundField, *, credible: bool
) -> str | None:
    """Return what is wrong with the values of a field (SI), or None. credible: whether it as a whole fits its unit."""
    variable = VARIABLES[channel.variable]
    low, high = variable.bounds
    low = _LEAST.get(channel.variable, low)
    least, most = float(np.nanmin(plane)), float(np.nanmax(plane))
    if (low <= least and most <= high) or (channel.level is not None and channel.level < _MODEL_TOP):
        return None
    says = f"{channel} lies between {least:g} and {most:g} {variable.units}, outside the credible {low:g} to {high:g}"
    if not field.correctable:
        return f"{says}: the field is damaged or no {variable.long_name.lower()}"
    if credible:
        return f"{says}, while the field as a whole fits {field.unit.label}: mend these values"
    return f"{says}; if its unit is not {field.unit.label}, correct it with ncatted -a units,{field.name},o,c,UNIT"


def check_labels(contents: Contents) -> dict[str, Verdict]:
    """Return what the numbers say of every field's unit, by its name. Raises BadDataError where they contradict one.

    A level axis is judged first, by the heights on it: wrong pressures make right heights look wrong.
    """
    fields = [field for field in contents.fields if field.correctable and field.variable not in PASSIVE]
    for name in dict.fromkeys(_axis(contents, field) for field in fields if field.levels):
        if name is not None:
            _check_levels(contents, name, [field for field in fields if _axis(contents, field) == name])
    return {field.name: _check_field(contents, field) for field in fields}


def _axis(contents: Contents, field: FoundField) -> str | None:
    """Return the name of the coordinate that holds a field's pressure: its level axis or a scalar one."""
    if field.level_dim is not None or not field.levels:
        return field.level_dim
    for name, coordinate in contents.dataset.coords.items():
        unit = find_unit(str(coordinate.attrs.get("units", "")), "Pa")
        if coordinate.ndim == 0 and unit is not None and np.isclose(unit.scale * float(coordinate), field.levels[0]):
            return str(name)
    return None


def _check_levels(contents: Contents, name: str, fields: list[FoundField]) -> None:
    axis = contents.dataset[name]
    unit = find_unit(str(axis.attrs.get("units", "")), "Pa")
    if unit is None:  # no label: its unit was inferred by the reader
        return
    stored = np.atleast_1d(np.asarray(axis.values, np.float64))
    heights = np.full(stored.shape, np.nan)
    for field in fields:
        if field.variable in ("z", "gh"):
            means = np.array([_mean(plane) for plane in _by_level(contents, field)])
            heights = field.unit.to_si(means) / (GRAVITY if field.variable == "z" else 1.0)
    if not np.isfinite(heights).any() and unit.scale * stored.max() < _MESOSPHERE:
        return
    # Each level stands for a whole field of values.
    verdict = judge("pressure", np.repeat(stored, FEWEST), np.array(np.nan), unit, heights=np.repeat(heights, FEWEST))
    if verdict.credible is False and verdict.unit is not None:
        raise BadDataError(
            f"{contents.source}: the levels {name!r}, {stored[0]:g} to {stored[-1]:g}, are no {unit.label}, as their "
            f"units say, but {verdict.unit.label}: {_remedy(name, verdict.unit)}"
        )


def _check_field(contents: Contents, field: FoundField) -> Verdict:
    values = _by_level(contents, field)
    pressures = np.asarray(field.levels, np.float64)[:, None] if field.levels else np.array(np.nan)
    verdict = judge(field.variable, values, pressures, field.unit, gridded=True)
    if verdict.credible is not False:
        return verdict
    least, most = np.nanmin(values), np.nanmax(values)
    says = (
        f"{contents.source}: variable {field.name!r}: its numbers, {least:g} to {most:g}, contradict its unit, "
        f"{field.unit.label}"
    )
    if verdict.unit is None:
        raise BadDataError(f"{says}, and fit no other of {field.variable}; check what the variable holds")
    raise BadDataError(f"{says}; its numbers fit {verdict.unit.label}: {_remedy(field.name, verdict.unit)}")


def _by_level(contents: Contents, field: FoundField) -> NDArray[Any]:
    """Return a field's values as stored: (level, value), one level where it has no axis of them."""
    variable = contents.dataset[field.name]
    if field.level_dim is None:
        return np.asarray(variable.values).reshape(1, -1)
    values = variable.transpose(field.level_dim, ...).values
    return np.asarray(values).reshape(values.shape[0], -1)


def _mean(values: NDArray[Any]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean(dtype=np.float64)) if finite.size else np.nan


def _remedy(name: str, unit: UnitConversion) -> str:
    return f"correct the attribute, with ncatted -a units,{name},o,c,'{udunits(unit.label)}'"
