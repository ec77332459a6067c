from __future__ import annotations

import numpy as np

from phyda_cli.experiments.dates import choose_pairs, spread


def test_dates_are_even_and_leads_take_turns():
    # one pair at every lead each day for 8 days, valid at 0, 24, …, 168 h; four dates: targets 21, 63, 105, 147 h
    valid = np.repeat(np.arange(8) * 24, 2)
    lead = np.tile([6, 12], 8)
    chosen = spread(valid, lead, [6, 12], 4)
    assert valid[chosen].tolist() == [24, 72, 96, 144]
    assert lead[chosen].tolist() == [6, 12, 6, 12]


def test_no_valid_time_twice_and_another_lead_where_one_has_no_more():
    valid, lead = np.array([0, 0, 6, 12]), np.array([6, 12, 12, 12])
    chosen = spread(valid, lead, [6, 12], 4)
    assert valid[chosen].tolist() == [0, 6, 12]
    assert lead[chosen].tolist() == [6, 12, 12]


def test_the_pairs_of_a_store_are_of_the_part_and_in_order(ground):
    store = ground.place.opened()
    pairs = choose_pairs(store, "test", (24, 48), 5)
    held = store.read_pairs(pairs)
    assert (np.diff(held.valid_time) > 0).all()
    assert sorted(held.lead_hours.tolist()) == [24, 24, 24, 48, 48]
    assert set(pairs.tolist()) <= set(store.pair_index("test").tolist())
