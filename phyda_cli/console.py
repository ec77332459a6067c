"""Everything that phyda says: one result on stdout, the rest on stderr.

stdout carries the result line or, with `--json`, one JSON document (on failure too). stderr carries log lines (UTC, one
event a line), summary tables and progress; colour and bars appear only when it is a terminal.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import math
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from phyda_cli.errors import CannotWriteError

PROGRESS_SECONDS: Final = 30.0
"""Interval of the progress lines where stderr is no terminal."""

_CONTROL: Final = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069]")
"""C0 and C1 controls, line separators, and what turns the direction of writing."""
_INTERNAL_LOGGER: Final = "phyda_cli"


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


@dataclass
class Console:
    """The one sink, set up once by `cli.main`.

    json: one JSON document on stdout in place of the result line. quiet: stderr carries errors only.
    verbose: debugging messages too. log_format: of the lines on stderr.
    """

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    log_format: LogFormat = LogFormat.TEXT

    def start(self) -> None:
        """Send the logging of phyda and of the libraries to stderr, as the settings say."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # a path or name that the locale cannot write must not end the run
                stream.reconfigure(errors="backslashreplace")
        logging.raiseExceptions = False
        logging.captureWarnings(True)
        handler = self._handler()
        logging.basicConfig(level=logging.ERROR if self.quiet else logging.WARNING, handlers=[handler], force=True)
        level = logging.ERROR if self.quiet else logging.DEBUG if self.verbose else logging.INFO
        logging.getLogger(_INTERNAL_LOGGER).setLevel(level)

    def result(self, line: str, document: Mapping[str, Any]) -> None:
        """Write the result: `document` with --json, else `line`. Call it when the result is durable.

        Raises CannotWriteError when stdout cannot take it; ends quietly, as a pipe writer does, when nobody reads.
        """
        text = printable_json(plain(document), ensure_ascii=False) if self.json else printable(line)
        if sys.stdout is None:
            return
        try:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            discard_stdout()
            raise SystemExit(128 + signal.SIGPIPE) from None
        except OSError as error:
            discard_stdout()
            raise CannotWriteError(f"standard output: {error.strerror}") from error

    @property
    def shows_tables(self) -> bool:
        """Whether people read summaries: not with --quiet, nor among JSON log lines."""
        return not self.quiet and self.log_format is LogFormat.TEXT

    def table(self, text: str) -> None:
        """Write a summary for people to stderr, if they read it."""
        if self.shows_tables:
            self._stderr(text)

    def record(self, message: str, fields: Mapping[str, Any]) -> None:
        """Log what a table says to people as one object, among JSON log lines alone."""
        if self.log_format is LogFormat.JSON:
            logging.getLogger(_INTERNAL_LOGGER).info(message, extra={"fields": plain(fields)})

    def failure(self, message: str, *, code: int, kind: str, about: Mapping[str, Any] | None = None) -> None:
        """Say why the run ends: one line on stderr and, with --json, the document on stdout.

        about: further entries of the document.
        """
        message = " ".join(message.split())
        if self.log_format is LogFormat.JSON:
            logging.getLogger(_INTERNAL_LOGGER).error(message)
        else:
            self._stderr(f"phyda: error: {message}")
        if self.json:
            failure = {"type": kind, "message": message}
            with contextlib.suppress(SystemExit, CannotWriteError):
                self.result("", {"status": "error", "exit_code": code, "error": failure} | dict(about or {}))

    @contextlib.contextmanager
    def progress(self, description: str, total: int, found: int = 0) -> Iterator[Callable[[int], None]]:
        """Give a function that takes the number of steps done so far: a bar on a terminal, else a line now and then.

        found: steps that were done before; they count nothing for the time that is left.
        """
        if self.quiet:
            yield lambda done: None
        elif self.log_format is LogFormat.TEXT and stderr_is_terminal():
            with _bar(description, total, found) as update:
                yield update
        else:
            yield _progress_lines(description, total, found)

    def _handler(self) -> logging.Handler:
        if self.log_format is LogFormat.JSON:
            handler: logging.Handler = logging.StreamHandler()
            handler.setFormatter(_JsonFormatter())
        elif stderr_is_terminal():
            from rich.console import Console as RichConsole
            from rich.logging import RichHandler

            handler = RichHandler(console=RichConsole(stderr=True), show_time=False, show_path=False)
            handler.setFormatter(_LineFormatter("%(asctime)s %(message)s"))
        else:
            handler = logging.StreamHandler()
            handler.setFormatter(_LineFormatter("%(asctime)s %(levelname)s %(message)s"))
        return handler

    def traceback(self, error: BaseException) -> None:
        """Write where an error comes from to stderr."""
        self._stderr("".join(traceback.format_exception(error)).rstrip("\n"))

    @staticmethod
    def _stderr(text: str) -> None:
        if sys.stderr is not None:
            with contextlib.suppress(OSError):
                print(printable(text), file=sys.stderr, flush=True)


console: Final = Console()
"""The console of this process."""


def printable(text: str) -> str:
    """A text whose control characters, which could steer a terminal, are shown as escapes; lines and tabs stay."""
    return _CONTROL.sub(
        lambda match: f"\\x{ord(match[0]):02x}" if match[0] < "\u0100" else f"\\u{ord(match[0]):04x}", text
    )


def printable_json(value: Any, *, ensure_ascii: bool = True) -> str:
    """JSON on one line without any control character; a reader gets them back."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=ensure_ascii)
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def stderr_is_terminal() -> bool:
    """True where bars and colour may be shown; NO_COLOR is left to rich, which drops the colour only."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def discard_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush does not complain."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _LineFormatter(logging.Formatter):
    """One event, one line, UTC."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%SZ"
    default_msec_format = ""

    def format(self, record: logging.LogRecord) -> str:
        return printable(" ".join(super().format(record).split()))


class _JsonFormatter(logging.Formatter):
    """One event, one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds")
        level, message = record.levelname.lower(), " ".join(record.getMessage().split())
        fields: dict[str, Any] = getattr(record, "fields", {})
        return printable_json({"time": when, "level": level, "logger": record.name, "message": message} | fields)


def _progress_lines(description: str, total: int, found: int) -> Callable[[int], None]:
    began = last = time.monotonic()
    logger = logging.getLogger(_INTERNAL_LOGGER)

    def update(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PROGRESS_SECONDS or done == total:
            last = now
            left = datetime.timedelta(seconds=round((now - began) * (total - done) / max(done - found, 1)))
            logger.info("%s: %d of %d, %s left", description, done, total, left)

    return update


@contextlib.contextmanager
def _bar(description: str, total: int, found: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console as RichConsole
    from rich.progress import Progress

    with Progress(console=RichConsole(stderr=True)) as bar:
        task = bar.add_task(description, total=total, completed=found)
        yield lambda done: bar.update(task, completed=done)


def plain(value: Any) -> Any:
    """What JSON can hold: NaN and infinity become null, anything unknown its text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return plain(value.item()) if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else str(value)
