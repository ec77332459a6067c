"""The state of a training on disk and the journal of its metrics."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from torch import nn

from phyda_cli.errors import BadDataError
from phyda_cli.training.progress import Metrics, Position, digest_of, read_metrics, read_state, state_of, write_state
from tests.training.material import tiny


def trained(seed: int, steps: int = 3) -> tuple[nn.Module, nn.Module, torch.optim.AdamW]:
    """Two networks and an optimiser with moments."""
    torch.manual_seed(seed)
    model, average = nn.Linear(3, 2), nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(steps):
        model(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, average, optimizer


def everything(model: nn.Module, average: nn.Module, optimizer: torch.optim.AdamW) -> list[torch.Tensor]:
    moments = optimizer.state_dict()["state"]
    inner = [value for _, entry in sorted(moments.items()) for _, value in sorted(entry.items())]
    return [*model.state_dict().values(), *average.state_dict().values(), *inner]


@pytest.fixture
def path(tmp_path):
    written = tmp_path / "state.safetensors"
    write_state(written, Position("encoder", 3), state_of(*trained(1)), run="r")
    return written


def test_a_state_comes_back_bit_for_bit(path):
    other = trained(2, steps=1)
    assert read_state(path, "encoder", *other, run="r") == 3
    for one, two in zip(everything(*other), everything(*trained(1)), strict=True):
        assert torch.equal(one, two)


def test_it_is_no_pickle(path):
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"stage": "encoder", "step": "3", "run": "r"}
    size = int.from_bytes(path.read_bytes()[:8], "little")
    assert json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]["stage"] == "encoder"


def test_nothing_or_another_stage_starts_anew(path, tmp_path):
    other = trained(2)
    before = [value.clone() for value in everything(*other)]
    assert read_state(tmp_path / "none", "encoder", *other, run="r") == 0
    assert read_state(path, "score", *other, run="r") == 0
    assert all(torch.equal(a, b) for a, b in zip(before, everything(*other), strict=True))


def test_damage_is_refused(path):
    content = path.read_bytes()
    for broken in (content[:-1], content[:50], b"", b"\x80\x04rubbish" * 20):
        path.write_bytes(broken)
        with pytest.raises(BadDataError, match="damaged"):
            read_state(path, "encoder", *trained(2), run="r")


def test_the_state_of_other_networks_is_refused(path):
    torch.manual_seed(0)
    wide, average = nn.Linear(5, 2), nn.Linear(5, 2)
    with pytest.raises(BadDataError, match="damaged"):
        read_state(path, "encoder", wide, average, torch.optim.AdamW(wide.parameters()), run="r")


def test_other_settings_are_refused(path):
    with pytest.raises(BadDataError, match="other settings or data"):
        read_state(path, "encoder", *trained(2), run="q")


def test_the_digest_sees_every_setting_and_the_data():
    known = {digest_of(tiny(), "data"), digest_of(tiny(seed=1), "data"), digest_of(tiny(beta=0.5), "data")}
    assert len(known | {digest_of(tiny(), "other")}) == 4
    assert digest_of(tiny(), "data") in known


def write(path, *records):
    path.write_text("".join(f"{json.dumps({'stage': stage, 'step': step})}\n" for stage, step in records))


def kept(path) -> list[tuple[str, int]]:
    return [(record["stage"], record["step"]) for record in read_metrics(path)]


def test_records_of_steps_that_are_done_again_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write(path, ("autoencoder", 20), ("encoder", 20), ("encoder", 40), ("encoder", 60))
    journal = Metrics(path, Position("encoder", 40))
    assert kept(path) == [("autoencoder", 20), ("encoder", 20), ("encoder", 40)]
    journal.write({"stage": "encoder", "step": 60})
    Metrics(path, Position("score", 0))
    assert kept(path) == [("autoencoder", 20), ("encoder", 20), ("encoder", 40), ("encoder", 60)]
    Metrics(path, Position("encoder", 0))
    assert kept(path) == [("autoencoder", 20)]


def test_a_line_cut_short_by_a_kill_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write(path, ("encoder", 20), ("encoder", 40))
    path.write_text(path.read_text() + '{"stage": "enc')
    assert kept(path) == [("encoder", 20), ("encoder", 40)]
    Metrics(path, Position("encoder", 40)).write({"stage": "encoder", "step": 60})
    assert kept(path) == [("encoder", 20), ("encoder", 40), ("encoder", 60)]
    assert read_metrics(tmp_path / "none") == []
