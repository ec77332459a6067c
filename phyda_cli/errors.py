"""Exit codes and the errors that carry them.

Every failure that a user can cause is a `PhydaError`: one line that names the place (file, row or variable),
the value and the remedy. The command's boundary (`cli.main`) prints it and exits with its code; anything else is a bug.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """The exit codes of every subcommand (BSD sysexits numbers)."""

    DONE = 0
    USAGE = 2
    BAD_DATA = 65
    INPUT_MISSING = 66
    NO_DEVICE = 69
    BUG = 70
    CANNOT_WRITE = 73
    LOCKED = 75
    BAD_CONFIG = 78


class PhydaError(Exception):
    """A failure with a one-line message and an exit code; the message is collapsed to one line."""

    exit_code: ClassVar[ExitCode] = ExitCode.BUG

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class UsageError(PhydaError):
    """The command line asks for something that cannot be."""

    exit_code = ExitCode.USAGE


class BadDataError(PhydaError):
    """An input exists but holds something that cannot be used."""

    exit_code = ExitCode.BAD_DATA


class InputMissingError(PhydaError):
    """An input file does not exist or cannot be read."""

    exit_code = ExitCode.INPUT_MISSING


class DeviceError(PhydaError):
    """The device that was asked for is not on this machine."""

    exit_code = ExitCode.NO_DEVICE


class CannotWriteError(PhydaError):
    """An output exists already, or cannot be written."""

    exit_code = ExitCode.CANNOT_WRITE


class ChangedInputError(PhydaError):
    """An input changed while the run read it; the same command may do now."""

    exit_code = ExitCode.LOCKED


class LockedError(PhydaError):
    """Another run holds the output; try again later."""

    exit_code = ExitCode.LOCKED


class WorkerError(PhydaError):
    """The machine ended a part of the work, mostly for want of memory; the same command may go on from there."""

    exit_code = ExitCode.LOCKED


class ConfigError(PhydaError):
    """A configuration file, a setting or the installation is wrong."""

    exit_code = ExitCode.BAD_CONFIG


class MissingExtraError(ConfigError):
    """An optional dependency is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional dependency: pip install 'phyda[{extra}]'")
