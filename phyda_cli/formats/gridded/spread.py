"""The spread beside the fields of an analysis in NetCDF, as a State on the canonical grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from phyda_cli.constants import GRAVITY
from phyda_cli.fields.state import State
from phyda_cli.formats.file_safety import check_hdf5
from phyda_cli.formats.gridded.layout import WINDS, Background, Conversion, horizontal_view
from phyda_cli.formats.sniff import FileFormat, sniff

_LINEAR = (Conversion.IDENTITY, Conversion.HEIGHT, *WINDS)


def read_spread(path: Path, analysis: Background) -> State | None:
    """Return the standard deviation (channel, lat, lon) [SI] of the channels that have one, None where there are none.

    analysis: what `read_background` made of the same file.
    """
    if sniff(path) is FileFormat.GRIB or analysis.folding is not None:
        return None
    check_hdf5(path)
    planes = {}
    with xr.open_dataset(path, decode_times=False) as dataset:
        for channel, place in analysis.layout.items():
            name = f"{place.name}_spread"
            if name not in dataset or place.conversion not in _LINEAR:
                continue
            variable = dataset[name].squeeze(drop=True)
            order = [place.level_dim, analysis.latitude, analysis.longitude]
            if set(variable.dims) != {name for name in order if name is not None}:
                continue
            view = horizontal_view(np.asarray(variable.values, np.float64), variable.dims, analysis, place)
            values = np.asarray(view, np.float64)[analysis.orientation.rows[:, None], analysis.orientation.columns]
            scale = abs(place.scale) / (GRAVITY if place.conversion is Conversion.HEIGHT else 1.0)
            if np.nanmax(values) > 0:
                planes[channel] = torch.from_numpy(values / scale)
    if not planes:
        return None
    return replace(analysis.state, values=torch.stack(list(planes.values())), channels=tuple(planes))
