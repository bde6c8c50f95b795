"""The pieces that the networks are drawn with.

Only what LiteRT's XNNPACK takes whole and what trains fast on a CPU: ReLU (PReLU is exported as
four operators and makes training 1.6 times slower), convolutions with their own zero padding
(an explicit pad becomes a transpose sandwich on export), max pooling, fully connected layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConvBN(nn.Sequential):
    """Convolution, batch norm and, unless `relu` is off, ReLU; "same" padding for odd kernels."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        relu: bool = True,
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3),
        ]
        super().__init__(*layers, *([nn.ReLU()] if relu else []))


class BlazeBlock(nn.Module):
    """Depthwise then pointwise convolution around a residual (BlazeFace, arXiv 1907.05047).

    With stride 2 the residual is max-pooled; where channels grow, the new ones are those of the
    convolution alone, joined on by concatenation, which is what padding the residual with zero
    channels amounts to.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> None:
        super().__init__()
        self.inputs, self.grows = inputs, outputs > inputs
        # No batch norm between the two: it would be a third of the training time.
        self.depthwise = nn.Conv2d(
            inputs, inputs, kernel, stride, kernel // 2, groups=inputs, bias=False
        )
        self.pointwise = ConvBN(inputs, inputs, relu=False)
        self.grown = ConvBN(inputs, outputs - inputs, relu=False) if self.grows else None
        self.shrink = nn.MaxPool2d(2) if stride == 2 else nn.Identity()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        filtered = self.depthwise(x)
        kept: Tensor = self.relu(self.shrink(x) + self.pointwise(filtered))
        if self.grown is None:
            return kept
        # ReLU before joining: it fuses into the convolution, and in int8 XNNPACK takes no other.
        return torch.cat([kept, self.relu(self.grown(filtered))], dim=1)


def stage(inputs: int, outputs: int, blocks: int, kernel: int = 3) -> nn.Sequential:
    """One block that halves the picture and widens it, then `blocks` - 1 that keep its shape."""
    first = BlazeBlock(inputs, outputs, stride=2, kernel=kernel)
    return nn.Sequential(
        first, *(BlazeBlock(outputs, outputs, kernel=kernel) for _ in range(blocks - 1))
    )


class ShapeHead(nn.Module):
    """Keypoints as a mean shape plus a basis times a few coefficients.

    The basis and the mean are ordinary weights; `set_shape_model` starts them from the principal
    components of the training crops, each scaled by its standard deviation. So an untrained
    network answers with the mean shape, and what is left to learn are coefficients of unit
    variance: that is what makes trainings of two minutes worth having.
    """

    def __init__(self, inputs: int, coefficients: int, keypoints: int, axes: int = 3) -> None:
        super().__init__()
        self.coefficients = nn.Linear(inputs, coefficients)
        self.basis = nn.Linear(coefficients, keypoints * axes)
        nn.init.normal_(self.coefficients.weight, std=0.2 / inputs**0.5)
        nn.init.zeros_(self.coefficients.bias)
        nn.init.normal_(self.basis.weight, std=1e-3)
        nn.init.zeros_(self.basis.bias)

    def set_shape_model(self, mean: Tensor, components: Tensor) -> None:
        """Start from a shape model.

        Args:
            mean: (N, axes) mean keypoints, crop-normalised.
            components: (K, N, axes) principal components times their standard deviations; those
                beyond the number of coefficients are left out.
        """
        used = components[: self.coefficients.out_features].reshape(-1, mean.numel())
        with torch.no_grad():
            self.basis.bias.copy_(mean.reshape(-1))
            self.basis.weight[:, : len(used)].copy_(used.T)

    def read_places(self, mean: Tensor, components: Tensor, spread: float, noise: float) -> None:
        """Start the coefficients as the likeliest for the places that the last inputs tell.

        Args:
            mean, components: as `set_shape_model` has them, x and y first among the axes.
            spread: the last 2 N inputs are x - 0.5 of each keypoint, then y - 0.5, times this.
            noise: standard deviation of those places, crop-normalised.
        """
        shown = components[: self.coefficients.out_features, :, :2].transpose(1, 2).flatten(1)
        if not len(shown):
            return
        places = shown.shape[1]
        spread_of = shown.T @ shown + noise**2 * torch.eye(places)
        likeliest = torch.linalg.solve(spread_of, shown.T).T
        with torch.no_grad():
            self.coefficients.weight[: len(shown), -places:] = likeliest / spread
            off = 0.5 - mean[:, :2].T.flatten()
            self.coefficients.bias[: len(shown)] = likeliest @ off

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs) -> (B, axes N) crop-normalised x, y (, z) of each keypoint in turn."""
        result: Tensor = self.basis(self.coefficients(features))
        return result


def fuse_batch_norms(module: nn.Module) -> None:
    """Fold every ConvBN's batch norm into its convolution, in place; for evaluation only."""
    for child in module.modules():
        if isinstance(child, ConvBN) and isinstance(child[1], nn.BatchNorm2d):
            convolution, norm = child[0], child[1]
            assert isinstance(convolution, nn.Conv2d)
            child[0] = nn.utils.fusion.fuse_conv_bn_eval(convolution, norm)
            child[1] = nn.Identity()


def multiply_accumulates(module: nn.Module, size: int) -> int:
    """Multiply-accumulates of the convolutions and linear layers for one size x size picture."""
    total = 0

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            weights = layer.weight[0].numel()
            total += weights * output[0].numel()
        elif isinstance(layer, nn.Linear):
            total += layer.weight.numel()

    hooks = [layer.register_forward_hook(count) for layer in module.modules()]
    training = module.training
    try:
        module.eval()
        with torch.no_grad():
            module(torch.zeros(1, 3, size, size))
    finally:
        module.train(training)
        for hook in hooks:
            hook.remove()
    return total
