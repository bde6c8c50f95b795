"""Subjects drawn over their picture: masks beneath, then shapes, then words.

Widths follow the subject's size, so that a face that fills a large photograph and one in the
corner of a clip look alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runtime.drawing.mask import dim_outside, outline, tint_inside
from runtime.drawing.shapes import Box, draw_shape
from runtime.drawing.strokes import (
    DIM,
    LEFT,
    RIGHT,
    WHITE,
    Colour,
    Picture,
    Points,
    draw_discs,
    draw_label,
    draw_lines,
    draw_text,
    label_size,
    scale_of,
)
from runtime.results import Subject

__all__ = ["Picture", "draw_subjects", "draw_text", "drawn"]

# People side by side, told apart.
_PEOPLE: tuple[Colour, ...] = (
    (72, 202, 255), (255, 150, 60), (150, 230, 110), (225, 130, 255), (255, 215, 70),
    (255, 105, 130),
)  # fmt: skip
_NAMES = {"face": "face", "hand": "hand", "pose": "body", "cuboid": "object"}
# Centre, outer corner of the eye, colour.
_IRISES = {"right": (468, 33, RIGHT), "left": (473, 263, LEFT)}


def drawn(rgb: Picture, subjects: Sequence[Subject], mirrored: bool = False) -> Picture:
    """A copy of the picture with its subjects drawn on.

    Args:
        rgb: (H, W, 3) uint8.
        subjects: found in it.
        mirrored: flip the copy, as a mirror shows it; text stays readable.

    Returns:
        (H, W, 3) uint8.
    """
    picture = np.ascontiguousarray(rgb[:, ::-1]) if mirrored else rgb.copy()
    draw_subjects(picture, subjects, mirrored)
    return picture


def draw_subjects(
    picture: Picture,
    subjects: Sequence[Subject],
    mirrored: bool = False,
    colour: Colour | None = None,
) -> None:
    """Draw subjects in place.

    Args:
        picture: (H, W, 3) uint8, flipped already if `mirrored`.
        subjects: found in it, or in the picture that it is the mirror image of.
        mirrored: flip where they are.
        colour: lines of this one colour alone, without words: a second model's answer.
    """
    for subject in subjects:
        if subject.mask is not None:
            _draw_mask(picture, subject, mirrored, colour)
    placed = [(subject, *_placed(picture, subject, mirrored)) for subject in subjects]
    widths = [draw_shape(picture, *entry, colour) for entry in placed]
    if colour is not None:
        return
    several = len(subjects) > 1
    for (subject, points, box), width in zip(placed, widths):
        if subject.topology.startswith("face478"):
            _draw_irises(picture, subject, points, width)
        words = _words(subject, several)
        if words:
            left, bottom = _label_place(picture, subject, points, box, 4 * width)
            draw_label(picture, words, left, bottom, scale_of(picture), _accent(subject))


def points_in(picture: Picture, subject: Subject, mirrored: bool) -> Points:
    """(N, 2) a subject's keypoints in the picture's pixels."""
    height, width = picture.shape[:2]
    points = subject.keypoints_px(width, height)[:, :2].copy()
    if mirrored:
        points[:, 0] = width - points[:, 0]
    return points


def _placed(picture: Picture, subject: Subject, mirrored: bool) -> tuple[Points, Box]:
    height, width = picture.shape[:2]
    x, y, w, h = (
        float(value) for value in np.nan_to_num(subject.box) * (width, height, width, height)
    )
    if mirrored:
        x = width - x - w
    return points_in(picture, subject, mirrored), (x, y, w, h)


def _draw_mask(picture: Picture, subject: Subject, mirrored: bool, colour: Colour | None) -> None:
    mask = subject.mask
    assert mask is not None
    if mask.shape != picture.shape[:2]:
        return
    mask = np.ascontiguousarray(mask[:, ::-1]) if mirrored else mask
    width = max(1, round(1.5 * scale_of(picture)))
    own = colour or _PEOPLE[subject.id % len(_PEOPLE)]
    if colour is None and len(subject.keypoints):
        tint_inside(picture, mask, own)
    elif colour is None:
        dim_outside(picture, mask)
    outline(picture, mask, own, width)


def _label_place(
    picture: Picture, subject: Subject, points: Points, box: Box, gap: int
) -> tuple[float, float]:
    """Left and bottom of a subject's label: above it, or beneath where there is no room above."""
    x, y, _, h = box
    room = label_size([""], scale_of(picture))[1]
    if subject.topology.startswith("pose"):
        # Above the head: arms reach out to either side of it.
        head = np.nan_to_num(points[:11])
        x, y = float(head[:, 0].min()), float(head[:, 1].min()) - 0.05 * h
    if y - gap >= room or y + h + gap + room > picture.shape[0]:
        return x, y - gap
    return x, y + h + gap + room


