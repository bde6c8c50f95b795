"""The demo's recording: a box from clicks in three frames, carried to every frame.

python -m viewfinder_demo_boxes FILMED FILE writes the clicks that a person would make in the first
recording of FILMED: on corners that can be seen, off by a pixel or so.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from arsession.cuboid_evidence import Click
from arsession.cuboid_file import Cuboid, write_cuboids
from bootstrap.dataset import Dataset, Label
from runtime.errors import ViewfinderError

if TYPE_CHECKING:
    from viewfinder_demo import Walk
    from viewfinder_report import Report

CLICK_SIGMA_PX = 1.0
VISIBLE = 2
_CLICKED = (0.1, 0.5, 0.9)


def carry_a_box(walk: Walk, report: Report) -> None:
    """Film a thing, click its corners in three frames, carry the box to all and report."""
    out = walk.plan.out
    filmed, clicks, boxes = out / "filmed", out / "clicks.json", out / "boxes"
    walk.run(
        "Film a thing along a hand-held path",
        *("render", "session", "--out", filmed, "--count", "1", "--seed", "5"),
        *("--category", "chair", "--rate", "4"),
        *("--frames", str(walk.plan.session_frames), "--size", "240x320"),
        *("--workers", str(walk.plan.workers)),
        makes=filmed / "recordings",
    )
    walk.run(
        "Click its corners in three frames, as a person would",
        *(filmed, clicks),
        makes=clicks,
        module="viewfinder_demo_boxes",
    )
    walk.run(
        "Carry the box to every frame by the camera's poses",
        *("session", "propagate", filmed / "recordings" / "000000", "--cuboids", clicks),
        *("--out", boxes),
        makes=boxes / "dataset.json",
    )
    sheet = out / "pictures" / "boxes.png"
    walk.run(
        "Draw the box in every frame",
        *("dataset", "show", boxes, "--out", sheet, "--count", "12"),
        makes=sheet,
    )
    report.section(
        "A box, placed in three frames of a recording, in all of them",
        f"Corners were clicked with an error of a pixel; over all frames they lie "
        f"{corner_error_px(filmed, boxes):.2f} pixels from the truth.",
    )
    report.pictures((sheet, "the fitted box in each frame"))
    report.text("Place one yourself:")
    report.command(f"viewfinder annotate {filmed / 'recordings' / '000000'}")


def write_clicks(filmed: Path, file: Path) -> None:
    """Clicks on the main object of the first recording, in three frames that show all of it.

    Raises:
        ViewfinderError: no three frames do.
    """
    labels = main_object(Dataset.open(filmed), "synthetic")
    whole = [frame for frame, label in labels.items() if label.attributes["truncation"] == 0]
    if len(whole) < len(_CLICKED):
        raise ViewfinderError(
            "too few frames show the whole object", file=filmed, expected=f"{len(_CLICKED)}",
            found=len(whole),
        )  # fmt: skip
    rng = np.random.default_rng(0)
    clicks = []
    for share in _CLICKED:
        frame = whole[round(share * (len(whole) - 1))]
        points, seen = labels[frame].keypoints_px, labels[frame].visibility
        assert points is not None
        assert seen is not None
        for corner in range(1, 9):
            if seen[corner] == VISIBLE:
                x, y = (points[corner] + rng.normal(0, CLICK_SIGMA_PX, 2)).tolist()
                clicks.append(Click(frame, (x, y), corner=corner, sigma_px=CLICK_SIGMA_PX))
    category = str(labels[whole[0]].attributes["category"])
    write_cuboids(file, (Cuboid(0, category, tuple(clicks)),))


def main_object(dataset: Dataset, layer: str) -> dict[int, Label]:
    """Frame -> label of the first recording's first subject."""
    return {int(label.sample_id): label for label in dataset.labels(layer) if label.subject_id == 0}


def corner_error_px(filmed: Path, boxes: Path) -> float:
    """Mean distance of the carried corners from the true ones, over frames that show them all."""
    true = main_object(Dataset.open(filmed), "synthetic")
    carried = main_object(Dataset.open(boxes), "propagated")
    off = []
    for frame in true.keys() & carried.keys():
        here, there = true[frame].keypoints_px, carried[frame].keypoints_px
        assert here is not None
        assert there is not None
        if true[frame].attributes["truncation"] == 0:
            off.append(np.linalg.norm(here[1:] - there[1:], axis=1).mean())
    return float(np.mean(off))


if __name__ == "__main__":
    write_clicks(Path(sys.argv[1]), Path(sys.argv[2]))
