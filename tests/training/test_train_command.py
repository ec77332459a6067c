"""`phyda train` and `phyda info` from the command line: results, exit codes, one-line errors, processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from phyda_cli.cli.app import main
from phyda_cli.fields.state import Channel
from phyda_cli.networks.checkpoint import read_checkpoint
from phyda_cli.outputs import output_lock
from phyda_cli.training.progress import read_metrics
from tests.support.background_error import CHANNELS

ROOT = Path(__file__).parents[2]
EVERY_STEP = """
precision = "float32"
[model]
latent_channels = 16
autoencoder_width = 16
encoder_widths = [16, 16]
score_widths = [16]
heads = 2
[cases]
train = 128
validation = 128
[prdo.operator]
physics = "hydrostatic"
"""
EVERY_STEP += "".join(
    f"[stages.{name}]\nsteps = 4\nbatch = 4\nwarm_up = 2\nvalidate_every = 1\n"
    for name in ("autoencoder", "encoder", "score")
)


@pytest.fixture
def words(place, tmp_path):
    inputs = ["--store", str(place.store), "--background-error", str(place.background_error)]
    return ["train", *inputs, "--cases", str(place.cases), "--preset", "tiny", "--out", str(tmp_path / "out")]


@pytest.fixture(scope="module")
def alone(place, tmp_path_factory) -> Path:
    """A training by one process, validated at every step."""
    directory = tmp_path_factory.mktemp("alone")
    (directory / "c.toml").write_text(EVERY_STEP)
    assert main(every_step(place, directory)) == 0
    return directory / "out"


def every_step(place, directory: Path) -> list[str]:
    inputs = ["--store", str(place.store), "--background-error", str(place.background_error)]
    config = ["--config", str(directory / "c.toml"), "--out", str(directory / "out")]
    return ["--quiet", "train", *inputs, "--cases", str(place.cases), *config]


def refused(words: list[str], code: int, capsys, *texts: str) -> None:
    """The exit code, one line on stderr with the texts in it, nothing on stdout."""
    capsys.readouterr()
    assert main(["--quiet", *words]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    for text in texts:
        assert text in captured.err


@pytest.mark.parametrize("command", ["train", "info"])
def test_help(command, capsys):
    assert main([command, "--help"]) == 0
    assert f"Usage: phyda {command}" in capsys.readouterr().out


def test_it_trains_prints_the_path_and_goes_on(words, place, tmp_path, capsys):
    shards = {path: path.stat().st_mtime_ns for path in place.cases.rglob("*.*")}
    assert main([*words, "--stages", "autoencoder, encoder"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'out' / 'encoder.safetensors'}\n"
    assert "encoder: 6 of 6" in captured.err
    assert "step 6: validation loss" in captured.err
    assert "\x1b" not in captured.err
    assert main([*words, "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    final = tmp_path / "out" / "phyda.safetensors"
    assert document["output"] == str(final)
    assert document["stage"] == "score"
    assert set(document["scores"]) == {"autoencoder", "encoder", "score"}
    assert "encoder" not in captured.err
    assert {path: path.stat().st_mtime_ns for path in place.cases.rglob("*.*")} == shards
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "autoencoder.safetensors", "encoder.safetensors", "metrics.jsonl", "phyda.safetensors", "score.safetensors",
        "state.safetensors",
    ]  # fmt: skip
    about = read_checkpoint(final).about
    assert about["data"] == place.opened().attributes["digest"]
    assert about["source"] == "test"
    assert about["torch"] == torch.__version__
    assert about["device"].startswith("cpu")
    assert about["command"]["store"] == "store.zarr"
    assert about["config"]["stages"]["score"]["steps"] == 6
    assert about["hours"] > 0
    assert str(tmp_path.parents[1]) not in json.dumps(dict(about))
    refused([*words, "--seed", "3"], 65, capsys, "other settings or data")
    content = (tmp_path / "out" / "state.safetensors").read_bytes()
    for path in (tmp_path / "out").glob("[!s]*.safetensors"):
        path.unlink()
    (tmp_path / "out" / "score.safetensors").unlink()
    (tmp_path / "out" / "state.safetensors").write_bytes(content[:-9])
    refused(words, 65, capsys, "state.safetensors", "damaged")


def test_cases_alone(words, place, tmp_path, capsys):
    words[words.index("--cases") + 1] = str(tmp_path / "own")
    shutil.copytree(place.cases, tmp_path / "own")
    (tmp_path / "own" / "validation" / "cases-00000.safetensors").unlink()
    assert main([*words, "--stages", "cases"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'own'}\n"
    assert "validation cases: 128 of 128" in captured.err
    assert "train cases: " not in captured.err
    name = Path("validation") / "cases-00000.safetensors"
    assert (tmp_path / "own" / name).read_bytes() == (place.cases / name).read_bytes()
    record = tmp_path / "own" / "cases.json"
    record.write_text(record.read_text().replace('"seed": 7', '"seed": 8'))
    refused(words, 65, capsys, "cases made from other data (seed)")
    record.write_text("[")
    refused(words, 65, capsys, "cases.json: damaged")
    record.unlink()
    refused(words, 65, capsys, "cases without cases.json")
    (tmp_path / "fresh").mkdir()
    words[words.index("--cases") + 1] = str(tmp_path / "fresh")
    with output_lock(tmp_path / "fresh" / "cases.json"):
        refused(words, 75, capsys, "another run")


def test_two_processes_have_the_loss_curve_of_one(place, alone, tmp_path):
    (tmp_path / "c.toml").write_text(EVERY_STEP)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "phyda_cli", *every_step(place, tmp_path)], capture_output=True, text=True, check=False,
        cwd=ROOT, env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'out' / 'phyda.safetensors'}\n"
    one, two = (read_metrics(path / "metrics.jsonl") for path in (alone, tmp_path / "out"))
    assert [(r["stage"], r["step"], r["part"]) for r in one] == [(r["stage"], r["step"], r["part"]) for r in two]
    assert len(one) == 3 * 5
    for a, b in zip(one, two, strict=True):
        for key in a.keys() - {"stage", "part", "seconds", "share"}:
            assert b[key] == pytest.approx(a[key], rel=1e-5, abs=1e-6), (a["stage"], a["step"], key)
    first, last = one[0]["loss"], one[3]["loss"]
    assert abs(first - last) > 1e-4 * first


def test_fresh_cases_leave_no_shards_of_the_training(place, tmp_path):
    (tmp_path / "c.toml").write_text(
        EVERY_STEP.replace("train = 128", "fresh = true").replace("steps = 4", "steps = 1")
    )
    shutil.copytree(place.cases / "validation", tmp_path / "own" / "validation")
    shutil.copy(place.cases / "cases.json", tmp_path / "own")
    words = every_step(place, tmp_path)
    words[words.index("--cases") + 1] = str(tmp_path / "own")
    assert main([*words, "--stages", "encoder"]) == 0
    assert not (tmp_path / "own" / "train").exists()
    assert len(read_metrics(tmp_path / "out" / "metrics.jsonl")) == 2


def test_info_of_weights(alone, capsys):
    final = alone / "phyda.safetensors"
    assert main(["info", str(final), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    checkpoint = read_checkpoint(final)
    assert document["kind"] == "learned model"
    assert (document["grid"]["rows"], document["grid"]["columns"]) == (16, 32)
    assert document["variables"] == {
        **{name: [25_000.0, 50_000.0, 85_000.0] for name in ("u", "v", "t", "q", "z")},
        "msl": [],
    }
    assert document["parameters"]["all"] == sum(value.numel() for value in checkpoint.model.state_dict().values())
    assert document["about"] == dict(checkpoint.about)
    digest = subprocess.run(["sha256sum", final], capture_output=True, text=True, check=True).stdout.split()[0]
    assert document["sha256"] == digest
    assert main(["info", str(final)]) == 0
    text = capsys.readouterr().out
    for part in ("16 x 32", "250 500 850 hPa", "about scores encoder loss", digest, "learned model"):
        assert part in text


def test_info_of_a_background_error_and_of_other_files(place, alone, tmp_path, capsys):
    assert main(["info", str(place.background_error), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["kind"] == "background-error statistics"
    assert document["about"] == {"errors": 200}
    assert "parameters" not in document
    refused(["info", str(tmp_path / "none")], 66, capsys, "no such weights")
    (tmp_path / "cut").write_bytes((alone / "phyda.safetensors").read_bytes()[:-4])
    (tmp_path / "empty").touch()
    for path in (alone / "state.safetensors", tmp_path / "cut", tmp_path / "empty", ROOT / "README.md"):
        refused(["info", str(path)], 65, capsys, str(path), "not weights that phyda writes, or damaged")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (
            "[stages.encoder]\nsteps = 3\nstep_size = 2\n",
            ["unknown key 'stages.encoder.step_size'; did you mean 'steps'?"],
        ),
        ("colour = 1\n[stages.encoder]\nsteps = 3\n", ["colour"]),
        ("[stages.encoder]\nsteps = 0\n", ["stages.encoder.steps", "greater than or equal to 1"]),
        ("[stages.decoder]\nsteps = 3\n", ["stages.decoder"]),
        ("[stages", ["not a TOML file"]),
    ],
)
def test_a_wrong_configuration_is_named(text, names, words, tmp_path, capsys):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    place = words.index("--preset")
    refused([*words[:place], "--config", str(path), *words[place + 2 :]], 78, capsys, "wrong.toml", *names)
    assert not (tmp_path / "out").exists()


def test_refusals(words, place, tmp_path, capsys, monkeypatch):
    def instead(option: str, value: Path | str) -> list[str]:
        at = words.index(option) + 1
        return [*words[:at], str(value), *words[at + 1 :]]

    refused([*words, "--config", "c.toml"], 2, capsys, "either --config or --preset")
    refused([*words, "--stages", "encoder,sampling"], 2, capsys, "--stages sampling", "autoencoder")
    refused(instead("--store", tmp_path / "none.zarr"), 66, capsys, "none.zarr")
    refused(instead("--background-error", tmp_path / "none"), 66, capsys, "none")
    refused([*words, "--from", str(tmp_path / "none")], 66, capsys, "none")
    refused([*words, "--from", str(place.background_error)], 65, capsys, "this phyda reads phyda-model-1")
    refused(instead("--out", tmp_path / "a" / "b"), 73, capsys, "does not exist; create it first")
    (tmp_path / "file").touch()
    refused(instead("--out", tmp_path / "file"), 73, capsys, "file")
    (tmp_path / "out").mkdir(exist_ok=True)
    with output_lock(tmp_path / "out" / "state.safetensors"):
        refused(words, 75, capsys, "another run")
    if not torch.cuda.is_available():
        refused([*words, "--device", "cuda"], 69, capsys, "no CUDA device")
    refused([*words, "--stages", "score"], 78, capsys, "score stage needs autoencoder and encoder first")
    shipped = [word for word in words if word not in ("--background-error", str(place.background_error))]
    refused(shipped, 65, capsys, "another grid", "phyda prepare --background-error")
    monkeypatch.setenv("WORLD_SIZE", "two")
    refused(words, 78, capsys, "WORLD_SIZE='two'")


def test_a_store_with_other_variables_than_b_is_refused(words, place, capsys, monkeypatch):
    more = replace(place.opened(), channels=(*CHANNELS, Channel("t", 100_000.0)))
    monkeypatch.setattr("phyda_cli.training.cases.analysed_store", lambda path: more)
    refused(words, 65, capsys, "lacks t at 100000 Pa")


@pytest.mark.parametrize(
    "content", [b"\xff\xfes\x00", "höhe = 1".encode("latin-1"), b"seed = \x00", b"\x89HDF\r\n\x1a\n"]
)
def test_a_configuration_that_is_no_text_is_a_config_error(words, tmp_path, capsys, content):
    (tmp_path / "c.toml").write_bytes(content)
    words[words.index("--preset") : words.index("--preset") + 2] = ["--config", str(tmp_path / "c.toml")]
    assert main(words) == 78
    assert "c.toml: not a TOML file" in capsys.readouterr().err
