"""What a benchmark returns, and how repeated runs become it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

Report = Callable[[str], None]
"""Told what is being measured."""


@dataclass(frozen=True)
class Measurement:
    """One row of the table: the values of the repeated runs. target: the limit, a time or a size, not to be passed."""

    what: str
    unit: str
    values: tuple[float, ...]
    target: float | None = None
    higher_is_better: bool = False

    @property
    def best(self) -> float:
        """The best run: what the machine can do when nothing disturbs it."""
        return max(self.values) if self.higher_is_better else min(self.values)

    def row(self) -> str:
        """The row in markdown."""
        spread = f"{min(self.values):.3g}–{max(self.values):.3g}"
        limit = "" if self.target is None else f"≤ {self.target:g}"
        met = "" if self.target is None else ("yes" if self.best <= self.target else "no")
        cells = (self.what, self.unit, f"{self.best:.3g}", f"{median(self.values):.3g}", spread, limit, met)
        return f"| {' | '.join(cells)} |"


HEADER = "| measured | unit | best | median | range | target | met |\n|---|---|---:|---:|---:|---:|---|"


def commit() -> str:
    """The commit of the working tree, which a page of figures is frozen at."""
    words = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=7", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call [s]."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
