"""Several processes train as one does: replicated and sharded, and after one of them was killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from phyda_cli.networks.checkpoint import read_checkpoint
from phyda_cli.training.progress import read_metrics
from tests.training.several import RUNS

ROOT = Path(__file__).parents[2]
STAGES = ("autoencoder", "encoder", "score")


@pytest.fixture(scope="module")
def runs(place, tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("several")
    words = [sys.executable, str(Path(__file__).with_name("several.py")), str(place.store.parent), str(directory)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, env={"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return directory


@pytest.mark.parametrize("name", [name for name in RUNS if name != "one"])
def test_several_processes_train_as_one_does(name, runs):
    one, several = (read_metrics(runs / path / "metrics.jsonl") for path in ("one", name))
    assert [(r["stage"], r["step"], r["part"]) for r in one] == [(r["stage"], r["step"], r["part"]) for r in several]
    assert len(one) == 3 * 3
    for a, b in zip(one, several, strict=True):
        for key in a.keys() - {"stage", "part", "seconds", "share"}:
            assert b[key] == pytest.approx(a[key], rel=1e-5, abs=1e-6), (a["stage"], a["step"], key)
    for stage in STAGES:
        own, other = (
            read_checkpoint(runs / path / f"{stage}.safetensors").model.state_dict() for path in ("one", name)
        )
        assert own.keys() == other.keys()
        for key, value in own.items():
            assert float((other[key] - value).abs().max()) <= 2e-5 * max(1.0, float(value.abs().max())), (stage, key)


def test_the_last_state_is_whole_whoever_wrote_it(runs):
    one, sharded = (load_file(runs / name / "state.safetensors") for name in ("one", "one-killed-then-two-sharded"))
    assert one.keys() == sharded.keys()
    for key, value in one.items():
        assert sharded[key].shape == value.shape, key
        assert torch.allclose(sharded[key], value, rtol=1e-3, atol=2e-5), key


def test_the_same_number_of_processes_gives_the_same_bits_after_a_kill(runs):
    own, other = (read_checkpoint(runs / name / "phyda.safetensors") for name in ("two", "two-killed"))
    states = own.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert torch.equal(own.calibration.factor, other.calibration.factor)
