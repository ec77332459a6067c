"""Spherical harmonics in the layouts and with the operators that only tests need."""

from __future__ import annotations

import torch

from phyda_cli.constants import EARTH_RADIUS


def complex_from_real(v: torch.Tensor) -> torch.Tensor:
    """Coefficients (…, n, m) of a real vector (…, (N+1)²): the inverse of `SphericalHarmonics.real_from_complex`."""
    size = round(v.shape[-1] ** 0.5)
    scale = torch.tensor([1.0] + [0.5**0.5] * (size - 1), dtype=v.dtype)
    square = v.reshape(*v.shape[:-1], size, size)
    sine = torch.nn.functional.pad(square.triu(1).mT[..., :-1], (1, 0))
    return torch.complex(square.tril() * scale, -sine * scale)


def laplacian(c: torch.Tensor) -> torch.Tensor:
    """Coefficients (…, n, m) of ∇²f: −n(n+1)/a² c."""
    n = torch.arange(c.shape[-2], dtype=torch.float64)[:, None]
    return c * (-n * (n + 1) / EARTH_RADIUS**2)
