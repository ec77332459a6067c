"""Outputs that appear whole or not at all.

The bytes go to a hidden temporary in the directory of the target, are made durable (fsync of the file), take the
target's name in one step (`os.replace`) and the name is made durable (fsync of the directory). Whatever ends the
process before that step leaves the old file as it was. SIGINT and SIGTERM reach this code as exceptions. Several
outputs of one run take their names together, as its last step, or none does (`together`).

One run holds an output at a time (`output_lock`); a file system without locks is said, once, and gone on with, since
the replacement is safe without them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from phyda_cli.errors import CannotWriteError, LockedError

_STORAGE_ERRORS: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ESTALE, errno.ENOLCK}
)
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})
"""What flock gives where the file system, such as NFS without its lock service, has no locks."""
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK})
"""What link gives on file systems without hard links, such as exFAT."""
_LONGEST_PAUSE: Final = 1.0
"""Between two looks at a lock that is waited for [s]."""
LOCK_HINT: Final = "this file system gives no locks (NFS without lockd?): set HDF5_USE_FILE_LOCKING=FALSE"

_TEMPORARY: Final = re.compile(rb"\..+\.partial-[0-9a-f]{8}(\.[^.]*)?", re.DOTALL)
"""The names of temporaries, as `_temporary` makes them."""
_RESERVED: Final = re.compile(rb"\..+\.(partial-.*|lock)", re.DOTALL)
"""Names that are phyda's own: temporaries, locks, and whatever may be taken for one."""

_unfinished: Final[set[Path]] = set()
"""What this process has made and must not leave behind: a signal may come between two statements."""

_log = logging.getLogger(__name__)


