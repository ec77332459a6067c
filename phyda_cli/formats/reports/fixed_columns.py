"""Numbers in fixed columns of lines of text, with their scale and the numbers that stand for a missing one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from phyda_cli.formats.reports.cells import Floats, Texts, numbers, texts_of


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
