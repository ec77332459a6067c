"""The command's contract: exit codes, streams, one-line errors, start-up, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from phyda_cli import __version__
from phyda_cli.cli import app as cli
from phyda_cli.cli.app import main
from phyda_cli.errors import BadDataError, ExitCode

ROOT = Path(__file__).parents[2]
PYTHON = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom phyda_cli.cli.app import main"]


def run(code: str, *words: str, env: dict[str, str] | None = None, **options) -> subprocess.CompletedProcess[str]:
    """Run `code` after the import of `main`, in a process with nothing in its environment."""
    command = [*PYTHON[:2], f"{PYTHON[2]}\n{code}", *words]
    return subprocess.run(command, env=env or {}, capture_output=True, text=True, check=False, cwd="/", **options)


PHYDA = "sys.exit(main())"


def test_help_is_light_and_works_in_an_empty_environment():
    code = "code = main()\nprint(sorted({m.split('.')[0] for m in sys.modules}), file=sys.stderr)\nsys.exit(code)"
    done = run(code, "--help", env={"LANG": "C"})
    assert done.returncode == 0
    loaded = set(done.stderr.replace("'", " ").replace(",", " ").split())
    assert "typer" in loaded
    assert not loaded & {"torch", "xarray", "numpy", "pandas", "pydantic", "rich"}
    for code in ExitCode:
        assert f" {int(code)}  " in done.stdout


@pytest.mark.parametrize("command", ["assimilate", "evaluate", "diagnose", "prepare", "experiment", "doctor"])
def test_every_command_has_help(command, capsys):
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"Usage: phyda {command}" in out
    assert "--json" in out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"phyda {__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Missing command; see phyda --help"),
        (["bogus"], "No such command 'bogus'"),
        (["assimilate", "--bogus"], "No such option: --bogus"),
        (["assimilate", "--method", "4dvar"], "'4dvar' is not one of"),
        (["assimilate", "--seed", "x"], "--seed"),
        (["assimilate", "-b", "b.nc"], "--observations is missing"),
        (["--log-format", "xml", "doctor"], "'xml' is not one of"),
        (["evaluate", "--analysis"], "requires an argument"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(words, message, capsys):
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("phyda: error: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_a_file_that_may_not_be_read_is_no_usage_error(tmp_path, monkeypatch, capsys):
    (tmp_path / "bg.nc").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as root one may read everything
    assert main(["assimilate", "-b", str(tmp_path / "bg.nc")]) == 66
    assert capsys.readouterr().err.rstrip().endswith("bg.nc' is not readable; check its permissions")


@pytest.mark.parametrize("words", [["--json", "assimilate", "--bogus"], ["assimilate", "--bogus", "--json"]])
def test_json_holds_the_error_too(words, capsys):
    assert main(words) == 2
    document = json.loads(capsys.readouterr().out)
    assert (document["status"], document["exit_code"]) == ("error", 2)
    assert "--bogus" in document["error"]["message"]


def test_global_options_may_stand_anywhere_but_after_the_double_dash():
    words = ["assimilate", "--json", "-b", "x", "--log-format", "json", "--log-format=text", "--", "--quiet"]
    front = ["--json", "--log-format", "json", "--log-format=text"]
    assert cli._globals_first(words) == [*front, "assimilate", "-b", "x", "--", "--quiet"]
    assert cli._globals_first(["doctor", "--log-format"]) == ["--log-format", "doctor"]


@pytest.fixture
def fail(monkeypatch):
    """Make the application raise an error."""

    def set_error(error):
        def app(**options):
            raise error

        monkeypatch.setattr(cli, "app", app)

    return set_error


def test_an_expected_error_has_its_code_and_no_traceback(fail, capsys):
    fail(BadDataError("file.csv: row 3:\n  wrong"))
    assert main(["doctor"]) == 65
    assert capsys.readouterr().err == "phyda: error: file.csv: row 3: wrong\n"


def test_debug_adds_the_traceback(fail, capsys):
    fail(BadDataError("wrong"))
    assert main(["doctor", "--debug"]) == 65
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("phyda: error: wrong\n")


def test_anything_else_is_a_bug(fail, capsys):
    fail(KeyError("x"))
    assert main(["doctor"]) == 70
    assert capsys.readouterr().err == "phyda: error: this is a bug in phyda: KeyError: 'x'; --debug shows where\n"


WAITING = """
import time
from pathlib import Path
from phyda_cli.cli import app as cli
from phyda_cli.outputs import atomic_path, output_lock
def app(**options):
    target = Path(sys.argv[1])
    with output_lock(target), atomic_path(target, overwrite=True) as temporary:
        temporary.write_text("half")
        print("ready", flush=True)
        time.sleep(60)
