"""Random tables and damaged files: a result or one line, never a traceback, a crash or an endless loop."""

from __future__ import annotations

import os
import random
import resource
import sys
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from phyda_cli.assimilation import Analysis, AssimilationOptions, assimilate
from phyda_cli.cli.app import main
from phyda_cli.errors import PhydaError
from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.reports.observations import read_observations
from phyda_cli.methods.oi import OptimalInterpolation
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.observations.errors import default_error_table
from phyda_cli.quality.screening import counts
from tests.support.background_error import small_statistics
from tests.support.fields import dataset, save
from tests.support.fuzz import times
from tests.support.runs import NAMES, TIME, make_inputs

TABLES = times(60, 10_000)
DAMAGES = times(12, 1_000)
SECONDS = 60
"""Longest that one run may take."""

COLUMNS = (
    "time", "latitude", "lat", "longitude", "lon", "variable", "value", "pressure", "pressure_hPa", "error", "station",
    "report", "elevation", "unit", "t", "u", "q", "dhr", "quality", "", "höhe", "use", "level", "temperature",
    "temperature [degC]", "relative_humidity", "wind_speed", "wind_direction", "altitude", "date", "hour",
    "time_zone", "t_qc",
)  # fmt: skip
CELLS = (
    "", " ", "NaN", "nan", "inf", "-inf", "1e999", "-1e-999", "0", "-0.0", "1", "-1", "40", "359.99", "-180", "360",
    "91", "500", "50000", "1e5", "265.3", "9.96921e36", "-9999", "1,5", "1.2.3", "0x10", "١٢", "1_000", "9" * 400, TIME,
    "2020-03-01", "2020-03-01T12", "20200301", "1583064000", "0000-01-01", "9999-12-31T23:59:59Z", "2262-04-12",
    "2020-02-30", "t", "u", "z", "q", "msl", "tcwv", "T", "air_temperature", "K", "degC", "degF", "kt", "%", "hPa",
    "Pa", "monitor", "yes", "2400", "V", "X", "sonde", "A",
    '"', '""', "'", "=1+1", "\x00", "\ufeff", "\u2028", "NULL", "None", "True", "x" * 5000,
)  # fmt: skip
GOOD = {"time": TIME, "latitude": "40", "longitude": "100", "variable": "t", "value": "265", "pressure": "50000"}


@st.composite
def tables(draw):
    """A table whose columns and cells are mostly plausible, with a separator and line ends of any kind."""
    required = draw(st.lists(st.sampled_from(sorted(GOOD)), max_size=1))
    names = [name for name in GOOD if name not in required] + draw(st.lists(st.sampled_from(COLUMNS), max_size=3))
    separator, end = draw(st.sampled_from(",;\t|")), draw(st.sampled_from(("\n", "\r\n", "\r", "\n\n")))
    lines = [separator.join(names)]
    for _ in range(draw(st.integers(0, 6))):
        row = [GOOD.get(name, "") for name in names]
        for _ in range(draw(st.integers(0, 3))):
            cell = draw(st.sampled_from(CELLS) | st.text(max_size=8) | st.floats().map(repr))
            row[draw(st.integers(0, len(row) - 1))] = cell
        lines.append(separator.join(row[: draw(st.sampled_from((len(row), len(row), len(row), len(row) - 1)))]))
    content = end.join(lines).encode("utf-8", "surrogatepass")
    return content[: draw(st.sampled_from((len(content), len(content), draw(st.integers(0, len(content))))))]


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    """Whatever an assimilation needs, in memory."""
    place = tmp_path_factory.mktemp("core")
    background = read_background([save(dataset(NAMES), place / "bg.nc")]).state
    errors: BackgroundError = small_statistics()
    return place, background, OptimalInterpolation(ThreeDVar(errors).background_error())


