"""The GPU campaign in miniature on the processor: its results, going on, and stages that cannot run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_campaign.py"


def run(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(SCRIPT), "--out", str(out), "--size", "miniature", "--device", "cpu", *options]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_it_measures_makes_cases_trains_and_goes_on(place, tmp_path):
    given = ["--store", str(place.store), "--background-error", str(place.background_error), "--minutes", "60"]
    (tmp_path / "work" / "training").mkdir(parents=True)
    (tmp_path / "work" / "training" / "cases").symlink_to(place.cases)
    done = run(tmp_path, *given)
    results = tmp_path / "results"
    assert done.returncode == 0, done.stdout + done.stderr + "".join(p.read_text() for p in results.glob("*.log"))
    state = json.loads((results / "campaign.json").read_text())
    assert {stage: entry["outcome"] for stage, entry in state.items()} == dict.fromkeys(
        ("measure", "cases", "train"), "done"
    )
    rows = [json.loads(line) for line in (results / "measures.jsonl").read_text().splitlines()]
    assert [row["unit"] for row in rows] == ["s", *["samples/s"] * 6]
    assert all(min(row["values"]) > 0 and row["device"].startswith("cpu") for row in rows)
    assert (results / "phyda.safetensors").stat().st_size > 10_000
    again = run(tmp_path, *given)
    assert (again.stdout, again.returncode) == ("", 0), "finished stages are not run again"


def test_what_has_no_time_or_no_input_is_said_and_the_others_are_tried(tmp_path):
    done = run(tmp_path, "--minutes", "0.01")
    assert done.returncode == 1
    state = json.loads((tmp_path / "results" / "campaign.json").read_text())
    outcomes = {stage: entry["outcome"] for stage, entry in state.items()}
    assert outcomes == {
        "measure": "left out: no time is left", "simulate": "left out: no time is left",
        "cases": "left out: there is no store.zarr", "train": "left out: there is no store.zarr",
    }  # fmt: skip
