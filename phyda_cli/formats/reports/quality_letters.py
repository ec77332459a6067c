"""Letters that judge a value: the quality descriptors of MADIS, and whether phyda uses what they judge.

Source: NOAA MADIS, "MADIS QC Information", QC data descriptor values.
"""

from __future__ import annotations

from typing import Final

LETTERS: Final[dict[str, tuple[bool, str]]] = {
    "Z": (True, "no check was made"),
    "C": (True, "coarse pass, level 1"),
    "S": (True, "screened, levels 1 and 2"),
    "V": (True, "verified, levels 1, 2 and 3"),
    "G": (True, "good by a forecaster"),
    "X": (False, "failed level 1"),
    "Q": (False, "questioned, failed level 2 or 3"),
    "B": (False, "bad by a forecaster"),
    "I": (False, "interpolated, not measured"),
    "W": (False, "wrong, replaced by an estimate"),
    "T": (True, "air temperature where the virtual one could not be computed"),
}
"""Letter → (whether the value is used, what it says)."""
