"""A whole training: cases, then the stages in order, each from where a run before has stopped.

DIRECTORY/cases/{train,validation}    the cases (`case_files`), which trainings may share
DIRECTORY/state.safetensors           where the stage in work stands
DIRECTORY/STAGE.safetensors           the model after each finished stage, complete weights
DIRECTORY/metrics.jsonl               losses
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch

from phyda_cli.formats.atomic import atomic_path
from phyda_cli.model.checkpoint import read_checkpoint, to_bytes
from phyda_cli.model.phyda import PhyDA
from phyda_cli.model.vae import initialise_linear
from phyda_cli.training.config import TrainConfig
from phyda_cli.training.loop import Data, Workplace, run_stage
from phyda_cli.training.progress import digest_of

Progress = Callable[[str, int, int], None]
"""Stage, steps done, steps in all."""

_LINEAR_SAMPLES: Final = 1024


def train(
    config: TrainConfig, data: Data, place: Workplace, *, about: dict[str, Any], start: Path | None, progress: Progress
) -> Path:
    """Run the stages that are not finished; the file of the last one.

    about: entries of the weights' header, among them the data's digest. start: weights whose networks the stages that
    this training lacks, and the start of the others, are taken from.
    """
    torch.manual_seed(config.seed)
    statistics = data.statistics
    model = PhyDA(len(statistics.channels), statistics.grid.shape, config.model)
    if start is not None:
        model.load_state_dict(read_checkpoint(start).model.state_dict())
    elif "autoencoder" in config.stages:
        initialise_linear(model.autoencoder, data.train.increment[:_LINEAR_SAMPLES].float())
    run = digest_of(config, str(about["data"]))
    path = place.directory
    for name, settings in config.stages.items():
        path = place.directory / f"{name}.safetensors"
        if path.exists():
            model.load_state_dict(read_checkpoint(path).model.state_dict())
            continue
        progress(name, 0, settings.steps)
        run_stage(
            name, model, config, data, place, run=run,
            progress=lambda done, name=name, steps=settings.steps: progress(name, done, steps),  # type: ignore[misc]
        )  # fmt: skip
        if place.rank == 0:
            content = to_bytes(model, statistics, about={**about, "stage": name, "run": run})
            with atomic_path(path, overwrite=True) as temporary:
                temporary.write_bytes(content)
    return path
