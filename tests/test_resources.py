"""Shipped files, from a checkout and from an installed package."""

from __future__ import annotations

import hashlib

import pytest

from phyda_cli import resources
from phyda_cli.errors import ConfigError, InputMissingError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installation with nothing in it."""
    (tmp_path / "phyda_cli").mkdir()
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "phyda_cli")
    return tmp_path


def test_the_installed_weights_win_over_those_beside_the_package(package):
    (package / "weights").mkdir()
    (package / "weights" / "b").write_bytes(b"checkout")
    assert resources.weights_path("b").read_bytes() == b"checkout"
    (package / "phyda_cli" / "_weights").mkdir()
    (package / "phyda_cli" / "_weights" / "b").write_bytes(b"installed")
    assert resources.weights_path("b").read_bytes() == b"installed"


def test_missing_weights_are_a_broken_installation(package):
    with pytest.raises(ConfigError, match="reinstall it, or name a file with --weights"):
        resources.weights_path("b")
    (package / "weights").mkdir()
    with pytest.raises(ConfigError, match=r"weights/b: .*--weights FILE"):
        resources.weights_path("b")


def test_manifest_and_digest(package):
    (package / "weights").mkdir()
    (package / "weights" / "b").write_bytes(b"content")
    digest = hashlib.sha256(b"content").hexdigest()
    (package / "weights" / "SHA256SUMS").write_text(f"{digest}  b\n")
    assert resources.weights_manifest() == {"b": resources.sha256(package / "weights" / "b")}


def test_digest_of_a_missing_file(tmp_path):
    with pytest.raises(InputMissingError, match="No such file"):
        resources.sha256(tmp_path / "none")
