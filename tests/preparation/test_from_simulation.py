from __future__ import annotations

import numpy as np
import pytest
from synthetic import quiet

from phyda_cli.errors import BadDataError, InputMissingError
from phyda_cli.fields.state import Channel
from phyda_cli.preparation.build import build_store
from phyda_cli.preparation.from_simulation import expected_pairs, simulation_material
from phyda_cli.simulation import chunks
from phyda_cli.simulation.config import preset

FIRST = 271_752 + 6


def fields(marks: np.ndarray) -> dict[str, np.ndarray]:
    """u at level k is mark + k, the other variables the mark alone."""
    flat = np.broadcast_to(marks[:, None, None, None], (marks.size, 8, 32, 64)).astype(np.float32)
    out = dict.fromkeys(("v", "t", "q", "z"), flat)
    return {"u": flat + np.arange(8, dtype=np.float32)[:, None, None], **out, "msl": flat[:, 0]}


@pytest.fixture
def raw(tmp_path):
    """Two pieces of 8 states, 6 h apart, marked 0 … 15; forecasts of 6 and 24 h from every other one, 100 too high."""
    directory = tmp_path / "raw"
    chunks.bind(directory, preset("tiny"))
    for piece in range(2):
        steps = np.arange(8 * piece, 8 * piece + 8)
        chunks.save(chunks.nature_file(directory, piece), {"time": FIRST + 6 * steps, **fields(steps)})
        init = np.repeat(FIRST + 6 * steps[::2], 2)
        lead = np.tile([6, 24], 4)
        marks = 100.0 + (init + lead - FIRST) // 6
        times = {"init_time": init, "lead_hours": lead, "valid_time": init + lead}
        chunks.save(chunks.forecasts_file(directory, 0, piece), {**times, **fields(marks)})
    return directory


def test_a_short_simulation_makes_a_store_with_levels_in_pascal(raw, tmp_path):
    store = build_store(simulation_material(raw), tmp_path / "s.zarr", overwrite=False, progress=quiet)
    assert store.channels[:2] == (Channel("u", 92_500.0), Channel("u", 85_000.0))
    assert store.channels[-2:] == (Channel("z", 10_000.0), Channel("msl"))
    pairs = 0
    for part in ("train", "validation", "test"):
        for batch in store.pairs(part):
            step = (batch.valid_time - FIRST) // 6
            assert batch.truth[:, 1, 0, 0].tolist() == (step + 1).tolist()
            assert batch.background[:, 1, 0, 0].tolist() == (step + 101).tolist()
            pairs += step.size
    assert pairs > 0
    # every error is 100 in every channel
    assert store.sigma_b() == pytest.approx(np.full((41, 32), 100.0), rel=1e-6)
    # valid after the last state: 24 h from steps 12 and 14
    assert store.attributes["counts"]["forecasts_without_truth"] == 2
    assert store.attributes["seed"] == 0


def test_a_missing_piece_is_told(raw):
    chunks.nature_file(raw, 0).rename(raw / "elsewhere")
    times = FIRST + 6 * np.arange(40, 48)
    chunks.save(chunks.nature_file(raw, 2), {"time": times, **fields(np.arange(8))})
    with pytest.raises(BadDataError, match="gaps"):
        simulation_material(raw)


def test_no_simulation_and_no_piece_yet_are_told(tmp_path):
    with pytest.raises(InputMissingError, match="no simulation here"):
        simulation_material(tmp_path)
    chunks.bind(tmp_path, preset("tiny"))
    with pytest.raises(InputMissingError, match="no piece"):
        simulation_material(tmp_path)


def test_expected_pairs_are_those_of_the_finished_store(raw, tmp_path):
    config = preset("tiny").model_copy(update={"perturbation_window_days": 0, "leads_hours": (6, 24), "days": 4})
    store = build_store(simulation_material(raw), tmp_path / "s.zarr", overwrite=False, progress=quiet)
    starts_of_raw = FIRST + 12 * np.arange(8)
    for part in ("train", "validation", "test"):
        for lead in (6, 24):
            code = store.splits.pair_code(starts_of_raw, starts_of_raw + lead)
            place = ("train", "validation", "test").index(part)
            assert store.pair_index(part, (lead,)).size == int((code == place).sum())
            # the simulation itself starts at 12 and 00 UTC, six hours after those of this fixture
            code = store.splits.pair_code(starts_of_raw + 6, starts_of_raw + 6 + lead)
            assert expected_pairs(config, part, (lead,)) == int((code == place).sum())
    assert expected_pairs(preset("tiny").model_copy(update={"days": 6}), "validation", (24,)) == 0
    assert expected_pairs(preset("short"), "validation", (24,)) > 100
