"""The figure of docs/physics.md: scores by level, one state's v500 tendencies, the error by strength of advection."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import torch
from physics_check_tables import Fifth
from physics_check_world import POLE, Sample, World

from phyda_cli.physics.level_fields import VARIABLES

mpl.use("Agg")

COLOURS = {"all": "black", "tropics": "tab:orange", "mid-latitudes": "tab:blue"}
STYLES = {"full": "-o", "proxy": "--s"}
LARGEST = 3e-4
"""End of the maps' colour scale [m s-2]."""


def draw(world: World, sample: Sample, outside: list[Fifth], path: Path) -> None:
    """Write the figure. outside: the fifths of advection outside the tropics."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(15, 11), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.9, 1))
    _levels(world, sample, above.subplots(2, len(VARIABLES), sharey=True))
    axes = below.subplots(1, 4)
    _maps(world, sample, axes[:3], below)
    for label, style in STYLES.items():
        wind, warmth = ([getattr(f, kind)[label].ratio for f in outside] for kind in ("wind", "temperature"))
        axes[3].plot(range(1, 6), wind, style, color="tab:green", label=f"wind, {label}")
        axes[3].plot(range(1, 6), warmth, style, color="tab:red", label=f"t, {label}")
    axes[3].set(title="poleward of 20°, 200–700 hPa", xlabel="fifth of |V·∇V|", ylabel="RMS(K − x_t) / RMS(x_t)")
    axes[3].set(xticks=range(1, 6), ylim=(0, None))
    axes[3].axhline(1, color="grey", lw=0.8)
    axes[3].legend(fontsize=7)
    axes[3].grid(alpha=0.3)
    figure.savefig(path, dpi=80)


def _levels(world: World, sample: Sample, axes: object) -> None:
    hectopascal = [p / 100 for p in world.pressures]
    for column, name in enumerate(VARIABLES):
        b = getattr(sample.x_t, name)
        for label, style in STYLES.items():
            a = getattr(sample.estimates[label], name)
            for regime, colour in COLOURS.items() if a.any() else ():
                mask = sample.masks[regime]
                scores = [world.score(a[:, i], b[:, i], mask[:, i]) for i in range(len(hectopascal))]
                look = {"color": colour, "ms": 3, "label": f"{label}, {regime}"}
                axes[0, column].plot([s.correlation for s in scores], hectopascal, style, **look)
                axes[1, column].plot([s.ratio for s in scores], hectopascal, style, **look)
        axes[0, column].set(title=name, xlim=(0, 1), xlabel="correlation")
        axes[1, column].set(xlim=(0, 4), xlabel="RMS(K − x_t) / RMS(x_t)")
        axes[1, column].axvline(1, color="grey", lw=0.8)
    for row in axes:
        row[0].set(ylabel="hPa", ylim=(1000, 80))
        for axis in row:
            axis.grid(alpha=0.3)
    axes[1, -1].legend(*axes[0, 0].get_legend_handles_labels(), fontsize=7, loc="center right")


def _maps(world: World, sample: Sample, axes: object, figure: object) -> None:
    level, outside = world.level(500), world.latitude.abs() > POLE
    maps = {"simulation": sample.x_t, **{label: sample.estimates[label] for label in STYLES}}
    for axis, (title, field) in zip(axes, maps.items(), strict=True):
        values = field.v[0, level].masked_fill(outside, torch.nan)
        image = axis.pcolormesh(
            world.grid.longitudes, world.grid.latitudes, values, cmap="RdBu_r", vmin=-LARGEST, vmax=LARGEST
        )
        axis.set(title=f"{title}: v500", xlabel="longitude", ylabel="latitude")
    figure.colorbar(image, ax=list(axes), label="m s⁻²", shrink=0.9)
