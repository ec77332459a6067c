"""Rows that belong together, and an order of rows that their own content alone decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phyda_cli.observations.table import Observations

Integers = NDArray[np.int64]


def codes(column: NDArray[Any]) -> Integers:
    """(n,) a number for each distinct value, ascending with it; texts are compared as texts."""
    if column.dtype == object:
        return np.asarray(pd.factorize(column.astype(object), sort=True)[0], dtype=np.int64)
    return np.unique(column, return_inverse=True)[1].astype(np.int64)


def group(columns: Sequence[NDArray[Any]]) -> Integers:
    """(n,) number of the combination of values in each row, from 0 without gaps; NaN is equal to NaN."""
    result = np.zeros(columns[0].shape[0], dtype=np.int64)
    for column in columns:
        code = codes(column)
        result = np.unique(result * (int(code.max(initial=0)) + 1) + code, return_inverse=True)[1].astype(np.int64)
    return result


def content_rank(table: Observations) -> Integers:
    """(n,) rank of each row by what it holds, whatever the order of rows; equal ranks never occur.

    Rows of equal content are interchangeable; source and row number decide between them.
    """
    keys = (
        codes(table.variable), table.time.astype(np.int64), table.latitude, np.mod(table.longitude, 360.0),
        np.nan_to_num(table.pressure, nan=-1.0), table.value, np.nan_to_num(table.error, nan=-1.0),
        codes(table.station), codes(table.report), np.nan_to_num(table.elevation, nan=-1e9), table.source, table.row,
    )  # fmt: skip
    return ranked(keys)


def ranked(keys: Sequence[NDArray[Any]]) -> Integers:
    """(n,) rank of each row, from 0, by its keys (n,), the first of them the most important."""
    order = np.lexsort(tuple(keys)[::-1])
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    return rank
