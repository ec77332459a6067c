"""Analyses as GRIB: by the example of the background's messages."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import eccodes
import numpy as np
import pytest
import torch

from phyda_cli.cli.app import main
from phyda_cli.errors import BadDataError, UsageError
from phyda_cli.fields.state import Channel, State
from phyda_cli.formats.gridded import grib_write
from phyda_cli.formats.gridded.background import read_background
from phyda_cli.formats.gridded.layout import Background
from tests.support.fields import COLUMNS, LEVELS, ROWS, dataset, message, save, wave, write_grib, write_multi_field
from tests.support.runs import make_inputs

KEYS = ("edition", "shortName", "level", "dataDate", "dataTime", "stepRange", "dataType", "number")


def keys_of(path: Path, *more: str) -> list[dict[str, object]]:
    """Some keys of every message of a file, with its values."""
    found = []
    with path.open("rb") as stream:
        while (handle := eccodes.codes_grib_new_from_file(stream)) is not None:
            held = {k: eccodes.codes_get(handle, k) for k in (*KEYS, *more) if eccodes.codes_is_defined(handle, k)}
            found.append(held | {"values": eccodes.codes_get_values(handle)})
            eccodes.codes_release(handle)
    return found


def moved(background: Background, channel: Channel, by: np.ndarray | float) -> State:
    """The background's state with one channel moved."""
    values = background.state.values.clone()
    values[..., background.state.index(channel), :, :] += torch.as_tensor(by)
    return replace(background.state, values=values)


@pytest.mark.parametrize("edition", [1, 2])
def test_a_forecast_becomes_an_analysis_at_its_valid_time(tmp_path, edition):
    handles = [message(name, level, edition=edition, step=6) for name in "tu" for level in LEVELS]
    background = read_background([write_grib(handles, tmp_path / "bg")])
    t850 = Channel("t", 85000.0)
    analysis = moved(background, t850, bump := 0.01 * wave("t", 50000.0))
    packing = grib_write.write_analysis(tmp_path / "a.grib", background, analysis)
    before, after = keys_of(tmp_path / "bg"), keys_of(tmp_path / "a.grib")
    for old, new in zip(before, after, strict=True):
        assert {k: new[k] for k in ("edition", "shortName", "level")} == {
            k: old[k] for k in ("edition", "shortName", "level")
        }
        assert (new["dataDate"], new["dataTime"], new["stepRange"], new["dataType"]) == (20200301, 1800, "0", "an")
        if (new["shortName"], new["level"]) != ("t", 850):
            np.testing.assert_array_equal(new["values"], old["values"])
    again = read_background([tmp_path / "a.grib"])
    assert again.state.time == background.state.time == np.datetime64("2020-03-01T18:00")
    assert again.state.channels == background.state.channels
    error = np.abs((again.state.values - analysis.values).numpy())
    assert list(packing) == ["t"]
    # the reader holds single precision: half a unit of 2⁻¹⁵ at 300 K
    assert error.max() <= packing["t"] + 2**-16
    assert packing["t"] <= np.ptp(wave("t", 85000.0) + bump) / 65535 + 300 * 2**-23


@pytest.mark.parametrize(("edition", "kind"), [(1, "grid_simple"), (2, "grid_simple"), (2, "grid_ccsds"),
                                               (2, "grid_complex_spatial_differencing")])  # fmt: skip
def test_packing_stays_as_it_is_with_16_bits_at_least_and_says_its_error(tmp_path, edition, kind):
    coarse = message("t", 50000.0, edition=edition)
    values = eccodes.codes_get_values(coarse)
    eccodes.codes_set(coarse, "packingType", kind)
    eccodes.codes_set(coarse, "bitsPerValue", 6)
    eccodes.codes_set_values(coarse, values)
    background = read_background([write_grib([coarse], tmp_path / "bg")])
    shift = np.random.default_rng(0).normal(size=(ROWS, COLUMNS))
    analysis = moved(background, Channel("t", 50000.0), shift)
    packing = grib_write.write_analysis(tmp_path / "a.grib", background, analysis)
    (written,) = keys_of(tmp_path / "a.grib", "packingType")
    assert written["packingType"] == kind
    wanted = analysis.values[0].numpy()[::-1]
    error = np.abs(written["values"].reshape(ROWS, COLUMNS) - wanted).max()
    assert error == pytest.approx(packing["t"], abs=2**-15)  # the dataset in between is single precision
    assert 0.0 < packing["t"] <= np.ptp(wanted) / 65535 + 300 * 2**-23


