from __future__ import annotations

import pytest

from phyda_cli.resources import sha256
from phyda_cli.training.case_files import ensure_cases
from phyda_cli.training.config import CasesConfig
from tests.training.material import Place, make_place


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Place:
    """A store with one shard of cases of each part, as `phyda train` makes them."""
    made = make_place(tmp_path_factory.mktemp("training"))
    identity = {
        "store": made.opened().attributes["digest"],
        "background_error": sha256(made.background_error),
        "seed": 7,
        "operational": 0.5,
    }
    counts = CasesConfig(train=128, validation=128)
    ensure_cases(made.cases, made.source(), counts, identity, workers=1, progress=lambda stage, done, total: None)
    return made
