"""The learned analysis and its training: seconds for members, evaluations and observations, and samples per second.

Marginal costs come from two runs of different length: a member more, an evaluation more. The training step is measured
on made-up cases of the preset's size; on CUDA also `base`, in bf16 and fp32, with its share of the device's peak.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from result import Measurement, Report, seconds

from phyda_cli.fields.state import Channel, State
from phyda_cli.formats.gridded.background_error import read_background_error
from phyda_cli.grids.latlon import LatLonGrid
from phyda_cli.methods.base import Departures
from phyda_cli.methods.phyda import LearnedAnalysis
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.networks.checkpoint import Checkpoint, read_checkpoint
from phyda_cli.networks.gridded import GriddedObservations
from phyda_cli.networks.phyda import Base, PhyDA
from phyda_cli.networks.statistics import MAPPED, Statistics
from phyda_cli.operators.operator import Operator
from phyda_cli.resources import LEARNED_BACKGROUND_ERROR, LEARNED_MODEL, weights_path
from phyda_cli.training.batches import Batch
from phyda_cli.training.blocks import prepare_blocks
from phyda_cli.training.config import Preset, StageName, TrainConfig, read_config
from phyda_cli.training.stages import STAGES, Stage

MEMBERS: Final = (2, 16, 32)
OBSERVATIONS: Final = (100, 1_000, 10_000, 100_000)
PEAK: Final = {"H100": {"bfloat16": 989e12, "float32": 67e12}, "H200": {"bfloat16": 989e12, "float32": 67e12}}
"""Dense peak of devices as their maker states it [operations/s], fp32 without tensor cores."""
STATES: Final = 8


def measure(repeats: int, report: Report) -> list[Measurement]:
    """The rows, with the weights that ship."""
    checkpoint = read_checkpoint(weights_path(LEARNED_MODEL))
    guess = ThreeDVar(
        read_background_error(weights_path(LEARNED_BACKGROUND_ERROR))[0], tolerance=3e-3, dtype=torch.float32
    )
    rows = _analyses(checkpoint, guess, repeats, report)
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        presets: tuple[Preset, ...] = ("small", "base") if device == "cuda" else ("small",)
        for preset in presets:
            for precision in ("float32", "bfloat16") if device == "cuda" else ("float32",):
                rows += training(preset, device, precision, repeats, report)
    return rows


def analysis(
    checkpoint: Checkpoint, guess: ThreeDVar, device: str, *, count: int, members: int, evaluations: int
) -> float:
    """Seconds of one analysis of `count` observations."""
    method = LearnedAnalysis(checkpoint, guess, members=members, evaluations=evaluations, device=device)
    case = _departures(checkpoint.statistics, count)
    own = checkpoint.statistics
    mean = own.mean.double()[:, :, None].expand(-1, -1, own.grid.shape[1])
    background = State(mean, own.channels, own.grid, np.datetime64("2001-01-01T00", "ns"))
    return seconds(lambda: method.increment(background, case))


def _analyses(checkpoint: Checkpoint, guess: ThreeDVar, repeats: int, report: Report) -> list[Measurement]:
    rows = []

    def run(count: int, members: int, evaluations: int, device: str) -> float:
        return analysis(checkpoint, guess, device, count=count, members=members, evaluations=evaluations)

    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        run(100, 2, 2, device)
        report(f"learned analysis, members, {device}")
        for members in MEMBERS:
            times = tuple(run(1_000, members, 12, device) for _ in range(repeats))
            rows.append(Measurement(f"learned analysis, {device}, 1 000 observations, {members} members", "s", times))
        member = tuple((run(1_000, 32, 12, device) - run(1_000, 16, 12, device)) / 16 for _ in range(repeats))
        rows.append(Measurement(f"a member more, {device}, 12 evaluations", "s", member))
        evaluation = tuple((run(1_000, 16, 24, device) - run(1_000, 16, 12, device)) / 12 for _ in range(repeats))
        rows.append(Measurement(f"an evaluation more of 16 members, {device}", "s", evaluation))
        report(f"learned analysis, observations, {device}")
        for count in OBSERVATIONS:
            times = tuple(run(count, 16, 12, device) for _ in range(repeats))
            rows.append(Measurement(f"learned analysis, {device}, {count:,} observations, 16 members", "s", times))
    return rows


def _departures(statistics: Statistics, count: int) -> Departures:
    """Random departures of half a background error's size in every channel, anywhere."""
    random = np.random.default_rng(0)
    channels = statistics.channels
    index = random.integers(len(channels), size=count)
    error = 0.5 * statistics.sigma_b.double().mean(1).numpy()[index]
    places = {
        "variable": np.array([channels[i].variable for i in index], dtype=object),
        "pressure": np.array(
            [np.nan if channels[i].level is None else channels[i].level for i in index], dtype=np.float64
        ),
        "latitude": np.degrees(np.arcsin(random.uniform(-1, 1, count))),
        "longitude": random.uniform(0.0, 360.0, count),
    }
    return Departures(Operator.at(**places), error * random.standard_normal(count), error)


