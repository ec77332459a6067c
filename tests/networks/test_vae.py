"""The autoencoder: its start is the optimal linear compression, and its loss is the stated one."""

import pytest
import torch

from phyda_cli.networks.vae import Autoencoder, initialise_linear


def low_rank(count: int, rank: int) -> torch.Tensor:
    """(count, 3, 4, 8) fields whose 2 × 2 patches (12 numbers) lie in a space of `rank` dimensions."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(rank, 12, generator=generator)
    tokens = torch.randn(count, 2, 4, rank, generator=generator) @ basis
    return tokens.reshape(count, 2, 4, 3, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(count, 3, 4, 8)


def test_the_linear_start_is_exact_on_fields_of_its_rank_and_white() -> None:
    fields = low_rank(200, 5)
    autoencoder = Autoencoder(3, 5, 8)
    initialise_linear(autoencoder, fields.split(64))
    mean, _ = autoencoder.encode(fields)
    assert torch.allclose(autoencoder.decode(mean), fields, atol=1e-4)
    tokens = mean.permute(0, 2, 3, 1).reshape(-1, 5)
    assert torch.allclose(tokens.mT @ tokens / tokens.shape[0], torch.eye(5), atol=1e-3)


def test_the_floor_of_the_linear_start_is_the_sum_of_the_left_out_eigenvalues() -> None:
    fields = low_rank(400, 12)
    autoencoder = Autoencoder(3, 7, 8)
    initialise_linear(autoencoder, fields.split(64))
    floor = (autoencoder.decode(autoencoder.encode(fields)[0]) - fields).square().mean()
    patches = fields.reshape(400, 3, 2, 2, 4, 2).permute(0, 2, 4, 1, 3, 5).reshape(-1, 12).double()
    eigenvalues = torch.linalg.eigvalsh(patches.mT @ patches / patches.shape[0])
    assert floor.item() == pytest.approx(float(eigenvalues[:5].sum() / 12), rel=1e-3)


def test_the_loss_by_hand() -> None:
    """With all maps zero, μ = 0, log s² = −4 and D = 0: L = ⟨x² w⟩ + β ½ (e⁻⁴ − 1 + 4)."""
    autoencoder = Autoencoder(2, 3, 8)
    with torch.no_grad():
        for name, parameter in autoencoder.named_parameters():
            if not name.startswith("log_variance"):
                parameter.zero_()
    x = torch.ones(1, 2, 2, 4)
    weights = torch.tensor([[0.5], [1.5]])
    noise = torch.zeros(1, 3, 1, 2)
    loss, reconstruction = autoencoder.loss(x, weights, beta=0.1, noise=noise)
    assert reconstruction.item() == pytest.approx(1.0)
    assert loss.item() == pytest.approx(1.0 + 0.1 * 0.5 * (2.718281828**-4 + 3.0), rel=1e-6)
