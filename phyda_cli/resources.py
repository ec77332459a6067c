"""Files of weights: those that ship with phyda, wherever it is installed, their digests, and the headers of any."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from phyda_cli.errors import ConfigError, InputMissingError

MANIFEST: Final = "SHA256SUMS"
"""The list of the shipped weights with their digests, in the form of `sha256sum`."""

BACKGROUND_ERROR: Final = "background-error.safetensors"
"""The background-error statistics among the shipped weights."""
LEARNED_BACKGROUND_ERROR: Final = "phyda/background-error.safetensors"
"""Those that the learned model was trained with, which make its first guess."""
LEARNED_MODEL: Final = "phyda/phyda.safetensors"
"""The learned model among the shipped weights."""

_PACKAGE: Final = Path(__file__).resolve().parent


def weights_directory() -> Path:
    """Where the shipped weights lie: inside the installed package, or beside it in a source checkout.

    Raises ConfigError when there are none.
    """
    for place in (_PACKAGE / "_weights", _PACKAGE.parent / "weights"):
        if place.is_dir():
            return place
    raise ConfigError("the weights that ship with phyda are missing; reinstall it, or name a file with --weights")


def weights_path(name: str) -> Path:
    """The path of a shipped weights file. Raises ConfigError when it is not there."""
    path = weights_directory() / name
    if not path.is_file():
        raise ConfigError(f"{path}: this part of the installation is missing; reinstall phyda, or give --weights FILE")
    return path


def shipped_weights(name: str, *, remedy: str) -> Path:
    """The path of a shipped weights file whose content is the one that was shipped.

    remedy: what else the user can do than install phyda anew. Raises ConfigError when the file is missing, not in the
    list of digests, or has another digest.
    """
    path = weights_directory() / name
    if not path.is_file():
        raise ConfigError(f"{path}: these weights are missing from the installation; reinstall phyda, or {remedy}")
    expected = weights_manifest().get(name)
    if expected is None:
        raise ConfigError(f"{path}: not listed in {MANIFEST}; reinstall phyda, or {remedy}")
    found = sha256(path)
    if found != expected:
        raise ConfigError(
            f"{path}: damaged: SHA-256 {found[:12]}… where {expected[:12]}… was shipped; reinstall phyda, or {remedy}"
        )
    return path


def weights_manifest() -> dict[str, str]:
    """File name → SHA-256 digest of every shipped weights file. Raises ConfigError when the list is missing."""
    lines = weights_path(MANIFEST).read_text(encoding="utf-8").splitlines()
    return {name.lstrip("*"): digest for digest, name in (line.split(maxsplit=1) for line in lines if line.strip())}


def sha256(path: Path) -> str:
    """The SHA-256 digest of a file, in hexadecimal. Raises InputMissingError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputMissingError(f"{path}: {error.strerror}") from error


def phyda_header(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """The entry of phyda in the header of a safetensors file. Raises ValueError without one."""
    text = (metadata or {}).get("phyda")
    if text is None:
        raise ValueError("no header of phyda")
    try:
        header = json.loads(text)
    except RecursionError:
        raise ValueError("a header nested too deeply") from None
    if not isinstance(header, dict):
        raise ValueError("a header that is no JSON object")
    return header