cli.app = app
sys.exit(main())
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_clean_up_and_exit_with_their_number(tmp_path, number, code):
    target = tmp_path / "a.nc"
    target.write_text("old")
    command = [*PYTHON[:2], PYTHON[2] + WAITING, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={}) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(number)
        _, err = child.communicate(timeout=30)
    assert child.returncode == code
    assert err == f"phyda: error: ended by {number.name}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.nc"]
    assert target.read_text() == "old"


INTERRUPTED = """
import os, signal
from phyda_cli.cli import doctor as module
def fall(library):
    os.kill(os.getpid(), signal.SIGINT)
    import time; time.sleep(10)
module._version = fall
sys.exit(main())
"""


def test_interrupt_exits_130():
    done = run(INTERRUPTED, "doctor")
    assert (done.returncode, done.stderr) == (130, "phyda: error: ended by SIGINT\n")


STUCK = """
import threading
from pathlib import Path
from phyda_cli.cli import app as cli
from phyda_cli.outputs import atomic_path, output_lock
cli.GRACE = 0.2
def app(**options):
    target = Path(sys.argv[1])
    with output_lock(target), atomic_path(target, overwrite=True):
        lock = threading.Lock()
        try:
            print("ready", flush=True)
            lock.acquire()
            lock.acquire()
        finally:
            lock.acquire()  # a library that waits for itself
cli.app = app
sys.exit(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stuck_ends_all_the_same(tmp_path, number):
    target = tmp_path / "a.nc"
    target.write_text("old")
    command = [*PYTHON[:2], PYTHON[2] + STUCK, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={}) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(number)
        _, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (128 + number, f"phyda: error: ended by {number.name}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["a.nc"]


CHANGED = """
import os, signal
from phyda_cli.cli import app as cli
from phyda_cli.errors import BadDataError
def app(**options):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        sum(range(10**8))
    except SystemExit:
        raise BadDataError("damaged")  # as C libraries do that take any exception for their own
cli.app = app
sys.exit(main())
"""


def test_a_signal_that_a_library_takes_for_damage_is_a_signal():
    done = run(CHANGED)
    assert (done.returncode, done.stderr) == (143, "phyda: error: ended by SIGTERM\n")


def test_nobody_reads_the_output():
    read, write = os.pipe()
    os.close(read)
    try:
        command = [*PYTHON[:2], f"{PYTHON[2]}\n{PHYDA}", "--version"]
        done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, env={}, check=False)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_an_error():
    with open("/dev/full", "w") as full:
        command = [*PYTHON[:2], f"{PYTHON[2]}\n{PHYDA}", "--version"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env={}, check=False)
    assert (done.returncode, done.stderr) == (73, "phyda: error: standard output: No space left on device\n")


def test_doctor(capsys):
    assert main(["doctor", "--json"]) in (0, 78)
    report = json.loads(capsys.readouterr().out)
    assert report["phyda"] == __version__
    assert report["libraries"]["torch"]
    assert report["torch"]["threads"] >= 1
    assert (report["status"] == "ok") == (report["problems"] == [])
