from __future__ import annotations

import json
from pathlib import Path

import pytest

from phyda_cli.cli.app import main
from phyda_cli.formats.feedback.netcdf import write_feedback
from tests.evaluation.test_diagnosis import feedback, hand_made


def test_feedback_files_tell_error_sizes(tmp_path, capsys):
    paths = [str(tmp_path / f"f{number}.nc") for number in (1, 2)]
    for seed, path in enumerate(paths, start=1):
        write_feedback(Path(path), feedback(1.5, 2.0, count=2000, seed=seed), attributes={})
    assert main(["diagnose", *paths, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (entry,) = document["variables"]
    assert (entry["fate"], entry["variable"], entry["count"]) == ("used", "t", 4000)
    assert entry["sigma_o"] == pytest.approx(1.5, rel=0.1)
    assert entry["sigma_b"] == pytest.approx(2.0, rel=0.1)
    assert [(e["level"], e["count"]) for e in document["levels"]] == [(85_000.0, 2000), (50_000.0, 2000)]
    assert [(e["cycle"], e["count"]) for e in document["by_cycle"]] == [(0, 2000), (1, 2000)]
    assert [c["path"] for c in document["cycles"]] == paths
    assert document["verdicts"] == [{"variable": "t", "report": "", "verdict": "used", "count": 4000}]
    assert main(["diagnose", *paths]) == 0
    text = capsys.readouterr().out
    assert text.startswith("feedback of 2 cycles: 4000 rows, 4000 used\n")
    assert "\nby cycle\n" in text


def test_withheld_and_rejected_rows_are_there_too(tmp_path, capsys):
    """Withheld: O − B of 2 and −4 K, O − A of 1 and −3 K; the rejected one 40 and 39 K."""
    write_feedback(tmp_path / "f.nc", hand_made(), attributes={})
    assert main(["diagnose", str(tmp_path / "f.nc"), "--json"]) == 0
    found = {entry["fate"]: entry for entry in json.loads(capsys.readouterr().out)["variables"]}
    assert found["withheld"]["background"]["rms"] == pytest.approx(10.0**0.5)
    assert found["withheld"]["analysis"] == pytest.approx({"bias": -1.0, "rms": 5.0**0.5, "cost": 10.0 / 8.0})
    assert found["rejected"]["analysis"]["bias"] == 39.0
    assert found["used"]["sigma_o"] is None  # two rows are too few


def test_refusals(tmp_path, capsys):
    assert main(["diagnose"]) == 2
    assert main(["diagnose", str(tmp_path / "none.nc")]) == 66
    write_feedback(tmp_path / "f.nc", feedback(1.5, 2.0, count=0), attributes={})
    capsys.readouterr()
    assert main(["diagnose", str(tmp_path / "f.nc"), "--quiet"]) == 65
    assert "f.nc: no row has departures" in capsys.readouterr().err
