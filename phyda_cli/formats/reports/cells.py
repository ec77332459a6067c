"""Cells of text, of tables or in fixed columns of lines: which are empty, and which are numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Texts = NDArray[np.object_]
Mask = NDArray[np.bool_]

_EMPTY: Final = frozenset(
    ("", "na", "n/a", "nan", "null", "none", "-", "--", "---", "m", "mm", "missing", "nat", "<na>", "#n/a", "?", ".")
)
_FILL_VALUES: Final = (-9999.0, -99999.0, -999999.0, -888888.0, -32767.0, -32768.0)
_FILL_SIZE: Final = 1e10
"""Nothing that is observed reaches it: 1e10 and 1e11 are PREPBUFR's, 9.96921e36 is NetCDF's."""
_ANY_FILLS: Final = (
    999.0, 999.9, 999.99, 8888.0, 9999.0, 9999.9, 9999.99, 32767.0, 32768.0, 88888.0, 99999.0, 99999.9, 888888.0,
    999999.0, 9999999.0,
)  # fmt: skip


def texts_of(column: pd.Series[str]) -> Texts:
    """Return a column's cells without the blanks around them."""
    return np.asarray(column.str.strip().to_numpy(dtype=object))


def numbers(texts: Texts) -> Floats:
    """Return numbers of texts; NaN where there is no number."""
    if not np.any(texts != ""):
        return np.full(texts.shape, np.nan)
    return np.asarray(pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy(dtype=np.float64))


def is_empty(texts: Texts) -> Mask:
    """Return where cells are empty, or say with a word that there is nothing."""
    codes, distinct = pd.factorize(texts)
    empty = np.array([str(text).casefold() in _EMPTY for text in distinct], dtype=bool)
    return empty[codes] if distinct.size else np.zeros(texts.shape, dtype=bool)


def is_fill(values: Floats) -> Mask:
    """Return where numbers are what files write for a missing one."""
    return np.asarray(np.isin(values, _FILL_VALUES) | (np.abs(values) >= _FILL_SIZE))


def is_any_fill(values: Floats) -> Mask:
    """Return where numbers are what some file writes for a missing one, though of some quantity they may be real."""
    return np.asarray(is_fill(values) | np.isin(np.abs(values), _ANY_FILLS))


class Lines:
    """Lines of text whose columns are counted from 1, as format descriptions do; `end` belongs to the column."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = pd.Series(list(lines), dtype=object)

    def __len__(self) -> int:
        return len(self._lines)

    def texts(self, start: int, end: int) -> Texts:
        """(line,) the column's text without blanks around it."""
        if self._lines.empty:
            return np.zeros(0, dtype=object)
        return texts_of(self._lines.str.slice(start - 1, end))

    def numbers(self, start: int, end: int) -> Floats:
        """(line,) the column's numbers; NaN where there is none."""
        return numbers(self.texts(start, end))


def scaled(written: Floats, scale: float, missing: Sequence[float], offset: float = 0.0) -> Floats:
    """scale·x + offset; NaN for the numbers of `missing`."""
    return np.where(np.isin(written, list(missing)), np.nan, scale * written + offset)
