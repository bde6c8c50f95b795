"""One step of Catmull-Clark subdivision as a sparse matrix.

What is built once for a mesh then smooths every pose of it by one product, and labels see the very
surface that is rendered. Rules: Catmull and Clark, "Recursively generated B-spline surfaces on
arbitrary topological meshes" (1978), with cubic B-spline curves along open borders.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, diags


@dataclass(frozen=True)
class Subdivision:
    """A mesh of quads or triangles refined once.

    Attributes:
        matrix: (V + E + F, V) sparse: new vertices are `matrix @ old`; the first V are the old
            ones moved, then one per edge, then one per face.
        faces: (K F, 4) new quads; the K out of an old face follow each other, corner by corner.
        edges: (E, 2) old vertices of each edge.
        corners: K, of an old face.
    """

    matrix: csr_matrix
    faces: NDArray[np.int32]
    edges: NDArray[np.int32]
    corners: int = 4

    @property
    def parent_face(self) -> NDArray[np.int32]:
        """(K F,) the old face that each new one is a part of."""
        return np.arange(len(self.faces), dtype=np.int32) // self.corners


def subdivide(faces: NDArray[np.integer], vertex_count: int) -> Subdivision:
    """The refinement of a mesh of quads or of triangles, open or closed.

    Args:
        faces: (F, K) vertex indices.
        vertex_count: V.
    """
    corners = np.asarray(faces)
    count, sides_each = corners.shape
    sides = np.stack([corners, np.roll(corners, -1, axis=1)], axis=-1).reshape(-1, 2)
    edges, side_edge, sharing = np.unique(
        np.sort(sides, axis=1), axis=0, return_inverse=True, return_counts=True
    )
    face_edge = side_edge.reshape(count, sides_each)
    each = np.repeat(np.arange(count), sides_each)
    face_points = _averages(each, corners.ravel(), (count, vertex_count))
    ends = _averages(np.repeat(np.arange(len(edges)), 2), edges.ravel(), (len(edges), vertex_count))
    beside = _averages(face_edge.ravel(), each, (len(edges), count))
    inner = sharing == 2
    # An inner edge's point is the mean of its ends and its two faces' points.
    edge_points = (
        diags(np.where(inner, 0.5, 1.0)) @ ends + diags(inner * 0.5) @ beside @ face_points
    )
    points = _vertex_points(edges, inner, corners, ends, face_points, vertex_count)
    matrix = csr_matrix(_stack(points, edge_points, face_points))
    first_edge, first_face = vertex_count, vertex_count + len(edges)
    quads = np.stack(
        [
            corners,
            first_edge + face_edge,
            np.broadcast_to(first_face + np.arange(count)[:, None], corners.shape),
            first_edge + np.roll(face_edge, 1, axis=1),
        ],
        axis=-1,
    )
    fine = quads.reshape(-1, 4).astype(np.int32)
    return Subdivision(matrix, fine, edges.astype(np.int32), sides_each)


def subdivide_corners(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Values at face corners (F, 4, K), as texture coordinates, for the finer faces (4 F, 4, K)."""
    following, before = np.roll(values, -1, axis=1), np.roll(values, 1, axis=1)
    middle = np.broadcast_to(values.mean(axis=1, keepdims=True), values.shape)
    fine = np.stack([values, (values + following) / 2, middle, (values + before) / 2], axis=2)
    return fine.reshape(-1, 4, values.shape[-1]).astype(np.float32)


def _vertex_points(
    edges: NDArray[np.integer],
    inner: NDArray[np.bool_],
    corners: NDArray[np.integer],
    ends: csr_matrix,
    face_points: csr_matrix,
    count: int,
) -> csr_matrix:
    """Where old vertices go: (mean of faces + 2 mean of edges + (n - 3) itself) / n inside."""
    each_edge = np.repeat(np.arange(len(edges)), 2)
    around_edges = _averages(edges.ravel(), each_edge, (count, len(edges))) @ ends
    each_face = np.repeat(np.arange(len(corners)), corners.shape[1])
    around_faces = _averages(corners.ravel(), each_face, (count, len(corners))) @ face_points
    valence = np.maximum(np.bincount(edges.ravel(), minlength=count), 1)
    on_border = np.zeros(count, dtype=bool)
    on_border[edges[~inner]] = True
    within = ~on_border / valence
    border_edges = edges[~inner]
    along = _averages(border_edges.ravel(), border_edges[:, ::-1].ravel(), (count, count))
    itself = np.where(on_border, 0.75, (valence - 3) / valence)
    return (
        diags(within) @ around_faces
        + diags(2 * within) @ around_edges
        + diags(itself)
        + diags(on_border * 0.25) @ along
    )


def _averages(
    rows: NDArray[np.integer], columns: NDArray[np.integer], shape: tuple[int, int]
) -> csr_matrix:
    """Each row the mean of its columns."""
    weight = 1.0 / np.bincount(rows, minlength=shape[0])[rows]
    return coo_matrix((weight, (rows, columns)), shape=shape).tocsr()


def _stack(*parts: csr_matrix) -> csr_matrix:
    from scipy.sparse import vstack

    return vstack(parts, format="csr")
