"""How far the correction is trusted: closed forms, splits, and an analysis that a wrong correction cannot spoil."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phyda_cli.fields.state import Channel
from phyda_cli.methods.base import Departures
from phyda_cli.methods.trust import WEIGHT, halves, nearest_channels, trust
from tests.support.observations import make_departures, moved_to

CHANNELS = (Channel("t", 85_000.0), Channel("t", 50_000.0), Channel("u", 50_000.0), Channel("msl"))


def rows(places: int) -> Departures:
    """A column of two temperatures at each place."""
    generator = np.random.default_rng(0)
    made = []
    for _ in range(places):
        lat, lon = generator.uniform(-80, 80), generator.uniform(0, 360)
        made += [("t", level, lat, lon, 1.0, 1.0) for level in (85_000.0, 50_000.0)]
    return make_departures(made)


def test_the_factor_by_hand() -> None:
    """t: Σ r c/v = 2·(1·2)/4·n, Σ c²/v = n; with n = 40 and one channel of the variable seen."""
    n = 40
    r, c, v = torch.full((n,), 1.0), torch.full((n,), 2.0), torch.full((n,), 4.0)
    factors = trust(r, c, v, np.zeros(n, dtype=np.int64), CHANNELS)
    common = (n * 2 / 4 + WEIGHT) / (n * 4 / 4 + WEIGHT)
    assert factors[0].item() == pytest.approx((n * 2 / 4 + WEIGHT * common) / (n + WEIGHT))
    assert factors[1].item() == pytest.approx(common)  # the variable's other level follows it
    assert factors[2:].tolist() == [1.0, 1.0]  # nothing is known of the others


def test_a_correction_against_the_observations_is_not_trusted_and_one_too_small_is_not_enlarged() -> None:
    n = 1000
    one, seen = torch.ones(n), np.zeros(n, dtype=np.int64)
    assert trust(-one, one, one, seen, CHANNELS)[0] == 0.0
    assert trust(3 * one, one, one, seen, CHANNELS)[0] == 1.0


def test_noise_does_not_distrust_a_right_correction() -> None:
    """r = c + noise of variance v: τ is 1 but for its sampling error 1/√Σ c²/v."""
    generator = torch.Generator().manual_seed(1)
    c = 0.3 * torch.randn(4000, generator=generator)
    r = c + torch.randn(4000, generator=generator)
    factor = trust(r, c, torch.ones(4000), np.zeros(4000, dtype=np.int64), CHANNELS)[0].item()
    assert 1 - 3 / 360**0.5 < factor <= 1


def test_an_observation_of_no_channel_counts_nowhere() -> None:
    factors = trust(-torch.ones(50), torch.ones(50), torch.ones(50), np.full(50, -1), CHANNELS)
    assert factors.tolist() == [1.0] * 4


def test_places_stay_whole_and_the_order_of_rows_does_not_matter() -> None:
    case = rows(200)
    first = halves(case)
    assert 150 < first.sum() < 250
    assert np.array_equal(first[0::2], first[1::2])
    order = np.random.default_rng(2).permutation(len(case))
    assert np.array_equal(halves(case.take(order)), first[order])


def test_the_nearest_level_is_that_in_log_pressure() -> None:
    """Half-way in ln p between 500 and 850 hPa lie 652 hPa; in p it would be 675."""
    case = rows(4)
    case = moved_to(case, pressure=np.array([64_000.0, 66_000.0, 1_000.0, 100_000.0, 5e4, 5e4, 5e4, np.nan]))
    case = moved_to(case, variable=np.array(["t", "t", "t", "t", "u", "v", "t", "msl"], dtype=object))
    assert nearest_channels(case, CHANNELS).tolist() == [1, 0, 1, 0, 2, -1, 1, 3]


def test_the_weight_of_what_is_believed_before() -> None:
    """With κ = 10: Σ r c/v = 20, Σ c²/v = 40; (20 + 10)/(40 + 10) = 0.6, then (20 + 6)/(40 + 10) = 0.52."""
    n = 40
    r, c, v = torch.full((n,), 1.0), torch.full((n,), 2.0), torch.full((n,), 4.0)
    factors = trust(r, c, v, np.zeros(n, dtype=np.int64), CHANNELS)
    assert factors[0].item() == pytest.approx(0.52)
    assert factors[1].item() == pytest.approx(0.6)
