"""Whether MediaPipe's hand model sees in our renders what their labels say.

    python benchmarks/hands_mediapipe.py [--out FILE] [--count N] [--size PX] [--seed S]

Renders single hands that lie inside the picture and take `LEAST` of its width or more, with nothing
held or before them, and asks MediaPipe's released models twice: the hand model where the label says
the hand is, as it follows hands from frame to frame; and palm detector and hand model together, on
the picture with a margin as frames have it around a hand. Prints how many are found and how far the
21 points lie from ours, as a share of the palm's size in the picture (wrist to middle knuckle in
space, seen at its distance, so that a hand seen end on doesn't count for more): over all, over the
unoccluded ones, and by view, pose, size, skin and how much is seen.

A hand covers itself, too: unoccluded is one of which `MOST_SEEN` of 21 points or more are seen, by
the labels' own visibility. With fewer, more than half of the points are a guess for anybody.

Beside FILE it writes a picture of the ten unoccluded ones that agree least, and one of those that
were missed: the picture; ours in green and MediaPipe's in magenta; our label's bones seen from the
palm and from the side. Needs MediaPipe's models: `viewfinder models fetch`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# Run as a script, this file's own folder comes first, where it would pass for the package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bootstrap.dataset import Label
from render.hand_render import HandRenderer
from render.settings import ONE_HAND, RenderSettings
from runtime.camera import Camera
from runtime.image import decode_image, write_image
from runtime.roi import hand_roi_from_landmarks
from runtime.solutions import open_solution
from runtime.solutions.hands import MODELS
from runtime.solutions.landmarks import LandmarkModel
from runtime.solutions.options import SolutionOptions
from runtime.solutions.parts import find_parts
from runtime.topology import topology

LEAST = 0.2
MOST_SEEN = 11
MARGIN = 0.5
"""Of the width, added on every side: MediaPipe's palm detector misses hands that fill a picture."""

FOUND_GOAL, DISTANCE_GOAL = 0.95, 0.10
_MIN_PRESENCE = 0.5  # MediaPipe's own
_WORST, _TILE, _MOST_MISSED = 10, 320, 40
_SIZES_PX = (30, 60, 90)

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Shot:
    """A render: its index, (H, W, 3) picture, label and camera."""

    index: int
    rgb: Picture
    label: Label
    camera: Camera


@dataclass(frozen=True)
class Answer:
    """What MediaPipe says: (21, 2) points in pixels, which hand, and the mean distance from ours
    over all points and over the seen ones, in palms."""

    points_px: Floats
    hand: str
    distance: float
    seen: float
    each: Floats


@dataclass(frozen=True)
class Row:
    """A shot, what it shows by name, and both answers, None where nothing was found."""

    shot: Shot
    facts: dict[str, str]
    model: Answer | None
    pipeline: Answer | None
    seen_points: int


def renders(settings: RenderSettings, count: int) -> Iterator[Shot]:
    """The first `count` renders that count."""
    renderer = HandRenderer(settings, threads=1)
    index = -1
    try:
        while count:
            index += 1
            if renderer.draw(index)[0].thing is not None:
                continue
            sample, labels = renderer.render(index)
            if usable(labels[0], settings.size):
                assert sample.camera is not None
                count -= 1
                rgb = decode_image(sample.image, str(index))
                yield Shot(index, rgb, labels[0], sample.camera)
    finally:
        renderer.close()


def usable(label: Label, size: int) -> bool:
    """Whether the whole hand is in the picture, and not too small."""
    assert label.keypoints_px is not None
    assert label.box_px is not None
    inside = (label.keypoints_px > 0.02 * size) & (label.keypoints_px < 0.98 * size)
    return bool(inside.all() and max(label.box_px[2:]) >= LEAST * size)


