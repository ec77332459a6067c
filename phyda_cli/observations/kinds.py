"""Families of report types: what a rule, an error or a speed limit for `aircraft` means, whatever a file calls it.

Names are compared without case. A name that belongs to no family is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FAMILIES: Final[dict[str, frozenset[str]]] = {
    "aircraft": frozenset({"aircraft", "aircft", "aircar", "amdar", "acars", "airep", "tamdar", "mode-s", "mode_s"}),
    "satwind": frozenset({"satwind", "satwnd", "satob", "amv", "geowind", "leowind"}),
    "sonde": frozenset({"sonde", "radiosonde", "temp", "adpupa", "temp_land", "temp_ship", "dropsonde", "pilot"}),
    "profiler": frozenset({"profiler", "proflr", "vadwnd", "windprofiler"}),
    "ship": frozenset({"ship", "sfcshp"}),
    "buoy": frozenset({"buoy", "drifter", "dribu", "mooring"}),
    "seawind": frozenset(
        {"seawind", "scatterometer", "ascat", "quikscat", "qkswnd", "hscat", "oscat", "altimeter", "radiometer", "ssmi"}
    ),
    "surface": frozenset({"surface", "sfc", "synop", "metar", "adpsfc", "msonet", "awos", "asos"}),
}
_FAMILY_OF: Final = {name: family for family, names in FAMILIES.items() for name in names}


def family_of(report: str) -> str:
    """Return the family of a report type, or the name itself in lower case."""
    name = report.casefold()
    return _FAMILY_OF.get(name, name)


def families(report: NDArray[np.object_]) -> NDArray[np.object_]:
    """`family_of` for each (n,)."""
    return of_each(report, family_of, object)


def of_each(texts: NDArray[Any], function: Callable[[str], Any], kind: type[Any] = bool) -> NDArray[Any]:
    """(n,) of a type `kind`: a function of texts (n,), asked once for each distinct one."""
    names, which = np.unique(texts.astype(str), return_inverse=True)
    return np.array([function(str(name)) for name in names], dtype=kind)[which]
