"""How long a simulated annotator takes for the box of a 270-frame recording.

    python benchmarks/annotate_boxes_people.py [--recordings N] [--out FILE]

As `benchmarks/annotate_people.py`: 1.2 s to think once a recording, 1.1 s to point, 0.1 s a button
down or up, 0.2 s a key; every point is aimed at with an error of 2 screen pixels (standard
deviation) at the zoom that the window shows at 1280 x 800. The camera walks 150 degrees around a
box on a table at 1440 x 1920; the tracker drifts by so many centimetres after a second. The person
places the box with four clicks, names it, then goes to the suggested frame, zooms to the box, and
drags the two visible corners that are farthest apart, until 40 s are over. Edits go through
`CuboidSession` into a real store; the box is compared with where it truly is in every frame.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

# Run as a script, this file's own folder comes first, where it would pass for the package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from annotate.cuboid_dragging import PictureDrag
from annotate.cuboid_handles import Handle
from annotate.cuboid_session import CuboidSession
from annotate.drawing import view_onto
from annotate.store import STORE_NAME, AnnotationStore
from arsession.cuboid_evidence import PlacedBox
from arsession.session import Plane, Session
from arsession.views import Views
from benchmarks.annotate_people import AIM_SCREEN_PX, BUTTON_S, KEY_S, POINT_S, THINK_S
from bootstrap.box_overlap import CORNERS, box_iou
from runtime.camera import Camera

Array = NDArray[np.float64]
BUDGET_S = 40.0
FRAMES, RATE_HZ = 270, 30.0
LENS = Camera(1588.0, 1588.0, 720.0, 960.0, 1440, 1920)
# The picture's canvas in the window at 1280 x 800; what share of it picture and box fill.
CANVAS_PX = (561.0, 584.0)
PICTURE_FILL, BOX_FILL = 0.98, 0.6
UP = np.array([0.0, 1.0, 0.0])
_PLANE_SIGMA_M = 0.004
_NAME = "cup"


def orbit(rng: np.random.Generator) -> Array:
    """(F, 4, 4) world_from_camera: 150 degrees around the origin at about a metre, from above."""
    arc = np.deg2rad(150.0)
    angle = np.linspace(-arc / 2, arc / 2, FRAMES) + rng.uniform(0, 2 * np.pi)
    above = np.deg2rad(rng.uniform(25, 45))
    radius = rng.uniform(0.8, 1.2)
    side = np.stack([np.sin(angle), np.zeros(FRAMES), np.cos(angle)], axis=1)
    at = radius * (np.cos(above) * side + np.sin(above) * UP)
    ahead = -at / radius
    right = np.cross(ahead, UP)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, :3, :3] = np.stack([right, np.cross(ahead, right), ahead], axis=2)
    poses[:, :3, 3] = at
    return poses


def drifted(poses: Array, drift_m: float, rng: np.random.Generator) -> Array:
    """Poses whose places are off by a random walk, metres in the root of a second."""
    walk = rng.normal(0, drift_m / np.sqrt(3 * RATE_HZ), (len(poses), 3)).cumsum(axis=0)
    moved = poses.copy()
    moved[:, :3, 3] += walk - walk.mean(axis=0)
    return moved


@dataclass
class BoxPerson:
    """Somebody at work on one box.

    Attributes:
        work: the session.
        true_px: (F, 9, 2) where the box is truly seen.
        rng: of the hand.
        seconds: of action so far.
    """

    work: CuboidSession
    true_px: Array
    rng: np.random.Generator
    seconds: float = THINK_S
    placed_s: float = 0.0

    def aimed(self, corner: int, zoom: float) -> Array:
        """(2,) px: where the hand puts a corner in the current frame."""
        off = self.rng.normal(0.0, AIM_SCREEN_PX / zoom, 2)
        return np.asarray(self.true_px[self.work.frame, corner] + off)

    def place(self) -> None:
        """Four clicks in the first frame, the whole picture shown, and the name."""
        zoom = view_onto((0, 0, LENS.width, LENS.height), CANVAS_PX, PICTURE_FILL)[1]
        for corner in self.order():
            aimed = self.aimed(corner, zoom)
            self.work.place((float(aimed[0]), float(aimed[1])), zoom)
            self.seconds += POINT_S + 2 * BUTTON_S
        self.work.set_category(_NAME)
        self.seconds += KEY_S * (len(_NAME) + 2)
        self.placed_s = self.seconds

    def order(self) -> tuple[int, int, int, int]:
        """The foot's nearest corner, lowest in the picture, between its neighbours, and the top."""
        low, beside = [1, 2, 5, 6], {1: (2, 5), 2: (6, 1), 5: (1, 6), 6: (5, 2)}
        nearest = max(low, key=lambda k: self.true_px[0, k, 1])
        first, third = beside[nearest]
        return first, nearest, third, nearest + 2

    def corners(self) -> list[int]:
        """The two visible corners that are farthest apart in the current frame, as they are drawn,
        by the truth's numbers."""
        visible = self.work.fitted(0).seen.visibility[self.work.frame] == 2
        some = [k for k in range(1, 9) if visible[k]]
        drawn = self.work.fitted(0).seen.keypoints_px[self.work.frame]
        pairs = [(a, b) for a in some for b in some if a < b]
        best = max(pairs, key=lambda p: float(np.linalg.norm(drawn[p[0]] - drawn[p[1]])))
        return list(best)

    def refine(self) -> None:
        """The suggested frame, the box from near, two corners to where they belong."""
        frame = self.work.next_frame()
        if frame is None:
            self.seconds = BUDGET_S
            return
        self.work.go(frame)
        drawn = self.work.fitted(0).seen.keypoints_px[frame]
        low, size = drawn.min(axis=0), np.ptp(drawn, axis=0)
        zoom = view_onto((*low.tolist(), *size.tolist()), CANVAS_PX, BOX_FILL)[1]
        self.seconds += 2 * KEY_S
        for corner in self.corners():
            drawn = self.work.fitted(0).seen.keypoints_px[frame]
            # The person sees which corner of the thing this is, whatever the box calls it.
            meant = named(drawn, self.true_px[frame])[corner]
            drag = PictureDrag(self.work, Handle("corner", corner), drawn[corner], zoom)
            drag.to(self.aimed(meant, zoom))
            drag.let_go()
            self.seconds += 2 * POINT_S + 2 * BUTTON_S

    def run(self) -> None:
        """Until the time is over."""
        self.place()
        once = 2 * KEY_S + 2 * (2 * POINT_S + 2 * BUTTON_S)
        while self.seconds + once + KEY_S <= BUDGET_S:
            self.refine()
        self.work.set_status("done")
        self.seconds += KEY_S


