"""The command line: global options, the subcommands, and the one place where errors become exit codes."""

from __future__ import annotations

import _thread
import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Annotated, Final

import typer

from phyda_cli import __version__
from phyda_cli.cli.assimilate import assimilate
from phyda_cli.cli.cycle import cycle
from phyda_cli.cli.diagnose import diagnose
from phyda_cli.cli.doctor import doctor
from phyda_cli.cli.evaluate import EvaluateCommand, evaluate
from phyda_cli.cli.experiment import experiment
from phyda_cli.cli.failures import failure_of, received
from phyda_cli.cli.info import info
from phyda_cli.cli.plot import plot
from phyda_cli.cli.prepare import prepare
from phyda_cli.cli.train import train
from phyda_cli.console import LogFormat, console, discard_stdout
from phyda_cli.errors import ExitCode
from phyda_cli.outputs import remove_unfinished

_MEANINGS: Final = {
    ExitCode.DONE: "done, and the output is on disk",
    ExitCode.USAGE: "wrong command line",
    ExitCode.BAD_DATA: "an input holds something that cannot be used",
    ExitCode.INPUT_MISSING: "an input is missing or cannot be read",
    ExitCode.NO_DEVICE: "the device asked for is not there",
    ExitCode.BUG: "a bug in phyda",
    ExitCode.CANNOT_WRITE: "an output exists already or cannot be written",
    ExitCode.LOCKED: "another run holds the output, an input changed meanwhile, or memory is short: try again later",
    ExitCode.BAD_CONFIG: "a configuration file, a setting or the installation is wrong",
}
_EPILOG: Final = "\b\nExit codes:\n" + "\n".join(
    [
        *(f"  {code.value:3d}  {text}" for code, text in _MEANINGS.items()),
        "  129, 130, 143  ended by SIGHUP, SIGINT, SIGTERM",
    ]
)
_GLOBAL_FLAGS: Final = ("--json", "--quiet", "--verbose", "--debug")
_GLOBAL_VALUES: Final = ("--log-format",)
_COMMAND_EPILOG: Final = "Global options, at any place: --json --quiet --verbose --debug --log-format text|json"

GRACE: Final = 5.0
"""How long a run may take to end after a signal [s]."""
_ENDED: Final = tuple(128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM))

app = typer.Typer(
    name="phyda",
    help="Atmospheric data assimilation: a background and observations in, an analysis out.",
    epilog=_EPILOG,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
for _command in (assimilate, cycle, evaluate, diagnose, plot, prepare, train, experiment, info, doctor):
    app.command(epilog=_COMMAND_EPILOG, cls=EvaluateCommand if _command is evaluate else None)(_command)


def _version(wanted: bool) -> None:
    if wanted:
        console.result(f"phyda {__version__}", {"status": "ok", "version": __version__})
        raise typer.Exit


@app.callback()
def _settings(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout, also on failure.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Only errors on stderr.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Debugging messages on stderr too.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    log_format: Annotated[LogFormat, typer.Option(help="Form of the lines on stderr.")] = LogFormat.TEXT,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    console.json, console.quiet, console.verbose, console.log_format = as_json, quiet, verbose, log_format
    console.start()
    if "SOURCE_DATE_EPOCH" in os.environ:  # libraries read it too, and end at a word
        from phyda_cli.formats.provenance import creation_time

        creation_time()


class Ended(SystemExit):
    """A signal asks the process to end; an exception, so that temporaries and locks are cleaned up."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.name = signal.Signals(number).name


def main(arguments: Sequence[str] | None = None) -> int:
    """Run phyda and return the exit code."""
    words = _globals_first(sys.argv[1:] if arguments is None else arguments)
    console.json, debug = "--json" in words, "--debug" in words  # for errors that come before the options are parsed
    # Threads that wait for each other in a loop take the processor from those that they wait for where others use it
    # too. OpenMP reads this when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # NumPy's matrices are small, and its own threads wait in such a loop whatever OpenMP does.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with _signals_as_exceptions():
        try:
            code = _run(words, debug=debug)
            if sys.stdout is not None:
                sys.stdout.flush()
        except BrokenPipeError:
            discard_stdout()
            return 128 + signal.SIGPIPE
        except Ended as error:  # came outside of the command
            code = int(str(error.code))
        if code in _ENDED:
            remove_unfinished()
        return code


def _run(words: Sequence[str], *, debug: bool) -> int:
    """Run the command; every exception becomes a line and a code here and nowhere else."""
    try:
        outcome = app(args=list(words), prog_name="phyda", standalone_mode=False)
        return outcome if isinstance(outcome, int) else ExitCode.DONE
    except Ended as error:
        console.failure(f"ended by {error.name}", code=int(str(error.code)), kind="Ended")
        return int(str(error.code))
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else ExitCode.BUG
    except Exception as error:
        found = failure_of(error)
        if debug:
            console.traceback(error)
        logging.getLogger(__name__).debug("exit code %d", found.code)
        console.failure(found.message, code=found.code, kind=found.kind)
        return found.code


def _globals_first(words: Sequence[str]) -> list[str]:
    """Return the arguments with the global options moved to the front, where typer looks for them; not those after
    `--`.
    """
    end = words.index("--") if "--" in words else len(words)
    front: list[str] = []
    rest: list[str] = []
    before = iter(words[:end])
    for word in before:
        if word in _GLOBAL_FLAGS or word.startswith(tuple(f"{name}=" for name in _GLOBAL_VALUES)):
            front.append(word)
        elif word in _GLOBAL_VALUES:
            front += [word, *(value for value in [next(before, None)] if value is not None)]
        else:
            rest.append(word)
    return [*front, *rest, *words[end:]]


@contextlib.contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    """Make SIGTERM, SIGINT and SIGHUP exceptions, unless the caller (nohup, a job in the background) has them ignored.

    An exception that comes at any moment may find a library with a lock half taken, and then wait for itself; or a
    destructor, which swallows it. So a thread ends the process when it is still there after `GRACE`.
    """

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        received.append(number)
        _thread.start_new_thread(_end_for_sure, (number,))  # of `threading` a lock may be held just now
        raise Ended(number)

    received.clear()
    defaults = (signal.SIG_DFL, signal.default_int_handler)
    caught = {
        n: old for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT) if (old := signal.getsignal(n)) in defaults
    }
    for number in caught:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, old in caught.items():
            if signal.getsignal(number) is end:
                signal.signal(number, old)


def _end_for_sure(number: int) -> None:
    """End the process after a while, with the processes that it has started; the outputs are whole at any moment."""
    time.sleep(GRACE)
    remove_unfinished()
    for child in multiprocessing.active_children():
        child.kill()
    with contextlib.suppress(OSError):
        os.write(2, f"phyda: error: ended by {signal.Signals(number).name}\n".encode())
    os._exit(128 + number)
