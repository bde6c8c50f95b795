"""A puppet: a drawn face that does what blendshapes and a head pose say.

Every coefficient in [0, 1] moves something by as much, so the puppet shows how a tracker's output
changes, not only what it is. Features lie on a rounded head in units of its radius (x to the
picture's right, y down); head pose turns that head, and what lies on it follows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from runtime.drawing.puppet_sheet import Picture, Points, Sheet, curve, ellipse, superellipse
from runtime.head_pose import HeadPose

# RGB
_SKIN, _SKIN_SHADE, _SKIN_LIGHT = (255, 209, 170), (240, 178, 138), (255, 224, 194)
_NOSTRIL = (214, 138, 106)
_BLUSH = (250, 150, 128)
_HAIR, _HAIR_SHINE = (92, 58, 62), (126, 80, 80)
_INK = (74, 46, 52)
_EYE_WHITE, _EYE_SHADE = (255, 253, 248), (222, 214, 220)
_IRIS, _IRIS_RIM, _PUPIL = (72, 148, 150), (38, 96, 104), (28, 34, 44)
_LIP, _LIP_SHADE, _THROAT, _TONGUE, _TEETH = (
    (224, 104, 102), (196, 78, 84), (96, 30, 44), (236, 116, 118), (255, 252, 246)
)  # fmt: skip
_SHIRT, _SHIRT_SHADE = (84, 132, 178), (66, 108, 152)

_EYE_X, _EYE_Y = 0.40, -0.05
_EYE_HALF_WIDTH, _EYE_HALF_HEIGHT = 0.225, 0.215
_MOUTH_Y = 0.60


def draw_puppet(
    blendshapes: Mapping[str, float], head_pose: HeadPose | None = None, size: int = 360
) -> Picture:
    """Draw the puppet.

    Args:
        blendshapes: name as MediaPipe's 52 have it -> 0..1; those left out are 0, unknown names
            are passed over, values outside are clipped. Left and right are the person's own.
        head_pose: None for straight ahead; turns beyond 50 degrees are shown as 50.
        size: side of the square picture in pixels.

    Returns:
        (size, size, 3) uint8 RGB, unmirrored: the person's left is the picture's right.
    """
    face = _Expression(blendshapes)
    sheet = Sheet(size, head_pose or HeadPose())
    _draw_behind(sheet)
    _draw_head(sheet, face)
    for side in (-1, 1):
        _draw_cheek(sheet, face, side)
        _draw_eye(sheet, face, side)
    _draw_nose(sheet, face)
    _draw_mouth(sheet, face)
    _draw_fringe(sheet)
    for side in (-1, 1):
        _draw_brow(sheet, face, side)
    return sheet.picture()


class _Expression:
    """Coefficients by name, clipped; `pair` picks the side: 1 is the person's left."""

    def __init__(self, blendshapes: Mapping[str, float]) -> None:
        self._values = blendshapes

    def __call__(self, name: str) -> float:
        value = float(self._values.get(name, 0.0))
        return min(1.0, max(0.0, value)) if value == value else 0.0  # NaN is 0

    def pair(self, name: str, side: int) -> float:
        return self(f"{name}{'Left' if side > 0 else 'Right'}")


def _draw_behind(sheet: Sheet) -> None:
    """Shoulders, neck, the hair behind and the ears."""
    shoulders = curve((-1.35, 2.0), (-1.2, 1.42), (-0.62, 1.24), (0, 1.2), (0.62, 1.24),
                       (1.2, 1.42), (1.35, 2.0))  # fmt: skip
    sheet.fill(sheet.flat(superellipse(0, -0.16, 1.13, 1.22, 2.3)), _HAIR)
    neck = np.array([[-0.36, 0.7], [0.36, 0.7], [0.46, 1.3], [-0.46, 1.3]])
    sheet.fill(sheet.still(neck), _SKIN_SHADE)
    sheet.fill(sheet.still(shoulders), _SHIRT)
    collar = curve((-0.50, 1.24), (-0.25, 1.42), (0, 1.47), (0.25, 1.42), (0.50, 1.24))
    opening = np.concatenate([collar, [(0.45, 1.1), (-0.45, 1.1)]])
    sheet.fill(sheet.still(opening), _SKIN_SHADE)
    sheet.stroke(sheet.still(collar), 0.07, _SHIRT_SHADE)
    for side in (-1, 1):
        x = side * 0.97 * math.cos(sheet.yaw) - 0.10 * math.sin(sheet.yaw)
        y = 0.10 + 0.12 * math.sin(sheet.pitch)
        sheet.fill(sheet.flat(ellipse(x, y, 0.17, 0.23)), _SKIN_SHADE)
        sheet.fill(sheet.flat(ellipse(x + side * 0.01, y, 0.11, 0.16)), _BLUSH, 0.35)


