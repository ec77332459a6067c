"""The pressure of a model's levels, whatever way a file says it.

    p = a p_0 + b p_s,   a + b p_s,   p_t + σ (p_s − p_t)         CF's hybrid and sigma levels
    p = P + PB                                                    WRF

GRIB's hybrid levels, whose coefficients are those of half levels, are those of `grib.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import xarray as xr

from phyda_cli.fields.variables import find_gridded_variable

WRF: Final = ("P", "PB", "T", "U", "V", "QVAPOR")
"""The fields by which a file of WRF is known."""
_HYBRID: Final = ("atmosphere_hybrid_sigma_pressure_coordinate", "atmosphere_sigma_coordinate")


def pressure_of_levels(dataset: xr.Dataset, kept: tuple[str, ...]) -> xr.DataArray | None:
    """Return the pressure of a dataset's model levels; None where it has none, or nothing says it.

    kept: dimensions of rows, columns and, where there are any, members.
    """
    if set(WRF) <= set(dataset.variables):
        return dataset["P"] + dataset["PB"]
    surface = _surface_pressure(dataset, kept)
    if surface is None:
        return None
    for variable in dataset.variables.values():
        if variable.attrs.get("standard_name") in _HYBRID and "formula_terms" in variable.attrs and variable.ndim == 1:
            words = str(variable.attrs["formula_terms"]).split()
            terms = dict(zip((w.removesuffix(":") for w in words[::2]), words[1::2], strict=False))
            ps = dataset[terms["ps"]] if terms.get("ps") in dataset else surface
            return _of_terms(dataset, terms, ps)
    names = {str(name).casefold(): str(name) for name in dataset.variables}
    if {"hyam", "hybm"} <= set(names):
        p0 = float(dataset[names["p0"]]) if "p0" in names else 1.0
        a, b = (dataset[names[name]] for name in ("hyam", "hybm"))
        if a.dims and a.dims[0] not in _levels(dataset, kept):
            level = next((d for d in _levels(dataset, kept) if dataset.sizes[d] == a.size), None)
            if level is None:
                return None
            a, b = (x.rename({str(x.dims[0]): level}).drop_vars(level, errors="ignore") for x in (a, b))
        return a * p0 + b * surface
    return None


def _of_terms(dataset: xr.Dataset, terms: Mapping[str, str], surface: xr.DataArray) -> xr.DataArray | None:
    def term(name: str) -> xr.DataArray | None:
        return dataset[terms[name]] if terms.get(name) in dataset else None

    a, ap, b, p0, sigma, top = (term(name) for name in ("a", "ap", "b", "p0", "sigma", "ptop"))
    if sigma is not None and top is not None:
        return top + sigma * (surface - top)
    if ap is None and a is not None and p0 is not None:
        ap = a * p0
    return None if ap is None or b is None else ap + b * surface


def _levels(dataset: xr.Dataset, kept: tuple[str, ...]) -> list[str]:
    """Return the dimensions of fields on levels."""
    found = [
        str(dim)
        for variable in dataset.data_vars.values()
        if set(kept[:2]) < set(variable.dims)
        for dim in variable.dims
        if dim not in kept
    ]
    return list(dict.fromkeys(found))


def _surface_pressure(dataset: xr.Dataset, kept: tuple[str, ...]) -> xr.DataArray | None:
    """Return the surface pressure [Pa] of a dataset, from its logarithm where it has that."""
    horizontal = set(kept[:2])
    for key, variable in dataset.data_vars.items():
        if str(key).casefold() in ("lnsp", "lnps") and horizontal <= set(variable.dims):
            flat = variable.squeeze([d for d in variable.dims if d not in kept], drop=True)
            return flat.copy(data=np.exp(flat.values))
    for key, variable in dataset.data_vars.items():
        known = find_gridded_variable(str(key))
        if known is not None and known.name == "sp" and horizontal <= set(variable.dims) <= set(kept):
            return variable * (100.0 if float(variable.max()) < 2000.0 else 1.0)
    return None
