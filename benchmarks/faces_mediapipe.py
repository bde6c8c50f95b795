"""Whether MediaPipe's face mesh sees in our renders what their labels say.

    python benchmarks/faces_mediapipe.py [--out FILE] [--count N] [--size PX] [--seed S]
        [--renders DIR] [--face-model FILE]

Renders single faces, nothing worn and nothing before them, that lie inside the picture and are
turned `YAW` degrees aside at most, and runs MediaPipe 0.10.14's face mesh with attention, in our
runtime, on each on its own. Prints how many it finds and how far its points lie from ours in % of
the interocular distance in the picture: by region, by yaw, with mean offsets in axes fixed to the
face (to the subject's left, up); irises of shut eyes stand apart. The fit of the mapping
(`--fit-mapping`) must have used another seed. Beside FILE it writes a picture of the ten that agree
least: ours in green, MediaPipe's in magenta. Renders are kept in DIR and taken from there again.
Needs MediaPipe's models: `viewfinder models fetch`.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# Run as a script, this file's own folder comes first, where it would pass for the package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from render.face_mapping_run import mediapipe_detector
from render.faces import FaceSettings, face_renderers
from render.settings import ONE_FACE
from runtime.image import decode_image, write_image
from runtime.topology import topology

YAW = 30.0
SHUT = 0.4
"""An eye whose blink goes farther shows no iris to be found."""

FOUND_GOAL, GOALS = 0.98, {"all": 3.5, "eyelids": 2.5, "lips": 2.5, "iris centres": 1.5}
_YAW_EDGES = (-30, -20, -10, 0, 10, 20, 30)
_WORST, _TILE = 10, 420

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One render: its number, encoded picture, label and MediaPipe's answer.

    Attributes:
        index: of the sample.
        rgb: (H, W, 3).
        ours, found: (478, 2) pixels; found is None where it found no face.
        yaw: degrees, to the subject's left.
        shut: whether an eye is.
    """

    index: int
    rgb: Picture
    ours: Floats
    found: Floats | None
    yaw: float
    shut: bool

    def offsets(self) -> Floats:
        """(478, 2) from ours to MediaPipe's in % of the interocular distance: to the subject's
        left, and up."""
        assert self.found is not None
        across = self.ours[473] - self.ours[468]
        iod = float(np.linalg.norm(across))
        left = across / iod
        return 100 / iod * (self.found - self.ours) @ np.array([left, [left[1], -left[0]]]).T


def regions() -> dict[str, list[int]]:
    """Region -> rows of face478."""
    face = topology("face478@1")
    named = {name: list(face.contours[name].indices) for name in ("lips_outer", "lips_inner")}
    named |= {name: list(face.parts[name]) for name in ("lips", "eyelids", "brows", "nose", "oval")}
    named |= {"iris centres": [468, 473], "iris rims": [i for i in range(469, 478) if i != 473]}
    rest = set(face.parts["skin"])
    # Of the skin between the parts, by where the neutral canonical face has it.
    height = _canonical_height()
    brow, lip = height[list(face.parts["brows"])].max(), height[[61, 291]].mean()
    named["forehead"] = sorted(i for i in rest if height[i] > brow)
    named["chin"] = sorted(i for i in rest if height[i] < lip)
    named["cheeks"] = sorted(rest - set(named["forehead"]) - set(named["chin"]))
    return named


def _canonical_height() -> Floats:
    from runtime.topology import canonical_face

    return np.asarray(canonical_face().vertices_m[:468, 1])


def renders(settings: FaceSettings, count: int, folder: Path) -> list[Path]:
    """Files of `count` usable renders, made where the folder hasn't them yet."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = sorted(folder.glob("*.npz"))
    if len(kept) >= count:
        return kept[:count]
    renderer: Any = face_renderers(settings)(1)
    try:
        files: list[Path] = []
        index = -1
        while len(files) < count:
            index += 1
            file, unusable = folder / f"{index:06d}.npz", folder / f"{index:06d}.not"
            if unusable.exists():
                continue
            if not file.exists() and not _rendered(renderer, index, settings.size, file):
                unusable.touch()
                continue
            files.append(file)
    finally:
        renderer.close()
    return files


def _rendered(renderer: Any, index: int, size: int, file: Path) -> bool:
    """Render a sample and keep it, unless it is turned too far or not whole in the picture."""
    view = renderer.draw(index)[0].view
    forward = view.head_rotation @ [0.0, -1.0, 0.0]
    across = np.degrees(np.arctan2(forward[0], -forward[1]) + view.body_yaw_rad)
    if abs(across) > YAW + 10:  # the camera's own place moves it by less
        return False
    sample, labels = renderer.render(index)
    label = labels[0]
    ours = np.asarray(label.keypoints_px, dtype=np.float64)
    yaw = float(np.degrees(label.attributes["pose"]["yaw_rad"]))
    inside = (ours[:468] > 0.015 * size) & (ours[:468] < 0.985 * size)
    if abs(yaw) > YAW or not inside.all():
        return False
    actions = label.attributes.get("actions", {})
    shut = max((v for k, v in actions.items() if k.startswith("eyeBlink")), default=0.0) > SHUT
    picture = np.frombuffer(sample.image, dtype=np.uint8)
    np.savez(file, picture=picture, ours=ours, yaw=yaw, shut=shut)
    return True


def judged(files: list[Path]) -> list[Row]:
    """MediaPipe's answers to stored renders."""
    detect, _ = mediapipe_detector()
    rows = []
    for file in files:
        with np.load(file, allow_pickle=False) as kept:
            rgb = decode_image(kept["picture"].tobytes(), file.stem)
            rows.append(
                Row(int(file.stem), rgb, kept["ours"], detect(rgb), float(kept["yaw"]),
                    bool(kept["shut"]))
            )  # fmt: skip
    return rows


