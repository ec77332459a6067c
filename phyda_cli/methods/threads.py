"""Many small matrices: parallel one by one, not each within itself.

Torch shares out every operation among its threads and waits for the last one; for matrices of some ten rows on a busy
machine the waiting took ninety times the processor time of the work (docs/surface.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")


def for_each(work: Callable[[T], None], parts: Iterable[T]) -> None:
    """Do the work of all parts, as many at once as torch has threads, each with one; they write to places apart."""
    threads = torch.get_num_threads()
    if threads == 1:
        for part in parts:
            work(part)
        return
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(work, parts):
                pass
    finally:
        torch.set_num_threads(threads)
