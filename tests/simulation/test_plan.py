"""Configuration, files, order of the forecasts and splits of a simulation; nothing here runs the model."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from phyda_cli.errors import BadDataError, ConfigError, InputMissingError, MissingExtraError
from phyda_cli.simulation import chunks
from phyda_cli.simulation.config import SimulationConfig, preset
from phyda_cli.simulation.forecasts import Starts, starts_of_pass
from phyda_cli.simulation.regrid import PARTS
from phyda_cli.simulation.run import simulate


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("nature_step_minutes", 25),
        ("leads_hours", (6, 7)),
        ("leads_hours", (12, 6)),
        ("perturbation_range", (0.2, 0.1)),
        ("split_fractions", (0.5, 0.5, 0.5)),
        ("settling_days", 7),
        ("start_interval_hours", 7),
        ("forecast_truncation", 85),
        ("surprise", 1),
    ],
)
def test_wrong_settings_are_refused(field, value):
    with pytest.raises(ValidationError):
        SimulationConfig.model_validate({field: value})


def test_presets_survive_their_own_file(tmp_path: Path):
    for name in ("tiny", "default"):
        chunks.bind(tmp_path / name, preset(name))
        assert chunks.read_config(tmp_path / name) == preset(name)
    with pytest.raises(KeyError, match="tiny"):
        preset("huge")


def test_directory_serves_one_configuration_but_may_grow(tmp_path: Path):
    config = preset("tiny")
    chunks.bind(tmp_path, config)
    chunks.bind(tmp_path, config.model_copy(update={"days": 40}))
    assert chunks.read_config(tmp_path).days == 40
    with pytest.raises(ConfigError, match="other settings"):
        chunks.bind(tmp_path, config.model_copy(update={"seed": 1}))


def test_damaged_and_missing_files_are_named(tmp_path: Path):
    with pytest.raises(InputMissingError, match=r"simulation\.json"):
        chunks.read_config(tmp_path)
    with pytest.raises(InputMissingError, match="nature-00000"):
        chunks.load(chunks.nature_file(tmp_path, 0))
    chunks.bind(tmp_path, preset("tiny"))
    chunks.nature_file(tmp_path, 0).write_bytes(b"no zip file")
    with pytest.raises(BadDataError, match="nature-00000"):
        next(chunks.read_nature(tmp_path))


def test_core_has_the_thirteen_levels_and_the_near_surface_air():
    config = preset("core")
    assert config.fields == ("u", "v", "t", "q", "z", "msl", "sp", "t2m", "u10", "v10")
    assert (config.rows, config.output_truncation, len(config.levels_hpa)) == (64, 42, 13)
    assert (config.levels_hpa[0], config.levels_hpa[-1]) == (1000, 50)


def test_levels_out_of_order_are_refused():
    with pytest.raises(ValueError, match="levels_hpa"):
        SimulationConfig(levels_hpa=(500, 850))


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(BadDataError, match="piece 3: t is not finite"):
        chunks.require_finite({"u": np.zeros(3), "t": np.array([1.0, np.nan])}, "piece 3")


def test_each_state_starts_one_forecast_and_earlier_passes_cover_evenly(tmp_path: Path):
    config = preset("default")
    starts = Starts(config, tmp_path)
    passes = [
        [i for chunk in range(6) for i in starts_of_pass(config, starts, number, chunk)]
        for number in range(config.passes)
    ]
    assert sorted(i for made in passes for i in made) == list(range(starts.window, 6 * starts.per_chunk))
    assert set(np.diff(passes[0])) == {4}
    assert set(np.diff(sorted(passes[0] + passes[1]))) == {2}


def test_perturbation_uses_earlier_states_of_the_window_only(tmp_path: Path):
    config = preset("tiny")
    for chunk in range(2):
        values = 4.0 * chunk + np.arange(4.0)
        parts = dict.fromkeys(PARTS, values[:, None, None, None])
        chunks.save(chunks.starts_file(tmp_path, chunk), {"time": np.arange(4), **parts})
    starts = Starts(config, tmp_path)
    difference = []
    for hour in range(200):
        state = starts.perturbed(5, hour, config)["vorticity"].item()
        again = starts.perturbed(5, hour, config)["vorticity"].item()
        assert state == again
        difference.append(abs(state - 5.0))
    low, high = config.perturbation_range
    assert max(difference) <= high * starts.window + 1e-6
    assert min(difference) >= low - 1e-6


def test_gap_covers_perturbation_and_longest_lead():
    config = preset("default")
    assert config.split_gap_days >= config.perturbation_window_days + max(config.leads_hours) / 24


def test_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "jcm", None)
    monkeypatch.setitem(sys.modules, "jcm.model", None)
    with pytest.raises(MissingExtraError, match=r"phyda\[simulate\]"):
        simulate(preset("tiny"), tmp_path / "new", progress=print)
    assert not (tmp_path / "new").exists()


def test_states_can_be_taken_in_any_order(tmp_path: Path):
    """More pieces than are kept in memory, from the last to the first and back."""
    starts = Starts(preset("tiny"), tmp_path)
    count = 12
    for chunk in range(count):
        values = chunk * starts.per_chunk + np.arange(float(starts.per_chunk))
        chunks.save(chunks.starts_file(tmp_path, chunk), dict.fromkeys(PARTS, values[:, None, None, None]))
    for number in [*reversed(range(count * starts.per_chunk)), *range(count * starts.per_chunk)]:
        assert starts[number]["vorticity"].item() == number
