"""Why rows are not in use: the share that is, what is lost most, and of each flag the commonest reason and what helps.

Reasons that differ in their numbers alone count together. Valid are rows that neither their file nor the bounds of what
can be reject, and that are not set aside on purpose.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phyda_cli.fields.display import display
from phyda_cli.observations.passive import is_set_aside
from phyda_cli.observations.table import Feedback, Flag, Observations, Use

_NUMBER: Final = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
_LOSSES: Final = 3
_REMEDIES: Final = {
    Flag.PASSIVE: "give a background and a method that reach them (docs/quality.md)",
    Flag.MISSING: "complete the rows; docs/observations.md names what is read",
    Flag.PRE_QC: "the file itself marks them; correct its marks if they are wrong",
    Flag.BOUNDS: "check the units (--units COLUMN=UNIT) and the values",
    Flag.DOMAIN: "check time and place: --time, --window, --margin, --fgat; or leave these rows out",
    Flag.BLACKLIST: "as the rules of --quality want it",
    Flag.H_FAILED: "give a background that holds the variable; heights of stations: --stations",
    Flag.THINNED: "as thinning and duplicates want it; --quality sets both",
    Flag.CLOUD: "H is of clear air; --quality sets the check",
    Flag.FIRST_GUESS: "if many: do background and observations belong together? Else larger --errors, or --quality",
    Flag.TRACK: "look at the station or aircraft; --quality sets the check",
    Flag.BUDDY: "look at the station, its neighbours disagree; --quality sets the check",
    Flag.PROFILE: "look at the station; --quality sets the check",
    Flag.HISTORY: "an earlier cycle used them, as --carry wants it",
    Flag.SUPER_REFRACTION: "rays are bent into the ground there; --quality sets the check",
    Flag.SUPEROB: "as --quality wants it: others stand for them",
}


@dataclass(frozen=True)
class Share:
    """valid, used: numbers of rows. losses: the commonest reasons of valid rows that are not used, and how many."""

    valid: int
    used: int
    losses: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Rejection:
    """The rows of a flag. count: how many. reason: the commonest, numbers left out, with its count. example: one row of
    it, with its own reason. remedy: what helps.
    """

    flag: str
    count: int
    reason: str
    of_reason: int
    example: str
    remedy: str


def without_numbers(reason: str) -> str:
    """Return a reason without its numbers."""
    return _NUMBER.sub("…", reason)


def share_of(observations: Observations) -> Share:
    """Return which share of the valid rows is in use, and the three largest losses."""
    o = observations
    valid = ~np.isin(o.flag, (Flag.MISSING, Flag.PRE_QC, Flag.BOUNDS, Flag.BLACKLIST)) & ~_aside(o)
    losses, _ = _commonest(o, np.flatnonzero(valid & ~o.used))
    return Share(int(valid.sum()), int(o.used.sum()), losses[:_LOSSES])


def rejections(feedback: Feedback) -> tuple[Rejection, ...]:
    """Return what was rejected, the most frequent flag first; not what was withheld or monitored."""
    o = feedback.observations
    lost, found = ~o.used & ~_aside(o), []
    for number, count in Counter(o.flag[lost].tolist()).most_common():
        rows = np.flatnonzero(lost & (o.flag == number))
        ((reason, of_reason), *_), row = _commonest(o, rows)
        flag = Flag(number)
        found.append(Rejection(flag.name.lower(), count, reason, of_reason, _row(o, row), _REMEDIES[flag]))
    return tuple(found)


def format_share(share: Share) -> str:
    """The first lines of the summary."""
    part = f" ({100.0 * share.used / share.valid:.1f} %)" if share.valid else ""
    lines = [f"{share.used} of {share.valid} valid rows are used{part}{'; lost most:' if share.losses else ''}"]
    return "\n".join([*lines, *(f"{count:>8}  {reason}" for reason, count in share.losses), ""])


def format_rejections(found: Sequence[Rejection]) -> str:
    """The lines for people; nothing where nothing was rejected."""
    if not found:
        return ""
    lines = ["", "rejected: the commonest reason of each flag, one row that has it, what helps"]
    for one in found:
        part = "" if one.of_reason == one.count else f" ({one.of_reason} of {one.count})"
        lines += [f"{one.flag:<12}{one.count:>8}  {one.reason}{part}", f"{'':22}e.g. {one.example}"]
        lines.append(f"{'':22}{one.remedy}")
    return "\n".join(lines)


def _aside(o: Observations) -> NDArray[np.bool_]:
    """(n,) rows that are withheld or monitored on purpose."""
    return is_set_aside(o, Use.WITHHOLD) | is_set_aside(o, Use.MONITOR)


def _commonest(o: Observations, rows: NDArray[np.int64]) -> tuple[tuple[tuple[str, int], ...], int]:
    """The reasons of some rows, the commonest first, each with its count; and the first row of the commonest, or −1."""
    plain = [without_numbers(str(reason)) for reason in o.reason[rows]]
    counted = tuple(Counter(plain).most_common())
    return counted, int(rows[plain.index(counted[0][0])]) if counted else -1


def _row(o: Observations, row: int) -> str:
    """A row as people find it: file and number, station, what it says, and why it was rejected."""
    source = o.sources[o.source[row]] if len(o.sources) > o.source[row] else "?"
    shown = display(str(o.variable[row]))
    said = f"{shown.factor * o.value[row]:.5g} {shown.unit}" if np.isfinite(o.value[row]) else "no value"
    level = f" at {o.pressure[row] / 100:.5g} hPa" if np.isfinite(o.pressure[row]) else ""
    station = f", station {o.station[row]}" if o.station[row] else ""
    return f"{source} row {o.row[row]}{station}: {o.variable[row] or '?'} {said}{level}: {o.reason[row]}"
