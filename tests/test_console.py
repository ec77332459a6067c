"""The sink: what goes to stdout and stderr, and in which form."""

from __future__ import annotations

import json
import logging
import re
import unicodedata

import numpy as np
import pytest

from phyda_cli import console as module
from phyda_cli.console import Console, LogFormat

LOGGER = logging.getLogger("phyda_cli.somewhere")


@pytest.fixture(autouse=True)
def logging_as_before():
    """Leave the process's logging as it was."""
    root, own, warnings = logging.getLogger(), logging.getLogger("phyda_cli"), logging.raiseExceptions
    handlers, levels = root.handlers[:], (root.level, own.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])
    logging.captureWarnings(False)
    logging.raiseExceptions = warnings


def test_result_is_the_line_or_strict_json(capsys):
    document = {"a": float("nan"), "b": np.float32(0.5), "c": [np.int64(3), float("inf")], "d": {"e": None, "f": True}}
    Console().result("path.nc", document)
    assert capsys.readouterr().out == "path.nc\n"
    Console(json=True).result("path.nc", document)
    out = capsys.readouterr().out
    assert json.loads(out) == {"a": None, "b": 0.5, "c": [3, None], "d": {"e": None, "f": True}}
    assert out.count("\n") == 1


def test_log_lines_are_one_line_in_utc(capsys, monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    Console().start()
    LOGGER.info("first\nsecond")
    LOGGER.debug("not shown")
    line = capsys.readouterr().err
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO first second\n", line)


def test_quiet_leaves_errors_only(capsys):
    quiet = Console(quiet=True)
    quiet.start()
    LOGGER.warning("no")
    quiet.table("no")
    with quiet.progress("no", 2) as update:
        update(2)
    LOGGER.error("yes")
    assert capsys.readouterr().err.endswith("ERROR yes\n")
    assert "no" not in capsys.readouterr().err


def test_json_log_lines(capsys):
    console = Console(log_format=LogFormat.JSON)
    console.start()
    console.table("not among JSON lines")
    LOGGER.warning("a %s", "b")
    console.failure("gone\nwrong", code=65, kind="BadDataError")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["level"], line["message"]) for line in lines] == [("warning", "a b"), ("error", "gone wrong")]


def test_failure_is_one_line_and_with_json_a_document_too(capsys):
    Console(json=True).failure("gone\n  wrong", code=65, kind="BadDataError")
    captured = capsys.readouterr()
    assert captured.err == "phyda: error: gone wrong\n"
    error = {"type": "BadDataError", "message": "gone wrong"}
    assert json.loads(captured.out) == {"status": "error", "exit_code": 65, "error": error}


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    console = Console()
    console.start()
    with console.progress("forecasts", 10) as update:
        for done, at in ((1, 1.0), (2, 31.0), (3, 35.0), (10, 50.0)):
            now[0] = at
            update(done)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("INFO ")[1] for line in lines] == [
        "forecasts: 2 of 10, 0:02:04 left",
        "forecasts: 10 of 10, 0:00:00 left",
    ]


@pytest.mark.parametrize(
    ("terminal", "term", "expected"), [(True, "xterm", True), (True, "dumb", False), (False, "xterm", False)]
)
def test_bars_and_colour_need_a_capable_terminal(monkeypatch, terminal, term, expected):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: terminal, raising=False)
    assert module.stderr_is_terminal() is expected


NASTY = "A\x1b[31mred\x1b]0;title\x07\x9b2J\x7f\u202eB"


@pytest.mark.parametrize("log_format", LogFormat)
def test_no_text_steers_the_terminal(capsys, log_format):
    """Control characters are shown as escapes wherever phyda writes."""
    console = Console(log_format=log_format, verbose=True)
    console.start()
    logging.getLogger("phyda_cli.formats").warning("station %s", NASTY)
    logging.getLogger("other").warning("%s", NASTY)
    console.table(f"a\t{NASTY}\nb")
    console.failure(f"variable {NASTY}: unknown", code=65, kind="BadDataError")
    console.traceback(ValueError(NASTY))
    console.result(f"{NASTY}.nc", {})
    console.json = True
    console.result("", {NASTY: NASTY})
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        assert not {c for c in text if unicodedata.category(c) in ("Cc", "Cf")} - {"\n", "\t"}
    shown = r"A\x1b[31mred\x1b]0;title\x07\x9b2J\x7f\u202eB"
    line, document = captured.out.splitlines()
    assert line == f"{shown}.nc"
    assert json.loads(document) == {NASTY: NASTY}
    assert shown in captured.err or log_format is LogFormat.JSON
