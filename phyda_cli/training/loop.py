"""The training loop of one stage: AdamW, warm-up and cosine, clipped gradients, moving average; resumable anywhere.

    g = clip(∇L),    θ ← AdamW(θ, g; η_k),    θ̄ ← d_k θ̄ + (1 − d_k) θ,    d_k = min(d, (1 + k)/(10 + k))
    η_k = η · min((k + 1)/w, 1) · ½ (1 + cos(π k/K))

A step depends on the state and on (seed, k) only: a run that was killed gives the same result as one that was not.
Under `torchrun` each process takes its share of every batch (`processes`): the loss curve is that of one process. The
result of a stage is the average θ̄.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from phyda_cli.errors import BadDataError
from phyda_cli.networks.phyda import PhyDA
from phyda_cli.networks.precision import computes_bfloat16, in_bfloat16
from phyda_cli.networks.statistics import Statistics
from phyda_cli.training.batches import as_they_are, assembled
from phyda_cli.training.blocks import prepare_blocks
from phyda_cli.training.case_files import AnyCases
from phyda_cli.training.config import StageConfig, StageName, TrainConfig
from phyda_cli.training.loader import Steps, drawn_ahead
from phyda_cli.training.processes import averaged, shard, whole
from phyda_cli.training.progress import Metrics, Position, read_state, state_of, write_state
from phyda_cli.training.stages import STAGES, Losses, Stage

LOG_EVERY: Final = 20
_VALIDATION_BATCH: Final = 64
_VALIDATION_SEED: Final = 1
_SAMPLE: Final = 128


@dataclass(frozen=True)
class Data:
    """What the stages train and validate on."""

    train: AnyCases
    validation: AnyCases
    statistics: Statistics

    @property
    def states(self) -> torch.Tensor:
        """A climatological sample (n, C, H, W) [SI]: backgrounds of the first cases."""
        return self.statistics.state(self.train.rows(range(min(_SAMPLE, len(self.train)))).background.float())


@dataclass(frozen=True)
class Workplace:
    """Where a training runs and keeps its state. progress: told the number of steps done.

    rank, world: of the process group; 0 and 1 without one. workers: processes that draw the steps; 0 draws them in this
    one.
    """

    directory: Path
    device: torch.device
    rank: int = 0
    world: int = 1
    workers: int = 0


def run_stage(
    name: StageName,
    model: PhyDA,
    config: TrainConfig,
    data: Data,
    place: Workplace,
    *,
    run: str,
    progress: Callable[[int], None],
) -> None:
    """Train the stage's networks of the model in place, from where a run before has stopped.

    Raises BadDataError when the loss is not finite; the last good state stays on disk.
    """
    settings = config.stages[name]
    if settings.batch % place.world:
        raise BadDataError(f"{name}: a batch of {settings.batch} cannot be shared by {place.world} processes")
    model.to(place.device)
    sharded = config.sharded and place.world > 1
    changed = sharded or config.recompute or config.compiled  # for good, and the model goes on after the stage
    own = copy.deepcopy(model) if changed else model
    stage: Stage = STAGES[name](own, config, data.statistics, data.states.to(place.device)).to(place.device)
    average = copy.deepcopy(stage)
    prepare_blocks(stage, recompute=config.recompute, compiled=config.compiled)
    if sharded:
        shard(stage)
        shard(average)
    parameters = [p for p in stage.parameters() if p.requires_grad]
    followers = [p for p in average.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    path = place.directory / "state.safetensors"
    start = read_state(path, name, stage.model, average.model, optimizer, run=run)
    journal = Metrics(place.directory / "metrics.jsonl", Position(name, start)) if place.rank == 0 else None
    replicated = place.world > 1 and not sharded
    shared: nn.Module = nn.parallel.DistributedDataParallel(stage) if replicated else stage
    statistics = data.statistics.to(place.device)
    source = Steps(
        data.train, data.statistics, settings.batch, settings.steps, config.seed, config.signed, place.rank,
        place.world, stage.noise,
    )  # fmt: skip
    progress(start)
    began, unseen = time.monotonic(), list[torch.Tensor]()
    for step, drawn in enumerate(drawn_ahead(source, start, place.device, workers=place.workers), start):
        rate = settings.learning_rate * min((step + 1) / settings.warm_up, 1.0)
        rate *= 0.5 * (1.0 + math.cos(math.pi * step / settings.steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = assembled(drawn, statistics)
        with _autocast(config, place.device):
            losses: Losses = shared(batch)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        norm = whole(nn.utils.clip_grad_norm_(parameters, settings.clip))
        unseen.append(norm.detach())
        if place.device.type == "cpu" or _is_looked_at(step + 1, settings):  # a look stops the device until it is here
            _require_finite(name, unseen, step + 1, path)
            unseen.clear()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        follow = get_ema_multi_avg_fn(min(settings.ema, (1 + step) / (10 + step)))  # type: ignore[no-untyped-call]
        follow(followers, parameters, step)
        done = step + 1
        last = done == settings.steps
        if done % LOG_EVERY == 0 or last:
            shown = _shared_mean(losses, place.world)
            if journal:
                passed, began = time.monotonic() - began, time.monotonic()
                step_record = {"stage": name, "step": done, "part": "train", "seconds": round(passed, 3)}
                journal.write({**step_record, "rate": rate, "norm": float(norm), **shown})
        if done % settings.validate_every == 0 or last:
            scores = validate(average, config, data, place)
            if not all(map(math.isfinite, scores.values())):
                raise BadDataError(f"{name}: the validation loss is not finite at step {done}; make the cases anew")
            if journal:
                journal.write({"stage": name, "step": done, "part": "validation", **scores})
        if done % settings.save_every == 0 or last:
            state = state_of(stage.model, average.model, optimizer) if sharded or place.rank == 0 else {}
            if place.rank == 0:
                write_state(path, Position(name, done), state, run=run)
        progress(done)
    model.load_state_dict({key: whole(value) for key, value in average.model.state_dict().items()})


def _is_looked_at(done: int, settings: StageConfig) -> bool:
    """Whether anything is logged, validated or saved after this many steps."""
    every = (LOG_EVERY, settings.validate_every, settings.save_every)
    return done == settings.steps or any(done % number == 0 for number in every)


def _require_finite(name: StageName, norms: Sequence[torch.Tensor], done: int, state: Path) -> None:
    """Raise BadDataError when a gradient of the last steps, the last of them the `done`-th, is not finite."""
    finite = torch.isfinite(torch.stack(list(norms))).tolist()
    if not all(finite):
        step = done - len(finite) + 1 + finite.index(False)
        where = f"the last good state is in {state}" if state.exists() else "nothing was saved yet"
        raise BadDataError(f"{name}: the gradient is not finite at step {step}; {where}; lower learning_rate")


def validate(stage: Stage, config: TrainConfig, data: Data, place: Workplace) -> dict[str, float]:
    """Return the losses over all validation cases, always with the same noise; each process takes its share."""
    totals: Losses = {}
    size, statistics = len(data.validation), data.statistics.to(place.device)
    generator = torch.Generator().manual_seed(_VALIDATION_SEED)
    stage.eval()
    for start in range(0, size, _VALIDATION_BATCH):
        total = min(_VALIDATION_BATCH, size - start)
        own = range(place.rank * total // place.world, (place.rank + 1) * total // place.world)
        counted = own or range(1)  # who has no case computes with the others all the same, and it does not count
        chosen = [start + number for number in counted]
        drawn = as_they_are(
            data.validation, data.statistics, chosen, noise=stage.noise, generator=generator, first=counted.start,
            total=total,
        )  # fmt: skip
        with torch.no_grad(), _autocast(config, place.device):
            losses = stage(assembled(drawn.to(place.device), statistics))
        for key, value in losses.items():
            totals[key] = totals.get(key, 0.0) + value.detach().float() * (len(own) / size * place.world)
    return _shared_mean(totals, place.world)


def _shared_mean(losses: Losses, world: int) -> dict[str, float]:
    values = averaged(torch.stack([value.detach().float() for value in losses.values()]), world)
    return dict(zip(losses, values.tolist(), strict=True))


def _autocast(config: TrainConfig, device: torch.device) -> torch.autocast:
    half = computes_bfloat16(device) if config.precision == "auto" else config.precision == "bfloat16"
    return in_bfloat16(device, enabled=half)
