"""One training example: the crop that the live runtime would see, and its labels in that crop."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from bootstrap import face_contours
from bootstrap.training.photometry import vary_photometry
from bootstrap.training.pieces import strewn
from bootstrap.training.subjects import Floats, Subject
from runtime.roi import Roi, crop_from_image, warp_crop
from runtime.topology import Topology

Image = NDArray[np.uint8]

NEGATIVE_SHARE = 0.12
"""Of the examples; presence is far easier to learn than keypoints."""
MARGIN = 2.2
"""Side of what is kept of a picture around a subject over its crop's: room for jitter and for
negatives beside the subject."""


@dataclass(frozen=True)
class Jitter:
    """How far a crop may lie from the labels': what a detector or the last frame would give.

    Attributes:
        shift: greatest move of the centre along either axis, in crop widths.
        scale: greatest change of size, as a factor either way.
        turn_rad: greatest turn.
        wide_share: share of crops that turn by up to `wide_turn_rad` instead.
    """

    shift: float
    scale: float
    turn_rad: float
    wide_share: float
    wide_turn_rad: float

    def applied(self, roi: Roi, rng: np.random.Generator) -> Roi:
        """A region moved, scaled and turned at random within these bounds."""
        u = rng.uniform(-1.0, 1.0, 4)
        turn = self.wide_turn_rad if rng.random() < self.wide_share else self.turn_rad
        factor = self.scale ** u[2]
        return Roi(
            roi.cx + u[0] * self.shift * roi.width,
            roi.cy + u[1] * self.shift * roi.height,
            roi.width * factor,
            roi.height * factor,
            roi.rotation_rad + u[3] * turn,
        )


TRAINING_JITTER = {
    "face478@1": Jitter(0.08, 1.2, math.radians(12), 0.15, math.radians(45)),
    "hand21@1": Jitter(0.14, 1.2, math.radians(30), 0.15, math.radians(90)),
    "pose35@1": Jitter(0.1, 1.25, math.radians(15), 0.15, math.radians(60)),
}
"""MediaPipe's detectors against its landmark models on 20 photographs: crops of faces differ by up
to 0.045 widths, a factor of 1.10 and 7 degrees, those of hands by 0.115, 1.10 and 30 degrees. Twice
the shift and scale leaves room for motion between frames; a few crops are turned widely. Of bodies
on 183 renders, crops from its landmark model lie within 0.03 widths, a factor of 1.1 and 5 degrees
of the labels' nine times in ten, those from its detector within 0.09, 1.2 and 11 degrees three
times in four."""
_FRAMING = Jitter(0.25, 2.0, math.pi, 0.0, 0.0)
"""How a detector in error may frame another kind of subject."""
_PART_SHARE, _SIDE_OF_PART = 0.3, (0.2, 0.45)
_SIDE_OF_LIMB = (0.06, 0.16)
"""Of the negatives: parts of a subject, their side over its crop's. Detectors find a face within a
face and a hand on a palm; neither is to be followed. Of a body a face or a knee is a part, but half
of it, which a picture may show alone, is a body."""
_STREWN_SHARE = 0.6
"""Of the negatives beside a subject: those with shapes of its skin, since what a detector takes for
one has its colours and edges, which walls and trees haven't."""
_APART = 0.9
_PLACE_OF_PART = Jitter(0.3, 1.0, math.radians(45), 0.0, 0.0)
VALIDATION_JITTER = {
    name: replace(jitter, shift=jitter.shift / 2, scale=jitter.scale**0.5, wide_share=0.0)
    for name, jitter in TRAINING_JITTER.items()
}


