"""A tiny simulation from end to end: files, realism of a few days, resumption."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from phyda_cli.fields.state import Channel
from phyda_cli.simulation import chunks
from phyda_cli.simulation.config import preset
from phyda_cli.simulation.run import simulate

pytestmark = [pytest.mark.simulate, pytest.mark.filterwarnings("default")]
CONFIG = preset("tiny").model_copy(update={"days": 6})


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


def test_cycles_that_were_stopped_go_on_to_the_same_forecasts(whole: Path, tmp_path: Path):
    from phyda_cli.cycle.campaign import run_campaign
    from phyda_cli.preparation.build import build_store
    from phyda_cli.preparation.from_simulation import simulation_material

    def stop(line: str) -> None:
        raise KeyboardInterrupt

    run_campaign(whole, tmp_path / "once", weights=None, progress=print)
    with pytest.raises(KeyboardInterrupt):
        run_campaign(whole, tmp_path / "twice", weights=None, progress=stop)
    run_campaign(whole, tmp_path / "twice", weights=None, progress=print)
    made = sorted(path.name for path in (tmp_path / "once").glob("forecasts-*.npz"))
    assert made == sorted(path.name for path in (tmp_path / "twice").glob("forecasts-*.npz"))
    assert len(made) == 11
    for name in made:
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes(), name
    material = simulation_material(whole, cycles=tmp_path / "once")
    store = build_store(material, tmp_path / "store", overwrite=False, progress=lambda *_: None)
    assert store.leads == (6, 12)
    # the errors of a day, not those of a climate
    assert 0.05 < np.sqrt(np.mean(store.sigma_b(6)[store.channels.index(Channel("t", 50_000.0))] ** 2)) < 3.0
