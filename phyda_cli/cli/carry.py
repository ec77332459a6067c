"""What `phyda assimilate --carry FILE` takes from the cycle before and leaves for the next one."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phyda_cli.errors import CannotWriteError, InputMissingError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from phyda_cli.assimilation import Analysis
    from phyda_cli.formats.carry import Carry
    from phyda_cli.methods.base import Memory
    from phyda_cli.observations.table import Observations
    from phyda_cli.settings.assimilate import AssimilateConfig

_log = logging.getLogger(__name__)


def check_carry(settings: AssimilateConfig) -> None:
    """A carry file is there, or begins with this run; checked before any work.

    Raises UsageError for --carry-new alone, InputMissingError for a missing file without it, CannotWriteError for one
    that exists with it: the memory of a chain of cycles is never overwritten by mistake.
    """
    from phyda_cli.outputs import check_name

    if settings.carry is None:
        if settings.carry_new:
            raise UsageError("--carry-new: begins the file of --carry; name it")
        return
    check_name(settings.carry)
    if settings.carry_new and settings.carry.exists():
        raise CannotWriteError(f"--carry {settings.carry}: exists already; leave --carry-new out, or remove the file")
    if not settings.carry_new and not settings.carry.exists():
        raise InputMissingError(f"--carry {settings.carry}: no such file; the first cycle begins it with --carry-new")
    if not settings.carry_new and not os.access(settings.carry, os.R_OK):
        raise InputMissingError(f"--carry {settings.carry}: no permission to read it")


@dataclass(frozen=True)
class CarriedState:
    """The state between cycles. path, before: None for a run that carries none. window: of this cycle."""

    path: Path | None
    before: Carry | None
    window: np.timedelta64

    @property
    def usual_scale(self) -> float:
        """The background-error scale where this cycle has too few departures for its own."""
        return (self.before.scale if self.before is not None else None) or 1.0

    @property
    def memory(self) -> Memory:
        """What the method of the cycle before tells this one's."""
        return {} if self.before is None else self.before.memory

    def flag(self, observations: Observations) -> Observations:
        """Return the observations, those that an earlier cycle has used flagged HISTORY."""
        from phyda_cli.observations.table import Flag
        from phyda_cli.quality.duplicates import check_history

        if self.before is None:
            return observations
        flagged = check_history(observations, {t: cycle.used for t, cycle in self.before.cycles.items()})
        count = int((flagged.flag == Flag.HISTORY).sum())
        _log.info("carry: %d cycles before; %d observations are used already", len(self.before.cycles), count)
        _log.info("carry: background_error_scale %g where departures are too few for auto", self.usual_scale)
        return flagged

    def write(self, analysis: Analysis) -> None:
        """Write what the next cycle needs. Raises CannotWriteError."""
        from phyda_cli.formats.carry import Cycle, write_carry
        from phyda_cli.quality.duplicates import keys, was_used

        if self.path is None or self.before is None:
            return
        used = analysis.feedback.observations.take(was_used(analysis.feedback.observations))
        if analysis.state.time in self.before.cycles:
            _log.info("carry: this cycle was run before; its record is replaced")
        memory = analysis.memory or self.memory
        cycle = Cycle(float(analysis.log["background_error_scale"]), keys(used), memory)
        write_carry(self.path, self.before.followed_by(analysis.state.time, cycle, window=self.window))


def begin_cycle(settings: AssimilateConfig, time: np.datetime64) -> CarriedState:
    """Return what the settings' carry file holds for an analysis at `time` (UTC). Raises as `read_carry` does."""
    import numpy as np

    from phyda_cli.formats.carry import Carry, read_carry

    window = np.timedelta64(settings.window, "ns")
    if settings.carry is None:
        return CarriedState(None, None, window)
    if settings.carry_new:
        return CarriedState(settings.carry, Carry(settings.method, {}), window)
    return CarriedState(settings.carry, read_carry(settings.carry, method=settings.method, time=time), window)
