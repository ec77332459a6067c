"""The steps of the tutorial from training to the picture, on a small store in place of the simulated one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from phyda_cli.cli.app import main

ROOT = Path(__file__).resolve().parents[2]
NOTE = """#!/bin/sh
printf '%s\\0' "$@" >> "$STEPS"
printf '\\n\\0' >> "$STEPS"
"""
"""A program that notes how it was called."""


def steps(out: Path, tmp_path: Path) -> list[list[str]]:
    """The command lines of the tutorial's script."""
    program, noted = tmp_path / "phyda", tmp_path / "steps"
    program.write_text(NOTE)
    program.chmod(0o755)
    env = {"PATH": os.environ["PATH"], "PHYDA": str(program), "OUT": str(out), "STEPS": str(noted)}
    subprocess.run(["bash", str(ROOT / "examples" / "tutorial.sh")], env=env, stdout=subprocess.PIPE, check=True)
    return [part.rstrip("\0").split("\0") for part in noted.read_text().split("\n\0") if part]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_tutorial_goes_from_a_store_to_an_analysis_with_its_own_weights(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    out = tmp_path / "out"
    assert [step[0] for step in steps(out, tmp_path)][:1] == ["prepare"]
    shutil.copytree(place.store, out / "store.zarr")
    shutil.copy(place.background_error, out / "b.safetensors")
    shutil.copytree(place.cases, out / "training" / "cases")
    (tmp_path / "steps").unlink()
    prepared = steps(out, tmp_path)
    assert [step[0] for step in prepared] == ["train", "info", "experiment", "assimilate", "evaluate", "plot"]
    for step in prepared:
        assert main(["--quiet", *step]) == 0, (step, capsys.readouterr().err)
    made = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert {"training/phyda.safetensors", "scores/report.html", "analysis.nc", "feedback.nc", "analysis.png"} <= made
