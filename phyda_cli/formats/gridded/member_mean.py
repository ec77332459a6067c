"""The mean of a dataset's fields over its members."""

from __future__ import annotations

import xarray as xr


def mean_over(dataset: xr.Dataset, member: str) -> xr.Dataset:
    """Return the mean of every field along the dimension of members, in the field's own precision.

    What one member misses, the mean misses.
    """
    mean = dataset.mean(member, keep_attrs=True, skipna=False)
    return mean.assign({name: mean[name].astype(dataset[name].dtype) for name in mean.data_vars})
