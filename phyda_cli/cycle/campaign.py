"""Cycles on a nature run whose forecasts are the errors of a training store: errors of the day, not drawn ones.

Each part of the nature run (training, validation, test) is cut into streams, each a cycle of its own (`cycle/run.py`:
3D-Var or the learned analysis every 6 h, the increment into the model's state), with networks that persist for a
segment (`simulation/networks.py`). Its first state is the nature run's own, perturbed as the simulation perturbs its
forecasts. Every 6 h background is kept. Forecasts go on from it where they are valid at a multiple of `every_hours`, so
that several leads are there for one time:

    DIRECTORY/simulation.json              as the simulation's, so that `chunks.read_forecasts` reads what is here
              cycles.json                  what this directory is bound to, and from where on which round took over
              forecasts-STREAM-CYCLE.npz   the kept forecasts from the analysis of one cycle
              stream-STREAM/               its cycle

The streams take turns, a segment each, so that an unfinished run covers the year. A run that ends anywhere goes on, and
its results depend on the settings and the seed alone. With other learned weights it goes on in
another round (`rounds.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from phyda_cli.cycle.config import CycleConfig, JcmSettings, asked_in
from phyda_cli.cycle.observations import drawn, hours_of
from phyda_cli.cycle.rounds import begin_round
from phyda_cli.cycle.run import Centre, Record, read_records, run_cycles
from phyda_cli.cycle.truth import SimulationTruth
from phyda_cli.errors import BadDataError
from phyda_cli.forecast.base import Step
from phyda_cli.forecast.jcm import JcmForecast
from phyda_cli.formats.gridded.layout import Background
from phyda_cli.library.method import make_method
from phyda_cli.methods.base import Method
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.table import Observations
from phyda_cli.outputs import output_lock
from phyda_cli.preparation.from_simulation import simulation_splits
from phyda_cli.preparation.split import PARTS
from phyda_cli.resources import BACKGROUND_ERROR, LEARNED_BACKGROUND_ERROR, sha256, shipped_weights
from phyda_cli.settings.assimilate import Run
from phyda_cli.simulation import chunks
from phyda_cli.simulation.config import HOURS_PER_DAY, CyclesConfig, SimulationConfig
from phyda_cli.simulation.forecasts import Starts
from phyda_cli.simulation.model import EPOCH, hour_of
from phyda_cli.simulation.networks import Network

_BOUND: Final = "cycles.json"
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Stream:
    """One cycle. number: among all. start: number of the state it begins with. first, cycles: its times [h], how many.

    spin_up: cycles at its beginning of which nothing is kept.
    """

    number: int
    part: str
    start: int
    first: int
    cycles: int
    spin_up: int


def streams(simulation: Path) -> Iterator[Stream]:
    """Yield the cycles of all parts. Raises BadDataError where the nature run is too short for one."""
    config = chunks.read_config(simulation)
    splits, own, number = simulation_splits(simulation), config.cycles, 0
    interval, begin = config.start_interval_hours, hour_of(config.start)
    window = HOURS_PER_DAY * config.perturbation_window_days // interval
    for part, count in zip(PARTS, own.streams, strict=True):
        low, high = splits.interval(part)
        low = max(low, begin + (1 + window) * interval)
        for edge, end in _shares(low, high, count):
            start = -(-(edge - begin) // interval) - 1
            first = begin + (start + 1) * interval + own.hours
            cycles = (end - first - 1) // own.hours + 1
            spin_up = min(HOURS_PER_DAY * own.spin_up_days // own.hours, cycles)
            if cycles < 1:
                raise BadDataError(f"{simulation}: the {part} part is too short for {count} cycles; simulate more days")
            yield Stream(number, part, start, first, cycles, spin_up)
            number += 1


def _shares(low: int, high: int, count: int) -> Iterator[tuple[int, int]]:
    edges = np.linspace(low, high, count + 1).astype(int).tolist()
    yield from pairwise(edges)


@dataclass(frozen=True)
class CycledForecast:
    """The forecast model in a stream, whose forecasts are kept in a directory as far as they belong into the store."""

    model: JcmForecast
    stream: Stream
    kept: Path
    own: ClassVar[bool] = True

    def first(self, target: Path, time: np.datetime64) -> None:
        """A forecast of one cycle's length from a perturbed state of the nature run."""
        config = self.model.config
        starts = Starts(config, self.model.directory)
        self.model.begin(
            starts.perturbed(self.stream.start, hours_of(time) - config.cycles.hours, config), target, time
        )

    def run(self, step: Step) -> None:
        """A forecast to the next cycle, and from there to the leads that are kept."""
        fields, begin, config = self.model.advance(step), hours_of(step.begin), self.model.config
        settings = config.cycles
        shortest, every = settings.hours, settings.every_hours
        leads = [lead for lead in settings.leads_hours if lead == shortest or (begin + lead) % every == 0]
        number = (begin - self.stream.first) // settings.hours
        if not leads or number < self.stream.spin_up:
            return
        rows = [fields] if leads[0] == settings.hours else []
        later = [lead - settings.hours for lead in leads if lead > settings.hours]
        if later:
            rows.append(self.model.further(step.target, step.end, later))
        lead_hours = np.array(leads, dtype=np.int64)
        times = {
            "init_time": np.full_like(lead_hours, begin),
            "lead_hours": lead_hours,
            "valid_time": begin + lead_hours,
        }
        joined = {name: np.concatenate([row[name] for row in rows]) for name in config.fields}
        chunks.save(chunks.forecasts_file(self.kept, self.stream.number, number), {**times, **joined})


