"""A table of text cells → observations, with what the user says beside it: units of columns and places of stations."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from phyda_cli.formats.reports.build import Given, Reports
from phyda_cli.formats.reports.columns import ROLES, normalise
from phyda_cli.formats.reports.entries import observations_from_table
from phyda_cli.formats.reports.stations import fill_places
from phyda_cli.formats.reports.table_roles import refuse_repeated
from phyda_cli.observations.table import Observations

_logger = logging.getLogger(__name__)

_MOST_NAMED: Final = 5


def read_table(table: pd.DataFrame, label: str, given: Given) -> Reports:
    """The rows of a table whose cells are all text. label: the file's name for messages.

    Raises BadDataError as `observations_from_table` does.
    """
    refuse_repeated(table, label)
    placed = fill_places(_with_units(table, given.units, label), given.stations)
    result = observations_from_table(placed, label, given.reference_time, units=given.units)
    log_placeless(result.observations, label)
    return result


def log_placeless(observations: Observations, label: str) -> None:
    """Say once how many rows have no place, and what helps."""
    o = observations
    rows = np.isnan(o.latitude) | np.isnan(o.longitude)
    names = sorted(set(o.station[rows].tolist()) - {""})
    if names:
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        _logger.warning(
            "%s: %d of %d rows have no place, of %s%s; --stations FILE gives the places of stations",
            label,
            rows.sum(),
            len(o),
            ", ".join(names[:_MOST_NAMED]),
            more,
        )


def _with_units(table: pd.DataFrame, units: Mapping[str, str], label: str) -> pd.DataFrame:
    """The table with the units in brackets after the names of these columns."""
    named = {normalise(name): unit for name, unit in units.items()}
    columns = {normalise(str(column)): str(column) for column in table.columns}
    variables = {text for role in ROLES["variable"] if role in columns for text in table[columns[role]].str.strip()}
    for name in units:
        if normalise(name) not in columns and name not in variables:
            _logger.warning("%s: no column or variable %s, whose unit is given", label, name)
    held = {str(column): named.get(normalise(str(column))) for column in table.columns}
    return table.rename(columns={name: f"{name} [{unit}]" for name, unit in held.items() if unit is not None})
