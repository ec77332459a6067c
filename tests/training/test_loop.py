"""The loop of one stage: its formulas by hand, and what stops it."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from phyda_cli.errors import BadDataError
from phyda_cli.networks.phyda import PhyDA
from phyda_cli.training import loop
from phyda_cli.training.config import StageConfig
from phyda_cli.training.loop import Data, Workplace, run_stage
from phyda_cli.training.progress import read_metrics
from tests.training.material import tiny


@pytest.fixture(scope="module")
def data(place):
    return place.data()


def settings(**changes):
    """One stage, `encoder`, of the preset with other numbers."""
    stage = StageConfig(**{"steps": 6, "batch": 4, "warm_up": 2, "validate_every": 3, "save_every": 3, **changes})
    return tiny(stages={"encoder": stage})


def go(data, directory, config, progress=lambda done: None) -> PhyDA:
    torch.manual_seed(0)
    model = PhyDA(len(data.statistics.channels), data.statistics.grid.shape, config.model)
    place = Workplace(directory, torch.device("cpu"))
    run_stage("encoder", model, config, data, place, run="r", progress=lambda done: progress((model, done)))
    return model


def test_the_learning_rate_warms_up_and_falls_as_a_cosine(data, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    go(data, tmp_path, settings(steps=5, learning_rate=0.02, warm_up=3))
    rates = [record["rate"] for record in read_metrics(tmp_path / "metrics.jsonl") if record["part"] == "train"]
    warm = [1 / 3, 2 / 3, 1.0, 1.0, 1.0]
    fall = [1.0, (1 + math.cos(0.2 * math.pi)) / 2, (1 + math.cos(0.4 * math.pi)) / 2]
    fall += [1 - fall[2], 1 - fall[1]]  # cos(π − x) = −cos x
    assert rates == pytest.approx([0.02 * a * b for a, b in zip(warm, fall, strict=True)])


def test_the_optimiser_uses_that_rate(data, tmp_path):
    """Adam's first step is η sign(g): with a constant gradient sign its size is the rate."""
    seen = []
    go(
        data,
        tmp_path,
        settings(steps=1, warm_up=4, learning_rate=0.02, weight_decay=0.0),
        lambda s: seen.append(copy.deepcopy(s[0])),
    )
    before, after = (torch.cat([p.detach().flatten() for p in model.encoder.parameters()]) for model in seen)
    moved = (after - before).abs()
    assert float(moved.max()) == pytest.approx(0.02 / 4, rel=1e-3)
    assert float(moved[moved > 0].median()) == pytest.approx(0.02 / 4, rel=0.01)


@pytest.mark.parametrize("decay", [0.999, 0.15])
def test_the_result_is_the_moving_average(data, tmp_path, decay):
    states = []
    model = go(data, tmp_path, settings(steps=4, learning_rate=0.01, ema=decay),
               lambda s: states.append({k: v.clone() for k, v in s[0].state_dict().items()}))  # fmt: skip
    average = dict(states[0])
    for step, state in enumerate(states[1:]):
        d = min(decay, (1 + step) / (10 + step))
        average = {key: d * average[key] + (1 - d) * state[key] for key in average}
    final, moved = model.state_dict(), 0.0
    for key, value in average.items():
        assert torch.allclose(final[key], value, atol=1e-6), key
        moved = max(moved, float((final[key] - states[-1][key]).abs().max()))
    assert moved > 1e-4


def test_only_the_stage_s_networks_change(data, tmp_path):
    states = []
    go(data, tmp_path, settings(steps=2), lambda s: states.append({k: v.clone() for k, v in s[0].state_dict().items()}))
    changed = {key.split(".")[0] for key in states[0] if not torch.equal(states[0][key], states[-1][key])}
    assert changed == {"encoder"}


def test_it_learns(data, tmp_path):
    halved = [replace(cases, first_guess=0.5 * cases.first_guess) for cases in (data.train, data.validation)]
    given = Data(*halved, data.statistics)
    area = data.statistics.area
    whole, half = (
        float(((cases.increment.float() - cases.first_guess.float()).square() * area).mean())
        for cases in (data.validation, halved[1])
    )
    go(given, tmp_path, settings(steps=40, batch=8, learning_rate=3e-3, ema=0.5, validate_every=40))
    (learned,) = (r["mse"] for r in read_metrics(tmp_path / "metrics.jsonl") if r["part"] == "validation")
    assert learned < half - 0.2 * (half - whole)


