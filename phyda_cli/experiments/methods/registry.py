"""The methods by their names: those that need nothing but statistics, and one for each weights file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import torch

from phyda_cli.errors import BadDataError
from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.experiments.methods.base import (
    AnalysisRow,
    ExperimentMethod,
    Factors,
    FirstGuesses,
    LearnedRow,
    Row,
    solver,
)
from phyda_cli.experiments.methods.guided_prior import GuidedPriorMethod
from phyda_cli.fields.state import State
from phyda_cli.grids.base import Grid
from phyda_cli.methods.base import Method
from phyda_cli.methods.material import Lagged
from phyda_cli.methods.phyda import TOLERANCE, LearnedAnalysis
from phyda_cli.methods.threedvar import ThreeDVar
from phyda_cli.networks.checkpoint import Checkpoint, read_checkpoint
from phyda_cli.preparation.store import TrainingStore
from phyda_cli.resources import BACKGROUND_ERROR
from phyda_cli.settings.methods import METHODS, MethodEntry, entry_of, make

REGRESSION: Final = "encoder"
"""The last stage of weights that are a regression, without diffusion: their analysis has no members."""

PATHS: Final = ("method", "analysis")
"""From observations to increments: departures straight to the method, or the whole of `phyda assimilate`."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Material:
    """What methods are made of. digests: SHA-256 of the weights. factors: of 3D-Var, by density."""

    store: TrainingStore
    statistics: BackgroundError
    background_error: Path
    background_error_digest: str
    weights: Mapping[str, Path]
    digests: Mapping[str, str]
    factors: Mapping[float, Factors]
    members: int
    seed: int

    @cached_property
    def first_guesses(self) -> FirstGuesses:
        """The first guesses' 3D-Var, shared by all weights; not tuned, for they were trained with it as it is."""
        return FirstGuesses(ThreeDVar(self.statistics, tolerance=TOLERANCE, dtype=torch.float32))


def _background(material: Material) -> ExperimentMethod:
    return Row("background", "", lambda density: None)


def _threedvar(material: Material) -> ExperimentMethod:
    identity = f"{material.background_error_digest} {sorted(material.factors.items())}"
    made = {density: solver(material.statistics, factors) for density, factors in material.factors.items()}
    plain = solver(material.statistics, (1.0, 1.0))
    return Row("3dvar", identity, lambda density: made.get(density, plain))


def _untuned(entry: MethodEntry) -> Callable[[Material], ExperimentMethod]:
    """Return a method of the package by the defaults of its settings."""

    def made(material: Material) -> ExperimentMethod:
        method: Method = make(entry, entry.settings(), _StoreMaterial(material))
        return Row(entry.name, material.background_error_digest, lambda density: method)

    return made


@dataclass(frozen=True)
class _StoreMaterial:
    """What methods are made of in an experiment (`methods/material.py`): the statistics, and no weights.

    pair: number that is added to the seed.
    """

    material: Material
    pair: int = 0
    numbers: tuple[int, ...] = ()
    lagged: tuple[Lagged, ...] = ()
    device: str = "cpu"

    @property
    def seed(self) -> int:
        """Of every random number."""
        return self.material.seed + self.pair

    @property
    def background(self) -> State:
        """Each case has its own. Raises BadDataError."""
        raise BadDataError("an experiment on a store has no background of its own")

    @property
    def grid(self) -> Grid:
        """That of the store's backgrounds, on which its statistics are."""
        return self.material.statistics.grid

    def background_error(
        self, path: Path | None, *, shipped: str = BACKGROUND_ERROR, option: str = "--weights"
    ) -> BackgroundError:
        """Return the statistics of the experiment."""
        return self.material.statistics

    def checkpoint(self, path: Path | None) -> Checkpoint:
        """Return weights are named one by one. Raises BadDataError."""
        raise BadDataError("a method with weights is named by --weights NAME=FILE")


BUILT_IN: Final[dict[str, Callable[[Material], ExperimentMethod]]] = {
    "background": _background,
    **{
        entry.name: _threedvar if entry.name == "3dvar" else _untuned(entry)
        for entry in METHODS
        if "one" in entry.backgrounds and not entry.needs_weights and not entry.needs_members
    },
}
"""Methods that need neither weights nor members; 3D-Var is tuned. OI, which solves column by column, is slowest."""


def make_methods(names: Sequence[str], material: Material, paths: Sequence[str] = PATHS[:1]) -> list[ExperimentMethod]:
    """Return the methods of these names, in this order, each by the paths; the background is the same by all of them.

    Raises BadDataError for weights that do not fit the store or were trained with another background error.
    """
    made = []
    for name in names:
        own = BUILT_IN[name](material) if name in BUILT_IN else learned_method(name, material)
        if "method" in paths or name == "background":
            made.append(own)
        if "analysis" in paths and name != "background":
            made.append(_analysed(own, material))
    return made


def analysed_name(name: str) -> str:
    """Return the name of a method's row by the path of the analysis."""
    return f"{name} (analysis)"


def _analysed(own: ExperimentMethod, material: Material) -> AnalysisRow:
    """Return the same method by the path of the analysis, 3D-Var with members and not tuned. Raises BadDataError."""
    name = analysed_name(own.name)
    if isinstance(own, LearnedRow):
        learned = own.analysis
        return AnalysisRow(name, f"{own.identity}, analysis", lambda pair: replace(learned, seed=learned.seed + pair))
    if own.name not in BUILT_IN:
        raise BadDataError(f"{material.weights[own.name]}: a prior has no analysis; leave --path analysis out")
    entry = entry_of(own.name)
    settings = entry.settings(members=material.members) if entry.has_members else entry.settings()
    identity = f"{material.background_error_digest} {settings.members} members, analysis"
    return AnalysisRow(name, identity, lambda pair: make(entry, settings, _StoreMaterial(material, pair)))


def learned_method(name: str, material: Material) -> ExperimentMethod:
    """Return the method of a weights file: the analysis of PhyDA and its variants, a regression, or the prior with
    guidance.

    Raises BadDataError for weights of other channels, another grid or another background error than the store's.
    """
    path, store, digest = material.weights[name], material.store, material.digests[name]
    checkpoint = read_checkpoint(path)
    _check_origin(checkpoint, path, material)
    own = checkpoint.statistics
    if own.channels != store.channels or own.grid.shape != store.grid.shape:
        raise BadDataError(f"{path}: weights for other channels or another grid than those of {store.path}")
    members, seed = material.members, material.seed
    if not checkpoint.model.config.conditional:
        return GuidedPriorMethod(name, f"{digest} guided, {members} members", checkpoint, members, seed)
    size = 0 if checkpoint.about.get("stage") == REGRESSION else members
    guesses = material.first_guesses
    analysis = LearnedAnalysis(checkpoint, guesses.method, members=size, seed=seed, judged=size > 0)
    return LearnedRow(name, f"{digest} {size} members", analysis, guesses)


def _check_origin(checkpoint: Checkpoint, path: Path, material: Material) -> None:
    """Raises BadDataError for weights that say that they were trained with another background error.

    Weights of another store get a warning: what is the test part here may be what they were trained on.
    """
    inputs = checkpoint.about.get("inputs")
    trained = inputs.get("background_error") if isinstance(inputs, Mapping) else None
    if trained is not None and trained != material.background_error_digest:
        raise BadDataError(
            f"{path}: trained with another background error than {material.background_error}; name that file with "
            "--background-error"
        )
    data = checkpoint.about.get("data")
    if data is not None and data != material.store.attributes["digest"]:
        _log.warning(
            "%s: trained on another store than %s; its scores may be of what it knows", path, material.store.path
        )
