"""The one entry: run a simulation, or go on with one."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from phyda_cli.outputs import output_lock
from phyda_cli.simulation import chunks
from phyda_cli.simulation.config import Progress, SimulationConfig
from phyda_cli.simulation.forecasts import run_forecasts
from phyda_cli.simulation.model import require_jcm
from phyda_cli.simulation.nature import run_nature

Part = Literal["all", "nature", "forecasts"]


def simulate(config: SimulationConfig, directory: Path, *, progress: Progress, part: Part = "all") -> None:
    """Make what is missing of the simulation under `directory`; what exists is kept.

    `nature` and `forecasts` may run at the same time in two processes: the forecasts then follow the nature run.
    """
    require_jcm()
    chunks.bind(directory, config)
    if part in ("all", "nature"):
        with output_lock(directory / chunks.RESTART_FILE):
            run_nature(config, directory, progress)
    if part in ("all", "forecasts"):
        with output_lock(directory / chunks.FORECASTS_LOCK):
            run_forecasts(config, directory, progress, follow=part == "forecasts")
