"""How the blocks of a stage compute in training: the same numbers up to rounding, in less memory or time.

    recompute   a block keeps its input alone and computes its inside once more in the backward pass
                (Chen et al. 2016, "Training deep nets with sublinear memory cost")
    compiled    torch.compile joins the pointwise operations of a block into few kernels; the first step takes minutes

A block is a `Residual` or an `Attention` whose parameters are trained; frozen networks keep nothing anyway.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from phyda_cli.networks.layers import Attention, Residual


def prepare_blocks(module: nn.Module, *, recompute: bool, compiled: bool) -> None:
    """Change the trained blocks of a module in place; parameters and their names stay."""
    for block in module.modules():
        if not isinstance(block, Residual | Attention) or not next(block.parameters()).requires_grad:
            continue
        forward = torch.compile(block.forward) if compiled else block.forward
        block.forward = partial(checkpoint, forward, use_reentrant=False) if recompute else forward  # type: ignore[method-assign]
