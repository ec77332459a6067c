"""A user's program, which mypy checks with the package: the library has types, and a mistake is found.

Every `type: ignore` stands where mypy must complain; it complains of one that is not needed too.
"""

from __future__ import annotations

import pandas as pd
import xarray as xr

from phyda_cli import (
    Analysis,
    Background,
    Observations,
    assimilate,
    diagnose,
    evaluate,
    open_background,
    read_observations,
)


def right(dataset: xr.Dataset, table: pd.DataFrame) -> xr.Dataset:
    """What the library is for."""
    background: Background = open_background(dataset, time="2003-10-17T12", member=[0, 1])
    observations: Observations = read_observations(["a.csv", table], units={"temp": "degC"})
    analysis: Analysis = assimilate(background, observations, method="letkf", localisation=800, window="90min")
    members: xr.Dataset | None = analysis.members
    assert members is not None
    scores: pd.DataFrame = evaluate(analysis, truth=members)
    print(scores.rmse, diagnose([analysis, "feedback.nc"]).groups("levels")[0].sigma_o)
    errors = {"inflation": {"t": 1.5}}
    print(assimilate("b.nc", ["a.csv", "b.csv"], errors=errors, fgat=["c.nc"]).feedback.columns)
    analysis.write("analysis.nc", overwrite=True)
    return analysis.dataset


def wrong(analysis: Analysis) -> None:
    """What mypy finds."""
    assimilate(1, "o.csv")  # type: ignore[arg-type]
    assimilate("b.nc", "o.csv", sead=1)  # type: ignore[call-arg]
    assimilate("b.nc", "o.csv", members="many")  # type: ignore[arg-type]
    analysis.write(3)  # type: ignore[arg-type]
    analysis.members.to_netcdf("m.nc")  # type: ignore[union-attr]
