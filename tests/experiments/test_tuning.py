from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.experiments.dates import batches_of
from phyda_cli.experiments.tuning import LENGTH, SIGMA, search, tune
from tests.support.background_error import small_statistics


def bowl(sigma: float, length: float):
    return lambda factors: np.log(factors[0] / sigma) ** 2 + np.log(factors[1] / length) ** 2


def test_inside_the_grid_nothing_else_is_tried():
    best, tried = search(bowl(0.9, 1.05))
    assert best == (0.85, 1.0)
    assert len(tried) == len(SIGMA) * len(LENGTH)


def test_beyond_the_grid_the_search_goes_on():
    best, tried = search(bowl(2.4, 0.5))
    assert best[0] == pytest.approx(2.4, rel=0.13)
    assert best[1] == pytest.approx(0.5, rel=0.13)
    assert tried[best] == min(tried.values())


def test_wrong_statistics_are_mended(drawer):
    pairs = drawer.store.pair_index("validation")[:8]
    batches = [drawer.draw(own, drawer.read(own), 5.0) for own in batches_of(pairs, 4)]
    said = []
    found = tune(small_statistics().scaled(0.5), batches, drawer.store.grid, said.append)
    assert found.sigma > 1.2
    assert found.score < found.untuned
    assert "3D-Var at 5 %" in said[0]
