"""A first box out of one frame, by a network: one's own, or MediaPipe's for the category."""

from __future__ import annotations

from arsession.cuboid_file import Cuboid
from arsession.session import Session
from runtime.solutions import Solution

_MEDIAPIPES, _LEAST_SCORE = ("cup", "camera", "chair", "shoe"), 0.3


def proposed(recording: Session, frame: int, category: str, model: str | None) -> Cuboid:
    """The surest box of a frame, as clicks.

    Args:
        recording: with pictures.
        frame: to look at.
        category: what the box is called.
        model: a bundle that finds boxes; MediaPipe's networks when None.

    Raises:
        ViewfinderError: no such model, or it found nothing.
    """
    from arsession.proposal import propose

    return propose(recording, _solution(category, model), [frame], category)


def _solution(category: str, model: str | None) -> Solution:
    from runtime.solutions import open_solution

    if model is not None:
        return open_solution(
            "objectron", model, max_subjects=1, static=True, min_score=_LEAST_SCORE
        )
    variant = category if category in _MEDIAPIPES else "chair"
    return open_solution(
        "objectron", None, variant=variant, models="mediapipe", max_subjects=1, static=True,
        min_score=_LEAST_SCORE,
    )  # fmt: skip
