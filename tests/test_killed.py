"""Signals at any moment: the output is the old one or the new one, whole; only kill −9 leaves something beside it."""

from __future__ import annotations

import os
import random
import signal
import time

import numpy as np
import pytest

from phyda_cli.cli import app as cli
from phyda_cli.formats.carry import Carry, Cycle, read_carry, write_carry
from phyda_cli.formats.gridded.analysis import write_analysis
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.outputs import output_lock
from tests.support.fields import TIME, dataset, save
from tests.support.fuzz import FULL, times
from tests.support.runs import NAMES, OLD, make_inputs

KILLS = times(10, 200)
SIGNALS = times(4, 100)


def writer(work):
    """A forked child that works in an endless loop; returns its process id once it has begun."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background has it ignored
            with cli._signals_as_exceptions():
                os.write(write, b"x")
                while True:
                    work()
        except SystemExit as error:  # the signal came before the run
            os._exit(int(str(error.code)))
        finally:
            os._exit(1)
    os.close(write)
    assert os.read(read, 1) == b"x"
    os.close(read)
    return child


@pytest.mark.parametrize("kind", ["analysis", "carry"])
def test_the_old_output_or_the_new_one(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1583064000")
    background = read_background([save(dataset(NAMES), tmp_path / "bg.nc")])
    target = tmp_path / "out"

    def write(number: int) -> None:
        if kind == "analysis":
            write_analysis(target, background, background.state, attributes={"comment": str(number)}, overwrite=True)
        else:
            cycle = Cycle(1.0 + number, np.array([f"{key:016x}" for key in range(20_000)]))
            write_carry(target, Carry("3dvar", {TIME: cycle}))

    contents = []
    for number in range(2):
        began = time.monotonic()
        write(number)
        contents.append(target.read_bytes())
        duration = time.monotonic() - began
    assert contents[0] != contents[1]
    chance = random.Random(1)
    numbers = iter(range(10**9))
    partial = 0
    for _ in range(KILLS):
        child = writer(lambda: write(next(numbers) % 2))
        time.sleep(chance.uniform(0.0, 3.0 * duration))
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        assert target.read_bytes() in contents
        partial += bool(list(tmp_path.glob(".out.partial-*")))
        with output_lock(target):
            assert sorted(path.name for path in tmp_path.iterdir()) == [".out.lock", "bg.nc", "out"]
    assert partial > 0 or not FULL  # else the kills came beside the writing
    if kind == "carry":
        assert read_carry(target, method="3dvar", time=TIME).cycles == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_at_any_moment_of_a_run(tmp_path, number):
    inputs = make_inputs(tmp_path)
    words = inputs.words(feedback=tmp_path / "f.nc", carry=tmp_path / "carry.json", members=0)
    began = time.monotonic()
    assert cli.main([*words, "--carry-new"]) == 0
    duration = time.monotonic() - began
    names = sorted(path.name for path in tmp_path.iterdir())
    chance = random.Random(int(number))
    codes = []
    for _ in range(SIGNALS):
        (tmp_path / "a.nc").write_bytes(OLD)
        child = writer(lambda: os._exit(quietly(words)))
        time.sleep(chance.uniform(0.0, duration))
        os.kill(child, number)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        assert sorted(path.name for path in tmp_path.iterdir()) == names
        whole = (tmp_path / "a.nc").read_bytes()
        assert whole == OLD or (codes[-1] in (0, 128 + number) and whole[:4] == b"\x89HDF")
        assert whole != OLD or codes[-1] == 128 + number
    assert set(codes) <= {0, 128 + number}
    assert 128 + number in codes


def quietly(words: list[str]) -> int:
    """The exit code of a run that says nothing."""
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    return cli.main(words)
