"""Cycles for a store: where the streams lie, which forecasts are kept, and the store that they make."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from phyda_cli.cycle import campaign
from phyda_cli.cycle.campaign import CycledForecast, NetworkSource, streams
from phyda_cli.cycle.truth import SimulationTruth
from phyda_cli.errors import BadDataError, ConfigError
from phyda_cli.fields.state import State
from phyda_cli.forecast.base import Step
from phyda_cli.observations.errors import default_error_table
from phyda_cli.preparation.build import build_store
from phyda_cli.preparation.from_simulation import simulation_layout, simulation_material, simulation_splits
from phyda_cli.preparation.split import PARTS
from phyda_cli.resources import sha256
from phyda_cli.simulation import chunks
from phyda_cli.simulation.config import CyclesConfig, NetworkRanges, SimulationConfig, preset

BEGIN = 271_752
"""2001-01-01 00 UTC in hours since 1970."""
EPOCH = np.datetime64("1970-01-01T00", "h")
TINY = preset("tiny").model_copy(update={"days": 6})


def fields(marks: np.ndarray) -> dict[str, np.ndarray]:
    """Every variable is the mark."""
    flat = np.broadcast_to(marks[:, None, None, None], (marks.size, 8, 32, 64)).astype(np.float32)
    return {**dict.fromkeys("uvtqz", flat), "msl": flat[:, 0]}


def nature(directory: Path, config: SimulationConfig) -> Path:
    """A nature run whose fields are 200."""
    chunks.bind(directory, config)
    for piece in range(config.chunks):
        times = BEGIN + config.chunk_hours * piece + 6 * np.arange(1, config.chunk_hours // 6 + 1)
        chunks.save(chunks.nature_file(directory, piece), {"time": times, **fields(np.full(times.size, 200.0))})
    return directory


@dataclass
class Still:
    """A model whose fields are the lead of the forecast from the analysis, and that says what it was asked."""

    config: SimulationConfig
    asked: list[tuple[int, ...]] = field(default_factory=list)

    def advance(self, step: Step) -> dict[str, np.ndarray]:
        return fields(np.array([6.0]))

    def further(self, target: Path, time: np.datetime64, hours: list[int]) -> dict[str, np.ndarray]:
        self.asked.append(tuple(hours))
        return fields(6.0 + np.array(hours, dtype=float))


def step(hour: int) -> Step:
    channels, grid = simulation_layout(TINY)
    time = (EPOCH + np.timedelta64(hour, "h")).astype("datetime64[ns]")
    return Step(
        time, 6, Path("here"), Path("next"), State(torch.zeros(len(channels), *grid.shape), channels, grid, time)
    )


def test_streams_lie_in_their_parts_apart_and_begin_with_states_of_their_own_part(tmp_path):
    config = TINY.model_copy(update={"days": 60, "cycles": CyclesConfig(streams=(3, 2, 1), spin_up_days=2)})
    planned = list(streams(nature(tmp_path, config)))
    splits = simulation_splits(tmp_path)
    assert [stream.part for stream in planned] == ["train"] * 3 + ["validation"] * 2 + ["test"]
    last = 0
    for stream in planned:
        low, high = splits.interval(stream.part)
        state = BEGIN + (stream.start + 1) * config.start_interval_hours
        assert state == stream.first - 6
        window = 24 * config.perturbation_window_days
        assert stream.number == 0 or state - window >= splits.interval(PARTS[0])[0]
        assert low <= state < stream.first + 6 * (stream.cycles - 1) < high
        assert stream.first > last
        assert stream.spin_up == 8
        last = stream.first + 6 * (stream.cycles - 1)


def test_a_nature_run_too_short_for_the_cycles_is_told(tmp_path):
    config = TINY.model_copy(update={"cycles": TINY.cycles.model_copy(update={"streams": (1, 9, 1)})})
    with pytest.raises(BadDataError, match="validation part is too short for 9 cycles"):
        list(streams(nature(tmp_path, config)))


def test_every_background_is_kept_and_longer_forecasts_where_they_are_valid_together(tmp_path):
    cycles = CyclesConfig(leads_hours=(6, 12, 24, 48), every_hours=24, spin_up_days=1)
    config = TINY.model_copy(update={"cycles": cycles, "days": 60})
    stream = next(streams(nature(tmp_path, config)))
    model = Still(config)
    forecast = CycledForecast(model, stream, tmp_path)
    for number in range(20):
        forecast.run(step(stream.first + 6 * number))
    valid: dict[int, list[int]] = {}
    for piece in chunks.read_forecasts(tmp_path):
        assert piece.init_time.min() >= stream.first + 6 * stream.spin_up
        np.testing.assert_array_equal(piece.fields["u"][:, 0, 0, 0], piece.lead_hours)
        for lead, time in zip(piece.lead_hours.tolist(), piece.valid_time.tolist(), strict=True):
            valid.setdefault(time, []).append(lead)
    assert all(lead == 6 or time % 24 == 0 for time, leads in valid.items() for lead in leads)
    assert [48, 24, 12, 6] in valid.values()
    assert sum(6 in leads for leads in valid.values()) == 20 - stream.spin_up
    assert set(model.asked) == {(6,), (18, 42)}


def test_the_store_of_a_campaign_has_its_forecasts_in_place_of_the_simulation_s(tmp_path):
    simulation = nature(tmp_path / "raw", TINY)
    own = tmp_path / "raw" / "cycles"
    chunks.bind(own, TINY)
    for stream in streams(simulation):
        forecast = CycledForecast(Still(TINY), stream, own)
        for number in range(stream.cycles):
            forecast.run(step(stream.first + 6 * number))
    material = simulation_material(simulation, cycles=own)
    store = build_store(material, tmp_path / "s.zarr", overwrite=False, progress=lambda *_: None)
    assert store.leads == (6, 12)
    for part in PARTS:
        assert store.pair_index(part, (6,)).size > 0
    assert store.sigma_b(6) == pytest.approx(np.full((41, 32), 194.0), rel=1e-6)
    assert store.sigma_b(12) == pytest.approx(np.full((41, 32), 188.0), rel=1e-6)


def test_observations_are_the_truth_with_the_errors_they_are_given(tmp_path):
    simulation = nature(tmp_path, TINY)
    stream = next(streams(simulation))
    ranges = NetworkRanges(sondes=(1, 1), presence=1.0, errors=(1.2, 1.2), surface=(0, 0), columns=(0, 0))
    settings = TINY.cycles.model_copy(update={"networks": ranges})
    source = NetworkSource(settings, stream, SimulationTruth(simulation))
    time = EPOCH + np.timedelta64(BEGIN + 48, "h")
    rows, _ = source(time)
    again, _ = source(time)
    np.testing.assert_array_equal(rows.value, again.value)
    usual = default_error_table().sigma(rows.variable, rows.pressure, rows.report)
    np.testing.assert_allclose(rows.error, 1.2 * usual)
    warm = rows.variable == "t"  # a wind is no constant across a pole
    normal = (rows.value[warm] - 200.0) / rows.error[warm]
    assert normal.mean() == pytest.approx(0.0, abs=0.05)
    assert normal.std() == pytest.approx(1.0, abs=0.05)
    other, _ = replace(source, stream=replace(stream, number=5))(time)
    assert not np.array_equal(other.value[:100], rows.value[:100])


def test_cycles_go_on_with_the_learned_analysis_and_say_from_where(tmp_path, monkeypatch):
    """3D-Var, then weights, then others: each round follows the cycles that are there, and none goes back."""
    simulation, weights = nature(tmp_path / "nature", TINY), [tmp_path / name for name in ("first", "second")]
    for path in (*weights, tmp_path / "statistics"):
        path.write_text(path.name)
    directory, per_stream, asked, said = tmp_path / "cycles", 0, [], []

    def ran(centre, _):
        """Leaves as many lines of cycles as the test wants there to be."""
        asked.append(centre.asked)
        centre.config.directory.mkdir(parents=True, exist_ok=True)
        (centre.config.directory / "cycles.jsonl").write_text("{}\n" * per_stream)
        return []

    monkeypatch.setattr(campaign, "run_cycles", ran)

    def run(learned: Path | None, *, statistics: Path = tmp_path / "statistics") -> None:
        campaign.run_campaign(simulation, directory, weights=statistics, learned=learned, progress=said.append)

    def rounds() -> list[tuple[str | None, set[int]]]:
        found = json.loads((directory / "cycles.json").read_text())["rounds"]
        return [(entry["learned"], set(entry["after"])) for entry in found]

    first, second = (sha256(path) for path in weights)
    run(None)
    assert asked[0].entry.name == "3dvar"
    assert rounds() == [(None, {0})]
    per_stream = 4
    run(None)
    run(weights[1])  # stopped before it made a cycle, so that the next takes its place
    assert rounds() == [(None, {0}), (second, {4})]
    asked.clear()
    run(weights[0])
    assert asked[0].entry.name == "phyda"
    assert (asked[0].own.weights, asked[0].own.background_error) == (weights[0], tmp_path / "statistics")
    assert asked[0].own.members == 0
    per_stream = 7
    run(weights[0])
    assert rounds() == [(None, {0}), (first, {4})]
    said.clear()
    run(weights[0])
    assert said == []
    run(weights[1], statistics=weights[0])
    assert rounds() == [(None, {0}), (first, {4}), (second, {7})]
    assert said == [f"cycles: from here on the learned analysis of {weights[1]}"]
    with pytest.raises(ConfigError, match="the last cycles here had other weights"):
        run(None)
    record = json.loads((directory / "cycles.json").read_text())
    record["streams"][0]["first"] += 6
    (directory / "cycles.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="holds cycles of other settings"):
        run(weights[1], statistics=weights[0])
