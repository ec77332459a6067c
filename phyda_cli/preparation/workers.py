"""Who does many tasks alike: this process, one after the other, or the workers of a Dask cluster.

A task gives the same bytes wherever it is done, and results are merged in one order,

    ((1 2) (3 4)) ((5 6) 7)        neighbours first, whatever is ready first,

so that the number of workers changes nothing. A task whose worker is lost is done again by another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol, TypeVar

from phyda_cli.errors import MissingExtraError, UsageError

Task = TypeVar("Task")
Result = TypeVar("Result")

LOCAL: Final = "local"
"""In place of an address: a cluster of this machine's processors, for this run."""
_RETRIES: Final = 2
"""How often a task that failed is tried again on a cluster: networks fail."""


class Workers(Protocol):
    """Does tasks. shared: what all tasks of a call have in common."""

    def each(
        self, function: Callable[[Any, Task], Result], shared: Any, tasks: Sequence[Task]
    ) -> Iterator[tuple[Task, Result]]:
        """Yield every task with function(shared, task), in the order in which they end."""
        ...

    def reduced(
        self,
        function: Callable[[Any, Task], Result],
        shared: Any,
        tasks: Sequence[Task],
        merge: Callable[[Result, Result], Result],
    ) -> Result:
        """Return the results of all tasks merged, neighbours first."""
        ...


class Here:
    """This process."""

    def each(
        self, function: Callable[[Any, Task], Result], shared: Any, tasks: Sequence[Task]
    ) -> Iterator[tuple[Task, Result]]:
        """Do one task after the other."""
        for task in tasks:
            yield task, function(shared, task)

    def reduced(
        self,
        function: Callable[[Any, Task], Result],
        shared: Any,
        tasks: Sequence[Task],
        merge: Callable[[Result, Result], Result],
    ) -> Result:
        """Merge as early as can be, so that no more than log₂ n results are held."""
        return merged((function(shared, task) for task in tasks), merge)


def _same(shared: Result) -> Result:
    return shared


class OnDask:
    """The workers of a Dask cluster, by its client."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def each(
        self, function: Callable[[Any, Task], Result], shared: Any, tasks: Sequence[Task]
    ) -> Iterator[tuple[Task, Result]]:
        """Yield results as they come in."""
        from distributed import as_completed

        everywhere = self._submitted(_same, shared)  # a task, so that it comes again when it is lost
        futures = {self._submitted(function, everywhere, task): task for task in tasks}
        try:
            for future in as_completed(list(futures)):
                yield futures[future], future.result()
        finally:
            self._client.cancel(list(futures))

    def reduced(
        self,
        function: Callable[[Any, Task], Result],
        shared: Any,
        tasks: Sequence[Task],
        merge: Callable[[Result, Result], Result],
    ) -> Result:
        """Merge where the results are."""
        everywhere = self._submitted(_same, shared)
        leaves = [self._submitted(function, everywhere, task) for task in tasks]
        whole = merged(iter(leaves), lambda first, second: self._submitted(merge, first, second))
        result: Result = whole.result()
        return result

    def _submitted(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return the future of a task, which is tried again where it fails."""
        return self._client.submit(function, *arguments, pure=False, retries=_RETRIES)


def merged(parts: Iterator[Result], merge: Callable[[Result, Result], Result]) -> Result:
    """Merge parts in their order, neighbours of the same number of leaves first."""
    waiting: list[tuple[int, Result]] = []
    for part in parts:
        size, whole = 1, part
        while waiting and waiting[-1][0] == size:
            whole = merge(waiting.pop()[1], whole)
            size *= 2
        waiting.append((size, whole))
    last = waiting.pop()[1]
    while waiting:
        last = merge(waiting.pop()[1], last)
    return last


@contextlib.contextmanager
def workers(dask: str | None) -> Iterator[Workers]:
    """Give this process, or the workers of a Dask cluster: an address, or LOCAL.

    Raises MissingExtraError without Dask, UsageError where no cluster answers.
    """
    if dask is None:
        yield Here()
        return
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise MissingExtraError("--dask", "dask") from error
    if dask == LOCAL:
        with LocalCluster(threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
            yield OnDask(client)
        return
    try:
        client = Client(dask)
    except (OSError, ValueError) as error:
        raise UsageError(f"--dask {dask}: no cluster answers there ({error})") from None
    with client:
        yield OnDask(client)
