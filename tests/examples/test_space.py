"""The example of a sounder: it brings something at every level it sees, and its bias is found."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "space.py"


def test_the_example_finds_the_bias_and_smaller_errors(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), str(tmp_path / "space")])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    without, with_it, bias = capsys.readouterr().out.splitlines()
    before, after = ({k: float(v) for k, v in re.findall(r"(t\d+) ([\d.]+)", line)} for line in (without, with_it))
    assert len(before) == 8
    assert all(after[level] < before[level] for level in before)
    assert sum(after.values()) < 0.99 * sum(before.values())
    found = [float(value) for value in re.findall(r"tb\d (-?[\d.]+)", bias)]
    assert len(found) == 3
    assert all(0.8 < value < 1.3 for value in found)
    assert (tmp_path / "space" / "sounder.nc4").exists()
