"""Texts as values: durations, moments, numbers of members, choices. Everything wrong is a ValueError with a remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from phyda_cli.errors import UsageError

_DURATION: Final = re.compile(
    r"(?:PT)?(?:(?P<hours>\d+(?:\.\d+)?)H)?(?:(?P<minutes>\d+)M(?:IN)?)?(?:(?P<seconds>\d+)S)?", re.IGNORECASE
)
_LONGEST: Final = timedelta(days=3653)
"""The longest duration of any setting."""
MOST_MEMBERS: Final = 100_000


def duration(value: Any) -> Any:
    """3h, 90min, 1h30min, 30s and the ISO 8601 forms of the same; what is no text stays. Raises ValueError."""
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"{value!r} is no duration; write 3h, 90min or PT3H")
    hours, minutes, seconds = (float(match[unit] or 0) for unit in ("hours", "minutes", "seconds"))
    total = 3600 * hours + 60 * minutes + seconds
    if total > _LONGEST.total_seconds():
        raise ValueError(f"{value[:60]!r} is longer than {_LONGEST.days} days; write a shorter one")
    return timedelta(seconds=total)


def moment(value: Any) -> Any:
    """Return a moment in UTC without a time zone; one that names no zone is UTC. Raises ValueError."""
    if not isinstance(value, str | datetime):
        return value
    try:
        found = datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"{value!r} is no ISO 8601 time; write 2008-12-08T12") from None
    if not 1678 < found.year < 2262:  # what 64 bits of nanoseconds hold
        raise ValueError(f"{value!r} is not between the years 1679 and 2261")
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo is not None else found


def several(value: Any) -> Any:
    """Return one file stands for a list of one."""
    return [value] if isinstance(value, str | Path) else value


def member_numbers(value: Any) -> Any:
    """3 is one member, 0,3-7 or a list several. Raises ValueError for what is neither, or names one twice."""
    if value is None or isinstance(value, int):
        return value
    if not isinstance(value, str):
        return tuple(value)
    parts = [re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip()) for part in value.split(",")]
    numbers: list[int] = []
    for part in parts:
        if part is None or (part[2] is not None and int(part[2]) < int(part[1])):
            raise ValueError(f"{value!r} names no members; write 3, or 0,3-7")
        first, last = int(part[1]), int(part[2] or part[1])
        if last - first >= MOST_MEMBERS:
            raise ValueError(f"{value!r} names more than {MOST_MEMBERS} members")
        numbers += range(first, last + 1)
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"{value!r} names a member twice")
    return numbers[0] if value.strip().isdigit() else tuple(numbers)


def parse_time(text: str) -> datetime:
    """Return a --time option as UTC without a time zone. Raises UsageError."""
    try:
        found: datetime = moment(text)
    except ValueError as error:
        raise UsageError(f"--time: {error}") from error
    return found


def parse_duration(text: str) -> timedelta:
    """Return a --window option. Raises UsageError."""
    try:
        found: timedelta = duration(text)
    except ValueError as error:
        raise UsageError(f"--window: {error}") from error
    return found


def parse_choices(texts: Sequence[str], option: str = "--select", example: str = "month=1") -> dict[str, str]:
    """KEY=VALUE options as a mapping. Raises UsageError for one without a key or value, or a key given twice."""
    choices: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise UsageError(f"{option} {text}: write KEY=VALUE, for example {example}")
        if key in choices:
            raise UsageError(f"{option} {text}: {key} is chosen already, as {choices[key]}")
        choices[key] = value
    return choices
