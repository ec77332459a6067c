"""The shipped shell scripts run, and the one for cron deals with every exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.runs import make_inputs

ROOT = Path(__file__).resolve().parents[2]
CYCLE = "2020030112"

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture
def phyda(tmp_path):
    """The program of this checkout as one executable."""
    path = tmp_path / "phyda"
    path.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m phyda_cli "$@"\n')
    path.chmod(0o755)
    return path


def start(script: str, *words: object, **environment: object) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", **{k: str(v) for k, v in environment.items()}}
    command = ["bash", str(ROOT / "examples" / script), *map(str, words)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_pipeline(phyda, tmp_path):
    done = start("pipeline.sh", PHYDA=phyda, OUT=tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(done.stdout.split("\n")[-2]).read_bytes() == (tmp_path / "out" / "analysis.nc").read_bytes()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["used"] > 9000
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert scores["status"] == "ok"
    assert start("pipeline.sh", PHYDA="false", OUT=tmp_path / "out").returncode == 1


@pytest.fixture
def cycle(tmp_path):
    """Run the cron script on the inputs of a cycle, with a program; gives what cron would see."""
    place = tmp_path / "srv data"
    (place / "incoming").mkdir(parents=True)
    inputs = make_inputs(tmp_path)

    def run(program, *, arrived=True):
        if arrived:
            shutil.copy(tmp_path / "bg.nc", place / "incoming" / f"background-{CYCLE}.nc")
            shutil.copy(tmp_path / "obs.csv", place / "incoming" / f"observations-{CYCLE}-sondes.csv")
        options = f"--method 3dvar --members 0 --weights {inputs.place / 'b.safetensors'}"
        return start("cron/phyda-cycle.sh", place, CYCLE, PHYDA=program, PHYDA_OPTIONS=options)

    return run


def names(tmp_path: Path) -> list[str]:
    place = tmp_path / "srv data"
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


def test_a_cycle_by_cron(cycle, phyda, tmp_path):
    done = cycle("false", arrived=False)
    late = f"phyda cycle {CYCLE} lacks its background after 6 h\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, "", late)
    done = cycle("false", arrived=False)  # said once
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = cycle(phyda)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    made = [f"analyses/analysis-{CYCLE}.nc", f"analyses/feedback-{CYCLE}.nc"]
    incoming = [f"incoming/background-{CYCLE}.nc", f"incoming/observations-{CYCLE}-sondes.csv"]
    assert names(tmp_path) == [*made, *incoming, "log/phyda.log", "state/carry.json"]
    done = cycle("false")  # the cycle is made already
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("code", "mails"), [(75, False), (143, False), (65, True), (73, True), (70, True)])
def test_what_cron_mails(cycle, tmp_path, code, mails):
    program = tmp_path / "stub"
    program.write_text(f'#!/bin/sh\necho \'{{"message": "why"}}\' >&2\nexit {code}\n')
    program.chmod(0o755)
    done = cycle(program)
    assert done.returncode == code
    line = f'phyda cycle {CYCLE} failed with code {code}: {{"message": "why"}}\n'
    assert done.stderr == (line if mails else "")
    assert done.stdout == ""


def test_late_cycles_are_caught_up_in_order_whatever_their_formats(tmp_path):
    place = tmp_path / "srv"
    (place / "incoming").mkdir(parents=True)
    now = datetime.now(UTC)
    last = now.replace(hour=now.hour // 6 * 6, minute=0, second=0, microsecond=0)
    cycles = [f"{last - timedelta(hours=h):%Y%m%d%H}" for h in (12, 6, 0)]
    for name in (f"background-{cycles[0]}.grib", f"observations-{cycles[0]}.bufr", f"background-{cycles[1]}.nc",
                 f"observations-{cycles[1]}-a.csv.gz", f"observations-{cycles[1]}-b.prepbufr"):  # fmt: skip
        (place / "incoming" / name).write_text("x")
    program = tmp_path / "program"
    program.write_text('#!/bin/bash\nprintf "%s " "$@" >> "$CALLS"; echo >> "$CALLS"\n')
    program.chmod(0o755)
    done = start("cron/phyda-cycle.sh", place, PHYDA=program, CALLS=tmp_path / "calls", PHYDA_PATIENCE=1000)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [f"background-{cycle}" in call for cycle, call in zip(cycles, calls, strict=False)] == [True, True]
    assert len(calls) == 2
    assert calls[1].count("--obs ") == 2
