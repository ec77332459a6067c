"""Records made by hand: two dates, two channels (t500, t850), two methods at one density."""

from __future__ import annotations

from typing import Any

import numpy as np

from phyda_cli.experiments.comparison import Comparison
from phyda_cli.experiments.intervals import Bootstrap
from phyda_cli.experiments.results import Results
from phyda_cli.fields.state import Channel

CHANNELS = (Channel("t", 50_000.0), Channel("t", 85_000.0))
VALID = np.array([0, 240])


def record(
    mse: list[float],
    *,
    count: tuple[float, float] = (1.0, 1.0),
    withheld: list[float] | None = None,
    variance: list[float] | None = None,
    specdiv: list[float] | None = None,
) -> dict[str, Any]:
    """One date: errors of one size everywhere, so that the MAE is the root of the MSE; σ_b is 1."""
    root = np.sqrt(mse).tolist()
    made: dict[str, Any] = {"members": 0, "seconds": 0.5, "withheld_count": list(count), "nincrement": [0.01, 0.03]}
    for prefix, squares, sizes in (("", mse, root), ("withheld_", withheld or mse, np.sqrt(withheld or mse).tolist())):
        for name in ("", "n"):
            made |= {f"{prefix}{name}mse": squares, f"{prefix}{name}mae": sizes}
        made[f"{prefix}bias"] = sizes
    made |= {"specdiv_mean": specdiv or [0.1, 0.1], "specdiv_increment_mean": [0.2, 0.2]}
    made |= {"hydrostatic_mean": 4.0, "geostrophic_mean": 9.0}
    for part in ("truth", "mean", "increment_truth", "increment_mean"):
        made |= {f"power_{part}": [[1.0] * 7] * 2, f"radial_{part}": [[1.0, 1.0]] * 2}
    if variance is not None:
        members = {name.replace("mae", "crps"): made[name] for name in list(made) if name.endswith("mae")}
        made |= members | {
            "members": 3,
            "variance": variance,
            "nvariance": variance,
            "ranks": [[10, 10, 10, 10]],
        }
        for name in (
            "specdiv",
            "hydrostatic",
            "geostrophic",
            "power",
            "radial",
            *(f"{x}_increment" for x in ("specdiv", "power", "radial")),
        ):
            made[f"{name}_members"] = made[f"{name}_mean"]
    return made


def results(methods: dict[str, list[dict[str, Any]]], density: float = 1.0) -> Results:
    """Of two dates of each method."""
    records = {(name, density, pair): dates[pair] for name, dates in methods.items() for pair in (0, 1)}
    return Results(records, (0, 1), VALID, tuple(methods), (density,), CHANNELS)


def comparison(methods: dict[str, list[dict[str, Any]]], density: float = 1.0) -> Comparison:
    return Comparison(results(methods, density), Bootstrap(VALID))