@pytest.mark.parametrize("by_column", [0, 1])
@pytest.mark.parametrize("alternating", [0, 1])
@pytest.mark.parametrize("from_south", [0, 1])
def test_every_scanning_mode_is_written_back(tmp_path, from_south, by_column, alternating):
    values = wave("t", 50000.0)
    stored = values if from_south else values[::-1]
    stored = stored.T.copy() if by_column else stored.copy()
    if alternating:
        stored[1::2] = stored[1::2, ::-1]
    keys = {
        "jScansPositively": from_south,
        "jPointsAreConsecutive": by_column,
        "alternativeRowScanning": alternating,
        "latitudeOfFirstGridPointInDegrees": -90.0 if from_south else 90.0,
        "latitudeOfLastGridPointInDegrees": 90.0 if from_south else -90.0,
    }
    background = read_background([write_grib([message("t", 50000.0, values=stored, keys=keys)], tmp_path / "bg")])
    analysis = moved(background, Channel("t", 50000.0), np.arange(ROWS * COLUMNS, dtype=float).reshape(ROWS, COLUMNS))
    grib_write.write_analysis(tmp_path / "a.grb2", background, analysis)
    again = read_background([tmp_path / "a.grb2"])
    np.testing.assert_allclose(again.state.values, analysis.values, atol=2e-3)


def test_both_fields_of_a_multi_field_message_are_written(tmp_path):
    path = write_multi_field([message("u", 50000.0), message("v", 50000.0)], tmp_path / "uv.grib2")
    background = read_background([path])
    analysis = moved(background, Channel("v", 50000.0), 1.5)
    grib_write.write_analysis(tmp_path / "a.grib2", background, analysis)
    again = read_background([tmp_path / "a.grib2"])
    np.testing.assert_allclose(again.state.values, analysis.values, atol=1e-3)
    assert [held["shortName"] for held in keys_of(tmp_path / "a.grib2")] == ["u", "v"]


def test_what_is_missing_below_the_ground_stays_missing(tmp_path):
    low = wave("t", 85000.0)[::-1].copy()
    low[2, 3] = 9999.0
    keys = {"bitmapPresent": 1, "missingValue": 9999.0}
    handles = [message("t", 85000.0, values=low, keys=keys), message("t", 50000.0)]
    background = read_background([write_grib(handles, tmp_path / "bg")])
    analysis = moved(background, Channel("t", 85000.0), 2.0)
    grib_write.write_analysis(tmp_path / "a.grib2", background, analysis)
    again = read_background([tmp_path / "a.grib2"])
    held = again.dataset["t"].values[0]  # the lower level first, rows from the north
    assert np.argwhere(np.isnan(held)).tolist() == [[2, 3]]
    there = ~np.isnan(held)
    np.testing.assert_allclose(held[there], (wave("t", 85000.0)[::-1] + 2.0)[there], atol=1e-3)


def test_other_fields_pass_and_those_over_a_time_keep_their_keys(tmp_path):
    rain = message("tp", keys={"typeOfLevel": "surface", "productDefinitionTemplateNumber": 8, "stepRange": "0-6",
                               "shortName": "tp"}, values=np.ones((ROWS, COLUMNS)))  # fmt: skip
    ozone = message("o3", 50000.0, step=6, values=np.full((ROWS, COLUMNS), 1e-6))
    background = read_background([write_grib([message("t", 50000.0, step=6), ozone, rain], tmp_path / "bg")])
    grib_write.write_analysis(tmp_path / "a.grib2", background, moved(background, Channel("t", 50000.0), 1.0))
    t, o3, tp = keys_of(tmp_path / "a.grib2")
    assert (o3["shortName"], o3["stepRange"], o3["dataTime"]) == ("o3", "0", 1800)
    assert (tp["shortName"], tp["stepRange"], tp["dataTime"]) == ("tp", "0-6", 1200)
    np.testing.assert_allclose(tp["values"], 1.0)
    assert t["stepRange"] == "0"


