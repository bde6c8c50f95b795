"""The networks: what goes in and out, what they cost, and what they start from."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from bootstrap import face_contours
from bootstrap.networks import (
    NETWORKS,
    SIZED_NETWORKS,
    DetectorNetwork,
    FaceDetectorNetwork,
    FaceNetwork,
    HandNetwork,
    PalmDetectorNetwork,
    ShapeHead,
    fuse_batch_norms,
    multiply_accumulates,
)
from bootstrap.networks.hand import SPREAD
from runtime.topology import topology


@pytest.mark.parametrize(
    ("name", "size", "least", "most", "parameters"),
    [
        ("face", "lite", 33e6, 38e6, 0.4e6),
        ("face", "full", 68e6, 76e6, 0.6e6),
        ("hand", "lite", 60e6, 70e6, 0.8e6),
        ("hand", "full", 100e6, 146e6, 1.2e6),
        ("pose", "lite", 70e6, 80e6, 0.8e6),
        ("pose", "full", 125e6, 140e6, 1.0e6),
        ("face-detector", "lite", 15e6, 17e6, 0.13e6),
        ("face-detector", "full", 27e6, 30e6, 0.22e6),
        ("palm-detector", "lite", 75e6, 80e6, 0.37e6),
        ("palm-detector", "full", 150e6, 160e6, 0.8e6),
    ],
)
def test_cost(name: str, size: str, least: float, most: float, parameters: float) -> None:
    network = SIZED_NETWORKS[name](size)
    assert least < multiply_accumulates(network, network.input_size) < most
    assert sum(p.numel() for p in network.parameters()) < parameters
    assert network.training, "counting must leave the network as it was"


def test_multiply_accumulates_of_known_layers() -> None:
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),  # 27 * 8 * 16
        nn.Conv2d(8, 8, 3, padding=1, groups=8),  # 9 * 8 * 16
        nn.Flatten(),
        nn.Linear(128, 5),  # 640
    )
    assert multiply_accumulates(layers, 8) == 27 * 8 * 16 + 9 * 8 * 16 + 640


@pytest.mark.parametrize("name", ["face", "hand"])
def test_outputs(name: str) -> None:
    network = NETWORKS[name]().eval()
    keypoints = topology(network.topology_id).size
    size = network.input_size
    with torch.no_grad():
        outputs = network(torch.rand(2, 3, size, size))
    shapes = {key: tuple(value.shape) for key, value in outputs.items()}
    expected = {"landmarks": (2, 3 * keypoints), "presence": (2, 1)}
    if name == "face":
        expected |= {"contours": (2, 2 * len(face_contours.points()))}
    if name == "hand":
        cells = size // 8
        expected |= {"handedness": (2, 1), "world": (2, 3 * keypoints)}
        expected |= {"maps": (2, keypoints, cells, cells)}
    assert shapes == expected


@pytest.mark.parametrize(
    "kind", [FaceNetwork, HandNetwork, FaceDetectorNetwork, PalmDetectorNetwork]
)
def test_a_wide_network_grows_from_a_narrow_one(
    kind: type[FaceNetwork | HandNetwork | DetectorNetwork],
) -> None:
    """It answers alike at first, and every weight of it can learn."""
    torch.manual_seed(0)
    narrow, wide = kind("lite"), kind("full")
    pictures = torch.rand(2, 3, narrow.input_size, narrow.input_size)
    for _ in range(2):
        narrow(pictures)  # batch norms learn means other than they start with
    wide.grow_from(narrow)
    with torch.no_grad():
        expected, found = narrow.eval()(pictures), wide.eval()(pictures)
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, atol=1e-6, rtol=1e-5)
    assert next(iter(expected.values())).std(dim=0).max() > 0
    optimizer = torch.optim.SGD(wide.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        sum(values.square().mean() for values in wide.train()(pictures).values()).backward()
        optimizer.step()
    for name, weights in wide.named_parameters():
        assert weights.grad is not None, name
        assert weights.grad.abs().max() > 0, name
    with pytest.raises(ValueError, match="narrower"):
        kind("lite").grow_from(kind("full"))


def test_an_untrained_head_answers_with_the_mean_shape() -> None:
    rng = np.random.default_rng(0)
    mean = torch.from_numpy(rng.normal(size=(21, 3)).astype(np.float32))
    head = ShapeHead(10, coefficients=4, keypoints=21)
    components = torch.from_numpy(rng.normal(size=(9, 21, 3)).astype(np.float32))
    head.set_shape_model(mean, components)
    assert torch.equal(head(torch.zeros(1, 10))[0], mean.flatten())
    # A coefficient of one moves the shape by its component; those beyond the head's are left out.
    moved = head.basis(torch.eye(4)) - mean.flatten()
    torch.testing.assert_close(moved, components[:4].flatten(1), atol=1e-6, rtol=1e-5)


def test_fewer_components_than_coefficients() -> None:
    head = ShapeHead(10, coefficients=4, keypoints=5)
    head.set_shape_model(torch.zeros(5, 3), torch.zeros(0, 5, 3))
    assert head.basis.weight.abs().max() < 0.01


@pytest.mark.parametrize("name", ["face", "hand", "pose"])
def test_folding_batch_norms_changes_nothing(name: str) -> None:
    torch.manual_seed(1)
    network = NETWORKS[name]()
    size = network.input_size
    for _ in range(2):  # so that the running statistics are none of the initial ones
        network(torch.rand(4, 3, size, size))
    network.eval()
    folded = copy.deepcopy(network)
    fuse_batch_norms(folded)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    picture = torch.rand(1, 3, size, size)
    with torch.no_grad():
        before, after = network(picture), folded(picture)
    for key in before:
        torch.testing.assert_close(after[key], before[key], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["face", "hand", "pose"])
def test_only_relu(name: str) -> None:
    kinds = {type(layer).__name__ for layer in NETWORKS[name]().modules()}
    activations = {kind for kind in kinds if hasattr(nn.modules.activation, kind)}
    assert activations == {"ReLU"}


def test_a_hand_starts_as_the_likeliest_shape_for_what_its_maps_say() -> None:
    rng = np.random.default_rng(3)
    mean = 0.5 + 0.1 * torch.from_numpy(rng.normal(size=(21, 3)).astype(np.float32))
    components = 0.1 * torch.from_numpy(rng.normal(size=(5, 21, 3)).astype(np.float32))
    head = ShapeHead(10 + 42, coefficients=48, keypoints=21)
    head.set_shape_model(mean, components)
    head.read_places(mean, components, spread=4.0, noise=1e-3)
    wanted = torch.from_numpy(rng.normal(size=5).astype(np.float32))
    shape = mean + torch.einsum("k,kna->na", wanted, components)
    places = 4.0 * (shape[:, :2] - 0.5).T.flatten()
    with torch.no_grad():
        found = head(torch.cat([torch.zeros(10), places])[None]).reshape(21, 3)
    torch.testing.assert_close(found, shape, atol=2e-3, rtol=0)  # z, too: it hangs together


def test_places_are_the_means_of_the_maps() -> None:
    network = HandNetwork().eval()
    cells = network.input_size // 8
    maps = torch.full((1, 21, cells, cells), -20.0)
    maps[0, :, 3, 7] = 0.0
    x, y = network._places(maps)[0].reshape(2, 21)[:, 0].tolist()
    assert (x / SPREAD + 0.5) * cells == pytest.approx(7.5, abs=1e-3)
    assert (y / SPREAD + 0.5) * cells == pytest.approx(3.5, abs=1e-3)
    cold = network._places(torch.full((1, 21, cells, cells), -300.0))
    assert torch.isfinite(cold).all(), "nothing anywhere is no division by nothing"
