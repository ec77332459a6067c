"""Whether a wide table without a report type is one of stations at the ground, whose pressure is measured there.

It is when it gives elevations, no heights, one level for each station and time, and pressures that are those of the
elevations. Then temperature and wind are those at 2 and 10 metres, and the pressure is the station's (`sp`).
"""

from __future__ import annotations

import logging
from typing import Final

import numpy as np
import pandas as pd

from phyda_cli.errors import BadDataError
from phyda_cli.fields.standard_atmosphere import standard_height
from phyda_cli.formats.reports.cells import Floats, Texts
from phyda_cli.formats.reports.columns import split_unit, with_unit
from phyda_cli.formats.reports.table_cells import Cells, joined
from phyda_cli.formats.reports.table_quality import columns_beside, row_columns, verdicts
from phyda_cli.formats.reports.table_roles import Roles

_logger = logging.getLogger(__name__)

_NEAR: Final = 600.0
"""A station's pressure is that of the standard atmosphere within this height [m], of 75 hPa near the sea."""
_MOST: Final = 0.9
_HIGHEST: Final = 6000.0
"""No station is higher [m]; where an aircraft is, its pressure follows the standard atmosphere too."""
_KEYS: Final = (
    "station", "latitude", "longitude", "time", "date", "year", "month", "day", "hour", "minute", "second",
    "relative_hours",
)  # fmt: skip
_AT_SURFACE: Final = frozenset(("t", "td", "u", "v", "wind_speed", "wind_direction", "r", "q"))
_IN_THE_AIR: Final = frozenset((
    "alt", "altitude", "gps_altitude", "geometric_altitude", "geometric_height", "pressure_altitude", "baro_altitude",
    "height", "height_msl", "flight_level", "flightlevel", "fl",
))  # fmt: skip
"""Columns of aircraft and sondes for where they are; `altitude` is of stations too."""


def is_surface(
    table: pd.DataFrame, roles: Roles, cells: Cells, pressure: Floats, elevation: Floats, label: str
) -> bool:
    """Whether the wide table is of surface reports; said in the log. pressure [Pa], elevation [m]: of its rows.

    Raises BadDataError where the pressures of most rows are below the ground: reduced to sea level, or of no station.
    """
    quantities = {split_unit(str(name))[0] for name in set(cells.name.tolist())} - {""}
    if "report" in roles.columns or quantities & {"z", "gh"} or not quantities & _AT_SURFACE:
        return False
    both = np.isfinite(pressure) & np.isfinite(elevation)
    if not both.any() or np.nanmax(elevation) > _HIGHEST:
        return False
    keys = [roles.columns[role] for role in _KEYS if role in roles.columns]
    rows = table[keys].assign(_pressure=pressure)[both].drop_duplicates()
    if rows[keys].duplicated().any():
        return False
    above = standard_height(pressure[both]) - elevation[both]
    assert roles.pressure is not None
    column = roles.pressure.column
    if np.mean(above < -_NEAR) > 0.5:
        raise BadDataError(
            f"{label}: {column} is that of the air below the stations' elevations; if it is reduced to sea level, "
            "name it msl, else say what the reports are in a column report"
        )
    if np.mean(np.abs(above) < _NEAR) < _MOST:
        return False
    _logger.warning(
        "%s: one level at each station and time, at its elevation: read as surface reports, and %s as station "
        "pressure; a column report says otherwise",
        label,
        column,
    )
    return True


def is_profile(table: pd.DataFrame, roles: Roles, cells: Cells) -> bool:
    """Whether a table without pressure has several heights at one station and time, as wind profilers have."""
    heights = np.isin([split_unit(str(name))[0] for name in cells.name.tolist()], ("z", "gh"))
    rows = np.unique(cells.row[heights])
    keys = [roles.columns[role] for role in _KEYS if role in roles.columns]
    return bool(table[keys].iloc[rows].duplicated().any())


def refuse_heights(table: pd.DataFrame, cells: Cells, roles: Roles, label: str) -> None:
    """Raise BadDataError where a table without pressure may be of the air: it has a height that is not read."""
    if not {split_unit(str(name))[0] for name in set(cells.name.tolist())} & _AT_SURFACE:
        return
    read = roles.taken | cells.columns | {str(name) for name in set(cells.name.tolist())}
    for column in map(str, table.columns):
        if column not in read and with_unit(column, _IN_THE_AIR, "m") is not None:
            raise BadDataError(
                f"{label}: no pressure, and column {column!r} may be a height in the air: give the pressure too, in a "
                "column pressure_hpa; if these are stations at the ground, name the column elevation, in metres"
            )


def with_station_pressure(cells: Cells, table: pd.DataFrame, roles: Roles, pressure: Floats, label: str) -> Cells:
    """The cells, and one of `sp` in each row with a pressure [Pa], unless the table gives `sp` itself."""
    if roles.pressure is None or any(split_unit(str(name))[0] == "sp" for name in set(cells.name.tolist())):
        return cells
    marks = row_columns(table) + columns_beside(table, roles.pressure.column, "sp")
    rows = np.flatnonzero(np.isfinite(pressure))

    def filled(text: str) -> Texts:
        return np.full(rows.size, text, dtype=object)

    values = np.array([repr(float(value)) for value in pressure[rows]], dtype=object)
    mark = verdicts(table, marks, label)[rows]
    own = Cells(rows, filled("sp"), values, filled("Pa"), filled(""), mark, frozenset(marks))
    return joined([cells, own])
