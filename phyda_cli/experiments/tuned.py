"""3D-Var's factors of an experiment, kept in DIRECTORY/tuning.json: a density is tuned once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.experiments.cases import CaseDrawer
from phyda_cli.experiments.dates import choose_pairs
from phyda_cli.experiments.loop import batches_of
from phyda_cli.experiments.tuning import Tuning, tune
from phyda_cli.outputs import atomic_path

FILE: Final = "tuning.json"
PART: Final = "validation"


def tuned_factors(
    directory: Path,
    drawer: CaseDrawer,
    statistics: BackgroundError,
    inputs: tuple[str, ...],
    say: Callable[[str], None],
) -> dict[float, Tuning]:
    """The factors for each density of the settings above zero. inputs: digests of the store and of B.

    Cases are of the validation part, whatever part the experiment is on.
    """
    settings = drawer.settings
    path = directory / FILE
    key = settings.model_copy(update={"part": PART, "dates": settings.tuning_cases}).digest(*inputs, "tuning")
    held = _read(path, key)
    for density in settings.densities:
        if density == 0 or density in held:
            continue
        pairs = choose_pairs(drawer.store, PART, settings.leads, settings.tuning_cases)
        batches = [drawer.draw(own, drawer.read(own), density) for own in batches_of(pairs, settings.batch)]
        held[density] = tune(statistics, batches, drawer.store.grid, say)
        content = {"digest": key, "tuning": {str(d): tuning.document() for d, tuning in held.items()}}
        with atomic_path(path, overwrite=True) as temporary:
            temporary.write_text(f"{json.dumps(content, indent=1)}\n", encoding="utf-8")
    return {density: held[density] for density in settings.densities if density in held}


def _read(path: Path, key: str) -> dict[float, Tuning]:
    """What is there of this digest; nothing where the file is missing, damaged or of something else."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content["digest"] != key:
            return {}
        return {
            float(density): Tuning(**{**entry, "tried": tuple(map(tuple, entry["tried"]))})
            for density, entry in content["tuning"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
