"""The LETKF's algebra on the Lorenz-96 model, beside DAPPER's LETKF: python benchmarks/lorenz96.py [--out FILE].

    dx_i/dt = (x_{i+1} − x_{i−2}) x_{i−1} − x_i + F,     F = 8, 40 points on a circle, RK4 with steps of 0.05

Every point is observed at every step with error variance 1 (Lorenz and Emanuel 1998, Sakov and Oke 2008). Both filters
see the same truth and observations and start from the same members; both inflate the analysis perturbations. DAPPER's
radius is the Gaussian's length L, and its half-width is c = 1.82 L: the same c goes to `gaspari_cohn`.
Needs `pip install 'phyda[dapper]'`; `run` alone does not.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import platform
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from result import commit

from phyda_cli.errors_b.localisation import gaspari_cohn
from phyda_cli.methods.letkf_core import ensemble_transform

POINTS, FORCE, STEP = 40, 8.0, 0.05
HALF_WIDTH = 1.82
"""c over DAPPER's radius."""


class Setting(NamedTuple):
    """members: N. radius: L [grid points]. inflation: factor on the analysis perturbations after each cycle."""

    members: int
    radius: float
    inflation: float


SETTINGS = (Setting(7, 4.0, 1.04), Setting(10, 4.0, 1.03), Setting(20, 8.0, 1.02))


def tendency(x: np.ndarray) -> np.ndarray:
    """dx/dt of states (…, point)."""
    return (np.roll(x, -1, -1) - np.roll(x, 2, -1)) * np.roll(x, 1, -1) - x + FORCE


def step(x: np.ndarray) -> np.ndarray:
    """One step of the model, states (…, point)."""
    k1 = tendency(x)
    k2 = tendency(x + 0.5 * STEP * k1)
    k3 = tendency(x + 0.5 * STEP * k2)
    k4 = tendency(x + STEP * k3)
    return x + STEP / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)