@example(content=b"time,latitude,longitude,variable,value,pressure\n2020-03-01T12:00:00Z,40,inf,t,265,50000")
@example(content=b"time,latitude,longitude,variable,value,pressure\n2020-03-01T12:00:00Z,40,100,t,265,inf")
@example(content=b"time,latitude,longitude,variable,value,pressure\n2020-03-01T12:00:00Z,40,100,t,265,1.8e306")
@example(content=b"time,latitude,longitude,variable,value,pressure\n2020-03-01T12:00:00Z,40,100,t,265,1e-306")
@example(content=b"time,latitude,longitude,variable,value,pressure_hPa\n2020-03-01T12:00:00Z,40,100,t,265,1.7e306")
@example(content=b'time,longitude,variable,value,pressure\n2020-03-01T12:00:00Z,100,t,265,"')
@example(content=b"latitude,longitude,variable,value,pressure,dhr\n40,100,t,265,50000,20200301")
@given(content=tables() | st.binary(max_size=200))
@settings(max_examples=TABLES, deadline=SECONDS * 1000, suppress_health_check=list(HealthCheck), derandomize=True)
def test_any_table_is_read_and_assimilated_or_refused_in_one_line(core, content):
    place, background, method = core
    path = place / "obs.csv"
    path.write_bytes(content)
    try:
        observations = read_observations(path, reference_time=background.time)
        analysis = assimilate(
            background, observations, method=method, table=default_error_table(),
            options=AssimilationOptions(np.timedelta64(3, "h")),
        )  # fmt: skip
    except PhydaError as error:
        refusal = str(error)
    else:
        assert_reconciled(analysis, len(observations))
        return
    assert str(path) in refusal
    assert len(refusal.splitlines()) == 1


def assert_reconciled(analysis: Analysis, rows: int) -> None:
    """Every row has one verdict, with a reason where it is not used; the analysis is finite."""
    judged = analysis.feedback.observations
    assert len(judged) == rows
    assert sum(counts(judged).values()) == len(judged)
    assert all(bool(reason) != used for reason, used in zip(judged.reason, judged.used, strict=True))
    assert bool(analysis.state.values.isfinite().all())


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Bytes changed at random, mostly in the header; sometimes cut off or with a piece taken out or put in twice."""
    changed = bytearray(data)
    reach = chance.choice((16, 64, 512, 4096, len(changed)))
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(min(reach, len(changed)))
        changed[at] = chance.choice((0, 255, changed[at] ^ (1 << chance.randrange(8)), chance.randrange(256)))
    at, size = chance.randrange(len(changed)), chance.randrange(64)
    what = chance.randrange(8)
    if what == 0:
        del changed[at:]
    elif what == 1:
        del changed[at : at + size]
    elif what == 2:
        changed[at:at] = changed[at : at + size]
    return bytes(changed)


def in_a_child(words: list[str]) -> int:
    """The exit code of a run in a forked child; the number of the signal, negative, that ended it."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        silence = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(silence, stream)
        os._exit(main(words))
    began = time.monotonic()
    while (done := os.waitpid(child, os.WNOHANG)) == (0, 0):
        time.sleep(0.002)
        assert time.monotonic() - began < 10 * SECONDS
    return os.waitstatus_to_exitcode(done[1])


@pytest.mark.parametrize("kind", ["bg.grib", "bg.nc", "classic.nc", "b.safetensors"])
def test_a_damaged_file_is_refused_or_read(tmp_path, kind):
    inputs = make_inputs(tmp_path)
    save(dataset(NAMES), tmp_path / "classic.nc", format="NETCDF3_CLASSIC")
    good = (tmp_path / kind).read_bytes()
    words = inputs.words(**{"weights" if kind == "b.safetensors" else "background": tmp_path / "damaged"})
    codes: dict[int, int] = {}
    bad: list[tuple[int, int]] = []
    for seed in range(DAMAGES // 4):
        (tmp_path / "damaged").write_bytes(damaged(good, random.Random(f"{kind} {seed}")))
        code = in_a_child([*words, "--dry-run"])
        codes[code] = codes.get(code, 0) + 1
        if code not in (0, 65, 66):
            bad.append((seed, code))
    print(kind, codes, file=sys.stderr)
    assert bad == []
    assert codes.get(65, 0) > 0
