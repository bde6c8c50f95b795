"""What a data set offers to a training: subjects, with everything their labels carry."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bootstrap import face_contours
from bootstrap.body_alignment import BODY, HIPS, aligned_topology, with_alignment
from bootstrap.dataset import Dataset, Label
from bootstrap.dataset.schema import json_object
from bootstrap.face_shapes import completed_face
from bootstrap.metrics import normalising_length_px
from bootstrap.training.layers import best_labels, source_of, splits_of
from bootstrap.training.symmetry import facing
from runtime.camera import Camera
from runtime.card import CardData
from runtime.errors import ViewfinderError
from runtime.roi import (
    Roi,
    body_roi,
    face_roi_from_landmarks,
    hand_roi_from_landmarks,
    roi_from_box,
)
from runtime.topology import Topology

Floats = NDArray[np.float32]

OCCLUDED_WEIGHT = 0.5
"""What a keypoint that can't be seen counts against one that can: its place is partly a guess."""
LEAST_SEEN, LEAST_CROP_PX = 0.19, 24
"""Share of its keypoints below which a subject is too hidden to be taught, and side of the crop
below which it is too small for its keypoints to be."""
_UNLABELLED = {"hand21@1": "unlabelled_hands", "face478@1": "unlabelled_faces"}
"""Attribute of a sample that counts subjects without a row."""
FALLBACK_SCALE = {"face478@1": 1.5, "hand21@1": 1.3, "cuboid9@1": 1.0, "pose35@1": 1.45}
"""Side of the crop over a labelled box, where keypoints don't say the crop themselves. The face's
is MediaPipe's; the hand's is what HAND_SCALE of the palm comes to over the box of a whole hand, the
body's the median of 292 renders."""

TYPICAL_LENGTH, MIN_LENGTH = 0.3, 0.15
"""Normalising length in crop widths: where its keypoints aren't labelled, and at least. Without
metric labels a face in profile has its eyes in one place, and dividing by their distance would
leave nothing but profiles to learn from."""


def _roi_around(points: Floats) -> Roi:
    low, high = points.min(axis=0), points.max(axis=0)
    (cx, cy), (width, height) = ((low + high) / 2).tolist(), (high - low).tolist()
    return Roi(cx, cy, width, height)


def _roi_of_body(points: Floats) -> Roi:
    return body_roi(points[-2:])


_ROI_FROM_KEYPOINTS: dict[str, Callable[[Floats], Roi]] = {
    "face478@1": face_roi_from_landmarks,
    "hand21@1": hand_roi_from_landmarks,
    "cuboid9@1": _roi_around,
    "pose35@1": _roi_of_body,
}