def figures_of(rows: list[Row]) -> dict[str, Any]:
    """Found share, and distances by region and yaw; irises of shut eyes stand apart."""
    found = [row for row in rows if row.found is not None]
    offsets = np.array([row.offsets() for row in found])
    apart = np.linalg.norm(offsets, axis=2)
    shut = np.array([row.shut for row in found])
    yaws = np.array([row.yaw for row in found])
    named = regions()
    table = {"all": _figures(apart[:, :468], offsets[:, :468])}
    for name, ids in named.items():
        kept = ~shut if name.startswith("iris") else np.ones(len(found), dtype=bool)
        table[name] = _figures(apart[kept][:, ids], offsets[kept][:, ids])
    if shut.any():
        centres = named["iris centres"]
        table["iris centres, shut"] = _figures(apart[shut][:, centres], offsets[shut][:, centres])
    by_yaw = {}
    for low, high in pairwise(_YAW_EDGES):
        chosen = (yaws >= low) & (yaws < high)
        if chosen.any():
            parts = {n: round(float(apart[chosen][:, ids].mean()), 2) for n, ids in named.items()}
            by_yaw[f"{low}..{high}"] = {
                "renders": int(chosen.sum()),
                "all": round(float(apart[chosen][:, :468].mean()), 2),
                **parts,
            }
    return {
        "count": len(rows),
        "found": round(len(found) / len(rows), 4),
        "percent_of_interocular_distance": table,
        "by_yaw_degrees": by_yaw,
        "missed": [row.index for row in rows if row.found is None],
    }


def _figures(apart: Floats, offsets: Floats) -> dict[str, float]:
    left, up = offsets.reshape(-1, 2).mean(axis=0)
    return {
        "mean": round(float(apart.mean()), 2),
        "median": round(float(np.median(apart)), 2),
        "offset_left": round(float(left), 2),
        "offset_up": round(float(up), 2),
    }


def worst(rows: list[Row]) -> list[Row]:
    """Those that agree least, unfound ones first."""

    def distance(row: Row) -> float:
        if row.found is None:
            return float("inf")
        return float(np.linalg.norm(row.offsets()[:468], axis=1).mean())

    return sorted(rows, key=distance, reverse=True)[:_WORST]


def sheet(rows: list[Row]) -> Picture:
    """Faces, cut out, in two lines, each with both answers."""
    tiles = []
    for row in rows:
        low, high = row.ours.min(axis=0), row.ours.max(axis=0)
        scale = _TILE / (1.15 * float((high - low).max()))
        shift = _TILE / 2 - scale * (low + high) / 2
        warp = np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]])
        tile = cv2.warpAffine(row.rgb, warp, (_TILE, _TILE), flags=cv2.INTER_CUBIC)
        for points, colour in ((row.ours, (0, 255, 0)), (row.found, (255, 0, 255))):
            if points is None:
                continue
            at = np.rint((points * scale + shift) * 16).astype(np.int32)
            for contour in topology("face478@1").contours.values():
                line = at[list(contour.indices)]
                cv2.polylines(tile, [line], contour.closed, colour, 1, cv2.LINE_AA, 4)
        cv2.putText(tile, str(row.index), (6, 16), 0, 0.45, (255, 255, 0), 1, cv2.LINE_AA)
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 5)
    return np.vstack([np.hstack(tiles[i : i + 5]) for i in range(0, len(tiles), 5)])


def printed(figures: dict[str, Any]) -> str:
    """The table for people."""
    lines = [f"found {figures['found']:.1%} of {figures['count']}   (goal {FOUND_GOAL:.0%})"]
    for name, row in figures["percent_of_interocular_distance"].items():
        goal = f"   (goal {GOALS[name]})" if name in GOALS else ""
        lines.append(
            f"{name:20} mean {row['mean']:5.2f}  median {row['median']:5.2f}  "
            f"left {row['offset_left']:+5.2f}  up {row['offset_up']:+5.2f}{goal}"
        )
    for name, row in figures["by_yaw_degrees"].items():
        lines.append(f"yaw {name:10} {row['all']:5.2f}  ({row['renders']} renders)")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write the JSON file and the picture of the worst."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("faces_mediapipe.json"))
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=7001)
    parser.add_argument("--renders", type=Path, default=Path("faces_mediapipe"))
    parser.add_argument("--face-model", type=Path)
    given = parser.parse_args()
    settings = FaceSettings(
        given.seed, given.size, face_model=given.face_model, face_shares=ONE_FACE
    )
    rows = judged(renders(settings, given.count, given.renders))
    figures = {**figures_of(rows), "size": given.size, "seed": given.seed}
    least = worst(rows)
    figures["worst"] = [row.index for row in least]
    given.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    write_image(given.out.with_suffix(".png"), sheet(least))
    sys.stdout.write(printed(figures))


if __name__ == "__main__":
    main()
