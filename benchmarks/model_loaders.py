"""The layouts of initial conditions, read by the models' own loaders, where these are installed.

    python -m benchmarks.model_loaders [FILE.grib2]

A made-up state with every field that phyda can give, at two times on a small grid, is written in each layout, read by

    earth2studio    DataArrayFile and fetch_data with the inputs of each of its models, then one step of Persistence
    anemoi          NetCDFFileInput, and GribFileInput for the GRIB file that is named, as `phyda assimilate` wrote it
    aurora          Batch.from_netcdf, normalise, crop

and each value compared with the state. Neither package is a dependency: pip install earth2studio anemoi-inference
microsoft-aurora.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from phyda_cli.fields.ground import Ground
from phyda_cli.fields.state import Channel, State
from phyda_cli.fields.variables import VARIABLES
from phyda_cli.formats.models.layouts import LEVELS
from phyda_cli.formats.models.needs import MODELS
from phyda_cli.formats.models.write import layout_dataset, write_layout
from phyda_cli.grids.latlon import LatLonGrid

GRID = LatLonGrid.with_poles(33, 64)
TIME = np.datetime64("2020-01-01T06", "ns")
SIZES = {"sp": 1e5, "msl": 1e5, "t": 250.0, "t2m": 280.0, "d2m": 270.0, "q": 1e-3, "z": 5e4}
STUDIO_MODELS = ("pangu", "fengwu", "fcn", "sfno", "fcn3", "fuxi", "dlwp", "aurora", "graphcast_operational",
                 "graphcast_small")  # fmt: skip


def state(time: np.datetime64) -> State:
    """Every field that any model wants and an analysis has."""
    channels = tuple(
        dict.fromkeys(c for m in MODELS for c in m.channels if c.variable != "r" and (c.level or 5e3) >= 5e3)
    )
    waves = torch.randn(len(channels), *GRID.shape, generator=torch.Generator().manual_seed(int(time.astype(int) % 97)))
    sizes = torch.tensor([SIZES.get(channel.variable, 10.0) for channel in channels])[:, None, None]
    return State((sizes * (1.0 + 0.01 * waves)).double(), channels, GRID, time)


def southward(one: State, channel: Channel) -> np.ndarray:
    return one.values[one.index(channel)].numpy()[::-1].astype(np.float32)


def with_earth2studio(place: Path, states: tuple[State, State]) -> None:
    """Fetch what each model asks for; fields that no analysis has are named."""
    from earth2studio.data import DataArrayFile, fetch_data
    from earth2studio.models.px import Persistence

    source = DataArrayFile(str(place))
    held = set(source.da["variable"].values.tolist())
    for name in STUDIO_MODELS:
        wanted = importlib.import_module(f"earth2studio.models.px.{name}").VARIABLES
        there = [one for one in wanted if one in held]
        leads = np.array([-6, 0], "timedelta64[h]")
        x, coords = fetch_data(source, np.array([TIME]), np.array(there), lead_time=leads)
        for lead, one in enumerate(states):
            for number, variable in enumerate(there):
                channel = _studio_channel(variable)
                if channel.variable != "r":
                    np.testing.assert_array_equal(x[0, lead, number].numpy(), southward(one, channel))
        domain = {"lat": coords["lat"], "lon": coords["lon"]}
        stepped, after = Persistence(there, domain, history=2)(x, coords)
        assert stepped.shape[2:] == x.shape[2:]
        print(f"earth2studio {name}: {len(there)} of {len(wanted)} inputs, lacks {sorted(set(wanted) - held)}; "
              f"Persistence stepped to {after['lead_time'][0] / np.timedelta64(1, 'h'):g} h")  # fmt: skip


def _studio_channel(name: str) -> Channel:
    single = {row.earth2studio: row.name for row in VARIABLES.values() if not row.pressure_level}
    return Channel(single[name]) if name in single else Channel(name[0], 100.0 * float(name[1:]))


def with_anemoi(path: Path, kind: str, expected: Callable[[str], np.ndarray] | None) -> None:
    """Make an input state of every field in a file, by the input class that its kind has."""
    import earthkit.data
    from anemoi.inference.inputs import input_registry
    from anemoi.inference.metadata import Metadata

    fields = earthkit.data.from_source("file", str(path))
    metadata = types.SimpleNamespace(dataset_name="data", typed_variables={}, number_of_grid_points=None)
    metadata.default_namer = types.MethodType(Metadata.default_namer, metadata)
    handlers = {"data": types.SimpleNamespace(trace=None)}
    context = types.SimpleNamespace(reference_date=None, tensor_handlers=handlers, verbosity=0)
    namer = metadata.default_namer()
    keys = ("param", "levelist", "levtype")
    names = list(dict.fromkeys(namer(f, {key: f.metadata(key, default=None) for key in keys}) for f in fields))
    dates = sorted({f.datetime()["valid_time"] for f in fields})
    reader = input_registry.lookup(kind)(context, metadata, path=str(path), variables=names)
    reader.pre_process = lambda made: made
    made = reader.create_input_state(dates=dates)
    for name in names if expected is not None else []:
        np.testing.assert_array_equal(made["fields"][name], expected(name))
    shape = {value.shape for value in made["fields"].values()}
    finite = all(np.isfinite(value).all() for value in made["fields"].values())
    print(f"anemoi {kind}: {len(names)} variables of {shape}, at {made['date']}, all finite {finite}: {names[:4]} …")


def with_aurora(path: Path, states: tuple[State, State]) -> None:
    """Read a batch and normalise it as the model does; the module of batches needs none of Aurora's network."""
    found = importlib.util.find_spec("aurora")
    assert found is not None
    package = types.ModuleType("aurora")
    package.__path__ = list(found.submodule_search_locations or [])
    sys.modules["aurora"] = package
    batch = importlib.import_module("aurora.batch").Batch.from_netcdf(path)
    assert batch.metadata.atmos_levels == LEVELS
    assert batch.metadata.time == (TIME.astype("datetime64[s]").item(),)
    for history, one in enumerate(states):
        np.testing.assert_array_equal(batch.surf_vars["10u"][0, history], southward(one, Channel("u10")))
        np.testing.assert_array_equal(batch.atmos_vars["q"][0, history, 9], southward(one, Channel("q", 70000.0)))
    normal = batch.normalise(surf_stats={}).crop(4)
    spread = {name: float(value.std()) for name, value in normal.atmos_vars.items()}
    print(f"aurora: {sorted(batch.surf_vars)}, {sorted(batch.atmos_vars)}, {sorted(batch.static_vars)}, "
          f"{tuple(normal.spatial_shape)} points; standard deviations {spread}")  # fmt: skip


def main(grib: str | None = None) -> None:
    """Write and read each layout whose package is there."""
    states = state(TIME - np.timedelta64(6, "h")), state(TIME)
    height = torch.linspace(0, 5000, GRID.shape[0] * GRID.shape[1], dtype=torch.float64).reshape(GRID.shape)
    ground = Ground(height, (height > 2500).double())
    with tempfile.TemporaryDirectory() as directory:
        place = {name: Path(directory) / f"{name}.nc" for name in ("earth2studio", "anemoi", "aurora")}
        for name, path in place.items():
            write_layout(path, layout_dataset(name, states, ground, attributes={}))
        readers: dict[str, Callable[[], Any]] = {
            "earth2studio": lambda: with_earth2studio(place["earth2studio"], states),
            "anemoi": lambda: with_anemoi(place["anemoi"], "netcdf", None),
            "aurora": lambda: with_aurora(place["aurora"], states),
        }
        for name, read in readers.items():
            if importlib.util.find_spec(name) is None:
                print(f"{name}: not installed")
                continue
            read()
    if grib is not None:
        with_anemoi(Path(grib), "grib", None)


if __name__ == "__main__":
    main(*sys.argv[1:])
