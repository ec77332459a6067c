"""A tiny simulation from end to end: files, realism of a few days, resumption."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from phyda_cli.simulation import chunks
from phyda_cli.simulation.config import preset
from phyda_cli.simulation.run import simulate

pytestmark = [pytest.mark.simulate, pytest.mark.filterwarnings("default")]
CONFIG = preset("tiny")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a simulation made in one go."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("jcm.model", reason="phyda[simulate] is not installed", exc_type=ImportError)
        directory = tmp_path_factory.mktemp("whole")
        simulate(CONFIG, directory, progress=print)
    return directory


def test_nature_run_has_every_sixth_hour_of_credible_weather(whole: Path):
    pieces = list(chunks.read_nature(whole))
    times = np.concatenate([times for times, _ in pieces])
    assert len(pieces) == CONFIG.chunks
    assert set(np.diff(times)) == {6}
    assert times.size == 4 * CONFIG.days
    for _, fields in pieces:
        assert fields["t"].shape == (8, 8, 32, 64)
        assert fields["msl"].shape == (8, 32, 64)
        assert all(values.dtype == np.float32 and np.isfinite(values).all() for values in fields.values())
        assert fields["q"].min() >= 0.0
        assert 265.0 < fields["t"][:, 1].mean() < 295.0
        assert 95_000.0 < fields["msl"].min() < fields["msl"].max() < 107_000.0
        assert np.all(np.diff(fields["z"], axis=1) > 0.0)


def test_forecasts_start_near_the_nature_run_and_leave_it(whole: Path):
    truth = {
        int(time): fields["z"][row] for times, fields in chunks.read_nature(whole) for row, time in enumerate(times)
    }
    errors: dict[int, list[float]] = {}
    for piece in chunks.read_forecasts(whole):
        np.testing.assert_array_equal(piece.valid_time, piece.init_time + piece.lead_hours)
        for row, valid in enumerate(piece.valid_time):
            if int(valid) in truth:
                error = (piece.fields["z"][row] - truth[int(valid)])[3] / 9.80665
                errors.setdefault(int(piece.lead_hours[row]), []).append(float(np.sqrt(np.mean(error**2))))
    assert set(errors) == set(CONFIG.leads_hours)
    assert 0.01 < np.mean(errors[6]) < 10.0


def test_resumed_simulation_has_the_same_bytes(whole: Path, tmp_path: Path):
    from phyda_cli.simulation.nature import run_nature

    simulate(CONFIG.model_copy(update={"days": CONFIG.chunk_days}), tmp_path, progress=print, part="nature")
    assert not chunks.nature_file(tmp_path, 1).exists()
    simulate(CONFIG, tmp_path, progress=print)
    made = sorted(path.name for path in whole.iterdir())
    assert made == sorted(path.name for path in tmp_path.iterdir())
    for name in made:
        assert (whole / name).read_bytes() == (tmp_path / name).read_bytes(), name
    lines: list[str] = []
    run_nature(CONFIG, tmp_path, lines.append)
    assert lines == ["nature run complete"]
