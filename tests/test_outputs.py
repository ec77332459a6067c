"""Outputs appear whole or not at all: faults, kills and permissions."""

from __future__ import annotations

import errno
import fcntl
import itertools
import logging
import os
import resource
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from phyda_cli.errors import CannotWriteError, LockedError
from phyda_cli.outputs import LOCK_HINT, atomic_path, check_target, locks_work, output_lock, together


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask():
    """A umask that differs from the usual one and from mkstemp's 0600."""
    old = os.umask(0o027)
    yield 0o027
    os.umask(old)


def test_content_arrives_and_nothing_else_is_left(tmp_path):
    target = tmp_path / "a.nc"
    with atomic_path(target, overwrite=False) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        assert temporary.suffix == ".nc"
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"]


def test_mode_follows_umask(tmp_path, umask):
    with atomic_path(tmp_path / "a", overwrite=False) as temporary:
        temporary.write_bytes(b"x")
    assert _mode(tmp_path / "a") == 0o666 & ~umask


def test_mode_of_replaced_file_is_kept(tmp_path, umask):
    target = tmp_path / "a"
    target.write_bytes(b"old")
    target.chmod(0o604)
    with atomic_path(target, overwrite=True) as temporary:
        temporary.write_bytes(b"new")
    assert (_mode(target), target.read_bytes()) == (0o604, b"new")


def test_existing_output_is_refused_with_the_remedy(tmp_path):
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with (
        pytest.raises(CannotWriteError, match="exists already; give --overwrite"),
        atomic_path(target, overwrite=False),
    ):
        pytest.fail("the body must not run")
    assert target.read_bytes() == b"old"


def test_output_that_appears_meanwhile_is_kept(tmp_path):
    target = tmp_path / "a"

    def write() -> None:
        with atomic_path(target, overwrite=False) as temporary:
            temporary.write_bytes(b"mine")
            target.write_bytes(b"theirs")

    with pytest.raises(CannotWriteError, match="--overwrite"):
        write()
    assert target.read_bytes() == b"theirs"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_link_is_written_through(tmp_path):
    (tmp_path / "store").mkdir()
    real, link = tmp_path / "store" / "a", tmp_path / "a"
    real.write_bytes(b"old")
    link.symlink_to(real)
    with atomic_path(link, overwrite=True) as temporary:
        temporary.write_bytes(b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing/a", "does not exist; create it"), ("", "is a directory"), ("pipe", "not a regular file")],
)
def test_impossible_targets(tmp_path, name, message):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CannotWriteError, match=message):
        check_target(tmp_path / name, overwrite=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_directory(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(CannotWriteError, match="no permission"):
        check_target(tmp_path / "a", overwrite=False)


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, SystemExit])
def test_exception_keeps_the_old_file(tmp_path, fault):
    target = tmp_path / "a"
    target.write_bytes(b"old")

    def write() -> None:
        with atomic_path(target, overwrite=True) as temporary:
            temporary.write_bytes(b"half")
            raise fault

    with pytest.raises(fault):
        write()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert target.read_bytes() == b"old"