@pytest.mark.parametrize("edition", [1, 2])
def test_spread_and_increment_are_marked_and_are_no_background(tmp_path, edition):
    background = read_background([write_grib([message("t", lv, edition=edition) for lv in LEVELS], tmp_path / "bg")])
    t500 = Channel("t", 50000.0)
    spread = replace(background.state, values=torch.zeros_like(background.state.values))
    grib_write.write_increment(tmp_path / "i.grib", background, moved(background, t500, 3.0))
    by_level = {held["level"]: held for held in keys_of(tmp_path / "i.grib", "typeOfGeneratingProcess")}
    np.testing.assert_allclose(by_level[500]["values"], 3.0, atol=1e-3)
    np.testing.assert_array_equal(by_level[850]["values"], 0.0)
    sizes = np.linspace(0.5, 2.0, ROWS)[:, None] * np.ones(COLUMNS)
    spread.values[spread.index(t500)] = torch.from_numpy(sizes)
    grib_write.write_spread(tmp_path / "s.grib", background, spread)
    held = {one["level"]: one for one in keys_of(tmp_path / "s.grib", "typeOfGeneratingProcess")}
    np.testing.assert_allclose(held[500]["values"].reshape(ROWS, COLUMNS), sizes[::-1], atol=1e-4)
    if edition == 2:
        assert {one["typeOfGeneratingProcess"] for one in held.values()} == {7}
        assert {one["typeOfGeneratingProcess"] for one in by_level.values()} == {20}
    else:
        assert {one["dataType"] for one in held.values()} == {"ea"}
        assert {one["dataType"] for one in by_level.values()} == {"4i"}
    for name in ("i.grib", "s.grib"):
        with pytest.raises(BadDataError, match="no analysed variable"):
            read_background([tmp_path / name])
    both = tmp_path / "both.grib"
    both.write_bytes((tmp_path / "s.grib").read_bytes() + (tmp_path / "bg").read_bytes())
    np.testing.assert_array_equal(read_background([both]).state.values, background.state.values)


@pytest.mark.parametrize("edition", [1, 2])
def test_members_of_one_background_are_numbered(tmp_path, edition):
    path = write_grib([message("t", 50000.0, edition=edition)], tmp_path / "bg")
    background = read_background([path])
    each = [moved(background, Channel("t", 50000.0), shift) for shift in (1.0, 4.0, 9.0)]
    grib_write.write_members(tmp_path / "m.grib", background, each, count=3)
    again = read_background([tmp_path / "m.grib"])
    assert again.member_numbers == (0, 1, 2)
    np.testing.assert_allclose(again.state.values, torch.stack([one.values for one in each]), atol=1e-3)


def test_messages_without_a_place_for_numbers_hold_no_members(tmp_path):
    keys = {"centre": "kwbc", "deleteLocalDefinition": 1}
    background = read_background([write_grib([message("t", 50000.0, edition=1, keys=keys)], tmp_path / "bg")])
    assert "number" not in keys_of(tmp_path / "bg")[0]
    with pytest.raises(UsageError, match="no place for the number of a member"):
        grib_write.write_members(tmp_path / "m.grib", background, [], count=0)


def test_an_ensemble_keeps_its_numbers_and_its_mean_has_none(tmp_path):
    files = [write_grib([message("t", 50000.0, member=m)], tmp_path / f"m{m}") for m in (2, 5)]
    background = read_background(files, as_members=True)
    assert background.member_numbers == (2, 5)
    mean = background.ensemble_mean()
    grib_write.write_analysis(tmp_path / "a.grib2", background, moved(mean, Channel("t", 50000.0), 1.0))
    (held,) = keys_of(tmp_path / "a.grib2", "productDefinitionTemplateNumber")
    assert held["productDefinitionTemplateNumber"] == 0
    wanted = (wave("t", 50000.0, 2) + wave("t", 50000.0, 5)) / 2 + 1.0
    np.testing.assert_allclose(held["values"].reshape(ROWS, COLUMNS), wanted[::-1], atol=1e-3)
    each = [moved(background.one_member(i), Channel("t", 50000.0), 1.0 + i) for i in (0, 1)]
    grib_write.write_members(tmp_path / "m.grib2", background, each, count=2)
    again = read_background([tmp_path / "m.grib2"])
    assert again.member_numbers == (2, 5)
    np.testing.assert_allclose(again.state.values[1, 0], wave("t", 50000.0, 5) + 2.0, atol=1e-3)


def test_members_whose_files_run_another_way_are_written_as_they_run(tmp_path):
    keys = {
        "jScansPositively": 1, "latitudeOfFirstGridPointInDegrees": -90.0, "latitudeOfLastGridPointInDegrees": 90.0,
    }  # fmt: skip
    files = [
        write_grib([message("t", 50000.0)], tmp_path / "m1"),
        write_grib([message("t", 50000.0, values=wave("t", 50000.0, 2), keys=keys)], tmp_path / "m2"),
    ]
    background = read_background(files, as_members=True)
    each = [background.one_member(i).state for i in (0, 1)]
    grib_write.write_members(tmp_path / "m.grib2", background, each, count=2)
    for number, (held, path) in enumerate(zip(keys_of(tmp_path / "m.grib2"), files, strict=True)):
        assert held["number"] == number
        np.testing.assert_array_equal(held["values"], keys_of(path)[0]["values"])