@pytest.mark.parametrize("name", ["autoencoder", "encoder", "score"])
def test_half_precision_trains_and_validates_to_its_rounding(data, tmp_path, name):
    scores = []
    for precision in ("float32", "bfloat16"):
        place = tmp_path / precision
        place.mkdir()
        stage = settings(steps=3).stages["encoder"]
        config = tiny(precision=precision, stages={name: stage})
        torch.manual_seed(0)
        model = PhyDA(len(data.statistics.channels), data.statistics.grid.shape, config.model)
        run_stage(name, model, config, data, Workplace(place, torch.device("cpu")), run="r", progress=lambda done: None)
        scores += [r["loss"] for r in read_metrics(place / "metrics.jsonl") if r["part"] == "validation"]
    assert scores[1] == pytest.approx(scores[0], rel=0.05)
    assert scores[1] != scores[0]


def test_gradients_are_clipped(data, tmp_path, monkeypatch):
    seen = []
    step = torch.optim.AdamW.step

    def watch(self, *args, **kwargs):
        squares = [p.grad.square().sum() for group in self.param_groups for p in group["params"]]
        seen.append(float(torch.stack(squares).sum().sqrt()))
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", watch)
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    go(data, tmp_path, settings(steps=2, clip=1e-3))
    assert seen == pytest.approx([1e-3, 1e-3], rel=1e-3)
    assert all(r["norm"] > 1e-2 for r in read_metrics(tmp_path / "metrics.jsonl") if r["part"] == "train")


def test_nan_in_the_data_stops_it_and_the_last_good_state_stays(data, tmp_path):
    order = np.random.default_rng([0, 0]).permutation(len(data.train))
    increment = data.train.increment.clone()
    increment[order[4 * 4 + 1], 0, 0, 0] = float("nan")  # seen in the fifth step
    broken = replace(data, train=replace(data.train, increment=increment))
    done = []
    with pytest.raises(BadDataError, match=r"not finite at step 5; the last good state is in .*state.safetensors"):
        go(broken, tmp_path, settings(), lambda s: done.append(s[1]))
    assert done == [0, 1, 2, 3, 4]
    with safe_open(tmp_path / "state.safetensors", framework="pt") as file:
        assert file.metadata()["step"] == "3"
        assert all(bool(torch.isfinite(file.get_tensor(name)).all()) for name in file.keys())  # noqa: SIM118
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()
    done.clear()
    with pytest.raises(BadDataError, match="at step 5"):
        go(broken, tmp_path, settings(), lambda s: done.append(s[1]))
    assert done == [3, 4]


def test_before_the_first_state_it_says_that_nothing_was_saved(data, tmp_path):
    broken = replace(data, train=replace(data.train, increment=torch.full_like(data.train.increment, float("inf"))))
    with pytest.raises(BadDataError, match="at step 1; nothing was saved yet"):
        go(broken, tmp_path, settings())


def test_nan_in_the_validation_cases_stops_it_too(data, tmp_path):
    increment = data.validation.increment.clone()
    increment[0, 0, 0, 0] = float("nan")
    broken = replace(data, validation=replace(data.validation, increment=increment))
    with pytest.raises(BadDataError, match="validation"):
        go(broken, tmp_path, settings())
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(name))


@pytest.mark.parametrize(
    ("precision", "device", "native", "half"),
    [
        ("auto", "cpu", False, False),
        ("auto", "cpu", True, True),
        ("auto", "cuda", False, True),
        ("bfloat16", "cpu", False, True),
        ("float32", "cuda", True, False),
    ],
)
def test_half_precision_is_for_devices_that_compute_in_it_unless_asked_for(
    precision, device, native, half, monkeypatch
):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *args: True)
    context = loop._autocast(tiny(precision=precision), torch.device(device))
    assert context._enabled is half
    assert context.fast_dtype == torch.bfloat16


def test_a_batch_that_cannot_be_shared_is_refused(data, tmp_path):
    place = Workplace(tmp_path, torch.device("cpu"), 0, 3)
    model = PhyDA(len(data.statistics.channels), data.statistics.grid.shape, tiny().model)
    with pytest.raises(BadDataError, match="a batch of 4 cannot be shared by 3"):
        run_stage("encoder", model, settings(), data, place, run="r", progress=lambda done: None)