@dataclass(frozen=True)
class NetworkSource:
    """The observations of a stream."""

    settings: CyclesConfig
    stream: Stream
    truth: SimulationTruth

    def __call__(self, time: np.datetime64) -> tuple[Observations, tuple[Path, ...]]:
        """Return the rows of a cycle; no files."""
        hours = hours_of(time)
        segment = (hours - self.stream.first) // (HOURS_PER_DAY * self.settings.segment_days)
        network = self._network(segment)
        seen = network(hours)
        error = network.errors * default_error_table().sigma(seen.variable, seen.pressure, seen.report)
        random = np.random.default_rng([self.settings.seed, self.stream.number, segment, 2, hours])
        return drawn(self.truth(time), time, seen, error, random), ()

    def _network(self, segment: int) -> Network:
        return Network.draw(self.settings.networks, (self.settings.seed, self.stream.number, segment))


def run_campaign(
    simulation: Path, directory: Path, *, weights: Path | None, progress: Progress, learned: Path | None = None
) -> None:
    """Run what is missing of all cycles on the nature run of a simulation.

    weights: background-error statistics of 3D-Var; if None those shipped, for the learned analysis or without it.
    learned: weights of the learned analysis upon it, for another round of training on what its own analyses lead to.
    Raises ConfigError where the directory holds cycles of other settings.
    """
    config, planned = chunks.read_config(simulation), list(streams(simulation))
    settings = config.cycles
    chunks.bind(directory, config)
    with output_lock(directory / _BOUND):
        if _begins(directory, config, planned, weights, learned):
            progress("cycles: from here on " + ("3D-Var" if learned is None else f"the learned analysis of {learned}"))
        common = _Common.of(simulation, directory, settings, weights, learned)
        per_turn = HOURS_PER_DAY * settings.segment_days // settings.hours
        for turn in range(-(-max(stream.cycles for stream in planned) // per_turn)):
            for stream in planned:
                wanted = min((turn + 1) * per_turn, stream.cycles)
                made: list[Record] = []
                run_cycles(common.centre(stream, wanted), made.append)
                if made:
                    progress(f"cycles: {stream.part}, stream {stream.number}: {wanted} of {stream.cycles} cycles")


@dataclass(frozen=True)
class _Common:
    """What the streams share: the model, the truth, the settings of the analyses and, once made, the method."""

    settings: CyclesConfig
    directory: Path
    model: JcmForecast
    truth: SimulationTruth
    asked: Run
    made: list[Method] = field(default_factory=list)

    @classmethod
    def of(
        cls, simulation: Path, directory: Path, settings: CyclesConfig, weights: Path | None, learned: Path | None
    ) -> _Common:
        method: dict[str, Any] = {"method": "3dvar", "weights": weights}
        if learned is not None:
            method = {"method": "phyda", "weights": learned, "background_error": weights}
        asked = asked_in(directory, {"members": 0, **method})
        model = JcmForecast(simulation, hours=settings.hours, start_days_before=0)
        return cls(settings, directory, model, SimulationTruth(simulation), asked)

    def centre(self, stream: Stream, cycles: int) -> Centre:
        """Return the cycle of a stream, up to so many cycles."""
        config = CycleConfig(
            directory=stream_directory(self.directory, stream),
            start=(EPOCH + timedelta(hours=stream.first)).replace(tzinfo=None),
            cycles=cycles,
            hours=self.settings.hours,
            forecast=JcmSettings(kind="jcm", simulation=self.model.directory),
            spin_up=stream.spin_up,
        )
        forecast = CycledForecast(self.model, stream, self.directory)
        observe = NetworkSource(self.settings, stream, self.truth)
        return Centre(config, self.asked, self._method, forecast, observe, self.truth)

    def _method(self, asked: Run, background: Background) -> Method:
        if not self.made:
            self.made.append(make_method(asked, background)[0])
        return self.made[0]


def _begins(
    directory: Path, config: SimulationConfig, planned: list[Stream], weights: Path | None, learned: Path | None
) -> bool:
    """Tie the directory to what decides the results; whether a round begins. Raises ConfigError as `begin_round`."""
    shipped = BACKGROUND_ERROR if learned is None else LEARNED_BACKGROUND_ERROR
    statistics = weights or shipped_weights(shipped, remedy="give --weights FILE")
    return begin_round(
        directory / _BOUND,
        {"cycles": config.cycles.model_dump(mode="json"), "streams": [asdict(stream) for stream in planned]},
        statistics=sha256(statistics),
        learned=None if learned is None else sha256(learned),
        done=[len(read_records(stream_directory(directory, stream))) for stream in planned],
    )


def stream_directory(directory: Path, stream: Stream) -> Path:
    """Return where a stream has its cycle."""
    return directory / f"stream-{stream.number}"
