"""No file of a user is lost: neither an input, nor one that merely has a name like those of temporaries and locks."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import pytest

from phyda_cli.cli.app import main
from phyda_cli.errors import CannotWriteError
from phyda_cli.outputs import check_target, output_lock
from tests.support.runs import make_inputs, refused

PARTIAL = ".a.nc.partial-0123abcd.nc"


@pytest.fixture
def inputs(tmp_path):
    return make_inputs(tmp_path)


def test_an_input_with_the_name_of_a_temporary_is_refused_and_kept(inputs, capsys):
    table = inputs.place / PARTIAL
    (inputs.place / "obs.csv").rename(table)
    refused(inputs, capsys, inputs.words(obs=table), 2, PARTIAL, "rename")
    (inputs.place / "obs.csv").symlink_to(table)
    refused(inputs, capsys, inputs.words(), 2, "obs.csv", "rename")
    table.rename(inputs.place / "renamed.csv")  # the remedy
    assert main(inputs.words(obs=inputs.place / "renamed.csv")) == 0


@pytest.mark.parametrize("option", ["out", "feedback", "increment", "members_out", "carry"])
@pytest.mark.parametrize("name", [".z.nc.lock", PARTIAL])
def test_an_output_with_the_name_of_a_lock_or_temporary_is_refused(inputs, capsys, option, name):
    words = inputs.words(**{option: inputs.place / name})
    refused(inputs, capsys, words + (["--carry-new"] if option == "carry" else []), 73, name, "choose another name")


def test_leftovers_are_removed_only_where_they_are_surely_ours(inputs):
    place = inputs.place
    ours = place / ".a.nc.partial-89abcdef.nc"
    ours.write_bytes(b"half")
    kept = [place / name for name in (".a.nc.partial-notes", ".a.nc.partial-89ABCDEF.nc", ".a.nc.partial-0123abcd9.nc")]
    for path in kept:
        path.write_bytes(b"mine")
    linked, directory = place / ".a.nc.partial-00000001.nc", place / ".a.nc.partial-00000002.nc"
    os.link(kept[0], linked)
    directory.mkdir()
    (place / ".a.nc.partial-00000003.nc").symlink_to("obs.csv")
    before = inputs.listing()
    with output_lock(place / "a.nc"):
        pass
    assert set(before) - set(inputs.listing()) == {ours.name}


@pytest.mark.parametrize("what", ["text", "link", "directory", "pipe"])
def test_a_file_with_the_name_of_the_lock_is_kept(inputs, capsys, what):
    lock = inputs.place / ".a.nc.lock"
    if what == "text":
        lock.write_bytes(b"notes of the user")
    elif what == "link":
        lock.symlink_to("obs.csv")
    elif what == "directory":
        lock.mkdir()
    else:
        os.mkfifo(lock)
    refused(inputs, capsys, inputs.words(), 73, ".a.nc.lock is in the way")
    assert os.path.lexists(lock)


def test_an_output_inside_an_input_directory_is_refused(inputs, capsys):
    store = inputs.place / "bg.zarr"
    (store / "t").mkdir(parents=True)
    (store / "zarr.json").write_text("{}")
    (inputs.place / "link").symlink_to("bg.zarr")
    for out in ("bg.zarr/zarr.json", "bg.zarr/t/new.nc", "link/zarr.json"):
        words = inputs.words(background=store, out=inputs.place / out)
        refused(inputs, capsys, words, 73, "lies inside the input", "choose another output")


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize("option", ["out", "feedback"])
def test_an_output_that_is_an_input_by_another_name_is_refused(inputs, capsys, link, option):
    link(inputs.place / "obs.csv", inputs.place / "other")
    refused(inputs, capsys, inputs.words(**{option: inputs.place / "other"}), 73, "is an input too", "obs.csv")


def test_two_outputs_in_one_file_by_hard_links_are_refused(inputs, capsys):
    os.link(inputs.place / "a.nc", inputs.place / "f.nc")
    refused(inputs, capsys, inputs.words(feedback=inputs.place / "f.nc"), 2, "is the file of --out too")


def test_the_store_that_prepare_replaces_holds_no_input(inputs, capsys):
    (inputs.place / "store").mkdir()
    inner = inputs.place / "store" / "bg.nc"
    (inputs.place / "bg.nc").rename(inner)
    words = ["prepare", "--analysis", str(inner), "--forecast", str(inputs.place / "bg.grib")]
    refused(inputs, capsys, [*words, "--out", str(inputs.place / "store"), "--overwrite"], 73, "holds the input")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
@pytest.mark.parametrize(("mode", "said"), [(0o644, "entered"), (0o600, "73 ")])
def test_leftovers_of_another_user_in_a_shared_directory(mode, said):
    """The lock of another user in a directory like /tmp is held, or one line; their files stay."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        place = Path(name)
        place.chmod(0o1777)
        files = [place / name for name in (".a.nc.lock", ".a.nc.partial-0123abcd.nc", "b.nc")]
        for path in files:
            path.touch()
            path.chmod(mode)
            os.chown(path, 1234, 1234)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.setuid(4321)
            os.write(write, "; ".join(as_another_user(place)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        answer = os.read(read, 10_000).decode()
        os.close(read)
        os.close(write)
        assert answer.startswith(said)
        assert ("is in the way (Permission denied); have its owner remove it" in answer) == (said == "73 ")
        assert "73 " in answer.split("; ")[-1]
        assert "b.nc: belongs to another user" in answer
        assert sorted(path.name for path in place.iterdir()) == sorted(path.name for path in files)


def as_another_user(place: Path) -> list[str]:
    """What a run for an output and the check of another say."""
    said = []
    for name in ("a.nc", "b.nc"):
        try:
            with contextlib.nullcontext() if name == "b.nc" else output_lock(place / name):
                check_target(place / name, overwrite=True)
                said.append("entered")
        except CannotWriteError as error:
            said.append(f"{int(error.exit_code)} {error}")
    return said


def test_the_lock_is_no_user_file(tmp_path):
    (tmp_path / ".a.lock").write_bytes(b"x")

    def enter() -> None:
        with output_lock(tmp_path / "a"):
            pytest.fail("the body must not run")

    with pytest.raises(CannotWriteError, match="move it away"):
        enter()
