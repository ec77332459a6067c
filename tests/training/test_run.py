"""A whole training: killed anywhere it ends with the same bits, and files of another one are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from phyda_cli.errors import BadDataError, ConfigError
from phyda_cli.networks.checkpoint import read_checkpoint
from phyda_cli.training.progress import read_metrics
from tests.training.killed import MOMENTS
from tests.training.material import ABOUT, run, tiny

ROOT = Path(__file__).parents[2]
STAGES = ["autoencoder", "encoder", "score"]


@pytest.fixture(scope="module")
def whole(place, tmp_path_factory) -> Path:
    """A training that nothing has disturbed."""
    directory = tmp_path_factory.mktemp("whole")
    assert run(place, directory) == directory / "phyda.safetensors"
    return directory


@pytest.fixture(scope="module")
def killed(place, tmp_path_factory) -> Path:
    """Trainings that SIGKILL has ended, each at another moment."""
    directory = tmp_path_factory.mktemp("killed")
    words = [sys.executable, str(Path(__file__).with_name("killed.py")), str(place.store.parent), str(directory)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, env={"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return directory


def weights(directory: Path, stage: str) -> dict[str, torch.Tensor]:
    return read_checkpoint(directory / f"{stage}.safetensors").model.state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def losses(directory: Path) -> list[dict]:
    return [{k: v for k, v in record.items() if k != "seconds"} for record in read_metrics(directory / "metrics.jsonl")]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_training_goes_on_to_the_same_bits(moment, place, whole, killed):
    directory = killed / moment
    assert not (directory / "phyda.safetensors").exists()
    begun = []
    run(place, directory, progress=lambda stage, done, total: begun.append((stage, done)))
    assert begun[0] == MOMENTS[moment].resumes
    for stage in [*STAGES, "phyda"]:
        assert same(weights(directory, stage), weights(whole, stage)), stage
    factors = [read_checkpoint(path / "phyda.safetensors").calibration.factor for path in (directory, whole)]
    assert torch.equal(*factors)
    assert losses(directory) == losses(whole)
    assert len(losses(whole)) == 9  # for each stage two validations and one record of the training


def test_finished_stages_are_not_run_again(place, whole):
    before = {path.name: path.stat().st_mtime_ns for path in whole.iterdir()}
    assert run(place, whole, progress=pytest.fail) == whole / "phyda.safetensors"
    assert {path.name: path.stat().st_mtime_ns for path in whole.iterdir()} == before


def test_the_files_are_those_that_are_promised_and_no_pickle(whole):
    assert {path.name for path in whole.iterdir()} == {
        "state.safetensors", "metrics.jsonl", "phyda.safetensors", *(f"{stage}.safetensors" for stage in STAGES)
    }  # fmt: skip
    for path in whole.glob("*.safetensors"):
        content = path.read_bytes()
        json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


def test_each_stage_trains_its_networks_and_keeps_those_before(whole):
    first, second, third = (weights(whole, stage) for stage in STAGES)

    def changed(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> set[str]:
        return {key.split(".")[0] for key in one if not torch.equal(one[key], other[key])}

    assert changed(first, second) == {"encoder"}
    assert changed(second, third) == {"score", "latent_log_sigma"}
    rounded = {name: value.half().float() for name, value in third.items()}
    assert changed(rounded, weights(whole, "phyda")) == set()


def test_the_header_tells_stage_hours_and_scores(whole):
    about = read_checkpoint(whole / "score.safetensors").about
    assert about["stage"] == "score"
    assert about["data"] == "d1"
    assert set(about["scores"]) == set(STAGES)
    last = [r for r in read_metrics(whole / "metrics.jsonl") if r["part"] == "validation"][-1]
    assert about["scores"]["score"]["loss"] == last["loss"]
    assert 0 < about["hours"] < 0.1


@pytest.mark.parametrize("change", [{"seed": 5}, {"beta": 0.3}])
def test_other_settings_are_refused(change, place, whole):
    with pytest.raises(BadDataError, match="other settings or data"):
        run(place, whole, tiny(**change))


def test_other_data_are_refused(place, whole):
    for about in ({**ABOUT, "data": "d2"}, {**ABOUT, "inputs": {}}):
        with pytest.raises(BadDataError, match="other settings or data"):
            run(place, whole, about=about)


def test_stages_one_at_a_time_give_the_same_in_any_order(place, whole, tmp_path):
    with pytest.raises(ConfigError, match="score stage needs autoencoder and encoder first"):
        run(place, tmp_path, stages=["score"])
    assert run(place, tmp_path, stages=["encoder"]) == tmp_path / "encoder.safetensors"
    run(place, tmp_path, stages=["autoencoder"])
    run(place, tmp_path, stages=["score"])
    assert same(weights(tmp_path, "phyda"), weights(whole, "phyda"))


def test_finished_weights_of_another_training_are_refused(place, whole, tmp_path):
    (tmp_path / "phyda.safetensors").write_bytes((whole / "phyda.safetensors").read_bytes())
    with pytest.raises(BadDataError, match=r"phyda.safetensors: weights of a training with other settings"):
        run(place, tmp_path, tiny(seed=5))


def test_from_other_weights(place, whole, tmp_path):
    start = whole / "score.safetensors"
    config = tiny(stages={"score": tiny().stages["score"]})
    run(place, tmp_path, config, start=start)
    before, after = weights(whole, "score"), weights(tmp_path, "score")
    changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"score", "latent_log_sigma"}
    wide = tiny(model=tiny().model.model_copy(update={"latent_channels": 8}))
    with pytest.raises(BadDataError, match="another grid or"):
        run(place, tmp_path / "wide", wide, start=start)
