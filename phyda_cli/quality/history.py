"""Observations that an earlier cycle has used: where windows overlap, the same report arrives twice.

Two rows are the same observation when variable, station, place, pressure and time are, rounded to 10⁻⁴ degree, 1 Pa and
1 s; a corrected value is no second observation. Its key is a 64-bit digest of these: among a million keys and a million
observations the chance of one false match is 5·10⁻⁸.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from phyda_cli.observations.table import Flag, Observations
from phyda_cli.quality.duplicates import DUPLICATE


def keys(observations: Observations) -> NDArray[np.str_]:
    """(n,) keys of 16 hexadecimal digits, independent of the order of the rows and of the file's format."""
    o = observations
    latitude, longitude = np.round(o.latitude, 4) + 0.0, np.mod(np.round(o.longitude, 4), 360.0)  # + 0: no minus zero
    pressure = np.round(o.pressure)
    # to the nearest second; NaT stays what it is
    seconds = (o.time + np.timedelta64(500, "ms")).astype("datetime64[s]").astype(np.int64)
    columns = zip(o.variable, o.station, latitude, longitude, pressure, seconds, strict=True)
    found = [
        blake2b(f"{name}|{station}|{lat:.4f}|{lon:.4f}|{p:.0f}|{time}".encode(), digest_size=8).hexdigest()
        for name, station, lat, lon, p, time in columns
    ]
    return np.array(found, dtype="U16")


def was_used(observations: Observations) -> NDArray[np.bool_]:
    """(n,) the rows that an analysis has heard: those used, what a superob stands for, what a used row repeats."""
    o = observations
    again = (o.flag == Flag.THINNED) & o.reason_begins(DUPLICATE)
    return np.asarray(o.used | (o.flag == Flag.SUPEROB) | again, dtype=bool)


def check_history(observations: Observations, earlier: Mapping[np.datetime64, NDArray[np.str_]]) -> Observations:
    """HISTORY: rows that a cycle has used, `earlier` being the keys of each by its valid time (UTC)."""
    own = keys(observations)
    for time, used in sorted(earlier.items()):
        label = np.datetime_as_string(time, unit="m")
        observations = observations.reject(np.isin(own, used), Flag.HISTORY, f"used by the analysis of {label}Z")
    return observations
