"""Steps in which a view is made fainter, stronger or larger."""

from __future__ import annotations

CONTRASTS = (0.5, 0.7, 1.0, 2.5, 5.0, 9.0)
"""1 is the picture as it is; see `annotate.drawing.contrasted`."""
TEXT_STEP = 1.1


def beside(steps: tuple[float, ...], now: float, way: int) -> float:
    """The step before or after, or the end that is reached."""
    return steps[min(max(steps.index(now) + way, 0), len(steps) - 1)]
