"""Two models' answers to one frame: over each other with their distances, or side by side."""

from __future__ import annotations

import numpy as np

from runtime.compare import Against, Difference, common_points
from runtime.drawing.strokes import (
    DARK,
    DIM,
    WHITE,
    Colour,
    Picture,
    draw_label,
    draw_lines,
    label_size,
    scale_of,
)
from runtime.drawing.subjects import draw_subjects, drawn, points_in
from runtime.results import FrameResult
from runtime.viewing.controls import AgainstView

_SECOND: Colour = (255, 92, 214)
_APART: Colour = (255, 236, 60)
_LEAST_DRAWN_PX = 1.5
_MANY = 100  # keypoints lie too close together for outlines
_SEAM = 4


def drawn_against(
    rgb: Picture, result: FrameResult, view: AgainstView, mirrored: bool = False
) -> Picture:
    """A copy of the picture with both models' answers.

    Args:
        rgb: (H, W, 3) uint8.
        result: of a frame that two models looked at.
        view: how.
        mirrored: flip the copy, as a mirror shows it.

    Returns:
        (H, W, 3) uint8, or (H, 2 W + 4, 3) for two side by side.
    """
    against = result.against
    assert against is not None
    if view is AgainstView.first:
        return _titled(drawn(rgb, result.subjects, mirrored), result.model, WHITE)
    if view is AgainstView.second:
        return _titled(drawn(rgb, against.subjects, mirrored), against.model, _SECOND)
    if view is AgainstView.beside:
        left = _titled(drawn(rgb, result.subjects, mirrored), result.model, WHITE)
        right = _titled(drawn(rgb, against.subjects, mirrored), against.model, _SECOND)
        seam = np.full((rgb.shape[0], _SEAM, 3), DARK, dtype=np.uint8)
        both = np.hstack([left, seam, right])
        _draw_numbers(both, against.difference, both.shape[1] - 4)
        return both
    picture = drawn(rgb, result.subjects, mirrored)
    draw_subjects(picture, against.subjects, mirrored, _SECOND)
    _draw_distances(picture, result, against, mirrored)
    _titled(picture, result.model, WHITE)
    size = scale_of(picture)
    below = 6 + 2 * label_size([""], size)[1] + 4
    draw_label(picture, [(against.model, _SECOND)], 6, below, size, _SECOND)
    _draw_numbers(picture, against.difference, picture.shape[1] - 6)
    return picture


def _draw_distances(
    picture: Picture, result: FrameResult, against: Against, mirrored: bool
) -> None:
    """Lines between corresponding keypoints that are visibly apart."""
    for pair in against.difference.pairs:
        one, other = result.subjects[pair.first], against.subjects[pair.second]
        count = common_points(one, other)
        ends = np.stack(
            [points_in(picture, subject, mirrored)[:count] for subject in (one, other)], axis=1
        )
        apart = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1) > _LEAST_DRAWN_PX
        width = max(1, round(scale_of(picture)))
        lines = [(line, False, _APART) for line in ends[apart]]
        draw_lines(picture, lines, width, outlined=count < _MANY)


def _titled(picture: Picture, title: str, colour: Colour) -> Picture:
    size = scale_of(picture)
    draw_label(picture, [(title, colour)], 6, 6 + label_size([""], size)[1], size, colour)
    return picture


def _draw_numbers(picture: Picture, difference: Difference, right: float) -> None:
    size = scale_of(picture)
    words = difference_words(difference)
    width, height = label_size([words], size)
    draw_label(picture, [(words, DIM)], right - width, 6 + height, size)


def difference_words(difference: Difference) -> str:
    """The difference in a line for people."""
    parts = []
    if any(pair.worst_keypoint >= 0 for pair in difference.pairs):
        parts.append(
            f"mean {difference.mean_px:.2f} px ({difference.mean_percent:.1f} %), "
            f"worst {difference.worst_px:.1f} px ({difference.worst_percent:.1f} %)"
        )
    if difference.least_iou is not None:
        parts.append(f"mask IoU {difference.least_iou:.4f}")
    for name, places in (
        ("first", difference.only_first), ("second", difference.only_second),
    ):  # fmt: skip
        if places:
            parts.append(f"{len(places)} only in the {name}")
    return ", ".join(parts) or "nothing to compare"
