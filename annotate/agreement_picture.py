"""Agreement as a picture: where keypoints or how boxes differ, and how it went week by week."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from annotate.box_agreement import BOX
from annotate.discrepancy import Agreement
from runtime.image import encode_image
from runtime.topology import topology

_SIZE_PX, _MARGIN_PX, _LEGEND_PX, _WEEKS_PX = 720, 60, 70, 190
_INK, _FAINT = (40, 40, 40), (190, 190, 190)
Image = NDArray[np.uint8]


def agreement_picture(agreement: Agreement, mean_shape_px: NDArray[np.float64]) -> bytes:
    """A PNG: the mean shape with every keypoint as large and as warm as annotators are apart there,
    or of boxes a dot for each pair; below it the means of the weeks.

    Args:
        agreement: what to draw.
        mean_shape_px: (N, 2) where keypoints stand, any scale; unused for boxes.
    """
    image = np.full((_SIZE_PX + _LEGEND_PX + _WEEKS_PX, _SIZE_PX, 3), 255, np.uint8)
    if agreement.topology_id == BOX:
        said = _draw_boxes(image, agreement)
    else:
        said = _draw_shape(image, agreement, mean_shape_px)
    mean = f"mean {agreement.scale * agreement.mean:.2f} {agreement.unit}"
    _write(image, f"{mean}, {len(agreement.pairs)} pairs", (20, _SIZE_PX + 25))
    _write(image, said, (20, _SIZE_PX + 53))
    _draw_weeks(image, agreement)
    return encode_image(image, ".png")


def _draw_shape(image: Image, agreement: Agreement, shape_px: NDArray[np.float64]) -> str:
    layout = topology(agreement.topology_id)
    each = agreement.by_keypoint()
    points = _fitted(shape_px)
    for contour in layout.contours.values():
        line = np.round(points[list(contour.indices)]).astype(np.int32)
        cv2.polylines(image, [line], contour.closed, _FAINT, 1, cv2.LINE_AA)
    worst = max(float(np.nanmax(each, initial=0.0)), 1e-9)
    for index in np.argsort(np.nan_to_num(each)):
        if math.isfinite(each[index]):
            share = float(each[index]) / worst
            centre = (round(points[index, 0]), round(points[index, 1]))
            cv2.circle(image, centre, 2 + round(7 * share), _warmth(share), -1, cv2.LINE_AA)
    return f"largest circle: {100 * worst:.2f} %"


def _draw_boxes(image: Image, agreement: Agreement) -> str:
    """Degrees along x, centimetres along y; warm where little volume is shared."""
    values = np.array([pair.discrepancy for pair in agreement.pairs])
    names = list(agreement.regions)[:2]
    shown = [values[:, i] * agreement.regions[name].scale for i, name in enumerate(names)]
    far = [max(float(np.max(v)) * 1.1, 1e-9) for v in shown]
    low, high = _MARGIN_PX, _SIZE_PX - _MARGIN_PX
    cv2.polylines(image, [np.array([[low, low], [low, high], [high, high]])], False, _FAINT, 1)
    for x, y, iou in zip(*shown, values[:, 3]):
        at = (round(low + x / far[0] * (high - low)), round(high - y / far[1] * (high - low)))
        cv2.circle(image, at, 6, _warmth(1.0 - float(iou)), -1, cv2.LINE_AA)
    _write(image, f"{names[0]}, to {far[0]:.1f}", (low, high + 30))
    _write(image, f"{names[1]}, to {far[1]:.1f}", (low, low - 15))
    iou = agreement.by_part()["IoU"]
    return f"a dot for each pair, blue where all is shared; mean IoU {iou:.3f}"


def _draw_weeks(image: Image, agreement: Agreement) -> None:
    weeks = agreement.by_week()
    means = [agreement.scale * mean for _, mean in weeks.values()]
    if not means or not np.isfinite(means).any():
        return
    top, bottom = _SIZE_PX + _LEGEND_PX + 40, len(image) - 35
    left, right = _MARGIN_PX, _SIZE_PX - _MARGIN_PX
    _write(image, "week by week", (20, top - 15))
    cv2.line(image, (left, bottom), (right, bottom), _FAINT, 1)
    most = max(float(np.nanmax(means)), 1e-9)
    places = []
    for number, (week, mean) in enumerate(zip(weeks, means)):
        x = round(left + (right - left) * (number + 0.5) / len(means))
        y = round(bottom - (bottom - top - 20) * mean / most)
        places.append((x, y))
        if number % max(1, math.ceil(len(means) / 6)) == 0:
            _write(image, week, (x - 45, bottom + 22), 0.45)
            _write(image, f"{mean:.2f}", (x - 18, y - 10), 0.45)
    cv2.polylines(image, [np.array(places)], False, _FAINT, 1, cv2.LINE_AA)
    for place in places:
        cv2.circle(image, place, 4, _warmth(0.0), -1, cv2.LINE_AA)


def _write(image: Image, text: str, at: tuple[int, int], size: float = 0.6) -> None:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, _INK, 1, cv2.LINE_AA)


def _fitted(points: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    scale = (_SIZE_PX - 2 * _MARGIN_PX) / max(float((high - low).max()), 1e-9)
    return (points - (low + high) / 2) * scale + _SIZE_PX / 2


def _warmth(share: float) -> tuple[int, int, int]:
    """Blue for none, through grey to red for the most (RGB)."""
    return round(40 + 180 * share), round(110 - 70 * share), round(200 - 170 * share)
