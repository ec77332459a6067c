"""A sounder in orbit on the shipped example: draw what it sees of the truth, write it as IODA, assimilate, compare.

    python examples/space.py [out/space]

Channels 5 to 7 of AMSU-A at 300 places (8 and 9 need a background up to 50 hPa), with the errors of the table and a
bias of 1 K that the analysis must find. Prints temperature errors against the truth without and with them.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from phyda_cli import assimilate, open_background
from phyda_cli.cycle.scores import errors
from phyda_cli.fields.state import State
from phyda_cli.formats.feedback.ioda import write_ioda
from phyda_cli.observations.errors import default_error_table
from phyda_cli.observations.table import Feedback, Observations
from phyda_cli.operators.first_guess import operator_of

HERE = Path(__file__).parent
CHANNELS, PLACES, BIAS = ("tb5", "tb6", "tb7"), 300, 1.0


def seen(truth: State) -> Observations:
    """What the sounder measures of a truth."""
    random, n = np.random.default_rng(0), PLACES * len(CHANNELS)
    rows = Observations.build(
        "drawn from the truth",
        variable=np.array(CHANNELS * PLACES, dtype=object),
        latitude=np.repeat(np.degrees(np.arcsin(random.uniform(-1.0, 1.0, PLACES))), len(CHANNELS)),
        longitude=np.repeat(random.uniform(0.0, 360.0, PLACES), len(CHANNELS)),
        zenith=np.repeat(random.uniform(-50.0, 50.0, PLACES), len(CHANNELS)),
        value=np.zeros(n),
        time=np.full(n, truth.time),
        station=np.full(n, "example", dtype=object),
        report=np.full(n, "sounder", dtype=object),
    )
    error = default_error_table().sigma(rows.variable, rows.pressure)
    value = operator_of(truth, rows).states(truth.grid, truth.channels)(truth.values)
    return replace(rows, value=value + BIAS + error * random.standard_normal(n), error=error)


def main() -> None:
    """Draw, write, assimilate without and with them, and compare."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/space")
    out.mkdir(parents=True, exist_ok=True)
    truth = open_background(HERE / "truth.nc").state
    rows = seen(truth)
    nothing = np.full(len(rows), np.nan)
    write_ioda(out / "sounder.nc4", Feedback(rows, nothing, nothing, nothing), attributes={}, overwrite=True)
    for label, files in (
        ("without", [HERE / "observations.csv"]),
        ("with", [HERE / "observations.csv", out / "sounder.nc4"]),
    ):
        analysis = assimilate(HERE / "background.nc", files, method="3dvar", members=0)
        wrong = errors(analysis.result.state, truth)["globe"]
        shown = ", ".join(f"{name} {wrong[name]:.3f}" for name in wrong if name[0] == "t" and name[1:].isdigit())
        print(f"{label} the sounder: RMS error [K] {shown}")
        bias = {name.split()[-1]: str(own).split() for name, own in analysis.log.items() if name.startswith("bias ")}
        if bias:
            print(f"its bias [K]: {', '.join(f'{channel} {float(own[0]):.2f}' for channel, own in bias.items())}")


if __name__ == "__main__":
    main()