def training(
    preset: Preset,
    device: str,
    precision: str,
    repeats: int,
    report: Report,
    *,
    largest: int = 64,
    compiled: bool = False,
) -> list[Measurement]:
    """The steps of a preset's stages, with at most `largest` cases, and on CUDA the share of the peak."""
    config = read_config(preset)
    statistics = made_up_statistics(preset)
    rows = []
    for name in config.stages:
        report(f"training, {preset}, {name}, {device}, {precision}")
        size = min(config.stages[name].batch, largest)
        stage = made_up_stage(name, config, statistics, device)
        prepare_blocks(stage, recompute=config.recompute, compiled=compiled)
        batch = made_up_batch(statistics.to(device), size, stage, device)

        def step(stage: Stage = stage, batch: Batch = batch) -> None:
            with torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
                losses = stage(batch)
            losses["loss"].backward()
            stage.zero_grad(set_to_none=True)
            if device == "cuda":
                torch.cuda.synchronize()

        step()
        rates = tuple(size / seconds(step) for _ in range(repeats))
        how = f"{precision}, compiled" if compiled else precision
        what = f"training step of `{preset}`, {name}, batch {size}, {device}, {how}"
        rows.append(Measurement(what, "samples/s", rates, higher_is_better=True))
        if device == "cuda":
            rows += _share(what, stage, batch, size, rates, precision)
    return rows


def made_up_statistics(preset: Preset) -> Statistics:
    """Made-up statistics of the preset's channels and grid."""
    if preset == "base":
        single, levels, grid = ("msl", "t2m", "u10", "v10"), 13, LatLonGrid.equiangular(128, 256)
    else:
        single, levels, grid = ("msl",), 8, LatLonGrid.equiangular(32, 64)
    pressures = np.linspace(100e2, 925e2, levels)[::-1]
    on_levels = [Channel(v, float(p)) for v in ("u", "v", "t", "q", "z") for p in pressures]
    channels = (*on_levels, *(Channel(name) for name in single))
    shape = (len(channels), grid.shape[0])
    return Statistics(
        channels, grid, torch.ones(shape), torch.ones(shape) * 250.0, torch.ones(shape),
        torch.zeros(len(MAPPED), *grid.shape),
    )  # fmt: skip


def _share(
    what: str, stage: Stage, batch: Batch, size: int, rates: tuple[float, ...], precision: str
) -> list[Measurement]:
    """The share of the device's peak, from the operations that torch counts in one step."""
    from torch.utils.flop_counter import FlopCounterMode

    known = [peak for name, peak in PEAK.items() if name in torch.cuda.get_device_name()]
    if not known:
        return []
    with FlopCounterMode(display=False) as counter:
        stage(batch)["loss"].backward()
    shares = tuple(100.0 * counter.get_total_flops() * rate / size / known[0][precision] for rate in rates)
    return [Measurement(f"{what}: share of the peak", "%", shares, higher_is_better=True)]


def made_up_stage(name: StageName, config: TrainConfig, statistics: Statistics, device: str) -> Stage:
    model = PhyDA(len(statistics.channels), statistics.grid.shape, config.model)
    states = statistics.state(torch.randn(STATES, len(statistics.channels), *statistics.grid.shape))
    stage = STAGES[name](model, config, statistics, states.to(device))
    return stage if device == "cpu" else stage.to(device)


def made_up_batch(statistics: Statistics, size: int, stage: Stage, device: str) -> Batch:
    """Made-up cases: noise where it does not matter what is there."""
    fields = (size, len(statistics.channels), *statistics.grid.shape)
    noise = torch.randn(fields, device=device)
    seen = torch.rand(fields, device=device) < 0.02
    gridded = GriddedObservations(
        *(torch.where(seen, x, 0.0) for x in (noise, noise.abs(), torch.full_like(noise, 0.6)))
    )
    times = np.full(size, np.datetime64("2001-01-01T00", "h"))
    static = statistics.static(times, dtype=torch.float32, device=device)
    sigma = torch.ones(size, fields[1], fields[2], 1, device=device)
    drawn = tuple(torch.randn(size, *shape, device=device if shape else "cpu") for shape in stage.noise)
    return Batch(
        noise, 0.5 * noise, noise, static, gridded, torch.full((size,), 0.02, device=device), statistics.state(noise),
        sigma, Base(noise, sigma), 1.0, drawn,
    )  # fmt: skip


if __name__ == "__main__":
    for row in measure(2, lambda what: None):
        print(row.row())
