"""Print what phyda makes of every observation file in a directory, as Markdown for docs/formats.md.

    python tools/obs_formats_table.py DIRECTORY [REFERENCE_TIME]

REFERENCE_TIME: of the analysis, for files that give times relative to it (default 2000-01-01T00).
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from phyda_cli.errors import PhydaError
from phyda_cli.formats.observations import FORMATS, read_observations
from phyda_cli.observations.table import Flag, Observations, Use


def format_of(path: Path) -> str:
    """The name of the format that claims a file."""
    head = path.read_bytes()[:4096]
    return next((known.name for known in FORMATS if known.claims(head)), "text table")


def describe(observations: Observations) -> tuple[str, str, str]:
    """(rows, counts by variable, counts by reason); numbers within reasons are left out, so that alike ones join."""
    o = observations
    rows = f"{len(o)}, {int(np.sum(o.used & (o.use == Use.ASSIMILATE)))} to use"
    variables = Counter(o.variable.tolist())
    reasons = Counter(
        f"{Flag(flag).name}: {_without_numbers(reason)}" for flag, reason in zip(o.flag, o.reason, strict=True) if flag
    )
    monitored = int(np.sum(o.used & (o.use != Use.ASSIMILATE)))
    said = [f"{monitored} monitored"] if monitored else []
    return rows, _counts(variables), ", ".join(said + [f"{n} {reason}" for reason, n in reasons.most_common(_SHOWN)])


_SHOWN = 8


def _counts(variables: Counter[str]) -> str:
    shown = ", ".join(f"{name or 'none'} {n}" for name, n in variables.most_common(_SHOWN))
    others = variables.most_common()[_SHOWN:]
    return shown + (f", {len(others)} others {sum(n for _, n in others)}" if others else "")


def _without_numbers(reason: str) -> str:
    """A reason without the values that differ from row to row; what names a code or limit stays."""
    return re.sub(r"(?<![\w.])-?\d+(\.\d+)?(e[+-]?\d+)?(?![\w.])", "…", reason).replace("|", "/")


def main(directory: Path, reference_time: np.datetime64) -> None:
    """Print the table of every file in a directory."""
    print("| file | format | rows | variables | not used |\n|---|---|---|---|---|")
    for path in sorted(path for path in directory.iterdir() if path.is_file()):
        try:
            cells = describe(read_observations(path, reference_time=reference_time))
        except PhydaError as error:
            cells = (f"not read: {str(error).replace(f'{path}: ', '').replace('|', '/')}", "", "")
        print(f"| {path.name} | {format_of(path)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), np.datetime64(sys.argv[2] if len(sys.argv) > 2 else "2000-01-01T00", "ns"))
