"""Columns of a table that judge its values: NCEP's marks, letters of MADIS, and plain words.

A column judges the whole row (`quality`, `qc`, `flag` …), or the values beside it (`t_qc`, `temperatureDD`). Several
judge together: a value is used where all allow it. What a letter or word means must be known: a table with others is
refused. Numbers are NCEP's marks in columns of their names (`quality`, `qm`, `tqm` …). Under any other name they may be
bits, or 0 for good, or 1 for good: such a column judges nothing, and the log says so.

Source of the letters: NOAA MADIS, "MADIS QC Information", QC data descriptor values.
"""

from __future__ import annotations

import logging
from typing import Final

import numpy as np
import pandas as pd

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.cells import Texts, is_any_fill, is_empty, numbers, texts_of
from phyda_cli.formats.reports.columns import MARK_COLUMNS, WORST_USED_MARK, normalise

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


_OF_ROWS: Final = (
    "quality", "qc", "quality_flag", "qc_flag", "flag", "qflag", "quality_control", "quality_mark", "qm", "qcflag",
)  # fmt: skip
_ENDS: Final = ("_qc", "_quality", "_flag", "_quality_flag", "_qc_flag", "_qm", "dd", "_dd")
_WORDS: Final = {
    **dict.fromkeys(("good", "ok", "pass", "passed", "accepted", "valid"), True),
    **dict.fromkeys(("bad", "fail", "failed", "rejected", "invalid", "suspect", "wrong", "erroneous"), False),
}
_MOST_SHOWN: Final = 8
_NCEP: Final = frozenset({"quality", "quality_mark", "qm", *MARK_COLUMNS})
"""Names of columns whose numbers are NCEP's marks; so are those that end in `_qm`."""
_logger = logging.getLogger(__name__)


def row_columns(table: pd.DataFrame) -> list[str]:
    """The columns that judge whole rows."""
    return [str(c) for c in table.columns if normalise(str(c)) in _OF_ROWS]


def columns_beside(table: pd.DataFrame, column: str, quantity: str) -> list[str]:
    """The columns that judge the values of a wide table's column, or of a quantity."""
    names = {normalise(f"{stem}{end}") for stem in (column, quantity) for end in _ENDS}
    names |= {name for name, judged in MARK_COLUMNS.items() if quantity in (judged or (quantity,))}
    return [str(c) for c in table.columns if normalise(str(c)) in names and str(c) != column]


def verdicts(table: pd.DataFrame, columns: list[str], label: str) -> Texts:
    """(rows,) why columns of marks reject a row's values; "" where they do not.

    Raises BadDataError for marks that are not known.
    """
    result = np.full(len(table), "", dtype=object)
    for column in columns:
        codes, distinct = pd.factorize(texts_of(table[column]))
        texts = np.asarray(distinct, dtype=object)
        if not texts.size:
            continue
        count, empty = numbers(texts), is_empty(texts) & (texts != "M")
        name = normalise(column)
        if name not in _NCEP and not name.endswith("_qm") and (np.isfinite(count) | empty).all():
            if np.isfinite(count).any():
                _logger.warning(
                    "%s: column %r holds numbers whose meaning is not known and judges nothing; where they are NCEP's "
                    "marks, 0 to %d for what is good, call it quality", label, column, WORST_USED_MARK,
                )  # fmt: skip
            continue
        reasons, unknown = np.full(texts.size, "", dtype=object), []
        for i, text in enumerate(texts):
            if empty[i] or (np.isfinite(count[i]) and is_any_fill(count[i : i + 1])[0]):
                continue
            if np.isfinite(count[i]):
                if count[i] > WORST_USED_MARK:
                    reasons[i] = f"quality mark {text} in the table (0 to {WORST_USED_MARK} are used)"
                continue
            used, meaning = LETTERS.get(text, (_WORDS.get(text.casefold()), text))
            if used is None:
                unknown.append(str(text))
            elif not used:
                reasons[i] = f"quality {text} in the table ({meaning})"
        if unknown:
            raise BadDataError(
                f"{label}: column {column!r} judges values by marks that are not known: "
                f"{', '.join(repr(text[:20]) for text in unknown[:_MOST_SHOWN])}; use NCEP's 0 to 15 (0 to "
                f"{WORST_USED_MARK} are used), letters of MADIS, good or bad, or rename the column to leave it out"
            )
        result = np.where(result == "", reasons[codes], result).astype(object)
    return result
