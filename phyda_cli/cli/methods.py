"""The method that the settings of `phyda assimilate` ask for, with its weights read and checked."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phyda_cli.errors import BadDataError, UsageError

if TYPE_CHECKING:
    from phyda_cli.config import AssimilateConfig
    from phyda_cli.errors_b.background_error import BackgroundError
    from phyda_cli.fields.state import State
    from phyda_cli.formats.gridded.layout import Background
    from phyda_cli.methods.base import Method
    from phyda_cli.networks.checkpoint import Checkpoint

THREEDVAR_MEMBERS: Final = 8
"""Samples of a 3D-Var analysis."""
_FINISHED: Final = "calibration"
"""The stage of a training after which the weights are ready for use."""
_OF_PHYDA: Final = ("background_error", "evaluations", "churn")
"""Settings that the learned method alone has."""

_OF_LETKF: Final = ("localisation", "vertical_localisation", "relaxation")
"""Settings that the LETKF alone has."""
_FOR_ENSEMBLES: Final = ("letkf", "3dvar")
"""Methods that take a background of several members."""

_log = logging.getLogger(__name__)


def check_method(settings: AssimilateConfig) -> None:
    """Raises UsageError for settings that the method does not have."""
    if settings.method != "phyda":
        for name in _OF_PHYDA:
            if getattr(settings, name) is not None:
                hint = "; give the statistics with --weights" if name == "background_error" else ""
                option = f"--{name.replace('_', '-')}"
                raise UsageError(f"{option}: is of --method phyda, not of {settings.method}{hint}")
    if settings.method != "letkf":
        for name in _OF_LETKF:
            if getattr(settings, name) is not None:
                raise UsageError(f"--{name.replace('_', '-')}: is of --method letkf, not of {settings.method}")
    elif settings.weights is not None:
        raise UsageError(f"--weights {settings.weights}: letkf has none, its background error is the ensemble's")
    elif settings.members in (0, 1):
        raise UsageError(f"--members {settings.members}: letkf needs at least 2 members")
    if settings.method == "phyda" and settings.members == 1:
        raise UsageError("--members 1: one member makes no spread; give at least 2, or 0 for the mean alone")
    if settings.members_out is not None and (settings.method == "oi" or settings.members == 0):
        why = "oi has no members" if settings.method == "oi" else "--members 0 makes none"
        raise UsageError(f"--members-out {settings.members_out}: {why}")


def error_scale(settings: AssimilateConfig) -> float | None:
    """The factor on the background errors, None to estimate it: not inflating is what the LETKF does unasked."""
    scale = settings.background_error_scale
    if scale is None:
        return 1.0 if settings.method == "letkf" else None
    return None if scale == "auto" else scale


def background_for(settings: AssimilateConfig, background: Background) -> Background:
    """The background with the members that the method shall use.

    Raises BadDataError for members that the method does not take, too few of them, or fewer than asked for.
    """
    where, count = str(background.sources[0]), len(background.member_numbers)
    if count == 0 and settings.method == "letkf":
        raise BadDataError(
            f"{where}: one member, and --method letkf needs several; give a file with an axis of members, or "
            "--background once for each member"
        )
    if count == 0:
        return background
    if settings.method not in _FOR_ENSEMBLES:
        raise BadDataError(
            f"{where}: the background holds {count} members, and --method {settings.method} takes one; choose it with "
            "--member, or take --method letkf or 3dvar"
        )
    if settings.members is not None:
        background = background.first_members(settings.members)
    if len(background.member_numbers) < 2:
        raise BadDataError(
            f"{where}: {len(background.member_numbers)} member of an ensemble, and --method {settings.method} needs at "
            "least 2; choose a single one with --member N"
        )
    return background


def make_method(settings: AssimilateConfig, background: Background) -> tuple[Method, tuple[Path, ...]]:
    """The method, ready, and the files of its weights. background: with the members that it shall use, if it has any.

    Raises ConfigError for shipped weights that are missing or damaged, BadDataError for files that are not what they
    should be or do not belong together.
    """
    import torch

    from phyda_cli.cli.device import choose_device
    from phyda_cli.formats.gridded.background_error import read_background_error
    from phyda_cli.methods.ensemble_threedvar import EnsembleThreeDVar
    from phyda_cli.methods.oi import OptimalInterpolation
    from phyda_cli.methods.threedvar import ThreeDVar
    from phyda_cli.resources import BACKGROUND_ERROR, shipped_weights

    torch.set_num_threads(settings.threads)
    device = choose_device(settings.device)
    if settings.method == "letkf":
        return _letkf(settings, background.state, device), ()
    learned = settings.method == "phyda"
    given = settings.background_error if learned else settings.weights
    remedy = f"give {'--background-error' if learned else '--weights'} FILE"
    path = given or shipped_weights(BACKGROUND_ERROR, remedy=remedy)
    statistics, _ = read_background_error(path)
    if learned:
        return _learned(settings, statistics, path, device)
    if settings.method == "oi":
        return OptimalInterpolation(ThreeDVar(statistics).background_error(), device=device), (path,)
    if background.member is not None:
        single = ThreeDVar(statistics, dtype=torch.float32, device=device)
        return EnsembleThreeDVar(single, background.state, background.member_numbers, settings.seed), (path,)
    members = THREEDVAR_MEMBERS if settings.members is None else settings.members
    return ThreeDVar(statistics, members=members, seed=settings.seed, dtype=torch.float32, device=device), (path,)


def _letkf(settings: AssimilateConfig, ensemble: State, device: str) -> Method:
    from phyda_cli.methods.letkf import LETKF, RADIUS, VERTICAL_RADIUS

    return LETKF(
        ensemble,
        radius=RADIUS if settings.localisation is None else 1000.0 * settings.localisation,
        vertical_radius=settings.vertical_localisation or VERTICAL_RADIUS,
        relaxation=settings.relaxation or 0.0,
        device=device,
    )


def _learned(
    settings: AssimilateConfig, statistics: BackgroundError, background_error: Path, device: str
) -> tuple[Method, tuple[Path, ...]]:
    import torch

    from phyda_cli.methods.phyda import EVALUATIONS, MEMBERS, LearnedAnalysis
    from phyda_cli.methods.threedvar import ThreeDVar
    from phyda_cli.networks.checkpoint import read_checkpoint
    from phyda_cli.resources import LEARNED_MODEL, shipped_weights

    path = settings.weights or shipped_weights(LEARNED_MODEL, remedy="give --weights FILE, or --method 3dvar")
    checkpoint = read_checkpoint(path)
    _check_origin(checkpoint, path, background_error)
    if not checkpoint.model.config.conditional:
        raise BadDataError(f"{path}: the prior alone, which sees no observation; take weights that see them")
    method = LearnedAnalysis(
        checkpoint,
        ThreeDVar(statistics, dtype=torch.float32, device=device),
        members=MEMBERS if settings.members is None else settings.members,
        evaluations=EVALUATIONS if settings.evaluations is None else settings.evaluations,
        seed=settings.seed,
        churn=settings.churn or 0.0,
        device=device,
    )
    return method, (path, background_error)


def _check_origin(checkpoint: Checkpoint, weights: Path, background_error: Path) -> None:
    """Raises BadDataError unless the weights say that they were trained with this background error."""
    from phyda_cli.resources import sha256

    inputs = checkpoint.about.get("inputs")
    trained = inputs.get("background_error") if isinstance(inputs, Mapping) else None
    if not isinstance(trained, str):
        raise BadDataError(
            f"{weights}: do not say which background error they were trained with; take weights that phyda train made"
        )
    found = sha256(background_error)
    if trained != found:
        raise BadDataError(
            f"{weights}: trained with the background error of SHA-256 {trained[:12]}…, but {background_error} has "
            f"{found[:12]}…; name the file they were trained with: --background-error FILE"
        )
    stage = checkpoint.about.get("stage")
    if stage != _FINISHED:
        _log.warning("%s: weights of stage %s, not of a finished training", weights, stage)
