"""The circulation model for an ensemble: the states of all members in one file, and one background with all of them.

Members run one after another: side by side they gain nothing on one or two processors (0.33 s a member and 6 h at T31,
0.5 to 0.6 s batched). Increments enter all states at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from phyda_cli.forecast.base import Step
from phyda_cli.forecast.jcm import JcmForecast, hours_of
from phyda_cli.simulation.regrid import PARTS, to_state


class JcmEnsemble(JcmForecast):
    """The forecast model of a simulation for several members.

    Member i begins with the nature run's state s_i of i · member_days before that of the first. With a start_error α
    below 1 it begins with x_t + α (s_{i+1} − s_0), x_t nature's state of the time itself: truth and members then differ
    as much as the members among themselves, and a twin need not spin up.
    """

    def __init__(
        self,
        directory: Path,
        *,
        hours: int,
        start_days_before: int,
        members: int,
        member_days: float,
        start_error: float,
    ) -> None:
        super().__init__(directory, hours=hours, start_days_before=start_days_before)
        self.members, self.member_days, self.start_error = members, member_days, start_error

    def first(self, target: Path, time: np.datetime64) -> None:
        """Forecasts of one cycle's length from the first states.

        Raises InputMissingError where the nature run has no such state.
        """
        import jax

        begin = hours_of(time) - self.hours
        hours = [begin - 24 * self.days_before - round(24 * self.member_days * i) for i in range(self.members + 1)]
        parts = [self._start(hour) for hour in hours]
        if self.start_error < 1.0:
            right, factor = self._start(begin, exact=True), np.float32(self.start_error)
            parts = [{n: right[n] + factor * (one[n] - parts[0][n]) for n in PARTS} for one in parts[1:]]
        states = [to_state(self.model, one) for one in parts[: self.members]]
        state, carry = _stacked(states), _stacked([self.model.first_carry] * self.members)
        self._members(jax.tree_util.tree_map(np.asarray, (state, carry)), 0, begin, target)

    def run(self, step: Step) -> None:
        """Forecasts from the states beside the analysis, with the members' increments in them."""
        state, carry, count, pressure = self._load(step.source)
        moved = self._moved(state, step.increment, pressure)
        self._members((moved, carry), count, hours_of(step.begin), step.target)

    def _members(self, members: Any, count: int, begin: int, target: Path) -> None:
        """Run the model for state and carry (member, …) and write backgrounds and states."""
        import jax

        members = jax.tree_util.tree_map(np.asarray, members)
        step, advance = count, self.model.stepper(self.hours, self.hours)
        done = []
        for number in range(self.members):
            state, carry = jax.tree_util.tree_map(lambda leaf, at=number: leaf[at], members)
            state, carry, step, saved = advance(state, carry, begin, count)
            done.append((jax.tree_util.tree_map(np.asarray, (state, carry)), saved))
        rows = jax.tree_util.tree_map(lambda *leaves: np.concatenate(leaves), *(one for _, one in done))
        self._write(_stacked([one for one, _ in done]), step, rows, begin, target)


def _stacked(trees: list[Any]) -> Any:
    """Return one tree (member, …) of several."""
    import jax

    return jax.tree_util.tree_map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *trees)