def check_target(path: Path, *, overwrite: bool) -> Path:
    """The real place of an output (links followed), once it is clear that it may be written there.

    Raises CannotWriteError when it exists and `overwrite` is off, is no regular file, or its directory is missing or
    not writable. Call it before any expensive work; `atomic_path` calls it again.
    """
    check_name(path)
    target = Path(os.path.realpath(path))
    if path.name == "-":
        raise CannotWriteError(f"{path}: an output needs a file, standard output has only its path; name a file")
    if is_reserved(path):
        raise CannotWriteError(f"{path}: names of this form are those of phyda's own temporaries; choose another name")
    if target.is_dir():
        raise CannotWriteError(f"{path}: is a directory; name a file")
    if target.exists() and not target.is_file():
        raise CannotWriteError(f"{path}: is not a regular file; name one")
    if target.exists() and not overwrite:
        raise CannotWriteError(f"{path}: exists already; give --overwrite to replace it")
    if not target.parent.is_dir():
        raise CannotWriteError(f"{path}: the directory {target.parent} does not exist; create it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise CannotWriteError(f"{path}: no permission to write in {target.parent}")
    if target.exists() and not _may_replace(target):
        raise CannotWriteError(f"{path}: belongs to another user, whose files in {target.parent} only they may replace")
    return target


def check_name(path: Path) -> None:
    """Raises CannotWriteError for a path that the libraries or the file system cannot take."""
    try:
        target = Path(os.path.realpath(path))
        str(target).encode()
        longest = os.pathconf(target.parent, "PC_NAME_MAX") if target.parent.is_dir() else None
        temporary = len(os.fsencode(_temporary(target).name)) if target.name else 0
    except UnicodeEncodeError:
        raise CannotWriteError(f"{path}: a path that is not UTF-8, which NetCDF needs; choose another") from None
    except ValueError as error:
        raise CannotWriteError(f"{path}: {error}; choose another name") from None
    except OSError as error:
        raise CannotWriteError(f"{path}: {error.strerror}; choose another place") from error
    if longest is not None and temporary > longest:
        size = len(os.fsencode(target.name)) - (temporary - longest)
        raise CannotWriteError(f"{path}: too long a name (its temporary needs more); take at most {size} bytes")


def _may_replace(target: Path) -> bool:
    """Whether the sticky bit of the directory (as that of /tmp) lets this user replace the file."""
    place = target.parent.stat()
    return not place.st_mode & stat.S_ISVTX or os.geteuid() in (0, place.st_uid, target.stat().st_uid)


def is_reserved(path: Path) -> bool:
    """Whether a path, or the file that it links to, has a name of phyda's temporaries and locks (`.NAME.lock`, …)."""
    return any(_RESERVED.fullmatch(os.fsencode(name.name)) for name in (path, Path(os.path.realpath(path))))


@contextlib.contextmanager
def atomic_path(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary path to write to; on a clean end it becomes `path`, on any exception it is removed.

    Inside `together` it becomes `path` at the end of that. The temporary exists (empty) and keeps the suffix; the
    result has mode 0666 less the umask, or the mode of the file that it replaces. Raises CannotWriteError as
    `check_target` does, and when the storage gives out.
    """
    target = check_target(path, overwrite=overwrite)
    temporary = _temporary(target)
    group = _group.get()
    _unfinished.add(temporary)
    kept = False
    try:
        with _storage_errors(path, temporary, target):
            _create(temporary, like=target)
            yield temporary
            _sync(temporary)
        written = _Written(path, target, temporary, overwrite)
        if group is None:
            _put_in_place([written])
        else:
            group.append(written)
            kept = True
    finally:
        if not kept:
            _discard(temporary)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Make all outputs written inside take their names at the end, in their order; on any exception none does.

    When one cannot be given its name, those before it are taken back: the old files are as they were. Only an end
    without warning (`kill -9`, a power cut) between two of the names can leave some old beside some new.
    """
    written: list[_Written] = []
    token = _group.set(written)
    try:
        yield
        _put_in_place(written)
    finally:
        _group.reset(token)
        for output in written:
            _discard(output.temporary)


@dataclass(frozen=True)
class _Written:
    """An output that is durable under the name of its temporary. path: as the user names it."""

    path: Path
    target: Path
    temporary: Path
    overwrite: bool


_group: Final[ContextVar[list[_Written] | None]] = ContextVar("outputs that stand or fall together", default=None)


def _put_in_place(written: list[_Written]) -> None:
    """Give the outputs their names, all or none."""
    for output in written:
        check_target(output.path, overwrite=output.overwrite)
    old: dict[Path, Path | None] = {}
    """Target → the old file under another name; None where there was none."""
    try:
        for output in written:
            with _storage_errors(output.path, output.temporary, output.target):
                if len(written) > 1:  # of one alone the replacement is all or nothing by itself
                    old[output.target] = aside = _temporary(output.target) if output.target.exists() else None
                    if aside is not None:
                        _set_aside(output.target, aside)
                os.replace(output.temporary, output.target)
        for output in written:
            with _storage_errors(output.path, output.temporary, output.target):
                _sync(output.target.parent)
    except BaseException:
        for output in reversed(written):
            if output.target in old:
                _take_back(output, old[output.target])
        raise
    for aside in old.values():
        if aside is not None:
            _discard(aside)


def _set_aside(target: Path, aside: Path) -> None:
    """Give an existing file a second name, so that it can come back; a file system without links moves it."""
    try:
        os.link(target, aside)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.rename(target, aside)


def _take_back(output: _Written, aside: Path | None) -> None:
    """Undo the naming of an output, as far as it came. aside: the old file's other name; None where there was none."""
    with contextlib.suppress(OSError):
        if aside is None:
            if not output.temporary.exists():
                output.target.unlink(missing_ok=True)
        elif aside.exists():
            os.replace(aside, output.target)
            aside.unlink(missing_ok=True)  # two names of one file are left as they are by replace


def _discard(temporary: Path) -> None:
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)
    _unfinished.discard(temporary)


@contextlib.contextmanager
def _storage_errors(path: Path, temporary: Path, target: Path) -> Iterator[None]:
    """Make CannotWriteError of what the storage of an output raises."""
    try:
        yield
    except OSError as error:
        if error.errno in _STORAGE_ERRORS or error.filename in (str(temporary), str(target)):
            remedy = LOCK_HINT if error.errno == errno.ENOLCK else "free space or choose another place"
            raise CannotWriteError(f"{path}: {error.strerror}; {remedy}") from error
        raise
    except RuntimeError as error:  # what netCDF4 raises for a failed write, without an errno
        if str(error).startswith("NetCDF:"):
            remedy = "is the disk full?" if locks_work(temporary) else LOCK_HINT
            raise CannotWriteError(f"{path}: cannot be written ({error}); {remedy}") from error
        raise


@contextlib.contextmanager
def output_lock(path: Path, *, until: float | None = None) -> Iterator[None]:
    """Hold an output for this process while it works; another run for the same output ends at once, or waits.

    The lock is a hidden file beside the output, removed at the end; one that a killed run left behind is taken over,
    and its temporaries are removed. until: the moment (`time.monotonic`) up to which to wait for the other; None: not.
    Raises LockedError when that holds it still, CannotWriteError when it cannot be made.
    """
    target = Path(os.path.realpath(path))
    lock = target.with_name(f".{target.name}.lock")
    pause = 0.05
    while (descriptor := _try(lock, path)) is None:
        left = 0.0 if until is None else until - time.monotonic()
        if left <= 0:
            remedy = "try again later" if until is None else "try again later, or give a longer --wait"
            raise LockedError(f"{path}: another run is writing this output; {remedy}")
        if pause == 0.05:
            _log.info("%s: another run is writing this output; waiting for it", path)
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)
    try:
        if locks_work(lock):
            _remove_leftovers(target)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # that of another user, who may remove it
                lock.unlink(missing_ok=True)
            _unfinished.discard(lock)
    finally:
        os.close(descriptor)


