"""From the annotation store to a label layer that training reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate.box_keypoints import BOX, box_m
from annotate.editing import Document, bounding_box, contour_lines
from annotate.hand_bones import in_space
from annotate.history import ItemKey, ItemState
from annotate.store import AnnotationStore, annotator_name, store_place
from arsession.cuboid_evidence import PlacedBox
from bootstrap.dataset import Dataset, Label
from bootstrap.dataset.schema import row_camera
from runtime.camera import Camera
from runtime.errors import ViewfinderError

_ORIGINAL_SUBJECT = "subject_id_in_source"


@dataclass(frozen=True)
class ExportSummary:
    """What an export wrote.

    Attributes:
        layer: its name.
        labels: how many labels it holds now.
        edited: of them, those whose keypoints somebody changed.
        accepted: of them, those that somebody accepted.
        flagged: items left out because they are flagged.
        kept: labels that were in the layer already and that this store knows nothing of.
        gone: items left out because their picture is no longer in the data set.
    """

    layer: str
    labels: int
    edited: int
    accepted: int
    flagged: int
    kept: int
    gone: int


CONSENSUS = "consensus"


def export_project(
    project: str | Path, annotator: str | None = None, store: str | Path | None = None
) -> ExportSummary:
    """`export_layer` of a project that nobody has open here.

    Raises:
        ViewfinderError: not a data set, no store in it, nothing by this annotator, or the layer
            can't be written.
    """
    name = annotator_name(annotator)
    dataset = Dataset.open(project)
    place, whose = _existing_place(dataset, store)
    with AnnotationStore.open(place, name, project=whose) as opened:
        if opened.revision == 0:
            raise ViewfinderError(
                "nothing by this annotator",
                file=place,
                field="annotator",
                expected=" | ".join(opened.annotators()) or "somebody",
                found=name,
            )
        return export_layer(dataset, opened)


def export_layer(dataset: Dataset, store: AnnotationStore) -> ExportSummary:
    """Write what the store's annotator changed or accepted into `human/<annotator>`.

    An item is exported when it is accepted, or when its keypoints differ from how they were
    found by at least one edit that wasn't undone; flagged items are left out. Labels in the layer
    that the store knows nothing of stay.

    Raises:
        ViewfinderError: the layer can't be read or written.
    """
    states = {key: store.history.item(key) for key in store.history}
    known = {key: (state, store.annotator) for key, state in states.items() if state is not None}
    return _export(dataset, f"human/{store.annotator}", known)


def export_consensus(project: str | Path, store: str | Path | None = None) -> ExportSummary:
    """Write what all reviewers of a project changed or accepted into `consensus`, of an item that
    several reviewed the newest; by the same rules as `export_layer`.

    Raises:
        ViewfinderError: not a data set, no store in it, nothing reviewed, or the layer can't be
            written.
    """
    dataset = Dataset.open(project)
    place, whose = _existing_place(dataset, store)
    known: dict[ItemKey, tuple[ItemState, str]] = {}
    with AnnotationStore.open(place, CONSENSUS, project=whose) as opened:
        people = opened.reviewers()
    for name in people:
        with AnnotationStore.open(place, name, review=True, project=whose) as opened:
            for key in opened.history:
                state = opened.history.item(key)
                assert state is not None
                if key not in known or known[key][0].last_time < state.last_time:
                    known[key] = (state, name)
    if not known:
        raise ViewfinderError("nothing has been reviewed here yet", file=place)
    return _export(dataset, CONSENSUS, known)


def _existing_place(dataset: Dataset, store: str | Path | None) -> tuple[str | Path, str]:
    place, whose = store_place(dataset, store)
    if isinstance(place, Path) and not place.exists():
        raise ViewfinderError("nothing has been annotated here yet", file=place)
    return place, whose


def _export(
    dataset: Dataset, layer: str, known: Mapping[ItemKey, tuple[ItemState, str]]
) -> ExportSummary:
    before = dataset.labels(layer) if layer in dataset.layers() else []
    kept = [label for label in before if _original_key(label) not in known]
    origin = _Origin(dataset)
    made: list[tuple[ItemKey, Label]] = []
    counts = {"edited": 0, "accepted": 0, "flagged": 0, "gone": 0}
    for key, (item, who) in known.items():
        accepted, edited = item.document.status == "done", item.keypoint_edits > 0
        if item.document.status == "flagged":
            counts["flagged"] += 1
        elif not origin.has_sample(key.sample_id):
            counts["gone"] += 1
        elif accepted or edited:
            counts["accepted"] += accepted
            counts["edited"] += edited
            label = human_label(
                key, item, origin.label(key, item), who, row_camera(dataset.row(key.sample_id))
            )
            made.append((key, label if layer != CONSENSUS else _without_person(label)))
    labels = _with_free_subjects(kept, made)
    dataset.write_layer(layer, labels)
    return ExportSummary(layer=layer, labels=len(labels), kept=len(kept), **counts)


def _without_person(label: Label) -> Label:
    """Only layers of one person say who and when in columns of their own."""
    attributes = {**label.attributes, "reviewer": label.annotator}
    return replace(label, annotator=None, time=None, attributes=attributes)


def human_label(
    key: ItemKey,
    item: ItemState,
    origin: Label | None,
    annotator: str,
    camera: Camera | None = None,
) -> Label:
    """The label that an item's present state makes.

    Args:
        key: the item.
        item: its state.
        origin: the label it was found as, for what keypoints alone don't say.
        annotator: who edited it.
        camera: of the picture, where it is known.
    """
    document = item.document
    if origin is None:
        origin = Label(sample_id=key.sample_id, subject_id=key.subject_id)
    lines = contour_lines(document)
    box = bounding_box(document)
    untouched = item.as_found
    space = origin.keypoints_camera_m if untouched else space_m(document, origin, camera)
    box_in_m = None
    if key.topology_id == BOX and camera is not None and origin.keypoints_camera_m is not None:
        box_in_m = box_m(document, origin.keypoints_camera_m, camera)
    return replace(
        origin,
        topology=key.topology_id,
        keypoints_px=document.keypoints_px.astype(np.float32),
        # What was measured in three dimensions no longer belongs to points moved in two, but for
        # hands and boxes, whose points are moved in three.
        keypoints_camera_m=space,
        handedness=document.handedness or origin.handedness,
        detector_keypoints_px=origin.detector_keypoints_px if untouched else None,
        visibility=document.visibility,
        contours={name: line for name, line in lines.items() if np.isfinite(line).all()},
        box_px=None if box is None else np.array(box, np.float32),
        cuboid=None if box_in_m is None else _cuboid(box_in_m),
        score=None,
        weight=1.0,
        attributes={
            **origin.attributes,
            "status": document.status,
            "edits": item.keypoint_edits,
            "seconds": round(item.seconds, 3),
            "from_layer": item.source,
            "confirmed": sorted(document.confirmed),
            "placed": int(document.placed.sum()),
        },
        source=f"viewfinder annotate {metadata.version('viewfinder-live')}",
        annotator=annotator,
        time=item.last_time,
    )


def space_m(document: Document, origin: Label, camera: Camera | None) -> NDArray[np.float32] | None:
    """(N, 3) camera axes in metres of a hand or a box whose first keypoint (wrist, centre) is as
    far away as it was found to be; None for all else."""
    found = origin.keypoints_camera_m
    if document.depth is None or found is None or camera is None:
        return None
    if document.topology_id == BOX:
        box = box_m(document, found, camera)
        return None if box is None else box.points_world_m().astype(np.float32)
    points = in_space(document.keypoints_px, document.depth, camera) * float(found[0, 2])
    return points.astype(np.float32) if np.isfinite(points).all() else None


def _cuboid(box: PlacedBox) -> dict[str, Any]:
    return {
        "rotation": box.rotation.ravel(),
        "translation_m": box.centre_m,
        "size_m": box.size_m,
        "frame": "camera",
    }


class _Origin:
    """The labels that items were found as, each layer read once."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._samples = set(dataset.samples()["sample_id"])
        self._layers: dict[str, dict[ItemKey, Label]] = {}

    def has_sample(self, sample_id: str) -> bool:
        return sample_id in self._samples

    def label(self, key: ItemKey, item: ItemState) -> Label | None:
        if item.source not in self._layers:
            found = (
                self._dataset.labels(item.source) if item.source in self._dataset.layers() else []
            )
            self._layers[item.source] = {
                ItemKey(label.sample_id, label.subject_id, label.topology): label for label in found
            }
        return self._layers[item.source].get(key)


def _original_key(label: Label) -> ItemKey:
    subject = label.attributes.get(_ORIGINAL_SUBJECT, label.subject_id)
    return ItemKey(label.sample_id, int(subject), label.topology)


def _with_free_subjects(kept: list[Label], made: list[tuple[ItemKey, Label]]) -> list[Label]:
    """A layer holds a subject once; a face and a hand from two layers may share a number."""
    taken = {(label.sample_id, label.subject_id) for label in kept}
    labels = list(kept)
    for key, label in sorted(
        made, key=lambda pair: (pair[0].sample_id, pair[0].subject_id, pair[0].topology_id)
    ):
        subject = key.subject_id
        while (key.sample_id, subject) in taken:
            subject += 1
        taken.add((key.sample_id, subject))
        attributes = dict(label.attributes)
        attributes.pop(_ORIGINAL_SUBJECT, None)
        if subject != key.subject_id:
            attributes[_ORIGINAL_SUBJECT] = key.subject_id
        labels.append(replace(label, subject_id=subject, attributes=attributes))
    return labels
