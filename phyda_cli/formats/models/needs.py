"""What the models want: variables, levels, times and grid of each, and what of it an analysis has.

Read from the models' own descriptions: the input coordinates of Earth2Studio's models (0.19), the batch of Aurora and
the task configurations of GraphCast. What no analysis of the atmosphere holds is named apart, with
where it comes from; what a model computes itself (the sun, the calendar, sines of places) is not named.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from phyda_cli.fields.state import Channel
from phyda_cli.formats.models.layouts import LEVELS

_ERA5_LEVELS: Final = (
    1, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100, 125, 150, 175, 200, 225, 250, 300, 350, 400, 450, 500, 550, 600, 650, 700,
    750, 775, 800, 825, 850, 875, 900, 925, 950, 975, 1000,
)  # fmt: skip
_STATIC: Final = "a file of constants"
_SIX_HOURS: Final = np.timedelta64(6, "h")


@dataclass(frozen=True)
class Model:
    """A forecast model. layouts: that hold its inputs. single, upper: its variables near the ground and on `levels`
    [hPa]. extra: further (variable, level). before: how long before the analysis its other time lies; None: it takes
    one. grid: rows and columns. ground: `z`, `lsm` where it takes them. besides: other inputs → where they come from.
    """

    name: str
    layouts: tuple[str, ...]
    single: tuple[str, ...]
    upper: tuple[str, ...]
    levels: tuple[int, ...] = LEVELS
    extra: tuple[tuple[str, int], ...] = ()
    before: np.timedelta64 | None = None
    grid: str = "721 × 1440"
    ground: tuple[str, ...] = ()
    besides: Mapping[str, str] = field(default_factory=dict)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """All fields that it wants and an analysis can hold."""
        upper = [Channel(name, 100.0 * level) for name in self.upper for level in self.levels]
        return (*map(Channel, self.single), *upper, *(Channel(name, 100.0 * level) for name, level in self.extra))


_WIND: Final = ("u10", "v10")
_COMMON: Final = ("t2m", *_WIND, "msl")
_UPPER: Final = ("u", "v", "z", "t", "q")
_HUNDRED_METRES: Final = {"u100m, v100m": "wind at 100 m, of the background's centre"}
_RAIN: Final = {"tp06": "precipitation of 6 h, of a forecast"}
_AIFS_BESIDES: Final = {
    "skt, tcw": "of the background's centre",
    "sdor, slor": _STATIC,
    "stl1, stl2, swvl1, swvl2": "soil, of the background's centre (from version 1.1)",
}

MODELS: Final = (
    Model("Pangu-Weather", ("earth2studio",), _COMMON, _UPPER),
    Model("FengWu", ("earth2studio",), _COMMON, _UPPER, before=_SIX_HOURS),
    Model(
        "FourCastNet", ("earth2studio",), (*_COMMON, "sp", "tcwv"), (), grid="720 × 1440",
        extra=(
            ("t", 850), ("t", 500), ("t", 250), ("u", 1000), ("u", 850), ("u", 500), ("u", 250), ("v", 1000),
            ("v", 850), ("v", 500), ("v", 250), ("z", 1000), ("z", 850), ("z", 500), ("z", 50), ("z", 250),
            ("r", 500), ("r", 850),
        ),
        besides=_HUNDRED_METRES,
    ),
    Model("SFNO", ("earth2studio",), (*_COMMON, "sp", "tcwv"), _UPPER, besides=_HUNDRED_METRES),
    Model("FourCastNet 3", ("earth2studio",), (*_COMMON, "tcwv"), _UPPER, besides=_HUNDRED_METRES),
    Model("FuXi", ("earth2studio",), _COMMON, ("z", "t", "u", "v", "r"), before=_SIX_HOURS, besides=_RAIN),
    Model(
        "DLWP", ("earth2studio",), ("t2m", "tcwv"), (), before=_SIX_HOURS,
        extra=(("t", 850), ("z", 1000), ("z", 700), ("z", 500), ("z", 300)),
    ),
    Model(
        "GenCast", ("earth2studio",), _COMMON, (*_UPPER, "w"), before=np.timedelta64(12, "h"), grid="181 × 360",
        besides={"sst": "sea surface temperature, of the background's centre"},
    ),
    Model(
        "AIFS", ("earth2studio", "anemoi"), (*_COMMON, "d2m", "sp"), (*_UPPER, "w"), before=_SIX_HOURS,
        grid="N320 (anemoi), 721 × 1440 (Earth2Studio)", ground=("z", "lsm"), besides=_AIFS_BESIDES,
    ),
    Model(
        "Aurora", ("aurora", "earth2studio"), _COMMON, _UPPER, before=_SIX_HOURS, grid="720 or 721 × 1440",
        ground=("z", "lsm"), besides={"slt": "soil type, with Aurora's static file"},
    ),
    Model("GraphCast_operational", ("graphcast", "earth2studio"), _COMMON, (*_UPPER, "w"), before=_SIX_HOURS,
          ground=("z", "lsm")),
    Model("GraphCast_small", ("graphcast", "earth2studio"), _COMMON, (*_UPPER, "w"), before=_SIX_HOURS,
          grid="181 × 360", ground=("z", "lsm"), besides=_RAIN),
    Model("GraphCast", ("graphcast",), _COMMON, (*_UPPER, "w"), levels=_ERA5_LEVELS, before=_SIX_HOURS,
          ground=("z", "lsm"), besides=_RAIN),
)  # fmt: skip
"""Every model that is known."""

LEAST: Final = {
    name: next(model for model in MODELS if model.name == least)
    for name, least in {"aurora": "Aurora", "graphcast": "GraphCast_operational"}.items()
}
"""Of a layout that is a model's own, the model whose inputs must be there, but for the constants."""


def missing(model: Model, channels: Collection[Channel], before: Collection[np.timedelta64]) -> list[str]:
    """Return the fields and times that a model lacks, in words.

    channels: what there is. before: how long before the analysis other times are.
    """
    lacks = summed(channel for channel in model.channels if channel not in channels)
    if model.before is not None and model.before not in before:
        lacks.append(f"the time {model.before / np.timedelta64(1, 'h'):g} h before")
    return lacks


def summed(channels: Iterable[Channel]) -> list[str]:
    """Return fields in words: each variable with its pressures [hPa] in one."""
    levels: dict[str, list[str]] = {}
    for name, level in channels:
        levels.setdefault(name, []).extend([] if level is None else [f"{level / 100:g}"])
    return [f"{name} at {', '.join(held)} hPa" if held else name for name, held in levels.items()]
