"""Radio occultations in IODA files: where refractivity is, and which satellites measured it.

MetaData/height                    geometric, above mean sea level [m]
MetaData/satelliteIdentifier       receiver, WMO's common code table C-5
MetaData/satelliteTransmitterId    transmitter
MetaData/sequenceNumber            the profile, which names the station where no satellite does
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from phyda_cli.formats.reports.cells import Floats
from phyda_cli.formats.reports.ioda_file import IodaFile
from phyda_cli.observations.table import Flag, Observations

REPORT: Final = "gnssro"
_NUMBERS: Final = (
    ("satelliteIdentifier", "occulting_sat_id"),
    ("satelliteTransmitterId", "reference_sat_id"),
    ("sequenceNumber", "record_number"),
)
"""Names, also former ones, of the numbers of receiver, transmitter and profile."""
_SATELLITES: Final = (1, 1022)
"""Numbers that a satellite can have; 1023 is missing."""


def as_occultations(file: IodaFile, observations: Observations, height: Floats) -> Observations:
    """Return rows of refractivity with their heights, stations and report type; PRE_QC without a satellite.

    height: (location,) [m]. A file that names stations and report types itself keeps them.
    """
    o = observations
    at = o.row - 1
    receiver, transmitter, profile = (_numbers(file, names)[at] for names in _NUMBERS)
    pairs = np.stack([receiver, transmitter, profile], axis=1)
    distinct, which = np.unique(pairs, axis=0, return_inverse=True, equal_nan=True)
    names = np.array([_name(*row) for row in distinct.tolist()], dtype=object)[which.ravel()]
    result = replace(
        o,
        height=height[at],
        station=np.where(o.station == "", names, o.station).astype(object),
        report=np.where(o.report == "", REPORT, o.report).astype(object),
    )
    if file.find("MetaData", *_NUMBERS[0]) is None:
        return result
    low, high = _SATELLITES
    none = ~((receiver >= low) & (receiver <= high))
    return result.reject(none, Flag.PRE_QC, lambda i: f"satellite identifier {receiver[i]:g} is none")


def _numbers(file: IodaFile, names: tuple[str, ...]) -> Floats:
    """(location,) numbers of the first of these variables that there is, NaN without one."""
    variable = file.find("MetaData", *names)
    if variable is None:
        return np.full(file.size, np.nan)
    return file.numbers(variable, f"MetaData/{names[0]}")[0].reshape(file.size)


def _name(receiver: float, transmitter: float, profile: float) -> str:
    known = [f"{number:g}" for number in (receiver, transmitter) if np.isfinite(number)]
    if known:
        return "-".join(known)
    return f"profile {profile:g}" if np.isfinite(profile) else ""
