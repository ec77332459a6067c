"""`phyda train`: the learned model, from a training store."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast

import typer

from phyda_cli.console import console
from phyda_cli.errors import BadDataError, CannotWriteError, UsageError

if TYPE_CHECKING:
    import torch

    from phyda_cli.training.config import StageName, TrainConfig
    from phyda_cli.training.loop import Data
    from phyda_cli.training.made_cases import CaseSource
    from phyda_cli.training.processes import Processes

CASES: Final = "cases"
"""The stage that makes the training cases."""

_log = logging.getLogger(__name__)


def train(
    store: Annotated[Path, typer.Option(metavar="DIRECTORY", help="The training store that phyda prepare has made.")],
    output: Annotated[
        Path,
        typer.Option(
            "--out", "--output", "-o", metavar="DIRECTORY", help="Weights, state, metrics; a run goes on here."
        ),
    ],
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings, TOML; see docs/train.md.")] = None,
    preset: Annotated[
        Literal["tiny", "small", "base"] | None,
        typer.Option(help="Settings that ship with phyda. [default: small]"),
    ] = None,
    background_error: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Background-error statistics. [default: those shipped]")
    ] = None,
    stages: Annotated[
        str | None, typer.Option(metavar="NAME,…", help="Run only these of cases and the settings' stages.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option("--from", metavar="WEIGHTS", help="Weights of the same shape to start from.")
    ] = None,
    cases: Annotated[
        Path | None, typer.Option(metavar="DIRECTORY", help="Training cases, to share. [default: OUT/cases]")
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="Processes that make or, on CUDA, read cases.")] = 1,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Processor threads. [default: as torch chooses]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Seed of networks and batches; wins over the settings'.")
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write metrics for TensorBoard (needs phyda[tensorboard]).")
    ] = False,
) -> None:
    """Train the learned model: make the cases that are missing, run the stages, go on where a stopped run was.

    Several processes share a training under torchrun. Prints the path of the finished weights.
    """
    import torch

    from phyda_cli.library.method import choose_device
    from phyda_cli.training.config import read_config
    from phyda_cli.training.processes import process_group

    if os.environ.get("RANK", "0") != "0":  # one of several processes: the first speaks for all
        console.quiet = True
        console.start()
    if config is not None and preset is not None:
        raise UsageError("give either --config or --preset")
    settings = read_config(config if config is not None else preset or "small")
    if seed is not None:
        settings = settings.model_copy(update={"seed": seed})
    wanted = _wanted(stages, settings)
    if threads is not None:
        torch.set_num_threads(threads)
    options = {
        "store": store, "config": config, "preset": preset, "background_error": background_error, "stages": stages,
        "from": start, "cases": cases, "seed": seed,
    }  # fmt: skip
    with process_group(choose_device(device)) as group, _alone(output, group):
        place = cases or output / "cases"
        prepared = _Prepared(store, background_error, start, settings)
        with _Display(output, group, tensorboard=tensorboard) as display:
            if group.rank == 0:
                prepared.make_cases(place, workers, display)
            group.wait()
            path = place
            if wanted != [CASES]:
                names = cast("list[StageName]", [name for name in wanted if name != CASES])
                path = prepared.run(output, place, names, group, options, display, workers)
        if group.rank == 0:
            console.result(str(path), {"status": "ok", "output": path, **_summary(output, wanted[-1])})


def _wanted(stages: str | None, settings: TrainConfig) -> list[str]:
    """Return the stages to run, checked. Raises UsageError for one that is not in the settings."""
    known = [CASES, *settings.stages]
    if stages is None:
        return known
    wanted = [name.strip() for name in stages.split(",")]
    for name in wanted:
        if name not in known:
            raise UsageError(f"--stages {name}: no such stage in these settings; there are {', '.join(known)}")
    return wanted


@contextlib.contextmanager
def _alone(output: Path, group: Processes) -> Iterator[None]:
    """Make the directory and hold it for this training."""
    from phyda_cli.outputs import output_lock

    if group.rank:
        yield
        return
    try:
        output.mkdir(exist_ok=True)
    except FileNotFoundError as error:
        raise CannotWriteError(f"{output}: the directory {output.parent} does not exist; create it first") from error
    except OSError as error:
        raise CannotWriteError(f"{output}: {error.strerror}; name a directory") from error
    with output_lock(output / "state.safetensors"):
        yield


class _Prepared:
    """The inputs of a training, opened and checked."""

    def __init__(self, store: Path, background_error: Path | None, start: Path | None, settings: TrainConfig) -> None:
        from phyda_cli.formats.gridded.background_error import read_background_error
        from phyda_cli.resources import LEARNED_BACKGROUND_ERROR, sha256, weights_path
        from phyda_cli.training.cases import analysed_store
        from phyda_cli.training.made_cases import check_material

        self.settings, self.start = settings, start
        self.store = analysed_store(store)
        self.error = background_error or weights_path(LEARNED_BACKGROUND_ERROR)
        check_material(self.store, read_background_error(self.error)[0], self.error)
        named = {"background_error": self.error} | ({} if start is None else {"from": start})
        self.digests = {name: sha256(path) for name, path in named.items()}

    def make_cases(self, directory: Path, workers: int, display: _Display) -> None:
        """Make the cases that are missing."""
        from phyda_cli.training.case_files import ensure_cases

        counts = self.settings.cases
        identity = {
            "store": self.store.attributes["digest"],
            "background_error": self.digests["background_error"],
            "seed": counts.seed,
            "operational": counts.operational,
            **({"sounder": counts.sounder} if counts.sounder else {}),
            **({"occultations": counts.occultations} if counts.occultations else {}),
        }
        ensure_cases(directory, self._source(), counts, identity, workers=workers, progress=display.show)

    def _source(self) -> CaseSource:
        from phyda_cli.training.made_cases import CaseSource

        counts = self.settings.cases
        of_space = counts.sounder, counts.occultations
        return CaseSource(self.store.path, self.error, "train", counts.seed, counts.operational, *of_space)

    def run(
        self, output: Path, cases: Path, names: list[StageName], group: Processes, options: dict[str, Any],
        display: _Display, workers: int,
    ) -> Path:  # fmt: skip
        """Run the stages; the file of the last."""
        from phyda_cli.training.loop import Workplace
        from phyda_cli.training.run import origin
        from phyda_cli.training.run import train as run_stages

        for name in names:
            if self.settings.stages[name].batch % group.world:
                size = self.settings.stages[name].batch
                raise BadDataError(f"{name}: a batch of {size} cannot be shared by {group.world} processes")
        about = origin(self.store, self.settings, group.device, command=options, digests=self.digests)
        return run_stages(
            self.settings, self._data(cases),
            Workplace(output, group.device, group.rank, group.world, self._drawers(workers, group.device)),
            about=about, start=self.start, progress=display.show, stages=names,
        )  # fmt: skip

    def _drawers(self, workers: int, device: torch.device) -> int:
        """Return how many processes draw the steps: on the processor reading is not worth one, making is."""
        return workers if device.type == "cuda" or (self.settings.cases.fresh and workers > 1) else 0

    def _data(self, cases: Path) -> Data:
        from phyda_cli.training.case_files import open_cases
        from phyda_cli.training.cases import statistics_of
        from phyda_cli.training.loop import Data
        from phyda_cli.training.made_cases import FreshCases

        counts = self.settings.cases
        return Data(
            FreshCases(self._source(), self.store.pair_index("train").size)
            if counts.fresh
            else open_cases(cases / "train", count=counts.train),
            open_cases(cases / "validation", count=counts.validation),
            statistics_of(self.store),
        )


class _Display(contextlib.ExitStack):
    """Progress and validation scores on stderr, a new bar for each stage; and TensorBoard's file where it is wanted."""

    def __init__(self, output: Path, group: Processes, *, tensorboard: bool) -> None:
        super().__init__()
        self._metrics, self._shown = output / "metrics.jsonl", group.rank == 0
        self._stage, self._base, self._read = "", 0, 0
        self._update: Any = None
        self._board: Any = None
        if tensorboard and self._shown:
            from phyda_cli.training.progress import Board

            self._board = Board(output / "tensorboard")

    def show(self, stage: str, done: int, total: int) -> None:
        """Say how many of how many are done in a stage; the first call says how many were done before."""
        if not self._shown:
            return
        if stage != self._stage:
            self.close()
            self._stage, self._base = stage, done
            resumed = f", going on from {done}" if done else ""
            self._update = self.enter_context(console.progress(f"{stage}{resumed}", total - done))
        if done > self._base:
            self._update(done - self._base)
            self._follow(stage, done, total)

    def _follow(self, stage: str, done: int, total: int) -> None:
        """Tell what is new in the metrics."""
        from phyda_cli.training.loop import LOG_EVERY
        from phyda_cli.training.progress import read_metrics

        if done % LOG_EVERY and done != total:
            return
        records = read_metrics(self._metrics)
        fresh, self._read = records[self._read :], len(records)
        for record in fresh:
            if record["part"] == "validation" and record["stage"] == stage and record["step"] > self._base:
                _log.info("%s, step %d: validation loss %.4f", stage, record["step"], record["loss"])
        if self._board is not None:
            self._board.add(fresh)


def _summary(output: Path, stage: str) -> dict[str, Any]:
    """Of the run, for the document: its last stage, hours and scores."""
    from phyda_cli.training.progress import read_metrics
    from phyda_cli.training.run import outcome

    return {"stage": stage} | ({} if stage == CASES else outcome(read_metrics(output / "metrics.jsonl")))
