"""The items of a layer: what there is to annotate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from annotate.box_keypoints import BOX, found_depth
from annotate.editing import Document, new_document
from annotate.hand_bones import HAND, depth_of
from annotate.history import ItemKey
from annotate.ordering import queue_order, read_queue
from bootstrap.dataset import Dataset, Label
from bootstrap.dataset.schema import row_camera
from runtime.camera import Camera
from runtime.errors import ViewfinderError


@dataclass(frozen=True)
class Item:
    """One subject of one picture, with its label as the layer has it; of a box, and only there, the
    picture's camera."""

    key: ItemKey
    label: Label
    camera: Camera | None = None

    def found(self) -> Document:
        """The label as a document, before anybody changed it."""
        assert self.label.keypoints_px is not None
        points, space = self.label.keypoints_px[:, :2], self.label.keypoints_camera_m
        depth, handedness = None, ""
        if self.key.topology_id == HAND:
            depth = None if space is None else depth_of(space)
            handedness = self.label.handedness or ""
        elif self.key.topology_id == BOX and self.camera is not None:
            depth = found_depth(self.label, self.camera)
        return new_document(self.key.topology_id, points, self.label.visibility, depth, handedness)


def items_of(dataset: Dataset, layer: str, queue: Path | None = None) -> list[Item]:
    """The subjects of a layer that have keypoints, in the queue's order where there is one.

    Raises:
        ViewfinderError: no such layer, nothing in it that can be edited, or no such queue.
    """
    items = [
        Item(
            ItemKey(label.sample_id, label.subject_id, label.topology),
            label,
            row_camera(dataset.row(label.sample_id)) if label.topology == BOX else None,
        )
        for label in dataset.labels(layer)
        if label.topology and label.keypoints_px is not None
    ]
    if not items:
        raise ViewfinderError(
            "nothing to annotate: no subject with keypoints", file=dataset.root, field=layer
        )
    blind = [i.key.sample_id for i in items if i.key.topology_id == BOX and i.camera is None]
    if blind:
        raise ViewfinderError(
            "a box's keypoints can't be moved as a box: what the camera was isn't known",
            file=dataset.root,
            field=f"camera of {blind[0]}",
            expected="fx, fy, cx, cy for every picture with a box",
            found=f"none for {len(blind)} labels",
            hint="import the pictures with their camera (Objectron, BOP, or photographs whose EXIF "
            "has the focal length), or place boxes in the recording: viewfinder annotate RECORDING",
        )
    if queue is None:
        return items
    ids = [item.key.sample_id for item in items]
    return [items[i] for i in queue_order(ids, read_queue(queue), queue)]


def _only(dataset: Dataset, kind: str, several: str) -> str | None:
    layers = [layer for layer in dataset.layers() if layer.startswith(kind)]
    if len(layers) > 1:
        raise ViewfinderError(
            several,
            file=dataset.root,
            field="layer",
            expected="--layer " + " | ".join(layers),
        )
    return layers[0] if layers else None


def default_layer(dataset: Dataset) -> str:
    """The layer people most likely want to refine.

    Raises:
        ViewfinderError: there is none, or several models predicted and one must be named.
    """
    layers = dataset.layers()
    if predicted := _only(dataset, "predicted@", "several models labelled this data set"):
        return predicted
    for layer in ("synthetic", "propagated"):
        if layer in layers:
            return layer
    if theirs := _only(dataset, "propagated@", "several people placed boxes in this data set"):
        return theirs
    if "consensus" in layers:
        return "consensus"
    if len(layers) == 1:
        return layers[0]
    raise ViewfinderError(
        "no labels to start from" if not layers else "which labels to start from?",
        file=dataset.root,
        field="layer",
        expected="--layer " + (" | ".join(layers) or "NAME"),
        hint="viewfinder prelabel DIR --model M.task makes some" if not layers else None,
    )
