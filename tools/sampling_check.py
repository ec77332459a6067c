"""How many evaluations and members a sample of analyses needs: python tools/sampling_check.py --help

Dates of the test part at one density, the paper's network. Each date's members are drawn with 1, 4, 12 and 32
evaluations of the score network (16 members), then with 12 evaluations and 2, 8, 16 and 32 members; the calibration of
the weights is used as it is. Scores are area-weighted, in units of σ_b of the lead, means over all channels and dates;
`mean alone` is the reconstruction of the encoder without diffusion.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import torch

from phyda_cli.evaluation.ensemble import fair_crps
from phyda_cli.evaluation.scores import area_mean
from phyda_cli.experiments.cases import CaseBatch, CaseDrawer
from phyda_cli.experiments.dates import choose_pairs
from phyda_cli.experiments.settings import LARGEST_LEAD, Settings
from phyda_cli.formats.gridded.background_error import read_background_error
from phyda_cli.methods.phyda import TOLERANCE, LearnedAnalysis
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.networks.checkpoint import read_checkpoint
from phyda_cli.preparation.store import open_store

EVALUATIONS: Final = (1, 4, 12, 32)
MEMBERS: Final = (2, 8, 16, 32)
STANDARD: Final = (16, 12)
_TOGETHER: Final = 4


class Scores(NamedTuple):
    """rmse of the mean, fair CRPS (of the mean alone: MAE), √((M+1)/M) spread / rmse, processor seconds for a date."""

    rmse: float
    crps: float
    ratio: float
    seconds: float


def main() -> int:
    """Print the two tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--background-error", type=Path, required=True)
    parser.add_argument("--density", type=float, default=2.0, help="in %% of the grid values")
    parser.add_argument("--noise", type=float, default=0.25, help="factor on the table's observation errors")
    parser.add_argument("--dates", type=int, default=24)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    store = open_store(arguments.store)
    leads = tuple(lead for lead in store.leads if lead <= LARGEST_LEAD)
    settings = Settings(leads=leads, dates=arguments.dates, noise=arguments.noise, densities=(arguments.density,))
    drawer = CaseDrawer(store, settings)
    pairs = choose_pairs(store, settings.part, settings.leads, settings.dates)
    batch = drawer.draw(pairs, drawer.read(pairs), arguments.density)
    guess = ThreeDVar(read_background_error(arguments.background_error)[0], tolerance=TOLERANCE, dtype=torch.float32)
    method = LearnedAnalysis(read_checkpoint(arguments.weights), guess)
    rows = [("mean alone", score(replace(method, members=0), batch))]
    rows += [
        (f"{evaluations} evaluations", score(replace(method, members=STANDARD[0], evaluations=evaluations), batch))
        for evaluations in EVALUATIONS
    ]
    rows += [
        (f"{members} members", score(replace(method, members=members, evaluations=STANDARD[1]), batch))
        for members in MEMBERS
    ]
    print(f"{len(batch)} dates, {arguments.density:g} %, observation errors {arguments.noise:g} × the table's\n")
    print("| | RMSE | CRPS | spread/skill | s/date |\n|---|---:|---:|---:|---:|")
    for name, found in rows:
        ratio = "–" if found.ratio == 0 else f"{found.ratio:.2f}"
        print(f"| {name} | {found.rmse:.4f} | {found.crps:.4f} | {ratio} | {found.seconds:.2f} |")
    return 0


def score(method: LearnedAnalysis, batch: CaseBatch) -> Scores:
    """The scores of one choice over all dates."""
    grid = method.checkpoint.statistics.grid
    anomaly = method.checkpoint.statistics.anomaly(batch.background)
    square, crps, variance, seconds = 0.0, 0.0, 0.0, 0.0
    for start in range(0, len(batch), _TOGETHER):
        own = slice(start, start + _TOGETHER)
        began = time.process_time()
        result = method.analyse(
            anomaly[own], batch.times[own], batch.departures[own], batch.scale[own], seeds=list(batch.pairs[own])
        )
        seconds += time.process_time() - began
        sigma, truth = batch.sigma[own], batch.error[own] / batch.sigma[own]
        mean, members = result.mean / sigma, result.members / sigma[:, None]
        square += float(area_mean((mean - truth).square(), grid).mean(1).sum())
        if members.shape[1]:
            crps += float(area_mean(fair_crps(members.movedim(1, 0), truth), grid).mean(1).sum())
            variance += float(area_mean(members.var(1), grid).mean(1).sum())
        else:
            crps += float(area_mean((mean - truth).abs(), grid).mean(1).sum())
    size, count = len(batch), max(method.members, 1)
    ratio = ((count + 1) / count * variance / square) ** 0.5
    return Scores((square / size) ** 0.5, crps / size, ratio, seconds / size)


if __name__ == "__main__":
    sys.exit(main())
