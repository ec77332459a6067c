"""What is particular to ensembles, and to spectra, from the records: no paired comparison is made of these.

spread/skill = √((M+1)/M) · √⟨variance⟩ / √⟨squared error of the mean⟩         1 for a reliable ensemble
band ratio   = Σ power of the analyses / Σ power of the truth, over dates       1 is right
pooled SpecDiv: see `evaluation/spectra.py`
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from phyda_cli.evaluation.spectra import divergence
from phyda_cli.experiments.intervals import Bootstrap
from phyda_cli.experiments.results import Results
from phyda_cli.experiments.score import Of, Part, Quantity, Score

Array = NDArray[np.float64]


def spread_skill(results: Results, method: str, density: float) -> dict[str, float]:
    """Return the ratio of each channel, variable and of all; of variables from what is divided by σ_b. Empty without
    members.

    NaN where the mean has no error.
    """
    size = results.members(method)
    variance, error = (results.of(method, density, Score(kind)) for kind in ("spread", "mse"))
    relative, relative_error = (results.of(method, density, Score(kind, relative=True)) for kind in ("spread", "mse"))
    if size == 0 or variance is None or error is None or relative is None or relative_error is None:
        return {}
    found = {}
    for name, own in results.groups().items():
        alone = len(own) == 1
        above, below = (variance, error) if alone else (relative, relative_error)
        skill = float(below[:, own].mean())
        found[name] = float(np.sqrt((size + 1) / size * above[:, own].mean() / skill)) if skill > 0 else float("nan")
    return found


def ranks(results: Results, method: str, density: float, bootstrap: Bootstrap) -> tuple[Array, Array, Array] | None:
    """Frequency (variable, rank), times M + 1 so that 1 is flat, and the bounds of its interval; None without."""
    counts = results.values(method, density, "ranks")
    if counts is None:
        return None
    share = counts / counts.sum(-1, keepdims=True) * counts.shape[-1]
    low, high = bootstrap.interval(share)
    return share.mean(0), low, high


def band_ratios(results: Results, method: str, density: float, of: Of, part: Part) -> Array:
    """(channel, band) power of the mean or the members over the truth's; NaN where the truth has none."""
    power, truth = _both(results, method, density, "power", of, part)
    below = truth.sum(0)
    ratios: Array = np.divide(power.sum(0), below, out=np.full_like(below, np.nan), where=below > 0)
    return ratios


def pooled_divergence(results: Results, method: str, density: float, of: Of, part: Part) -> Array:
    """SpecDiv (channel,) of radial spectra averaged over dates (and members)."""
    radial, truth = _both(results, method, density, "radial", of, part)
    values = divergence(torch.from_numpy(radial.mean(0)), torch.from_numpy(truth.mean(0)))
    return np.asarray(values.numpy(), dtype=np.float64)


def _both(results: Results, method: str, density: float, quantity: Quantity, of: Of, part: Part) -> tuple[Array, Array]:
    own, truth = (results.spectrum(method, density, quantity, of, which) for which in (part, "truth"))
    assert own is not None
    assert truth is not None
    return own, truth


def grouped(results: Results, values: Array) -> dict[str, float]:
    """Plain means over the channels of each group of values (channel,)."""
    return {name: float(np.mean(values[own])) for name, own in results.groups().items()}
