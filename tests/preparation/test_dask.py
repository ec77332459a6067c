"""A Dask cluster makes the same store as one process, however many workers it has and whichever of them is lost."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from synthetic import quiet, synthetic

from phyda_cli.errors import MissingExtraError, UsageError
from phyda_cli.preparation.build import build_store
from phyda_cli.preparation.workers import Here, OnDask, merged, workers
from tests.support.rows import Held

dask, distributed = pytest.importorskip("dask"), pytest.importorskip("distributed")
pytestmark = [pytest.mark.filterwarnings("ignore")]  # of sockets and loops of the cluster's own


def files(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    path = tmp_path_factory.mktemp("alone") / "s.zarr"
    build_store(synthetic().material(), path, overwrite=False, progress=quiet)
    return files(path)


@contextlib.contextmanager
def cluster(count, *, processes):
    """The client of a cluster of some workers."""
    size = {"n_workers": count, "threads_per_worker": 1}
    held = distributed.LocalCluster(**size, processes=processes, dashboard_address=None)
    with held, distributed.Client(held) as client:
        yield client


@dataclass(frozen=True)
class Deadly(Held):
    """Rows whose first reader ends without a word. mark: the file that says that one has."""

    mark: Path

    def read(self, rows):
        """Some of the rows, by a second reader."""
        if 64 in rows and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(rows)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_any_number_of_workers_makes_the_same_bytes(alone, tmp_path, count):
    path = tmp_path / "s.zarr"
    with cluster(count, processes=False) as client:
        build_store(synthetic().material(), path, overwrite=False, progress=quiet, workers=OnDask(client))
    assert files(path) == alone


def test_what_a_lost_worker_was_at_is_done_again(alone, tmp_path):
    path, mark = tmp_path / "s.zarr", tmp_path / "killed"
    material = replace(synthetic().material(), states=Deadly(synthetic().states, mark))
    with cluster(2, processes=True) as client:
        build_store(material, path, overwrite=False, progress=quiet, workers=OnDask(client))
    assert mark.exists()
    assert files(path) == alone


def test_results_are_merged_neighbours_first():
    assert merged(iter("1234567"), lambda a, b: f"({a}{b})") == "(((12)(34))((56)7))"
    assert merged(iter("1"), lambda a, b: f"({a}{b})") == "1"
    assert Here().reduced(lambda shared, task: shared + task, "x", ["1", "2", "3"], "{}{}".format) == "x1x2x3"


def test_no_cluster_and_no_dask_are_one_line(monkeypatch):
    soon = dask.config.set({"distributed.comm.timeouts.connect": "100ms"})
    with soon, pytest.raises(UsageError, match="no cluster answers there"), workers("nowhere:1"):
        pass
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"--dask needs .*phyda\[dask\]"), workers("local"):
        pass
