"""Runs of `phyda assimilate` in a directory of their own: good inputs, and what a run must leave behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from phyda_cli.cli.app import main
from phyda_cli.formats.gridded.background_error import to_bytes
from tests.support.background_error import small_statistics
from tests.support.fields import LEVELS, dataset, message, save, write_grib

TIME = "2020-03-01T12:00:00Z"
TABLE = f"""time,latitude,longitude,pressure_hPa,variable,value,error,station
{TIME},40,100,500,t,265.25,1.25,A
{TIME},41,200,500,t,262.25,1.25,B
{TIME},-35,20,850,u,9.25,2.25,C
{TIME},-35,20,850,v,-1.25,2.25,C
{TIME},10,300,850,t,263.25,1.25,D
"""
NAMES = ("t", "u", "v", "z")
OLD = b"the analysis of yesterday"


@dataclass(frozen=True)
class Inputs:
    """The good files of a run: `bg.grib`, `bg.nc`, `obs.csv`, `b.safetensors`, `run.toml`, all in `place`."""

    place: Path

    def words(self, **changes: object) -> list[str]:
        """The command line of a run over an old output; changes: option (without dashes, - as _) → value."""
        options = {
            "background": self.place / "bg.nc",
            "obs": self.place / "obs.csv",
            "out": self.place / "a.nc",
            "method": "3dvar",
            "weights": self.place / "b.safetensors",
            "members": 2,
        } | changes
        return ["assimilate", *(f"--{k.replace('_', '-')}={v}" for k, v in options.items()), "--overwrite"]

    def listing(self) -> dict[str, bytes | None]:
        """Every file below the place with its bytes; None for a directory."""
        found = sorted(self.place.rglob("*"))
        return {str(p.relative_to(self.place)): p.read_bytes() if p.is_file() else None for p in found}


def make_inputs(place: Path) -> Inputs:
    """Write good inputs and an old output, `a.nc`."""
    save(dataset(NAMES), place / "bg.nc")
    write_grib([message(name, level) for name in NAMES for level in LEVELS], place / "bg.grib")
    (place / "obs.csv").write_text(TABLE)
    (place / "b.safetensors").write_bytes(to_bytes(small_statistics(), provenance={}))
    (place / "run.toml").write_text('method = "3dvar"\nseed = 7\nwindow = "3h"\nbackground_error_scale = 1.5\n')
    (place / "a.nc").write_bytes(OLD)
    return Inputs(place)


def nan_field(place: Path) -> None:
    """Put NaN into the backgrounds: one value of the NetCDF file, one of the GRIB file, at the upper level."""
    data = dataset(NAMES)
    data["t"].values[0, 1, 3, 4] = np.nan
    save(data, place / "bg.nc")
    values = np.full((7, 12), 260.0)
    values[3, 4] = 9999.0
    keys = {"bitmapPresent": 1, "missingValue": 9999.0}
    rest = [message(name, level) for name in NAMES[1:] for level in LEVELS]
    write_grib([message("t", LEVELS[1], values=values, keys=keys), message("t", LEVELS[0]), *rest], place / "bg.grib")


def refused(inputs: Inputs, capsys: pytest.CaptureFixture[str], words: list[str], code: int, *parts: str) -> None:
    """Assert that a command ends with the code and one last line that holds the parts; every file is as it was."""
    before = inputs.listing()
    assert before["a.nc"] == OLD
    assert main(words) == code
    said = capsys.readouterr().err
    lines = [line for line in said.splitlines() if "error: " in line]
    assert lines == said.strip().splitlines()[-1:]
    assert all(part in lines[0] for part in parts), lines[0]
    assert "bug in phyda" not in lines[0]
    assert "Traceback" not in said
    assert inputs.listing() == before
