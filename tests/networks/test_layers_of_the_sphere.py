"""The layers: nothing at the dateline, nothing at the poles."""

import pytest
import torch

from phyda_cli.grids.places import pad_sphere
from phyda_cli.networks.layers import Attention, Residual, SphereConv


def randomised(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """The module with every parameter drawn, so that zero initialisation hides nothing."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return module.double()


def test_padding_goes_across_the_pole_to_the_opposite_meridian() -> None:
    x = torch.arange(8.0).reshape(1, 1, 2, 4)  # rows 0 1 2 3 (south), 4 5 6 7 (north)
    expected = torch.tensor(
        [
            [1.0, 2, 3, 0, 1, 2],  # beyond the south pole: the southern row turned by two columns
            [3, 0, 1, 2, 3, 0],
            [7, 4, 5, 6, 7, 4],
            [5, 6, 7, 4, 5, 6],
        ]
    )
    assert torch.equal(pad_sphere(x)[0, 0], expected)


def test_two_rows_of_padding_come_in_the_order_of_distance() -> None:
    x = torch.arange(1.0, 4.0)[:, None].expand(3, 4)[None, None]
    assert pad_sphere(x, rows=2)[0, 0, :, 2].tolist() == [2, 1, 1, 2, 3, 3, 2]


def test_an_odd_number_of_meridians_is_refused() -> None:
    with pytest.raises(ValueError, match="5 meridians"):
        pad_sphere(torch.zeros(1, 1, 2, 5))


def test_a_polynomial_over_the_pole_is_convolved_like_anywhere_else() -> None:
    """cos φ cos λ is smooth across the pole: a Laplacian-like stencil makes no stripe in the last row."""
    rows, columns = 64, 128
    lat = torch.deg2rad(-90 + 180 / rows * (torch.arange(rows).double() + 0.5))
    lon = 2 * torch.pi * torch.arange(columns).double() / columns
    field = (lat.cos()[:, None] * lon.cos())[None, None]
    stencil = SphereConv(1, 1).double()
    with torch.no_grad():
        stencil.convolution.weight.copy_(torch.tensor([[0.0, 1, 0], [0, -2, 0], [0, 1, 0]])[None, None])
        stencil.convolution.bias.zero_()
        second_difference = stencil(field)
    # cos(φ + h) + cos(φ − h) − 2 cos φ = −2 (1 − cos h) cos φ in every row, the polar ones included
    h = torch.tensor(torch.pi / rows, dtype=torch.float64)
    expected = -2 * (1 - torch.cos(h)) * field
    assert torch.allclose(second_difference, expected, atol=1e-12)


@pytest.mark.parametrize("layer", [SphereConv(3, 5), Residual(8)])
def test_rotation_commutes(layer: torch.nn.Module) -> None:
    module = randomised(layer)
    width = 3 if isinstance(layer, SphereConv) else 8
    x = torch.randn(2, width, 6, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.allclose(module(x.roll(3, -1)), module(x).roll(3, -1), atol=1e-12)


def test_attention_commutes_with_rotation_but_tells_latitudes_apart() -> None:
    attention = randomised(Attention(8, 2, (4, 6)))
    x = torch.randn(2, 8, 4, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert torch.allclose(attention(x.roll(2, -1)), attention(x).roll(2, -1), atol=1e-12)
    assert not torch.allclose(attention(x.flip(-2)), attention(x).flip(-2), atol=1e-3)


def test_the_attention_map_is_the_one_that_is_applied() -> None:
    attention = randomised(Attention(8, 2, (2, 4)))
    assert isinstance(attention, Attention)
    x = torch.randn(1, 8, 2, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    weights = attention.weights(x)
    assert torch.allclose(weights.sum(-1), torch.ones(1, 2, 8, dtype=torch.float64))
    value = attention.inputs(attention.norm(x)).flatten(2)[:, 16:].unflatten(1, (2, 4)).mT
    by_hand = x + attention.output((weights @ value).mT.reshape(x.shape))
    assert torch.allclose(attention(x), by_hand, atol=1e-12)
