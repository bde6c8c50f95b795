"""How well a model's boxes fit the true ones in space: Objectron's table for one's own data.

A model says where a box's nine keypoints are in the picture. They are lifted (EPnP, then made
right-angled) with the picture's own camera. One picture leaves the scale open: where a label tells
the plane that its box stands on, the box is stood on that plane; else the true distance gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bootstrap.box_overlap import Boxes, box_iou
from bootstrap.cuboid_metrics import (
    SYMMETRIC,
    BoxErrors,
    box_errors,
    precision_at_iou,
    scaled_to_truth,
    share_within,
    symmetric_iou,
)
from bootstrap.metrics import RESAMPLES, Estimate, bootstrap_mean
from bootstrap.subjects import Subject
from runtime.box_refinement import right_angled, standing
from runtime.camera import Camera
from runtime.cuboid import Cuboid, lift_cuboid
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]

METRIC = "box error in space, % not shared (100 x (1 - IoU), missed boxes 100)"
_PERCENT = 100.0


@dataclass(frozen=True)
class MeasuredBoxes:
    """Found boxes beside the true ones.

    Attributes:
        errors: of each subject; NaN where there is no box.
        found: (S,) whether the keypoints make a box.
        on_plane: boxes that were stood on their plane.
        shape_iou: (S,) overlap up to scale: with each box as far away as the true one.
    """

    errors: BoxErrors
    found: NDArray[np.bool_]
    on_plane: int
    shape_iou: Array

    @property
    def percent(self) -> Array:
        """(S,) 100 x (1 - IoU); 100 for a box that wasn't found."""
        return np.asarray(_PERCENT * (1 - np.where(self.found, self.errors.iou, 0.0)))


def with_boxes(subjects: Sequence[Subject]) -> list[Subject]:
    """The subjects whose labels hold a box and whose picture's camera is known.

    Raises:
        ViewfinderError: there are none.
    """
    kept = [s for s in subjects if s.label.cuboid is not None and _camera(s) is not None]
    if not kept:
        raise ViewfinderError(
            "no label holds a box in space with the picture's camera",
            file=subjects[0].ds.root,
            field="cuboid, camera",
            hint="viewfinder session propagate and viewfinder render session write both",
        )
    return kept


def measure_boxes(subjects: Sequence[Subject], predicted_px: Array) -> MeasuredBoxes:
    """Lift what was predicted and compare it with the labels.

    Args:
        subjects: by `with_boxes`.
        predicted_px: (S, 9, 2), NaN for a subject that wasn't found.
    """
    truth = Boxes.checked(
        [s.label.cuboid["rotation"] for s in subjects if s.label.cuboid],
        [s.label.cuboid["translation_m"] for s in subjects if s.label.cuboid],
        [s.label.cuboid["size_m"] for s in subjects if s.label.cuboid],
    )
    cameras = [camera for s in subjects if (camera := _camera(s)) is not None]
    lifted = [_lifted(px, camera) for px, camera in zip(predicted_px, cameras)]
    found = np.array([one is not None for one in lifted])
    stood = [_on_plane(*one) for one in zip(lifted, predicted_px, cameras, subjects)]
    on_plane = np.array([one is not None for one in stood])
    errors = {name: np.full(len(subjects), np.nan) for name in BoxErrors.__dataclass_fields__}
    shape_iou = np.full(len(subjects), np.nan)
    if found.any():
        scaled = scaled_to_truth(_boxes([one for one in lifted if one]), truth[found])
        final = _boxes([one or other for one, other in zip(stood, lifted) if other])
        known = on_plane[found][:, None]
        final = Boxes(
            np.where(known[..., None], final.rotations, scaled.rotations),
            np.where(known, final.centres_m, scaled.centres_m),
            np.where(known, final.sizes_m, scaled.sizes_m),
        )
        turning = np.array([_category(s) in SYMMETRIC for s in subjects])[found]
        kept = [camera for camera, there in zip(cameras, found) if there]
        half = np.array([_symmetry(s) == "half" for s in subjects])[found]
        result = box_errors(final, truth[found], kept, turning, half)
        for name, values in errors.items():
            values[found] = getattr(result, name)
        shape_iou[found] = _best_iou(scaled, truth[found], turning)
    return MeasuredBoxes(BoxErrors(**errors), found, int(on_plane.sum()), shape_iou)


