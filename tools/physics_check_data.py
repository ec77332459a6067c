"""States and their rates of change for `physics_check.py`: from a training store, and from the nature run itself.

    6-hourly:  x_t = (x(t + 6 h) − x(t − 6 h))/12 h       the store's states; an average over 12 h, not x_t at t
    one step:  x_t = (x(t + Δt) − x(t − Δt))/2Δt          the nature run, continued with every step saved

Rates are per second. The nature run goes on for whole days, and two states of each day are taken, eight hours apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from phyda_cli.physics.level_fields import VARIABLES, LevelChannels, LevelFields
from phyda_cli.preparation.store import TrainingStore
from phyda_cli.simulation.chunks import RESTART_FILE, read_config
from phyda_cli.simulation.config import HOURS_PER_DAY
from phyda_cli.simulation.model import hour_of, nature_model
from phyda_cli.simulation.nature import _load_restart
from phyda_cli.simulation.regrid import Output

SIX_HOURS = 6 * 3600.0
PLACES = (1 / 3, 2 / 3)
"""Where in a day the two states lie [d]."""


class Continued(NamedTuple):
    """The nature run after its end: states, rates over two steps and over ±6 h, all (time, level, lat, lon)."""

    x: LevelFields
    one_step: LevelFields
    six_hourly: LevelFields
    minutes: float


def stored_states(store: TrainingStore, part: str, every: int) -> tuple[LevelFields, LevelFields]:
    """Every n-th state of a part and its 6-hourly rate of change. The part must be 6-hourly without a gap."""
    times, states = zip(*store.nature(part, batch=256), strict=True)
    if not (np.diff(np.concatenate(times)) == SIX_HOURS / 3600).all():
        raise SystemExit(f"the {part} part is not 6-hourly")
    values = torch.from_numpy(np.concatenate(states))
    index = torch.arange(1, values.shape[0] - 1, every)
    rate = (values[index + 1].double() - values[index - 1].double()) / (2 * SIX_HOURS)
    channels = LevelChannels(store.channels)
    return channels.take(values[index].double()), channels.take(rate)


def continue_nature(directory: Path, days: int) -> Continued:
    """The nature run of a simulation's directory, `days` on; reads its configuration and restart and writes nothing."""
    config = read_config(directory)
    model = nature_model(config)
    output = Output(model, config)
    restart = _load_restart(directory / RESTART_FILE, model)
    advance = model.stepper(HOURS_PER_DAY, config.nature_step_minutes / 60)
    seconds = 60.0 * config.nature_step_minutes
    wide, daily = round(SIX_HOURS / seconds), round(86400 / seconds)
    chosen = np.array([round(daily * place) + k for place in PLACES for k in (-wide, -1, 0, 1, wide)]) - 1
    hour = hour_of(config.start) + restart.chunk * config.chunk_hours
    state, carry, step = restart.state, restart.carry, restart.step
    found: list[tuple[torch.Tensor, ...]] = []
    for day in range(days):
        state, carry, step, saved = advance(state, carry, hour + HOURS_PER_DAY * day, step)
        fields = output.fields(saved.at(chosen))
        top_down = (torch.from_numpy(fields[name][:, ::-1].copy()).double() for name in VARIABLES)
        found.append(tuple(f.reshape(len(PLACES), 5, *f.shape[1:]) for f in top_down))
    x = [torch.cat(field) for field in zip(*found, strict=True)]
    return Continued(
        LevelFields(*(f[:, 2] for f in x)),
        LevelFields(*((f[:, 3] - f[:, 1]) / (2 * seconds) for f in x)),
        LevelFields(*((f[:, 4] - f[:, 0]) / (2 * SIX_HOURS) for f in x)),
        seconds / 60,
    )
