"""Whether MediaPipe's pose model sees in our renders what their labels say.

    python benchmarks/bodies_mediapipe.py [--out FILE] [--count N] [--size PX] [--seed S]

Renders single bodies that lie inside the picture and take `LEAST` of it or more, the camera held
upright, runs MediaPipe's released pose model (full) on each on its own, and prints how many it
finds and how far its 33 points lie from ours as a share of the torso (middle of the shoulders to
middle of the hips in space, seen at its distance), over all points and over those that the label
calls visible. A body counts as found where MediaPipe's answer is one, its torso within half a
torso of ours. For pictures from in front, the median offset of every joint, outward and up along
the trunk, says on which side a systematic difference lies. Beside FILE it writes a picture of the
ten that agree least: ours in green, MediaPipe's in magenta. Needs MediaPipe's models: `viewfinder
models fetch`.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# Run as a script, this file's own folder comes first, where it would pass for the package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bootstrap.dataset import Label
from render.bodies import BodySettings, BodyShares
from render.body_render import BodyRenderer
from runtime.camera import Camera
from runtime.image import decode_image, write_image
from runtime.solutions import open_solution
from runtime.topology import topology

LEAST = 0.35
FOUND_WITHIN = 0.5
IN_FRONT_DEG = 40.0
LAYOUT = topology("pose33@1")
_WORST, _TILE = 10, 384

Picture = NDArray[np.uint8]


def compare(settings: BodySettings, count: int) -> tuple[dict[str, Any], Picture]:
    """Figures over `count` renders, and a picture of the worst."""
    renderer = BodyRenderer(settings)
    solution = open_solution("pose", models="mediapipe", static=True, max_subjects=1)
    rows: list[dict[str, Any]] = []
    index = -1
    try:
        while len(rows) < count:
            index += 1
            if renderer.draw(index)[0].view.shows != "whole":
                continue
            sample, labels = renderer.render(index)
            if not usable(labels[0], settings.size):
                continue
            rgb = decode_image(sample.image, str(index))
            row = {"index": index, "rgb": rgb, "label": labels[0]}
            rows.append(row | judged(solution.process(rgb, 0), labels[0], sample.camera))
    finally:
        renderer.close()
        solution.close()
    found = [row for row in rows if row["found"]]
    worst = sorted(rows, key=lambda row: -row["distance"])
    figures = {
        "count": count,
        "found": round(len(found) / count, 4),
        "median_distance": _rounded(np.median([row["distance"] for row in found])),
        "mean_distance": _rounded(np.mean([row["distance"] for row in found])),
        "mean_distance_of_seen": _rounded(np.nanmean([row["seen"] for row in found])),
        "upright_found": _rounded(np.mean([row["found"] for row in rows if upright(row)])),
        "upright_mean_distance_of_seen": _rounded(
            np.nanmean([row["seen"] for row in found if upright(row)])
        ),
        "by_keypoint_of_seen": by_keypoint(found),
        "offsets_in_front": offsets([row for row in found if upright(row) and in_front(row)]),
        "worst": [[row["index"], _rounded(row["distance"]), row["name"]] for row in worst[:_WORST]],
        "missed": [[row["index"], row["name"]] for row in rows if not row["found"]],
        "size": settings.size,
        "seed": settings.seed,
    }
    return figures, sheet(worst[:_WORST])


def usable(label: Label, size: int) -> bool:
    """Whether the whole body is in the picture, and not too small."""
    if label.keypoints_px is None or label.box_px is None:
        return False
    inside = (label.keypoints_px > 0.01 * size) & (label.keypoints_px < 0.99 * size)
    return bool(inside.all() and max(label.box_px[2:]) >= LEAST * size)


def upright(row: dict[str, Any]) -> bool:
    """Whether the trunk stands within 50 degrees of the picture's vertical, seen about level."""
    points = row["label"].keypoints_px
    up = points[[11, 12]].mean(axis=0) - points[[23, 24]].mean(axis=0)
    level = abs(row["label"].attributes["elevation_deg"]) < 30
    return bool(level and abs(math.atan2(up[0], -up[1])) < math.radians(50))


def in_front(row: dict[str, Any]) -> bool:
    """Whether the body is seen about from in front."""
    return abs(row["label"].attributes["azimuth_deg"]) < IN_FRONT_DEG


