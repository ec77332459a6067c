"""What the encoder attends to as observations thin out: python tools/attention_maps.py --help

For 16 dates of the test part the paper's network is drawn at 10, 5, 2, 1 and 0.5 % of the grid values. Of the softmax
weights A (head, query, key) over the coarse tokens are reported, as means over heads, queries and dates:

    reach      Σ_k A_qk · distance(q, k)                             mean great-circle distance of what is attended to
    entropy    −Σ_k A_qk ln A_qk / ln K                              1: even over all K tokens
    follows    correlation over tokens of Σ_q A_qk with the number of observations in token k

and the picture shows Σ_q A_qk K/Q of the first date (1: as much as any token) with its observations, for each density.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final, NamedTuple

import matplotlib as mpl
import numpy as np
import torch

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.formats.gridded.background_error import read_background_error
from phyda_cli.grids.grid import Grid
from phyda_cli.methods.phyda import ANOMALY_LIMIT
from phyda_cli.networks.checkpoint import Checkpoint, read_checkpoint
from phyda_cli.observations.errors import default_error_table
from phyda_cli.preparation.store import PairBatch, open_store
from phyda_cli.training.cases import CaseMaker, ErrorGrowth
from phyda_cli.training.networks import uniform_network

mpl.use("Agg")

DENSITIES: Final = (0.10, 0.05, 0.02, 0.01, 0.005)
DATES: Final = 16


class Row(NamedTuple):
    """The figures of one density; attended: (row, column) of the first date; places: latitudes and longitudes."""

    density: float
    reach: float
    entropy: float
    follows: float
    attended: np.ndarray
    places: tuple[np.ndarray, np.ndarray]


def main() -> int:
    """Write the picture, print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--background-error", type=Path, required=True)
    parser.add_argument("--noise", type=float, default=0.25, help="factor on the table's observation errors")
    parser.add_argument("--figure", type=Path, required=True)
    arguments = parser.parse_args()
    checkpoint = read_checkpoint(arguments.weights)
    store = open_store(arguments.store)
    index = store.pair_index("test", [store.nominal_lead])
    pairs = store.read_pairs(index[np.linspace(0, index.size - 1, DATES).astype(int)])
    maker = CaseMaker(store, read_background_error(arguments.background_error)[0], default_error_table())
    scale = ErrorGrowth.of(store).by_lead[store.nominal_lead]
    rows = [measure(checkpoint, maker, pairs, scale, density, arguments.noise) for density in DENSITIES]
    draw(rows, checkpoint.statistics.grid, arguments.figure)
    print("| density | reach [km] | entropy | follows the observations |\n|---:|---:|---:|---:|")
    for row in rows:
        print(f"| {100 * row.density:g} % | {row.reach:.0f} | {row.entropy:.3f} | {row.follows:.2f} |")
    return 0


@torch.no_grad()
def measure(
    checkpoint: Checkpoint, maker: CaseMaker, pairs: PairBatch, scale: float, density: float, noise: float
) -> Row:
    """The attention of the dates at one density."""
    model, statistics = checkpoint.model, checkpoint.statistics
    size = pairs.lead_hours.size
    generators = [np.random.default_rng([11, k]) for k in range(size)]
    networks = [
        uniform_network(g, density, grid=statistics.grid, channels=statistics.channels, table=maker.table, noise=noise)
        for g in generators
    ]
    background = torch.from_numpy(pairs.background)
    errors = torch.from_numpy(pairs.truth) - background
    made = maker.make(errors, networks, [scale] * size, generators)
    assert model.encoder.attention is not None, "these weights have no attention"
    seen: list[torch.Tensor] = []
    hook = model.encoder.attention.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    times = pairs.valid_time.astype("datetime64[h]")
    anomaly = statistics.anomaly(background).clamp(-ANOMALY_LIMIT, ANOMALY_LIMIT)
    model.encoder(made.observations, made.first_guess, anomaly, statistics.static(times, dtype=torch.float32))
    hook.remove()
    weights = model.encoder.attention.weights(seen[0]).double()
    shape = (seen[0].shape[-2], seen[0].shape[-1])
    tokens = shape[0] * shape[1]
    distance = token_distances(statistics.grid, shape)
    attended = weights.mean(1).sum(1)
    counts = made.observations.count().sum(1)[:, None].double()
    counts = torch.nn.functional.avg_pool2d(counts, counts.shape[-1] // shape[1])[:, 0].flatten(1)
    follows = [float(torch.corrcoef(torch.stack([a, c]))[0, 1]) for a, c in zip(attended, counts, strict=True)]
    return Row(
        density,
        float((weights * distance).sum(-1).mean()) / 1000.0,
        float(-(weights * weights.clamp_min(1e-30).log()).sum(-1).mean() / np.log(tokens)),
        float(np.mean(follows)),
        attended[0].reshape(shape).numpy(),
        (networks[0].latitude, networks[0].longitude),
    )


def token_distances(grid: Grid, shape: tuple[int, int]) -> torch.Tensor:
    """(token, token) great-circle distances [m] between the centres of the coarse tokens."""
    phi = torch.deg2rad(torch.tensor(grid.latitudes)).reshape(shape[0], -1).mean(1)
    lam = torch.deg2rad(torch.tensor(grid.longitudes)).reshape(shape[1], -1).mean(1)
    phi, lam = (x.flatten() for x in torch.meshgrid(phi, lam, indexing="ij"))
    cosine = phi.sin()[:, None] * phi.sin() + phi.cos()[:, None] * phi.cos() * (lam[:, None] - lam).cos()
    return EARTH_RADIUS * torch.acos(cosine.clamp(-1.0, 1.0))


def draw(rows: list[Row], grid: Grid, path: Path) -> None:
    """One map a density, on one colour scale."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(rows), figsize=(3.4 * len(rows), 2.4), layout="constrained")
    top = max(float(row.attended.max()) for row in rows)
    step = 180.0 / grid.shape[0] / 2
    for axis, row in zip(axes, rows, strict=True):
        image = axis.imshow(
            row.attended, origin="lower", vmin=0.0, vmax=top, cmap="viridis", aspect="auto",
            extent=(-step, 360.0 - step, -90.0, 90.0),
        )  # fmt: skip
        axis.scatter(row.places[1], row.places[0], s=0.3, c="white", alpha=0.5, linewidths=0)
        axis.set_title(f"{100 * row.density:g} %", fontsize=9)
        axis.set_xticks([0, 90, 180, 270])
        axis.set_yticks([-60, 0, 60])
        axis.tick_params(labelsize=7)
    figure.colorbar(image, ax=axes, label="attention received (1: even)", shrink=0.9)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
