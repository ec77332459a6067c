"""Pictures of a cycle: errors over time, and the scale of the background errors with the counts of observations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from phyda_cli.cycle.scores import SHOWN, Record
from phyda_cli.outputs import atomic_path

_COLOURS: Final = {
    "first_guess": "tab:blue", "first_guess_spread": "lightblue", "analysis": "tab:orange", "spread": "tab:gray",
}  # fmt: skip


def plot(records: Sequence[Record], path: Path) -> None:
    """Draw the records into a PNG: one panel for each shown channel, and one for scale and counts."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    held = [name for name in SHOWN if name in records[0].get("first_guess", {}).get("globe", {})]
    rows = -(-(len(held) + 1) // 2)
    figure, panels = pyplot.subplots(rows, 2, figsize=(10.0, 2.2 * rows), sharex=True, squeeze=False)
    flat: list[Any] = list(panels.ravel())
    cycles = [record["cycle"] for record in records]
    for axes, name in zip(flat, held, strict=False):
        for part, colour in _COLOURS.items():
            values = [record.get(part, {}).get("globe", {}).get(name, np.nan) for record in records]
            if np.isfinite(values).any():
                axes.plot(cycles, values, color=colour, label=part.replace("_", " "), linewidth=1.0)
        axes.set_title(name, fontsize=9)
        axes.set_ylim(bottom=0.0)
    axes = flat[len(held)]
    axes.plot(cycles, [record.get("scale", np.nan) for record in records], color="tab:green", label="scale")
    axes.set_title("background-error scale", fontsize=9)
    flat[0].legend(fontsize=8)
    for unused in flat[len(held) + 1 :]:
        unused.set_axis_off()
    figure.supxlabel("cycle", fontsize=9)
    figure.tight_layout()
    with atomic_path(path, overwrite=True) as partial:
        figure.savefig(partial, format="png", dpi=110)
    pyplot.close(figure)
