"""Hands described in words: which fingers are straight, spread or pinched, and common emblems.

No model and no training: thresholds on bends and distances, set on the hand shapes of the render's
gesture library (joint angles from written descriptions), wide enough for what landmark models get
wrong. Where MediaPipe's classifier has a name for an emblem, it is used here too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime.gestures.features import FINGERS, Array, bends, canonical

NONE = "None"
"""The name of no gesture, as MediaPipe has it."""

EMBLEMS = (
    "Closed_Fist", "Open_Palm", "Pointing_Up", "Thumb_Down", "Thumb_Up", "Victory", "ILoveYou",
    "Pointing", "L", "Two", "Three", "Four", "Call", "Rock", "Pinky_Up", "OK", "Pinch",
)  # fmt: skip
"""What the rules can name."""

_CERTAIN = 0.5
_CHAINS = np.array([[first, first + 1, first + 2, first + 3] for first in range(5, 21, 4)])


@dataclass(frozen=True)
class HandState:
    """How a hand is held; memberships are 0..1.

    Attributes:
        straight: (5,) each finger; the thumb's: stretched away from the palm.
        closed: (5,) each finger bent into the palm; the thumb's: folded across it.
        pinch: tips of thumb and index finger meet.
        spread_rad: (3,) angles between neighbouring fingers, index to pinky.
        directions: (5, 2) unit vectors in the picture (x right, y down) to which each finger
            points.
    """

    straight: Array
    closed: Array
    pinch: float
    spread_rad: Array
    directions: Array

    def pointing(self, finger: int) -> str:
        """Where a finger points in the picture: "up", "down", "left" or "right"."""
        x, y = self.directions[finger].tolist()
        if abs(x) > abs(y):
            return "right" if x > 0 else "left"
        return "down" if y > 0 else "up"

    def to_json(self) -> dict[str, Any]:
        """The state in words and numbers, as it stands beside a gesture's name."""
        words = np.where(self.straight > 0.5, "straight", np.where(self.closed > 0.5, "closed", ""))
        return {
            "fingers": {name: str(word) or "bent" for name, word in zip(FINGERS, words)},
            "directions": {name: self.pointing(i) for i, name in enumerate(FINGERS)},
            "spread_deg": [round(math.degrees(angle), 1) for angle in self.spread_rad.tolist()],
            "pinch": round(self.pinch, 3),
        }


def hand_state(points: Array) -> HandState:
    """How a hand is held.

    Args:
        points: (21, 3) from `runtime.gestures.features.hand_points`.
    """
    hand = canonical(points, None)
    # Lengths over whole fingers rather than angles at each joint, in which noise is worse: how
    # straight the way from knuckle to tip is, and how far the tip reaches beyond the middle joint.
    bones = np.linalg.norm(np.diff(hand[_CHAINS], axis=1), axis=2).sum(axis=1)
    chord = np.linalg.norm(hand[_CHAINS[:, -1]] - hand[_CHAINS[:, 0]], axis=1)
    chord /= np.maximum(bones, 1e-9)
    beyond = np.linalg.norm(hand[_CHAINS[:, -1]] - hand[0], axis=1)
    beyond /= np.maximum(np.linalg.norm(hand[_CHAINS[:, 1]] - hand[0], axis=1), 1e-9)
    straight, closed = np.empty(5), np.empty(5)
    straight[1:] = np.minimum.reduce(
        [_rising(chord, 0.9, 0.97), _rising(beyond, 1.1, 1.25),
         _falling(bends(hand)[1:, 0], 0.8, 1.2)]
    )  # fmt: skip
    closed[1:] = np.minimum(_falling(chord, 0.6, 0.75), _falling(beyond, 0.85, 1.0)) * (bones > 0)
    to_middle, to_pinky = _apart(hand, 4, 9), _apart(hand, 4, 17)
    straight[0] = _rising(to_middle, 2.7, 3.1)
    closed[0] = _falling(to_pinky, 2.1, 2.7)
    ends = hand[[4, 8, 12, 16, 20]] - hand[[2, 5, 9, 13, 17]]
    return HandState(
        straight=straight,
        closed=closed,
        pinch=float(_falling(_apart(hand, 4, 8), 0.7, 1.1)) if hand.any() else 0.0,
        spread_rad=np.array([_angle(ends[i], ends[i + 1]) for i in (1, 2, 3)]),
        directions=ends[:, :2]
        / np.maximum(np.linalg.norm(ends[:, :2], axis=1, keepdims=True), 1e-9),
    )


def emblem(state: HandState) -> tuple[str, float]:
    """The emblem that fits best, and how well: 0..1; `NONE` where none fits."""
    scores = _memberships(state)
    name = max(scores, key=lambda each: scores[each])
    score = scores[name]
    return (name, score) if score >= _CERTAIN else (NONE, 1 - score)


def _memberships(state: HandState) -> dict[str, float]:
    out, *s = state.straight.tolist()
    folded, *c = state.closed.tolist()
    up_thumb, up_index = (float(_rising(-state.directions[i, 1], 0.5, 0.8)) for i in (0, 1))
    down_thumb = float(_rising(state.directions[0, 1], 0.5, 0.8))
    apart = float(_rising(state.spread_rad[0], 0.12, 0.28))
    fist = min(c)
    index = min(s[0], c[1], c[2], c[3])
    two = min(s[0], s[1], c[2], c[3])
    horns = min(s[0], c[1], c[2], s[3])
    all_straight = min(s)
    loose = 1 - out
    return {
        "Closed_Fist": min(fist, loose),
        "Thumb_Up": min(fist, out, up_thumb),
        "Thumb_Down": min(fist, out, down_thumb),
        "Open_Palm": min(all_straight, 1 - folded),
        "Four": min(all_straight, folded),
        "Pointing_Up": min(index, loose, up_index),
        "Pointing": min(index, loose, 1 - up_index),
        "L": min(index, out),
        "Victory": min(two, loose, apart),
        "Two": min(two, loose, 1 - apart),
        "Three": max(min(s[0], s[1], s[2], 1 - s[3], loose), min(two, out)),
        "Call": min(c[0], c[1], c[2], s[3], out),
        "Rock": min(horns, loose),
        "ILoveYou": min(horns, out),
        "Pinky_Up": min(c[0], c[1], c[2], s[3], loose),
        "OK": min(state.pinch, s[1], s[2], s[3]),
        "Pinch": min(state.pinch, 1 - s[1], 1 - fist),
    }


def _rising(value: Any, low: float, high: float) -> Any:
    """0 up to `low`, 1 from `high` on."""
    return np.clip((np.asarray(value) - low) / (high - low), 0, 1)


def _falling(value: Any, low: float, high: float) -> Any:
    """1 up to `low`, 0 from `high` on."""
    return 1 - _rising(value, low, high)


def _apart(hand: Array, a: int, b: int) -> float:
    return float(np.linalg.norm(hand[a] - hand[b]))


def _angle(a: Array, b: Array) -> float:
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return math.acos(max(-1.0, min(1.0, float(a @ b) / lengths))) if lengths else 0.0
