"""Radio occultations in WMO BUFR (template 3 10 026): the levels of refractivity, in the form of other reports' levels.

    head      satellite, transmitter, time, quality of the profile, place
    count     [place, azimuth, …, bending angle by impact parameter, confidence]     places of the tangent points
    count     [height above mean sea level, refractivity, its error, confidence]     what is read
    count     [geopotential height, pressure, temperature, humidity]                 retrieved with a model: not read

The places of the first list are those of the second, level by level, where both are of one length, as processing
centres write them; otherwise all levels are where the head says. The refractivity's own error comes after it in the
same element; where one is given it is of the retrieval alone, and not taken.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.bufr_decode import Elements

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

LATITUDE: Final = 5001
LONGITUDE: Final = 6001
HEIGHT: Final = 7007
REFRACTIVITY: Final = 15036
TRANSMITTER: Final = 1050
QUALITY: Final = 33039
"""Flags of the profile, 16 bits, the first of them the highest."""
CONFIDENCE: Final = 33007
"""Per cent confidence, of the profile in the head, of a level behind it."""
_COUNT: Final = 31002

NON_NOMINAL: Final = {1: "the profile is marked as non-nominal", 6: "its refractivity is marked as non-nominal"}
"""Bits of QUALITY that condemn, and why; others speak of bending angles, retrievals or how the data were taken."""


def occultation_levels(piece: Elements) -> Elements:
    """Return the elements of each report's head (level 0) and of its levels of refractivity (from 1).

    Raises BadDataError for a message without refractivity.
    """
    if not (piece.descriptor == REFRACTIVITY).any():
        raise BadDataError("a satellite sounding without refractivity (data category 3) is not read")
    parts = [_of_report(piece, np.flatnonzero(piece.report == number)) for number in np.unique(piece.report)]
    descriptor, value, report, level = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Elements(descriptor, value, report, level, piece.texts)


def condemned(quality: float, confidence: float) -> str:
    """Return why a profile with these marks is not used, "" where it is."""
    if np.isfinite(quality):
        for bit, reason in NON_NOMINAL.items():
            if int(quality) & (1 << (16 - bit)):
                return reason
    return "no confidence in the profile (0 %)" if confidence == 0 else ""


def _of_report(piece: Elements, at: Integers) -> tuple[Integers, Floats, Integers, Integers]:
    """Descriptor, value, report and level of what is kept of one report. at: its elements."""
    descriptor, value = piece.descriptor[at], piece.value[at]
    counts = np.flatnonzero(descriptor == _COUNT)
    end = int(counts[0]) if counts.size else descriptor.size
    starts = np.flatnonzero(descriptor == HEIGHT)
    ends = np.append(starts[1:], next((int(c) for c in counts if starts.size and c > starts[-1]), descriptor.size))
    columns = {
        HEIGHT: value[starts],
        REFRACTIVITY: _first_within(descriptor == REFRACTIVITY, value, starts, ends),
        CONFIDENCE: _first_within(descriptor == CONFIDENCE, value, starts, ends),
    }
    for place in (LATITUDE, LONGITUDE):
        listed = value[end:][descriptor[end:] == place]
        if listed.size == starts.size:
            columns[place] = listed
    levels = np.arange(1, starts.size + 1)
    made = [(np.full(levels.size, name), column, levels) for name, column in columns.items()]
    made.append((descriptor[:end], value[:end], np.zeros(end, np.int64)))
    names, values, numbers = (np.concatenate(column) for column in zip(*made, strict=True))
    return names, values, np.full(names.size, piece.report[at[0]]), numbers


def _first_within(mask: NDArray[np.bool_], value: Floats, starts: Integers, ends: Integers) -> Floats:
    """Return the first value that `mask` has in each stretch from a start to its end, NaN where there is none."""
    places = np.append(np.flatnonzero(mask), mask.size)
    found = places[np.searchsorted(places, starts)]
    return np.where(found < ends, np.append(value, np.nan)[np.minimum(found, value.size)], np.nan)
