"""Whether MediaPipe's face mesh sees in our renders what their labels say.

    python benchmarks/faces_mediapipe.py [--out FILE] [--count N] [--size PX] [--seed S]
        [--drawn] [--renders DIR] [--face-model FILE]

Single faces with nothing worn and nothing before them, as seed S draws them but turned anew: up to
`YAW` degrees aside, nodding and leaning little, whole in the picture, sharp and without noise, so
that it is labels that are measured. `--drawn` leaves pose and camera as they were drawn (any pitch,
small, blurred, noisy) and takes what is turned `YAW` degrees aside at most. MediaPipe 0.10.14's
face mesh with attention, in our runtime, looks at each on its own.

Prints how many it finds and how far its points lie from ours in % of the interocular distance in
the picture: by region, by yaw, with mean offsets in axes fixed to the face (to the subject's left,
up); irises of shut eyes stand apart. Beside that: what is left without beards, which hide mouth and
chin; how far its answer to the mirrored picture lies from its own; how far its oval lies from the
seen outline (`oval_silhouette`), as lines; the iris centres of the released iris model. The fit of
the mapping (`--fit-mapping`) must have used another seed. Beside FILE it writes a picture of the
ten that agree least: ours in green, MediaPipe's in magenta. Renders are kept in DIR and taken from
there again. Needs MediaPipe's models: `viewfinder models fetch`.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# Run as a script, this file's own folder comes first, where it would pass for the package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from render.face_mapping_run import frontal, mediapipe_detector
from render.faces import FaceSettings, face_renderers
from render.faces_draw import View
from render.faces_head import rotation_matrix
from render.faces_shot import label_of
from render.job import sample_id
from render.photo import Photo
from render.settings import ONE_FACE
from runtime.image import decode_image, encode_image, write_image
from runtime.solutions import open_solution
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
    """One render: its number, picture, label and MediaPipe's answers.

    Attributes:
        index: of the sample.
        rgb: (H, W, 3).
        ours, found: (478, 2) pixels; found is None where it found no face.
        mirrored: (478, 2) what it found in the mirrored picture, mirrored back; None likewise.
        irises: (2, 2) right and left centre by the iris model; None likewise.
        outline: (K, 2) the label's `oval_silhouette`.
        yaw: degrees, to the subject's left.
        shut: whether an eye is.
        bearded: whether a beard hides mouth and chin.
        expression: kind of it, "" where the head model has none.
    """

    index: int
    rgb: Picture
    ours: Floats
    found: Floats | None
    mirrored: Floats | None
    irises: Floats | None
    outline: Floats
    yaw: float
    shut: bool
    bearded: bool
    expression: str

    @property
    def iod(self) -> float:
        """Interocular distance in pixels."""
        return float(np.linalg.norm(self.ours[473] - self.ours[468]))

    def offsets(self) -> Floats:
        """(478, 2) from ours to MediaPipe's in % of the interocular distance: to the subject's
        left, and up."""
        assert self.found is not None
        left = (self.ours[473] - self.ours[468]) / self.iod
        return 100 / self.iod * (self.found - self.ours) @ np.array([left, [left[1], -left[0]]]).T


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


def renders(settings: FaceSettings, count: int, folder: Path, drawn: bool) -> list[Path]:
    """Files of `count` usable renders, made where the folder hasn't them yet."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = sorted(folder.glob("*.npz"))
    if len(kept) >= count:
        return kept[:count]
    take = _as_drawn if drawn else _turned_anew
    renderer: Any = face_renderers(settings)(1)
    try:
        files: list[Path] = []
        index = -1
        while len(files) < count:
            index += 1
            file, unusable = folder / f"{index:06d}.npz", folder / f"{index:06d}.not"
            if unusable.exists():
                continue
            if not file.exists() and not take(renderer, index, settings.size, file):
                unusable.touch()
                continue
            files.append(file)
    finally:
        renderer.close()
    return files


def _as_drawn(renderer: Any, index: int, size: int, file: Path) -> bool:
    """Render a sample and keep it, unless it is turned too far or not whole in the picture."""
    view = renderer.draw(index)[0].view
    forward = view.head_rotation @ [0.0, -1.0, 0.0]
    across = np.degrees(np.arctan2(forward[0], -forward[1]) + view.body_yaw_rad)
    if abs(across) > YAW + 10:  # the camera's own place moves it by less
        return False
    sample, labels = renderer.render(index)
    return _kept(labels[0], sample.image, size, file)


