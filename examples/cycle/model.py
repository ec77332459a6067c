"""A forecast model that fits on a page: every field turns round the earth's axis, and relaxes to its zonal mean.

    x(λ, t + Δt) = x̄ + e^(−Δt/τ) (x(λ − c Δt, t) − x̄)

python model.py --init ANALYSIS --out FORECAST --hours 6 --speed 10

It stands for any program that reads a state and writes a forecast; with another speed it makes the truth.
"""

from __future__ import annotations

import argparse

import numpy as np
import xarray as xr

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--init", required=True)
arguments.add_argument("--out", required=True)
arguments.add_argument("--hours", type=int, default=6)
arguments.add_argument("--speed", type=float, default=10.0, help="degrees a day, eastward")
arguments.add_argument("--relaxation", type=float, default=30.0, help="days")
given = arguments.parse_args()

with xr.open_dataset(given.init) as opened:
    state = opened.load()
longitude = state["longitude"]
turned = given.speed * given.hours / 24.0
forecast = state[[name for name in state.data_vars if not str(name).endswith("_spread")]]
for name, field in forecast.data_vars.items():
    if "longitude" not in field.dims:
        continue
    axis = field.get_axis_num("longitude")
    wave = np.fft.rfft(field.values.astype(np.float64), axis=axis)
    number = np.arange(wave.shape[axis]).reshape([-1 if i == axis else 1 for i in range(wave.ndim)])
    decay = np.where(number > 0, np.exp(-given.hours / 24.0 / given.relaxation), 1.0)
    wave *= decay * np.exp(-1j * number * np.radians(turned))
    moved = np.fft.irfft(wave, n=longitude.size, axis=axis)
    if name == "q":
        moved = np.maximum(moved, 0.0)
    forecast[name] = field.copy(data=moved.astype(np.float32))
forecast["time"] = forecast["time"] + np.timedelta64(given.hours, "h")
forecast.to_netcdf(given.out)
