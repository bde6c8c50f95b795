"""What may learn in benchmarks/active_loop.py, and the learner that needs no steps.

It learns from a data set's subjects through training's own crops, and answers as a landmark network
does; `benchmarks.active_network` has one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from bootstrap.queueing import Landmarks
from bootstrap.training.ahead import EXAMPLES, chance
from bootstrap.training.batches import Pictures
from bootstrap.training.crops import training_example
from bootstrap.training.subjects import Subject, TrainingData
from runtime.roi import Roi, image_from_crop, warp_crop
from runtime.solutions.landmarks import CropLandmarks
from runtime.topology import topology

FACE = topology("face478@1")
SIDE = 64
Floats = NDArray[np.float32]
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Model:
    """What was learnt: landmarks of any crop, and a name for the ledger."""

    landmarks: Landmarks
    sha256: str


class Learner(Protocol):
    """Learns from all that is labelled so far, going on from what it knew."""

    def taught(self, data: TrainingData) -> Model:
        """The next model; `data.train` is all there is."""


def in_picture(points: Floats, presence: float, image: Image, roi: Roi) -> CropLandmarks:
    """(478, 3) crop-normalised keypoints as a landmark model gives them."""
    height, width = image.shape[:2]
    found = image_from_crop(roi, points) / (width, height, width)
    return CropLandmarks(presence, found.astype(np.float32), None, None)


_GRADIENTS = cv2.HOGDescriptor((SIDE, SIDE), (16, 16), (8, 8), (8, 8), 9)
_FEATURES = 1764
STIFFNESS = 0.05
"""Of the regression, in variances of what a crop shows."""
REACH = 0.5
"""Width of the kernel in median squared distances of crops. Chosen on deals 0 to 3 of
benchmarks/active_loop.py, by their held-out faces, with and without labelled photographs, after
orders had been compared at 1: figures on these deals aren't independent of it. Twice as wide, what
is learnt of turned faces spoils near-frontal ones."""


@dataclass(frozen=True)
class KernelLandmarks:
    """Keypoints as smooth functions of a crop's gradients: weighted likenesses to known crops."""

    known: Floats
    weights: Floats
    mean: Floats
    width: float

    def run(self, image: Image, roi: Roi, *, min_presence: float = 0.5) -> CropLandmarks | None:
        """Landmarks in that region; it takes a face to be in any."""
        apart = ((self.known - gradients(warp_crop(image, roi, SIDE, SIDE))) ** 2).sum(axis=1)
        points = np.zeros((FACE.size, 3), dtype=np.float32)
        likeness = np.exp(-apart / self.width)
        points[:, :2] = (likeness @ self.weights + self.mean).reshape(-1, 2)
        return in_picture(points, 1.0, image, roi)


@dataclass
class KernelLearner:
    """Kernel ridge regression from histograms of gradients (Dalal and Triggs 2005) to keypoints.

    Solved whole from the labels each time: how good it is depends on them alone, not on steps.

    Attributes:
        seed: of the crops.
        crops: of each subject.
    """

    seed: int
    crops: int = 5
    _seen: dict[tuple[int, str], tuple[Floats, Floats]] = field(default_factory=dict)

    def taught(self, data: TrainingData) -> Model:
        """See `Learner`."""
        pictures = Pictures(data.datasets, 2**28)
        rows = [self._rows(subject, pictures) for subject in data.train]
        known = np.concatenate([one for one, _ in rows])
        wanted = np.concatenate([other for _, other in rows])
        trust = np.repeat([s.weight.max() for s in data.train], [len(one) for one, _ in rows])
        norm = (known**2).sum(axis=1)
        apart = np.maximum(norm[:, None] + norm[None] - 2 * known @ known.T, 0).astype(np.float64)
        width = REACH * float(np.median(apart))
        mean = np.average(wanted, axis=0, weights=trust)
        likeness = np.exp(-apart / width) + np.diag(STIFFNESS / trust)
        weights = np.linalg.solve(likeness, wanted - mean)
        model = KernelLandmarks(known, weights.astype(np.float32), mean.astype(np.float32), width)
        return Model(model, hashlib.sha256(model.weights.tobytes()).hexdigest())

    def _rows(self, subject: Subject, pictures: Pictures) -> tuple[Floats, Floats]:
        """(C, 1764) and (C, 956) of a subject's crops, the same each time it is asked for."""
        if subject.source not in self._seen:
            key = int(hashlib.sha256(subject.source[1].encode()).hexdigest()[:8], 16)
            made = [
                training_example(*pictures.of(subject), FACE, SIDE, chance(self.seed, EXAMPLES, i))
                for i in range(key, key + self.crops)
            ]
            made = [one for one in made if one.presence]
            self._seen[subject.source] = (
                np.array([gradients(x.image) for x in made], np.float32).reshape(-1, _FEATURES),
                np.array([x.landmarks[:, :2].ravel() for x in made], np.float32).reshape(
                    -1, 2 * FACE.size
                ),
            )
        return self._seen[subject.source]


def gradients(crop: Image) -> Floats:
    """(1764,) histograms of a crop's gradients."""
    found = _GRADIENTS.compute(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY))
    return np.asarray(found, dtype=np.float32).ravel()
