"""A whole training: the stages in order, each from where a run before has stopped.

DIRECTORY/cases/                      the cases (`case_files.py`), unless trainings share them elsewhere
DIRECTORY/state.safetensors           where the stage in work stands
DIRECTORY/STAGE.safetensors           the model after each finished stage, complete weights
DIRECTORY/phyda.safetensors           after the score stage: the same with the calibrated spread and in half precision,
                                      ready for use
DIRECTORY/metrics.jsonl               losses

The header of the weights says their origin: data, code, settings, machine, hours and scores.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

import phyda_cli
from phyda_cli.errors import BadDataError, ConfigError
from phyda_cli.methods.phyda import EVALUATIONS
from phyda_cli.networks.calibration import Calibration, CalibrationSums
from phyda_cli.networks.checkpoint import Checkpoint, read_checkpoint, to_bytes
from phyda_cli.networks.local_spread import localised
from phyda_cli.networks.phyda import PhyDA
from phyda_cli.networks.statistics import Statistics
from phyda_cli.networks.vae import initialise_linear
from phyda_cli.outputs import atomic_path
from phyda_cli.preparation.build import Progress
from phyda_cli.preparation.store import TrainingStore
from phyda_cli.training.batches import as_they_are, assembled
from phyda_cli.training.case_files import AnyCases
from phyda_cli.training.config import StageName, TrainConfig
from phyda_cli.training.loop import Data, Workplace, run_stage
from phyda_cli.training.progress import digest_of, read_metrics
from phyda_cli.training.stages import STAGES

FINAL: Final = "phyda.safetensors"
"""The finished weights."""
MEMBERS: Final = 8
"""Samples of each case of the calibration; what is fitted does not depend on their number."""
_CALIBRATION_BATCH: Final = 16
_CALIBRATION_SEED: Final = 2
_LINEAR_SAMPLES: Final = 1024
_LINEAR_BATCH: Final = 32
"""Cases whose patches the first maps are made of, and those in memory at a time."""
_BEFORE_SCORE: Final[tuple[StageName, ...]] = ("autoencoder", "encoder")


def train(
    config: TrainConfig,
    data: Data,
    place: Workplace,
    *,
    about: dict[str, Any],
    start: Path | None,
    progress: Progress,
    stages: Collection[StageName] | None = None,
) -> Path:
    """Run the stages that are not finished; the file of the last one that was asked for.

    about: entries of the weights' header, among them `data` and `inputs`, the digests of what is trained on. start:
    weights whose networks the stages that this training lacks, and the start of the others, are taken from. stages:
    those to run, all without it; finished ones are used in any case. Raises BadDataError for files in the directory
    that another training made.
    """
    torch.manual_seed(config.seed)
    statistics = data.statistics
    model = PhyDA(len(statistics.channels), statistics.grid.shape, config.model)
    if start is not None:
        _load_start(model, read_checkpoint(start), data, start)
    elif "autoencoder" in config.stages:
        initialise_linear(model.autoencoder, _described(model, data))
    run = digest_of(config, f"{about['data']} {about['inputs']}")
    files = {name: place.directory / f"{name}.safetensors" for name in config.stages}
    finished = {name for name, path in files.items() if path.exists()}
    for name in finished:
        _load_finished(model, name, config, data, files[name], run=run)
    if (place.directory / FINAL).exists():
        _read_own(place.directory / FINAL, run=run)
    wanted = [name for name in config.stages if stages is None or name in stages]
    for name in wanted:
        if name in finished:
            continue
        needed = _BEFORE_SCORE if name == "score" and start is None else ()
        lacking = [other for other in needed if other not in finished]
        if lacking:
            raise ConfigError(f"the score stage needs {' and '.join(lacking)} first; run all stages, or give --from")
        steps = config.stages[name].steps
        run_stage(
            name, model, config, data, place, run=run,
            progress=lambda done, name=name, steps=steps: progress(name, done, steps),  # type: ignore[misc]
        )  # fmt: skip
        if place.rank == 0:
            found = outcome(read_metrics(place.directory / "metrics.jsonl"))
            content = to_bytes(model, statistics, about={**about, **found, "stage": name, "run": run})
            with atomic_path(files[name], overwrite=True) as temporary:
                temporary.write_bytes(content)
        finished.add(name)
    if wanted[-1] == "score":
        return _calibrated(model, data, place, files["score"], progress)
    return files[wanted[-1]]


def _described(model: PhyDA, data: Data) -> Iterator[torch.Tensor]:
    """Yield what the autoencoder is given for some cases of the training, batch by batch."""
    count = min(_LINEAR_SAMPLES, len(data.train))
    for start in range(0, count, _LINEAR_BATCH):
        chosen = list(range(start, min(start + _LINEAR_BATCH, count)))
        batch = assembled(as_they_are(data.train, data.statistics, chosen), data.statistics)
        yield model.described(batch.increment, batch.base)


def _calibrated(model: PhyDA, data: Data, place: Workplace, score: Path, progress: Progress) -> Path:
    """Return the weights of the score stage with their calibration; made by the first process, where they are not
    there.
    """
    path = place.directory / FINAL
    if place.rank == 0 and not path.exists():
        total = len(data.validation)
        progress("calibration", 0, total)
        calibration = calibrate(
            model, data.validation, data.statistics, place.device, lambda done: progress("calibration", done, total)
        )
        about = {**read_checkpoint(score).about, "stage": "calibration"}
        content = to_bytes(model, data.statistics, about=about, calibration=calibration, half=True)
        with atomic_path(path, overwrite=True) as temporary:
            temporary.write_bytes(content)
    return path


@torch.no_grad()
def calibrate(
    model: PhyDA, cases: AnyCases, statistics: Statistics, device: torch.device, progress: Callable[[int], None]
) -> Calibration:
    """Fit the inflation of the spread on cases; trains no network. progress: told the number of cases done."""
    model.to(device).eval()
    here = statistics.to(device)
    sums = CalibrationSums.none(len(statistics.channels))
    for start in range(0, len(cases), _CALIBRATION_BATCH):
        chosen = list(range(start, min(start + _CALIBRATION_BATCH, len(cases))))
        batch = assembled(as_they_are(cases, statistics, chosen).to(device), here)
        parts = model.reconstruct(batch.observations, batch.first_guess, batch.background, batch.static, batch.base)
        seeds = [_CALIBRATION_SEED + number for number in chosen]
        members = model.members(*parts, batch.base, count=MEMBERS, evaluations=EVALUATIONS, seeds=seeds).cpu()
        members = localised(members, parts[0].log_sigma.cpu())
        sums.add(members, parts[0].mean.cpu(), batch.increment.cpu(), batch.density.cpu(), statistics.area)
        progress(start + len(chosen))
    return sums.fit()


def _load_start(model: PhyDA, checkpoint: Checkpoint, data: Data, path: Path) -> None:
    """Take all networks of other weights. Raises BadDataError when they do not fit the data or the configuration."""
    if checkpoint.statistics.channels != data.statistics.channels:
        raise BadDataError(f"{path}: weights for other variables or levels than the store's")
    try:
        model.load_state_dict(checkpoint.model.state_dict())
    except RuntimeError as error:
        raise BadDataError(f"{path}: weights of another grid or [model] than the configuration's") from error


def _load_finished(model: PhyDA, name: StageName, config: TrainConfig, data: Data, path: Path, *, run: str) -> None:
    """Take from a finished stage the networks that it trained. Raises BadDataError for one of another training."""
    checkpoint = _read_own(path, run=run)
    STAGES[name](model, config, data.statistics, data.states)  # marks what the stage trains
    trained = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
    values = {key: value for key, value in checkpoint.model.state_dict().items() if key in trained}
    model.load_state_dict(values, strict=False)


def _read_own(path: Path, *, run: str) -> Checkpoint:
    """Read weights. Raises BadDataError for those of another training."""
    checkpoint = read_checkpoint(path)
    if checkpoint.about.get("run") != run:
        raise BadDataError(f"{path}: weights of a training with other settings or data; give another directory")
    return checkpoint


_PATIENCE: Final = 5.0
"""Seconds that git may take."""


def origin(
    store: TrainingStore,
    config: TrainConfig,
    device: torch.device,
    *,
    command: Mapping[str, Any],
    digests: Mapping[str, str],
) -> dict[str, Any]:
    """Entries of the header that are known before the training, as JSON values.

    command: the options given; of paths the last name only, weights travel. digests: SHA-256 of the other inputs by
    their names.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    return {
        "data": str(store.attributes["digest"]),
        "source": store.attributes["source"],
        "splits": store.attributes["splits"],
        "leads": list(store.leads),
        "inputs": dict(digests),
        "commit": commit(Path(phyda_cli.__file__).resolve().parents[1]),
        "command": {option: value.name if isinstance(value, Path) else value for option, value in command.items()},
        "config": config.model_dump(mode="json"),
        "phyda": phyda_cli.__version__,
        "torch": torch.__version__,
        "device": name,
    }


def outcome(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Entries of the header that the metrics show: hours of the steps that were kept, last validation of each stage."""
    seconds = sum(float(record.get("seconds", 0.0)) for record in records if record["part"] == "train")
    names = ("stage", "part", "seconds")
    scores = {
        str(record["stage"]): {key: value for key, value in record.items() if key not in names}
        for record in records
        if record["part"] == "validation"
    }
    return {"hours": round(seconds / 3600.0, 4), "scores": scores}


def commit(root: Path) -> str | None:
    """`git describe` of the checkout at `root`; None where there is none or git is not there."""
    if not (root / ".git").exists():
        return None
    words = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
