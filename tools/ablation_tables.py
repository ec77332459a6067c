"""Tables of the ablations from finished experiments: python tools/ablation_tables.py --help

REGRESSIONS, PHYSICS and PRIOR are what `phyda evaluate --store … --out DIRECTORY` made of the weights of ablations.py:
of the encoder's variants as regressions, `encoder` among them; of score networks with the physics `none`,
`hydrostatic`, `proxy` and `full`, and `state`; and of `prior`. MAIN is the experiment of the shipped weights. Ratios
have 95 % intervals (paired bootstrap over dates).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

import numpy as np
from markdown import markdown_table

from phyda_cli.experiments.comparison import Comparison
from phyda_cli.experiments.ensembles import spread_skill
from phyda_cli.experiments.intervals import Bootstrap
from phyda_cli.experiments.journal import Journal
from phyda_cli.experiments.results import ALL, Results, find
from phyda_cli.preparation.store import TrainingStore, open_store, require_zarr

PHYSICS: Final = ("none", "hydrostatic", "proxy", "full", "state")
ENCODER, NONE, Z500 = "encoder", "none", "z500"


def main() -> int:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--regressions", type=Path, required=True)
    parser.add_argument("--physics", type=Path, required=True)
    parser.add_argument("--main", type=Path, required=True)
    parser.add_argument("--prior", type=Path, required=True)
    arguments = parser.parse_args()
    store = open_store(arguments.store)
    regressions, physics = (_comparison(store, path) for path in (arguments.regressions, arguments.physics))
    lines = [
        "### Parts of the encoder",
        "",
        "RMSE as a regression, to that of `encoder`, all trained alike from nothing for 600 steps; 3dvar is not tuned.",
        "",
    ]
    lines += _regressions(regressions)
    lines += ["### Physics in the objective of the score network", ""]
    dates = len(physics.results.pairs)
    lines += [
        f"Members at 2 %, {dates} dates, as the score network draws them (no calibration), to those without physics.",
        "",
    ]
    lines += ["The mean is the encoder's in all.", "", *_physics(physics)]
    lines += ["### The prior alone, guided by the observations", ""]
    lines += ["Unconditional latent diffusion with SDA guidance, 16 members, and the others on the same dates.", ""]
    lines += _prior(_comparison(store, arguments.main), _comparison(store, arguments.prior))
    print("\n".join(lines).strip())
    return 0


def _comparison(store: TrainingStore, directory: Path) -> Comparison:
    document = json.loads((directory / "scores.json").read_text(encoding="utf-8"))
    journal = Journal(directory, document["digests"]["settings"], document["methods"])
    pairs = tuple(sorted({pair for _, _, pair in journal.records}))
    times = np.asarray(require_zarr().open_group(str(store.path), mode="r")["backgrounds"]["valid_time"][:])
    pairs = tuple(sorted(pairs, key=lambda pair: int(times[pair])))
    valid = times[list(pairs)].astype(np.int64)
    densities = tuple(document["settings"]["densities"])
    results = Results(journal.records, pairs, valid, tuple(document["methods"]), densities, store.channels)
    return Comparison(results, Bootstrap(valid, seed=document["settings"]["seed"]))


def _regressions(made: Comparison) -> list[str]:
    densities = [density for density in made.results.densities if density > 0]
    rows = []
    for method in made.results.methods:
        if method != ENCODER:
            rows.append([method, *(_ratio(made, method, ENCODER, density, "nrmse", ALL) for density in densities)])
    return markdown_table(["", *(f"{density:g} %" for density in densities)], rows)


def _physics(made: Comparison) -> list[str]:
    density = made.results.densities[0]
    rows = []
    for method in PHYSICS:
        rmse = made.results.pooled(method, density, find("nrmse"))
        cells = [method, f"{rmse[Z500]:.4f}", f"{rmse[ALL]:.4f}"]
        for score, channel in (("ncrps", Z500), ("ncrps", ALL), ("hydrostatic_members", ALL),
                               ("geostrophic_members", ALL)):  # fmt: skip
            cells.append("1" if method == NONE else _ratio(made, method, NONE, density, score, channel))
        cells.append(f"{spread_skill(made.results, method, density)[ALL]:.2f}")
        rows.append(cells)
    head = ["physics", "z500 RMSE", "RMSE", "z500 CRPS", "CRPS", "hydrostatic residual", "geostrophic residual"]
    return markdown_table([*head, "spread/skill"], rows)


def _prior(main: Comparison, prior: Comparison) -> list[str]:
    rows = []
    for density in prior.results.densities:
        for made, method in ((main, "3dvar"), (main, "phyda"), (prior, "prior")):
            scores = [made.results.pooled(method, density, find(name))[ALL] for name in ("nrmse", "ncrps")]
            ratio = spread_skill(made.results, method, density).get(ALL)
            shown = "" if ratio is None else f"{ratio:.2f}"
            rows.append([f"{density:g}", method, *(f"{score:.4f}" for score in scores), shown])
    return markdown_table(["obs %", "method", "RMSE", "CRPS", "spread/skill"], rows)


def _ratio(made: Comparison, method: str, other: str, density: float, score: str, channel: str) -> str:
    cell = made.find(method, other, density, score, channel)
    return "" if cell is None else f"{cell.ratio:.3f} [{cell.low:.3f}, {cell.high:.3f}]"


if __name__ == "__main__":
    sys.exit(main())
