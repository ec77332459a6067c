"""Brightness temperatures in IODA files: which channels phyda has operators for, and the angles they are seen under.

ObsValue/brightnessTemperature (Location, Channel) [K], in the groups of errors and marks alike; the first version of
the format, and phyda's feedback, have a variable (Location,) for each channel, which needs no more than the angle.

MetaData/sensorCentralFrequency    of each channel [GHz or Hz], by which channels are known: those of AMSU-A from 5 to 9
                                   and the same of ATMS. Of several with one centre the first is the one without side
                                   bands. Without frequencies the channels' numbers are taken for those of AMSU-A.
MetaData/sensorZenithAngle         [degree], its sign the side of the track
MetaData/height                    of the ground [m]
MetaData/satelliteIdentifier       names the station where nothing else does, or else the attribute `satellite`
MetaData/gsi_use_flag              of each channel; one that is not used there is monitored
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.cells import Floats, Mask
from phyda_cli.formats.reports.ioda_file import IodaFile, judged
from phyda_cli.observations.table import Flag, Observations, Use, concatenate
from phyda_cli.operators.brightness_temperature import SOUNDERS

NAMES: Final = ("brightnessTemperature", "brightness_temperature")
REPORT: Final = "sounder"
_NEAR: Final = 0.02
"""Centres of one channel agree to this [GHz]."""
_NO_GIGAHERTZ: Final = 1e6
"""A larger frequency is in Hz."""


def radiances(file: IodaFile, name: str, places: Observations, ground: Floats) -> Observations:
    """Return a row for each place and channel that has an operator, and one for each place with other channels alone.

    places: rows without a variable, one a location. ground: (location,) [m]. Raises BadDataError for a variable of
    another shape.
    """
    values, missing = _by_channel(file, "ObsValue", name)
    errors, marks = (_by_channel(file, group, name)[0] for group in ("ObsError", "PreQC"))
    used = _numbers(file, ("gsi_use_flag",), values.shape[1])
    known, seen = _known(file, values.shape[1]), as_seen_from_space(file, places, ground)
    parts = []
    for column, variable in known.items():
        use = Use.MONITOR if used[column] < 1 else Use.ASSIMILATE
        own = replace(
            seen,
            variable=np.full(file.size, variable, dtype=object),
            value=values[:, column],
            error=errors[:, column],
            use=np.full(file.size, use.value, dtype=object),
        )
        at = np.flatnonzero(~missing[:, column])
        parts.append(judged(own.take(at), marks[at, column]))
    others = np.array([column for column in range(values.shape[1]) if column not in known], dtype=np.int64)
    if others.size:
        rest = np.flatnonzero(~missing[:, others].all(axis=1))
        named = replace(places.take(rest), variable=np.full(rest.size, name, dtype=object))
        parts.append(named.reject(named.used, Flag.H_FAILED, f"{others.size} channels of {name} have no operator"))
    return replace(concatenate(parts), source=np.zeros(sum(map(len, parts)), np.int64), sources=places.sources)


def as_seen_from_space(file: IodaFile, rows: Observations, ground: Floats) -> Observations:
    """Return rows with the angle they are seen under, their ground, satellite and report type.

    ground: (location,) [m]. A file that names stations and report types itself keeps them.
    """
    at = rows.row - 1
    return replace(
        rows,
        elevation=np.where(np.isfinite(rows.elevation), rows.elevation, ground[at]),
        zenith=_numbers(file, ("sensorZenithAngle", "sensor_zenith_angle"), file.size)[at],
        station=np.where(rows.station == "", _satellite(file)[at], rows.station).astype(object),
        report=np.where(rows.report == "", REPORT, rows.report).astype(object),
    )


def _satellite(file: IodaFile) -> NDArray[np.object_]:
    """(location,) names of the satellites."""
    number = _numbers(file, ("satelliteIdentifier",), file.size)
    other = file.attribute("satellite") or file.attribute("platform")
    return np.array([f"{own:g}" if np.isfinite(own) else other for own in number.tolist()], dtype=object)


def _known(file: IodaFile, count: int) -> dict[int, str]:
    """Return the columns whose channel has an operator, with the variable."""
    frequency = _numbers(file, ("sensorCentralFrequency", "sensor_band_central_radiation_frequency"), count)
    frequency = np.where(frequency > _NO_GIGAHERTZ, frequency / 1e9, frequency)
    number = _numbers(file, ("sensorChannelNumber", "sensor_channel"), count)
    number = np.where(np.isfinite(number), number, 1.0 + np.arange(count))
    found = {}
    for variable, sounder in SOUNDERS.items():
        near = np.abs(frequency - sounder.frequency) < _NEAR
        here = np.flatnonzero(near if np.isfinite(frequency).any() else number == sounder.channel)
        if here.size:
            found[int(here[0])] = variable
    return found


def _by_channel(file: IodaFile, group: str, name: str) -> tuple[Floats, Mask]:
    """(location, channel) values of a group, NaN where missing or without the variable; where they are missing."""
    reference: Any = file.find("ObsValue", name)
    variable = file.find(group, name)
    values, missing = file.numbers(reference if variable is None else variable, f"{group}/{name}")
    if values.ndim != 2 or values.shape != reference.shape:
        raise BadDataError(f"{file.label}: {group}/{name} has shape {values.shape}, expected {reference.shape}")
    return (np.full(values.shape, np.nan), missing) if variable is None else (values, missing)


def _numbers(file: IodaFile, names: tuple[str, ...], count: int) -> NDArray[np.float64]:
    """(count,) numbers of the first of these variables of MetaData that has so many, NaN without one."""
    variable: Any = file.find("MetaData", *names)
    if variable is None or variable.shape != (count,):
        return np.full(count, np.nan)
    return file.of_channels(variable)
