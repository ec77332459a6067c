"""Spherical harmonics as another library has them (ducc0), at the truncation of the background error and beyond."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from phyda_cli.constants import EARTH_RADIUS
from phyda_cli.grids.harmonics import SphericalHarmonics
from phyda_cli.grids.latlon import LatLonGrid

sht = pytest.importorskip("ducc0.sht", reason="the library ducc0 is not installed")

TURNED = 0.9375
GRIDS = {
    "F1": LatLonGrid.equiangular(96, 192),
    "CC": LatLonGrid.with_poles(97, 192),
    "GL": LatLonGrid.gaussian(96),
    "F1 turned": LatLonGrid(LatLonGrid.equiangular(96, 192).latitudes, tuple(TURNED + 1.875 * i for i in range(192))),
}
"""By ducc0's names of their rings."""
TRUNCATION = 63


class Library:
    """ducc0 on a grid: rings from the north, (1, (N+1)(N+2)/2) coefficients a_nm of Y_n^m with the phase (−1)^m."""

    def __init__(self, kind: str) -> None:
        self.about = {
            "geometry": kind.split()[0], "lmax": TRUNCATION, "mmax": TRUNCATION,
            "phi0": math.radians(TURNED if "turned" in kind else 0.0),
        }  # fmt: skip
        self.shape = dict(zip(("ntheta", "nphi"), GRIDS[kind].shape, strict=True))

    def synthesis(self, a: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(sht.synthesis_2d(alm=a, spin=0, **self.about, **self.shape)[0, ::-1].copy())

    def analysis(self, field: torch.Tensor) -> np.ndarray:
        return np.asarray(sht.analysis_2d(map=field.numpy()[None, ::-1], spin=0, **self.about))

    def gradient(self, a: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """East and north, from the derivatives by colatitude and by longitude over its sine."""
        south, east = sht.synthesis_2d_deriv1(alm=a, **self.about, **self.shape)[:, ::-1] / EARTH_RADIUS
        return torch.as_tensor(east.copy()), torch.as_tensor(-south)


def coefficients(seed: int) -> np.ndarray:
    """Random a_nm with a spectrum of n⁻¹, real for m = 0."""
    n = np.concatenate([np.arange(m, TRUNCATION + 1) for m in range(TRUNCATION + 1)])
    parts = np.random.default_rng(seed).standard_normal((2, n.size))
    parts[1, : TRUNCATION + 1] = 0.0
    return ((parts[0] + 1j * parts[1]) / (1.0 + n))[None]


def own(a: np.ndarray) -> torch.Tensor:
    """(n, m) of f = Σ a Y: the mean square of our functions is 1, where that of Y is 1/4π, and they have no phase."""
    result = np.zeros((TRUNCATION + 1, TRUNCATION + 1), complex)
    start = 0
    for m in range(TRUNCATION + 1):
        held = TRUNCATION + 1 - m
        result[m:, m] = (-1) ** m * a[0, start : start + held] / math.sqrt(4.0 * math.pi)
        start += held
    return torch.as_tensor(result)


@pytest.mark.parametrize("kind", GRIDS)
def test_fields_and_their_coefficients(kind):
    a, harmonics, library = coefficients(1), SphericalHarmonics(GRIDS[kind], TRUNCATION), Library(kind)
    field = harmonics.synthesis(own(a))
    torch.testing.assert_close(field, library.synthesis(a), rtol=0, atol=1e-11 * float(field.abs().max()))
    torch.testing.assert_close(harmonics.analysis(field), own(library.analysis(field)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", GRIDS)
def test_gradients_and_winds(kind):
    psi, chi = coefficients(2), coefficients(3)
    harmonics, library = SphericalHarmonics(GRIDS[kind], TRUNCATION), Library(kind)
    close = {"rtol": 0.0, "atol": 1e-11 * float(harmonics.gradient(own(psi))[0].abs().max())}
    (psi_east, psi_north), (chi_east, chi_north) = library.gradient(psi), library.gradient(chi)
    for found, expected in zip(harmonics.gradient(own(psi)), (psi_east, psi_north), strict=True):
        torch.testing.assert_close(found, expected, **close)
    u, v = harmonics.winds(own(psi), own(chi))
    torch.testing.assert_close(u, chi_east - psi_north, **close)
    torch.testing.assert_close(v, psi_east + chi_north, **close)
