"""Tables of well-known tools whose units are a matter of their documentation, not of their columns' names.

A layout is recognised by columns that no other table has together. Units that the user or a column's name gives stay.
Sources: the documentation of siphon (`siphon.simplewebservice`) and of Meteostat's hourly data.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import pandas as pd

from phyda_cli.formats.reports.columns import normalise

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layout:
    """signature: columns that tell it, where none of `without` is. units, names: by the columns they are of."""

    name: str
    signature: frozenset[str]
    units: Mapping[str, str]
    names: Mapping[str, str] = field(default_factory=dict)
    without: frozenset[str] = frozenset()


_SOUNDING: Final = frozenset(
    ("pressure", "height", "temperature", "dewpoint", "direction", "speed", "u_wind", "v_wind")
)
_OF_SOUNDING: Final = {"pressure": "hPa", "height": "m", "temperature": "degC", "dewpoint": "degC"}
_WINDS: Final = ("speed", "u_wind", "v_wind")

LAYOUTS: Final = (
    Layout(
        "siphon's IGRA 2",
        _SOUNDING | {"lvltyp1", "etime"},
        {**_OF_SOUNDING, **dict.fromkeys(_WINDS, "m/s"), "relative_humidity": "%"},
    ),
    Layout(
        "siphon's soundings of Wyoming and IEM",
        _SOUNDING,
        {**_OF_SOUNDING, **dict.fromkeys(_WINDS, "kt")},
        without=frozenset(("lvltyp1", "etime")),
    ),
    Layout(
        "siphon's buoys of NDBC",
        frozenset(("wind_speed", "wave_height", "dominant_wave_period", "pressure", "air_temperature")),
        {"wind_speed": "m/s", "air_temperature": "degC", "dewpoint": "degC", "pressure": "hPa"},
        {"pressure": "msl"},
    ),
    Layout(
        "Meteostat",
        frozenset(("temp", "dwpt", "rhum", "wspd", "wpgt", "pres")),
        {"temp": "degC", "dwpt": "degC", "rhum": "%", "wspd": "km/h", "pres": "hPa"},
        {"pres": "msl"},
    ),
)


def with_known_units(table: pd.DataFrame, label: str) -> pd.DataFrame:
    """The table, the columns of a known layout with their units in brackets; said in the log."""
    columns = {normalise(str(column)): str(column) for column in table.columns}
    bare = {name.partition("_[")[0] for name in columns}
    for layout in LAYOUTS:
        if layout.signature <= bare and not layout.without & bare:
            new = {
                columns[name]: f"{layout.names.get(name, columns[name])} [{unit}]"
                for name, unit in layout.units.items()
                if name in columns
            }
            _logger.warning("%s: has the columns of %s; read as %s", label, layout.name, ", ".join(new.values()))
            return table.rename(columns=new)
    return table