@dataclass(frozen=True)
class Example:
    """One crop with its labels, crop-normalised.

    Attributes:
        image: (S, S, 3) uint8 RGB.
        landmarks: (N, 3) x, y, z in crop widths; 0 where unknown.
        weight: (N,) of x and y.
        z_weight: (N,) of z; 0 without metric labels.
        normaliser: length that errors are divided by, in crop widths.
        presence: 1.0 with a subject, 0.0 without.
        world_m: (N, 3) metres, axes of the crop.
        world_weight: (N,).
        right: 1.0 the person's right hand, 0.0 the left.
        right_weight: 0.0 where handedness is unknown.
        drawn: (C, 2) points of a face's drawn lines in crop widths; 0 where unknown.
        drawn_weight: (C,).
    """

    image: Image
    landmarks: Floats
    weight: Floats
    z_weight: Floats
    normaliser: float
    presence: float
    world_m: Floats
    world_weight: Floats
    right: float
    right_weight: float
    drawn: Floats
    drawn_weight: Floats


def kept_part(image: Image, subject: Subject) -> tuple[Image, Subject]:
    """The picture around a subject, and the subject in it: what stays in memory."""
    height, width = image.shape[:2]
    half = subject.roi.width * MARGIN / 2
    if half <= 0:
        return image, subject
    x0, y0 = max(0, int(subject.roi.cx - half)), max(0, int(subject.roi.cy - half))
    x1 = min(width, math.ceil(subject.roi.cx + half))
    y1 = min(height, math.ceil(subject.roi.cy + half))
    if x1 - x0 < 2 or y1 - y0 < 2:
        return image, subject
    return np.ascontiguousarray(image[y0:y1, x0:x1]), subject.moved(x0, y0)


def training_example(
    image: Image, subject: Subject, topology: Topology, size: int, rng: np.random.Generator
) -> Example:
    """A crop as the subject might come: mirrored, jittered, in another light, or left out.

    Args:
        image: (H, W, 3) uint8 RGB around the subject.
        subject: in that picture.
        topology: of the network.
        size: of the crop's sides in pixels.
        rng: all chance comes from here.
    """
    if rng.random() < 0.5:
        # The picture is flipped, not the crop: the crop's half-pixel shift (runtime.roi) stays.
        subject = subject.mirrored(topology, image.shape[1])
        image = cv2.flip(image, 1)
    if not subject.topology_id or rng.random() < NEGATIVE_SHARE:
        return negative_example(image, subject, topology, size, rng)
    roi = jittered_roi(subject, topology, rng)
    crop = vary_photometry(warp_crop(image, roi, size, size), rng)
    return example_in_roi(crop, subject, roi, topology)


def jittered_roi(subject: Subject, topology: Topology, rng: np.random.Generator) -> Roi:
    """Where a training crop of a subject lies."""
    return TRAINING_JITTER[topology.id].applied(subject.roi, rng)


def validation_example(
    image: Image, subject: Subject, topology: Topology, size: int, rng: np.random.Generator
) -> Example:
    """A crop with a detector's jitter and no other change."""
    roi = VALIDATION_JITTER[topology.id].applied(subject.roi, rng)
    return example_in_roi(warp_crop(image, roi, size, size), subject, roi, topology)


def example_in_roi(crop: Image, subject: Subject, roi: Roi, topology: Topology) -> Example:
    """The labels of a subject in a crop of its picture."""
    count = topology.size
    landmarks = np.zeros((count, 3), dtype=np.float32)
    landmarks[:, :2] = crop_from_image(roi, subject.keypoints_px)
    landmarks[subject.weight == 0] = 0
    z_weight = np.zeros(count, dtype=np.float32)
    if subject.z_px is not None:
        landmarks[:, 2] = subject.z_px / roi.width
        z_weight = subject.weight
    drawn = subject.drawn_px
    if len(drawn):
        drawn = np.where(subject.drawn_weight[:, None] > 0, crop_from_image(roi, drawn), 0)
    world = np.zeros((count, 3), dtype=np.float32)
    if subject.world_m is not None:
        cos, sin = math.cos(roi.rotation_rad), math.sin(roi.rotation_rad)
        x, y, z = subject.world_m.T
        world = np.stack([cos * x + sin * y, cos * y - sin * x, z], axis=1).astype(np.float32)
    return Example(
        image=crop,
        landmarks=landmarks,
        weight=subject.weight,
        z_weight=z_weight,
        normaliser=subject.length_px / roi.width,
        presence=1.0,
        world_m=world,
        world_weight=np.full(count, float(subject.world_m is not None), dtype=np.float32),
        right=float(subject.handedness == "right"),
        right_weight=float(subject.handedness is not None),
        drawn=drawn.astype(np.float32),
        drawn_weight=subject.drawn_weight,
    )


