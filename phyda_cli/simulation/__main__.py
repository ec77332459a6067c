"""`python -m phyda_cli.simulation`: run a simulation in two processes, which `phyda prepare --simulate` does in one."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import cast, get_args

from phyda_cli.errors import PhydaError
from phyda_cli.simulation.config import PRESETS, preset
from phyda_cli.simulation.run import Part, simulate


def main() -> int:
    """Parse, run, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m phyda_cli.simulation", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="where the simulation's files lie")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="default")
    parser.add_argument("--seed", type=int, default=0, help="of the noise at the start and of the perturbations")
    parser.add_argument("--part", choices=get_args(Part), default="all")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("jax").setLevel(logging.WARNING)
    try:
        simulate(
            preset(arguments.preset).model_copy(update={"seed": arguments.seed}),
            arguments.directory,
            progress=logging.getLogger("phyda.simulation").info,
            part=cast(Part, arguments.part),
        )
    except PhydaError as error:
        logging.getLogger("phyda.simulation").error("%s", error)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
