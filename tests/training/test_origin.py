"""Where weights say they come from, and TensorBoard's copy of the metrics."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from phyda_cli.errors import MissingExtraError
from phyda_cli.training.progress import Board
from phyda_cli.training.run import commit, origin, outcome
from tests.training.material import tiny

RECORDS = [
    {"stage": "encoder", "step": 20, "part": "train", "seconds": 1800.0, "loss": 9.0},
    {"stage": "encoder", "step": 20, "part": "validation", "loss": 3.0, "mse": 0.5},
    {"stage": "encoder", "step": 40, "part": "train", "seconds": 900.0, "loss": 8.0},
    {"stage": "encoder", "step": 40, "part": "validation", "loss": 2.0, "mse": 0.4},
    {"stage": "score", "step": 20, "part": "validation", "loss": 1.0},
]


def test_hours_are_those_of_the_records_and_scores_the_last():
    assert outcome(RECORDS) == {
        "hours": 0.75,
        "scores": {"encoder": {"step": 40, "loss": 2.0, "mse": 0.4}, "score": {"step": 20, "loss": 1.0}},
    }
    assert outcome([]) == {"hours": 0.0, "scores": {}}


def test_the_commit_is_that_of_the_checkout_or_none(tmp_path, monkeypatch):
    assert commit(tmp_path) is None
    (tmp_path / ".git").mkdir()
    assert commit(tmp_path) is None  # no repository in it
    (tmp_path / ".git").rmdir()
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    found = commit(tmp_path)
    assert found
    assert head.startswith(found)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit(tmp_path) is None


def test_the_header_is_json_and_keeps_directories_to_itself(place):
    command = {"store": place.store, "seed": None, "stages": "encoder"}
    about = origin(place.opened(), tiny(), torch.device("cpu"), command=command, digests={"from": "ab"})
    assert json.loads(json.dumps(about)) == about
    assert about["command"] == {"store": "store.zarr", "seed": None, "stages": "encoder"}
    assert str(place.store.parent) not in json.dumps(about)
    assert about["inputs"] == {"from": "ab"}
    assert about["leads"] == [24, 48]


def test_tensorboard_gets_every_number_and_old_files_go(tmp_path, monkeypatch):
    written = []

    class Writer:
        def __init__(self, directory: str) -> None:
            (Path(directory) / "events.out.tfevents.new").touch()

        def add_scalar(self, tag: str, value: float, step: int) -> None:
            written.append((tag, value, step))

        def flush(self) -> None:
            written.append("flush")

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    board = tmp_path / "tensorboard"
    board.mkdir()
    (board / "events.out.tfevents.old").touch()
    (board / "mine").touch()
    Board(board).add(RECORDS[:2])
    assert sorted(path.name for path in board.iterdir()) == ["events.out.tfevents.new", "mine"]
    assert written == [
        ("encoder/train/seconds", 1800.0, 20),
        ("encoder/train/loss", 9.0, 20),
        ("encoder/validation/loss", 3.0, 20),
        ("encoder/validation/mse", 0.5, 20),
        "flush",
    ]


def test_without_tensorboard_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"phyda\[tensorboard\]"):
        Board(tmp_path / "tensorboard")
    assert not (tmp_path / "tensorboard").exists()
