"""Forecasts of a cycle that go on beyond the next analysis: members of the hybrid background error of `envar`.

    b_1(n + 1) = M b(n),     b_k(n + 1) = M b_{k−1}(n),     k = 2 … K

b(n) is the background of cycle n, so b_k(n) is the forecast of k + 1 cycles' length that is valid at cycle n. Each
costs one forecast of a cycle's length. They stand in the directories of the cycles, as backgrounds do:

    DIRECTORY/00007/lag-1/background.nc    from the analysis of cycle 5
              00007/lag-2/background.nc    from that of cycle 4

The first cycles have fewer of them, the very first none: it is analysed by 3D-Var.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch

from phyda_cli.errors import ConfigError, UsageError
from phyda_cli.forecast.base import ANALYSIS, BACKGROUND, INCREMENT, Forecast, Step
from phyda_cli.formats.gridded.analysis import write_increment
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.gridded.layout import Background
from phyda_cli.methods.material import Lagged
from phyda_cli.settings.assimilate import Run
from phyda_cli.settings.methods import ThreeDVarSettings


def lag_place(here: Path, number: int) -> Path:
    """Return the directory of a lagged forecast of a cycle, from 1."""
    return here / f"lag-{number}"


def lagged_forecasts(here: Path, time: np.datetime64, *, own: bool) -> tuple[Lagged, ...]:
    """Return the lagged forecasts of the cycle in a directory, valid at its time. own: as of `read_background`."""

    def one(path: Path) -> Lagged:
        return Lagged(str(path), lambda: read_background([path], time=time, own=own).state)

    return tuple(map(one, here.glob(f"lag-*/{BACKGROUND}")))


def run_on(model: Forecast, step: Step, background: Background, count: int) -> None:
    """Run the background of a cycle and its lagged forecasts on to the next cycle, without any increment.

    step: that of the cycle. count: K.
    """
    still = replace(background.state, values=torch.zeros_like(background.state.values))
    for number, source in enumerate(_sources(step.source, background, count, own=model.own), start=1):
        target = lag_place(step.target, number)
        target.mkdir(parents=True, exist_ok=True)
        model.run(replace(step, source=source, target=target, increment=still))


def checked_settings(asked: Run, count: int) -> None:
    """Raises ConfigError or UsageError where settings of the analysis and of lagged forecasts do not go together."""
    if getattr(asked.own, "lagged", ()):
        raise UsageError("assimilate.lagged: a cycle makes its own; give their number with lagged, beside cycles")
    if count and asked.entry.name != "envar":
        raise ConfigError(f"lagged = {count}: is for assimilate.method envar, not for {asked.entry.name}")


def without_members(asked: Run) -> Run:
    """Return the settings of 3D-Var for those of a hybrid that has no member yet."""
    own = ThreeDVarSettings(**{field.name: getattr(asked.own, field.name) for field in fields(ThreeDVarSettings)})
    return replace(asked, common=replace(asked.common, method="3dvar"), own=own)


def _sources(here: Path, background: Background, count: int, *, own: bool) -> Iterator[Path]:
    """Yield where the forecasts go on from: the cycle itself, and its lagged forecasts.

    A program starts from an analysis: there the forecast itself stands for it, with an increment of zero.
    """
    for number in range(count):
        place = lag_place(here, number) if number else here
        if not (place / BACKGROUND).is_file():
            return
        if not own:
            if number == 0:
                place = here / "unanalysed"
                place.mkdir(exist_ok=True)
                for file in here.iterdir():
                    if file.is_file() and file.name not in (ANALYSIS, INCREMENT):
                        shutil.copyfile(file, place / file.name)
            shutil.copyfile(place / BACKGROUND, place / ANALYSIS)
            write_increment(place / INCREMENT, background, background.state, attributes={}, overwrite=True)
        yield place
