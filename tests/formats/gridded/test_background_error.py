"""The background-error file: round trip and damage."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from phyda_cli.errors import BadDataError, InputMissingError
from phyda_cli.formats.gridded.background_error import read_background_error, to_bytes
from tests.support.background_error import small_statistics


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "b.safetensors"
    statistics = small_statistics()
    path.write_bytes(to_bytes(statistics, provenance={"pairs": 200}))
    found, provenance = read_background_error(path)
    assert provenance == {"pairs": 200}
    assert found.grid == statistics.grid
    assert found.channels == statistics.channels
    assert torch.equal(found.covariance_unbalanced, statistics.covariance_unbalanced.float().double())
    assert torch.equal(found.sigma, statistics.sigma.float().double())


def test_same_statistics_same_bytes() -> None:
    assert to_bytes(small_statistics(), provenance={"a": 1}) == to_bytes(small_statistics(), provenance={"a": 1})


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_truncated_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "b.safetensors"
    path.write_bytes(to_bytes(small_statistics(), provenance={})[:keep])
    with pytest.raises(BadDataError, match=r"b\.safetensors"):
        read_background_error(path)


def test_nan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.safetensors"
    path.write_bytes(to_bytes(small_statistics().scaled(float("nan")), provenance={}))
    with pytest.raises(BadDataError, match="NaN"):
        read_background_error(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputMissingError):
        read_background_error(tmp_path / "none")