@dataclass(frozen=True, eq=False)
class Subject:
    """One labelled face or hand, or with `topology_id` "" a picture without any.

    Attributes:
        source: (data set number, sample id) of its picture.
        topology_id: as "face478@1"; "pose35@1" of a body, with the points that align it
            (bootstrap.body_alignment).
        keypoints_px: (N, 2) pixels; 0 where `weight` is 0.
        weight: (N,) what each keypoint counts, 0 where it isn't labelled.
        z_px: (N,) depth in the picture's pixel scale from the subject's origin, away from the
            camera; None where labels have no depth.
        world_m: (N, 3) metres from the subject's mean, camera axes; None as z_px.
        handedness: "left", "right" (the person's own) or None.
        roi: the crop that the labels call for.
        length_px: what errors are divided by (bootstrap.metrics), pixels.
        drawn_px: (155, 2) points of a face's drawn lines (bootstrap.face_contours), pixels; 0 where
            `drawn_weight` is 0. Empty for others than faces.
        drawn_weight: (155,) what each counts.
        seen: share of the labelled keypoints that the picture shows.
        visible: (N,) 1 for each that it shows, else 0.
        others: crops of the other such subjects in the picture.
        crowded: the picture shows more of them, and no label says where.
        detected: a detector took it for a subject; `roi` is the crop that the runtime would make.
    """

    source: tuple[int, str]
    topology_id: str
    keypoints_px: Floats
    weight: Floats
    z_px: Floats | None
    world_m: Floats | None
    handedness: str | None
    roi: Roi
    length_px: float
    drawn_px: Floats = field(default_factory=lambda: np.zeros((0, 2), dtype=np.float32))
    drawn_weight: Floats = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    seen: float = 1.0
    visible: Floats = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    others: tuple[Roi, ...] = ()
    crowded: bool = False
    detected: bool = False

    def mirrored(self, topology: Topology, width: float) -> Subject:
        """The same subject in the horizontally flipped picture of that width; its own inverse."""

        def flipped(roi: Roi) -> Roi:
            return replace(roi, cx=width - roi.cx, rotation_rad=-roi.rotation_rad)

        if not self.topology_id:
            return replace(self, roi=flipped(self.roi))
        order = topology.mirror_order
        points = topology.mirrored(self.keypoints_px, width).astype(np.float32)
        weight = self.weight[order]
        world = None
        if self.world_m is not None:
            world = topology.mirrored(self.world_m, 0.0).astype(np.float32)
        swapped = {"left": "right", "right": "left", None: None}
        drawn_px, drawn_weight = self.drawn_px, self.drawn_weight
        if len(drawn_px):
            drawn_px = drawn_px[face_contours.mirror()] * (-1, 1) + (width, 0)
            drawn_weight = drawn_weight[face_contours.mirror()]
        return replace(
            self,
            drawn_px=np.where(drawn_weight[:, None] > 0, drawn_px, 0).astype(np.float32),
            drawn_weight=drawn_weight,
            keypoints_px=np.where(weight[:, None] > 0, points, 0).astype(np.float32),
            weight=weight,
            z_px=None if self.z_px is None else self.z_px[order],
            world_m=world,
            handedness=swapped[self.handedness],
            roi=flipped(self.roi),
            visible=self.visible[order] if len(self.visible) else self.visible,
            others=tuple(map(flipped, self.others)),
        )

    def moved(self, x: float, y: float) -> Subject:
        """The same subject after the picture was cut at (x, y)."""
        start = np.array([x, y], dtype=np.float32)

        def shifted_roi(roi: Roi) -> Roi:
            return replace(roi, cx=roi.cx - x, cy=roi.cy - y)

        drawn_px = np.where(self.drawn_weight[:, None] > 0, self.drawn_px - start, 0)
        shifted = np.where(self.weight[:, None] > 0, self.keypoints_px - start, 0)
        return replace(
            self,
            keypoints_px=shifted.astype(np.float32),
            drawn_px=drawn_px.astype(np.float32),
            roi=shifted_roi(self.roi),
            others=tuple(map(shifted_roi, self.others)),
        )


@dataclass(frozen=True)
class TrainingData:
    """The subjects of some data sets, split.

    Attributes:
        datasets: where pictures are read from.
        train, val: subjects; a data set without a "val" split lends every eighth sample.
        negatives: pictures of the training split without a subject.
        sources: what each data set gave, for the card.
        left_out: subjects whose labels don't suffice for a crop.
        incomplete: pictures (data set number, sample id) of such subjects.
    """

    datasets: tuple[Dataset, ...]
    train: tuple[Subject, ...]
    val: tuple[Subject, ...]
    negatives: tuple[Subject, ...]
    sources: tuple[CardData, ...]
    left_out: int
    incomplete: frozenset[tuple[int, str]] = frozenset()

    @property
    def digest(self) -> str:
        """SHA-256 over pictures and labels: equal for equal data, wherever it lies."""
        return hashlib.sha256(" ".join(s.sha256 for s in self.sources).encode()).hexdigest()


def with_keypoints_to_see(data: TrainingData) -> TrainingData:
    """The data without subjects that only a detector can learn from: a hand of a whole body may be
    of ten pixels, or behind its back."""

    def sound(subjects: tuple[Subject, ...]) -> tuple[Subject, ...]:
        return tuple(
            s
            for s in subjects
            if not s.topology_id or (s.seen >= LEAST_SEEN and s.roi.width >= LEAST_CROP_PX)
        )

    return replace(data, train=sound(data.train), val=sound(data.val))


