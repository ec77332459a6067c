"""The fixed paragraphs of docs/real-cases.md, for `real_cases.py`."""

from __future__ import annotations

HEAD = """# Real cases

Analyses from real files, made by `tools/real_cases.py`. The background of A, C and D is a January mean: they show
the way from real observations to a sensible analysis, not the skill of a forecast system. The script cuts and joins
the files; the analyses come from the commands below.

The January mean is put together from two public files: u, v and z at 850, 500 and 200 hPa of the ERA-Interim
climatology (`eraint_uvz.nc`, `month=1`) and T at 14 levels of January 1988 (`uvt.nc`, whose unit says C but which holds
kelvin). Both are regridded to 2.5° with poles by `phyda_cli/grids/regrid.py`. It has no humidity, so rows of humidity
are not used.
"""

SONDES = """## A. Sondes of 2008-12-08 12 UTC on the January mean

{total} stations. Those whose WMO number is a multiple of 5 ({stations}) are withheld: rows with `station % 5 == 0` go
to `withheld.csv`, standard levels only, all others to `sondes.csv`, all levels. No withheld row is screened against the
background.
"""

TWIN_TITLE = "## B. A twin on a real state\n"
TWIN = """Truth: the GFS field `gfs_2011011012_f120_2p5deg.grib2`, valid 2011-01-15 12 UTC. Background: the truth plus
one {lead} h background error, the first of the training store's {part} part, interpolated to the GFS grid and levels
as increments are. Observations: {count} values where the sondes of case A have them, truth at the place plus Gaussian
noise of the default errors (humidity not below zero).
"""

PREPBUFR = """## C. PREPBUFR of 1989-01-01 06 UTC on the January mean, quality marks dropped

The table holds genuine gross errors and NCEP's verdict on each value. `unmarked.csv` is the table without the columns
of marks, so that phyda has to find them itself; `marked.csv` is the whole table.
"""

WEAKNESSES = """## Weaknesses

- Against a climatology the background check is wide; the check against neighbours judges what passes it. It can do so
  only where there are neighbours: an error within the limits of a bad background passes where nothing contradicts it.
- The check's analysis lives on the grid and levels of the statistics. Where the background's levels are far apart the
  output cannot follow it, and a few good heights between them lie far from the analysis that is written.
- One scale serves all variables and levels. On the January mean the departures ask for a larger one for geopotential
  than for temperature and wind.
- Far-apart levels: between 850, 500 and 200 hPa the background's wind is interpolated through jets, and its
  geopotential with the bend of the standard atmosphere; the withheld rows at 300 and 250 hPa show it.
- Errors of observations count as independent; those of a sonde's geopotential go together in the vertical.
- B is one draw, so differences of a few per cent mean nothing. Its truth is a smooth forecast, the drawn error comes
  from the same simple model as the statistics, and the observations have exactly the errors that the analysis assumes:
  a best case.
"""
