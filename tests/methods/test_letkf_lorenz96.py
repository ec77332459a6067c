"""The LETKF's algebra cycled on Lorenz-96, by the twin of `benchmarks/lorenz96.py`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

_BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(_BENCHMARKS))  # scripts there import their neighbours
_SPEC = importlib.util.spec_from_file_location("lorenz96", _BENCHMARKS / "lorenz96.py")
assert _SPEC is not None
assert _SPEC.loader is not None
lorenz96 = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(lorenz96)

CYCLES, SPIN_UP = 600, 100


def test_the_model_conserves_energy_but_for_forcing_and_drag() -> None:
    """d/dt ½ Σ x² = Σ (F x − x²): the quadratic terms cancel. And x = F is at rest."""
    x = np.random.default_rng(1).standard_normal(40)
    assert x @ lorenz96.tendency(x) == pytest.approx(float((lorenz96.FORCE * x - x**2).sum()), rel=1e-12)
    np.testing.assert_allclose(lorenz96.step(np.full(40, lorenz96.FORCE)), lorenz96.FORCE, rtol=1e-14)


def test_seven_members_reach_the_published_error() -> None:
    """0.22 with 7 members and L = 4 (Bocquet 2011, figure 6, as DAPPER lists it); observations alone have 1."""
    truth, observations, first = lorenz96.twin(CYCLES, 7, 3)
    means = lorenz96.run(observations, first, 1.82 * 4.0, 1.04)
    assert lorenz96.rmse(means, truth, SPIN_UP) == pytest.approx(0.22, abs=0.04)


def test_without_localisation_seven_members_lose_the_truth() -> None:
    truth, observations, first = lorenz96.twin(CYCLES, 7, 3)
    means = lorenz96.run(observations, first, 1e6, 1.04)
    assert lorenz96.rmse(means, truth, SPIN_UP) > 1.0
