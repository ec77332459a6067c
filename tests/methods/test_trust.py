"""How far the correction is trusted: closed forms, splits, bands of latitude, and what is remembered."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phyda_cli.errors import BadDataError
from phyda_cli.fields.state import Channel
from phyda_cli.methods.base import Departures
from phyda_cli.methods.trust import (
    BANDS,
    FORGETTING,
    PRIOR,
    WEIGHT,
    Evidence,
    at_rows,
    halves,
    nearest_channels,
    shares,
)
from tests.support.observations import make_departures, moved_to

CHANNELS = (Channel("t", 85_000.0), Channel("t", 50_000.0), Channel("u", 50_000.0), Channel("msl"))
SOUTH, TROPICS, NORTH = range(3)
NOON = np.datetime64("2020-03-01T12", "ns")


def rows(places: int) -> Departures:
    """A column of two temperatures at each place."""
    generator = np.random.default_rng(0)
    made = []
    for _ in range(places):
        lat, lon = generator.uniform(-80, 80), generator.uniform(0, 360)
        made += [("t", level, lat, lon, 1.0, 1.0) for level in (85_000.0, 50_000.0)]
    return make_departures(made)


def evidence(n: int, r: float, c: float, v: float, *, latitude: float = 50.0, channel: int = 0) -> Evidence:
    """Equal residuals, corrections and variances of one channel at one latitude."""
    full = [torch.full((n,), value) for value in (r, c, v)]
    return Evidence.of(
        *full, latitude=np.full(n, latitude), channel=np.full(n, channel), channels=len(CHANNELS)
    )  # fmt: skip


def test_the_factor_by_hand() -> None:
    """With κ = 5 and τ₀ = 0.7, Σ r c/v = 40·2/4 = 20, Σ c²/v = 40: 23.5/45 everywhere, then in the band, then there."""
    assert (WEIGHT, PRIOR) == (5.0, 0.7)
    trust = evidence(40, 1.0, 2.0, 4.0).trust(CHANNELS)
    assert trust[NORTH, 0].item() == pytest.approx((20 + 5 * (20 + 5 * 23.5 / 45) / 45) / 45)
    assert trust[NORTH, 1].item() == pytest.approx((20 + 5 * 23.5 / 45) / 45)  # the variable's other level in its band
    assert trust[TROPICS, :2].tolist() == pytest.approx([23.5 / 45] * 2)  # and other bands the whole globe
    assert (trust[:, 2:] == PRIOR).all()  # nothing is known of the others


def test_a_correction_against_the_observations_is_not_trusted_and_one_too_small_is_not_enlarged() -> None:
    assert evidence(1000, -1.0, 1.0, 1.0).trust(CHANNELS)[NORTH, 0] == 0.0
    assert evidence(1000, 3.0, 1.0, 1.0).trust(CHANNELS)[NORTH, 0] == 1.0


def test_what_does_harm_in_the_tropics_is_trusted_elsewhere() -> None:
    good, bad = evidence(2000, 1.0, 1.0, 1.0), evidence(500, -1.0, 1.0, 1.0, latitude=-3.0)
    trust = Evidence(good.agreement + bad.agreement, good.size + bad.size).trust(CHANNELS)
    assert trust[TROPICS, 0] == 0.0
    assert trust[NORTH, 0] > 0.99


def test_noise_does_not_distrust_a_right_correction() -> None:
    """r = c + noise of variance v: τ is 1 but for its sampling error 1/√Σ c²/v."""
    generator = torch.Generator().manual_seed(1)
    c = 0.3 * torch.randn(4000, generator=generator)
    r = c + torch.randn(4000, generator=generator)
    found = Evidence.of(r, c, torch.ones(4000), latitude=np.full(4000, 40.0), channel=np.zeros(4000, int), channels=4)
    assert 1 - 3 / 360**0.5 < found.trust(CHANNELS)[NORTH, 0] <= 1


def test_an_observation_of_no_channel_counts_nowhere() -> None:
    assert (evidence(50, -1.0, 1.0, 1.0, channel=-1).trust(CHANNELS) == PRIOR).all()


def test_the_shares_of_the_bands_make_one_and_meet_at_twenty_degrees() -> None:
    latitudes = np.array([-90.0, -25.0, -20.0, -15.0, 0.0, 17.5, 20.0, 60.0])
    found = shares(latitudes)
    assert torch.equal(found.sum(0), torch.ones(8).double())
    assert found[SOUTH].tolist() == [1.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert found[NORTH].tolist() == [0.0, 0.0, 0.0, 0.0, 0.0, 0.25, 0.5, 1.0]
    trust = torch.tensor([[0.2], [0.6], [1.0]]).double()
    assert at_rows(trust, latitudes)[0].tolist() == pytest.approx([0.2, 0.2, 0.4, 0.6, 0.6, 0.7, 0.8, 1.0])


def test_evidence_goes_on_and_is_forgotten() -> None:
    """Twenty-one equal analyses: the sums are those of one times (1 − f²¹)/(1 − f)."""
    one = evidence(1, 1.0, 2.0, 4.0)
    found = one
    for _ in range(20):
        found = one.after(found)
    assert found.size[NORTH, 0].item() == pytest.approx((1 - FORGETTING**21) / (1 - FORGETTING))
    assert found.agreement[NORTH, 0].item() == pytest.approx(0.5 * found.size[NORTH, 0].item())


def test_a_memory_gives_back_what_it_was_made_of() -> None:
    found = evidence(3, 1.0, 2.0, 4.0, latitude=18.0)
    memory = found.memory(CHANNELS)
    assert set(memory) == {f"{band} {name}" for band in BANDS for name in ("t850", "t500", "u500", "msl")}
    assert memory["north t850"] == pytest.approx([0.3 * 1.5, 0.3 * 3.0])
    again = Evidence.remembered(memory, CHANNELS)
    assert torch.equal(again.agreement, found.agreement)
    assert torch.equal(again.size, found.size)
    other = Evidence.remembered({"north t850": [1.0, 2.0], "north x": [1.0, 1.0]}, CHANNELS)
    assert other.size.sum() == 2.0


@pytest.mark.parametrize("values", [[1.0], [float("nan"), 1.0], [1.0, -1.0], [1.0, 2.0, 3.0]])
def test_a_memory_that_is_none_is_refused(values: list[float]) -> None:
    with pytest.raises(BadDataError, match="the memory of south t500 holds"):
        Evidence.remembered({"south t500": values}, CHANNELS)


def test_places_stay_whole_and_the_order_of_rows_does_not_matter() -> None:
    case = rows(200)
    first = halves(case, NOON)
    assert 150 < first.sum() < 250
    assert np.array_equal(first[0::2], first[1::2])
    order = np.random.default_rng(2).permutation(len(case))
    assert np.array_equal(halves(case.take(order), NOON), first[order])


def test_other_times_have_other_halves() -> None:
    """Each place is judged about every second time."""
    judged = sum(~halves(rows(200), NOON + np.timedelta64(6 * k, "h")) for k in range(40))
    assert judged.min() >= 7
    assert judged.max() <= 33


def test_the_nearest_level_is_that_in_log_pressure() -> None:
    """Half-way in ln p between 500 and 850 hPa lie 652 hPa; in p it would be 675."""
    case = rows(4)
    case = moved_to(case, pressure=np.array([64_000.0, 66_000.0, 1_000.0, 100_000.0, 5e4, 5e4, 5e4, np.nan]))
    case = moved_to(case, variable=np.array(["t", "t", "t", "t", "u", "v", "t", "msl"], dtype=object))
    assert nearest_channels(case, CHANNELS).tolist() == [1, 0, 1, 0, 2, -1, 1, 3]