def test_full_disk_is_one_line(tmp_path):
    with pytest.raises(CannotWriteError, match="No space left on device"), atomic_path(tmp_path / "a", overwrite=False):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_unrelated_failure_is_not_called_a_write_failure(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a", overwrite=False):
        (tmp_path / "input").read_bytes()


def test_file_size_limit_is_a_write_failure(tmp_path):
    """A real failing write, as a full disk or a quota gives it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(CannotWriteError, match="File too large"), atomic_path(tmp_path / "a", overwrite=False) as t:
            t.write_bytes(b"x" * 4096)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def _start(body: str, target: Path) -> subprocess.Popen[str]:
    """Run `body` in a child that says "ready" in the middle of its work."""
    code = "import sys, time\nfrom pathlib import Path\nfrom phyda_cli.outputs import atomic_path, output_lock\n"
    child = subprocess.Popen(
        [sys.executable, "-c", code + "target = Path(sys.argv[1])\n" + textwrap.dedent(body), str(target)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def _kill(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=30)


def test_kill_in_the_middle_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.nc"
    target.write_bytes(b"old")
    body = """
    with atomic_path(target, overwrite=True) as temporary:
        temporary.write_bytes(b"half")
        print("ready", flush=True)
        time.sleep(60)
    """
    _kill(_start(body, target))
    assert target.read_bytes() == b"old"
    assert len(list(tmp_path.glob(".a.nc.partial-*"))) == 1
    with output_lock(target):  # the next run of the same output clears it away
        assert list(tmp_path.glob(".a.nc.partial-*")) == []


def test_second_run_is_told_to_retry_and_a_killed_one_does_not_block(tmp_path):
    target = tmp_path / "a.nc"
    child = _start('with output_lock(target):\n    print("ready", flush=True)\n    time.sleep(60)', target)
    with pytest.raises(LockedError, match="another run"), output_lock(target):
        pytest.fail("the lock was given twice")
    _kill(child)
    with output_lock(target), atomic_path(target, overwrite=False) as temporary:
        temporary.write_bytes(b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"]


def test_a_held_output_is_waited_for(tmp_path, caplog):
    target, held, order = tmp_path / "a", threading.Event(), []

    def hold() -> None:
        with output_lock(target):
            held.set()
            time.sleep(0.3)
            order.append("first")

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    with caplog.at_level(logging.INFO, "phyda_cli"), output_lock(target, until=time.monotonic() + 30):
        order.append("second")
    holder.join()
    assert order == ["first", "second"]
    assert [record.message for record in caplog.records] == [
        f"{target}: another run is writing this output; waiting for it"
    ]
    assert list(tmp_path.iterdir()) == []


def test_waiting_ends(tmp_path):
    began = time.monotonic()
    with (
        output_lock(tmp_path / "a"),
        pytest.raises(LockedError, match="try again later, or give a longer --wait"),
        output_lock(tmp_path / "a", until=began + 0.2),
    ):
        pytest.fail("the lock was given twice")
    assert 0.2 <= time.monotonic() - began < 5


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_said_and_nothing_of_others_is_removed(tmp_path, monkeypatch, caplog, number):
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    (tmp_path / ".a.partial-1").touch()  # of a run that goes on beside this one, for all we can know
    with output_lock(tmp_path / "a"), atomic_path(tmp_path / "a", overwrite=False) as temporary:
        temporary.write_bytes(b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.partial-1", "a"]
    assert "do not run twice for one output" in caplog.text
    assert not locks_work(tmp_path / "a")

    def write() -> None:
        with atomic_path(tmp_path / "a", overwrite=True):
            raise RuntimeError("NetCDF: HDF error")

    with pytest.raises(CannotWriteError) as caught:
        write()
    assert str(caught.value).endswith(LOCK_HINT)


def test_content_is_durable_before_the_name_and_the_name_before_the_end(tmp_path, monkeypatch):
    events: list[str] = []
    sync, replace = os.fsync, os.replace

    def record_sync(descriptor: int) -> None:
        events.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def record_replace(source: Path, target: Path) -> None:
        events.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "replace", record_replace)
    with atomic_path(tmp_path / "a", overwrite=False) as temporary:
        temporary.write_bytes(b"x")
    assert events == ["file", "name", "directory"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_storage_that_gives_out_at_the_last_step_keeps_the_old_file(tmp_path, monkeypatch, number, step):
    (tmp_path / "a").write_bytes(b"old")

    def fail(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    def write() -> None:
        with atomic_path(tmp_path / "a", overwrite=True) as temporary:
            temporary.write_bytes(b"new")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(CannotWriteError, match=os.strerror(number)):
        write()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def content(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir()}


def write_three(place: Path) -> None:
    """Outputs that stand or fall together: two that replace a file and one that is new."""
    with together():
        for name in ("a", "b", "c"):
            with atomic_path(place / name, overwrite=True) as temporary:
                temporary.write_bytes(b"new")


def no_links(*arguments: object, **options: object) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.parametrize(
    ("fault", "late"),
    [(OSError(errno.ENOSPC, "No space left on device"), False), (KeyboardInterrupt(), False), (SystemExit(143), True)],
)
@pytest.mark.parametrize(
    ("step", "links", "least"),
    [
        ("open", True, 6), ("close", True, 6), ("fsync", True, 6), ("link", True, 2), ("replace", True, 3),
        ("replace", False, 3), ("rename", False, 2), ("fsync", False, 6),
    ],
)  # fmt: skip
def test_several_outputs_stand_or_fall_together(tmp_path, monkeypatch, step, links, least, fault, late):
    """The failure of any call, after which calls work again, leaves every file as it was. late: just after it."""
    if late and step in ("open", "close"):
        pytest.skip("a descriptor without an owner")
    old = {"a": b"old a", "c": b"old c"}
    for name, text in old.items():
        (tmp_path / name).write_bytes(text)
    real = getattr(os, step)
    for failing in itertools.count():
        calls = iter(range(10_000))

        def call(*arguments: object, **options: object) -> object:
            if next(calls) == failing:  # noqa: B023 - called within this turn of the loop
                if late:
                    real(*arguments, **options)
                raise fault
            return real(*arguments, **options)

        with monkeypatch.context() as patched:
            if not links:
                patched.setattr(os, "link", no_links)
            patched.setattr(os, step, call)
            try:
                write_three(tmp_path)
            except (CannotWriteError, KeyboardInterrupt, SystemExit):
                assert content(tmp_path) == old
            else:
                break
    assert failing >= least
    assert content(tmp_path) == dict.fromkeys("abc", b"new")


def test_nothing_has_its_name_before_all_are_written(tmp_path):
    def write() -> None:
        with together():
            with atomic_path(tmp_path / "a", overwrite=False) as temporary:
                temporary.write_bytes(b"new")
            assert not (tmp_path / "a").exists()
            raise ValueError("later")

    with pytest.raises(ValueError, match="later"):
        write()
    assert content(tmp_path) == {}


def test_an_output_that_appears_meanwhile_keeps_all_from_their_names(tmp_path):
    def write() -> None:
        with together():
            for name in ("a", "b"):
                with atomic_path(tmp_path / name, overwrite=False) as temporary:
                    temporary.write_bytes(b"new")
            (tmp_path / "b").write_bytes(b"theirs")

    with pytest.raises(CannotWriteError, match="exists already"):
        write()
    assert content(tmp_path) == {"b": b"theirs"}
