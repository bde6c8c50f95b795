"""How faces vary: a mean of face478 and the directions in which people and expressions differ.

The shipped shapes were measured on the heads that `viewfinder render faces` draws (identities,
expressions, gazes; `python -m render.face_shapes` makes the file again). Pure NumPy.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.topology import topology

Array = NDArray[np.float64]
TOPOLOGY = "face478@1"
_FILE = "data/face478_shapes.npz"


@dataclass(frozen=True)
class FaceShapes:
    """Mean and modes in the canonical face's axes (x to the subject's left, y up, z outwards).

    Attributes:
        mean: (478, 3), centred; the irises are 1 apart.
        modes: (K, 478, 3), each as large as one standard deviation.
    """

    mean: Array
    modes: Array


@dataclass(frozen=True)
class FacePose:
    """Where a face stands in a picture, as a camera far away sees it.

    Attributes:
        picture_from_face: (2, 3) pixels for a unit of the face's axes; scaled rows of a rotation,
            y downward.
        middle_px: (2,) where the face's origin is.
    """

    picture_from_face: Array
    middle_px: Array

    def project(self, points: ArrayLike) -> Array:
        """(..., 2) px of (..., 3) points in the face's axes."""
        return np.asarray(points, dtype=np.float64) @ self.picture_from_face.T + self.middle_px


def fitted_shapes(shapes: ArrayLike, modes: int) -> FaceShapes:
    """Mean and principal modes of shapes, apart from where they stand and how large they are.

    Args:
        shapes: (S, 478, 3) in the canonical face's axes, any unit.
        modes: how many directions to keep.
    """
    points = np.array(shapes, dtype=np.float64)
    points -= points.mean(axis=1, keepdims=True)
    first, second = topology(TOPOLOGY).normaliser
    mean = points[0]
    for _ in range(3):
        aligned = np.stack([_aligned(shape, mean) for shape in points])
        mean = aligned.mean(axis=0)
        mean /= np.linalg.norm(mean[first] - mean[second])
    rest = np.stack([_aligned(shape, mean) for shape in points]) - mean
    _, size, rows = np.linalg.svd(rest.reshape(len(rest), -1), full_matrices=False)
    scaled = rows[:modes] * (size[:modes, None] / np.sqrt(len(rest)))
    return FaceShapes(mean, scaled.reshape(-1, *mean.shape))


def _aligned(shape: Array, target: Array) -> Array:
    """`shape`, centred, turned and scaled onto `target`, centred."""
    u, size, v = np.linalg.svd(shape.T @ target)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ v))])
    return np.asarray(shape @ (u * sign) @ v * ((size * sign).sum() / (shape**2).sum()))


def encode_shapes(shapes: FaceShapes) -> bytes:
    """The file that `face_shapes` reads: modes in 16 bits."""
    largest = np.abs(shapes.modes).max(axis=(1, 2))
    steps = np.round(shapes.modes / largest[:, None, None] * 32767).astype(np.int16)
    file = io.BytesIO()
    np.savez_compressed(
        file,
        mean=shapes.mean.astype(np.float32),
        modes=steps,
        largest=largest.astype(np.float32),
    )
    return file.getvalue()


@cache
def face_shapes() -> FaceShapes:
    """The shapes that come with Viewfinder."""
    data = resources.files("bootstrap").joinpath(_FILE).read_bytes()
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        mean = stored["mean"].astype(np.float64)
        modes = stored["modes"] * (stored["largest"].astype(np.float64) / 32767)[:, None, None]
    mean.flags.writeable = modes.flags.writeable = False
    return FaceShapes(mean, modes)


def fitted_pose(keypoints_px: ArrayLike, known: ArrayLike | None = None) -> FacePose:
    """The pose in which the mean face lies nearest to keypoints of a picture.

    Args:
        keypoints_px: (478, 2); NaN where unknown.
        known: (478,) bool, which to use; all that are finite when None.

    Returns:
        The pose; of a picture with fewer than 4 known keypoints, an upright face of their size.
    """
    points = np.asarray(keypoints_px, dtype=np.float64)
    usable = np.isfinite(points).all(axis=1)
    if known is not None:
        usable &= np.asarray(known, dtype=bool)
    mean = face_shapes().mean
    upright = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    if usable.sum() < 4:
        middle = points[usable].mean(axis=0) if usable.any() else np.zeros(2)
        return FacePose(upright * 100.0, middle)
    shape = mean[usable]
    centre, middle = shape.mean(axis=0), points[usable].mean(axis=0)
    affine = np.linalg.lstsq(shape - centre, points[usable] - middle, rcond=None)[0].T
    rows = _nearest_scaled_rotation(affine)
    return FacePose(rows, middle - rows @ centre)


def completed_face(keypoints_px: ArrayLike) -> Array | None:
    """A face whose unknown keypoints lie where the mean face has them, for a crop around it.

    Args:
        keypoints_px: (478, 2) pixels, or (468, 2) without irises; NaN where unknown.

    Returns:
        The same, all known; None with fewer than 16 known keypoints.
    """
    points = np.asarray(keypoints_px, dtype=np.float64)
    known = np.isfinite(points).all(axis=1)
    if known.sum() < _ENOUGH:
        return None
    whole = np.full((len(face_shapes().mean), 2), np.nan)
    whole[: len(points)] = points
    guess = fitted_pose(whole).project(face_shapes().mean)
    return np.where(known[:, None], points, guess[: len(points)])


_ENOUGH = 16


def _nearest_scaled_rotation(affine: Array) -> Array:
    """The scaled two rows of a rotation nearest to a (2, 3) matrix."""
    u, size, v = np.linalg.svd(affine, full_matrices=False)
    return np.asarray(size.mean() * u @ v)
