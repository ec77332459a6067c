"""From a store in the layout of WeatherBench 2 to trained weights, by the two commands."""

from __future__ import annotations

import json

from phyda_cli.cli.app import main
from phyda_cli.grids.latlon import LatLonGrid
from tests.support import public_stores as public

GRID = LatLonGrid.with_poles(19, 36)
LEVELS = (850, 500, 250)
HOURS = range(0, 24 * 24, 12)


def test_two_commands_make_weights_of_a_public_store(tmp_path, capsys):
    analyses = public.era5(tmp_path / "era5.zarr", GRID, HOURS, LEVELS)
    forecasts = public.forecasts(tmp_path / "hres.zarr", GRID, HOURS[:-4], (12, 24, 72), levels=LEVELS)
    store, error, out = (tmp_path / name for name in ("store.zarr", "b.safetensors", "training"))
    words = ["prepare", "--analysis", str(analyses), "--forecast", str(forecasts), "--out", str(store)]
    words += ["--grid", "11.25", "--levels", "850,500,250", "--background-error", str(error), "--json"]
    assert main(words) == 0
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert counts["forecasts_of_other_leads"] == len(HOURS) - 4
    assert counts["pairs_train"] > counts["pairs_validation"] > 0
    words = ["train", "--store", str(store), "--background-error", str(error), "--out", str(out), "--preset", "tiny"]
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["status"] == "ok"
    assert (out / "phyda.safetensors").is_file()
