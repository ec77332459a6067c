"""Where an output comes from: versions, digests of the inputs, settings, seed, as global attributes."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from phyda_cli import __version__
from phyda_cli.errors import ChangedInputError, ConfigError, InputMissingError
from phyda_cli.resources import sha256

_LIBRARIES: Final = ("torch", "numpy", "xarray", "netCDF4", "eccodes")


def creation_time() -> datetime:
    """Now, or the moment that SOURCE_DATE_EPOCH sets, so that identical runs can give identical bytes.

    Raises ConfigError when SOURCE_DATE_EPOCH is no number of seconds.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        return datetime.now(UTC) if epoch is None else datetime.fromtimestamp(int(epoch), UTC)
    except (ValueError, OverflowError, OSError):
        raise ConfigError(
            f"SOURCE_DATE_EPOCH={epoch!r} is no number of seconds since 1970; correct or unset it"
        ) from None


@dataclass(frozen=True)
class _Seen:
    """A file as it was when its digest was taken. identity: device, inode, size, time of change of the content [ns]."""

    identity: tuple[int, int, int, int]
    changed: int
    """Time of the last change of content or attributes [ns]."""
    digest: str


class InputRecord:
    """The digests of a run's input files, taken before they are read and confirmed when all has been read.

    Pipes and directories (Zarr stores) have none.
    """

    def __init__(self) -> None:
        self._seen: dict[Path, _Seen] = {}

    def add(self, paths: Iterable[Path]) -> None:
        """Take the digests of files that are about to be read. Raises InputMissingError, ChangedInputError."""
        for path in paths:
            if path not in self._seen and path.is_file():
                self._seen[path] = _look(path)

    def digest(self, path: Path) -> str | None:
        """Return the SHA-256 digest of a file; None where it has none."""
        return self._seen[path].digest if path in self._seen else None

    def confirm(self) -> None:
        """Raise ChangedInputError when a file is no longer the one whose digest was taken."""
        for path, seen in self._seen.items():
            try:
                identity, changed = _identity(path.stat())
            except OSError as error:
                raise ChangedInputError(
                    f"{path}: {error.strerror} after it was read; bring it back, run again"
                ) from None
            if identity == seen.identity and (changed == seen.changed or sha256(path) == seen.digest):
                continue  # a new link or mode is no new content
            raise ChangedInputError(f"{path}: changed while it was read; run again")


def _look(path: Path) -> _Seen:
    try:
        before = _identity(path.stat())
        digest = sha256(path)
        after = _identity(path.stat())
    except OSError as error:
        raise InputMissingError(f"{path}: {error.strerror}") from error
    if before != after:
        raise ChangedInputError(f"{path}: changed while it was read; run again")
    return _Seen(*after, digest)


def _identity(about: os.stat_result) -> tuple[tuple[int, int, int, int], int]:
    return (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns), about.st_ctime_ns


def provenance(
    record: InputRecord,
    inputs: Sequence[Path],
    *,
    weights: Sequence[Path],
    settings: Mapping[str, Any],
    log: Mapping[str, float | int | str],
    command: str = "",
) -> dict[str, str]:
    """Return global attributes that say how an output was made.

    record: digests of the files read. inputs: files read. weights: files of weights and statistics used. settings: the
    run's configuration. log: what the run decided. command: the command line, if there is one.
    """
    created = f"{creation_time():%Y-%m-%dT%H:%M:%SZ}"
    digests = {str(path): digest for path in inputs if (digest := record.digest(path)) is not None}
    attributes = {
        "date_created": created,
        "history": f"{created} phyda {__version__}" + (f": {command}" if command else ""),
        "phyda_version": __version__,
        "phyda_libraries": _json(
            {"python": platform.python_version()} | {name: metadata.version(name) for name in _LIBRARIES}
        ),
        "phyda_inputs_sha256": _json(digests),
        "phyda_settings": _json(settings),
        "phyda_log": _json(log),
    }
    used = ", ".join(f"{record.digest(path)}  {path.name}" for path in weights)
    return attributes | ({"phyda_weights_sha256": used} if used else {})


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
