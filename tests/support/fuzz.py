"""How long the tests with random faults run: a little with the suite, fully with `make fuzz`."""

from __future__ import annotations

import os

FULL = os.environ.get("PHYDA_FUZZ") == "full"


def times(little: int, full: int) -> int:
    """How often to try."""
    return full if FULL else little
