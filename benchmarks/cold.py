"""Whole processes from a standing start: wall time, processor time and peak memory, as the system accounts for them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from result import Measurement, Report

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
HEAVY = ("torch", "xarray")
"""What `--help` must not import."""

ANALYSES = (("phyda", 16, 6.0, 1.2), ("3dvar", 0, 5.0, 1.0), ("3dvar", 16, 5.0, 1.0))
"""Method, members, targets of wall time [s] and peak memory [GB]."""


class Process(NamedTuple):
    """wall, processor [s]: of one process; memory: its peak [GB]."""

    wall: float
    processor: float
    memory: float


def measure(repeats: int, weights: Path | None, report: Report) -> list[Measurement]:
    """`phyda --help`, and analyses of the shipped example."""
    report("phyda --help")
    imported = sorted(_imported(["--help"]) & set(HEAVY))
    if imported:
        raise SystemExit(f"phyda --help imports {', '.join(imported)}")
    runs = [run(["--help"]) for _ in range(repeats)]
    rows = [Measurement("`phyda --help`, whole process", "s", tuple(each.wall for each in runs))]
    for method, members, longest, largest in ANALYSES:
        report(f"phyda assimilate --method {method} --members {members}")
        runs = [_analysis(method, members, weights) for _ in range(repeats)]
        what = f"analysis of the example, whole process, {method}, {members} members"
        rows += [
            Measurement(f"{what}: wall time", "s", tuple(each.wall for each in runs), target=longest),
            Measurement(f"{what}: processor time", "s", tuple(each.processor for each in runs)),
            Measurement(f"{what}: peak memory", "GB", tuple(each.memory for each in runs), target=largest),
        ]
    return rows


def run(arguments: Sequence[str]) -> Process:
    """Run phyda in a new process; its failure ends the benchmark."""
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "phyda_cli", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        messages = process.stderr.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(messages)
    return Process(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9)


def _analysis(method: str, members: int, weights: Path | None) -> Process:
    with tempfile.TemporaryDirectory() as directory:
        chosen = ["--method", method]
        if weights is not None:
            chosen += ["--background-error" if method == "phyda" else "--weights", str(weights)]
        inputs = ["--background", str(EXAMPLES / "background.nc"), "--obs", str(EXAMPLES / "observations.csv")]
        out = Path(directory) / "analysis.nc"
        return run(["assimilate", *inputs, "--out", str(out), "--members", str(members), *chosen])


def _imported(arguments: Sequence[str]) -> set[str]:
    """The top-level packages that a command imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "phyda_cli", *arguments], capture_output=True, text=True, check=True
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in lines}
