"""The rounds of a directory of cycles: which weights its analyses have had, and from which cycle on.

    cycles.json    "rounds": [{"statistics": SHA-256, "learned": SHA-256 or null, "after": [cycles of each stream]}, …]

A directory begins with 3D-Var (no learned weights) or at once with a learned analysis. Given other learned weights,
every stream goes on with these from its last cycle, so that a store of the directory holds what both lead to, and each
truth once. It does not go on with another 3D-Var: that would be a directory of other settings.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from phyda_cli.errors import ConfigError
from phyda_cli.outputs import atomic_path

_ROUNDS: Final = "rounds"


def begin_round(path: Path, plan: dict[str, Any], *, statistics: str, learned: str | None, done: Sequence[int]) -> bool:
    """Write the round in work into the record of a directory, if it is not the last there; whether it is new.

    plan: what binds the whole directory, as JSON values. statistics, learned: digests. done: cycles that each stream
    has. Raises ConfigError where the record is of another plan, or of a round that this does not follow.
    """
    rounds: list[dict[str, Any]] = []
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        rounds = found.pop(_ROUNDS)
        if found != plan:
            raise ConfigError(f"{path}: the directory holds cycles of other settings; choose another directory")
    weights = {"statistics": statistics, "learned": learned}
    if rounds and weights == {name: rounds[-1][name] for name in weights}:
        return False
    if rounds and learned is None:
        raise ConfigError(
            f"{path}: the last cycles here had other weights; give the same --weights and --learned, or other --learned"
        )
    kept = [before for before in rounds if before["after"] != list(done)]  # one that has made no cycle is forgotten
    document = {**plan, _ROUNDS: [*kept, {**weights, "after": list(done)}]}
    with atomic_path(path, overwrite=True) as partial:
        partial.write_text(f"{json.dumps(document, indent=1)}\n", encoding="utf-8")
    return True