def twin(cycles: int, members: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth (cycle + 1, point) on the attractor, observations (cycle, point) from the first step on, first members."""
    draw = np.random.default_rng(seed)
    x = FORCE + draw.standard_normal(POINTS)
    for _ in range(400):
        x = step(x)
    truth = [x]
    for _ in range(cycles):
        truth.append(step(truth[-1]))
    states = np.array(truth)
    return (
        states,
        states[1:] + draw.standard_normal((cycles, POINTS)),
        states[0] + draw.standard_normal((members, POINTS)),
    )


def run(observations: np.ndarray, members: np.ndarray, half_width: float, inflation: float) -> np.ndarray:
    """The analysis means (cycle, point) of the LETKF. half_width: c [grid points]."""
    index = np.arange(POINTS)
    apart = np.abs(index[:, None] - index)
    distance = torch.from_numpy(np.minimum(apart, POINTS - apart).astype(np.float64))
    precision = gaspari_cohn(distance / half_width)[None]
    means = []
    for y in observations:
        members = step(members)
        mean = members.mean(0)
        own = torch.from_numpy(members - mean)
        w, root = (x[0] for x in ensemble_transform(own[None], torch.from_numpy(y - mean)[None], precision))
        # w (point, N), root (point, N, N); every point takes its own
        moved = torch.einsum("np,pn->p", own, w) + inflation * torch.einsum("np,pnm->mp", own, root)
        members = mean + moved.numpy()
        means.append(members.mean(0))
    return np.array(means)


def rmse(means: np.ndarray, truth: np.ndarray, spin_up: int) -> float:
    """Mean over the cycles after `spin_up` of the root mean square error over the points."""
    return float(np.sqrt(np.square(means - truth[1:]).mean(-1))[spin_up:].mean())


def of_dapper(observations: np.ndarray, members: np.ndarray, setting: Setting) -> np.ndarray:
    """The same of DAPPER's LETKF, localised point by point."""
    import dapper.mods as modelling
    from dapper.da_methods import LETKF
    from dapper.mods.Lorenz96 import step as their_step
    from dapper.tools.localization import nd_Id_localization

    class Members(modelling.GaussRV):
        def sample(self, N: int) -> np.ndarray:
            return members.copy()

    observe = modelling.partial_Id_Obs(POINTS, np.arange(POINTS)) | {
        "noise": 1,
        "localizer": nd_Id_localization((POINTS,), (1,)),
    }
    sequence = modelling.Chronology(STEP, dko=1, Ko=len(observations) - 1, Tplot=1, BurnIn=0)
    dynamics = {"M": POINTS, "model": their_step, "noise": 0}
    model = modelling.HiddenMarkovModel(dynamics, observe, sequence, Members(mu=members.mean(0), C=1.0))
    filter_ = LETKF(N=setting.members, rot=False, infl=setting.inflation, loc_rad=setting.radius)
    truth = np.zeros((len(observations) + 1, POINTS))  # its own scores are not used
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        filter_.assimilate(model, truth, observations, liveplots=False)
    return np.asarray(filter_.stats.mu.a)


def main() -> None:
    """Run both on every setting and seed, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the page here, not to stdout")
    parser.add_argument("--cycles", type=int, default=1000, metavar="N", help="cycles of each run (1000)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="twins of each setting (5)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows, first = [], 0.0
    for setting in SETTINGS:
        ours, theirs, seconds = [], [], np.zeros(2)
        for seed in range(options.seeds):
            truth, observations, members = twin(options.cycles, setting.members, seed)
            begun = time.perf_counter()
            means = run(observations, members, HALF_WIDTH * setting.radius, setting.inflation)
            middle = time.perf_counter()
            other = of_dapper(observations, members, setting)
            seconds += (middle - begun, time.perf_counter() - middle)
            ours.append(rmse(means, truth, options.cycles // 10))
            theirs.append(rmse(other, truth, options.cycles // 10))
            first = max(first, float(np.abs(means[:10] - other[:10]).max()))
        rows.append(row(setting, np.array(ours), np.array(theirs), 1e3 * seconds / options.seeds / options.cycles))
    text = document(rows, options.cycles, options.seeds, first)
    if options.out is None:
        print(text, end="")
    else:
        options.out.write_text(text, encoding="utf-8")


def row(setting: Setting, ours: np.ndarray, theirs: np.ndarray, seconds: np.ndarray) -> str:
    """One setting in markdown."""
    cells = (
        f"{setting.members}",
        f"{setting.radius:g}",
        f"{setting.inflation:g}",
        f"{ours.mean():.4f}",
        f"{theirs.mean():.4f}",
        f"{100 * (ours.mean() / theirs.mean() - 1):+.2f} %",
        f"{100 * (ours / theirs - 1).min():+.2f} … {100 * (ours / theirs - 1).max():+.2f} %",
        f"{seconds[0]:.1f}",
        f"{seconds[1]:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def document(rows: list[str], cycles: int, seeds: int, first: float) -> str:
    """The page."""
    from importlib.metadata import version

    table = "\n".join(rows)
    return f"""# The LETKF on Lorenz-96, beside DAPPER's

Made by `python benchmarks/lorenz96.py --out docs/results-letkf.md` (needs `phyda[dapper]`): DAPPER {version("dapper")},
torch {torch.__version__}, Python {platform.python_version()}. Frozen at commit `{commit()}`.

40 points, all observed at every step of 0.05 with error variance 1; {seeds} twins of {cycles} cycles for each setting,
the first tenth not counted. Both filters see the same truth, observations and first members, use the Gaspari–Cohn taper
with c = 1.82 L, and inflate the analysis perturbations. RMSE of the analysis mean, a mean over cycles and twins; the
range is that of single twins. The algebra is `phyda_cli/methods/letkf_core.py`, which `--method letkf` uses too.

| members | L | inflation | phyda | DAPPER | difference | single twins | phyda [ms/cycle] | DAPPER [ms/cycle] |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|
{table}

In the first ten cycles the analyses differ by {first:.1e} at most; later they part, as the model is chaotic. DAPPER
leaves out observations that weigh less than 0.001.
"""


if __name__ == "__main__":
    main()
