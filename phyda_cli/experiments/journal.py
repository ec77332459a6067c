"""The records of an experiment on disk, one line of JSON each, from which a run that was stopped goes on.

The first line has the digest of the settings. Each other line is one date of one method at one density, with the
method's identity; a block of dates is written in one go and counts as done when all its lines are there. Lines of
another identity of a method are left out when the records are read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from phyda_cli.errors import BadDataError
from phyda_cli.experiments.measure import Record
from phyda_cli.outputs import atomic_path

FILE: Final = "records.jsonl"

Key = tuple[str, float, int]
"""Method, density [%], number of the pair."""


class Journal:
    """The records of DIRECTORY/records.jsonl. digest: of the settings. identities: of each method by its name.

    Raises BadDataError for records of an experiment with other settings.
    """

    def __init__(self, directory: Path, digest: str, identities: Mapping[str, str]) -> None:
        self.path = directory / FILE
        self._identities = identities
        self.records: dict[Key, Record] = {}
        lines = _lines(self.path)
        if lines and lines[0].get("settings") != digest:
            raise BadDataError(f"{self.path}: records of an experiment with other settings or data; give another --out")
        if not lines:
            with atomic_path(self.path, overwrite=True) as temporary:
                temporary.write_text(f"{json.dumps({'settings': digest})}\n", encoding="utf-8")
            return
        for line in lines[1:]:
            if identities.get(line["method"]) == line["identity"]:
                self.records[line["method"], line["density"], line["pair"]] = line
        _cut(self.path, lines)

    def holds(self, method: str, density: float, pairs: Iterable[int]) -> bool:
        """Return whether all these dates are there."""
        return all((method, density, pair) in self.records for pair in pairs)

    def add(self, method: str, density: float, records: Sequence[Record]) -> None:
        """Add the dates of a batch, at once on disk."""
        head = {"method": method, "identity": self._identities[method], "density": density}
        lines: list[Record] = [head | record for record in records]
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{json.dumps(line, separators=(',', ':'))}\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        self.records.update({(method, density, int(line["pair"])): line for line in lines})


def _lines(path: Path) -> list[Record]:
    """Return all whole lines; those after one that a kill cut short are left out."""
    if not path.exists():
        return []
    found: list[Record] = []
    with path.open("rb") as file:
        for line in file:
            try:
                record = json.loads(line)
            except (json.JSONDecodeError, UnicodeDecodeError):
                break
            if not line.endswith(b"\n") or not isinstance(record, dict):
                break
            found.append(record)
    return found


def _cut(path: Path, whole: Sequence[Record]) -> None:
    """Take off what a kill cut short, so that the next line does not begin in the middle of it."""
    with path.open("rb") as file:
        size = sum(len(next(file)) for _ in whole)
    if path.stat().st_size != size:
        os.truncate(path, size)
