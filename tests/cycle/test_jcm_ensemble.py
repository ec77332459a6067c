"""The circulation model's ensemble with a model that counts, and increments on levels of sigma for several members."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import xarray as xr

from phyda_cli.errors import InputMissingError
from phyda_cli.fields.state import State
from phyda_cli.forecast.base import Step
from phyda_cli.simulation import chunks
from phyda_cli.simulation.config import preset
from phyda_cli.simulation.regrid import PARTS

pytestmark = pytest.mark.simulate
pytest.importorskip("jcm.model", reason="phyda[simulate] is not installed", exc_type=ImportError)

from phyda_cli.forecast import jcm_ensemble  # noqa: E402

BEGIN = 271_752
"""2001-01-01 00 UTC in hours since 1970."""
TIME = np.datetime64("2001-01-05T06", "ns")
COUNT = 3
CONFIG = preset("tiny")


class Dynamics(NamedTuple):
    """What is saved, as far as it is needed."""

    normalized_surface_pressure: Any


class Saved(NamedTuple):
    """Of one time."""

    dynamics: Dynamics


@dataclass
class Counting:
    """A model whose state is one number of a member; a forecast adds 1 and its fields are 250 plus the number."""

    first_carry: Any = 10.0

    def stepper(self, hours: int, every: int) -> Any:
        assert hours == every == 6

        def call(state: Any, carry: Any, begin: int, step: int) -> Any:
            after = np.float32(state + 1.0)
            pressure = np.full((1, 64, 32), 0.9 + after / 1000.0, np.float32)
            return after, carry + 1.0, step + 12, Saved(Dynamics(pressure))

        return call


@pytest.fixture
def ensemble(tmp_path, monkeypatch):
    """A simulation whose start of hour h is the number of days h since 2001, and the ensemble of the counting model."""
    chunks.bind(tmp_path / "nature", CONFIG)
    times = BEGIN + 12 * np.arange(20)
    days = ((times - BEGIN) / 24.0).astype(np.float32)
    chunks.save(chunks.starts_file(tmp_path / "nature", 0), {"time": times, **dict.fromkeys(PARTS, days)})
    monkeypatch.setattr(jcm_ensemble, "to_state", lambda model, parts: parts["vorticity"])

    def fields(saved: Saved) -> dict[str, np.ndarray]:
        number = 250.0 + 1000.0 * (saved.dynamics.normalized_surface_pressure[:, 0, 0] - 0.9)
        flat = np.broadcast_to(number[:, None, None, None], (number.size, 8, 32, 64)).astype(np.float32)
        return {**dict.fromkeys("uvtqz", flat), "msl": flat[:, 0]}

    def make(**more: Any) -> jcm_ensemble.JcmEnsemble:
        settings = {"hours": 6, "start_days_before": 1, "members": COUNT, "member_days": 0.5, "start_error": 1.0}
        made = jcm_ensemble.JcmEnsemble(tmp_path / "nature", **(settings | more))
        made.__dict__ |= {"model": Counting(), "_output": SimpleNamespace(fields=fields)}
        monkeypatch.setattr(made, "_load", lambda place: _loaded(place))
        monkeypatch.setattr(
            made, "_moved", lambda state, increment, pressure: state + increment.values[:, 0, 0, 0].numpy()
        )
        return made

    return make


def _loaded(place: Path) -> tuple[Any, Any, int, Any]:
    arrays = chunks.load(place / "model-state.npz")
    return arrays["leaf_0000"], arrays["leaf_0001"], int(arrays["step"]), arrays["surface_pressure"]


def numbers(place: Path) -> list[float]:
    with xr.open_dataset(place / "background.nc") as opened:
        assert opened["t"].dims == ("number", "level_t", "latitude", "longitude")
        return (opened["t"][:, 3, 5, 7].values - 250.0).round(2).tolist()


def test_first_members_are_nature_s_states_some_days_before_one_another(ensemble, tmp_path):
    ensemble().first(tmp_path / "0", TIME)  # forecasts from day 4; its members are of days 3, 2.5 and 2
    assert numbers(tmp_path / "0") == [4.0, 3.5, 3.0]


def test_first_members_near_the_truth_are_it_plus_a_part_of_their_difference_from_one_more(ensemble, tmp_path):
    ensemble(start_error=0.5).first(tmp_path / "0", TIME)
    expected = [4.0 + 0.5 * (day - 3.0) + 1.0 for day in (2.5, 2.0, 1.5)]
    assert numbers(tmp_path / "0") == expected


def test_a_start_near_the_truth_needs_its_state_of_that_very_time(ensemble, tmp_path):
    with pytest.raises(InputMissingError, match="there is one every 12 h: begin 6 h later"):
        ensemble(start_error=0.5).first(tmp_path / "0", TIME + np.timedelta64(6, "h"))


def test_each_member_goes_on_from_its_own_state_with_its_own_increment(ensemble, tmp_path):
    model = ensemble()
    model.first(tmp_path / "0", TIME)
    values = torch.zeros(COUNT, len(model.channels), *model.grid.shape)
    values[:, 0] = torch.tensor([0.25, 0.5, -1.0])[:, None, None]
    step = Step(TIME, 6, tmp_path / "0", tmp_path / "1", State(values, model.channels, model.grid, TIME))
    model.run(step)
    assert numbers(tmp_path / "1") == [4.0 + 1.25, 3.5 + 1.5, 3.0]
    state, carry, count, pressure = _loaded(tmp_path / "1")
    assert carry.tolist() == [12.0] * COUNT
    assert count == 24
    assert pressure.shape == (COUNT, 64, 32)
    model.run(replace(step, source=tmp_path / "0", target=tmp_path / "2"))  # again: nothing has changed
    assert numbers(tmp_path / "2") == numbers(tmp_path / "1")
    assert state.shape == (COUNT,)


def test_increments_of_several_members_lie_on_sigma_levels_as_those_of_each(ensemble):
    """Linear in ln p between levels, over a surface pressure of its own for every member."""
    model = ensemble()
    model.model.sigma = np.array([0.1, 0.5, 0.9])
    random = np.random.default_rng(3)
    increments = random.standard_normal((COUNT, 8, 4, 2)).astype(np.float32)
    pressure = random.uniform(7e4, 1.02e5, (COUNT, 4, 2))
    together = model._to_sigma(increments, pressure)
    for number in range(COUNT):
        np.testing.assert_array_equal(together[number], model._to_sigma(increments[number], pressure[number]))
    level = np.array(CONFIG.levels_hpa, dtype=float) * 100.0  # downward from 925 hPa
    expected = np.interp(np.log(0.5 * pressure[1, 2, 1]), np.log(level[::-1]), increments[1, ::-1, 2, 1])
    assert together[1, 1, 2, 1] == pytest.approx(expected, rel=1e-5)
