"""phyda's verdicts in the numbers of DART's quality control, for tools that know those.

    PASS → 0        PASSIVE → 1       H_FAILED, DOMAIN → 4      BLACKLIST, THINNED, SUPEROB, HISTORY → 5
    MISSING, PRE_QC, BOUNDS → 6       CLOUD, FIRST_GUESS, BUDDY, TRACK, PROFILE, SUPER_REFRACTION → 7

DART's namelist says which observations a run takes at all: 5 is what phyda leaves out although nothing is wrong with
it, or somebody said so. Its outlier check stands for every check against background, neighbours or the report itself.
2, 3 (posterior failed) and 8 (vertical place not converted) do not occur: H is the same for background and analysis,
and places are pressures.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.observations.table import Flag


class DartQC(IntEnum):
    """The numbers of `DART quality control`."""

    ASSIMILATED = 0
    EVALUATED_ONLY = 1
    ASSIMILATED_POSTERIOR_FAILED = 2
    EVALUATED_POSTERIOR_FAILED = 3
    FORWARD_OPERATOR_FAILED = 4
    NOT_IN_NAMELIST = 5
    BAD_INCOMING_QC = 6
    OUTLIER = 7
    VERTICAL_CONVERSION_FAILED = 8


DART_QC: Final[dict[Flag, DartQC]] = {
    flag: number
    for number, flags in (
        (DartQC.ASSIMILATED, (Flag.PASS,)),
        (DartQC.EVALUATED_ONLY, (Flag.PASSIVE,)),
        (DartQC.BAD_INCOMING_QC, (Flag.MISSING, Flag.PRE_QC, Flag.BOUNDS)),
        (DartQC.FORWARD_OPERATOR_FAILED, (Flag.DOMAIN, Flag.H_FAILED)),
        (DartQC.NOT_IN_NAMELIST, (Flag.BLACKLIST, Flag.THINNED, Flag.HISTORY, Flag.SUPEROB)),
        (
            DartQC.OUTLIER,
            (Flag.CLOUD, Flag.FIRST_GUESS, Flag.TRACK, Flag.BUDDY, Flag.PROFILE, Flag.SUPER_REFRACTION),
        ),
    )
    for flag in flags
}
"""Every flag → the number of DART that comes closest."""


def dart_qc(flags: NDArray[np.int16]) -> NDArray[np.int16]:
    """(n,) `Flag` → (n,) `DartQC`."""
    numbers = np.full(max(Flag) + 1, -1, dtype=np.int16)
    numbers[list(DART_QC)] = list(DART_QC.values())
    return numbers[flags]
