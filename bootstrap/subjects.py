"""The labelled subjects that a model is measured on, and the groups they fall into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import Dataset, Label
from bootstrap.dataset.card import flattened
from bootstrap.dataset.layers import best_layer
from bootstrap.dataset.schema import json_object
from bootstrap.metrics import normalising_length_px
from runtime.errors import ViewfinderError
from runtime.topology import Topology, topology

Crop = Literal["truth", "detector"]


@dataclass(frozen=True)
class Subject:
    """A true subject that is measured.

    Attributes:
        ds: its data set.
        label: its label.
        truth_px: (N, 2) true keypoints, all known.
        length_px: what its errors are divided by.
    """

    ds: Dataset
    label: Label
    truth_px: NDArray[np.float32]
    length_px: float

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
        by: "part", or what to group subjects by (see `group_values`).
        crop: "truth" cuts crops around the true keypoints and judges the landmark network alone;
            "detector" runs the whole pipeline.
    """

    data: tuple[Path, ...]
    layer: str | None = None
    split: str | None = None
    by: str = "part"
    crop: Crop = "truth"


def same_kind(shape: Topology, label: Label) -> bool:
    """Whether labels and model mean the same keypoints; face468 begins face478."""
    return bool(label.topology) and topology(label.topology).name[:4] == shape.name[:4]


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
            if label.sample_id in ids and same_kind(shape, label):
                subject = _subject(ds, label)
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


def _subject(ds: Dataset, label: Label) -> Subject | None:
    """The subject, or None when there is no whole set of keypoints to cut a crop around."""
    if label.keypoints_px is None or not np.isfinite(label.keypoints_px).all():
        return None
    camera = ds.camera(label.sample_id)
    shape = topology(label.topology)
    length = normalising_length_px(shape, label.keypoints_px, label.keypoints_camera_m, camera)
    return (
        Subject(ds, label, label.keypoints_px, length)
        if length > 0 and np.isfinite(length)
        else None
    )
