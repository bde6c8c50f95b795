"""The networks that Viewfinder trains, one file each."""

from __future__ import annotations

from bootstrap.networks.blocks import ShapeHead, fuse_batch_norms, multiply_accumulates
from bootstrap.networks.box import BoxNetwork
from bootstrap.networks.detector import DetectorNetwork, FaceDetectorNetwork, PalmDetectorNetwork
from bootstrap.networks.face import FaceNetwork
from bootstrap.networks.hand import HandNetwork
from bootstrap.networks.iris import IrisNetwork
from bootstrap.networks.pose import PoseNetwork

LandmarkNetwork = FaceNetwork | HandNetwork | PoseNetwork
Network = LandmarkNetwork | DetectorNetwork | BoxNetwork | IrisNetwork

LANDMARK_NETWORKS: dict[str, type[FaceNetwork] | type[HandNetwork] | type[PoseNetwork]] = {
    network.name: network for network in (FaceNetwork, HandNetwork, PoseNetwork)
}
DETECTOR_NETWORKS: dict[str, type[DetectorNetwork]] = {
    network.name: network for network in (FaceDetectorNetwork, PalmDetectorNetwork)
}
SIZED_NETWORKS = {**LANDMARK_NETWORKS, **DETECTOR_NETWORKS}
"""Those that come as "lite" and as "full"."""
NETWORKS: dict[
    str,
    type[FaceNetwork]
    | type[HandNetwork]
    | type[PoseNetwork]
    | type[DetectorNetwork]
    | type[BoxNetwork]
    | type[IrisNetwork],
] = {
    **LANDMARK_NETWORKS,
    **DETECTOR_NETWORKS,
    BoxNetwork.name: BoxNetwork,
    IrisNetwork.name: IrisNetwork,
}

__all__ = [
    "DETECTOR_NETWORKS",
    "LANDMARK_NETWORKS",
    "NETWORKS",
    "SIZED_NETWORKS",
    "BoxNetwork",
    "DetectorNetwork",
    "FaceDetectorNetwork",
    "FaceNetwork",
    "HandNetwork",
    "IrisNetwork",
    "LandmarkNetwork",
    "Network",
    "PalmDetectorNetwork",
    "PoseNetwork",
    "ShapeHead",
    "fuse_batch_norms",
    "multiply_accumulates",
]
