"""Whether MediaPipe's hand model sees in our renders what their labels say.

    python benchmarks/hands_mediapipe.py [--out FILE] [--count N] [--size PX] [--seed S]

Renders single hands that nothing but themselves covers, that lie inside the picture and take
`LEAST` of its width or more, widens each picture by a margin as frames have it around a hand, runs
MediaPipe's released hand model on each on its own, and
prints how many it finds, how far its 21 points lie from ours as a share of the palm's size in the
picture (wrist to middle knuckle in space, seen at its distance, so that a hand seen end on doesn't
count for more), and which side it calls them. Beside FILE it writes a picture of the ten that agree
least: ours in green, MediaPipe's in magenta. Needs MediaPipe's models: `viewfinder models fetch`.
"""

from __future__ import annotations

import argparse
import json
import sys
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
from runtime.image import decode_image, write_image
from runtime.solutions import open_solution
from runtime.topology import topology

LEAST = 0.2
MARGIN = 0.5
"""Of the width, added on every side: MediaPipe's palm detector misses hands that fill a picture."""

_BORDER = cv2.BORDER_REPLICATE
FOUND_GOAL, DISTANCE_GOAL = 0.95, 0.10
_WORST, _TILE = 10, 384

Picture = NDArray[np.uint8]


def compare(settings: RenderSettings, count: int) -> tuple[dict[str, Any], Picture]:
    """Figures over `count` renders, and a picture of the worst."""
    renderer = HandRenderer(settings)
    solution = open_solution("hands", models="mediapipe", static=True, max_subjects=1)
    rows: list[dict[str, Any]] = []
    index = -1
    try:
        while len(rows) < count:
            index += 1
            if renderer.draw(index)[0].thing is not None:
                continue
            sample, labels = renderer.render(index)
            if usable(labels[0], settings.size):
                rgb = decode_image(sample.image, str(index))
                rows.append({"index": index, "rgb": rgb, "label": labels[0]})
                wide = cv2.copyMakeBorder(rgb, *[round(MARGIN * settings.size)] * 4, _BORDER)
                rows[-1] |= judged(solution.process(wide, 0), labels[0], renderer, settings.size)
    finally:
        renderer.close()
        solution.close()
    found = [row for row in rows if row["distance"] is not None]
    distances = np.array([row["distance"] for row in found])
    seen = np.array([row["seen"] for row in found])
    worst = sorted(rows, key=lambda row: -(np.inf if row["distance"] is None else row["distance"]))
    figures = {
        "count": count,
        "found": round(len(found) / count, 4),
        "same_side": round(float(np.mean([row["same_side"] for row in found])), 4),
        "median_distance": round(float(np.median(distances)), 4),
        "median_distance_of_seen": round(float(np.nanmedian(seen)), 4),
        "quarter_worse_than": round(float(np.quantile(distances, 0.75)), 4),
        "by_keypoint": np.median([row["each"] for row in found], axis=0).round(4).tolist(),
        "worst": [[row["index"], row["distance"], row["gesture"]] for row in worst[:_WORST]],
        "missed": [row["index"] for row in rows if row["distance"] is None],
        "size": settings.size,
        "seed": settings.seed,
    }
    return figures, sheet(worst[:_WORST])


def usable(label: Label, size: int) -> bool:
    """Whether the whole hand is in the picture, and not too small."""
    assert label.keypoints_px is not None
    assert label.box_px is not None
    inside = (label.keypoints_px > 0.02 * size) & (label.keypoints_px < 0.98 * size)
    return bool(inside.all() and max(label.box_px[2:]) >= LEAST * size)


def judged(subjects: list[Any], label: Label, renderer: HandRenderer, size: int) -> dict[str, Any]:
    """How a picture's answer compares with its label; `distance` None where nothing was found."""
    assert label.keypoints_camera_m is not None
    points_m = label.keypoints_camera_m
    result: dict[str, Any] = {"gesture": label.gesture, "distance": None, "points": None}
    if not subjects:
        return result
    wide = size + 2 * round(MARGIN * size)
    found = subjects[0].keypoints_px(wide, wide)[:, :2] - (wide - size) / 2
    scene = renderer.draw(int(label.sample_id))[0]
    palm_px = scene.camera.fx * np.linalg.norm(points_m[9] - points_m[0]) / points_m[:, 2].mean()
    apart = np.linalg.norm(found - label.keypoints_px, axis=1) / palm_px
    seen = label.visibility == 2
    result |= {
        "points": found,
        "distance": round(float(apart.mean()), 4),
        "seen": float(apart[seen].mean()) if seen.any() else np.nan,
        "each": apart,
        "same_side": subjects[0].handedness == label.handedness,
    }
    return result


def sheet(rows: list[dict[str, Any]]) -> Picture:
    """The pictures in two lines, each with both answers."""
    tiles = []
    for row in rows:
        scale = _TILE / row["rgb"].shape[0]
        tile = cv2.resize(row["rgb"], (_TILE, _TILE), interpolation=cv2.INTER_CUBIC)
        for points, colour in ((row["label"].keypoints_px, (0, 255, 0)),
                               (row["points"], (255, 0, 255))):  # fmt: skip
            if points is None:
                continue
            at = np.rint(points * scale).astype(int)
            for a, b in topology("hand21@1").edges:
                cv2.line(tile, at[a].tolist(), at[b].tolist(), colour, 1, cv2.LINE_AA)
        text = f"{row['index']} {row['gesture']} {row['distance']}"
        cv2.putText(tile, text, (6, 16), 0, 0.45, (255, 255, 0), 1, cv2.LINE_AA)
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 5)
    return np.vstack([np.hstack(tiles[i : i + 5]) for i in range(0, len(tiles), 5)])


def main() -> None:
    """Measure, print, and write the JSON file and the picture of the worst."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("hands_mediapipe.json"))
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    settings = RenderSettings(arguments.seed, arguments.size, "draft", shares=ONE_HAND)
    figures, picture = compare(settings, arguments.count)
    arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    write_image(arguments.out.with_suffix(".png"), picture)
    sys.stdout.write(
        f"found            {figures['found']:.1%}   (goal {FOUND_GOAL:.0%} or more)\n"
        f"median distance  {figures['median_distance']:.1%} of palm size "
        f"(goal {DISTANCE_GOAL:.0%} or less)\n"
        f"same side        {figures['same_side']:.1%}\n"
        f"{arguments.out}\n"
    )


if __name__ == "__main__":
    main()
