"""What an operator counts on: the same bytes again in any environment, and the same analysis of the same facts."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from phyda_cli.cli.app import main
from phyda_cli.errors import BadDataError
from phyda_cli.outputs import output_lock
from tests.support.fields import LEVELS, message, write_grib
from tests.support.runs import NAMES, OLD, make_inputs

ROOT = Path(__file__).parents[1]
OUTPUTS = ("a.nc", "f.nc", "i.nc", "m.nc", "carry.json")


@pytest.fixture
def inputs(tmp_path):
    return make_inputs(tmp_path)


def analysis(inputs, **changes) -> xr.Dataset:
    """The analysed fields of a run, canonical: south to north, from 0°E, upward in pressure."""
    assert main(inputs.words(**changes)) == 0
    with xr.open_dataset(inputs.place / "a.nc") as found:
        data = found[[*NAMES, *(f"{name}_spread" for name in NAMES)]].load()
    level = "level" if "level" in data.dims else "isobaricInhPa"
    data = data.rename({level: "level"}).reset_coords(drop=True)
    data = data.assign_coords(longitude=data["longitude"] % 360.0)
    if data["level"].max() > 2000:
        data = data.assign_coords(level=data["level"] / 100.0)
    return data.sortby(["level", "latitude", "longitude"])


def assert_same(first: xr.Dataset, second: xr.Dataset, *, relative: float = 0.0) -> None:
    for name in first.data_vars:
        size = float(np.abs(first[name]).max())
        np.testing.assert_allclose(second[name], first[name], rtol=0, atol=relative * size, err_msg=str(name))


def rewrite(inputs, change) -> None:
    """The background in another form."""
    with xr.open_dataset(inputs.place / "bg.nc", decode_times=False) as data:
        changed = change(data.load())
    changed.to_netcdf(inputs.place / "bg.nc")


def shift(data: xr.Dataset) -> xr.Dataset:
    attributes = data["longitude"].attrs
    moved = data.assign_coords(longitude=(data["longitude"] + 180.0) % 360.0 - 180.0).sortby("longitude")
    return moved.assign_coords(longitude=moved["longitude"].assign_attrs(attributes))


def celsius(data: xr.Dataset) -> xr.Dataset:
    return data.assign(t=(data["t"] - 273.15).assign_attrs(units="degC"))


SAME_BACKGROUND = {
    "north first": (lambda d: d.isel(latitude=slice(None, None, -1)), 0.0),
    "from 180°W": (shift, 0.0),
    "levels reversed": (lambda d: d.isel(level=slice(None, None, -1)), 1e-15),  # sums of a matrix product, by row
    "levels in Pa": (lambda d: d.assign_coords(level=("level", d["level"].values * 100, {"units": "Pa"})), 0.0),
    "single precision": (
        lambda d: d.astype(dict.fromkeys(NAMES, np.float32)),
        1e-6,
    ),  # 3D-Var itself is in single precision
}
SAME_OBSERVATIONS = {
    "rows reversed": lambda lines: [lines[0], *lines[:0:-1]],
    "longitudes from -180": lambda lines: [line.replace(",200,", ",-160,").replace(",300,", ",-60,") for line in lines],
    "pascals": lambda lines: [
        line.replace("pressure_hPa", "pressure").replace(",500,", ",50000,").replace(",850,", ",85000,")
        for line in lines
    ],
    "Celsius": lambda lines: [
        f"{lines[0]},unit",
        *(
            line.replace("265.25", "-7.9").replace("262.25", "-10.9").replace("263.25", "-9.9")
            + (",degC" if ",t," in line else ",m s-1")
            for line in lines[1:]
        ),
    ],
    "semicolons": lambda lines: [line.replace(",", ";") for line in lines],
}


@pytest.mark.parametrize("form", SAME_BACKGROUND)
def test_the_form_of_the_background_does_not_matter(inputs, form):
    change, relative = SAME_BACKGROUND[form]
    first = analysis(inputs)
    rewrite(inputs, change)
    assert_same(first, analysis(inputs), relative=relative)


def test_units_of_the_background_do_not_matter(inputs):
    first = analysis(inputs)
    rewrite(inputs, celsius)
    second = analysis(inputs)
    second = second.assign(t=second["t"] + 273.15)
    assert_same(first, second, relative=1e-12)


def test_grib_and_netcdf_of_the_same_fields(inputs):
    """The packing of 24 bits moves a field by up to 2⁻²⁵ of its range."""
    first = analysis(inputs)
    second = analysis(inputs, background=inputs.place / "bg.grib")
    assert_same(first, second, relative=1e-6)
    messages = [message(name, level) for name in reversed(NAMES) for level in reversed(LEVELS)]
    third = analysis(inputs, background=write_grib(messages, inputs.place / "other.grib"))
    assert_same(second, third)


@pytest.mark.parametrize("form", SAME_OBSERVATIONS)
def test_the_form_of_the_observations_does_not_matter(inputs, form):
    first = analysis(inputs)
    table = inputs.place / "obs.csv"
    lines = SAME_OBSERVATIONS[form](table.read_text().splitlines())
    assert lines != table.read_text().splitlines()
    table.write_text("\n".join(lines) + "\n")
    assert_same(first, analysis(inputs), relative=1e-12 if form == "Celsius" else 0.0)


def outputs(inputs) -> dict[str, object]:
    names = ("feedback", "increment", "members_out", "carry")
    return {name: inputs.place / file for name, file in zip(names, OUTPUTS[1:], strict=True)}


def test_every_output_has_the_same_bytes_again_whatever_the_threads(inputs, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1583064000")
    before = torch.get_num_threads()
    runs = []
    for threads in (1, 2):
        (inputs.place / "carry.json").unlink(missing_ok=True)
        assert main([*inputs.words(**outputs(inputs), threads=threads), "--carry-new"]) == 0
        runs.append([(inputs.place / name).read_bytes() for name in OUTPUTS])
    torch.set_num_threads(before)
    assert runs[0] == runs[1]
    with xr.open_dataset(inputs.place / "a.nc") as data:
        assert data.attrs["date_created"] == "2020-03-01T12:00:00Z"
        assert data.attrs["history"].startswith("2020-03-01T12:00:00Z phyda ")


def test_provenance_says_all_that_went_in(inputs):
    (inputs.place / "run.toml").write_text("seed = 7\n")
    assert main([*inputs.words(config=inputs.place / "run.toml", feedback=inputs.place / "f.nc")]) == 0
    for name in ("a.nc", "f.nc"):
        with xr.open_dataset(inputs.place / name) as data:
            about = data.attrs
        assert json.loads(about["phyda_settings"])["seed"] == 7
        assert set(json.loads(about["phyda_libraries"])) >= {"python", "torch", "numpy", "netCDF4", "eccodes"}
        digests = json.loads(about["phyda_inputs_sha256"])
        for file in ("bg.nc", "obs.csv"):
            content = subprocess.run(["sha256sum", inputs.place / file], capture_output=True, text=True, check=True)
            assert digests[str(inputs.place / file)] == content.stdout.split()[0]
        assert about["phyda_weights_sha256"].endswith("b.safetensors")


def test_an_empty_environment(inputs):
    """No HOME, no PATH, LANG=C: a cron job. Nothing is left beside the output, nor in the working directory."""
    (inputs.place / "höhe").mkdir()
    words = inputs.words(out=inputs.place / "höhe" / "a.nc")
    names = sorted(path.name for path in inputs.place.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom phyda_cli.cli.app import main\n"
         "sys.exit(main())", "--log-format", "json", *words],
        env={"LANG": "C", "NO_COLOR": "1"}, capture_output=True, check=False, cwd=inputs.place,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"\x1b[" not in done.stderr
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert {"time", "level", "logger", "message"} == set(events[0])
    assert sorted(path.name for path in inputs.place.rglob("*")) == sorted([*names, "a.nc"])


def test_waiting_for_another_run(inputs, capsys):
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with output_lock(inputs.place / "a.nc"):
            held.set()
            free.wait()
            time.sleep(0.3)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    assert main(inputs.words(wait="0s")) == 75
    free.set()
    assert main(inputs.words(wait="30s")) == 0
    holder.join()
    assert "waiting for it" in capsys.readouterr().err


def test_what_the_other_run_has_written_meanwhile_is_kept(inputs, capsys):
    (inputs.place / "a.nc").unlink()
    words = [word for word in inputs.words(wait="30s") if word != "--overwrite"]
    held = threading.Event()

    def hold() -> None:
        with output_lock(inputs.place / "a.nc"):
            held.set()
            time.sleep(0.3)
            (inputs.place / "a.nc").write_bytes(OLD)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    assert main(words) == 73
    holder.join()
    assert "exists already" in capsys.readouterr().err
    assert (inputs.place / "a.nc").read_bytes() == OLD


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])
def test_memory_that_runs_out_is_no_bug(inputs, monkeypatch, capsys, error):
    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("phyda_cli.library.analysis.assimilated", fail)
    assert main(inputs.words()) == 75
    assert "out of memory" in capsys.readouterr().err
    assert (inputs.place / "a.nc").read_bytes() == OLD


def test_shell_completion():
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom phyda_cli.cli.app import main\nsys.exit(main())"
    words = {"_PHYDA_COMPLETE": "complete_bash", "COMP_WORDS": "phyda assim", "COMP_CWORD": "1", **os.environ}
    done = subprocess.run([sys.executable, "-c", script], env=words, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["assimilate"]


def test_too_many_open_files_is_said(inputs, monkeypatch, capsys):
    def fail(*arguments: object, **options: object) -> None:
        try:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        except OSError:
            raise BadDataError("bg.nc: cannot be opened; fetch the file again") from None

    monkeypatch.setattr("phyda_cli.library.analysis.assimilated", fail)
    assert main(inputs.words()) == 78
    line = capsys.readouterr().err.splitlines()[-1]
    assert "too many open files" in line
    assert "ulimit -n" in line
    assert "fetch" not in line
