from __future__ import annotations

import pytest

from phyda_cli.errors import BadDataError
from phyda_cli.experiments.journal import Journal

SAID = {"a": "1"}


def dates(*pairs: int) -> list[dict]:
    return [{"pair": pair, "mse": [0.5, pair]} for pair in pairs]


def test_what_was_written_is_found_again(tmp_path):
    Journal(tmp_path, "s", SAID).add("a", 2.0, dates(3, 4))
    found = Journal(tmp_path, "s", SAID)
    assert found.holds("a", 2.0, [3, 4])
    assert found.records["a", 2.0, 4]["mse"] == [0.5, 4]
    assert not found.holds("a", 2.0, [4, 5])
    assert not found.holds("a", 1.0, [3])


def test_a_line_that_was_cut_short_is_made_again(tmp_path):
    journal = Journal(tmp_path, "s", SAID)
    journal.add("a", 2.0, dates(3, 4))
    whole = journal.path.read_bytes()
    for cut in range(1, 30):
        journal.path.write_bytes(whole[:-cut])
        again = Journal(tmp_path, "s", SAID)
        assert not again.holds("a", 2.0, [3, 4])
        again.add("a", 2.0, dates(3, 4))
        assert Journal(tmp_path, "s", SAID).holds("a", 2.0, [3, 4])


def test_other_settings_are_refused_and_another_identity_is_made_anew(tmp_path):
    Journal(tmp_path, "s", SAID).add("a", 2.0, dates(3))
    with pytest.raises(BadDataError, match="other settings"):
        Journal(tmp_path, "t", SAID)
    assert not Journal(tmp_path, "s", {"a": "2"}).holds("a", 2.0, [3])
    assert Journal(tmp_path, "s", SAID).holds("a", 2.0, [3])