def judged(subjects: list[Any], label: Label, camera: Camera) -> dict[str, Any]:
    """How a picture's answer compares with its label; `distance` inf where there was none."""
    points_m, points_px = label.keypoints_camera_m, label.keypoints_px
    assert points_m is not None
    assert points_px is not None
    result: dict[str, Any] = {
        "name": "+".join(label.attributes["poses"]),
        "found": False, "distance": math.inf, "seen": np.nan, "points": None,
    }  # fmt: skip
    if not subjects:
        return result
    middle = [points_m[pair].mean(axis=0) for pair in ([11, 12], [23, 24])]
    torso_px = camera.fx * np.linalg.norm(middle[0] - middle[1]) / points_m[:, 2].mean()
    return result | _apart(subjects[0], label, camera.width, float(torso_px))


def _apart(subject: Any, label: Label, size: int, torso_px: float) -> dict[str, Any]:
    assert label.keypoints_px is not None
    points = subject.keypoints_px(size, size)[:, :2]
    each = np.linalg.norm(points - label.keypoints_px, axis=1) / torso_px
    seen = label.visibility == 2
    trunk = float(each[[11, 12, 23, 24]].mean())
    return {
        "points": points,
        "found": trunk <= FOUND_WITHIN,
        "distance": float(each.mean()),
        "seen": float(each[seen].mean()) if seen.any() else np.nan,
        "each": np.where(seen, each, np.nan),
        "torso_px": torso_px,
    }


def by_keypoint(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Median distance of each keypoint where it is seen, left and right together."""
    each = np.array([row["each"] for row in rows])
    both = np.nanmedian(np.stack([each, each[:, list(LAYOUT.mirror)]]), axis=(0, 1))
    return {_kind(name): _rounded(both[k]) for k, name in enumerate(LAYOUT.keypoint_names)}


def offsets(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Median of MediaPipe's place minus ours, outward from the trunk's line and up along it, as
    shares of the torso: left and right together."""
    sums: dict[str, list[NDArray[np.float64]]] = {}
    for row in rows:
        points = row["label"].keypoints_px
        up = points[[11, 12]].mean(axis=0) - points[[23, 24]].mean(axis=0)
        up = up / np.linalg.norm(up)
        left = points[11] - points[12]
        left = left - (left @ up) * up
        left = left / np.linalg.norm(left)
        for k, name in enumerate(LAYOUT.keypoint_names):
            if row["label"].visibility[k] == 2:
                away = (row["points"][k] - points[k]) / row["torso_px"]
                outward = left if "left" in name else -left
                sums.setdefault(_kind(name), []).append(np.array([away @ outward, away @ up]))
    return {
        name: np.median(each, axis=0).astype(float).round(3).tolist() for name, each in sums.items()
    }


def _kind(name: str) -> str:
    return "_".join(word for word in name.split("_") if word not in ("left", "right"))


def _rounded(value: Any) -> float:
    return round(float(value), 4)


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
            for a, b in LAYOUT.edges:
                cv2.line(tile, at[a].tolist(), at[b].tolist(), colour, 1, cv2.LINE_AA)
        text = f"{row['index']} {row['name']} {row['distance']:.2f}"
        cv2.putText(tile, text, (6, 16), 0, 0.45, (255, 255, 0), 1, cv2.LINE_AA)
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 5)
    return np.vstack([np.hstack(tiles[i : i + 5]) for i in range(0, len(tiles), 5)])


def main() -> None:
    """Measure, print, and write the JSON file and the picture of the worst."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("bodies_mediapipe.json"))
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    shares = BodyShares(negatives=0.0, turned=0.0, upper=0.0)
    settings = BodySettings(arguments.seed, arguments.size, "draft", body_shares=shares)
    figures, picture = compare(settings, arguments.count)
    arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    write_image(arguments.out.with_suffix(".png"), picture)
    sys.stdout.write(
        f"found                    {figures['found']:.1%}, upright {figures['upright_found']:.1%}\n"
        f"mean distance             {figures['mean_distance']:.1%} of the torso\n"
        f"of visible points         {figures['mean_distance_of_seen']:.1%}, "
        f"upright {figures['upright_mean_distance_of_seen']:.1%}\n"
        f"{arguments.out}\n"
    )


if __name__ == "__main__":
    main()
