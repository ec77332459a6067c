"""BUFR as another library reads it (pdbufr), on soundings, synoptic reports and aircraft made of random numbers."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.observations.table import Observations
from tests.support.bufr import wmo_message

pdbufr = pytest.importorskip("pdbufr", reason="the library pdbufr is not installed")

GRAVITY = 9.80665
FAMILIES = ("sondes", "synops", "aircraft")
WHERE_AND_WHEN = ("latitude", "longitude", "year", "month", "day", "hour", "minute")
Frame = Any
"""A pandas table."""


def place(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "year": 2024, "month": 2, "day": 29, "hour": int(rng.integers(0, 24)), "minute": int(rng.integers(0, 60)),
        "latitude": round(float(rng.uniform(-80, 80)), 4), "longitude": round(float(rng.uniform(-179, 179)), 4),
    }  # fmt: skip


def wind(rng: np.random.Generator) -> dict[str, float]:
    return {"windDirection": float(rng.integers(1, 361)), "windSpeed": round(float(rng.uniform(0.1, 60)), 1)}


def air(rng: np.random.Generator) -> dict[str, float]:
    temperature = round(float(rng.uniform(220, 310)), 2)
    return {"airTemperature": temperature, "dewpointTemperature": round(temperature - float(rng.uniform(0, 15)), 2)}


def sondes(rng: np.random.Generator) -> list[bytes]:
    messages = []
    for _ in range(12):
        values = place(rng) | {"blockNumber": int(rng.integers(1, 99)), "stationNumber": int(rng.integers(1, 999))}
        levels = np.sort(rng.uniform(2_000, 100_000, int(rng.integers(3, 20))).round(-1))[::-1]
        for number, pressure in enumerate(levels, 1):
            height = round(-7000 * np.log(pressure / 101_000))
            level = {"pressure": float(pressure), "nonCoordinateGeopotentialHeight": height} | air(rng) | wind(rng)
            kept = {key: value for key, value in level.items() if key == "pressure" or rng.random() < 0.8}
            values |= {f"#{number}#{key}": value for key, value in kept.items()}
        messages.append(wmo_message([309052], [values], category=2, replications=[1], long_replications=[levels.size]))
    return messages


def synops(rng: np.random.Generator) -> list[bytes]:
    reports = [
        place(rng) | air(rng) | wind(rng)
        | {"blockNumber": 3, "stationNumber": number, "heightOfStationGroundAboveMeanSeaLevel": 60.0,
           "nonCoordinatePressure": float(rng.integers(9700, 10300) * 10),
           "pressureReducedToMeanSeaLevel": float(rng.integers(9700, 10300) * 10)}
        for number in range(1, 31)
    ]  # fmt: skip
    return [wmo_message([307080], part, category=0, replications=[0, 0] * len(part)) for part in (reports, reports[:1])]


def aircraft(rng: np.random.Generator) -> list[bytes]:
    reports = [
        place(rng) | wind(rng)
        | {"aircraftFlightNumber": f"EU{n:04d}", "height": int(rng.integers(100, 12_000)),
           "airTemperature": round(float(rng.uniform(210, 300)), 1)}
        for n in range(40)
    ]  # fmt: skip
    return [wmo_message([311001], reports, category=4, compressed=True)]


def theirs(path: Path, *columns: str) -> Frame:
    return pdbufr.read_bufr(path, columns=columns, required_columns=False)


def own(read: Observations, variable: str) -> np.ndarray:
    return np.sort(read.value[(read.variable == variable) & np.isfinite(read.value)])


@pytest.mark.parametrize("family", FAMILIES)
def test_values_are_those_of_the_library(tmp_path, family):
    path = tmp_path / "reports.bufr"
    path.write_bytes(b"".join(globals()[family](np.random.default_rng(11))))
    read, at_ground = read_observations(path), family == "synops"
    t, u, v = ("t2m", "u10", "v10") if at_ground else ("t", "u", "v")
    frame = theirs(path, "airTemperature", "windDirection", "windSpeed")
    expected = {t: frame["airTemperature"].dropna()}
    both = frame.dropna(subset=["windDirection", "windSpeed"])
    angle = np.radians(both["windDirection"])
    expected |= {u: -both["windSpeed"] * np.sin(angle), v: -both["windSpeed"] * np.cos(angle)}
    if family == "sondes":
        height = theirs(path, "pressure", "nonCoordinateGeopotentialHeight")["nonCoordinateGeopotentialHeight"]
        expected["z"] = GRAVITY * height.dropna()
    if at_ground:
        frame = theirs(path, "dewpointTemperature", "nonCoordinatePressure", "pressureReducedToMeanSeaLevel")
        expected |= {"d2m": frame["dewpointTemperature"], "sp": frame["nonCoordinatePressure"]}
        expected["msl"] = frame["pressureReducedToMeanSeaLevel"]
    for name, values in expected.items():
        assert len(values) >= 30, name
        np.testing.assert_allclose(own(read, name), np.sort(values), rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_report_has_its_own_place_and_time(tmp_path, family):
    path = tmp_path / "reports.bufr"
    path.write_bytes(b"".join(globals()[family](np.random.default_rng(12))))
    read = read_observations(path)
    frame = theirs(path, *WHERE_AND_WHEN).drop_duplicates()
    expected = {
        (round(latitude, 4), round(longitude % 360, 4), np.datetime64(datetime(*map(int, when)), "m"))
        for latitude, longitude, *when in frame[list(WHERE_AND_WHEN)].itertuples(index=False)
    }
    found = zip(read.latitude.round(4), read.longitude.round(4), read.time.astype("datetime64[m]"), strict=True)
    assert {(float(latitude), float(longitude), time) for latitude, longitude, time in found} == expected
    assert len(expected) >= 12