def _turned_anew(renderer: Any, index: int, size: int, file: Path) -> bool:
    """Render whom a sample shows as a plain photograph of a face would, and keep it."""
    drawn, rng = renderer.draw(index)
    other = np.random.default_rng([renderer.settings.seed, index, 1])
    view = _plain_view(drawn.view, other)
    shot = renderer.shoot(replace(drawn, view=view, photo=Photo()), renderer.hdri(index), rng)
    forward = shot.camera_from_person[:3, :3] @ shot.person.shape.head_rotation @ [0.0, -1.0, 0.0]
    pose = {"yaw_rad": float(np.arctan2(forward[0], -forward[2]))}
    worn = drawn.worn if hasattr(drawn, "worn") else drawn.groomed.worn
    facts = {"pose": pose, "worn": worn.described()}
    facts |= {
        name: getattr(drawn, name) for name in ("actions", "expression") if hasattr(drawn, name)
    }
    label = label_of(sample_id(index), shot, facts)
    return _kept(label, encode_image(shot.rgb, ".png"), size, file)


def _plain_view(view: View, rng: np.random.Generator) -> View:
    yaw = math.radians(rng.uniform(-YAW, YAW))
    pitch, roll = (math.radians(np.clip(rng.normal(0, 6), -15, 15)) for _ in range(2))
    head = (
        rotation_matrix([0, 0, 0.55 * yaw])
        @ rotation_matrix([pitch, 0, 0])
        @ rotation_matrix([0, roll, 0])
    )
    plain = frontal(view, max(view.distance_m, 0.6), float(rng.uniform(0.5, 0.68)))
    return replace(plain, head_rotation=head, body_yaw_rad=0.45 * yaw, offset=(0.0, 0.04))


def _kept(label: Any, picture: bytes, size: int, file: Path) -> bool:
    actions = label.attributes.get("actions", {})
    ours = np.asarray(label.keypoints_px, dtype=np.float64)
    yaw = float(np.degrees(label.attributes["pose"]["yaw_rad"]))
    inside = (ours[:468] > 0.015 * size) & (ours[:468] < 0.985 * size)
    if abs(yaw) > YAW + 2 or not inside.all():
        return False
    shut = max((v for k, v in actions.items() if k.startswith("eyeBlink")), default=0.0) > SHUT
    outline = label.contours["oval_silhouette"]
    encoded = np.frombuffer(picture, dtype=np.uint8)
    bearded = label.attributes["worn"]["beard"] is not None
    np.savez(
        file, picture=encoded, ours=ours, yaw=yaw, shut=shut, outline=outline, bearded=bearded,
        expression=label.attributes.get("expression", ""),
    )  # fmt: skip
    return True


def judged(files: list[Path]) -> list[Row]:
    """MediaPipe's answers to stored renders."""
    detect, _ = mediapipe_detector()
    irises = open_solution("iris", models="mediapipe", static=True, max_subjects=1)
    mirror = list(topology("face478@1").mirror)
    rows = []
    for file in files:
        with np.load(file, allow_pickle=False) as kept:
            rgb = decode_image(kept["picture"].tobytes(), file.stem)
            found, mirrored = detect(rgb), detect(np.ascontiguousarray(rgb[:, ::-1]))
            if mirrored is not None:
                mirrored = [rgb.shape[1], 0] + mirrored[mirror] * [-1, 1]
            subjects = irises.process(rgb, 0)
            eyes = subjects[0].keypoints_px(rgb.shape[1], rgb.shape[0]) if subjects else None
            rows.append(
                Row(int(file.stem), rgb, kept["ours"], found, mirrored,
                    None if eyes is None else np.asarray(eyes, dtype=np.float64)[[468, 473], :2],
                    kept["outline"].astype(np.float64), float(kept["yaw"]), bool(kept["shut"]),
                    bool(kept["bearded"]), str(kept["expression"]))
            )  # fmt: skip
    return rows


def figures_of(rows: list[Row]) -> dict[str, Any]:
    """Found share, and distances by region and yaw; irises of shut eyes stand apart."""
    found = [row for row in rows if row.found is not None]
    offsets = np.array([row.offsets() for row in found])
    apart = np.linalg.norm(offsets, axis=2)
    shut = np.array([row.shut for row in found])
    shaven = np.array([not row.bearded for row in found])
    table = {"all": _figures(apart[:, :468], offsets[:, :468])}
    for name, ids in regions().items():
        kept = ~shut if name.startswith("iris") else np.ones(len(found), dtype=bool)
        table[name] = _figures(apart[kept][:, ids], offsets[kept][:, ids])
    centres = [468, 473]
    if shut.any():
        table["iris centres, shut"] = _figures(apart[shut][:, centres], offsets[shut][:, centres])
    second = [100 / row.iod * np.linalg.norm(row.irises - row.ours[centres], axis=1)
              for row in found if row.irises is not None and not row.shut]  # fmt: skip
    table["iris centres, iris model"] = {
        "mean": round(float(np.mean(second)), 2), "median": round(float(np.median(second)), 2),
    }  # fmt: skip
    outlines = np.array([_from_outline(row) for row in found])
    table["oval from the outline"] = {"mean": round(float(outlines.mean()), 2)}
    itself = np.array(
        [
            100 / row.iod * np.linalg.norm(row.mirrored - row.found, axis=1)
            if row.mirrored is not None and row.found is not None
            else np.full(478, np.nan)
            for row in found
        ]
    )
    return {
        "count": len(rows),
        "found": round(len(found) / len(rows), 4),
        "percent_of_interocular_distance": table,
        "by_yaw_degrees": _by_yaw(np.array([row.yaw for row in found]), apart, shut, outlines),
        "by_expression": _by_expression([row.expression for row in found], apart, shut, outlines),
        "mediapipe_from_itself_mirrored": _means(itself, shut),
        "without_beards": _means(apart[shaven], shut[shaven]),
        "missed": [row.index for row in rows if row.found is None],
    }


