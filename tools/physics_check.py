"""Write docs/physics.md: the rates of change of the physics operator against those of the simulated atmosphere.

    python tools/physics_check.py STORE docs/physics.md docs/physics.png --simulation DIR

The reference is the nature run, continued from the restart of the simulation's directory with every time step saved:
x_t = (x(t + Δt) − x(t − Δt))/2Δt, two states a day. Without --simulation it is the store's test part with its 6-hourly
differences, x_t = (x(t + 6 h) − x(t − 6 h))/12 h, which is also shown beside the first. K(x) and x_t are both cut at
the operator's n ≤ 20. Neither the store nor the simulation's directory is written to.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from physics_check_choices import choice_rows
from physics_check_data import Continued, continue_nature, stored_states
from physics_check_figure import draw
from physics_check_tables import (
    Fifth,
    cost_rows,
    fifth_rows,
    fifths,
    hydrostatic_rows,
    level_rows,
    reference_rows,
    summary,
    summary_rows,
)
from physics_check_text import (
    CHOICES,
    COST,
    FIFTHS,
    HEAD,
    HYDROSTATIC,
    LEVELS,
    METHOD,
    READING,
    REFERENCE,
    SIX_HOURLY,
    TABLES,
)
from physics_check_world import REGIMES, Sample, World

from phyda_cli.physics.level_fields import LevelChannels, LevelFields
from phyda_cli.preparation.store import TrainingStore, open_store

COST_BATCH = 32
BELT = {"poleward of 20°": (20.0, 80.0), "equatorward of 20°": (0.0, 20.0)}


def main() -> None:
    """Read the arguments and write the two files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("figure", type=Path)
    parser.add_argument("--simulation", type=Path, help="directory of the store's simulation, for its restart")
    parser.add_argument("--days", type=int, default=40, help="how long the nature run goes on")
    parser.add_argument("--every", type=int, default=5, help="compare every n-th state of the store's test part")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    store = open_store(arguments.store)
    world = World(store.grid, LevelChannels(store.channels).pressures)
    stored = world.sample(*stored_states(store, "test", arguments.every))
    further = continue_nature(arguments.simulation, arguments.days) if arguments.simulation else None
    sample = world.sample(further.x, further.one_step) if further else stored
    text = document(store, world, sample, stored, further, arguments.figure.name)
    arguments.out.write_text(text, encoding="utf-8")
    draw(world, sample, fifths(world, sample, BELT["poleward of 20°"]), arguments.figure)


def document(
    store: TrainingStore, world: World, sample: Sample, stored: Sample, further: Continued | None, figure: str
) -> str:
    """The whole of docs/physics.md."""
    belts = {belt: fifths(world, sample, latitudes) for belt, latitudes in BELT.items()}
    channels = LevelChannels(store.channels)
    states = channels.put(LevelFields(*(f[:COST_BATCH].float() for f in sample.x)))
    parts = [
        HEAD.format(figure=figure),
        READING.format(**readings(world, sample, belts)),
        METHOD.format(reference=reference(sample, further), shares=shares(world, sample)),
        "## Cost\n",
        COST.format(load=os.getloadavg()[0]),
        *cost_rows(store.grid, store.channels, states),
        "\n## All fields, 200 to 700 hPa\n",
        TABLES,
        *summary_rows(world, sample),
        "\nChanges: the mean over the compared times taken out of K and of x_t at every point.\n",
        *summary_rows(world, sample, changes=True),
        "\n## By strength of the advection\n",
        FIFTHS,
        *fifth_rows(belts),
        "\n## By level\n",
        LEVELS,
        "### full\n",
        *level_rows(world, sample, "full"),
        "\n### proxy\n",
        *level_rows(world, sample, "proxy"),
        "\n## hydrostatic\n",
        HYDROSTATIC,
        *hydrostatic_rows(world, sample),
        "\n## Choices inside full\n",
        CHOICES,
        *choice_rows(world, sample),
    ]
    if further:
        long = world.filtered(further.six_hourly)
        parts += ["\n## How good a 6-hourly reference is\n", REFERENCE]
        parts += reference_rows(world, sample, long, further.minutes)
        parts += ["", SIX_HOURLY.format(count=len(stored.x.t)), *summary_rows(world, stored)]
    return "\n".join(parts) + "\n"


def reference(sample: Sample, further: Continued | None) -> str:
    """What is compared, in words."""
    count = len(sample.x.t)
    if further:
        return f"{count} states of the continued nature run, two a day, x_t over ±{further.minutes:g} min"
    return f"{count} states of the store's test part, x_t over ±6 h"


def shares(world: World, sample: Sample) -> str:
    """How much of the area, on all levels, each regime holds."""
    found = ((r, world.score(sample.x_t.t, sample.x_t.t, sample.masks[r]).share) for r in REGIMES)
    return ", ".join(f"{regime} {100 * share:.1f} %" for regime, share in found)


def readings(world: World, sample: Sample, belts: dict[str, list[Fifth]]) -> dict[str, object]:
    """The scores that the reading quotes, such as `t_full[jets]` and `wind_proxy_strong`."""
    operators = {"full": "full", "dry": "full, dry", "still": "full, ω = 0", "proxy": "proxy"}
    quoted: dict[str, object] = {
        f"{name}_{short}": summary(world, sample, name, label) for name in "uvtqz" for short, label in operators.items()
    }
    changes = {f"v_{short}_changes": summary(world, sample, "v", short, changes=True) for short in ("full", "proxy")}
    outside = belts["poleward of 20°"]
    for place, fifth in {"weak": outside[0], "strong": outside[-1]}.items():
        for label in ("full", "proxy"):
            quoted[f"wind_{label}_{place}"] = f"{fifth.wind[label].ratio:.2f}"
            quoted[f"t_{label}_{place}"] = f"{fifth.temperature[label].ratio:.2f}"
    return {**quoted, **changes}


if __name__ == "__main__":
    main()
