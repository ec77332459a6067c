"""How a DART observation sequence in text is built: header, then one block of lines for each observation.

    obs_sequence, obs_type_definitions, number, types; num_copies, num_qc; num_obs; names of copies and QC fields;
    first and last of the linked list
    OBS n, one line for each copy and each QC field, links, obdef, loc3d, place, kind, number of the type,
    lines of the type's own (any number), seconds and days, error variance

The fixed lines are found from the block's begin, the last two from its end; what they mean is in `dart.py`.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.formats.reports.cells import Floats
from phyda_cli.formats.reports.table_text import bytes_of

Integers = NDArray[np.int64]
Lines = NDArray[np.object_]


@dataclass(frozen=True)
class Header:
    """types: names by number. copies, marks: names of the copies and QC fields. first: of the linked list."""

    types: dict[int, str]
    copies: tuple[str, ...]
    marks: tuple[str, ...]
    n: int
    first: int


@dataclass(frozen=True)
class Records:
    """Where the observations stand in the file. lines: all of it; start, stop (n,): from `OBS` to after the last."""

    label: str
    lines: Lines
    start: Integers
    stop: Integers

    def numbers(self, at: Integers, what: str, *, columns: int, missing: bool = False) -> Floats:
        """Return the lines `at` (n,) as numbers (n, columns), NaN among them only if `missing`.

        what: for the message of BadDataError, which is raised for the first line that is not so.
        """
        text = "\n".join(self.lines[at])
        try:
            table = pd.read_csv(io.StringIO(text), sep=r"\s+", header=None, dtype=np.float64, skip_blank_lines=False)
        except ValueError:
            return self._numbers_one_by_one(at, what, columns, missing)
        if table.shape == (at.size, columns) and bool(np.isfinite(table.to_numpy()).all()):
            return np.asarray(table.to_numpy())
        return self._numbers_one_by_one(at, what, columns, missing)

    def _numbers_one_by_one(self, at: Integers, what: str, columns: int, missing: bool) -> Floats:
        """Return the same for lines with NaN, exponents of Fortran's double precision (1.5D+02) or a fault."""
        values = np.full((at.size, columns), np.nan)
        for i, line in enumerate(self.lines[at]):
            try:
                values[i] = [float(part) for part in re.sub("[dD]", "e", line).split()]
                if not missing and not np.isfinite(values[i]).all():
                    raise ValueError
            except ValueError:
                raise BadDataError(
                    f"{self.label}: OBS {i + 1} (line {at[i] + 1}): {line.strip()[:40]!r} is not {what}; "
                    "the DART file is damaged or cut off"
                ) from None
        return values

    def expect(self, at: Integers, word: str) -> None:
        """Raise BadDataError unless every line `at` is the word."""
        wrong = np.array([line.strip() != word for line in self.lines[at]], dtype=bool)
        if wrong.any():
            i = int(np.argmax(wrong))
            raise BadDataError(
                f"{self.label}: OBS {i + 1} (line {at[i] + 1}) has {self.lines[at[i]].strip()[:40]!r} where "
                f"{word!r} is expected; phyda reads text files with loc3d places, written whole"
            )


def read_sequence(path: Path) -> tuple[Header, Records]:
    """Return the header and blocks of a file.

    Raises InputMissingError when it cannot be read, BadDataError when it is binary, damaged or cut off.
    """
    lines, label = _lines(path), str(path)
    header, first = _header(lines, label)
    return header, _records(lines, first, header, label)


def _lines(path: Path) -> Lines:
    data = bytes_of(path, str(path))
    if b"\0" in data[:4096]:
        raise BadDataError(
            f"{path}: is a binary DART file; write it as text: obs_sequence_tool, write_binary_obs_sequence = .false."
        )
    if not data.endswith(b"\n"):
        raise BadDataError(f"{path}: ends within a line: the DART file is cut off; fetch it again")
    return np.array(data.decode("utf-8", errors="replace").rstrip().split("\n"), dtype=object)


def _header(lines: Lines, label: str) -> tuple[Header, int]:
    """Return the header and the index of the line after it."""
    at = 0

    def following(what: str) -> str:
        nonlocal at
        if at >= lines.size:
            raise BadDataError(f"{label}: ends in its header, before {what}; the DART file is cut off")
        at += 1
        return str(lines[at - 1]).strip()

    def counts(what: str, *names: str) -> list[int]:
        text = following(what)
        found = re.findall(r"(\w+):\s*(-?\d+)", text)
        if tuple(name for name, _ in found) != names:
            raise BadDataError(f"{label}: line {at} is {text[:60]!r}, not {what}; the DART file is damaged or cut off")
        return [int(number) for _, number in found]

    text = following("its first line")
    if text == "obs_sequence":
        text = following("the types")
    if text not in ("obs_type_definitions", "obs_kind_definitions"):
        raise BadDataError(f"{label}: line {at} is {text[:60]!r}, not obs_type_definitions; the DART file is damaged")
    types: dict[int, str] = {}
    size = following("the number of types")
    for _ in range(int(size) if size.isdigit() else 0):
        number, _, name = following("the types").partition(" ")
        if not number.isdigit():
            raise BadDataError(f"{label}: line {at} is not a type's number and name; the DART file is damaged")
        types[int(number)] = name.strip()
    n_copies, n_marks = counts("the numbers of copies and QC fields", "num_copies", "num_qc")
    n, _ = counts("the number of observations", "num_obs", "max_num_obs")
    copies = tuple(following("the names of the copies") for _ in range(n_copies))
    marks = tuple(following("the names of the QC fields") for _ in range(n_marks))
    first, _ = counts("the ends of the linked list", "first", "last")
    return Header(types, copies, marks, n, first), at


def _records(lines: Lines, first: int, header: Header, label: str) -> Records:
    """Return where each observation stands; lines that a type adds of its own lie between kind and time."""
    start = np.flatnonzero(pd.Series(lines, dtype=str).str.match(r"\s*OBS\s+\d+\s*$").to_numpy(dtype=bool))
    if start.size != header.n:
        raise BadDataError(
            f"{label}: holds {start.size} observations, its header says {header.n}; the DART file is cut off or damaged"
        )
    stop = np.append(start, lines.size)[1:].astype(np.int64)
    short = stop - start < len(header.copies) + len(header.marks) + 9
    if short.any():
        raise BadDataError(f"{label}: OBS {int(np.argmax(short)) + 1} lacks lines; the DART file is cut off or damaged")
    if start.size and start[0] != first:
        raise BadDataError(f"{label}: line {first + 1} is not the first observation; the DART file is damaged")
    return Records(label, lines, start, stop)