def negative_example(
    image: Image, subject: Subject, topology: Topology, size: int, rng: np.random.Generator
) -> Example:
    """A crop without a subject, or with far too little of it to be called one."""
    crop = _crop_without(image, subject, topology, size, rng)
    count = topology.size
    drawn = len(face_contours.points()) if topology.name == "face478" else 0
    nothing = np.zeros(count, dtype=np.float32)
    points = np.zeros((count, 3), dtype=np.float32)
    return Example(
        image=vary_photometry(crop, rng),
        landmarks=points,
        weight=nothing,
        z_weight=nothing,
        normaliser=1.0,
        presence=0.0,
        world_m=points,
        world_weight=nothing,
        right=0.0,
        right_weight=0.0,
        drawn=np.zeros((drawn, 2), dtype=np.float32),
        drawn_weight=np.zeros(drawn, dtype=np.float32),
    )


def _crop_without(
    image: Image, subject: Subject, topology: Topology, size: int, rng: np.random.Generator
) -> Image:
    """Of another kind of subject; or a part of ours; or beside it, or where there's no room, its
    tiles in disorder, often with shapes strewn over them."""
    if not subject.topology_id and subject.roi.width > 0:
        framing = TRAINING_JITTER[topology.id] if subject.detected else _FRAMING
        return warp_crop(image, framing.applied(subject.roi, rng), size, size)
    if subject.topology_id and rng.random() < _PART_SHARE:
        part = _PLACE_OF_PART.applied(subject.roi, rng)
        sides = _SIDE_OF_LIMB if topology.name == "pose35" else _SIDE_OF_PART
        side = part.width * rng.uniform(*sides)
        return warp_crop(image, replace(part, width=side, height=side), size, size)
    crop = _beside(image, subject, topology, size, rng)
    return strewn(crop, image, subject, rng) if rng.random() < _STREWN_SHARE else crop


def _beside(
    image: Image, subject: Subject, topology: Topology, size: int, rng: np.random.Generator
) -> Image:
    height, width = image.shape[:2]
    for _ in range(0 if subject.crowded else 8):
        side = math.exp(rng.uniform(math.log(0.2), math.log(1.0))) * min(height, width)
        cx, cy = rng.uniform(0, width), rng.uniform(0, height)
        roi = Roi(cx, cy, side, side, rng.uniform(-math.pi, math.pi))
        if not subject.topology_id or _free_of(subject, roi):
            return warp_crop(image, roi, size, size)
    roi = jittered_roi(subject, topology, rng)
    return _shuffled_tiles(warp_crop(image, roi, size, size), rng)


def _free_of(subject: Subject, roi: Roi) -> bool:
    # With much more of the subject in it, the crop could rightly be called one.
    labelled = subject.keypoints_px[subject.weight > 0]
    inside = (np.abs(crop_from_image(roi, labelled) - 0.5) < 0.5).all(axis=1)
    return bool(inside.mean() < 0.1) and all(_apart(roi, other) for other in subject.others)


def _apart(a: Roi, b: Roi) -> bool:
    """Whether one shows little of what the other is of, however they are turned."""
    return max(abs(a.cx - b.cx), abs(a.cy - b.cy)) > _APART * (a.width + b.width) / 2


def _shuffled_tiles(crop: Image, rng: np.random.Generator) -> Image:
    tiles = 4
    side = crop.shape[0] // tiles
    shuffled = np.empty_like(crop)
    for place, tile in enumerate(rng.permutation(tiles * tiles)):
        y, x = divmod(place, tiles)
        v, u = divmod(int(tile), tiles)
        shuffled[y * side : (y + 1) * side, x * side : (x + 1) * side] = crop[
            v * side : (v + 1) * side, u * side : (u + 1) * side
        ]
    return shuffled