def _boxes(cuboids: Sequence[Cuboid]) -> Boxes:
    return Boxes(
        np.stack([one.rotation for one in cuboids]),
        np.stack([one.translation_m for one in cuboids]),
        np.stack([one.size_m for one in cuboids]),
    )


def _best_iou(boxes: Boxes, truth: Boxes, turning: NDArray[np.bool_]) -> Array:
    iou = box_iou(boxes, truth)
    if turning.any():
        iou[turning] = symmetric_iou(boxes[turning], truth[turning])
    return iou


def box_details(
    measured: MeasuredBoxes,
    subjects: Sequence[Subject],
    scores: Array,
    extra_scores: Sequence[float],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Everything but the main figure: average precision, and the other measures over found boxes.

    Args:
        measured: by `measure_boxes`.
        subjects: the same.
        scores: (S,) of the found subjects.
        extra_scores: of found subjects that no true one matches.
        rng: draws the intervals.
    """
    errors, found = measured.errors, measured.found
    pictures = [subject.picture for subject in subjects]

    def over(values: Array) -> dict[str, object]:
        return bootstrap_mean(values, pictures, rng, RESAMPLES).to_json()

    detections = np.concatenate([scores[found], np.array(extra_scores, dtype=np.float64)])
    nobodys = np.zeros(len(extra_scores))

    def precision(iou: Array) -> dict[str, float]:
        at = precision_at_iou(detections, np.concatenate([iou[found], nobodys]), len(subjects))
        return {f"{threshold:g}": round(value, 4) for threshold, value in at.items()}

    return {
        "average_precision": precision(errors.iou),
        "average_precision_up_to_scale": precision(measured.shape_iou),
        "iou": over(errors.iou),
        "pixel_px": over(errors.pixel_px),
        "azimuth_deg": over(np.rad2deg(errors.azimuth_rad)),
        "elevation_deg": over(np.rad2deg(errors.elevation_rad)),
        "add_m": over(errors.add_m),
        "adds_m": over(errors.adds_m),
        "add_within_a_tenth": round(share_within(errors.add_m, errors.diagonal_m), 4),
        "scaled_by_plane": measured.on_plane,
        "scaled_by_truth": int(found.sum()) - measured.on_plane,
        "symmetric": sum(_category(s) in SYMMETRIC for s in subjects),
    }


def categories(subjects: Sequence[Subject]) -> list[str]:
    """(S,) the category of each; "object" where the label names none."""
    return [_category(subject) or "object" for subject in subjects]


def by_group(
    percent: Array, groups: Sequence[str | None], pictures: Sequence[str], rng: np.random.Generator
) -> dict[str, Estimate]:
    """Group -> estimate of the main figure."""
    of = np.array(groups, dtype=object)
    names = sorted({name for name in groups if name is not None})
    return {n: bootstrap_mean(np.where(of == n, percent, np.nan), pictures, rng) for n in names}


def _camera(subject: Subject) -> Camera | None:
    return subject.ds.camera(subject.label.sample_id)


def _lifted(px: Array, camera: Camera) -> Cuboid | None:
    box = lift_cuboid(px, camera) if np.isfinite(px).all() else None
    return None if box is None else right_angled(box, px, camera)


def _category(subject: Subject) -> str:
    return str(subject.label.attributes.get("category", ""))


def _symmetry(subject: Subject) -> str:
    return str(subject.label.attributes.get("symmetry", "none"))


def _on_plane(box: Cuboid | None, px: Array, camera: Camera, subject: Subject) -> Cuboid | None:
    plane = subject.label.attributes.get("plane")
    if box is None or not isinstance(plane, dict):
        return None
    return standing(box, px, camera, plane["normal"], float(plane["distance_m"]))
