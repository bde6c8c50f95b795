"""Facial expressions: named kinds, each a few facial actions with ranges, and sparse mixtures."""

from __future__ import annotations

import numpy as np

Rng = np.random.Generator


def draw_expression(rng: Rng) -> tuple[str, dict[str, float]]:
    """A named kind of expression and its facial actions, 0..1."""
    kinds = list(_EXPRESSIONS)
    weights = np.array([_EXPRESSIONS[k][0] for k in kinds], dtype=np.float64)
    kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
    actions: dict[str, float] = {}
    for name, (low, high) in _EXPRESSIONS[kind][1].items():
        _act(actions, rng, name, float(rng.uniform(low, high)))
    for name in rng.choice(_SPARSE, 3 if kind != "mixed" else 7, replace=False):
        if rng.uniform() < (0.35 if kind != "mixed" else 0.8):
            _act(actions, rng, str(name), float(rng.uniform(0, 0.5 if kind != "mixed" else 0.8)))
    if kind not in ("blink", "wink") and rng.uniform() < 0.2:
        _act(actions, rng, "eyeBlink", float(rng.beta(1.0, 4.0)))
    parted = any(actions.get(name, 0.0) > 0.02 for name in _PARTING)
    if not parted and rng.uniform() < 0.8:
        actions["mouthClose"] = float(rng.uniform(*_SHUT))
    return kind, _plausible(actions)


def _act(actions: dict[str, float], rng: Rng, name: str, value: float) -> None:
    sides = (f"{name}Left", f"{name}Right") if name in _PAIRED else (name,)
    uneven = float(rng.normal(0, 0.06 if "Blink" not in name else 0.015))
    for side, sign in zip(sides, (1, -1)):
        amount = value * (1 + sign * uneven) if len(sides) == 2 else value
        actions[side] = float(np.clip(max(actions.get(side, 0.0), amount), 0, 1))


def _plausible(actions: dict[str, float]) -> dict[str, float]:
    """Takes back what can't go together."""
    for first, second in (
        ("jawLeft", "jawRight"), ("mouthLeft", "mouthRight"), ("mouthFunnel", "mouthPucker"),
        ("mouthRollLower", "mouthFunnel"), ("mouthRollUpper", "mouthFunnel"),
    ):  # fmt: skip
        if actions.get(first, 0) and actions.get(second, 0):
            actions[second] = 0.0
    for side in ("Left", "Right"):
        shut = actions.get(f"eyeBlink{side}", 0.0)
        for other in ("eyeWide", "eyeSquint"):
            # Lids that are nearly shut can't be opened wide or squeezed on.
            if f"{other}{side}" in actions:
                actions[f"{other}{side}"] *= 1 - shut
        if actions.get(f"mouthSmile{side}", 0) > 0.3 and f"mouthFrown{side}" in actions:
            actions[f"mouthFrown{side}"] = 0.0
        if f"mouthStretch{side}" in actions:
            actions[f"mouthStretch{side}"] *= 1 - 0.7 * actions.get("mouthPucker", 0.0)
    # An open jaw pulls rolled lips apart; tongues need room.
    jaw = actions.get("jawOpen", 0.0)
    for name in ("mouthRollLower", "mouthRollUpper"):
        if name in actions:
            actions[name] *= max(0.0, 1 - 2 * jaw)
    if actions.get("tongueOut", 0.0):
        actions["jawOpen"] = max(jaw, 0.35)
    return {name: round(value, 4) for name, value in actions.items() if value > 1e-3}


_PAIRED = frozenset(
    "browDown browOuterUp cheekSquint eyeBlink eyeSquint eyeWide mouthDimple mouthFrown "
    "mouthLowerDown mouthPress mouthSmile mouthStretch mouthUpperUp noseSneer".split()
)

_SPARSE = (
    "browDown browOuterUp browInnerUp cheekPuff cheekSquint eyeSquint eyeWide jawForward jawLeft "
    "jawRight jawOpen mouthDimple mouthFrown mouthFunnel mouthLeft mouthRight mouthLowerDown "
    "mouthPress mouthPucker mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper "
    "mouthSmile mouthStretch mouthUpperUp noseSneer"
).split()

_PARTING = ("jawOpen", "mouthUpperUpLeft", "mouthLowerDownLeft", "mouthFunnel", "tongueOut")
_SHUT = (0.03, 0.055)
"""Anny's lips are 1.1 to 2.3 mm apart at rest; so much of `mouthClose` brings them together."""

_Ranges = dict[str, tuple[float, float]]
# Kind -> how often, and its actions' ranges.
_EXPRESSIONS: dict[str, tuple[float, _Ranges]] = {
    "neutral": (2.0, {}),
    "smile": (2.0, {"mouthSmile": (0.3, 0.85), "cheekSquint": (0.1, 0.6), "eyeSquint": (0.0, 0.5)}),
    "laugh": (
        1.8,
        {
            "mouthSmile": (0.5, 1.0), "jawOpen": (0.1, 0.45), "mouthUpperUp": (0.2, 0.9),
            "cheekSquint": (0.3, 0.8), "eyeSquint": (0.2, 0.7),
        },
    ),
    "grin": (
        2.2,
        {"mouthSmile": (0.5, 1.0), "mouthUpperUp": (0.3, 1.0), "mouthLowerDown": (0.1, 0.8),
         "mouthStretch": (0.0, 0.4), "jawOpen": (0.0, 0.08), "cheekSquint": (0.0, 0.7),
         "eyeSquint": (0.0, 0.5)},
    ),
    "talk": (2.0, {"jawOpen": (0.05, 0.4), "mouthLowerDown": (0.0, 0.5)}),
    "rounded": (0.8, {"mouthPucker": (0.4, 1.0), "jawOpen": (0.0, 0.15)}),
    "funnel": (0.7, {"mouthFunnel": (0.3, 0.9), "jawOpen": (0.1, 0.4)}),
    "surprise": (
        1.0,
        {"jawOpen": (0.25, 0.75), "browInnerUp": (0.4, 1.0), "browOuterUp": (0.4, 1.0),
         "eyeWide": (0.4, 1.0)},
    ),
    "anger": (
        0.8,
        {"browDown": (0.5, 1.0), "eyeSquint": (0.2, 0.6), "mouthPress": (0.1, 0.7),
         "noseSneer": (0.0, 0.6)},
    ),
    "sad": (
        0.8,
        {"browInnerUp": (0.5, 1.0), "mouthFrown": (0.3, 0.9), "mouthShrugLower": (0.0, 0.6)},
    ),
    "disgust": (0.5, {"noseSneer": (0.5, 1.0), "mouthUpperUp": (0.2, 0.7), "browDown": (0.2, 0.7)}),
    "shout": (0.6, {"jawOpen": (0.5, 0.9), "mouthStretch": (0.2, 0.7), "browDown": (0.0, 0.6)}),
    "blink": (1.2, {"eyeBlink": (0.8, 1.0)}),
    "wink": (0.3, {"eyeBlinkLeft": (0.85, 1.0), "mouthSmileLeft": (0.2, 0.6)}),
    "tongue": (0.2, {"tongueOut": (0.4, 0.8), "jawOpen": (0.35, 0.5)}),
    "mixed": (2.5, {}),
}  # fmt: skip
