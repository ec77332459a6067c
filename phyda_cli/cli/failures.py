"""What an exception means to the user: one line and an exit code."""

from __future__ import annotations

import errno
import resource
import signal
from typing import Final, NamedTuple

import typer

from phyda_cli.errors import ExitCode, PhydaError

USAGE_ERRORS: Final = tuple(base for base in typer.BadParameter.__bases__ if issubclass(base, Exception))
"""Every usage error of typer: it exports only this one of them, their common base is its parent."""
_UNREADABLE: Final = "is not readable"

received: Final[list[int]] = []
"""The signals that ask this run to end."""


class Failure(NamedTuple):
    """message: one line with the remedy. kind: the name of the exception."""

    message: str
    code: int
    kind: str


def failure_of(error: Exception) -> Failure:
    """Return what is said of an exception, and with which code the run ends."""
    if received:  # a library has made another exception of that of the signal
        return Failure(f"ended by {signal.Signals(received[0]).name}", 128 + received[0], "Ended")
    kind = type(error).__name__
    if _is_descriptors(error):
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        text = f"too many open files: {limit} are allowed; raise the limit with ulimit -n"
        return Failure(text, int(ExitCode.BAD_CONFIG), kind)
    if isinstance(error, PhydaError):
        return Failure(str(error), int(error.exit_code), kind)
    if isinstance(error, USAGE_ERRORS):
        return _usage(error, kind)
    if _is_memory(error):
        return Failure(_out_of_memory(error), int(ExitCode.LOCKED), kind)
    return Failure(f"this is a bug in phyda: {kind}: {error}; --debug shows where", int(ExitCode.BUG), kind)


def _usage(error: Exception, kind: str) -> Failure:
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    place = "phyda" if context is None else context.command_path
    if text.rstrip(".").endswith(_UNREADABLE):  # typer looks at every path that is there
        return Failure(f"{text.rstrip('.')}; check its permissions", int(ExitCode.INPUT_MISSING), kind)
    return Failure(f"{text.rstrip('.')}; see {place} --help", int(ExitCode.USAGE), kind)


def _out_of_memory(error: Exception) -> str:
    said = f" ({error})" if str(error) else ""
    return f"out of memory{said}; wait until more is free, or use fewer members, fewer observations or a coarser grid"


def _is_memory(error: Exception) -> bool:
    """Return whether memory has run out: NumPy and Python say so by type, torch in words."""
    words = ("can't allocate memory", "Cannot allocate memory", "out of memory")
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(w in str(error) for w in words))


def _is_descriptors(error: BaseException | None) -> bool:
    """Return whether the process was refused another open file, whatever a reader has made of that."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE) or "Too many open files" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
