"""First derivatives on uneven nodes, as matrices: the exact slope of the polynomial through neighbouring nodes.

    (dx/ds)_j = Σ_k ℓ_k′(s_j) x_k
    ℓ_k′(s_j) = 1/(s_k − s_j) Π_{i≠j,k} (s_j − s_i)/(s_k − s_i)  for k ≠ j,     ℓ_j′(s_j) = −Σ_{k≠j} ℓ_k′(s_j)

A stencil has equally many nodes on both sides, `reach` of them or as many as there are; at the two ends it is the node
and its one neighbour. A one-sided stencil of higher order would carry a bend beyond the last node, where nothing says
that it goes on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import BadDataError

Array = NDArray[np.float64]


def derivative_matrix(nodes: Sequence[float] | Array, *, reach: int) -> Array:
    """(node, node) weights of the values at the nodes for the derivative at each of them [per unit of the nodes].

    nodes: strictly increasing, two or more. reach: nodes of a stencil on either side.
    Exact for polynomials of degree 2·reach at nodes that have so many neighbours, of degree 1 at the ends.
    Raises BadDataError where the nodes do not increase or are fewer than two.
    """
    s = np.asarray(nodes, dtype=np.float64)
    if s.size < 2 or not np.all(np.diff(s) > 0):
        raise BadDataError(f"a derivative needs two or more increasing nodes, found {s.tolist()}")
    matrix = np.zeros((s.size, s.size))
    for j in range(s.size):
        side = max(min(reach, j, s.size - 1 - j), 1)
        others = [k for k in range(max(j - side, 0), min(j + side, s.size - 1) + 1) if k != j]
        for k in others:
            rest = [i for i in others if i != k]
            matrix[j, k] = np.prod((s[j] - s[rest]) / (s[k] - s[rest])) / (s[k] - s[j])
        matrix[j, j] = -matrix[j].sum()
    return matrix
