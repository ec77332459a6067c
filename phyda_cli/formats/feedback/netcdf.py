"""The feedback file: NetCDF, one row for each input observation, in input order.

Departures are observation minus model. Numbers that do not exist (H not defined, no spread) hold the fill value, never
NaN. Units differ from row to row and stand in `units`; everything is SI. Texts are arrays of characters (UTF-8), which
compress and which every NetCDF tool reads. `reason` counts into `reason_text`, where each reason stands once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import netCDF4
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phyda_cli import __version__
from phyda_cli.errors import BadDataError, InputMissingError
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.formats.file_safety import check_declared_size, check_hdf5, declared_variables
from phyda_cli.observations.dart_flags import DartQC, dart_qc
from phyda_cli.observations.table import Feedback, Flag, Observations
from phyda_cli.outputs import atomic_path

_FILL: Final = float(netCDF4.default_fillvals["f8"])
_EPOCH: Final = np.datetime64("1970-01-01T00:00:00", "ns")
_NANOSECONDS: Final = 1_000_000_000

_NUMBERS: Final[dict[str, dict[str, str]]] = {
    "time": {
        "standard_name": "time",
        "long_name": "time of the observation",
        "units_metadata": "leap_seconds: none",
        "units": "seconds since 1970-01-01 00:00:00",
        "calendar": "standard",
        "axis": "T",
    },
    "latitude": {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"},
    "longitude": {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"},
    "pressure": {"standard_name": "air_pressure", "long_name": "pressure", "units": "Pa", "positive": "down"},
    "elevation": {"standard_name": "surface_altitude", "long_name": "elevation of the station", "units": "m"},
    "height": {
        "standard_name": "altitude",
        "long_name": "geometric height above mean sea level of what is placed by height",
        "units": "m",
        "positive": "up",
    },
    "zenith": {
        "standard_name": "sensor_zenith_angle",
        "long_name": "angle from the zenith to the satellite, negative on one side of its track",
        "units": "degree",
    },
    "top": {
        "standard_name": "air_pressure",
        "long_name": "pressure at the upper end of a layer",
        "units": "Pa",
        "positive": "down",
    },
    "value": {"long_name": "observed value, in the units of the row"},
    "error": {"long_name": "observation error standard deviation as used, in the units of the row"},
    "H_background": {"long_name": "background at the observation"},
    "H_analysis": {"long_name": "analysis at the observation"},
    "o_minus_b": {"long_name": "observation minus background"},
    "o_minus_a": {"long_name": "observation minus analysis"},
    "spread": {"long_name": "standard deviation of the analysis at the observation"},
}
_TEXTS: Final = {
    "station": "station identifier",
    "report": "report type",
    "use": "what the observation is for: assimilate, monitor or withhold",
    "variable": "observed variable",
    "units": "units of value, error, equivalents and departures",
}
_COORDINATES: Final = "time latitude longitude pressure"
_CONTENT: Final = {
    "value": "physicalMeasurement",
    **dict.fromkeys(("H_background", "H_analysis", "o_minus_b", "o_minus_a"), "modelResult"),
    **dict.fromkeys(("error", "spread"), "qualityInformation"),
    **dict.fromkeys(("elevation", "zenith", "top"), "auxiliaryInformation"),
}
"""What ACDD calls the content of a column."""
_INDEX: Final = {"units": "1", "coverage_content_type": "auxiliaryInformation", "coordinates": _COORDINATES}
_REASON: Final = "why an observation was not used, what a superob stands for, or how far it counts; else empty"
_REASONS: Final = "reason_text"
_ENCODING: Final = "utf-8"


_PLACE: Final = ("time", "latitude", "longitude", "pressure", "elevation", "height", "zenith", "top")
_AUTHORITIES: Final = {"flag": "JEDI UFO", "dart_qc": "DART quality control"}
_INTEGERS: Final = {"source": np.int64, "row": np.int64, "flag": np.int16}


def write_feedback(
    path: Path, feedback: Feedback, *, attributes: Mapping[str, str | int | float], overwrite: bool = False
) -> None:
    """Write a feedback file, whole or not at all.

    attributes: global attributes to add (provenance). Raises CannotWriteError when `path` exists and `overwrite` is off
    or it cannot be written.
    """
    with (
        atomic_path(path, overwrite=overwrite) as temporary,
        netCDF4.Dataset(temporary, "w", format="NETCDF4") as dataset,
    ):
        dataset.setncatts(
            {
                "Conventions": "CF-1.11, ACDD-1.3",
                "featureType": "point",
                **_about(feedback.observations),
                **attributes,
            }
        )
        _fill(dataset, feedback)


def _about(o: Observations) -> dict[str, str | float]:
    """What ACDD wants to know of the rows."""
    title = "Feedback of observations: departures from background and analysis, quality control"
    about: dict[str, str | float] = {
        "title": title,
        "summary": f"{title}; {len(o)} rows of {len(o.sources)} files, one for each value, {int(o.used.sum())} used.",
        "keywords": "data assimilation, departures, innovations, quality control, observation feedback",
        "source": f"phyda {__version__}, data assimilation",
        "processing_level": "observation feedback",
        "cdm_data_type": "Point",
        "product_version": __version__,
    }
    for axis, values, unit in (("lat", o.latitude, "degrees_north"), ("lon", o.longitude, "degrees_east")):
        held = values[np.isfinite(values)]
        if held.size:
            ends = {f"geospatial_{axis}_min": float(held.min()), f"geospatial_{axis}_max": float(held.max())}
            about |= {**ends, f"geospatial_{axis}_units": unit}
    times = o.time[~np.isnat(o.time)]
    if times.size:
        first, last = (f"{np.datetime_as_string(time, unit='s')}Z" for time in (times.min(), times.max()))
        about |= {"time_coverage_start": first, "time_coverage_end": last}
    return about


def _fill(dataset: Any, feedback: Feedback) -> None:
    o, columns = feedback.observations, _columns(feedback)
    dataset.createDimension("observation", len(o))
    dataset.createDimension("source_file", len(o.sources))
    for name, attributes in _NUMBERS.items():
        column = _seconds(o.time) if name == "time" else columns[name]
        where = {} if name in _PLACE else {"coordinates": _COORDINATES}
        where |= {"coverage_content_type": _CONTENT[name]} if name in _CONTENT else {}
        _column(dataset, name, "f8", np.where(np.isfinite(column), column, _FILL), {**attributes, **where}, _FILL)
    for name, long_name in _TEXTS.items():
        _texts(dataset, name, columns[name], "observation", {"long_name": long_name, "coordinates": _COORDINATES})
    reasons, number = np.unique(o.reason.astype(str), return_inverse=True)
    dataset.createDimension(_REASONS, reasons.size)
    _column(dataset, "reason", "i4", number.ravel(), _INDEX | {"long_name": f"index into {_REASONS}, from 0"})
    _texts(dataset, _REASONS, reasons, _REASONS, {"long_name": _REASON})
    for name, kind in (("flag", Flag), ("dart_qc", DartQC)):
        meanings = {
            "long_name": f"quality control verdict (numbers of {_AUTHORITIES[name]})",
            "flag_values": np.array([int(member) for member in kind], dtype=np.int16),
            "flag_meanings": " ".join(member.name.lower() for member in kind),
            "standard_name": "status_flag",
            "coverage_content_type": "qualityInformation",
            "coordinates": _COORDINATES,
        }
        _column(dataset, name, "i2", columns[name], meanings)
    _column(dataset, "source", "i8", o.source, _INDEX | {"long_name": "index into source_file, from 0"})
    _column(dataset, "row", "i8", o.row, _INDEX | {"long_name": "data row in the source, from 1 after the header"})
    _texts(dataset, "source_file", np.array(o.sources, object), "source_file", {"long_name": "input file"})


def _columns(feedback: Feedback) -> dict[str, NDArray[Any]]:
    """The columns of a feedback, by their names in the file and in its order; numbers that do not exist are NaN."""
    o = feedback.observations
    made = {
        "H_background": feedback.background_equivalent,
        "H_analysis": feedback.analysis_equivalent,
        "o_minus_b": feedback.background_departure,
        "o_minus_a": feedback.analysis_departure,
        "spread": feedback.spread,
        "units": np.array([VARIABLES[name].units if name in VARIABLES else "" for name in o.variable], dtype=object),
        "dart_qc": dart_qc(o.flag),
    }
    names = (*_NUMBERS, *_TEXTS, "reason", "flag", "dart_qc", "source", "row")
    return {name: made[name] if name in made else getattr(o, name) for name in names}


def feedback_table(feedback: Feedback) -> pd.DataFrame:
    """Return the columns of a feedback file as a table, times as time stamps (UTC), with `source_file` by its name."""
    columns = _columns(feedback)
    files = np.array(feedback.observations.sources, dtype=object)
    return pd.DataFrame(columns | {"source_file": files[columns["source"]]})


def _column(
    dataset: Any, name: str, kind: str, values: NDArray[Any], attributes: Mapping[str, Any], fill: float | bool = False
) -> None:
    variable = dataset.createVariable(name, kind, ("observation",), zlib=True, complevel=1, fill_value=fill)
    variable.setncatts(attributes)
    variable[:] = values


def _texts(dataset: Any, name: str, texts: NDArray[Any], dimension: str, attributes: Mapping[str, Any]) -> None:
    """Write texts as rows of characters."""
    encoded = [str(text).encode(_ENCODING) for text in texts]
    width = max([1, *map(len, encoded)])
    length = f"{name}_length"
    dataset.createDimension(length, width)
    variable = dataset.createVariable(name, "S1", (dimension, length), zlib=True, complevel=1)
    variable.set_auto_chartostring(False)
    variable.setncatts({"_Encoding": _ENCODING, **attributes})
    if encoded:
        variable[:] = np.array(encoded, f"S{width}").view("S1").reshape(len(encoded), width)


def _seconds(time: NDArray[np.datetime64]) -> NDArray[np.float64]:
    age = (time.astype("datetime64[ns]") - _EPOCH).astype(np.int64)
    return np.where(np.isnat(time), np.nan, age / _NANOSECONDS)


def read_feedback(path: Path) -> Feedback:
    """Read a feedback file that phyda wrote. Raises InputMissingError (no file) or BadDataError (not one)."""
    if not path.is_file():
        raise InputMissingError(f"{path}: no such file")
    check_hdf5(path)
    try:
        with netCDF4.Dataset(path) as dataset:
            dataset.set_auto_mask(False)
            check_declared_size(path, declared_variables(dataset))
            if "ObsValue" in dataset.groups:
                raise BadDataError(f"{path}: is in the layout of IODA; write it with --feedback-format phyda")
            return _read(dataset)
    except (OSError, RuntimeError):
        raise BadDataError(f"{path}: cannot be read as NetCDF; is it cut off?") from None
    except (KeyError, IndexError) as error:
        raise BadDataError(f"{path}: is not a feedback file of phyda: no variable {error}") from None


def read_log(path: Path) -> dict[str, Any]:
    """Return what the run that wrote a NetCDF file decided; empty where the file does not say.

    Raises InputMissingError (no file) or BadDataError (not NetCDF).
    """
    if not path.is_file():
        raise InputMissingError(f"{path}: no such file")
    check_hdf5(path)
    try:
        with netCDF4.Dataset(path) as dataset:
            return log_in({name: dataset.getncattr(name) for name in dataset.ncattrs()})
    except (OSError, RuntimeError):
        raise BadDataError(f"{path}: cannot be read as NetCDF; is it cut off?") from None


def log_in(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the log among the global attributes of an output; empty where there is none."""
    try:
        held = json.loads(attributes["phyda_log"])
    except (KeyError, TypeError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def _read(dataset: Any) -> Feedback:
    def number(name: str) -> NDArray[np.float64]:
        values = np.asarray(dataset.variables[name][:], dtype=np.float64)
        return np.where(values == _FILL, np.nan, values)

    def text(name: str) -> NDArray[np.object_]:
        variable = dataset.variables[name]
        if variable.dtype is str:  # of an earlier version
            return np.asarray(variable[:], dtype=object)
        variable.set_auto_chartostring(False)
        characters = np.ascontiguousarray(np.ma.filled(variable[:], b""))
        rows = characters.view(f"S{characters.shape[1]}").ravel().tolist()
        return np.array([row.decode(_ENCODING) for row in rows], dtype=object)

    def reason() -> NDArray[np.object_]:
        if _REASONS not in dataset.variables:  # of an earlier version
            return text("reason")
        return np.asarray(text(_REASONS)[np.asarray(dataset.variables["reason"][:], np.int64)], dtype=object)

    seconds = number("time")
    known = np.isfinite(seconds)
    # To the microsecond, which is what a double of seconds since 1970 holds
    microseconds = np.where(known, seconds * 1e6, 0.0).round().astype(np.int64)
    moments = (microseconds * 1000).astype("timedelta64[ns]") + _EPOCH
    columns: dict[str, Any] = {
        **{name: number(name) for name in ("latitude", "longitude", "pressure", "elevation", "value", "error")},
        # files of earlier versions have none of these
        **{
            name: number(name) if name in dataset.variables else np.full(seconds.shape, np.nan)
            for name in ("height", "zenith", "top")
        },
        **{name: text(name) for name in ("variable", "station", "report", "use")},
        "reason": reason(),
        **{name: np.asarray(dataset.variables[name][:], kind) for name, kind in _INTEGERS.items()},
    }
    observations = Observations(
        time=np.where(known, moments, np.datetime64("NaT", "ns")),
        sources=tuple(text("source_file").tolist()),
        **columns,
    )
    return Feedback(observations, number("H_background"), number("H_analysis"), number("spread"))
