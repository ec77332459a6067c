"""Small files that ask for much: each is refused, in one true line, within 10 s and 1 GB."""

from __future__ import annotations

import gzip
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phyda_cli.cli.app import main
from tests.support.runs import make_inputs

SECONDS = 10
ROOM = 1 << 30
MANY = 10**9


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    found = make_inputs(tmp_path_factory.mktemp("bombs"))
    assert main([*found.words(), "--dry-run"]) == 0  # what is imported now is not imported in every child
    return found


def limited(words: list[str], place: Path) -> tuple[int, str]:
    """The exit code and the error line of a run in a child that may take `SECONDS` and `ROOM` more than it has."""
    said = place / "stderr"
    child = os.fork()
    if child == 0:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        spent = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
        resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
        resource.setrlimit(resource.RLIMIT_CPU, (spent + SECONDS, spent + SECONDS))
        code = 99
        try:
            with said.open("w") as sys.stdout:
                sys.stderr = sys.stdout
                code = main(words)
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    lines = [line for line in said.read_text().splitlines() if "error: " in line]
    return code, lines[-1] if lines else ""


def feedback(path: Path) -> None:
    with netCDF4.Dataset(path, "w") as data:
        data.createDimension("observation", MANY)
        for name in ("time", "latitude", "value"):
            data.createVariable(name, "f8", ("observation",), zlib=True)


def ioda(path: Path) -> None:
    with netCDF4.Dataset(path, "w") as data:
        data.createDimension("Location", MANY)
        place, values = data.createGroup("MetaData"), data.createGroup("ObsValue")
        for name in ("latitude", "longitude", "pressure"):
            place.createVariable(name, "f4", ("Location",), zlib=True)
        place.createVariable("dateTime", "i8", ("Location",), zlib=True).units = "seconds since 1970-01-01T00:00:00Z"
        values.createVariable("airTemperature", "f4", ("Location",), zlib=True).units = "K"


def classic(path: Path) -> None:
    """Variables of a record dimension whose number says what is not there."""
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as data:
        data.createDimension("recNum", None)
        data.createVariable("latitude", "f4", ("recNum",))[:] = np.zeros(3)
    content = bytearray(path.read_bytes())
    content[4:8] = MANY.to_bytes(4, "big")
    path.write_bytes(bytes(content))


def grid(path: Path) -> None:
    with netCDF4.Dataset(path, "w") as data:
        for name, size, last, units in (
            ("latitude", 30_000, -90, "degrees_north"),
            ("longitude", 60_000, 360, "degrees_east"),
        ):
            data.createDimension(name, size)
            axis = data.createVariable(name, "f8", (name,), zlib=True)
            axis.units = units
            axis[:] = np.linspace(90 if last < 0 else 0, last, size, endpoint=last < 0)
        data.createVariable("msl", "f4", ("latitude", "longitude"), zlib=True).units = "Pa"


def packed(path: Path) -> None:
    """300 MiB of one table's rows in a small file."""
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(b"time,latitude,longitude,variable,pressure,value\n")
        piece = b"2020-03-01T12:00:00Z,40,100,t,50000,265\n" * 26_000
        for _ in range(304):
            stream.write(piece)


def wide(path: Path) -> None:
    names = ",".join(f"c{i}" for i in range(300_000))
    path.write_text(f"{names}\n{','.join('1' * 300_000)}\n")


DECLARED: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "feedback": ("obs", feedback, "most of it was never written"),
    "ioda": ("obs", ioda, "most of it was never written"),
    "records": ("obs", classic, "records"),
    "packed": ("obs", packed, "unpacks to more than 256 MiB"),
    "wide": ("obs", wide, "has 300000 columns, more than 2000"),
    "grid": ("background", grid, "most of it was never written"),
}


@pytest.mark.parametrize("kind", DECLARED)
def test_files_that_declare_more_than_they_hold(inputs, kind):
    option, write, message = DECLARED[kind]
    path = inputs.place / kind
    write(path)
    code, line = limited(inputs.words(**{option: path}), inputs.place)
    assert code == 65, line
    assert "members" not in line
    assert message in line


def test_a_feedback_that_declares_more_than_it_holds(inputs):
    feedback(inputs.place / "f.nc")
    code, line = limited(["diagnose", str(inputs.place / "f.nc")], inputs.place)
    assert code == 65, line
    assert "most of it was never written" in line


def test_what_is_full_of_values_is_no_bomb(inputs, capsys):
    """A well-compressed file of usual size is read."""
    assert limited(inputs.words(), inputs.place)[0] == 0
