"""A recording's trajectory, planes and points from above and from the side, and its residuals."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from arsession.check import JUMP_RATIO, Check
from arsession.session import Session

Array = NDArray[np.float64]
Picture = NDArray[np.uint8]

WIDTH, HEIGHT = 1280, 960
_PANEL = 620
_MARGIN = 50
_INK, _GREY = (40, 40, 40), (185, 185, 185)
_TRUSTED, _DOUBTED, _PLANE = (0, 114, 178), (213, 94, 0), (0, 158, 115)  # Okabe and Ito's
_MOST_POINTS = 20_000
_CAMERAS = 16
_SHIFT = 4  # OpenCV's fractional bits


def draw_check(session: Session, check: Check) -> Picture:
    """(960, 1280, 3) uint8 RGB: seen from above and from the side, residuals and trust below."""
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    across, up = _axes(session)
    ahead = np.cross(up, across)  # so that a left turn is one in the picture, too
    titles = ("from above", "from the side")
    for column, (right, top) in enumerate(((across, ahead), (across, up))):
        panel = picture[40:_PANEL, column * WIDTH // 2 : (column + 1) * WIDTH // 2]
        _draw_space(panel, session, check, right, top)
        _text(panel, titles[column], (_MARGIN, 20))
    name = (
        f"{session.format}, {len(check.trusted)} frames, {int(check.trusted.sum())} to be trusted"
    )
    _text(picture, name, (_MARGIN, 26), 0.65)
    _key(picture)
    _draw_residuals(picture[_PANEL + 20 :], session, check)
    return picture


def _axes(session: Session) -> tuple[Array, Array]:
    up = session.up_world
    places = session.world_from_camera[:, :3, 3]
    if up is None:
        # The cameras' own mean upward direction stands in for gravity.
        up = -session.world_from_camera[:, :3, 1].mean(axis=0)
        up = up / max(float(np.linalg.norm(up)), 1e-12)
    level = places - places.mean(axis=0)
    level = level - np.outer(level @ up, up)
    _, sizes, directions = np.linalg.svd(level, full_matrices=False)
    across = directions[0] if sizes[0] > 1e-9 else np.eye(3)[np.argmin(np.abs(up))]
    across = across - up * (across @ up)
    return across / np.linalg.norm(across), up


def _draw_space(panel: Picture, session: Session, check: Check, right: Array, top: Array) -> None:
    places = session.world_from_camera[:, :3, 3]
    points = session.points_world_m
    points = points[:: max(1, len(points) // _MOST_POINTS)]
    shown = [places @ np.stack([right, top], axis=1)]
    flat_points = points @ np.stack([right, top], axis=1)
    if len(flat_points):
        # Stray points far away would shrink everything else.
        low, high = np.percentile(flat_points, [2, 98], axis=0)
        shown.append(np.clip(flat_points, low, high))
    outlines = [plane.boundary_world_m @ np.stack([right, top], axis=1) for plane in session.planes]
    shown += [outline for outline in outlines if len(outline)]
    everything = np.concatenate(shown)
    low, high = everything.min(axis=0), everything.max(axis=0)
    height, width = panel.shape[:2]
    room = np.array([width - 2 * _MARGIN, height - 2 * _MARGIN])
    scale = float((room / np.maximum(high - low, 1e-6)).min())
    middle = (low + high) / 2

    def place(values: Array) -> Array:
        return (values - middle) * [scale, -scale] + [width / 2, height / 2]

    for outline in outlines:
        _fill(panel, place(outline))
    inside = np.round(place(flat_points)).astype(int)
    inside = inside[((inside >= 0) & (inside < (width, height))).all(axis=1)]
    panel[inside[:, 1], inside[:, 0]] = _GREY
    track = place(places @ np.stack([right, top], axis=1))
    for i in range(len(track) - 1):
        good = bool(check.trusted[i] and check.trusted[i + 1])
        _line(panel, track[i], track[i + 1], _TRUSTED if good else _DOUBTED, 2)
    reach = 0.06 * min(width, height) / scale
    for i in np.linspace(0, len(places) - 1, min(_CAMERAS, len(places))).astype(int):
        ahead = places[i] + reach * session.world_from_camera[i, :3, 2]
        end = place((ahead @ np.stack([right, top], axis=1))[None])[0]
        _line(panel, track[i], end, _TRUSTED if check.trusted[i] else _DOUBTED, 1)
    cv2.circle(panel, _fixed(track[0]), 5 << _SHIFT, _INK, -1, cv2.LINE_AA, _SHIFT)
    _text(panel, "start", (round(track[0, 0]) + 8, round(track[0, 1]) - 6), 0.45)
    _scale_bar(panel, scale, session.metric)


def _scale_bar(panel: Picture, pixels_per_unit: float, metric: bool) -> None:
    height, width = panel.shape[:2]
    wanted = width / 5 / pixels_per_unit
    power = 10.0 ** np.floor(np.log10(wanted))
    length = max(step for step in (1, 2, 5) if step * power <= wanted) * power
    start = np.array([_MARGIN, height - 18.0])
    _line(panel, start, start + [length * pixels_per_unit, 0], _INK, 3)
    unit = "m" if metric else "of the recording's own units"
    _text(panel, f"{length:g} {unit}", (_MARGIN, height - 26), 0.45)


def _draw_residuals(panel: Picture, session: Session, check: Check) -> None:
    height, width = panel.shape[:2]
    left, right, top, bottom = 90, width - _MARGIN, 30, height - 60
    residual = np.maximum(check.residual_m[2:] * 1e3, 1e-4)
    if len(residual) == 0:
        return
    median = float(np.median(residual))
    low = np.floor(np.log10(max(np.percentile(residual, 5), 1e-4)))
    high = max(np.ceil(np.log10(max(residual.max(), JUMP_RATIO * median))), low + 1)
    count = len(check.trusted)

    def at(frame: float, value: float) -> Array:
        share = (np.log10(max(value, 10.0**low)) - low) / (high - low)
        return np.array(
            [left + (right - left) * frame / max(count - 1, 1), bottom - (bottom - top) * share]
        )

    unit = "mm" if session.metric else "thousandths of a unit"
    _text(
        panel, f"place against constant velocity, {unit}; line: {JUMP_RATIO:g} x median", (left, 16)
    )
    for power in range(int(low), int(high) + 1):
        y = round(float(at(0, 10.0**power)[1]))
        cv2.line(panel, (left, y), (right, y), (228, 228, 228), 1)
        _text(panel, f"{10.0**power:g}", (left - 60, y + 5), 0.45)
    _line(panel, at(0, JUMP_RATIO * median), at(count - 1, JUMP_RATIO * median), _DOUBTED, 1)
    jumps = set(check.jumps.tolist())
    for frame, value in enumerate(residual, 2):
        spot = at(frame, float(value))
        marked = frame in jumps
        cv2.circle(
            panel, _fixed(spot), (4 if marked else 1) << _SHIFT,
            _DOUBTED if marked else _TRUSTED, -1, cv2.LINE_AA, _SHIFT,
        )  # fmt: skip
    for first, last in check.trusted_ranges():
        x0, x1 = (round(float(at(frame, 1)[0])) for frame in (first, last))
        cv2.rectangle(panel, (x0, bottom + 14), (max(x1, x0 + 1), bottom + 26), _TRUSTED, -1)
    _text(panel, "trusted", (left - 70, bottom + 25), 0.45)
    _text(panel, f"frame 0 to {count - 1}", (left, bottom + 46), 0.45)


def _key(picture: Picture) -> None:
    x = WIDTH - 470
    for colour, word in ((_TRUSTED, "trusted"), (_DOUBTED, "not trusted"), (_PLANE, "plane"),
                         (_GREY, "point")):  # fmt: skip
        cv2.rectangle(picture, (x, 15), (x + 14, 27), colour, -1)
        _text(picture, word, (x + 20, 26), 0.45)
        x += 118


def _fill(panel: Picture, outline: Array) -> None:
    if len(outline) < 3:
        return
    layer = panel.copy()
    limit = 4.0 * max(panel.shape)
    corners = np.round(np.clip(outline, -limit, limit)).astype(np.int32)
    hull = cv2.convexHull(corners)
    cv2.fillPoly(layer, [hull], _PLANE, cv2.LINE_AA)
    panel[:] = cv2.addWeighted(layer, 0.18, panel, 0.82, 0)
    cv2.polylines(panel, [hull], True, _PLANE, 1, cv2.LINE_AA)


def _fixed(point: Array) -> tuple[int, int]:
    limit = 30_000.0
    x, y = np.clip(np.nan_to_num(point), -limit, limit)
    return round(float(x) * (1 << _SHIFT)), round(float(y) * (1 << _SHIFT))


def _line(
    panel: Picture, start: Array, end: Array, colour: tuple[int, int, int], thickness: int
) -> None:
    cv2.line(panel, _fixed(start), _fixed(end), colour, thickness, cv2.LINE_AA, _SHIFT)


def _text(panel: Picture, text: str, at: tuple[int, int], size: float = 0.5) -> None:
    cv2.putText(panel, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, _INK, 1, cv2.LINE_AA)
