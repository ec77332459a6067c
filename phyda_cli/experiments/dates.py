"""Which pairs of background and truth an experiment takes: dates spread evenly over a part, leads in turn.

    t_k = t_first + (k + ½)(t_last − t_first)/n,    lead_k = leads[k mod L],    k = 0 … n − 1

Each k takes the pair at lead_k whose valid time is nearest to t_k and not taken yet; where a lead has no more pairs,
the next lead has its turn. No valid time is taken twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError
from phyda_cli.preparation.store import TrainingStore, require_zarr

Hours = NDArray[np.int64]


def choose_pairs(store: TrainingStore, part: str, leads: Sequence[int], count: int) -> Hours:
    """Return numbers of the pairs, at most `count`, in order of their valid times.

    Raises BadDataError when the part has no pair at these leads.
    """
    unknown = sorted(set(leads) - set(store.leads))
    if unknown:
        raise BadDataError(f"{store.path}: no backgrounds at lead {unknown[0]} h; there are {list(store.leads)}")
    index = store.pair_index(part, leads)
    if index.size == 0:
        raise BadDataError(f"{store.path}: no pairs at leads {list(leads)} h in its {part} part")
    group = require_zarr().open_group(str(store.path), mode="r")["backgrounds"]
    chosen = spread(group["valid_time"][:][index], group["lead_hours"][:][index], leads, count)
    return np.asarray(index[chosen])


def spread(valid_time: Hours, lead_hours: Hours, leads: Sequence[int], count: int) -> Hours:
    """Return places of the chosen among pairs of these valid times [h] and leads [h], in order of valid time."""
    first, last = int(valid_time.min()), int(valid_time.max())
    free = np.ones(valid_time.size, dtype=bool)
    chosen: list[int] = []
    for k in range(count):
        target = first + (k + 0.5) * (last - first) / count
        turns = [leads[(k + later) % len(leads)] for later in range(len(leads))]
        held = next((rows for lead in turns if (rows := np.flatnonzero(free & (lead_hours == lead))).size), None)
        if held is None:
            break
        best = int(held[np.argmin(np.abs(valid_time[held] - target))])
        chosen.append(best)
        free &= valid_time != valid_time[best]
    return np.array(sorted(chosen, key=lambda place: int(valid_time[place])), dtype=np.int64)


def batches_of(pairs: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Return the pairs in batches; neighbours in time are read together."""
    return [pairs[start : start + size] for start in range(0, pairs.size, size)]
