"""Memory of the training cases: what reading batches adds to a process, from made-up shards of the preset's size.

python benchmarks/training_memory.py [CASES]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import fields
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
import torch
from result import Measurement, Report
from safetensors.torch import save_file

from phyda_cli.training.case_files import SHARD, open_cases, shard_path
from phyda_cli.training.case_rows import Cases

SHAPE: Final = (41, 32, 64)
"""Channels, rows and columns of the preset `small`."""
OBSERVED: Final = 2_000
"""Observed points of a case."""
STEPS, BATCH = 20, 32


def make_shards(directory: Path, cases: int) -> None:
    """Write shards of noise; what is in them does not matter."""
    generator = torch.Generator().manual_seed(0)
    for number in range(cases // SHARD):
        field = torch.randn(SHARD, *SHAPE, generator=generator).half()
        single = torch.ones(SHARD)
        point = torch.ones(SHARD * OBSERVED).half()
        place = torch.arange(OBSERVED, dtype=torch.int32).repeat(SHARD)
        offset = torch.arange(SHARD + 1) * OBSERVED
        made = Cases(field, field, field, single, single, single.long(), offset, place, point, point, point)
        save_file({f.name: getattr(made, f.name).clone() for f in fields(Cases)}, shard_path(directory, number))


def resident(key: str) -> float:
    """A line of this process's memory, `VmRSS` or `VmHWM` (the peak) [MB]."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 1024


def measure(repeats: int, report: Report) -> list[Measurement]:
    """The peak in new processes, for few and for many cases."""
    rows = []
    for count in (256, 1024):
        report(f"memory of {count} training cases")
        words = [sys.executable, __file__, str(count)]
        said = [subprocess.run(words, capture_output=True, text=True, check=True).stdout for _ in range(repeats)]
        size, peaks = said[0].split(", ")[1].split(" on")[0], [float(s.split("peak +")[1].split()[0]) for s in said]
        rows.append(Measurement(f"{count} training cases ({size} on disk), batches of 32: memory", "MiB", tuple(peaks)))
    return rows


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    with tempfile.TemporaryDirectory() as name:
        maker = get_context("spawn").Process(target=make_shards, args=(Path(name), count))
        maker.start()
        maker.join()
        size = sum(path.stat().st_size for path in Path(name).iterdir()) / 2**20
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak counts from here
        before = resident("VmRSS")
        held = open_cases(Path(name))
        for step in range(STEPS):
            order = np.random.default_rng(step).permutation(len(held))[:BATCH].tolist()
            held.rows(order).observations()
        grown, peak = resident("VmRSS") - before, resident("VmHWM") - before
        print(f"{count} cases, {size:.0f} MiB on disk: resident +{grown:.0f} MiB, peak +{peak:.0f} MiB")