def _draw_head(sheet: Sheet, face: _Expression) -> None:
    jaw = 0.13 * face("jawOpen") * (1 - face("mouthClose")) + 0.03 * face("jawForward")
    sway = 0.07 * (face("jawLeft") - face("jawRight")) + 0.10 * math.sin(sheet.yaw)
    puff = 0.15 * face("cheekPuff")
    head = superellipse(0, 0, 0.98, 1.06, 2.25)
    below = np.clip(head[:, 1] / 1.06, 0, 1)
    head[:, 0] *= 1 - 0.16 * below**2 + puff * np.sin(np.pi * below)
    head[:, 0] += sway * below**2
    head[:, 1] += jaw * below + 0.05 * math.sin(-sheet.pitch) * below
    sheet.fill(sheet.flat(head), _SKIN)
    light = superellipse(-0.03, -0.12, 0.78, 0.80, 2.2)
    sheet.fill(sheet.on_head(light), _SKIN_LIGHT, 0.45)


def _draw_cheek(sheet: Sheet, face: _Expression, side: int) -> None:
    raised = max(face.pair("cheekSquint", side), 0.7 * face.pair("mouthSmile", side))
    puff = face("cheekPuff")
    y = 0.36 - 0.07 * raised
    blush = ellipse(side * (0.60 + 0.05 * puff), y, 0.19 + 0.07 * puff, 0.13 + 0.06 * puff)
    sheet.fill(sheet.on_head(blush), _BLUSH, 0.30 + 0.25 * raised + 0.20 * puff)
    if raised > 0.02:
        x = side * 0.62
        fold = curve((x - 0.14, y - 0.10 - 0.04 * raised), (x, y - 0.13 - 0.05 * raised),
                      (x + 0.14, y - 0.10 - 0.04 * raised))  # fmt: skip
        sheet.stroke(sheet.on_head(fold), 0.022 * raised, _SKIN_SHADE)


@dataclass(frozen=True)
class _Lids:
    """Upper and lower edge of an open eye, from its outer to its inner corner, on the head."""

    upper: Points
    lower: Points


def _lids(face: _Expression, side: int) -> _Lids:
    blink, squint = face.pair("eyeBlink", side), face.pair("eyeSquint", side)
    wide, cheek = face.pair("eyeWide", side), face.pair("cheekSquint", side)
    looking_down = face.pair("eyeLookDown", side)
    upper = (1 - blink) * (1 + 0.22 * wide - 0.22 * squint - 0.18 * looking_down)
    lower = (1 - blink) * (1 + 0.06 * wide - 0.50 * squint - 0.40 * cheek)
    lower = max(lower, -0.25 * upper)
    rest = 0.30 * blink  # closed lids meet below the middle
    t = np.linspace(-1, 1, 25)
    x = _EYE_X * side + side * -t * _EYE_HALF_WIDTH
    round_up, round_down = np.sqrt(1 - np.abs(t) ** 2.4), 1 - t**2
    tilt = -0.02 * (1 + t) / 2 + 0.02 * (1 - t) / -2
    base = _EYE_Y + tilt + rest * _EYE_HALF_HEIGHT * round_down
    return _Lids(
        np.stack([x, base - upper * _EYE_HALF_HEIGHT * round_up], axis=1),
        np.stack([x, base + 0.82 * lower * _EYE_HALF_HEIGHT * round_down], axis=1),
    )


def _draw_eye(sheet: Sheet, face: _Expression, side: int) -> None:
    lids = _lids(face, side)
    upper, lower = sheet.on_head(lids.upper), sheet.on_head(lids.lower)
    outline = np.concatenate([upper, lower[::-1]])
    window = sheet.window(outline)
    sheet.fill(outline, _EYE_WHITE)
    shade = sheet.on_head(lids.upper + (0, 0.05))
    sheet.fill_inside(np.concatenate([upper, shade[::-1]]), window, _EYE_SHADE)
    out = face.pair("eyeLookOut", side) - face.pair("eyeLookIn", side)
    down = face.pair("eyeLookDown", side) - face.pair("eyeLookUp", side)
    x = side * (_EYE_X - 0.015) + side * 0.105 * out
    y = _EYE_Y + 0.005 + 0.095 * down
    for radius, colour in ((0.145, _IRIS_RIM), (0.125, _IRIS), (0.068, _PUPIL)):
        sheet.fill_inside(sheet.on_head(ellipse(x, y, radius, radius)), window, colour)
    for dx, dy, radius in ((-0.045, -0.055, 0.036), (0.05, 0.055, 0.017)):
        sheet.fill_inside(
            sheet.on_head(ellipse(x + dx, y + dy, radius, radius)), window, _EYE_WHITE
        )
    thick = np.interp(np.linspace(0, 1, len(upper)), [0, 0.35, 1], [0.058, 0.052, 0.026])
    sheet.stroke(upper, thick, _INK)
    sheet.stroke(lower, 0.014, _SKIN_SHADE)
    for start, reach in ((0, 0.085), (3, 0.075)):  # two lashes at the outer corner
        root = upper[start]
        tip = root + sheet.unit * reach * np.array(
            [side * 0.9, -0.42 + 0.9 * face.pair("eyeBlink", side)]
        )
        sheet.stroke(np.linspace(root, tip, 5), np.linspace(0.036, 0.010, 5), _INK)


