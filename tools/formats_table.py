"""Write what phyda makes of public observation files into the table of docs/formats.md.

    python -m tools.formats_table DIRECTORY [docs/formats.md]

Only the table between its markers is replaced. Grid files have theirs from benchmarks/domains.py.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from phyda_cli.errors import PhydaError
from phyda_cli.experiments.markdown import table
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.formats.reports.registry import find_format
from phyda_cli.formats.reports.stations import read_stations
from phyda_cli.formats.sniff import is_netcdf
from phyda_cli.observations.reasons import without_numbers
from phyda_cli.observations.table import Flag, Observations, Use
from tools.pages import put

REFERENCE_TIME: Final = np.datetime64("2000-01-01T00", "ns")
"""Of the analysis, for observation files that give times relative to it."""


class Options(NamedTuple):
    """What `phyda assimilate` needs to know of a table that does not say it. stations: a file of the same directory."""

    units: Mapping[str, str] = {}
    stations: str = ""

    def words(self) -> str:
        """As on the command line."""
        units = [f"`--units {name}={unit}`" for name, unit in self.units.items()]
        return " ".join([*units, *([f"`--stations {self.stations}`"] if self.stations else [])])


OPTIONS: Final = {
    "2020100106_metars.csv": Options({"temp": "degC", "dewp": "degC", "wspd": "kt"}),
    "SFC_obs.csv": Options({"mslp": "hPa"}),
    "UPA_obs.csv": Options({"temperature": "degC", "dewpoint": "degC", "speed": "kt"}),
    "metar_20190701_1200.txt": Options(stations="2020100106_metars.csv"),
}
"""Of the sample files that need any."""
_SHOWN: Final = 8


def observations(directory: Path) -> str:
    """The table of every observation file in a directory."""
    rows = []
    for path in sorted(path for path in directory.iterdir() if path.is_file()):
        options = OPTIONS.get(path.name, Options())
        stations = directory / options.stations if options.stations else None
        try:
            read = read_observations(
                path,
                reference_time=REFERENCE_TIME,
                stations=read_stations(stations) if stations is not None and stations.is_file() else None,
                units=options.units,
            )
            cells = describe(read)
        except PhydaError as error:
            cells = (f"not read: {str(error).removeprefix(f'{path}: ').replace('|', '/')}", "", "")
        head = path.read_bytes()[:4096]
        known = find_format("bytes", head)
        claimed = known.name if known is not None else "NetCDF" if is_netcdf(head) else "text table"
        rows.append([path.name, options.words(), claimed, *cells])
    return table(["file", "options", "format", "rows", "variables", "not used"], rows)


def describe(o: Observations) -> tuple[str, str, str]:
    """(rows, counts by variable, counts by reason); numbers within reasons are left out, so that alike ones join."""
    rows = f"{len(o)}, {int(np.sum(o.used & (o.use == Use.ASSIMILATE)))} to use"
    reasons = Counter(
        f"{Flag(flag).name}: {without_numbers(reason).replace('|', '/')}"
        for flag, reason in zip(o.flag, o.reason, strict=True)
        if flag
    )
    monitored = int(np.sum(o.used & (o.use != Use.ASSIMILATE)))
    said = [f"{monitored} monitored"] if monitored else []
    variables = Counter(o.variable.tolist()).most_common()
    shown = ", ".join(f"{name or 'none'} {n}" for name, n in variables[:_SHOWN])
    others = variables[_SHOWN:]
    shown += f", {len(others)} others {sum(n for _, n in others)}" if others else ""
    return rows, shown, ", ".join(said + [f"{n} {reason}" for reason, n in reasons.most_common(_SHOWN)])


if __name__ == "__main__":
    page = Path(sys.argv[2] if len(sys.argv) > 2 else "docs/formats.md")
    put(page, "observations of sample files", observations(Path(sys.argv[1])))