def load_training_data(
    folders: Iterable[str | Path], topology: Topology, category: str = ""
) -> TrainingData:
    """Every subject of that topology in some data sets.

    For each picture the best layer that labels it counts: consensus, then human/, synthetic,
    propagated, with `PROVENANCE_WEIGHTS`. Predicted layers don't. Labels of another layout that
    corresponds teach the keypoints that they have.

    Args:
        folders: of the data sets; one that is named more than once teaches so much more, but
            validates once.
        topology: of the subjects.
        category: of the objects; others are background. All are taught where it is "".

    Raises:
        ViewfinderError: not a data set, or none has a training subject of the topology.
    """
    datasets = tuple(Dataset.open(folder) for folder in folders)
    sources: list[CardData] = []
    train: list[Subject] = []
    val: list[Subject] = []
    negatives: list[Subject] = []
    left_out = 0
    incomplete: set[tuple[int, str]] = set()
    for number, dataset in enumerate(datasets):
        again = any(dataset.root.samefile(before.root) for before in datasets[:number])
        index = dataset.samples()
        splits = splits_of(index)
        layers, labels = best_labels(dataset, topology.id)
        labels = [x for x in labels if not category or x.attributes.get("category") == category]
        sources.append(source_of(dataset, index, layers, labels, topology.id))
        for label in labels:
            camera = dataset.camera(label.sample_id)
            subject = _subject(number, facing(label, camera), topology, camera)
            split = splits[label.sample_id]
            if subject is None:
                left_out += 1
                incomplete.add((number, label.sample_id))
            elif not subject.topology_id:
                negatives += [subject] if split == "train" else []
            elif split == "val":
                val += [] if again else [subject]
            elif split != "test":
                train.append(subject)
    if not train:
        raise _nothing_to_learn(datasets, topology)
    more = incomplete | {
        (i, name) for i, ds in enumerate(datasets) for name in crowded(ds, topology.id)
    }
    return TrainingData(
        datasets, _in_company(train, more), _in_company(val, more), tuple(negatives),
        tuple(sources), left_out, frozenset(incomplete),
    )  # fmt: skip


def crowded(ds: Dataset, topology_id: str) -> list[str]:
    """Pictures that show more such subjects than are labelled, by what the renderer says."""
    index = ds.samples()
    rows = zip(index["sample_id"].tolist(), index["attributes"].tolist())
    return [name for name, text in rows if json_object(text).get(_UNLABELLED.get(topology_id, ""))]


def _in_company(subjects: Sequence[Subject], more: Set[tuple[int, str]]) -> tuple[Subject, ...]:
    """Subjects with what else of their kind is in their pictures."""
    rois: dict[tuple[int, str], list[Roi]] = {}
    for subject in subjects:
        rois.setdefault(subject.source, []).append(subject.roi)
    return tuple(
        replace(
            subject,
            others=tuple(roi for roi in rois[subject.source] if roi is not subject.roi),
            crowded=subject.source in more,
        )
        for subject in subjects
    )


def _subject(
    number: int, label: Label, topology: Topology, camera: Camera | None
) -> Subject | None:
    source = (number, label.sample_id)
    if not label.topology:
        empty = np.zeros((0, 2), dtype=np.float32)
        whole = Roi(0, 0, 0, 0)
        return Subject(source, "", empty, empty[:, 0], None, None, None, whole, 0.0)
    if topology.name == "face478":
        label = _with_lines(label, topology)
    elif topology.id == BODY:
        label, topology = with_alignment(label), aligned_topology()
    if label.keypoints_px is None:
        return None
    visibility = label.visibility
    if visibility is None:
        visibility = np.full(topology.size, 2, dtype=np.int8)
    known = (visibility > 0) & np.isfinite(label.keypoints_px).all(axis=1)
    points = np.where(known[:, None], label.keypoints_px, 0).astype(np.float32)
    weight = np.where(visibility == 2, 1.0, OCCLUDED_WEIGHT) * known * label.weight
    roi = _labelled_roi(points, known, label, topology)
    if roi is None or roi.width < 2 or not math.isfinite(roi.width) or not weight.any():
        return None
    z_px, world_m = _depth(label, points, known, topology)
    subject = Subject(
        source=source,
        topology_id=topology.id,
        keypoints_px=points,
        weight=weight.astype(np.float32),
        z_px=z_px,
        world_m=world_m,
        handedness=label.handedness,
        roi=roi,
        length_px=_length_px(label, points, known, roi, topology, camera),
        seen=float((visibility[known] == 2).mean()),
        visible=(known & (visibility == 2)).astype(np.float32),
    )
    if topology.name != "face478":
        return subject
    drawn_px, drawn_weight = face_contours.drawn_points(
        label.contours, points, subject.weight, roi.rotation_rad
    )
    return replace(subject, drawn_px=drawn_px, drawn_weight=drawn_weight)


