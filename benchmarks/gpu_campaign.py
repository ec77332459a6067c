"""A campaign on one GPU in ten minutes: measure, simulate, make cases, train, and leave what was found.

python benchmarks/gpu_campaign.py --out DIRECTORY [--store STORE.zarr --background-error B.safetensors]
                                  [--minutes 10] [--size miniature|short|full] [--device auto|cpu|cuda]

    measure    the default analysis, then training steps of each preset in fp32 and bf16, plain and compiled: samples/s
               and share of the device's peak                                            results/measures.jsonl
    simulate   a nature run and forecasts of it; jax takes its CUDA device where it has one    work/store.zarr
    cases      simulated networks and first guesses                                      work/training/cases
    train      the stages and the calibration                                            results/phyda.safetensors

Each stage is a process of its own with a share of the minutes; what is over time is stopped and has kept what it had:
given again, the campaign goes on there, and finished stages are not run again. A stage that fails is said in
results/campaign.json and the others go on, as far as they have what they need. Input is the checkout alone, or with it
a store; results never pass 60 MiB. `miniature` is the same in seconds on a processor.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from result import Measurement

ROOT: Final = Path(__file__).parents[1]
PHYDA: Final = (sys.executable, "-m", "phyda_cli", "--quiet")
SHARES: Final = {"measure": 0.3, "simulate": 0.25, "cases": 0.15, "train": 0.25}
"""Of the minutes; the rest is for starting and copying."""
GRACE: Final = 10.0
"""Seconds that a stage over time has to save what it has."""
LARGEST: Final = 60 * 2**20
"""Of the results [bytes]."""


@dataclass(frozen=True)
class Size:
    """simulation, training: presets. members, counts: of the analyses measured. presets: whose steps are measured."""

    simulation: str
    training: str
    members: int
    counts: tuple[int, ...]
    presets: tuple[str, ...]
    repeats: int


SIZES: Final = {
    "miniature": Size("tiny", "tiny", 2, (100,), ("tiny",), 1),
    "short": Size("tiny", "small", 16, (1_000, 10_000), ("small", "base"), 3),
    "full": Size("short", "small", 16, (1_000, 10_000, 100_000), ("small", "base"), 3),
}


class Campaign:
    """The stages of one directory. `state` is results/campaign.json: what was run, how it ended, in what time."""

    def __init__(self, directory: Path, minutes: float) -> None:
        self.work, self.results = directory / "work", directory / "results"
        for made in (self.work, self.results):
            made.mkdir(parents=True, exist_ok=True)
        self._path = self.results / "campaign.json"
        self._end = time.monotonic() + 60.0 * minutes
        self._minutes = minutes
        self.state: dict[str, Any] = json.loads(self._path.read_text()) if self._path.exists() else {}

    def note(self, stage: str, outcome: str, seconds: float) -> None:
        """Keep how a stage ended, and say it."""
        self.state[stage] = {"outcome": outcome, "seconds": round(seconds, 1)}
        self._path.write_text(json.dumps(self.state, indent=1), encoding="utf-8")
        print(f"{stage}: {outcome}, {seconds:.0f} s", flush=True)

    def done(self, stage: str) -> bool:
        """Whether a stage has ended well."""
        return bool(self.state.get(stage, {}).get("outcome") == "done")

    def run(self, stage: str, words: tuple[str, ...], needs: tuple[Path, ...] = ()) -> None:
        """Run a stage, unless it is done, within its share of the time; note how it ended."""
        if self.done(stage):
            return
        lacking = [path for path in needs if not path.exists()]
        if lacking:
            self.note(stage, f"left out: there is no {lacking[0].name}", 0.0)
            return
        budget = min(SHARES[stage] * 60.0 * self._minutes, self._end - time.monotonic())
        begun = time.monotonic()
        if budget <= GRACE:
            self.note(stage, "left out: no time is left", 0.0)
            return
        with (self.results / f"{stage}.log").open("w", encoding="utf-8") as log:
            child = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log, env=_environment())
            outcome = _ended(child, budget)
        self.note(stage, outcome, time.monotonic() - begun)

    def keep(self, path: Path) -> None:
        """Copy a file to the results, if they stay small enough."""
        held = sum(file.stat().st_size for file in self.results.iterdir() if file.name != path.name)
        if not path.exists():
            return
        if held + path.stat().st_size > LARGEST:
            self.note(f"keep {path.name}", f"left out: {path.stat().st_size / 2**20:.0f} MiB are too many", 0.0)
            return
        shutil.copy(path, self.results / path.name)


def _environment() -> dict[str, str]:
    """That of the children: the checkout's package, and a jax that leaves memory of the device to others."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def _ended(child: subprocess.Popen[bytes], budget: float) -> str:
    """Wait for a stage and say how it ended."""
    try:
        code = child.wait(budget)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        return "stopped: its time was over"
    return "done" if code == 0 else f"failed with exit code {code}; see its log"