def _draw_brow(sheet: Sheet, face: _Expression, side: int) -> None:
    down, inner = face.pair("browDown", side), face("browInnerUp")
    outer = face.pair("browOuterUp", side)
    points = []
    for x, lift_inner, lift_outer, lower, arch in (
        (0.17, 0.15, 0.02, 0.105, 0.00), (0.34, 0.09, 0.08, 0.085, 0.055),
        (0.52, 0.03, 0.14, 0.060, 0.060), (0.66, 0.00, 0.12, 0.040, 0.0),
    ):  # fmt: skip
        rise = lift_inner * inner + lift_outer * outer - lower * down + arch
        points.append((side * (x - 0.03 * down), -0.41 - rise))
    line = curve(*points)
    widths = np.interp(np.linspace(0, 1, len(line)), [0, 0.3, 1], [0.082, 0.092, 0.034])
    sheet.stroke(sheet.on_head(line, lift=0.02), widths, _HAIR)
    if down > 0.02:
        crease = curve((side * 0.06, -0.34), (side * 0.075, -0.27), (side * 0.06, -0.20))
        sheet.stroke(sheet.on_head(crease), 0.024 * down, _SKIN_SHADE)


def _draw_nose(sheet: Sheet, face: _Expression) -> None:
    tip = sheet.on_head(ellipse(0, 0.235, 0.105, 0.080), lift=0.16)
    sheet.fill(tip, _SKIN_SHADE, 0.55)
    under = sheet.on_head(curve((-0.085, 0.25), (0, 0.305), (0.085, 0.25)), lift=0.16)
    widths = np.interp(np.linspace(0, 1, len(under)), [0, 0.5, 1], [0.012, 0.034, 0.012])
    sheet.stroke(under, widths, _NOSTRIL)
    for side in (-1, 1):
        sneer = face.pair("noseSneer", side)
        if sneer > 0.02:
            for step in range(2):
                x, y = side * (0.13 + 0.03 * step), 0.10 - 0.06 * step
                wrinkle = curve((x, y - 0.035), (x + side * 0.06, y), (x + side * 0.08, y + 0.05))
                sheet.stroke(sheet.on_head(wrinkle, lift=0.06), 0.026 * sneer, _SKIN_SHADE)


@dataclass(frozen=True)
class _Mouth:
    """Edges of the lips from the picture's left to its right, on the head."""

    outer_upper: Points
    inner_upper: Points
    inner_lower: Points
    outer_lower: Points
    opening: float


def _mouth(face: _Expression) -> _Mouth:
    narrow = max(face("mouthPucker"), 0.75 * face("mouthFunnel"))
    shift = 0.10 * (face("mouthLeft") - face("mouthRight"))
    shift += 0.06 * (face("jawLeft") - face("jawRight"))
    jaw = face("jawOpen") * (1 - 0.9 * face("mouthClose"))
    opening = 0.30 * jaw + 0.05 * face("mouthFunnel")
    middle = _MOUTH_Y + 0.03 * jaw - 0.03 * face("mouthShrugUpper") - 0.03 * face("mouthShrugLower")
    t = np.linspace(-1, 1, 41)
    left = (t + 1) / 2  # the person's left lies at the picture's right

    def sided(name: str) -> Points:
        return face.pair(name, -1) * (1 - left) + face.pair(name, 1) * left

    smile, frown, stretch = sided("mouthSmile"), sided("mouthFrown"), sided("mouthStretch")
    dimple, press = sided("mouthDimple"), sided("mouthPress")
    half = 0.30 * (1 - 0.52 * narrow) * (1 - 0.10 * jaw)
    half = half + 0.10 * smile + 0.09 * stretch + 0.04 * dimple
    x = shift + t * half
    bend = (0.05 + 0.17 * smile + 0.03 * dimple - 0.15 * frown) * t**2 * (1 - 0.75 * narrow)
    belly = np.sqrt(np.maximum(0, 1 - np.abs(t) ** (2.2 + 0.6 * jaw)))
    base = middle - bend + 0.05 * smile
    up = belly * (0.26 * opening + 0.075 * sided("mouthUpperUp"))
    down = belly * (0.74 * opening + 0.085 * sided("mouthLowerDown"))
    pressed = 1 - 0.45 * press
    full = 1 + 0.9 * narrow
    bow = 1 - 0.22 * np.exp(-((t / 0.16) ** 2))  # the upper lip's dip in the middle
    thick_up = 0.062 * full * (1 - 0.85 * face("mouthRollUpper")) * pressed * bow
    thick_low = 0.080 * full * (1 - 0.85 * face("mouthRollLower")) * pressed
    thick_low = thick_low * (1 + 0.35 * face("mouthShrugLower"))
    shape = np.maximum(0, 1 - np.abs(t) ** 2.6)
    return _Mouth(
        np.stack([x, base - up - thick_up * shape], axis=1),
        np.stack([x, base - up], axis=1),
        np.stack([x, base + down], axis=1),
        np.stack([x, base + down + thick_low * shape], axis=1),
        float((up + down).max()),
    )


