"""The algebra of the local ensemble transform Kalman filter, without a grid: one batch of local analyses.

With N members, X the perturbations x_i − x̄, Y those of H(x_i), d = y − mean of H(x_i), and R⁻¹ with the localisation
weights on its diagonal:

    P = [(N − 1) I + Yᵀ R⁻¹ Y]⁻¹,     w = P Yᵀ R⁻¹ d,     W = [(N − 1) P]^{1/2}  (symmetric)
    x_a = x̄ + X w,                     x_a,i = x_a + X W_i

Inflation of the background by a factor s on its perturbations is X → sX, Y → sY beforehand. Relaxation to the prior
spread (RTPS) multiplies the analysis perturbations by 1 + α (σ_b − σ_a)/σ_a afterwards.
Source: Hunt, Kostelich and Szunyogh (2007); Whitaker and Hamill (2012), eq. 2.
"""

from __future__ import annotations

import torch


def ensemble_transform(
    observed: torch.Tensor, departure: torch.Tensor, precision: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Local analyses in the space of the ensemble: w (column, place, N) and W (column, place, N, N).

    observed: Y (column, N, n), rows of one observation with mean zero. departure: d (column, n). precision: (column,
    place, n) localisation weight over σ_o² of every observation at the places of the column, which share observations.
    Where all are zero, w = 0 and W = I. No column's result depends on which others are in the batch, to the last bit.
    """
    columns, members, count = observed.shape
    weighted = precision[:, :, None, :] * observed[:, None, :, :]
    # One product a column, with the departure as one more member: other shapes round differently in other batches.
    beside = torch.cat([observed, departure[:, None, :]], dim=1)
    product = (weighted.reshape(columns, -1, count) @ beside.mT).reshape(columns, -1, members, members + 1)
    gram, projected = product[..., :-1], product[..., -1:]
    values, vectors = _eigen(0.5 * (gram + gram.mT))
    # Y has rank N − 1 at most, so rounding alone makes an eigenvalue negative.
    total = (members - 1) + values.clamp_min(0.0)
    mean = vectors @ ((vectors.mT @ projected) / total[..., None])
    root = (vectors * ((members - 1) / total).sqrt()[..., None, :]) @ vectors.mT
    return mean.squeeze(-1), root


def _eigen(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Eigenvalues (…, M), upper N rows (…, N, M) of eigenvectors of symmetric (…, N, N); M is the next multiple of 4.

    The solver rounds differently for matrices that start at odd addresses of a batch; bordered by the identity to a
    multiple of four rows, all start at whole cache lines. Functions of the matrix come out the same.
    """
    size = matrix.shape[-1]
    border = -size % 4
    padded = torch.nn.functional.pad(matrix, (0, border, 0, border))
    padded.diagonal(dim1=-2, dim2=-1)[..., size:] = 1.0
    values, vectors = torch.linalg.eigh(padded)
    return values, vectors[..., :size, :]


def relaxation(prior: torch.Tensor, posterior: torch.Tensor, factor: float) -> torch.Tensor:
    """Return the factor of RTPS on perturbations, from standard deviations before and after; 1 where σ_a is zero.

    factor: α; 0 leaves the analysis spread, 1 gives it the background's.
    """
    safe = torch.where(posterior > 0, posterior, torch.ones_like(posterior))
    return torch.where(posterior > 0, 1.0 + factor * (prior - posterior) / safe, torch.ones_like(posterior))
