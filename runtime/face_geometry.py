"""What MediaPipe's face landmarker wants beside its models: the canonical face, as a protobuf.

Its `.task` files hold it as `geometry_pipeline_metadata_landmarks.binarypb`; from it the Tasks
library reckons a head's transformation matrix. Message and field numbers are those of
GeometryPipelineMetadata and Mesh3d (tasks/cc/vision/face_geometry/proto).
"""

from __future__ import annotations

import struct

import numpy as np

from runtime.head_pose import LANDMARK_WEIGHTS
from runtime.topology import canonical_face

GEOMETRY_FILE = "geometry_pipeline_metadata_landmarks.binarypb"
_MESH_POINTS = 468
_VARINT, _BYTES, _FLOAT = 0, 2, 5  # wire types
_CANONICAL_MESH, _BASIS, _INPUT_SOURCE = 1, 2, 3
_VERTICES, _INDICES = 3, 4
_FACE_LANDMARK_PIPELINE = 1


def geometry_bytes() -> bytes:
    """The message: the mesh's 468 points in centimetres with texture coordinates, its triangles,
    and the points that a head is laid by with their weights.

    The texture coordinates are the face seen from the front: they matter only to who paints it.
    """
    face = canonical_face()
    xyz = 100 * face.vertices_m[:_MESH_POINTS]
    low, high = xyz[:, :2].min(axis=0), xyz[:, :2].max(axis=0)
    uv = (xyz[:, :2] - low) / (high - low) * (1, -1) + (0, 1)
    vertices = np.hstack([xyz, uv]).astype("<f4").tobytes()
    indices = b"".join(_varint(int(index)) for index in face.triangles.ravel())
    mesh = _sized(_VERTICES, vertices) + _sized(_INDICES, indices)
    basis = b"".join(
        _sized(_BASIS, _number(1, index) + bytes([2 << 3 | _FLOAT]) + struct.pack("<f", weight))
        for index, weight in sorted(LANDMARK_WEIGHTS.items())
    )
    return _sized(_CANONICAL_MESH, mesh) + basis + _number(_INPUT_SOURCE, _FACE_LANDMARK_PIPELINE)


def _number(field: int, value: int) -> bytes:
    return bytes([field << 3 | _VARINT]) + _varint(value)


def _sized(field: int, content: bytes) -> bytes:
    return bytes([field << 3 | _BYTES]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    groups = []
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])
