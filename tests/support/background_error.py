"""Small background-error statistics made from a known random process: balanced errors with a chosen spectrum."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from phyda_cli.constants import GRAVITY, R_DRY
from phyda_cli.errors_b.background_error import BackgroundError
from phyda_cli.errors_b.fit import fit_background_error
from phyda_cli.fields.balance import balanced_geopotential
from phyda_cli.fields.state import Channel
from phyda_cli.grids.harmonics import SphericalHarmonics
from phyda_cli.grids.latlon import LatLonGrid
from tests.support.harmonics import complex_from_real

GRID = LatLonGrid.equiangular(16, 32)
TRUNCATION = 12
LEVELS = (25_000.0, 50_000.0, 85_000.0)
CHANNELS = (*(Channel(name, level) for name in ("u", "v", "t", "q", "z") for level in LEVELS), Channel("msl"))


def random_errors(count: int, *, seed: int) -> torch.Tensor:
    """(count, channel, lat, lon) errors: ψ with a red spectrum and vertical correlation, mass in balance plus noise."""
    generator = torch.Generator().manual_seed(seed)
    transform = SphericalHarmonics(GRID, TRUNCATION)
    degree = transform.degree_of_real.double()
    spectrum = torch.exp(-((degree - 5.0) ** 2) / 18.0) / (2 * degree + 1)
    spectrum[degree == 0] = 0.0
    vertical = torch.linalg.cholesky(
        torch.tensor([[1.0, 0.7, 0.4], [0.7, 1.0, 0.7], [0.4, 0.7, 1.0]], dtype=torch.float64)
    )

    def field(levels: int, size: float) -> torch.Tensor:
        noise = torch.randn(count, levels, degree.numel(), generator=generator, dtype=torch.float64)
        mixed = torch.einsum("ij,bjk->bik", vertical[:levels, :levels], noise)
        return size * complex_from_real(mixed * spectrum.sqrt())

    psi, chi = field(3, 2e6), field(3, 4e5)
    u, v = transform.winds(psi, chi)
    z = 0.9 * balanced_geopotential(transform, psi) + transform.synthesis(field(3, 30.0))
    thickness = torch.log(torch.tensor(LEVELS, dtype=torch.float64))
    slope = -torch.stack([(z[:, min(k + 1, 2)] - z[:, max(k - 1, 0)]) for k in range(3)], 1)
    width = torch.stack([thickness[min(k + 1, 2)] - thickness[max(k - 1, 0)] for k in range(3)])[None, :, None, None]
    t = slope / (R_DRY * width) + transform.synthesis(field(3, 0.3))
    q = transform.synthesis(field(3, 3e-4))
    msl = 0.12 * GRAVITY * z[:, 2:] / GRAVITY + transform.synthesis(field(1, 20.0))
    return torch.cat([u, v, t, q, z, msl], dim=1)


@lru_cache(maxsize=1)
def small_statistics() -> BackgroundError:
    """Statistics fitted to 200 such errors."""
    errors = random_errors(200, seed=1)
    return fit_background_error(lambda: errors.split(50), grid=GRID, channels=CHANNELS, truncation=TRUNCATION)


def zero_time() -> np.datetime64:
    """A valid time for states whose time does not matter."""
    return np.datetime64("2020-01-01T00", "ns")
