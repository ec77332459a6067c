"""The names that records and tables have always had follow from what a score is of."""

from __future__ import annotations

import pytest

from phyda_cli.experiments.score import PLAIN, SCALARS, SCORES, Score, spectral_key


@pytest.mark.parametrize(
    ("score", "name", "key"),
    [
        (Score("rmse"), "rmse", "mse"),
        (Score("rmse", withheld=True, relative=True), "withheld_nrmse", "withheld_nmse"),
        (Score("spread", relative=True), "nspread", "nvariance"),
        (Score("increment", relative=True), "nincrement", "nincrement"),
        (Score("specdiv", of="increment", part="members"), "specdiv_increment_members", "specdiv_increment_members"),
        (Score("hydrostatic", part="mean"), "hydrostatic_mean", "hydrostatic_mean"),
    ],
)
def test_names_and_keys(score, name, key):
    assert (score.name, score.key) == (name, key)


def test_no_two_scores_share_a_name():
    names = [score.name for score in (*SCORES, *SCALARS, *PLAIN)]
    assert len(set(names)) == len(names) == 2 * 9 + 4 + 4 + 3


def test_a_single_analysis_is_its_own_only_member():
    assert Score("crps", withheld=True, relative=True).alone == Score("mae", withheld=True, relative=True)
    assert Score("specdiv", of="increment", part="members").alone == Score("specdiv", of="increment", part="mean")
    assert Score("rmse").alone == Score("rmse")


def test_spectra_have_keys_of_their_own():
    assert spectral_key("power", "state", "truth") == "power_truth"
    assert spectral_key("radial", "increment", "members") == "radial_increment_members"