def campaign(options: argparse.Namespace) -> int:
    """Run all stages; 0 when each is done."""
    size, own = SIZES[options.size], Campaign(options.out, options.minutes)
    store = options.store or own.work / "store.zarr"
    error = options.background_error or own.work / "b.safetensors"
    training = own.work / "training"
    own.run("measure", (sys.executable, __file__, "--measure", str(own.results / "measures.jsonl"), *_given(options)))
    if options.store is None:
        own.run("simulate", (*PHYDA, "prepare", "--simulate", "--preset", size.simulation, "--pieces",
                             str(own.work / "pieces"), "--out", str(store), "--background-error", str(error),
                             "--overwrite"))  # fmt: skip
    workers = str(max((os.cpu_count() or 1) - 1, 1))
    words = (*PHYDA, "train", "--store", str(store), "--background-error", str(error), "--preset", size.training,
             "--out", str(training), "--device", options.device, "--workers", workers)  # fmt: skip
    own.run("cases", (*words, "--stages", "cases"), needs=(store, error))
    own.run("train", words, needs=(store, error))
    for name in ("metrics.jsonl", "phyda.safetensors"):
        own.keep(training / name)
    wanted = [stage for stage in SHARES if stage != "simulate" or options.store is None]
    return 0 if all(own.done(stage) for stage in wanted) else 1


def _given(options: argparse.Namespace) -> tuple[str, ...]:
    return ("--size", options.size, "--device", options.device)


def measurements(size: Size, device: str) -> Iterator[tuple[str, Callable[[], list[Measurement]]]]:
    """Yield what is measured, the most wanted first, each with its work."""
    import learned
    import torch

    from phyda_cli.formats.gridded.background_error import read_background_error
    from phyda_cli.methods.phyda import EVALUATIONS, TOLERANCE
    from phyda_cli.methods.threedvar import ThreeDVar
    from phyda_cli.networks.checkpoint import read_checkpoint
    from phyda_cli.resources import LEARNED_BACKGROUND_ERROR, LEARNED_MODEL, weights_path

    def say(what: str) -> None:
        print(what, flush=True)

    def analyses(count: int) -> list[Measurement]:
        checkpoint = read_checkpoint(weights_path(LEARNED_MODEL))
        error = read_background_error(weights_path(LEARNED_BACKGROUND_ERROR))[0]
        guess = ThreeDVar(error, tolerance=TOLERANCE, dtype=torch.float32)
        times = [
            learned.analysis(checkpoint, guess, device, count=count, members=size.members, evaluations=EVALUATIONS)
            for _ in range(size.repeats + 1)
        ]
        what = f"learned analysis, {device}, {count:,} observations, {size.members} members"
        return [Measurement(what, "s", tuple(times[1:]))]

    for count in size.counts:
        yield f"analysis {count}", lambda count=count: analyses(count)  # type: ignore[misc]
    kinds = [("float32", False), ("bfloat16", False), *([("bfloat16", True)] if device == "cuda" else [])]
    for preset in size.presets:
        for precision, compiled in kinds:
            yield (
                f"training {preset} {precision} {compiled}",
                lambda preset=preset, precision=precision, compiled=compiled: learned.training(  # type: ignore[misc]
                    preset, device, precision, size.repeats, say, largest=16, compiled=compiled
                ),
            )


def measure(path: Path, size: Size, device: str) -> int:
    """Add to a file what it lacks of the measurements, one JSON line each; one that fails is a line with its error."""
    import torch

    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    known = {record["key"] for record in map(json.loads, lines) if "error" not in record}
    name = torch.cuda.get_device_name() if device == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    failed = False
    for key, work in measurements(size, device):
        if key in known:
            continue
        try:
            found = [asdict(row) for row in work()]
        except Exception as error:  # out of memory, no compiler, …: the others go on
            found, failed = [{"error": f"{type(error).__name__}: {error}".splitlines()[0]}], True
        with path.open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps({'key': key, 'device': name, **row})}\n" for row in found)
    return int(failed)


def main() -> int:
    """Parse, and run the campaign or, as its child, the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where work and results lie")
    parser.add_argument("--store", type=Path, help="a training store, in place of a simulation")
    parser.add_argument("--background-error", type=Path, help="its background-error statistics")
    parser.add_argument("--minutes", type=float, default=9.5)
    parser.add_argument("--size", choices=sorted(SIZES), default="short")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        from phyda_cli.library.method import choose_device

        return measure(options.measure, SIZES[options.size], choose_device(options.device))
    for name in ("out", "store", "background_error"):
        given = getattr(options, name)
        setattr(options, name, given and given.resolve())
    if options.out is None or (options.store is None) != (options.background_error is None):
        parser.error("give --out, and --store and --background-error together or neither")
    return campaign(options)


if __name__ == "__main__":
    sys.exit(main())
