"""The background error of a store: its channels may come in any order, and surface pressure is left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from phyda_cli.errors_b.background_error import control_channels
from phyda_cli.errors_b.fit import fit_background_error
from phyda_cli.fields.state import Channel
from phyda_cli.grids.harmonics import largest_truncation
from phyda_cli.observations.errors import default_error_table
from phyda_cli.preparation.background_error import LENGTH_FACTORS, SIGMA_FACTORS, fit_store, tune
from phyda_cli.preparation.store import PairBatch
from tests.support.background_error import CHANNELS, GRID, random_errors, small_statistics

STORED = (*CHANNELS[6:], Channel("sp"), *CHANNELS[:6])
"""Mass before wind, and surface pressure between them."""


@dataclass(frozen=True)
class Stored:
    """A store of random errors about a truth of zero; surface pressure is noise."""

    path = "a store"
    channels = STORED
    grid = GRID

    def errors(self, part: str) -> torch.Tensor:
        return random_errors(24, seed=1 if part == "train" else 2)

    def pair_index(self, part: str, leads: tuple[int, ...]) -> np.ndarray:
        return np.arange(24)

    def read_pairs(self, index: np.ndarray) -> PairBatch:
        return self._batch(self.errors("validation")[index])

    def pairs(self, part: str, leads: tuple[int, ...]):
        yield from map(self._batch, self.errors(part).split(10))

    def _batch(self, errors: torch.Tensor) -> PairBatch:
        own, noise = errors.numpy(), np.random.default_rng(0).normal(size=(len(errors), 1, *GRID.shape))
        fields = np.concatenate([own[:, 6:], noise, own[:, :6]], axis=1).astype(np.float32)
        hours = np.zeros(len(errors), dtype=np.int64)
        return PairBatch(fields, np.zeros_like(fields), hours, hours, hours)


class Poor:
    """Errors of observations as large as those of the background: the sizes matter."""

    def sigma(self, variable: np.ndarray, pressure: np.ndarray) -> np.ndarray:
        return 4.0 * default_error_table().sigma(variable, pressure)


def test_winds_come_first_on_the_same_levels_and_surface_pressure_is_left_out():
    ground = (Channel("sp"), Channel("v10"), Channel("t2m"), Channel("u10"))
    assert control_channels((*STORED, *ground)) == (
        *CHANNELS[:3], Channel("u10"), *CHANNELS[3:6], Channel("v10"), *CHANNELS[6:], Channel("t2m")
    )  # fmt: skip


def test_the_statistics_are_those_of_the_errors_in_the_order_of_the_control():
    found, count = fit_store(Stored())
    expected = fit_background_error(
        lambda: random_errors(24, seed=1).float().double().split(10),
        grid=GRID, channels=CHANNELS, truncation=largest_truncation(GRID),
    )  # fmt: skip
    assert (count, found.channels) == (24, CHANNELS)
    for name in ("regression", "sigma_psi", "sigma_unbalanced", "covariance_psi", "covariance_unbalanced", "sigma"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-9, atol=0.0)


def test_tuning_makes_large_statistics_smaller_and_small_ones_larger():
    """Twice and half as large as those of 200 such errors."""
    large, small = (
        tune(small_statistics().scaled(size), Stored(), Poor(), cases=6, soundings=40) for size in (2.0, 0.5)
    )
    assert large.sigma_factor == min(SIGMA_FACTORS)
    assert small.sigma_factor == max(SIGMA_FACTORS)
    assert len(large.table) == len(SIGMA_FACTORS) * len(LENGTH_FACTORS)
    assert large.table[large.sigma_factor, large.length_factor] == min(large.table.values()) < 0.9
    expected = small_statistics().scaled(2.0).stretched(large.length_factor).scaled(large.sigma_factor)
    torch.testing.assert_close(large.statistics.sigma, expected.sigma)
