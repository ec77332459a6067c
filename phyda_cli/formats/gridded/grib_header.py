"""The headers of GRIB fields: every field of a file, what it is and when it is valid, without its values.

The messages come from cfgrib's stream with multi-field support and errors raised; their number must be what the framing
of the file promises.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import eccodes
import numpy as np
from cfgrib import messages

from phyda_cli.errors import BadDataError
from phyda_cli.fields.variables import Variable, find_grib_variable
from phyda_cli.formats.gridded.grib_frames import scan_frames

KEYS: Final = (  # noqa: SIM905
    "gridType numberOfDataPoints Ni Nj N latitudeOfFirstGridPointInDegrees latitudeOfLastGridPointInDegrees "
    "longitudeOfFirstGridPointInDegrees longitudeOfLastGridPointInDegrees iScansNegatively jScansPositively "
    "jPointsAreConsecutive alternativeRowScanning shortName cfVarName cfName name units paramId "
    "typeOfLevel stepType stepRange dataType stream dataDate dataTime validityDate validityTime number edition centre "
    "expver discipline parameterCategory parameterNumber"
).split()
_LEVEL_KEYS: Final = ("level", "topLevel", "bottomLevel")

_SCALED: Final = ("scaleFactorOfFirstFixedSurface", "scaledValueOfFirstFixedSurface")

_ISOBARIC: Final = {"isobaricInhPa": 100.0, "isobaricInPa": 1.0}
_SINGLE_LEVELS: Final = frozenset(
    {"surface", "meanSea", "heightAboveGround", "atmosphere", "atmosphereSingleLayer", "entireAtmosphere"}
)


@dataclass(frozen=True)
class Header:
    """The header of one field. index: its place in its file. keys: eccodes keys; absent ones are None."""

    path: Path
    index: int
    keys: Mapping[str, Any]
    valid: np.datetime64
    level: tuple[float, float, float]

    @property
    def pressure(self) -> float | None:
        """Pressure [Pa] of an isobaric level, None for other levels."""
        factor = _ISOBARIC.get(str(self.keys["typeOfLevel"]))
        return None if factor is None else self.level[0] * factor

    @property
    def member(self) -> int:
        """Ensemble member, 0 where the message has none."""
        return int(self.keys["number"] or 0)

    @property
    def variable(self) -> Variable | None:
        """What phyda knows it as: instantaneous, on a pressure level or at the surface."""
        known = find_grib_variable(str(self.keys["shortName"]))
        if known is None or self.keys["stepType"] not in ("instant", None):
            return None
        if known.pressure_level:
            return known if self.pressure is not None else None
        return known if self.keys["typeOfLevel"] in _SINGLE_LEVELS else None

    @property
    def group(self) -> tuple[str, ...]:
        """What makes one variable of the dataset: parameter, kind of level, kind and range of time step."""
        keys = self.keys
        kind = "isobaricInhPa" if self.pressure is not None else str(keys["typeOfLevel"])
        code = "" if keys["shortName"] != "unknown" else "_".join(str(keys[k]) for k in KEYS[-3:])
        span = "" if keys["stepType"] in ("instant", None) else str(keys["stepRange"])
        return str(keys["shortName"]), str(keys["paramId"]), code, kind, str(keys["stepType"]), span


def grib_messages(path: Path) -> Iterator[messages.Message]:
    """Every field of a file, in order. Raises BadDataError unless as many come out as the framing promises."""
    promised = sum(frame.fields for frame in scan_frames(path))
    count = 0
    try:
        for _, message in messages.FileStream(str(path), errors="raise").items():
            count += 1
            yield message
    except (eccodes.CodesInternalError, EOFError, KeyError, ZeroDivisionError) as error:
        raise BadDataError(f"{path}: field {count + 1} cannot be decoded ({error}); fetch the file again") from None
    if count != promised:
        raise BadDataError(
            f"{path}: {count} of {promised} fields could be decoded: the file is damaged; fetch it again"
        )


def grib_headers(path: Path, select: Mapping[str, str]) -> Iterator[Header]:
    """The headers of the fields whose keys are as `select` says. Raises BadDataError for a damaged file or date."""
    for index, message in enumerate(grib_messages(path)):
        if not all(_matches(message.message_get(key, str, default=None), value) for key, value in select.items()):
            continue
        try:
            keys = {key: message.message_get(key, default=None) for key in KEYS}
            level = _level(message, keys)
        except (eccodes.CodesInternalError, ValueError, OverflowError) as error:
            raise BadDataError(
                f"{path}: message {index + 1} has a header that cannot be read ({error}); fetch the file again"
            ) from None
        try:
            day, clock = f"{keys['validityDate']:08d}", f"{keys['validityTime']:04d}"
            text = f"{day[:4]}-{day[4:6]}-{day[6:]}T{clock[:2]}:{clock[2:]}"
            valid = np.datetime64(text, "ns")
        except (ValueError, TypeError):
            raise BadDataError(
                f"{path}: message {index + 1} has no valid date ({keys['validityDate']}); set it with grib_set"
            ) from None
        yield Header(path, index, keys, valid, level)


def _level(message: messages.Message, keys: Mapping[str, Any]) -> tuple[float, float, float]:
    """The level, its top and bottom. eccodes rounds pressures to whole hPa; GRIB 2 holds them with their digits."""
    level, top, bottom = (float(message.message_get(key, float, default=0.0)) for key in _LEVEL_KEYS)
    factor = _ISOBARIC.get(str(keys["typeOfLevel"]))
    if factor is not None and keys["edition"] == 2:
        scale, value = (message.message_get(key, int, default=None) for key in _SCALED)
        if scale is not None and value is not None:
            level = round(value * 10.0**-scale, 6) / factor
    return level, top, bottom


def _matches(found: str | None, wanted: str) -> bool:
    if found is None:
        return False
    try:
        return float(found) == float(wanted)
    except ValueError:
        return found.casefold() == wanted.casefold()
