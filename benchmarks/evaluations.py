"""How many evaluations of the score a member needs, and what bfloat16 does to it: CRPS, spread and time, paired.

    python -m benchmarks.evaluations CASES [--weights phyda.safetensors] [--cases 48]

CASES is the directory of a training's validation shards. Every variant draws the same eight members of each case from
the same noise; its calibration is fitted on the even cases and it is scored on the odd ones. CRPS is fair (of M
members, E|x − y| − ½ Σ|x_i − x_j|/(M (M − 1))), a mean over area, channels and cases in units of s σ_b, relative to the
first variant; spread/error is √((M + 1)/M) times the spread over the error of the mean. bfloat16 is autocast around the
score.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from pathlib import Path

import torch

from phyda_cli.networks.calibration import CalibrationSums
from phyda_cli.networks.checkpoint import read_checkpoint
from phyda_cli.networks.local_spread import localised
from phyda_cli.resources import LEARNED_MODEL, weights_path
from phyda_cli.training.batches import as_they_are, assembled
from phyda_cli.training.case_files import open_cases

MEMBERS = 8
VARIANTS = ((12, False), (8, False), (6, False), (12, True), (6, True))


def crps(members: torch.Tensor, truth: torch.Tensor, area: torch.Tensor) -> float:
    """Fair CRPS of members (case, M, C, H, W)."""
    count = members.shape[1]
    miss = (members - truth[:, None]).abs().mean(1)
    ordered = members.sort(1).values
    weight = (2.0 * torch.arange(count) - count + 1).reshape(1, -1, 1, 1, 1)
    apart = (weight * ordered).sum(1) / (count * (count - 1))
    return float(((miss - apart) * area).mean())


@torch.no_grad()
def main() -> None:
    """Print a line for each variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--weights", type=Path, default=weights_path(LEARNED_MODEL))
    parser.add_argument("--cases", type=int, default=48)
    asked = parser.parse_args()
    held, cases = read_checkpoint(asked.weights), open_cases(asked.directory)
    model, statistics = held.model.eval(), held.statistics
    first = None
    for evaluations, half in VARIANTS:
        sums, kept, spent = CalibrationSums.none(len(statistics.channels)), [], 0.0
        for number in range(min(asked.cases, len(cases))):
            batch = assembled(as_they_are(cases, statistics, [number]), statistics)
            parts = model.reconstruct(batch.observations, batch.first_guess, batch.background, batch.static, batch.base)
            begun = time.process_time()
            with torch.autocast("cpu", torch.bfloat16) if half else contextlib.nullcontext():
                members = model.members(*parts, batch.base, count=MEMBERS, evaluations=evaluations, seeds=[number])
            spent += time.process_time() - begun
            members = localised(members.float(), parts[0].log_sigma)
            if number % 2:
                kept.append((members, batch.increment, batch.density))
            else:
                sums.add(members, parts[0].mean, batch.increment, batch.density, statistics.area)
        calibration = sums.fit()
        scores, variance, error = [], 0.0, 0.0
        for members, truth, density in kept:
            wide = calibration.apply(members, density)
            scores.append(crps(wide, truth, statistics.area))
            variance += float((wide.var(1) * statistics.area).mean())
            error += float(((wide.mean(1) - truth).square() * statistics.area).mean())
        score = sum(scores) / len(scores)
        first = first or score
        ratio = ((MEMBERS + 1) / MEMBERS * variance / error) ** 0.5
        label, each = f"{evaluations} evaluations{', bfloat16' if half else ''}", spent / min(asked.cases, len(cases))
        print(f"{label}: CRPS {score:.4f}, {score / first:.4f} of the first", end="; ")
        print(f"spread/error {ratio:.3f}; {each:.2f} s of processor a case", flush=True)


if __name__ == "__main__":
    main()
