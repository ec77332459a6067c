"""The carry file: what one cycle tells the next, as JSON; nothing else passes between runs.

    {"format": "phyda-carry", "version": 1, "method": "3dvar",
     "cycles": [{"valid_time": "2020-03-01T06:00:00Z", "background_error_scale": 1.31, "used": ["0c1f…", …],
                 "memory": {"north t500": [1.2, 1.9], …}}, …]}

`used` are the keys of the observations that the cycle assimilated (`quality/duplicates.py`), `memory` is what its
analysis tells the next one (`Analysis.memory`), left out where that is nothing. A run at time T reads the cycles
before T and writes them and its own, so that the last cycle may be run again with the same result. Cycles whose window
cannot reach into the next one are forgotten, but for the last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError, InputMissingError
from phyda_cli.methods.base import Memory
from phyda_cli.outputs import atomic_path

FORMAT: Final = "phyda-carry"
VERSION: Final = 1


@dataclass(frozen=True)
class Cycle:
    """What a cycle leaves. scale: factor on its σ_b. used: (n,) keys of the observations that it assimilated.

    memory: of its analysis.
    """

    scale: float
    used: NDArray[np.str_]
    memory: Memory = field(default_factory=dict)


@dataclass(frozen=True)
class Carry:
    """cycles: by their valid time (UTC), oldest first. method: that of all of them."""

    method: str
    cycles: Mapping[np.datetime64, Cycle]

    @property
    def scale(self) -> float | None:
        """The background-error scale of the last cycle; None without one."""
        return self.cycles[max(self.cycles)].scale if self.cycles else None

    @property
    def memory(self) -> Memory:
        """That of the last cycle; empty without one."""
        return self.cycles[max(self.cycles)].memory if self.cycles else {}

    def followed_by(self, time: np.datetime64, cycle: Cycle, *, window: np.timedelta64) -> Carry:
        """With one more cycle at `time`, later than the others, and without those that no longer matter."""
        last = max(self.cycles, default=None)
        kept = {t: c for t, c in self.cycles.items() if t == last or t + 2 * window >= time}
        return Carry(self.method, {**kept, time: cycle})


def read_carry(path: Path, *, method: str, time: np.datetime64) -> Carry:
    """Return what the cycles before `time` (UTC) left for an analysis by `method`.

    Raises InputMissingError when there is no file, BadDataError when it is damaged, of another version or method, or
    ends after `time`: going back would need what has been forgotten.
    """
    document = _document(path)
    if document["version"] != VERSION:
        raise BadDataError(
            f"{path}: a carry file of version {document['version']!r}, this phyda reads {VERSION}; "
            "begin anew with --carry-new and another file"
        )
    try:
        found = str(document["method"])
        cycles = {_time(entry["valid_time"]): _cycle(entry) for entry in document["cycles"]}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    if found != method:
        raise BadDataError(f"{path}: carried by --method {found}, this run is of {method}; take a file of its own")
    last = max(cycles, default=time)
    if last > time:
        raise BadDataError(
            f"{path}: its last cycle is that of {_label(last)}, after this analysis at {_label(time)}; "
            "go on from there, or take a copy of the file from then"
        )
    return Carry(method, {t: cycles[t] for t in sorted(cycles) if t < time})


def write_carry(path: Path, carry: Carry) -> None:
    """Write it, whole or not at all, over the file of the cycle before. Raises CannotWriteError."""
    cycles = [
        {
            "valid_time": _label(time),
            "background_error_scale": cycle.scale,
            "used": sorted(set(cycle.used.tolist())),
            **({"memory": cycle.memory} if cycle.memory else {}),
        }
        for time, cycle in sorted(carry.cycles.items())
    ]
    document = {"format": FORMAT, "version": VERSION, "method": carry.method, "cycles": cycles}
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(f"{json.dumps(document, indent=1)}\n", encoding="utf-8")


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputMissingError(f"{path}: no such carry file; --carry-new begins one") from None
    except OSError as error:
        raise InputMissingError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT or "version" not in document:
        raise BadDataError(f"{path}: not a carry file of phyda; name another with --carry")
    return document


def _cycle(entry: Mapping[str, Any]) -> Cycle:
    scale = float(entry["background_error_scale"])
    used = entry["used"]
    if not (0 < scale < np.inf) or not isinstance(used, list) or not all(isinstance(key, str) for key in used):
        raise ValueError(f"the cycle of {entry['valid_time']}")
    return Cycle(scale, np.array(used, dtype="U16"), memory_of(entry.get("memory", {})))


def memory_of(document: Any) -> Memory:
    """Return the memory that JSON holds. Raises AttributeError, TypeError or ValueError where it is none."""
    return {str(name): [float(value) for value in values] for name, values in document.items()}


def _time(text: str) -> np.datetime64:
    if not text[:4].isdigit():  # NumPy takes words such as `now` for the wall clock
        raise ValueError(f"{text!r} is no time")
    return np.datetime64(text.removesuffix("Z"), "ns")


def _label(time: np.datetime64) -> str:
    return f"{np.datetime_as_string(time, unit='s')}Z"


def _damaged(path: Path, why: str) -> BadDataError:
    return BadDataError(f"{path}: damaged carry file ({why[:120]}); restore a copy, or begin anew with --carry-new")
