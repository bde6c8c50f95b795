"""A picture of the subjects that a model does worst on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset.contact_sheet import lay_out
from bootstrap.dataset.drawing import Colour, View, draw_line, draw_tile, view_of_subject
from bootstrap.evaluate import Evaluation
from runtime.errors import ViewfinderError
from runtime.face_layouts import AS_FACE478, in_layout
from runtime.topology import Topology, topology

TRUTH: Colour = (0, 230, 150)
PREDICTED: Colour = (255, 80, 190)
_OFFSET: Colour = (255, 255, 255)


def worst_sheet(
    evaluation: Evaluation, count: int = 12, columns: int = 4, tile: int = 320
) -> NDArray[np.uint8]:
    """The worst subjects close up, true and predicted lines drawn over each other.

    Args:
        evaluation: by `evaluate_model`.
        count: at most so many.
        columns: tiles in a row.
        tile: side of a tile in pixels.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ViewfinderError: nothing was found at all, or a damaged picture.
    """
    order = [i for i in np.argsort(-evaluation.errors) if np.isfinite(evaluation.errors[i])]
    if not order:
        raise ViewfinderError("the model found none of the subjects, so there is nothing to draw")
    tiles, captions = [], []
    for i in order[:count]:
        subject = evaluation.subjects[i]
        view = view_of_subject(subject.label, tile)
        assert view is not None
        canvas = draw_tile(subject.ds.read_image(subject.label.sample_id), view, tile)
        predicted = evaluation.predicted_px[i]
        shape = topology(subject.label.topology)
        truth = subject.truth_px[: len(predicted)]
        if shape.id in AS_FACE478:  # drawn as it was labelled
            mesh = f"face{len(predicted)}@1"
            predicted, truth = (in_layout(p, mesh, shape.id) for p in (predicted, truth))
        if shape.name == "hand21":
            for pair in zip(truth, predicted):
                draw_line(canvas, view.tile_points(np.stack(pair)), _OFFSET, False)
        draw_shape(canvas, truth, shape, view, TRUTH)
        draw_shape(canvas, predicted, shape, view, PREDICTED)
        tiles.append(canvas)
        captions.append(f"{subject.label.sample_id}  {evaluation.errors[i]:.1f} %")
    title = f"worst {len(tiles)} of {evaluation.overall.n}, mean {evaluation.overall.mean:.2f} %"
    return lay_out(tiles, captions, title, (("true", TRUTH), ("predicted", PREDICTED)), columns)


def draw_shape(
    canvas: NDArray[np.uint8],
    points_px: NDArray[np.floating],
    shape: Topology,
    view: View,
    colour: Colour,
) -> None:
    """A subject's skeleton, or its contours where it is a mesh, in one colour."""
    points = view.tile_points(points_px)
    if shape.name in ("hand21", "cuboid9", "pose33", "pose35"):
        for a, b in shape.edges:
            if np.isfinite(points[[a, b]]).all():
                draw_line(canvas, points[[a, b]], colour, False, 2)
        return
    for line in shape.contours.values():
        if max(line.indices) < len(points) and np.isfinite(points[list(line.indices)]).all():
            draw_line(canvas, points[list(line.indices)], colour, line.closed)
