"""What napari's menus offer: opening a data set, a sample, and the annotation panel.

Saving keypoints is `annotate.plugin_writer`'s.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from magicgui.types import FileDialogMode
from magicgui.widgets import Container, FileEdit, Label, LineEdit, PushButton

from annotate import drawing
from annotate.editing import rowcol_from_px
from annotate.items import default_layer
from annotate.sample import drawn_face
from annotate.session import AnnotationSession
from bootstrap.dataset import Dataset
from runtime.errors import ViewfinderError

LAYER_KEY = "viewfinder_layer"
"""In a points layer's metadata: the layer of labels that it shows."""
LayerData = tuple[Any, dict[str, Any], str]
# A stack of more would hide memory use behind one menu entry; the annotation panel has no limit.
MAX_STACKED = 500


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """napari asks whether this folder is a data set; the answer is the function that reads it."""
    first = path[0] if isinstance(path, list) else path
    return read_dataset if (Path(first) / "dataset.json").is_file() else None


def read_dataset(path: str | list[str]) -> list[LayerData]:
    """A data set as one stack of pictures, read when they are shown, and their keypoints.

    Args:
        path: the folder; of a list, the first.

    Returns:
        An image layer (T, H, W, 3) and, when a layer of labels can be chosen, a points layer in
        (t, row, column). Pictures smaller than the largest are padded with black.

    Raises:
        ViewfinderError: not a data set, or an empty one.
    """
    dataset = Dataset.open(path[0] if isinstance(path, list) else path)
    table = dataset.samples()
    if not len(table):
        raise ViewfinderError("this data set holds no pictures", file=dataset.root)
    if len(table) > MAX_STACKED:
        warnings.warn(
            f"{dataset.root}: showing {MAX_STACKED} of {len(table)} pictures", stacklevel=2
        )
        table = table.iloc[:MAX_STACKED]
    ids = list(table["sample_id"])
    stack = _picture_stack(dataset, ids, int(table["height"].max()), int(table["width"].max()))
    layers: list[LayerData] = [(stack, {"name": dataset.info.name, "rgb": True}, "image")]
    try:
        points = _keypoints(dataset, default_layer(dataset), ids)
    except ViewfinderError:
        return layers  # no labels, or nothing says which: the pictures can be looked at
    return [*layers, points]


def _picture_stack(dataset: Dataset, ids: list[str], height: int, width: int) -> Any:
    import dask.array as da
    from dask import delayed

    @delayed(pure=True)
    def padded(sample_id: str) -> np.ndarray:
        image = dataset.read_image(sample_id)
        below, right = height - image.shape[0], width - image.shape[1]
        return np.pad(image, ((0, below), (0, right), (0, 0)))

    pictures = [da.from_delayed(padded(i), (height, width, 3), np.uint8) for i in ids]
    return da.stack(pictures)


def _keypoints(dataset: Dataset, layer: str, ids: list[str]) -> LayerData:
    place = {sample_id: number for number, sample_id in enumerate(ids)}
    positions: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    features: dict[str, list[Any]] = {"subject": [], "keypoint": [], "visibility": []}
    for label in dataset.labels(layer):
        if label.sample_id not in place or not label.topology or label.keypoints_px is None:
            continue
        visibility = label.visibility
        if visibility is None:
            visibility = np.full(len(label.keypoints_px), 2, np.int8)
        known = np.isfinite(label.keypoints_px).all(axis=1)
        spots = rowcol_from_px(label.keypoints_px[known, :2])
        positions.append(np.insert(spots, 0, place[label.sample_id], axis=1))
        faces.append(drawing.marker_colours(label.topology, visibility)[0][known])
        features["subject"] += [label.subject_id] * int(known.sum())
        features["keypoint"] += np.flatnonzero(known).tolist()
        features["visibility"] += visibility[known].tolist()
    if not positions:
        raise ViewfinderError("no keypoints in this layer", file=dataset.root, field=layer)
    options = {
        "name": layer,
        "size": 5,
        "face_color": np.concatenate(faces),
        "features": features,
        "metadata": {LAYER_KEY: layer},
        "canvas_size_limits": (2, 10),
    }
    return np.concatenate(positions), options, "points"


def sample_face() -> list[LayerData]:
    """A drawn face with its 478 keypoints."""
    image, points = drawn_face(np.random.default_rng(7))
    visibility = np.full(len(points), 2, np.int8)
    face, border = drawing.marker_colours("face478@1", visibility)
    options = {
        "name": "face478 keypoints",
        "size": drawing.marker_sizes_px("face478@1"),
        "face_color": face,
        "border_color": border,
        "canvas_size_limits": (2, 12),
    }
    return [
        (image, {"name": "drawn face", "rgb": True}, "image"),
        (rowcol_from_px(points), options, "points"),
    ]


def show_panel() -> None:
    """The entry Layers > Annotate: the panel in napari's current viewer."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        viewer.window.add_plugin_dock_widget("viewfinder-live", "Annotate keypoints")


class AnnotatePanel(Container):
    """The dock widget behind Plugins > Viewfinder: choose a data set, then annotate it here.

    Args:
        napari_viewer: where; napari gives a proxy that holds back what is private.
    """

    def __init__(self, napari_viewer: Any) -> None:
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._folder = FileEdit(mode=FileDialogMode.EXISTING_DIRECTORY, label="Data set")
        self._layer = LineEdit(
            label="Layer",
            tooltip="Empty: the one predicted layer, else synthetic, else propagated.",
        )
        self._annotator = LineEdit(label="Annotator", tooltip="Empty: your login name.")
        self._start = PushButton(text="Annotate")
        self._message = Label(value="")
        widgets = [self._folder, self._layer, self._annotator, self._start, self._message]
        super().__init__(widgets=widgets)
        self._start.changed.connect(self._begin)

    def _begin(self) -> None:
        from annotate.window import AnnotateWindow

        try:
            session = AnnotationSession.open(
                str(self._folder.value),
                annotator=self._annotator.value or None,
                layer=self._layer.value or None,
            )
        except ViewfinderError as error:
            self._message.value = str(error)
            return
        self._message.value = f"{len(session.items)} items"
        self._start.enabled = False
        self.annotation = AnnotateWindow(self._viewer, session)
        adviser = self.annotation.advising.adviser
        assert adviser is not None
        self.native.destroyed.connect(lambda *_: adviser.end())
        self.native.destroyed.connect(lambda *_: session.close())
