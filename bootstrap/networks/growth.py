"""A wider network that starts with what a narrower one has learnt.

The narrow network's channels become some of the wide one's, with all their weights; from the new
channels to the old ones every weight is zero. So the wide network starts with the narrow one's
answers, and what is new joins in as it turns out useful (as Net2Net's wider layers do, arXiv
1511.05641, but with new channels drawn at random rather than copied).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bootstrap.networks.blocks import BlazeBlock, ConvBN

RGB = torch.arange(3)


@torch.no_grad()
def grow(wide: nn.Module, narrow: nn.Module, inputs: Tensor) -> Tensor:
    """Put the weights of layers into wider ones of the same plan.

    Args:
        wide: changed in place.
        narrow: `ConvBN`, `BlazeBlock`, or a sequence of them; layers without weights are passed.
        inputs: (n,) which of the wide layers' input channels the narrow ones' are.

    Returns:
        The same of their output channels.

    Raises:
        ValueError: the layers aren't of the same plan, or not wider.
    """
    if type(wide) is not type(narrow):
        raise ValueError(f"{type(narrow).__name__} doesn't grow into {type(wide).__name__}")
    if isinstance(wide, ConvBN) and isinstance(narrow, ConvBN):
        return _convolution(wide, narrow, inputs)
    if isinstance(wide, BlazeBlock) and isinstance(narrow, BlazeBlock):
        return _block(wide, narrow, inputs)
    if isinstance(wide, nn.Sequential) and isinstance(narrow, nn.Sequential):
        for one, other in zip(wide, narrow, strict=True):
            inputs = grow(one, other, inputs)
        return inputs
    if any(True for _ in wide.parameters()):
        raise ValueError(f"{type(wide).__name__} can't grow")
    return inputs


def _convolution(wide: ConvBN, narrow: ConvBN, inputs: Tensor) -> Tensor:
    new, old = wide[0], narrow[0]
    assert isinstance(new, nn.Conv2d)
    assert isinstance(old, nn.Conv2d)
    if new.kernel_size != old.kernel_size or len(new.weight) < len(old.weight):
        raise ValueError(f"a convolution {tuple(old.weight.shape)} doesn't fit into a narrower one")
    outputs = torch.arange(len(old.weight))
    new.weight[outputs] = 0
    new.weight[outputs[:, None], inputs] = old.weight
    _normalisation(wide[1], narrow[1], outputs)
    return outputs


def _normalisation(wide: nn.Module, narrow: nn.Module, outputs: Tensor) -> None:
    new, old = wide.state_dict(), narrow.state_dict()
    for name, values in old.items():
        if values.ndim:
            new[name][outputs] = values


def _block(wide: BlazeBlock, narrow: BlazeBlock, inputs: Tensor) -> Tensor:
    if wide.grows != narrow.grows or type(wide.shrink) is not type(narrow.shrink):
        raise ValueError("the blocks aren't of the same plan")
    wide.depthwise.weight[inputs] = narrow.depthwise.weight
    within = grow(wide.pointwise, narrow.pointwise, inputs)
    _moved(wide.pointwise, within, inputs)
    if wide.grown is None or narrow.grown is None:
        return inputs
    return torch.cat([inputs, wide.inputs + grow(wide.grown, narrow.grown, inputs)])


def _moved(layer: ConvBN, rows: Tensor, places: Tensor) -> None:
    """Exchange a convolution's output channels so that `rows` come to lie at `places`."""
    convolution = layer[0]
    assert isinstance(convolution, nn.Conv2d)
    count = convolution.out_channels
    order = torch.full((count,), -1)
    order[places] = rows
    kept = torch.zeros(count, dtype=torch.bool)
    kept[rows] = True
    order[order < 0] = torch.arange(count)[~kept]
    for values in (*convolution.state_dict().values(), *layer[1].state_dict().values()):
        if values.ndim:
            values.copy_(values[order].clone())
