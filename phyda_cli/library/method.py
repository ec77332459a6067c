"""The method of an analysis, with its weights read and checked, and the device that it runs on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

from phyda_cli.errors import BadDataError, DeviceError
from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.fields.ground import Ground
from phyda_cli.fields.state import State
from phyda_cli.formats.gridded.background_error import read_background_error
from phyda_cli.formats.gridded.ground import ground_of
from phyda_cli.formats.gridded.layout import Background
from phyda_cli.grids.base import Grid
from phyda_cli.methods.base import EnsembleMethod, Method
from phyda_cli.methods.composite import Composite
from phyda_cli.methods.material import Lagged
from phyda_cli.methods.surface import SurfaceAnalysis
from phyda_cli.resources import BACKGROUND_ERROR, LEARNED_MODEL, shipped_weights
from phyda_cli.settings.assimilate import Chosen
from phyda_cli.settings.methods import entry_of, make

if TYPE_CHECKING:
    from phyda_cli.networks.checkpoint import Checkpoint

_FINISHED: Final = "calibration"
"""The stage of a training after which the weights are ready for use."""

_log = logging.getLogger(__name__)


def choose_device(wanted: str) -> str:
    """cpu or cuda for auto, cpu or cuda; says what auto chose. Raises DeviceError for CUDA where there is none."""
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise DeviceError("--device cuda: torch finds no CUDA device here; use --device auto or cpu")
    chosen = ("cuda" if there else "cpu") if wanted == "auto" else wanted
    _log.info("device: %s", torch.cuda.get_device_name() if chosen == "cuda" else "cpu")
    return chosen


def background_for(chosen: Chosen, background: Background) -> Background:
    """Return the background with the members that the method shall use.

    Raises BadDataError for members that the method does not take, too few of them, or fewer than asked for.
    """
    where, count, entry = str(background.sources[0]), len(background.member_numbers), chosen.entry
    if count == 0 and "one" not in entry.backgrounds:
        raise BadDataError(
            f"{where}: one member, and --method {entry.name} needs several; give a file with an axis of members, or "
            "--background once for each member"
        )
    if count == 0:
        return background
    if "ensemble" not in entry.backgrounds:
        raise BadDataError(
            f"{where}: the background holds {count} members, and --method {entry.name} takes one; choose it with "
            "--member, or take --method letkf, 3dvar or envar"
        )
    if chosen.own.members is not None:
        background = background.first_members(chosen.own.members)
    if len(background.member_numbers) < 2:
        raise BadDataError(
            f"{where}: {len(background.member_numbers)} member of an ensemble, and --method {entry.name} needs at "
            "least 2; choose a single one with --member N"
        )
    return background


def make_method(
    chosen: Chosen, background: Background, lagged: Sequence[Lagged] = (), ground: Ground | None = None
) -> tuple[Method, tuple[Path, ...]]:
    """Return the method, ready, and the files of its weights.

    background: with the members that it shall use, if it has any. lagged: other forecasts valid at its time, for a
    method that takes them. ground: what lies under it, None: what its file says of that. Raises ConfigError for shipped
    weights that are missing or damaged, BadDataError for files that are not what they should be or do not belong
    together.
    """
    files = Files(
        background.state,
        () if background.member is None else background.member_numbers,
        choose_device(chosen.common.device),
        chosen.common.seed,
        ground_of(background) if ground is None else ground,
        tuple(lagged),
    )
    method: Method = make(chosen.entry, chosen.own, files)
    return with_ground(method, chosen, files), tuple(files.read)


def with_ground(method: Method, chosen: Chosen, files: Files) -> Method:
    """Return the method, with the analysis near the ground after it where that is wanted and the background has any."""
    if chosen.common.surface == "off" or isinstance(method, EnsembleMethod | SurfaceAnalysis):
        return method
    ground = make(entry_of("surface"), chosen.own, files)
    return Composite(method, ground) if ground.channels else method


@dataclass(frozen=True)
class Files:
    """What a method is made of (`methods/material.py`), from the files of a run. read: those that were read."""

    background: State
    numbers: tuple[int, ...]
    device: str
    seed: int
    ground: Ground = field(default_factory=Ground)
    lagged: tuple[Lagged, ...] = ()
    read: list[Path] = field(default_factory=list)

    @property
    def grid(self) -> Grid:
        """That of the background."""
        return self.background.grid

    def background_error(self, path: Path | None, *, option: str = "--weights") -> BackgroundError:
        """Return the statistics of a file, or those shipped."""
        chosen = path or shipped_weights(BACKGROUND_ERROR, remedy=f"give {option} FILE")
        self.read.append(chosen)
        return _statistics(chosen, _version(chosen))

    def checkpoint(self, path: Path | None) -> Checkpoint:
        """The learned model of a file, or the one shipped."""
        chosen = path or shipped_weights(LEARNED_MODEL, remedy="give --weights FILE, or --method 3dvar")
        checkpoint = _checkpoint(chosen, _version(chosen))
        stage = checkpoint.about.get("stage")
        if stage != _FINISHED:
            _log.warning("%s: weights of stage %s, not of a finished training", chosen, stage)
        if not checkpoint.model.config.conditional:
            raise BadDataError(f"{chosen}: the prior alone, which sees no observation; take weights that see them")
        self.read.insert(0, chosen)
        return checkpoint


_Version = tuple[int, int] | None
"""When a file was written and its size, None where it is not there: what was read of it serves further analyses."""


def _version(path: Path) -> _Version:
    try:
        about = path.stat()
    except OSError:  # the reader says why
        return None
    return about.st_mtime_ns, about.st_size


@lru_cache(maxsize=2)
def _statistics(path: Path, version: _Version) -> BackgroundError:
    return read_background_error(path)[0]


@lru_cache(maxsize=1)
def _checkpoint(path: Path, version: _Version) -> Checkpoint:
    from phyda_cli.networks.checkpoint import read_checkpoint  # loads what only learned methods need

    return read_checkpoint(path)
