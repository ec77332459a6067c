"""The tutorial from training to the picture, on a small store in place of the simulated one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_tutorial_goes_from_a_store_to_an_analysis_with_its_own_weights(place, tmp_path):
    out, program = tmp_path / "out", tmp_path / "phyda"
    shutil.copytree(place.store, out / "store.zarr")
    shutil.copy(place.background_error, out / "b.safetensors")
    shutil.copytree(place.cases, out / "training" / "cases")
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m phyda_cli "$@"\n')
    program.chmod(0o755)
    env = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "PHYDA": str(program), "OUT": str(out)}
    command = ["bash", str(ROOT / "examples" / "tutorial.sh")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps = [line.split()[2] for line in done.stdout.splitlines() if line.startswith("$ phyda ")]
    assert steps == ["train", "info", "experiment", "assimilate", "evaluate", "plot"]
    made = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert {"training/phyda.safetensors", "scores/report.html", "analysis.nc", "feedback.nc", "analysis.png"} <= made
    assert "phyda" in (out / "scores" / "report.md").read_text()
