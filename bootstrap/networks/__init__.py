"""The networks that Viewfinder trains, one file each."""

from __future__ import annotations

from bootstrap.networks.blocks import ShapeHead, fuse_batch_norms, multiply_accumulates
from bootstrap.networks.face import FaceNetwork
from bootstrap.networks.hand import HandNetwork

Network = FaceNetwork | HandNetwork

NETWORKS: dict[str, type[FaceNetwork] | type[HandNetwork]] = {
    network.name: network for network in (FaceNetwork, HandNetwork)
}

__all__ = [
    "NETWORKS",
    "FaceNetwork",
    "HandNetwork",
    "Network",
    "ShapeHead",
    "fuse_batch_norms",
    "multiply_accumulates",
]
