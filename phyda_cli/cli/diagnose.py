"""`phyda diagnose`: what the feedback of many cycles says of observations, errors and checks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phyda_cli.console import console

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phyda_cli.evaluation.diagnosis import Diagnosis


def diagnose(
    feedback: Annotated[
        list[Path], typer.Argument(metavar="FEEDBACK…", help="Feedback files of phyda assimilate, one a cycle.")
    ],
    worst: Annotated[
        int, typer.Option(metavar="N", min=0, help="Stations to show, those with the largest departures.")
    ] = 10,
) -> None:
    """Diagnose the departures in feedback files, all cycles together.

    Shows counts by verdict, J_o/n, bias and RMS of O-B and O-A and the errors of observations and background that they
    imply (Desroziers et al. 2005), by variable, level, report type and cycle, and the worst stations; with --json all
    stations. Files are read one after the other, so that their number does not matter.
    """
    from phyda_cli.cli.targets import check_inputs
    from phyda_cli.evaluation.diagnosis import format_diagnosis
    from phyda_cli.library.scores import diagnose as diagnosed

    check_inputs(feedback)
    with console.progress("diagnose", len(feedback)) as update:

        def each() -> Iterator[Path]:
            for number, path in enumerate(feedback, start=1):
                yield path
                update(number)

        diagnosis = diagnosed(each())
    console.result(format_diagnosis(diagnosis, worst), _document(diagnosis))


def _document(diagnosis: Diagnosis) -> dict[str, Any]:
    """Everything, in SI."""
    from dataclasses import asdict

    import numpy as np

    names = {"levels": "level", "reports": "report", "stations": "station", "cycles": "cycle"}
    document: dict[str, Any] = {
        "status": "ok",
        "cycles": [
            asdict(c) | {"time": None if np.isnat(c.time) else f"{np.datetime_as_string(c.time, unit='s')}Z"}
            for c in diagnosis.cycles
        ],
        "verdicts": [
            {"variable": variable, "report": report, "verdict": verdict, "count": count}
            for (variable, report, verdict), count in sorted(diagnosis.verdicts.items())
        ],
    }
    for name in ("variables", *names):
        entries = [asdict(group) for group in diagnosis.groups(name)]
        key = "by_cycle" if name == "cycles" else name
        document[key] = [
            {names[name]: of, **entry} if name in names else entry for entry in entries for of in [entry.pop("of")]
        ]
    for entry in document["by_cycle"]:
        entry["cycle"] = int(entry["cycle"])
    return document
