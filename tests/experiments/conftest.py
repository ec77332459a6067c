from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from phyda_cli.experiments.cases import CaseDrawer
from phyda_cli.experiments.settings import Settings
from phyda_cli.networks.checkpoint import to_bytes
from phyda_cli.resources import sha256
from phyda_cli.training.cases import statistics_of
from tests.support.learned import untrained
from tests.training.material import Place, make_place


@dataclass(frozen=True)
class Ground:
    """A small store with its background error, and untrained weights: an ensemble and a regression."""

    place: Place
    weights: dict[str, Path]

    def words(self, output: Path, *more: str) -> list[str]:
        """`phyda experiment` of all methods on six dates at two densities."""
        named = [word for name, path in self.weights.items() for word in ("--weights", f"{name}={path}")]
        return [
            "experiment", str(self.place.store), "--background-error", str(self.place.background_error),
            "--out", str(output), *named, "--dates", "6", "--densities", "5,0", "--members", "3", "--no-tune", *more,
        ]  # fmt: skip


@pytest.fixture(scope="session")
def ground(tmp_path_factory) -> Ground:
    directory = tmp_path_factory.mktemp("experiments")
    place = make_place(directory)
    statistics = statistics_of(place.opened())
    digest = sha256(place.background_error)
    weights = {}
    for name, stage in (("phyda", "calibration"), ("unet", "encoder")):
        about = {"stage": stage, "inputs": {"background_error": digest}}
        weights[name] = directory / f"{name}.safetensors"
        weights[name].write_bytes(to_bytes(untrained(), statistics, about=about))
    return Ground(place, weights)


@pytest.fixture(scope="session")
def drawer(ground) -> CaseDrawer:
    return CaseDrawer(ground.place.opened(), Settings(leads=(24, 48), densities=(5.0, 0.0), dates=4))
