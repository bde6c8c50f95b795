"""A frame with everything that was found in it, as windows, pages, videos and pictures show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.drawing.against import drawn_against
from runtime.drawing.panels import draw_bars, place_inset
from runtime.drawing.strokes import Picture
from runtime.drawing.subjects import drawn
from runtime.results import FrameResult, Subject
from runtime.viewing.controls import AgainstView


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
    face = next((subject for subject in result.subjects if subject.blendshapes), None)
    if face is None or face.blendshapes is None:
        return picture
    if result.against is None or view is AgainstView.first:
        draw_bars(picture, face.blendshapes)
    if look.puppet:
        _draw_puppet(picture, face, face.blendshapes, result, look.mirrored)
    return picture


def _draw_puppet(
    picture: Picture, face: Subject, blendshapes: Mapping[str, float], result: FrameResult,
    mirrored: bool,
) -> None:  # fmt: skip
    from runtime.drawing.puppet import draw_puppet
    from runtime.head_pose import head_pose

    pose = head_pose(face.keypoints_px(result.width, result.height))
    puppet = draw_puppet(blendshapes, pose)
    place_inset(picture, puppet[:, ::-1] if mirrored else puppet)
