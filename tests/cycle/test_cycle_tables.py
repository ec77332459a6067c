"""The tables of cycles against numbers made by hand."""

from __future__ import annotations

from pathlib import Path

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


def test_the_yardstick_of_speedy_is_a_configuration_and_compares_the_second_half(tmp_path):
    from benchmarks.speedy import NATURE, NETWORKS, configuration, summary
    from phyda_cli.cycle.config import read_cycle_config

    (tmp_path / "reg2.toml").write_text(configuration("reg2", tmp_path / "places.csv", members=7, cycles=4))
    config = read_cycle_config(tmp_path / "reg2.toml")
    assert config.observations.drawn.sigma == {"u": 1.0, "v": 1.0, "t": 1.0, "q": 1e-3, "sp": 100.0}
    assert config.forecast.members == 7
    assert config.forecast.simulation == tmp_path / "nature"
    assert NATURE.nature_truncation == NATURE.forecast_truncation == 31
    # the published Gaussian lengths, 800 and 500 km, as cut-off radii: 2 √(10/3) times as long
    for name, length in (("raob", 800.0), ("reg2", 500.0)):
        assert NETWORKS[name].radius == pytest.approx(length * 2 * np.sqrt(10 / 3), rel=1e-3)
    run = lines(0.1, spread=0.9)
    for line in run[:20]:
        line["first_guess"]["globe"]["t500"] = 9.0
    row = [cell.strip() for cell in summary({"reg2": run}).splitlines()[-1].strip("|").split("|")]
    assert row == ["reg2", "40", "20", "0.224", "0.145", "1.54", "0.90"]


@pytest.mark.parametrize(
    ("name", "members", "method"), [("free", 1, None), ("3dvar", 1, "3dvar"), ("letkf12", 12, "letkf")]
)
def test_the_runs_with_model_error_are_configurations_of_a_cycle(tmp_path, name, members, method):
    from benchmarks.model_error import configuration
    from phyda_cli.cycle.config import read_cycle_config
    from phyda_cli.settings.assimilate import merge_config

    lines = ["background_error_scale = 1.1"]
    text = configuration(name, tmp_path, tmp_path / "s.csv", start="2001-04-01T00", cycles=9, settings=lines)
    (tmp_path / "one.toml").write_text(text)
    config = read_cycle_config(tmp_path / "one.toml")
    assert config.forecast.members == members
    assert (config.observations.drawn is None) == (method is None)
    assert config.assimilate.get("method") == method
    if method is not None:
        here = {"background": [tmp_path], "observations": [tmp_path], "output": tmp_path}
        assert merge_config(None, {**config.assimilate, **here}).own.background_error_scale == 1.1


def test_a_method_that_is_none_is_refused():
    from benchmarks.model_error import configuration

    with pytest.raises(ValueError, match="letkf: no method"):
        configuration("letkf", Path(), Path(), start="2001-04-01T00", cycles=9)
