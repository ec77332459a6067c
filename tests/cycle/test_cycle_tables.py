"""The tables of cycles against numbers made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.cycles import tables
from phyda_cli.cycle.scores import REGIONS


def lines(factor: float, *, spread: float | None = None, start: str = "2001-01-01T00") -> list[dict]:
    """40 cycles whose t500 first guess errs by factor × (1 or 3), in turns of one cycle, and analysis by half of it."""
    made = []
    for number in range(40):
        error = factor * (1.0 if number % 2 else 3.0)
        moment = np.datetime64(start, "m") + np.timedelta64(6 * number, "h")
        regions = dict.fromkeys(REGIONS)
        line = {"cycle": number, "time": f"{moment}Z"}
        line["first_guess"] = {region: {"t500": error, "q850": 1e-3 * error} for region in regions}
        line["analysis"] = {region: {"t500": error / 2, "q850": 1e-3 * error / 2} for region in regions}
        if spread is not None:
            line["spread_skill"] = {region: {"t500": spread, "q850": spread} for region in regions}
        made.append(line)
    return made


def cells(text: str, *begins: str) -> list[str]:
    rows = [[cell.strip() for cell in line.strip("|\n ").split("|")] for line in text.splitlines()]
    found = [row for row in rows if tuple(row[: len(begins)]) == begins]
    assert len(found) == len(REGIONS)
    return found[0][len(begins) :]


def test_roots_of_mean_squares_in_familiar_units_and_the_ratio_of_two_runs_in_step():
    text = tables(
        {"a": lines(1.0), "b": lines(0.5, spread=0.8)}, against="a", skip=2, channels=("t500", "q850", "z500")
    )
    assert "| t500 [K] | q850 [g/kg] |" in text
    assert cells(text, "a", "first guess") == ["2.24", "2.24"]  # √5
    assert cells(text, "b", "analysis") == ["0.559", "0.559"]
    assert cells(text, "b", "first guess / a")[0] == "0.50 (0.50–0.50)"  # in step: no doubt about it
    assert cells(text, "b", "spread / skill") == ["0.80", "0.80"]
    assert "a | spread" not in text


def test_only_times_that_both_runs_have_are_compared():
    late = lines(1.0, start="2001-01-06T00")
    for line in late[20:]:
        line["first_guess"]["globe"]["t500"] = 100.0
    text = tables({"a": lines(1.0), "b": late}, against="a", skip=0, channels=("t500",))
    # a's cycles 20 to 39 are b's 0 to 19, with the same errors; b's large ones have no partner
    assert cells(text, "b", "first guess / a")[0] == "1.00 (1.00–1.00)"
    apart = {"a": lines(1.0), "b": lines(1.0, start="2002-01-01T00")}
    assert cells(tables(apart, against="a", skip=0, channels=("t500",)), "b", "first guess / a") == ["-"]


@pytest.mark.parametrize("skip", [0, 10])
def test_the_spin_up_does_not_count(skip):
    run = lines(1.0)
    for line in run[:10]:
        line["first_guess"]["globe"]["t500"] = 50.0
    text = tables({"a": run}, against="a", skip=skip, channels=("t500",))
    assert (cells(text, "a", "first guess") == ["2.24"]) == (skip == 10)