def remove_unfinished() -> None:
    """Remove the temporaries and locks of this process, which is about to end by a signal."""
    while _unfinished:
        with contextlib.suppress(OSError):
            _unfinished.pop().unlink(missing_ok=True)


def locks_work(path: Path) -> bool:
    """Whether the file system of a readable file gives locks."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _NO_LOCKS
    finally:
        os.close(descriptor)
    return True


def _temporary(target: Path) -> Path:
    """A new name beside the target, with its suffix."""
    return target.with_name(f"{_prefix(target)}{secrets.token_hex(4)}{target.suffix}")


def _prefix(target: Path) -> str:
    return f".{target.name}.partial-"


def _remove_leftovers(target: Path) -> None:
    """Remove what killed runs for this target have left: regular files of this user, of one name, that name theirs.

    What cannot be removed stays; it harms nobody.
    """
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            if not entry.name.startswith(_prefix(target)) or not _TEMPORARY.fullmatch(os.fsencode(entry.name)):
                continue
            about = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(about.st_mode) and about.st_uid == os.geteuid() and about.st_nlink == 1:
                Path(entry.path).unlink(missing_ok=True)


def _try(lock: Path, path: Path) -> int | None:
    """Try the lock: its descriptor, or None while another process holds it."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        try:
            descriptor = os.open(lock, flags | os.O_CREAT | os.O_RDWR, 0o666)
        except PermissionError:  # that of another user: it can be held all the same
            descriptor = os.open(lock, flags | os.O_RDONLY)
    except OSError as error:
        if os.path.lexists(lock):
            remedy = "have its owner remove it, or choose another place"
            raise CannotWriteError(f"{path}: {lock} is in the way ({error.strerror}); {remedy}") from error
        raise CannotWriteError(f"{path}: {error.strerror}; free space or choose another place") from error
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_size:
            raise CannotWriteError(f"{path}: {lock} is in the way: not a lock of phyda, which is empty; move it away")
        if _take(descriptor, lock):
            _unfinished.add(lock)
            taken, descriptor = descriptor, -1
            return taken
        return None
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _take(descriptor: int, lock: Path) -> bool:
    """Whether the lock is taken now. False also when its holder removed the file in between: the next try makes one."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # nothing to hold; the atomic replacement is still safe
        _log.warning("%s: no lock (%s); do not run twice for one output", lock.parent, error.strerror)
        return True
    with contextlib.suppress(FileNotFoundError):
        return os.fstat(descriptor).st_ino == lock.stat().st_ino
    return False


def _create(temporary: Path, *, like: Path) -> None:
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)  # the kernel applies the umask
    try:
        if like.exists():
            os.fchmod(descriptor, stat.S_IMODE(like.stat().st_mode))
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # directories on some network file systems
            raise
    finally:
        os.close(descriptor)
