"""The cases of an experiment: one channel alone may be observed; the withheld places are of all channels."""

from __future__ import annotations

import numpy as np
import pytest

from phyda_cli.errors import UsageError
from phyda_cli.experiments.cases import CaseDrawer
from phyda_cli.experiments.dates import choose_pairs
from phyda_cli.experiments.settings import Settings


def settings(**more: object) -> Settings:
    return Settings.model_validate({"leads": (24, 48), "densities": (5.0,), "dates": 2, **more})


def test_one_channel_alone(ground, drawer) -> None:
    store = ground.place.opened()
    channel = next(c for c in store.channels if c.variable == "t")
    alone = CaseDrawer(store, settings(only=(str(channel),)))
    pairs = choose_pairs(store, "test", (24, 48), 2)
    held = alone.read(pairs)
    few, many = alone.draw(pairs, held, 5.0), drawer.draw(pairs, held, 5.0)
    for case in few.departures:
        assert set(case.variable) == {"t"}
        assert set(case.pressure) == {channel.level}
        assert len(case) == round(0.05 * store.grid.shape[0] * store.grid.shape[1])
    for first, second in zip(few.withheld_channel, many.withheld_channel, strict=True):
        assert np.array_equal(first, second)
        assert len(set(first)) > 5


def test_a_channel_that_is_not_there_is_refused(ground) -> None:
    with pytest.raises(UsageError, match="--only t123: the store has no such channel; there are u"):
        CaseDrawer(ground.place.opened(), settings(only=("t123",)))
