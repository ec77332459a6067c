"""A background error that is partly that of statistics and partly that of members: the hybrid control transform.

    δx = β_s L v + β_e Σ_i x'_i ∘ α_i,      α_i = C_loc^{1/2} w_i,      (v, w) ~ N(0, I)
    B  = β_s² L Lᵀ + β_e² C_loc ∘ Σ_i x'_i x'_iᵀ

x'_i are K perturbations whose Σ x'_i x'_iᵀ is a sample covariance, and the α control variables (Lorenc 2003) are what
localises it: fields of a few total wavenumbers at the levels of the analysis, one for each member, with

    ⟨α_i(λ, φ, p) α_j(λ', φ', p')⟩ = δ_ij ρ_h(d) ρ_v(Δ ln p)                          (`localisation.py`)

All variables at a level share them, single-level fields those of the lowest level, so that the balance of the members
between wind, mass and temperature stays. v and w are solved for together, by the preconditioned minimisation that
serves L alone (Buehner 2005; Wang, Snyder and Hamill 2007 show that this is the hybrid of Hamill and Snyder 2000).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from phyda_cli.errors_b.control import ControlTransform
from phyda_cli.errors_b.localisation import localisation_spectrum, vertical_localisation
from phyda_cli.fields.state import Channel
from phyda_cli.grids.harmonics import largest_truncation, legendre
from phyda_cli.grids.latlon import LatLonGrid


@dataclass(frozen=True)
class Localisation:
    """Cut-off radii, from where on members say nothing. radius: [m]. vertical_radius: in ln p."""

    radius: float
    vertical_radius: float

    def between(self, channels: Sequence[Channel]) -> torch.Tensor:
        """ρ_v (channel, channel)."""
        levels, level_of = _levels(channels)
        own = torch.from_numpy(vertical_localisation(levels, self.vertical_radius))
        return own[level_of][:, level_of]


class HybridTransform:
    """L of the hybrid, on packed vectors (size, case): those of the statistics' transform, then those of α.

    static: L of the statistics. share: β_s. ensemble: with β_e in its perturbations.
    """

    def __init__(self, static: ControlTransform, share: float, ensemble: AlphaTransform) -> None:
        self.static, self.share, self.ensemble = static, share, ensemble

    @property
    def size(self) -> int:
        """The length of a packed control vector."""
        return self.static.size + self.ensemble.size

    def forward(self, v: torch.Tensor) -> torch.Tensor:
        """L of packed control vectors (size, case): fields (lon, lat, channel, case)."""
        own, alpha = torch.split(v, [self.static.size, self.ensemble.size])
        return self.static.forward(self.share * own) + self.ensemble.forward(alpha)

    def adjoint(self, fields: torch.Tensor) -> torch.Tensor:
        """Lᵀ of fields: packed control vectors (size, case)."""
        return torch.cat([self.share * self.static.adjoint(fields), self.ensemble.adjoint(fields)])


class AlphaTransform:
    """Σ_i x'_i ∘ C_loc^{1/2} w_i, on packed vectors (size, case) and fields (lon, lat, channel, case).

    perturbations: x' (member, channel, lat, lon), with β_e in them. A packed vector is (level, m, part, n, member);
    entries that stand for no harmonic count for nothing.
    """

    def __init__(
        self,
        grid: LatLonGrid,
        channels: Sequence[Channel],
        perturbations: torch.Tensor,
        localisation: Localisation,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        def place(x: torch.Tensor) -> torch.Tensor:
            return x.to(device, dtype).contiguous()

        levels, slots = _slots(channels)
        values, vectors = np.linalg.eigh(vertical_localisation(levels, localisation.vertical_radius))
        self._vertical = place(torch.from_numpy((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T))
        synthesis, fourier = _synthesis(grid, localisation.radius)
        self._synthesis, self._fourier = place(synthesis), place(fourier)
        # (lon, lat, slot, variable, member): where a slot has fewer channels than others, zeros
        filled = torch.nn.functional.pad(perturbations, (0, 0, 0, 0, 0, 1))[:, slots]
        self._perturbations = place(filled.permute(4, 3, 1, 2, 0))
        self._slots = slots.clamp_max(len(channels) - 1).flatten().to(device)
        self._where = torch.argsort(slots.flatten())[: len(channels)].to(device)
        orders, _, degrees = synthesis.shape
        self._shape = (len(levels), orders, degrees, perturbations.shape[0])

    @property
    def size(self) -> int:
        """The length of a packed control vector."""
        return int(np.prod(self._shape))

    def forward(self, w: torch.Tensor) -> torch.Tensor:
        """Fields (lon, lat, channel, case) of packed vectors (size, case)."""
        changes = self._perturbations @ self._alpha(w)
        return changes.flatten(2, 3).index_select(2, self._where)

    def adjoint(self, fields: torch.Tensor) -> torch.Tensor:
        """Packed vectors (size, case) of fields (lon, lat, channel, case)."""
        levels, orders, degrees, _ = self._shape
        shape, cases = self._perturbations.shape, fields.shape[-1]
        changes = fields.index_select(2, self._slots).reshape(*shape[:4], cases)
        alpha = self._perturbations.mT @ changes
        rows = torch.mm(self._fourier.mT, alpha.flatten(1)).reshape(orders, shape[1], -1)
        spectral = torch.bmm(self._synthesis.mT, rows).reshape(orders, degrees, levels, -1)
        mixed = torch.mm(self._vertical, spectral.permute(2, 0, 1, 3).reshape(levels, -1))
        return mixed.reshape(-1, cases)

    def _alpha(self, w: torch.Tensor) -> torch.Tensor:
        """α (lon, lat, level, member, case) of packed vectors (size, case)."""
        levels, orders, degrees, members = self._shape
        mixed = torch.mm(self._vertical, w.reshape(levels, -1)).reshape(levels, orders, degrees, -1)
        rows = torch.bmm(self._synthesis, mixed.permute(1, 2, 0, 3).reshape(orders, degrees, -1))
        fields = torch.mm(self._fourier, rows.flatten(1))
        return fields.reshape(len(fields), rows.shape[1], levels, members, w.shape[-1])


def _synthesis(grid: LatLonGrid, radius: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (m · part, lat, n) √c_n times the orthonormal real harmonics, and (lon, m · part) to the grid."""
    spectrum = localisation_spectrum(radius, largest_truncation(grid))
    order = np.arange(len(spectrum))
    functions = legendre(len(spectrum) - 1, np.asarray(grid.latitudes))[0] * np.sqrt(spectrum)
    functions = (functions * np.where(order > 0, np.sqrt(2.0), 1.0)[:, None, None]).repeat(2, axis=0)
    functions[1] = 0.0  # the sine part of m = 0
    angle = np.radians(grid.longitudes)[:, None] * order
    fourier = np.stack([np.cos(angle), np.sin(angle)], axis=-1).reshape(len(angle), -1)
    return torch.from_numpy(functions), torch.from_numpy(fourier)


def _levels(channels: Sequence[Channel]) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], list[int]]:
    """Return pressures [Pa], the lowest level last, and the place among them of each channel's."""
    levels = sorted({channel.level for channel in channels if channel.level is not None})
    place = [len(levels) - 1 if channel.level is None else levels.index(channel.level) for channel in channels]
    return np.array(levels), place


def _slots(channels: Sequence[Channel]) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], torch.Tensor]:
    """Return pressures [Pa] and for each the channels there (slot, variable), filled up with the number of channels.

    Single-level fields are a slot of their own, at the pressure of the lowest level.
    """
    levels, _ = _levels(channels)
    own = [[place for place, channel in enumerate(channels) if channel.level == level] for level in levels]
    single = [place for place, channel in enumerate(channels) if channel.level is None]
    if single:
        own, levels = [*own, single], np.append(levels, levels[-1])
    width = max(map(len, own))
    return levels, torch.tensor([[*places, *[len(channels)] * (width - len(places))] for places in own])