def _with_lines(label: Label, topology: Topology) -> Label:
    """The label of a face with what its drawn lines say of keypoints that aren't labelled."""
    if not label.contours:
        return label
    points, visibility = label.keypoints_px, label.visibility
    if points is None:
        points = np.zeros((topology.size, 2), dtype=np.float32)
        visibility = np.zeros(topology.size, dtype=np.int8)
    if visibility is None:
        return label
    points, visibility = face_contours.with_lines(label.contours, points, visibility)
    return replace(label, keypoints_px=points, visibility=visibility)


def _length_px(
    label: Label,
    points: Floats,
    known: NDArray[np.bool_],
    roi: Roi,
    topology: Topology,
    camera: Camera | None,
) -> float:
    if not known[list(topology.normaliser)].all():
        return TYPICAL_LENGTH * roi.width
    length = normalising_length_px(topology, points, label.keypoints_camera_m, camera)
    return max(length, MIN_LENGTH * roi.width) if math.isfinite(length) else MIN_LENGTH * roi.width


def _labelled_roi(
    points: Floats, known: NDArray[np.bool_], label: Label, topology: Topology
) -> Roi | None:
    if known.all() or (topology.name == "pose35" and known[-2:].all()):
        return _ROI_FROM_KEYPOINTS[topology.id](points)
    whole = None
    if topology.name == "face478":
        whole = completed_face(np.where(known[:, None], points, np.nan))
    if whole is not None:
        return face_roi_from_landmarks(face_contours.within_outline(whole, label.contours))
    if label.box_px is not None:
        return roi_from_box(label.box_px, scale=FALLBACK_SCALE[topology.id])
    return None


def _depth(
    label: Label, points_px: Floats, known: NDArray[np.bool_], topology: Topology
) -> tuple[Floats | None, Floats | None]:
    """Depth in pixels and metric shape, from the metric keypoints.

    Depth takes the scale of weak perspective: pixels per metre across the subject, by least
    squares between the two sets of keypoints, which needs no focal length. As MediaPipe has it,
    its origin is the mean of a face, a wrist, or the middle between hips, and a body's metric shape
    is about the latter. Points that align a body lie in its plane.
    """
    camera_m = label.keypoints_camera_m
    if camera_m is None or not np.isfinite(camera_m).all() or not known[: len(camera_m)].all():
        return None, None
    across_m = camera_m[:, :2] - camera_m[:, :2].mean(axis=0)
    across_px = points_px[: len(camera_m)] - points_px[: len(camera_m)].mean(axis=0)
    spread = float((across_m**2).sum())
    if spread <= 0:
        return None, None
    px_per_m = float((across_m * across_px).sum()) / spread
    middle, origin = camera_m.mean(axis=0), camera_m[:, 2].mean()
    if topology.name == "hand21":
        origin = camera_m[0, 2]
    elif topology.name == "pose35":
        middle = camera_m[list(HIPS)].mean(axis=0)
        origin = middle[2]
    z_px, world_m = np.zeros(len(points_px)), np.zeros((len(points_px), 3))
    z_px[: len(camera_m)] = (camera_m[:, 2] - origin) * px_per_m
    world_m[: len(camera_m)] = camera_m - middle
    return z_px.astype(np.float32), world_m.astype(np.float32)


def _nothing_to_learn(datasets: Sequence[Dataset], topology: Topology) -> ViewfinderError:
    found = sorted({name for dataset in datasets for name in dataset.info.topologies})
    return ViewfinderError(
        "no labelled subject to train on",
        file=", ".join(str(dataset.root) for dataset in datasets),
        field="topology",
        expected=f"{topology.id} in the train split of a synthetic, human or propagated layer",
        found=", ".join(found) or "no topology",
    )