def _draw_irises(picture: Picture, subject: Subject, points: Points, width: int) -> None:
    facts = subject.iris or {}
    thin = max(1, width - 1)
    for side, (centre, corner, colour) in _IRISES.items():
        middle, ring = points[centre], points[centre + 1 : centre + 5]
        radius = float(np.linalg.norm(ring - middle, axis=1).mean())
        turn = np.linspace(0, 2 * np.pi, 32, endpoint=False)
        circle = middle + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        draw_lines(picture, [(circle.astype(np.float32), True, colour)], thin)
        draw_discs(picture, middle[None], [WHITE], 0.75 * thin)
        depth = facts.get(f"{side}_depth_m")
        if depth is not None:
            error = facts.get(f"{side}_depth_error_m")
            _draw_depth(picture, points, points[corner], _depth_words(depth, error), colour)


def _draw_depth(
    picture: Picture, points: Points, eye: NDArray[np.float32], text: str, colour: Colour
) -> None:
    """Words beside the face, at the eye's height, joined to the eye by a line."""
    size = scale_of(picture)
    w, h = label_size([text], size, barred=True)
    left, right = float(points[:, 0].min()), float(points[:, 0].max())
    to_left = eye[0] < (left + right) / 2
    x = left - 12 * size - w if to_left else right + 12 * size
    x = min(max(x, 0.0), max(0.0, picture.shape[1] - w))
    end = np.array([x + w if to_left else x, eye[1]])
    draw_lines(picture, [(np.stack([eye, end]).astype(np.float32), False, colour)], 1, False)
    draw_label(picture, [(text, WHITE)], x, float(eye[1]) + h / 2, size, colour)


def _depth_words(depth_m: float, error_m: float | None) -> str:
    return f"{100 * depth_m:.0f} cm" + ("" if error_m is None else f" ± {100 * error_m:.0f}")


def _words(subject: Subject, several: bool) -> list[tuple[str, Colour]]:
    kind = subject.topology.split("@")[0].rstrip("0123456789")
    if not kind and not len(subject.keypoints):
        return []
    name = _NAMES.get(kind, kind) or "face"
    if subject.handedness:
        name = f"{subject.handedness} {name}"
    if several:
        name = f"{name} {subject.id}"
    words = [(name, WHITE), (f"{subject.score:.2f}", DIM)]
    if subject.gesture:
        gesture = str(subject.gesture.get("name", "")).replace("_", " ")
        words += [(gesture, (255, 214, 102)), (f"{subject.gesture.get('score', 0):.2f}", DIM)]
    size = (subject.cuboid or {}).get("size_m")
    if size is not None and (subject.cuboid or {}).get("scale") == "metric":
        words.append((" x ".join(f"{100 * side:.0f}" for side in size) + " cm", DIM))
    return words


def _accent(subject: Subject) -> Colour:
    if subject.handedness:
        return LEFT if subject.handedness == "left" else RIGHT
    return _PEOPLE[subject.id % len(_PEOPLE)]
