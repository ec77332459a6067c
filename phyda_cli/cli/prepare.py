"""`phyda prepare`: the training store, from files or a simulation, and the background error that it shows."""

from __future__ import annotations

import contextlib
import datetime
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from phyda_cli.console import console

if TYPE_CHECKING:
    from phyda_cli.preparation.material import Material
    from phyda_cli.preparation.store import TrainingStore

_log = logging.getLogger(__name__)


def prepare(
    output: Annotated[
        Path, typer.Option("--out", "--output", "-o", metavar="DIRECTORY", help="The training store (Zarr).")
    ],
    analysis: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Analyses, taken as the truth: GRIB, NetCDF, Zarr, or a URL. Repeatable."),
    ] = None,
    forecast: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Forecasts valid at their times. Repeatable.")
    ] = None,
    lead_hours: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Lead of forecasts whose files do not tell their start.")
    ] = None,
    leads: Annotated[
        str | None, typer.Option(metavar="N,N,…", help="Leads of the forecasts to take, in hours; else all up to 48.")
    ] = None,
    grid: Annotated[
        float | None,
        typer.Option(metavar="DEGREES", help="Spacing of the store's grid; else 2.8125, or 5.625."),
    ] = None,
    levels: Annotated[
        str | None,
        typer.Option(metavar="P,P,…", help="Levels of the store, in hPa; else 1000 to 50 as far as the data reach."),
    ] = None,
    start: Annotated[
        datetime.datetime | None, typer.Option("--from", metavar="DATE", help="Take states from this date on.")
    ] = None,
    end: Annotated[
        datetime.datetime | None, typer.Option("--to", metavar="DATE", help="Take states before this date.")
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=24, help="Take analyses at 0, N, 2 N … hours of the day."),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Work on a Dask cluster; local: on this machine's processors."),
    ] = None,
    validation_year: Annotated[int | None, typer.Option(metavar="YEAR", help="The year to validate on.")] = None,
    test_year: Annotated[int | None, typer.Option(metavar="YEAR", help="The year kept for the test.")] = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Simulate the states and forecasts (needs phyda[simulate]).")
    ] = False,
    preset: Annotated[
        Literal["tiny", "short", "default", "core"],
        typer.Option(help="The simulation: days, two or three years at 5.6 degrees; core: 13 levels at 2.8 degrees."),
    ] = "default",
    pieces: Annotated[
        Path | None,
        typer.Option(
            metavar="DIRECTORY", help="Where the simulation keeps its pieces; a stopped run goes on from them."
        ),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Take the simulation as far as it is and simulate nothing.")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the simulation.")] = 0,
    cycle: Annotated[
        bool, typer.Option("--cycle", help="Take the forecasts from cycles on the simulated weather.")
    ] = False,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Background-error statistics of these cycles, else as shipped.")
    ] = None,
    learned: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Weights of phyda train: cycles from here on take the learned analysis, not 3D-Var."
        ),
    ] = None,
    background_error: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also fit and tune background-error statistics, for assimilate --weights."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")] = False,
) -> None:
    """Make a training store: states, forecasts valid at the same times, statistics.

    Its material is either --analysis and --forecast data or a simulation (--simulate). A run that was stopped goes on
    where it was when the same command is given again.
    """
    from phyda_cli.cli.targets import check_inputs, check_not_inside, check_outputs
    from phyda_cli.errors import CannotWriteError, UsageError
    from phyda_cli.formats.gridded.location import location
    from phyda_cli.preparation.build import build_store
    from phyda_cli.preparation.workers import workers

    places = {
        option: [location(text) for text in texts or []]
        for option, texts in (("--analysis", analysis), ("--forecast", forecast))
    }
    files = [place for of_option in places.values() for place in of_option if isinstance(place, Path)]
    if simulate == any(places.values()) or (any(places.values()) and not all(places.values())):
        raise UsageError("name the material: either --simulate, or --analysis and --forecast files")
    if (validation_year is None) != (test_year is None):
        raise UsageError("give --validation-year and --test-year together, or neither")
    _check_options(
        simulate=simulate,
        cycle=cycle,
        of_data={"--leads": leads, "--grid": grid, "--levels": levels, "--from": start, "--to": end, "--every": every},
        of_cycles={"--weights": weights, "--learned": learned},
    )
    of_cycles = [path for path in (weights, learned) if path is not None]
    check_inputs([*files, *of_cycles])
    check_not_inside(files, output, "--out")
    if background_error is not None:
        check_outputs({"--background-error": background_error}, files, overwrite=overwrite)
    if output.exists() and not overwrite:
        raise CannotWriteError(f"{output}: exists already; give --overwrite to replace it")
    if simulate:
        if background_error is not None and not partial:
            _check_fit(preset, cycle=cycle)
        place = pieces or output.with_name(f"{output.name}.pieces")
        if cycle:
            material = _cycled(preset, place, seed, weights, learned, partial=partial)
        else:
            material = _simulated(preset, place, seed, partial=partial)
    else:
        from phyda_cli.preparation.from_files import Choice, files_material, rows_of_spacing

        choice = Choice(
            rows=None if grid is None else rows_of_spacing(grid),
            levels=None
            if levels is None
            else tuple(sorted((100.0 * p for p in _numbers("--levels", levels)), reverse=True)),
            leads=None if leads is None else tuple(int(lead) for lead in _numbers("--leads", leads)),
            lead_hours=lead_hours,
            start=_hour(start),
            end=_hour(end),
            every=every,
            years=None if validation_year is None or test_year is None else (validation_year, test_year),
        )
        material = files_material(places["--analysis"], places["--forecast"], choice)
    with workers(dask) as those, _Stages() as stages:
        store = build_store(material, output, overwrite=overwrite, progress=stages.show, workers=those)
    document: dict[str, Any] = {"status": "ok", "output": output, "counts": store.attributes["counts"]}
    if background_error is not None:
        document["background_error"] = background_error
        document["tuning"] = _fit(store, background_error, overwrite=overwrite)
    console.table("\n".join(f"{name}: {count}" for name, count in document["counts"].items()))
    console.result(str(output), document)


