"""Saving from napari's own File menu: keypoints that were moved with napari's tools become work of
one annotator, as if they had been dragged in the annotation window."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annotate.editing import NOT_LABELLED, Document, Move, px_from_rowcol
from annotate.plugin import LAYER_KEY, MAX_STACKED
from annotate.session import AnnotationSession
from runtime.errors import ViewfinderError

_SAME_PX = 1e-3
"""Labels are kept in single precision."""
_COLUMNS = ("subject", "keypoint", "visibility")

Shown = dict[tuple[int, int], dict[int, tuple[float, float, int]]]
"""(picture, subject) -> keypoint -> x, y, visibility."""


def write_keypoints(path: str, data: ArrayLike, attributes: Mapping[str, Any]) -> list[str]:
    """Save a layer of keypoints that came from a data set.

    What differs from the labels is recorded in the data set's store, edit by edit, and exported
    into the layer `human/<annotator>`; a keypoint that was deleted is no longer labelled.

    Args:
        path: DATASET/ANNOTATOR.viewfinder, a name that says where and whose; no such file is made.
        data: (P, 3) picture number, row, column.
        attributes: the layer's, with the features and the metadata that the reader gave it.

    Returns:
        The folder of the layer `human/<annotator>`.

    Raises:
        ViewfinderError: not in a data set's folder, points that aren't a data set's keypoints, one
            keypoint twice, or it can't be kept.
    """
    place = Path(path)
    layer = attributes.get("metadata", {}).get(LAYER_KEY)
    features = attributes.get("features")
    if layer is None or features is None or not set(_COLUMNS) <= set(features):
        raise ViewfinderError(
            "these points aren't a data set's keypoints",
            field=str(attributes.get("name", "layer")),
            hint="open the data set's folder with the plugin Viewfinder and move its keypoints",
        )
    columns = {name: np.asarray(features[name]) for name in _COLUMNS}
    shown = _by_subject(np.asarray(data, np.float64), columns)
    with AnnotationSession.open(
        place.parent, annotator=place.stem, layer=str(layer), everything=True
    ) as session:
        ids = [str(i) for i in session.dataset.samples()["sample_id"][:MAX_STACKED]]
        number = {sample_id: i for i, sample_id in enumerate(ids)}
        for index, item in enumerate(session.items):
            key = (number.get(item.key.sample_id, -1), item.key.subject_id)
            if key in shown:
                session.go(index)
                _record(session, shown[key])
        summary = session.export()
    return [str(place.parent / "labels" / summary.layer)]


def _by_subject(data: NDArray[np.float64], columns: Mapping[str, NDArray[Any]]) -> Shown:
    found: Shown = {}
    spots = px_from_rowcol(data[:, 1:])
    for row, (x, y) in enumerate(spots.tolist()):
        subject, keypoint, visibility = (float(columns[name][row]) for name in _COLUMNS)
        if not np.isfinite([subject, keypoint, visibility]).all():
            raise ViewfinderError("a point that is no keypoint", field=f"row {row}")
        points = found.setdefault((round(data[row, 0]), int(subject)), {})
        if int(keypoint) in points:
            raise ViewfinderError(
                "two points are the same keypoint", field=f"row {row}", found=int(keypoint),
                hint="points can be moved and deleted, but not added",
            )  # fmt: skip
        points[int(keypoint)] = (x, y, int(visibility))
    return found


def _record(session: AnnotationSession, shown: Mapping[int, tuple[float, float, int]]) -> None:
    """What a subject's points differ by from its document, as edits."""
    document: Document = session.document
    size = len(document.keypoints_px)
    if not all(0 <= keypoint < size for keypoint in shown):
        raise ViewfinderError(
            "no such keypoint", expected=f"0 to {size - 1}", found=max(shown, default=0)
        )
    moved = [
        k for k, (x, y, _) in shown.items()
        if not np.abs(document.keypoints_px[k] - [x, y]).max() < _SAME_PX
    ]  # fmt: skip
    if moved:
        spots = tuple(shown[k][:2] for k in moved)
        document = session.move_many(Move(tuple(moved), spots, tuple(moved)))
    wanted = np.full(size, NOT_LABELLED, np.int8)
    wanted[list(shown)] = [visibility for _, _, visibility in shown.values()]
    there = np.isfinite(document.keypoints_px).all(axis=1)
    for visibility in (0, 1, 2):
        changed = there & (wanted == visibility) & (document.visibility != visibility)
        if changed.any():
            session.set_visibility(np.flatnonzero(changed).tolist(), visibility)
