"""Measure phyda and write the table: python benchmarks/run.py [--out docs/performance.md] [--simulate]."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import cold
from result import HEADER, Measurement, commit


def main() -> None:
    """Run the benchmarks, whole processes first: a child's peak memory counts from its parent's size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table here, not to stdout")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="background-error statistics (those shipped)")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="runs of each measurement (5)")
    parser.add_argument("--simulate", action="store_true", help="the circulation model too: minutes, phyda[simulate]")
    options = parser.parse_args()

    def report(what: str) -> None:
        print(f"measuring {what}", file=sys.stderr, flush=True)

    before = os.getloadavg()
    rows = cold.measure(options.repeats, options.weights, report)
    import learned
    import observations
    import threedvar
    import training_memory

    rows += observations.measure(options.repeats, report)
    rows += threedvar.measure(options.repeats, options.weights, report)
    rows += learned.measure(options.repeats, report)
    rows += training_memory.measure(options.repeats, report)
    if options.simulate:
        import simulation

        rows += simulation.measure(options.repeats, report)
    text = document(rows, options.repeats, before)
    if options.out is None:
        print(text, end="")
    else:
        options.out.write_text(text, encoding="utf-8")


def document(rows: list[Measurement], repeats: int, load: tuple[float, float, float]) -> str:
    """The page: the machine, how it was measured, the table."""
    import torch

    from phyda_cli import __version__

    machine = (
        f"{_processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, torch {torch.__version__} with "
        f"{torch.get_num_threads()} threads; phyda {__version__}"
    )
    loads = " and ".join(f"{value:.1f}" for value in (load[0], os.getloadavg()[0]))
    dask = "there: xarray imports it and" if find_spec("dask") else "not there, as in a plain installation: with it"
    table = "\n".join([HEADER, *(row.row() for row in rows)])
    return f"""# Performance

Made by `python benchmarks/run.py --out docs/performance.md` on {datetime.now(UTC):%Y-%m-%d}.
Frozen at commit `{commit()}`.

- Machine: {machine}.
- Load average over the last minute, at the start and at the end: {loads}. On an idle machine it starts near 0; a higher
  one means that other work shared the processors, and that the times are longer than they need be.
- Each figure comes from {repeats} runs. A target is met when the best run meets it.
- "Whole process" is a new process for each run, from its start to its end, with the files in the system's cache.
- dask, which `phyda[simulate]` brings, is {dask} an analysis takes some 1.5 s longer.
- `phyda --help` was checked to import neither torch nor xarray.

{table}
"""


def _processor() -> str:
    """The processor's name, as Linux says it."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text(encoding="utf-8").splitlines() if table.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
