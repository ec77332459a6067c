"""METAR as another library reads it, on reports made of random parts."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.formats.reports.metar import _COLUMNS, _reports, _row

Metar = pytest.importorskip("metar.Metar", reason="the library metar is not installed")
NEAR = np.datetime64("2019-07-01T12:00", "m")


def degrees(value: float) -> str:
    return f"{'M' if value < 0 else ''}{abs(round(value)):02d}"


def tenths(value: float) -> str:
    return f"{int(value < 0)}{abs(round(10 * value)):03d}"


def made(rng: np.random.Generator) -> str:
    """A report as they are sent: any part may be missing, and lines end anywhere."""
    t = round(float(rng.uniform(-40, 40)), 1)
    td = round(t - float(rng.uniform(0, 20)), 1)
    direction = str(rng.choice(["VRB", f"{10 * rng.integers(1, 37):03d}"]))
    gust = str(rng.choice(["", f"G{rng.integers(30, 60)}"]))
    wind = f"{direction}{rng.integers(1, 30):02d}{gust}{rng.choice(['KT', 'MPS'])}"
    setting = rng.choice([f"A{rng.integers(2800, 3100)}", f"Q{rng.integers(950, 1050):04d}"])
    body = [wind, "9999", "FEW030 BKN100", f"{degrees(t)}/{degrees(td)}", str(setting)]
    remarks = ["RMK", "AO2", f"SLP{rng.integers(0, 1000):03d}", f"T{tenths(t)}{tenths(td)}", "10315 20281"]
    kept = [part for part in body if rng.random() < 0.9] + [
        part for part in remarks if part == "RMK" or rng.random() < 0.8
    ]
    text = f"K{''.join(rng.choice(list('ABCDE'), 3))} 01{rng.integers(10, 14)}{rng.integers(10, 60)}Z"
    for part in kept:
        text += str(rng.choice([" ", "\n", "\n     "], p=[0.8, 0.1, 0.1])) + part
    return f"METAR {text}="


def test_values_are_those_of_the_library():
    rng = np.random.default_rng(5)
    texts = [made(rng) for _ in range(400)]
    reports = list(_reports("\n".join(texts)))
    assert len(reports) == len(texts)
    counted = dict.fromkeys(_COLUMNS, 0)
    for text, report in zip(texts, reports, strict=True):
        own = dict(zip(_COLUMNS, _row(report._replace(near=NEAR)), strict=True))
        read = Metar.Metar(" ".join(text.rstrip("=").split()), month=7, year=2019, strict=False)
        theirs = {
            "t [degC]": read.temp and read.temp.value("C"),
            "td [degC]": read.dewpt and read.dewpt.value("C"),
            "wind_direction": read.wind_dir and read.wind_dir.value(),
            "wind_speed": read.wind_speed and read.wind_speed.value("MPS"),
            "msl [hPa]": read.press_sea_level and read.press_sea_level.value("HPA"),
        }
        for name, value in theirs.items():
            assert (own[name] == "") == (value is None), (text, name, own[name], value)
            if value is not None:
                assert float(own[name]) == pytest.approx(value, abs=1e-6, rel=1e-5), (text, name)
                counted[name] += 1
        assert np.datetime64(own["time"]) == np.datetime64(read.time, "m")
    assert min(counted[name] for name in theirs) > 100
