"""A stopped preparation goes on where it was, and ends with the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic import quiet, synthetic

from phyda_cli.errors import BadDataError, InputMissingError
from phyda_cli.preparation.build import build_store
from phyda_cli.preparation.store import open_store
from tests.support.rows import Held

SHARD = 64


class Counted(Held):
    """Rows that say which were read."""

    read_rows: list[int]

    def read(self, rows):
        """Some of the rows, noted."""
        self.read_rows.extend(rows.tolist())
        return super().read(rows)


def counted(values):
    rows = Counted(values)
    object.__setattr__(rows, "read_rows", [])
    return rows


def files(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "s.zarr"
    build_store(synthetic().material(), path, overwrite=False, progress=quiet)
    return files(path)


@pytest.mark.parametrize("killed_at", [64, 304])
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(whole, tmp_path, killed_at):
    target = tmp_path / "s.zarr"
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from synthetic import synthetic\n"
        "from phyda_cli.preparation.build import build_store\n"
        "def progress(stage, done, total):\n"
        f"    if stage == 'fields' and done >= {killed_at}:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        f"build_store(synthetic().material(), Path({str(target)!r}), overwrite=False, progress=progress)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert not target.exists()
    with pytest.raises(InputMissingError):
        open_store(target)
    with pytest.raises(BadDataError, match="not finished"):
        open_store(tmp_path / ".s.zarr.building")
    data = synthetic()
    states, forecasts = counted(data.states), counted(data.forecasts)
    said: list[tuple[str, int, int]] = []
    material = replace(data.material(), states=states, forecasts=forecasts)
    build_store(material, target, overwrite=False, progress=lambda *step: said.append(step))
    # 240 states in shards of 64, the last of 48; then 186 pairs
    done = min(killed_at, 240) // SHARD * SHARD if killed_at < 240 else 240
    assert states.read_rows == list(range(done, 240))
    assert said[0] == ("fields", done, 426)
    assert len(forecasts.read_rows) == 426 - max(killed_at, 240)
    assert files(target) == whole
    assert [entry.name for entry in tmp_path.iterdir()] == ["s.zarr"]


def test_a_run_of_other_data_begins_anew(whole, tmp_path):
    target = tmp_path / "s.zarr"
    other = synthetic(seed=1)
    broken = other.forecasts.copy()
    broken[100, 0, 0, 0] = np.nan
    with pytest.raises(BadDataError, match=r"of the forecast valid .* has missing"):
        build_store(
            replace(other.where(forecasts=broken).material(), identity="other"), target, overwrite=False, progress=quiet
        )
    assert {entry.name for entry in tmp_path.iterdir()} == {".s.zarr.building", ".s.zarr.journal"}
    build_store(synthetic().material(), target, overwrite=False, progress=quiet)
    assert files(target) == whole
    assert [entry.name for entry in tmp_path.iterdir()] == ["s.zarr"]


def test_half_a_line_of_the_journal_and_the_leftovers_of_a_writer_do_no_harm(whole, tmp_path):
    target = tmp_path / "s.zarr"

    def stop(stage, done, total):
        if done >= 128:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_store(synthetic().material(), target, overwrite=False, progress=stop)
    journal = tmp_path / ".s.zarr.journal"
    os.truncate(journal, journal.stat().st_size - 30)
    (tmp_path / ".s.zarr.building" / "nature" / "u" / "c" / "0" / "0.0123.partial").write_bytes(b"half")
    build_store(synthetic().material(), target, overwrite=False, progress=quiet)
    assert files(target) == whole