class Reader:
    """MediaPipe's hand model alone, and behind its palm detector."""

    def __init__(self) -> None:
        options = SolutionOptions(models="mediapipe", static=True)
        part = find_parts(options, "hand", MODELS, ("landmarks",), topology="hand")["landmarks"]
        self._model = LandmarkModel(part.load(options), part.card)
        self._solution = open_solution("hands", models="mediapipe", static=True, max_subjects=1)

    def close(self) -> None:
        """Let go of the models."""
        self._solution.close()

    def row(self, shot: Shot) -> Row:
        """Both answers to a render."""
        label = shot.label
        assert label.visibility is not None
        facts = described(shot)
        seen = int((label.visibility == 2).sum())
        return Row(shot, facts, self._in_region(shot), self._in_frame(shot), seen)

    def _in_region(self, shot: Shot) -> Answer | None:
        height, width = shot.rgb.shape[:2]
        size = np.array([width, height])
        roi = hand_roi_from_landmarks(shot.label.keypoints_px / size, (width, height))
        found = self._model.run(shot.rgb, roi, _MIN_PRESENCE)
        if found is None:
            return None
        hand = "right" if (found.right_hand or 0.0) > 0.5 else "left"
        return answer(shot, found.keypoints[:, :2] * size, hand)

    def _in_frame(self, shot: Shot) -> Answer | None:
        margin = round(MARGIN * shot.rgb.shape[0])
        wide = np.asarray(
            cv2.copyMakeBorder(shot.rgb, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
        )
        subjects = self._solution.process(wide, 0)
        if not subjects:
            return None
        points = subjects[0].keypoints_px(wide.shape[1], wide.shape[0])[:, :2] - margin
        return answer(shot, points, subjects[0].handedness or "")


def palm_px(shot: Shot) -> float:
    """The palm's size in the picture."""
    points_m = shot.label.keypoints_camera_m
    assert points_m is not None
    palm_m = np.linalg.norm(points_m[9] - points_m[0])
    return float(shot.camera.fx * palm_m / points_m[:, 2].mean())


def answer(shot: Shot, points_px: Floats, hand: str) -> Answer:
    """MediaPipe's points, compared with the label's."""
    label = shot.label
    assert label.keypoints_px is not None
    assert label.visibility is not None
    each = np.linalg.norm(points_px - label.keypoints_px, axis=1) / palm_px(shot)
    seen = label.visibility == 2
    of_seen = float(each[seen].mean()) if seen.any() else np.nan
    return Answer(points_px, hand, float(each.mean()), of_seen, each)


# -- what a render shows --------------------------------------------------------------------------


def hand_axes(points_m: NDArray[Any], hand: str) -> Floats:
    """(3, 3) unit rows: toward the thumb's side, along the hand, out of the palm."""
    along = points_m[9] - points_m[0]
    along = along / np.linalg.norm(along)
    aside = points_m[5] - points_m[17]
    aside = aside - (aside @ along) * along
    aside = aside / np.linalg.norm(aside)
    out = np.cross(aside, along) * (1 if hand == "right" else -1)
    return np.stack([aside, along, out])


def described(shot: Shot) -> dict[str, str]:
    """View, pose, size, skin and how much is seen, as the tables have them."""
    label = shot.label
    assert label.keypoints_camera_m is not None
    assert label.handedness is not None
    assert label.visibility is not None
    points_m = label.keypoints_camera_m.astype(np.float64)
    eye = -points_m[[0, 5, 17]].mean(axis=0)
    toward = hand_axes(points_m, label.handedness) @ (eye / np.linalg.norm(eye))
    side = int(np.abs(toward).argmax())
    names = (("thumb's edge", "little finger's edge"), ("fingertips", "arm"), ("palm", "back"))
    seen = int((label.visibility == 2).sum())
    bins = ("far", "small", "middle", "large")
    return {
        "view": names[side][int(toward[side] < 0)],
        "pose": str(label.attributes["pose"]),
        "palm": bins[int(np.digitize(palm_px(shot), _SIZES_PX))],
        "tone": str(label.attributes["tone"]),
        "points seen": "0-10" if seen < 11 else "11-15" if seen < 16 else "16-21",
    }


# -- figures --------------------------------------------------------------------------------------


def figures_of(rows: list[Row]) -> dict[str, Any]:
    """How many were found, and how far off."""
    result: dict[str, Any] = {"count": len(rows)}
    for name, of in (("model", _model), ("pipeline", _pipeline)):
        found = [a for a in map(of, rows) if a is not None]
        hands = [a.hand == r.shot.label.handedness for r in rows if (a := of(r)) is not None]
        result[name] = {"found": round(len(found) / max(len(rows), 1), 4)}
        if found:
            result[name] |= {
                "median_distance": round(float(np.median([a.distance for a in found])), 4),
                "median_distance_of_seen": round(float(np.nanmedian([a.seen for a in found])), 4),
                "quarter_worse_than": round(
                    float(np.quantile([a.distance for a in found], 0.75)), 4
                ),
                "same_side": round(float(np.mean(hands)), 4),
                "by_keypoint": np.median([a.each for a in found], axis=0).round(4).tolist(),
            }
    return result


def compare(shots: Iterable[Shot]) -> tuple[dict[str, Any], list[Row]]:
    """Figures over renders, and every row, the unoccluded ones that agree least first."""
    reader = Reader()
    try:
        rows = [reader.row(shot) for shot in shots]
    finally:
        reader.close()
    rows.sort(key=lambda row: (row.seen_points < MOST_SEEN, -distance(row)))
    clear = [row for row in rows if row.seen_points >= MOST_SEEN]
    names = list(rows[0].facts) if rows else []
    tables = {
        name: {
            value: figures_of([row for row in rows if row.facts[name] == value])
            for value in sorted({row.facts[name] for row in rows})
        }
        for name in names
    }
    return {"all": figures_of(rows), "unoccluded": figures_of(clear), "by": tables}, rows


def distance(row: Row) -> float:
    """Of the hand model's answer; infinite without one."""
    return np.inf if row.model is None else row.model.distance


def _model(row: Row) -> Answer | None:
    return row.model


def _pipeline(row: Row) -> Answer | None:
    return row.pipeline


def report(figures: dict[str, Any]) -> str:
    """As text."""
    lines = [f"{'':24}{'n':>5}   hand model   with palm detector"]
    groups = [("all", figures["all"]), ("unoccluded", figures["unoccluded"])]
    for name, table in figures["by"].items():
        groups += [(f"{name}: {value}", found) for value, found in table.items()]
    for title, found in groups:
        cells = []
        for which in ("model", "pipeline"):
            off = found[which].get("median_distance")
            cells.append(f"{found[which]['found']:6.1%} {'-' if off is None else f'{off:.1%}':>6}")
        lines.append(f"{title:24}{found['count']:5d}   {cells[0]}   {cells[1]}")
    lines.append(f"goals: {FOUND_GOAL:.0%} or more found, {DISTANCE_GOAL:.0%} of the palm or less")
    return "\n".join(lines) + "\n"


# -- pictures -------------------------------------------------------------------------------------


def sheet(rows: list[Row], of: Callable[[Row], Answer | None]) -> Picture:
    """A line of four tiles for each render: plain, with both answers, the label from two sides."""
    lines = [np.hstack([*_views(row, of(row)), *_bones(row)]) for row in rows]
    while len(lines) % 2:
        lines.append(np.zeros_like(lines[0]))
    half = len(lines) // 2
    return np.hstack([np.vstack(lines[:half]), np.vstack(lines[half:])])


def _views(row: Row, found: Answer | None) -> list[Picture]:
    points = row.shot.label.keypoints_px
    assert points is not None
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    side = max(1.4 * float(np.ptp(points, axis=0).max()), 40.0)
    scale = _TILE / side
    to_tile = np.hstack([np.eye(2) * scale, (_TILE / 2 - middle * scale)[:, None]])
    plain = cv2.warpAffine(
        row.shot.rgb, to_tile, (_TILE, _TILE), flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    drawn = plain.copy()
    _draw(drawn, (points - middle) * scale + _TILE / 2, (0, 255, 0))
    off = "missed"
    if found is not None:
        _draw(drawn, (found.points_px - middle) * scale + _TILE / 2, (255, 0, 255))
        off = f"{found.distance:.2f}"
    text = f"{row.shot.index} {row.shot.label.gesture or row.facts['pose']} {off}"
    for i, words in enumerate((text, f"{row.facts['view']}, {row.seen_points} seen")):
        cv2.putText(plain, words, (6, 16 + 17 * i), 0, 0.45, (255, 255, 0), 1, cv2.LINE_AA)
    return [plain, drawn]


def _bones(row: Row) -> list[Picture]:
    """The label in space: from the palm, and from the thumb's side."""
    label = row.shot.label
    assert label.keypoints_camera_m is not None
    assert label.handedness is not None
    points_m = label.keypoints_camera_m.astype(np.float64)
    local = (points_m - points_m.mean(axis=0)) @ hand_axes(points_m, label.handedness).T
    flip = 1 if label.handedness == "right" else -1
    tiles = []
    for name, axes in (("palm", (flip * local[:, 0], -local[:, 1])),
                       ("side", (flip * local[:, 2], -local[:, 1]))):  # fmt: skip
        tile = np.full((_TILE, _TILE, 3), 30, dtype=np.uint8)
        _draw(tile, np.stack(axes, axis=1) * _TILE / 0.24 + _TILE / 2, (0, 255, 0))
        cv2.putText(tile, f"label: {name}", (6, 16), 0, 0.45, (200, 200, 200), 1, cv2.LINE_AA)
        tiles.append(tile)
    return tiles


def _draw(tile: Picture, points: NDArray[Any], colour: tuple[int, int, int]) -> None:
    at = np.rint(points).astype(int)
    for a, b in topology("hand21@1").edges:
        cv2.line(tile, at[a].tolist(), at[b].tolist(), colour, 1, cv2.LINE_AA)
    cv2.circle(tile, at[4].tolist(), 3, colour, -1, cv2.LINE_AA)


def main() -> None:
    """Measure, print, and write the JSON file and the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("hands_mediapipe.json"))
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    settings = RenderSettings(arguments.seed, arguments.size, "draft", shares=ONE_HAND)
    write(arguments.out, settings, *compare(renders(settings, arguments.count)))


def write(out: Path, settings: RenderSettings, figures: dict[str, Any], rows: list[Row]) -> None:
    """Print the figures; write them and the pictures."""
    missed = [row for row in rows if row.pipeline is None]
    figures |= {
        "worst": [
            [r.shot.index, round(distance(r), 4), r.shot.label.gesture] for r in rows[:_WORST]
        ],
        "missed": sorted(row.shot.index for row in missed),
        "size": settings.size,
        "seed": settings.seed,
        "unoccluded_from": MOST_SEEN,
    }
    out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    write_image(out.with_suffix(".worst.png"), sheet(rows[:_WORST], _model))
    if missed:
        write_image(out.with_suffix(".missed.png"), sheet(missed[:_MOST_MISSED], _model))
    sys.stdout.write(report(figures) + f"{out}\n")


if __name__ == "__main__":
    main()
