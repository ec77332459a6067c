"""Simulated days per minute of the circulation model, compiled, at the two resolutions of the shipped training data."""

from __future__ import annotations

from functools import partial

from result import Measurement, Report, seconds

from phyda_cli.simulation.config import HOURS_PER_DAY, OUTPUT_HOURS
from phyda_cli.simulation.model import SpectralModel

STEP_MINUTES = {31: 30, 42: 24}
"""Time step of each truncation [min]."""

DAYS = 4


def measure(repeats: int, report: Report) -> list[Measurement]:
    """One row for each truncation; needs phyda[simulate]."""
    rows = []
    for truncation, minutes in STEP_MINUTES.items():
        report(f"simulation at T{truncation}")
        model = SpectralModel(truncation, minutes, min(STEP_MINUTES))
        advance = model.stepper(DAYS * HOURS_PER_DAY, OUTPUT_HOURS)
        run = partial(advance, model.balanced_start(0), model.first_carry, 0, 0)
        run()  # compiles
        rates = tuple(60.0 * DAYS / seconds(run) for _ in range(repeats))
        rows.append(Measurement(f"simulation, T{truncation}", "days/min", rates, higher_is_better=True))
    return rows