def test_a_lambert_grid_with_its_own_winds_is_written_back(tmp_path):
    def lambert(name: str, values: np.ndarray) -> int:
        handle = eccodes.codes_grib_new_from_samples("regular_ll_pl_grib2")
        settings = {
            "gridDefinitionTemplateNumber": 30, "Nx": 9, "Ny": 8, "shapeOfTheEarth": 6, "LaDInDegrees": 50.0,
            "LoVInDegrees": 10.0, "Latin1InDegrees": 50.0, "Latin2InDegrees": 50.0, "DxInMetres": 80000,
            "DyInMetres": 80000, "latitudeOfFirstGridPointInDegrees": 45.0, "longitudeOfFirstGridPointInDegrees": 4.0,
            "iScansNegatively": 0, "jScansPositively": 1, "resolutionAndComponentFlags": 8, "dataDate": 20200301,
            "dataTime": 1200, "shortName": name, "typeOfLevel": "isobaricInhPa", "level": 500, "bitsPerValue": 24,
        }  # fmt: skip
        for key, value in settings.items():
            eccodes.codes_set(handle, key, value)
        eccodes.codes_set_values(handle, values.ravel())
        return handle

    rng = np.random.default_rng(1)
    fields = {name: rng.normal(5.0, 3.0, size=(8, 9)) for name in "uv"}
    path = write_grib([lambert(name, values) for name, values in fields.items()], tmp_path / "bg.grib2")
    background = read_background([path])
    analysis = replace(background.state, values=background.state.values + 1.0)
    grib_write.write_analysis(tmp_path / "a.grib2", background, analysis)
    again = read_background([tmp_path / "a.grib2"])
    np.testing.assert_allclose(again.state.values, analysis.values, atol=1e-3)
    change = keys_of(tmp_path / "a.grib2")[0]["values"] - fields["u"].ravel()
    assert np.abs(change - 1.0).max() > 0.01  # east and north winds of 1 m/s are no 1 m/s along the grid


def test_a_member_chosen_among_others_is_written_by_its_own_messages(tmp_path):
    path = write_grib([message("t", 50000.0, member=m, keys={"dataTime": 1200}) for m in (1, 2)], tmp_path / "ens")
    background = read_background([path], member=2)
    grib_write.write_analysis(tmp_path / "a.grib2", background, moved(background, Channel("t", 50000.0), 1.0))
    (held,) = keys_of(tmp_path / "a.grib2")
    assert held["number"] == 2


def test_grib_of_another_background_is_refused(tmp_path):
    background = read_background([save(dataset(["t"]), tmp_path / "bg.nc")])
    with pytest.raises(UsageError, match=r"'t' is not from GRIB; give the file a name that ends in \.nc"):
        grib_write.write_analysis(tmp_path / "a.grib2", background, background.state)
    assert not (tmp_path / "a.grib2").exists()


def test_the_command_writes_grib_and_says_how_it_packed(tmp_path, capsys):
    inputs = make_inputs(tmp_path)
    outputs = {"out": tmp_path / "a.grib2", "increment": tmp_path / "i.grb", "spread_out": tmp_path / "s.grb2"}
    words = inputs.words(background=tmp_path / "bg.grib", members_out=tmp_path / "m.grib", **outputs)
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document["packing_error"]) == {"t", "u", "v", "z"}
    before, after = read_background([tmp_path / "bg.grib"]), read_background([tmp_path / "a.grib2"])
    assert after.state.channels == before.state.channels
    changes = (after.state.values - before.state.values).numpy()
    assert 0.01 < np.abs(changes[before.state.index(Channel("t", 50000.0))]).max() < 20.0
    assert read_background([tmp_path / "m.grib"]).member_numbers == (0, 1)
    by_field = {(one["shortName"], one["level"]): one["values"] for one in keys_of(tmp_path / "i.grb")}
    np.testing.assert_allclose(
        by_field["t", 500].reshape(ROWS, COLUMNS)[::-1], changes[before.state.index(Channel("t", 50000.0))], atol=5e-3
    )
    assert main(inputs.words(out=tmp_path / "b.grib2")) == 2
    assert "is not from GRIB" in capsys.readouterr().err
