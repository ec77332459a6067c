"""Surface reports of the ISD as NOAA gives them as CSV (global hourly): one report a line, a cell for each element.

    "STATION","DATE",…,"LATITUDE","LONGITUDE","ELEVATION",…,"REPORT_TYPE",…,"WND","…","TMP","DEW","SLP",…,"MA1"
    "72508014740","2020-01-01T11:51:00",…,"270,5,N,0051,5",…,"+0050,5","-0022,5","10132,5",…,"99999,9,10001,5"

The numbers, scales and quality codes inside a cell are those of `isd.py`.
"""

from __future__ import annotations

import csv
import io
from typing import Final

import pandas as pd

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.build import Given, Reports
from phyda_cli.formats.reports.cells import Texts, numbers, texts_of
from phyda_cli.formats.reports.fixed_columns import scaled
from phyda_cli.formats.reports.isd import (
    pressure,
    report_types,
    surface_observations,
    temperature,
    wind_direction,
    wind_speed,
)

_NEEDED: Final = ("STATION", "DATE", "LATITUDE", "LONGITUDE", "ELEVATION", "WND", "TMP", "DEW", "SLP")
_OPTIONAL: Final = ("REPORT_TYPE", "MA1")


def is_isd_csv(text: str) -> bool:
    """Whether the first line names the columns of the ISD."""
    header = text[: text.find("\n")] if "\n" in text else text
    if "STATION" not in header or "WND" not in header:
        return False
    return set(_NEEDED) <= {name.strip() for name in next(csv.reader([header]), [])}


def read_isd_csv(text: str, label: str, given: Given) -> Reports:
    """The observations of a table of the ISD, one row for each report."""
    del given  # a report tells its time and place in full
    try:
        table = pd.read_csv(
            io.StringIO(text), dtype=str, keep_default_na=False, usecols=lambda name: name in (*_NEEDED, *_OPTIONAL)
        )
    except pd.errors.ParserError as error:
        reason = str(error).removeprefix("Error tokenizing data. C error: ").strip()
        raise BadDataError(f"{label}: the table is cut off or damaged ({reason}); fetch the file again") from None
    direction, direction_quality, kind, speed, speed_quality = _parts(table["WND"], 5)
    t, t_quality = _parts(table["TMP"], 2)
    td, td_quality = _parts(table["DEW"], 2)
    msl, msl_quality = _parts(table["SLP"], 2)
    quantities = [
        wind_direction(numbers(direction), direction_quality, kind, numbers(speed)),
        wind_speed(numbers(speed), speed_quality),
        temperature("t", numbers(t), t_quality),
        temperature("td", numbers(td), td_quality),
        pressure("msl", numbers(msl), msl_quality),
    ]
    if "MA1" in table:
        _, _, sp, sp_quality = _parts(table["MA1"], 4)
        quantities.append(pressure("sp", numbers(sp), sp_quality))
    report = table["REPORT_TYPE"] if "REPORT_TYPE" in table else pd.Series([""] * len(table), dtype=object)
    return surface_observations(
        time=pd.to_datetime(table["DATE"], format="%Y-%m-%dT%H:%M:%S", errors="coerce").to_numpy("datetime64[s]"),
        latitude=scaled(numbers(texts_of(table["LATITUDE"])), 1.0, (99.999, 99999.0)),
        longitude=scaled(numbers(texts_of(table["LONGITUDE"])), 1.0, (999.999, 999999.0)),
        elevation=scaled(numbers(texts_of(table["ELEVATION"])), 1.0, (9999.0, 9999.9)),
        station=texts_of(table["STATION"]),
        report=report_types(texts_of(report)),
        quantities=quantities,
        label=label,
    )


def _parts(column: pd.Series[str], count: int) -> list[Texts]:
    """The parts of the cells of a column, "" where a cell has fewer."""
    split = column.str.split(",", expand=True).reindex(columns=range(count)).fillna("")
    return [texts_of(split[number].astype(str)) for number in range(count)]
