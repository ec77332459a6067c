from __future__ import annotations

import pytest

from phyda_cli.training.case_files import make_cases
from tests.training.material import Place, make_place


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Place:
    """A store with one shard of cases of each part."""
    made = make_place(tmp_path_factory.mktemp("training"))
    for number, part in enumerate(("train", "validation")):
        assert len(list(make_cases(made.source(part, 7 + number), made.cases / part, count=1))) == 1
    return made
