"""The methods by their names: those that need nothing but statistics, and one for each weights file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import torch

from phyda_cli.errors import BadDataError
from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.experiments.methods.background import BackgroundMethod
from phyda_cli.experiments.methods.base import ExperimentMethod
from phyda_cli.experiments.methods.interpolation import InterpolationMethod
from phyda_cli.experiments.methods.learned import learned_method
from phyda_cli.experiments.methods.variational import Factors, RememberedThreeDVar, VariationalMethod
from phyda_cli.methods.phyda import TOLERANCE
from phyda_cli.networks.checkpoint import Checkpoint, read_checkpoint
from phyda_cli.preparation.store import TrainingStore

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
    def first_guess(self) -> RememberedThreeDVar:
        """The first guess's 3D-Var, shared by all weights; it is not tuned, for they were trained with it as it is."""
        return RememberedThreeDVar(self.statistics, tolerance=TOLERANCE, dtype=torch.float32)


def _background(material: Material) -> ExperimentMethod:
    return BackgroundMethod()


def _threedvar(material: Material) -> ExperimentMethod:
    identity = f"{material.background_error_digest} {sorted(material.factors.items())}"
    return VariationalMethod(material.statistics, identity, dict(material.factors))


def _interpolation(material: Material) -> ExperimentMethod:
    return InterpolationMethod(material.statistics, material.background_error_digest)


BUILT_IN: Final[dict[str, Callable[[Material], ExperimentMethod]]] = {
    "background": _background,
    "oi": _interpolation,
    "3dvar": _threedvar,
}
"""Methods that need no weights. OI solves for each grid column alone and is the slowest: it runs when it is named."""


def make_methods(names: Sequence[str], material: Material) -> list[ExperimentMethod]:
    """The methods of these names, in this order.

    Raises BadDataError for weights that do not fit the store or were trained with another background error.
    """
    made: list[ExperimentMethod] = []
    for name in names:
        if name in BUILT_IN:
            made.append(BUILT_IN[name](material))
            continue
        path = material.weights[name]
        checkpoint = read_checkpoint(path)
        _check_origin(checkpoint, path, material)
        made.append(
            learned_method(
                name,
                path,
                checkpoint,
                material.first_guess,
                material.store,
                members=material.members,
                seed=material.seed,
                digest=material.digests[name],
            )
        )
    return made


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
