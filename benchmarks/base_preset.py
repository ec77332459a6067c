"""What the preset `base` needs of GPUs: operations, memory, data and communication of a step, counted on a processor.

    operations   counted by torch for one case, forward and backward, and with what is recomputed
    memory       20 bytes a trained parameter (value, average, gradient, two moments), 8 a frozen one, and what a step
                 keeps between its passes: every tensor that the backward pass needs, counted once
    data         what a worker reads, pins and copies of one case; `--read` measures how fast one reads from memory
    volume       what DDP sends and receives of gradients in a step: 2 (P − 1)/P × 4 bytes a trained parameter

The shapes are those of the full preset on tensors without content, so that nothing is computed. `--check` computes a
step of an eighth of the width and compares both counts with those of tensors without content. The physics of the score
stage is not counted. Hours, shares of waiting and scaling follow from rates that are named on the command line.

python benchmarks/base_preset.py [--batch 8] [--share 0.4] [--rate 3e9] [--link 150e9] [--check] [--read]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Final

import learned
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from phyda_cli.training.blocks import prepare_blocks
from phyda_cli.training.config import StageName, TrainConfig, read_config

PEAK: Final = learned.PEAK["H100"]["bfloat16"]
OBSERVED: Final = 20_000
"""Observed points of a case; 14 bytes each on disk."""


@dataclass(frozen=True)
class Step:
    """Of one stage: operations, also with recomputing, and kept bytes of `batch` cases; numbers of parameters."""

    batch: int
    operations: float
    recomputed: float
    kept: float
    trained: int
    frozen: int


def step(name: StageName, config: TrainConfig, batch: int, *, recompute: bool, fake: bool = True) -> Step:
    """Count one step in bfloat16; bytes as `recompute` says."""
    statistics = learned.made_up_statistics("base")
    counts: list[float] = []
    for again in (False, recompute):
        with FakeTensorMode(allow_non_fake_inputs=True) if fake else torch.enable_grad():
            stage = learned.made_up_stage(name, config, statistics, "cpu")
            prepare_blocks(stage, recompute=again, compiled=False)
            given = learned.made_up_batch(statistics, batch, stage, "cpu")
            held = {id(p.untyped_storage()) for p in stage.parameters()}
            kept: dict[int, int] = {}

            def keep(x: torch.Tensor, held: set[int] = held, kept: dict[int, int] = kept) -> torch.Tensor:
                storage = x.untyped_storage()
                if id(storage) not in held:
                    kept[storage._cdata] = storage.nbytes()
                return x

            with FlopCounterMode(display=False) as counter:
                with (
                    torch.autocast("cpu", dtype=torch.bfloat16),
                    torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x),
                ):
                    loss = stage(given)["loss"]
                held_bytes = float(sum(kept.values()))
                loss.backward()
            counts += [float(counter.get_total_flops()), held_bytes]
            sizes = [(p.numel(), p.requires_grad) for p in stage.parameters()]
    trained = sum(size for size, flag in sizes if flag)
    return Step(batch, counts[0], counts[2], counts[3], trained, sum(size for size, flag in sizes if not flag))


def check(config: TrainConfig) -> None:
    """Print both counts of a narrow model, on tensors without content and on real ones."""
    model = config.model
    narrow = {"encoder_widths": tuple(width // 8 for width in model.encoder_widths), "heads": 4}
    small = config.model_copy(update={"model": model.model_copy(update=narrow)})
    for recompute in (False, True):
        counted, computed = (step("encoder", small, 2, recompute=recompute, fake=fake) for fake in (True, False))
        print(
            f"an eighth of the width, recompute {recompute}, counted / computed: operations "
            f"{counted.operations / 1e9:.2f} / {computed.operations / 1e9:.2f} G, "
            f"kept {counted.kept / 2**20:.1f} / {computed.kept / 2**20:.1f} MiB"
        )


def read_rate() -> float:
    """Bytes of cases that a worker draws in a second of its processor's time, from files in memory."""
    import tempfile
    import time
    from dataclasses import fields
    from pathlib import Path

    from safetensors.torch import save_file

    from phyda_cli.training.batches import draw
    from phyda_cli.training.case_files import open_cases, shard_path
    from phyda_cli.training.case_rows import Cases

    statistics, count = learned.made_up_statistics("base"), 16
    field = torch.zeros(count, len(statistics.channels), *statistics.grid.shape).half()
    single, point = torch.ones(count), torch.ones(count * OBSERVED).half()
    place = torch.arange(OBSERVED, dtype=torch.int32).repeat(count)
    made = Cases(
        field, field, field, single, single, single.long(), torch.arange(count + 1) * OBSERVED, place, *[point] * 3
    )
    with tempfile.TemporaryDirectory() as name:
        save_file({f.name: getattr(made, f.name).clone() for f in fields(Cases)}, shard_path(Path(name), 0))
        held = open_cases(Path(name))
        spent = []
        for number in range(4):
            begun = time.process_time()
            draw(held, statistics, size=8, step=number, steps=4, seed=0)
            spent.append(time.process_time() - begun)
    return 8 * (3 * 2 * field[0].numel() + 14 * OBSERVED) / min(spent)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8, help="cases of a step on one GPU")
    parser.add_argument("--share", type=float, default=0.4, help="of the peak that a step keeps")
    parser.add_argument("--rate", type=float, default=3e9, help="bytes/s that the workers of one GPU deliver")
    parser.add_argument("--link", type=float, default=150e9, help="bytes/s of one GPU's link in an all-reduce")
    parser.add_argument("--check", action="store_true", help="compare with a step that is computed")
    parser.add_argument("--read", action="store_true", help="measure how fast cases are read")
    options = parser.parse_args()
    base = read_config("base")
    config = base.model_copy(update={"prdo": base.prdo.model_copy(update={"weight": 0.0})})
    if options.check:
        check(config)
    if options.read:
        print(f"reading: {read_rate() / 1e9:.2f} GB a second of processor time")
    statistics = learned.made_up_statistics("base")
    case = 3 * 2 * len(statistics.channels) * statistics.grid.shape[0] * statistics.grid.shape[1] + 14 * OBSERVED
    print(f"a case: {case / 1e6:.1f} MB, read in {1e3 * case / options.rate:.1f} ms")
    for name, settings in config.stages.items():
        found = step(name, config, options.batch, recompute=config.recompute)
        whole = step(name, config, options.batch, recompute=False).kept
        fixed = 20.0 * found.trained + 8.0 * found.frozen
        seconds = found.recomputed / (options.share * PEAK)
        reading = options.batch * case / options.rate
        sent = {world: 2 * (world - 1) / world * 4.0 * found.trained for world in (2, 8)}
        hours = found.recomputed / found.batch * settings.batch * settings.steps / (options.share * PEAK) / 3600
        print(
            f"{name}: {found.trained / 1e6:.1f} M trained and {found.frozen / 1e6:.1f} M frozen parameters, "
            f"{found.operations / found.batch / 1e12:.2f} T operations a case "
            f"({found.recomputed / found.batch / 1e12:.2f} with recomputing), kept {found.kept / 2**30:.1f} GiB "
            f"({whole / 2**30:.1f} without recomputing), fixed {fixed / 2**30:.1f} GiB; "
            f"step {1e3 * seconds:.0f} ms, reading {1e3 * reading:.0f} ms, "
            f"waiting {100 * max(0.0, 1 - seconds / max(seconds, reading)):.0f} %; "
            f"8 GPUs: {sent[8] / 1e9:.2f} GB a step, {1e3 * sent[8] / options.link:.0f} ms; {hours:.1f} GPU hours"
        )


if __name__ == "__main__":
    main()
