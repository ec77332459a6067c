"""Why rows were rejected: of each flag the commonest reason, one row that has it, and what helps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from phyda_cli.fields.display import display
from phyda_cli.observations.passive import is_set_aside
from phyda_cli.observations.summary import without_numbers
from phyda_cli.observations.table import Feedback, Flag, Observations, Use

_REMEDIES: Final = {
    Flag.PASSIVE: "give a background and a method that reach them (docs/quality.md)",
    Flag.MISSING: "complete the rows; docs/observations.md names what is read",
    Flag.PRE_QC: "the file itself marks them; correct its marks if they are wrong",
    Flag.BOUNDS: "check the units (--units COLUMN=UNIT) and the values",
    Flag.DOMAIN: "check time and place: --time, --window, --margin, --fgat; or leave these rows out",
    Flag.BLACKLIST: "as the rules of --quality want it",
    Flag.H_FAILED: "give a background that holds the variable",
    Flag.THINNED: "as thinning and duplicates want it; --quality sets both",
    Flag.FIRST_GUESS: "if many: do background and observations belong together? Else larger --errors, or --quality",
    Flag.TRACK: "look at the station or aircraft; --quality sets the check",
    Flag.BUDDY: "look at the station, its neighbours disagree; --quality sets the check",
    Flag.PROFILE: "look at the station; --quality sets the check",
    Flag.HISTORY: "an earlier cycle used them, as --carry wants it",
    Flag.SUPER_REFRACTION: "rays are bent into the ground there; --quality sets the check",
    Flag.SUPEROB: "as --quality wants it: others stand for them",
}


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


def rejections(feedback: Feedback) -> tuple[Rejection, ...]:
    """Return what was rejected, the most frequent flag first; not what was withheld or monitored."""
    o = feedback.observations
    lost = ~o.used & ~is_set_aside(o, Use.WITHHOLD) & ~is_set_aside(o, Use.MONITOR)
    found = []
    for number, count in Counter(o.flag[lost].tolist()).most_common():
        rows = np.flatnonzero(lost & (o.flag == number))
        plain = [without_numbers(str(o.reason[row])) for row in rows]
        reason, of_reason = Counter(plain).most_common(1)[0]
        row, flag = int(rows[plain.index(reason)]), Flag(number)
        found.append(Rejection(flag.name.lower(), count, reason, of_reason, _row(o, row), _REMEDIES[flag]))
    return tuple(found)


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


def _row(o: Observations, row: int) -> str:
    """A row as people find it: file and number, station, what it says, and why it was rejected."""
    source = o.sources[o.source[row]] if len(o.sources) > o.source[row] else "?"
    shown = display(str(o.variable[row]))
    said = f"{shown.factor * o.value[row]:.5g} {shown.unit}" if np.isfinite(o.value[row]) else "no value"
    level = f" at {o.pressure[row] / 100:.5g} hPa" if np.isfinite(o.pressure[row]) else ""
    station = f", station {o.station[row]}" if o.station[row] else ""
    return f"{source} row {o.row[row]}{station}: {o.variable[row] or '?'} {said}{level}: {o.reason[row]}"