def _by_yaw(
    yaws: Floats, apart: Floats, shut: NDArray[np.bool_], outlines: Floats
) -> dict[str, dict[str, float]]:
    within = np.clip(yaws, -YAW, YAW - 1e-6)
    chosen = {f"{a}..{b}": (within >= a) & (within < b) for a, b in pairwise(_YAW_EDGES)}
    return _by(chosen, apart, shut, outlines)


def _by_expression(
    kinds: list[str], apart: Floats, shut: NDArray[np.bool_], outlines: Floats
) -> dict[str, dict[str, float]]:
    chosen = {kind: np.array(kinds) == kind for kind in sorted({*kinds} - {""})}
    return _by(chosen, apart, shut, outlines)


def _by(
    chosen: dict[str, NDArray[np.bool_]], apart: Floats, shut: NDArray[np.bool_], outlines: Floats
) -> dict[str, dict[str, float]]:
    return {
        name: _means(apart[rows], shut[rows])
        | {"oval from the outline": round(float(outlines[rows].mean()), 2)}
        for name, rows in chosen.items()
        if rows.any()
    }


def _means(apart: Floats, shut: NDArray[np.bool_]) -> dict[str, float]:
    """Number of renders and region -> mean, irises of open eyes only."""
    means = {"renders": float(len(apart)), "all": float(np.nanmean(apart[:, :468]))}
    for name, ids in regions().items():
        kept = apart[~shut] if name.startswith("iris") else apart
        means[name] = float(np.nanmean(kept[:, ids])) if len(kept) else math.nan
    return {name: round(value, 2) for name, value in means.items()}


def _from_outline(row: Row) -> float:
    """Mean distance of MediaPipe's oval from the label's outline, both ways, in % of the IOD."""
    assert row.found is not None
    oval = row.found[list(topology("face478@1").contours["oval"].indices)]
    there, back = _from_line(oval, row.outline), _from_line(row.outline, oval)
    return float(100 / row.iod * (there.mean() + back.mean()) / 2)


def _from_line(points: Floats, line: Floats) -> Floats:
    """Distance of each of (N, 2) points from a closed line (K, 2)."""
    along = np.roll(line, -1, axis=0) - line
    share = ((points[:, None] - line) * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-12)
    nearest = line + np.clip(share, 0, 1)[..., None] * along
    return np.asarray(np.linalg.norm(nearest - points[:, None], axis=-1).min(axis=1))


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
    own, without = figures["mediapipe_from_itself_mirrored"], figures["without_beards"]
    for name, row in figures["percent_of_interocular_distance"].items():
        text = f"{name:25} mean {row['mean']:5.2f}"
        if "offset_up" in row:
            text += (f"  median {row['median']:5.2f}  left {row['offset_left']:+5.2f}"
                     f"  up {row['offset_up']:+5.2f}")  # fmt: skip
        if name in own:
            text += f"  without beards {without[name]:5.2f}  from itself {own[name]:4.2f}"
        lines.append(text + (f"   (goal {GOALS[name]})" if name in GOALS else ""))
    columns = ("all", "eyelids", "lips", "iris centres", "brows", "nose", "cheeks", "chin",
               "forehead", "oval", "oval from the outline")  # fmt: skip
    for title, key in (("yaw", "by_yaw_degrees"), ("expression", "by_expression")):
        lines.append(f"{title:12} renders  " + "  ".join(columns))
        for name, row in figures[key].items():
            cells = (f"{row[c]:{len(c)}.2f}" for c in columns)
            lines.append(f"{name:12} {row['renders']:7.0f}  " + "  ".join(cells))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write the JSON file and the picture of the worst."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("faces_mediapipe.json"))
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--drawn", action="store_true", help="pose and camera as they were drawn")
    parser.add_argument("--seed", type=int, default=7001)
    parser.add_argument("--renders", type=Path, default=Path("faces_mediapipe"))
    parser.add_argument("--face-model", type=Path)
    given = parser.parse_args()
    settings = FaceSettings(
        given.seed, given.size, face_model=given.face_model, face_shares=ONE_FACE
    )
    rows = judged(renders(settings, given.count, given.renders, given.drawn))
    figures = {**figures_of(rows), "size": given.size, "seed": given.seed, "drawn": given.drawn}
    least = worst(rows)
    figures["worst"] = [row.index for row in least]
    given.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    write_image(given.out.with_suffix(".png"), sheet(least))
    sys.stdout.write(printed(figures))


if __name__ == "__main__":
    main()
