"""Files that several tests of the command share."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from phyda_cli.formats.gridded.background_error import to_bytes
from tests.support.background_error import small_statistics


@pytest.fixture(scope="session")
def statistics_file(tmp_path_factory):
    """Background-error statistics in a file."""
    path = tmp_path_factory.mktemp("statistics") / "b.safetensors"
    path.write_bytes(to_bytes(small_statistics(), provenance={}))
    return path


@pytest.fixture(autouse=True)
def _logging_of_its_own() -> Iterator[None]:
    """Let no run with --quiet, in this test or in a fixture of its module, silence the tests after it."""
    _usual_levels()
    yield
    _usual_levels()


def _usual_levels() -> None:
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("phyda_cli").setLevel(logging.NOTSET)
