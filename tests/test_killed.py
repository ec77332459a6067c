"""kill −9 at any moment of the writing: the output is the old one or the new one, whole."""

from __future__ import annotations

import os
import random
import signal
import time

import numpy as np
import pytest

from phyda_cli.formats.analysis import write_analysis
from phyda_cli.formats.atomic import output_lock
from phyda_cli.formats.background import read_background
from phyda_cli.formats.carry import Carry, Cycle, read_carry, write_carry
from tests.support.fields import TIME, dataset, save
from tests.support.fuzz import FULL, times
from tests.support.runs import NAMES

KILLS = times(10, 200)


def writer(work):
    """A forked child that works in an endless loop; returns its process id once it has begun."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, b"x")
            while True:
                work()
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