def _check_options(
    *, simulate: bool, cycle: bool, of_data: Mapping[str, object], of_cycles: Mapping[str, object]
) -> None:
    """Raises UsageError for options that say nothing of the material that was chosen."""
    from phyda_cli.errors import UsageError

    if cycle and not simulate:
        raise UsageError("--cycle goes with --simulate")
    given = [name for name, value in of_cycles.items() if value is not None]
    if given and not cycle:
        raise UsageError(f"{', '.join(given)}: of --cycle; give it too")
    given = [name for name, value in of_data.items() if value is not None]
    if given and simulate:
        raise UsageError(f"{', '.join(given)}: of --analysis and --forecast; the simulation has its own (--preset)")


def _numbers(option: str, text: str) -> list[float]:
    """Return numbers between commas, each once. Raises UsageError for what is none."""
    from phyda_cli.errors import UsageError

    words = [word.strip() for word in text.split(",")]
    try:
        numbers = sorted({float(word) for word in words})
    except ValueError:
        raise UsageError(f"{option} {text}: give numbers with commas between them") from None
    if not all(0 < number < math.inf for number in numbers):
        raise UsageError(f"{option} {text}: every number must be above zero")
    return numbers


def _hour(moment: datetime.datetime | None) -> int | None:
    """Return hours since 1970-01-01 00 UTC of a date as the command line has it, in UTC."""
    if moment is None:
        return None
    return int((moment - datetime.datetime(1970, 1, 1)).total_seconds() // 3600)


def _simulated(preset: str, pieces: Path, seed: int, *, partial: bool) -> Material:
    """Run the simulation, or what is missing of it, and describe the material that it made."""
    from phyda_cli.preparation.from_simulation import simulation_material
    from phyda_cli.simulation.config import preset as named
    from phyda_cli.simulation.run import simulate

    if not partial:
        simulate(named(preset).model_copy(update={"seed": seed}), pieces, progress=_log.info)
    return simulation_material(pieces)


def _cycled(
    preset: str, pieces: Path, seed: int, weights: Path | None, learned: Path | None, *, partial: bool
) -> Material:
    """Run the nature run and the cycles, or what is missing of them, and describe the material that they made."""
    from phyda_cli.cycle.campaign import run_campaign
    from phyda_cli.preparation.from_simulation import simulation_material
    from phyda_cli.simulation.config import preset as named
    from phyda_cli.simulation.run import simulate

    cycles = pieces / "cycles"
    if not partial:
        simulate(named(preset).model_copy(update={"seed": seed}), pieces, progress=_log.info, part="nature")
        run_campaign(pieces, cycles, weights=weights, learned=learned, progress=_log.info)
    return simulation_material(pieces, cycles=cycles)


def _check_fit(preset: str, *, cycle: bool) -> None:
    """Raises UsageError before the simulation where it would have no errors to fit or to tune on."""
    from phyda_cli.errors import UsageError
    from phyda_cli.preparation.background_error import LEADS, TUNING_LEAD
    from phyda_cli.preparation.from_simulation import expected_pairs
    from phyda_cli.simulation.config import preset as named

    config = named(preset)
    if cycle and TUNING_LEAD not in config.cycles.leads_hours:
        raise UsageError(f"--background-error: the cycles of --preset {preset} keep no forecast of {TUNING_LEAD} h")
    for part, leads in (("train", LEADS), ("validation", (TUNING_LEAD,))):
        if not cycle and not expected_pairs(config, part, leads):
            raise UsageError(
                f"--background-error: --preset {preset} has no forecast of {' or '.join(map(str, leads))} h within its "
                f"{part} part; take --preset short or default"
            )


def _fit(store: TrainingStore, path: Path, *, overwrite: bool) -> dict[str, Any]:
    """Fit and tune the background error and write it; what the tuning found."""
    from phyda_cli.formats.gridded.background_error import to_bytes
    from phyda_cli.observations.errors import default_error_table
    from phyda_cli.outputs import atomic_path
    from phyda_cli.preparation.background_error import fit_store, tune

    statistics, count = fit_store(store)
    tuned = tune(statistics, store, default_error_table(), progress=_log.info)
    tuning = {"errors": count, "sigma_factor": tuned.sigma_factor, "length_factor": tuned.length_factor}
    content = to_bytes(tuned.statistics, provenance={"source": store.attributes["source"], **tuning})
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(content)
    return tuning


class _Stages(contextlib.ExitStack):
    """One progress display after the other, a new one for each stage of the build."""

    def __init__(self) -> None:
        super().__init__()
        self._stage: str | None = None
        self._update: list[Callable[[int], None]] = []

    def show(self, stage: str, done: int, total: int) -> None:
        """Say how many of how many are done in a stage; the first of them may have been done by another run."""
        if stage != self._stage:
            self.close()
            self._stage = stage
            self._update = [self.enter_context(console.progress(f"preparing {stage}", total, done))]
        self._update[0](min(done, total))
