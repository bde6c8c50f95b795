"""A frame with everything that was found in it, as windows, pages, videos and pictures show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.controls import AgainstView
from runtime.draw import drawn
from runtime.draw_against import drawn_against
from runtime.draw_panels import draw_bars, place_inset
from runtime.draw_strokes import Picture
from runtime.results import FrameResult


@dataclass(frozen=True)
class Look:
    """How results are drawn.

    Attributes:
        mirrored: as a mirror shows it.
        puppet: draw a puppet driven by blendshapes.
    """

    mirrored: bool = False
    puppet: bool = False


PLAIN = Look()


def drawn_result(
    rgb: Picture, result: FrameResult, look: Look = PLAIN, view: AgainstView = AgainstView.overlaid
) -> Picture:
    """A copy of the frame with its result drawn on.

    Args:
        rgb: (H, W, 3) uint8.
        result: of that frame.
        look: how.
        view: of two models, where two looked at it.
    """
    if result.against is None:
        picture = drawn(rgb, result.subjects, look.mirrored)
    else:
        picture = drawn_against(rgb, result, view, look.mirrored)
    blendshapes = next((one.blendshapes for one in result.subjects if one.blendshapes), None)
    if blendshapes and (result.against is None or view is AgainstView.first):
        draw_bars(picture, blendshapes)
    if blendshapes and look.puppet:
        _draw_puppet(picture, blendshapes, look.mirrored)
    return picture


def _draw_puppet(picture: Picture, blendshapes: Mapping[str, float], mirrored: bool) -> None:
    from runtime.puppet import draw_puppet

    puppet = draw_puppet(blendshapes)
    place_inset(picture, puppet[:, ::-1] if mirrored else puppet)