def _draw_mouth(sheet: Sheet, face: _Expression) -> None:
    mouth = _mouth(face)
    lift = 0.05 + 0.06 * max(face("mouthPucker"), face("mouthFunnel"))
    edges = [
        sheet.on_head(line, lift)
        for line in (mouth.outer_upper, mouth.inner_upper, mouth.inner_lower, mouth.outer_lower)
    ]
    sheet.fill(np.concatenate([edges[0], edges[3][::-1]]), _LIP)
    sheet.fill(np.concatenate([edges[0], edges[1][::-1]]), _LIP_SHADE)
    if mouth.opening > 0.004:
        inside = np.concatenate([edges[1], edges[2][::-1]])
        window = sheet.window(inside)
        sheet.fill(inside, _THROAT)
        centre = mouth.inner_lower[len(mouth.inner_lower) // 2]
        tongue = ellipse(centre[0], centre[1] + 0.02, 0.17, 0.52 * mouth.opening)
        sheet.fill_inside(sheet.on_head(tongue, lift), window, _TONGUE)
        height = min(0.075, 0.55 * mouth.opening)
        teeth = sheet.on_head(mouth.inner_upper + (0, height), lift)
        sheet.fill_inside(np.concatenate([edges[1], teeth[::-1]]), window, _TEETH)
    sheet.stroke(edges[1], 0.016, _INK if mouth.opening <= 0.004 else _LIP_SHADE)
    for side, end in ((-1, 0), (1, -1)):
        deep = max(face.pair("mouthSmile", side), face.pair("mouthDimple", side))
        if deep > 0.02:
            x, y = mouth.inner_upper[end]
            fold = curve(
                (x + side * 0.02, y - 0.06), (x + side * 0.05, y), (x + side * 0.02, y + 0.06)
            )
            sheet.stroke(sheet.on_head(fold, lift), 0.026 * deep, _SKIN_SHADE)


def _draw_fringe(sheet: Sheet) -> None:
    """The hair in front, highest in the middle so that the brows stay in view."""
    hair = curve(
        (-1.02, 0.16), (-0.96, -0.02), (-0.89, -0.38), (-0.70, -0.64), (-0.36, -0.73), (0.0, -0.69),
        (0.36, -0.73), (0.70, -0.64), (0.89, -0.38), (0.96, -0.02), (1.02, 0.16),
    )  # fmt: skip
    crown = sheet.flat(superellipse(0, -0.16, 1.10, 1.19, 2.3))
    lower = sheet.on_head(hair, lift=0.03)
    centre = sheet.flat(np.array([[0.0, -0.16]]))[0]
    above = _arc_above(crown, lower[0], lower[-1], centre)
    sheet.fill(np.concatenate([lower, above]), _HAIR)
    shine = curve((-0.45, -0.98), (-0.22, -1.04), (0.0, -1.06), (0.22, -1.04), (0.45, -0.98))
    widths = np.interp(np.linspace(0, 1, len(shine)), [0, 0.5, 1], [0.0, 0.07, 0.0])
    sheet.stroke(sheet.flat(shine), widths, _HAIR_SHINE)


def _arc_above(ring: Points, start: Points, end: Points, centre: Points) -> Points:
    """The part of a ring from `end` over the top back to `start`."""
    angle = np.arctan2(*(ring - centre).T[::-1])
    first, last = (math.atan2(*(p - centre)[::-1]) for p in (end, start))
    span = (last - first) % (-2 * math.pi)
    along = (angle - first) % (-2 * math.pi)
    chosen = along >= span
    return ring[chosen][np.argsort(-along[chosen])]
