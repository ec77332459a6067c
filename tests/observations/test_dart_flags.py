"""Every flag has a number of DART."""

from __future__ import annotations

import numpy as np

from phyda_cli.observations.dart_flags import DART_QC, DartQC, dart_qc
from phyda_cli.observations.table import Flag


def test_every_flag_has_a_number():
    assert set(DART_QC) == set(Flag)
    assert np.isin(dart_qc(np.array(list(Flag), dtype=np.int16)), list(DartQC)).all()


def test_numbers():
    flags = [Flag.FIRST_GUESS, Flag.PASS, Flag.PASSIVE, Flag.PRE_QC, Flag.H_FAILED, Flag.THINNED]
    assert dart_qc(np.array(flags, dtype=np.int16)).tolist() == [7, 0, 1, 6, 4, 5]


def test_only_what_passed_counts_as_assimilated():
    assert [flag for flag, number in DART_QC.items() if number == DartQC.ASSIMILATED] == [Flag.PASS]
