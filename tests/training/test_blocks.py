"""Recomputed and compiled blocks give the numbers of plain ones."""

from __future__ import annotations

import copy

import pytest
import torch

from phyda_cli.networks.layers import Attention, Residual
from phyda_cli.training import blocks
from phyda_cli.training.blocks import prepare_blocks


def small() -> torch.nn.Sequential:
    """Blocks that do something: their last convolutions are not zero."""
    torch.manual_seed(0)
    made = torch.nn.Sequential(Residual(8), Attention(8, 2, (4, 8)), Residual(8))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made


def gradients(module: torch.nn.Module) -> tuple[torch.Tensor, list[torch.Tensor], int]:
    """The value, the gradients, and the bytes that are kept between the two passes."""
    kept = 0

    def count(x: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += x.numel() * x.element_size()
        return x

    x = torch.randn(2, 8, 4, 8, generator=torch.Generator().manual_seed(1))
    with torch.autograd.graph.saved_tensors_hooks(count, lambda x: x):
        value = module(x).square().mean()
    value.backward()
    return value.detach(), [p.grad for p in module.parameters()], kept


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # the compiler looks at what it compiles
@pytest.mark.parametrize("compiled", [False, True])
def test_recomputed_blocks_have_the_same_gradients_and_keep_less(compiled, monkeypatch):
    compiler = torch.compile
    monkeypatch.setattr(blocks.torch, "compile", lambda function: compiler(function, backend="eager"))
    plain, changed = small(), small()
    names = list(changed.state_dict())
    prepare_blocks(changed, recompute=True, compiled=compiled)
    assert list(changed.state_dict()) == names
    value, wanted, kept = gradients(plain)
    other, found, less = gradients(changed)
    assert torch.allclose(other, value, rtol=1e-6)
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(found, wanted, strict=True))
    assert less < 0.2 * kept


def test_frozen_blocks_and_copies_made_before_are_left_alone():
    changed = small()
    before = copy.deepcopy(changed)
    changed[0].requires_grad_(False)
    prepare_blocks(changed, recompute=True, compiled=False)
    assert "forward" not in changed[0].__dict__
    assert "forward" in changed[1].__dict__
    assert all("forward" not in block.__dict__ for block in before)