def named(drawn_px: Array, true_px: Array) -> NDArray[np.intp]:
    """(9,) the truth's number of each keypoint of a box, whichever side it calls the front: the
    quarter turn that brings the two nearest, in one frame or, (F, 9, 2), in all."""
    off = [np.linalg.norm(drawn_px - true_px[..., names, :], axis=-1).mean() for names in _TURNS]
    return _TURNS[int(np.argmin(off))]


def _turned() -> list[NDArray[np.intp]]:
    """The keypoints' numbers after none to three quarter turns about the box's y axis."""
    after = CORNERS @ np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    once = [int(np.linalg.norm(CORNERS - at, axis=1).argmin()) + 1 for at in after]
    turns = [np.arange(9)]
    for _ in range(3):
        turns.append(np.array([0, *once])[turns[-1]])
    return turns


_TURNS = _turned()


def one_recording(number: int, drift_m: float, folder: Path) -> dict[str, float]:
    """What one person makes of one recording."""
    rng = np.random.default_rng(number)
    poses = orbit(rng)
    size = rng.uniform(0.08, 0.35, 3)
    yaw = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    truth = PlacedBox(turn, np.array([0.0, size[1] / 2, 0.0]), size)
    true_views = Views.of_poses(poses, (LENS,))
    true_px = true_views.project(true_views.in_camera(truth.points_world_m()))
    outline = np.array([[-0.8, 0, -0.8], [-0.8, 0, 0.8], [0.8, 0, 0.8], [0.8, 0, -0.8]])
    height = np.array([0, rng.normal(0, _PLANE_SIGMA_M), 0])
    table = Plane("table", height, UP, outline + height, "horizontal")
    recording = Session(
        format="simulated", path=folder, timestamps_s=np.arange(FRAMES) / RATE_HZ,
        world_from_camera=drifted(poses, drift_m, rng), world_up="+y", cameras=(LENS,),
        load_planes=lambda: (table,),
    )  # fmt: skip
    store = AnnotationStore.open(folder / f"{drift_m}-{number}-{STORE_NAME}", "person")
    with CuboidSession(recording, store, folder) as work:
        person = BoxPerson(work, true_px, rng)
        person.run()
        fitted = work.fitted(0)
        seen = fitted.seen.keypoints_px
        off = np.linalg.norm(seen - true_px[:, named(seen, true_px)], axis=2)[:, 1:]
        overlap = box_iou(fitted.box.as_boxes(), truth.as_boxes())
        return {
            "seconds": round(person.seconds, 1),
            "placed_seconds": round(person.placed_s, 1),
            "frames_annotated": len({c.frame for c in fitted.cuboid.clicks}),
            "corner_error_px": float(off.mean()),
            "expected_px": float(np.nanmean(fitted.frame_errors_px)),
            "centre_mm": 1000 * float(np.linalg.norm(fitted.box.centre_m - truth.centre_m)),
            "iou": float(np.ravel(overlap)[0]),
        }


def measure(recordings: int, drifts_m: tuple[float, ...], folder: Path) -> dict[str, Any]:
    """Means over recordings, for each drift."""
    found = {}
    for drift in drifts_m:
        rows = [one_recording(number, drift, folder) for number in range(recordings)]
        found[f"drift {100 * drift:.1f} cm/sqrt(s)"] = {
            name: round(float(np.mean([row[name] for row in rows])), 3) for name in rows[0]
        } | {"longest_seconds": max(row["seconds"] for row in rows)}
    return found


def main() -> None:
    """Measure, print a table, write the JSON file."""
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("annotate_boxes_people.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options.recordings, (0.0, 0.005, 0.02), Path(folder))
    table = Table("mean of recordings", *found)
    for name in next(iter(found.values())):
        table.add_row(name.replace("_", " "), *(f"{row[name]:.3g}" for row in found.values()))
    Console().print(table)
    options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
