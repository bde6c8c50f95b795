"""The labelled subjects that a model is measured on, and the groups they fall into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bootstrap.body_alignment import BODY, with_alignment
from bootstrap.dataset import Dataset, Label
from bootstrap.dataset.card import flattened
from bootstrap.dataset.layers import best_layer
from bootstrap.dataset.schema import json_object
from bootstrap.face_shapes import completed_face
from bootstrap.metrics import normalising_length_px
from runtime.errors import ViewfinderError
from runtime.face_layouts import corresponds, in_layout
from runtime.roi import HAND_ROI_KEYPOINTS
from runtime.topology import Topology, topology

Crop = Literal["truth", "detector"]


@dataclass(frozen=True)
class Subject:
    """A true subject that is measured.

    Attributes:
        ds: its data set.
        label: its label.
        truth_px: (N, 2) true keypoints in the model's layout, NaN where they aren't known.
        length_px: what its errors are divided by.
        crop_px: (N, 2) all keypoints, those that aren't known filled in as the crop needs them, a
            body's with the two that align it; None where too few are known.
    """

    ds: Dataset
    label: Label
    truth_px: NDArray[np.float32]
    length_px: float
    crop_px: NDArray[np.float32] | None = None

    @property
    def picture(self) -> str:
        """Its picture, unique over data sets."""
        return f"{self.ds.root}/{self.label.sample_id}"


@dataclass(frozen=True)
class Settings:
    """What to measure on.

    Attributes:
        data: data set folders.
        layer: whose labels are the truth; None for the best of each data set.
        split: train, val, test or all; None for test where a data set has one, else all.
        by: "part", "joint", or what to group subjects by (see `group_values`).
        crop: "truth" cuts crops around the true keypoints and judges the landmark network alone;
            "detector" runs the whole pipeline.
        category: only objects of that category; "" for all.
    """

    data: tuple[Path, ...]
    layer: str | None = None
    split: str | None = None
    by: str = "part"
    crop: Crop = "truth"
    category: str = ""


def same_kind(shape: Topology, label: Label) -> bool:
    """Whether the labels' keypoints are known among the model's: the same layout, or one that
    `runtime.face_layouts` translates."""
    return bool(label.topology) and corresponds(label.topology, shape.id)


def find_subjects(settings: Settings, shape: Topology) -> tuple[list[Subject], dict[str, Any]]:
    """The true subjects of the chosen data, sorted as they are stored.

    Raises:
        ViewfinderError: a data set or layer that can't be read, or nothing to measure on.
    """
    subjects: list[Subject] = []
    skipped = 0
    layers, splits = {}, {}
    for folder in settings.data:
        ds = Dataset.open(folder)
        layer = settings.layer or best_layer(ds, as_truth=True)
        if layer is None:
            raise ViewfinderError(
                "the data set has no labels that count as true",
                file=folder,
                found=", ".join(ds.layers()) or "no layer",
                hint="name a layer with --layer to measure against it all the same",
            )
        samples = ds.samples()
        split = settings.split or ("test" if (samples["split"] == "test").any() else "all")
        chosen = samples if split == "all" else samples[samples["split"] == split]
        ids = set(chosen["sample_id"])
        layers[str(folder)], splits[str(folder)] = layer, split
        for label in ds.labels(layer):
            if settings.category not in ("", label.attributes.get("category")):
                continue
            if label.sample_id in ids and same_kind(shape, label):
                subject = _subject(ds, label, shape, settings.crop)
                skipped += subject is None
                subjects += [subject] if subject else []
    if not subjects:
        raise ViewfinderError(
            f"nothing to measure on: no {shape.id} labels in this split",
            file=settings.data[0],
            field="split",
            found=", ".join(sorted(set(splits.values()))),
            hint="choose another --split or --layer",
        )
    return subjects, {"layer": layers, "split": splits, "crop": settings.crop, "skipped": skipped}


def group_values(subjects: Sequence[Subject], by: str) -> list[object]:
    """What each subject has for an attribute.

    `size` is the longer side of its keypoints' box in pixels, `side` its handedness, `split`,
    `tag` and everything in its label's and sample's attributes go by name: the full dotted name,
    or its last part, with or without a unit ("yaw" finds "pose.yaw_rad", given in degrees).

    Raises:
        ViewfinderError: no subject has such an attribute.
    """
    values = [_group_value(subject, by) for subject in subjects]
    if all(value is None for value in values):
        names = sorted({name for subject in subjects for name in _attributes(subject)})
        raise ViewfinderError(
            "no subject has this attribute",
            field=f"--by {by}",
            expected="part, size, handedness, gesture, split, " + ", ".join(names[:30]),
        )
    return values


def _group_value(subject: Subject, by: str) -> object:
    label = subject.label
    if by == "size":
        return float(np.ptp(subject.truth_px, axis=0).max())
    if by in ("handedness", "gesture", "annotator"):
        return getattr(label, by)
    if by == "split":
        return str(subject.ds.row(label.sample_id)["split"])
    if by == "data":
        return subject.ds.info.name
    found = _attributes(subject)
    for name, value in found.items():
        for unit in ("", "_rad", "_deg", "_m"):
            if name == by + unit or name.endswith(f".{by}{unit}") or name.endswith(f"_{by}{unit}"):
                return _in_degrees(value) if unit == "_rad" else value
    return None


def _attributes(subject: Subject) -> dict[str, Any]:
    stored = json_object(subject.ds.row(subject.label.sample_id)["attributes"])
    return flattened(stored) | flattened(subject.label.attributes)


def _in_degrees(value: object) -> object:
    return float(np.degrees(value)) if isinstance(value, int | float) else value


def _subject(ds: Dataset, label: Label, shape: Topology, crop: Crop) -> Subject | None:
    """The subject, or None when it can't be measured: nothing to divide by, or, where crops come
    from the truth, too few keypoints to cut one around."""
    if label.keypoints_px is None:
        return None
    known = np.ones(len(label.keypoints_px), bool)
    if label.visibility is not None:
        known = label.visibility > 0
    if label.topology == BODY:  # its feet may be a metre below the picture
        row = ds.row(label.sample_id)
        size = (row["width"], row["height"])
        known &= ((label.keypoints_px >= 0) & (label.keypoints_px <= size)).all(axis=1)
    points = np.where(known[:, None], label.keypoints_px, np.nan)
    own = topology(label.topology)
    camera = ds.camera(label.sample_id)
    length = normalising_length_px(own, points, label.keypoints_camera_m, camera)
    if not (length > 0 and np.isfinite(length)):
        return None
    truth = in_layout(points, own.id, shape.id).astype(np.float32)
    around = _all_keypoints(truth, shape)
    if label.topology == BODY:
        aligned = with_alignment(label).keypoints_px
        around = aligned if aligned is not None and np.isfinite(aligned[-2:]).all() else None
    if around is None and crop == "truth":
        return None
    return Subject(ds, label, truth, length, around)


def _all_keypoints(truth_px: NDArray[np.float32], shape: Topology) -> NDArray[np.float32] | None:
    """Truth with which a crop can be cut: a face is completed, a hand needs all its crop asks."""
    known = np.isfinite(truth_px).all(axis=1)
    if known.all():
        return truth_px
    if shape.name.startswith("face"):
        whole = completed_face(truth_px)
        return None if whole is None else whole.astype(np.float32)
    if shape.name == "hand21" and known[list(HAND_ROI_KEYPOINTS)].all():
        return truth_px
    return None
