"""The box network from nothing: sessions rendered, a network trained on some of them, measured on
others; and what keypoints that are off cost a lifted box.

Average precision is of boxes that share half their volume with the true one (Objectron's measure),
of pictures from sessions that the training never saw, scale taken from the plane. The lift is
judged on true keypoints with noise, as EPnP leaves it and made right-angled.

What is rendered and trained is kept in --out: run again, it goes on. One core is enough: about 20
minutes of it for the pictures and 40 for the training.

    python -m benchmarks.boxes --out benchmarks/results/boxes
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bootstrap.box_overlap import Boxes
from bootstrap.cuboid_metrics import box_errors, scaled_to_truth
from bootstrap.evaluate import evaluate_model
from bootstrap.evaluate_boxes import with_boxes
from bootstrap.subjects import Settings, Subject, find_subjects
from bootstrap.training.train import TrainSettings, checkpoint_path, train
from render.job import Job, render_dataset
from render.sessions import SessionSettings, session_dataset, session_renderers
from runtime.box_refinement import right_angled
from runtime.camera import Camera
from runtime.cuboid import Cuboid, lift_cuboid
from runtime.topology import topology

Lift = Callable[[NDArray[np.float64], Camera], Cuboid | None]

NOISE = (0.02, 0.04, 0.06, 0.08, 0.1)
"""Deviation of a keypoint over the root of the box's area in the picture."""
GOAL = 0.5


def made_right(px: NDArray[np.float64], camera: Camera) -> Cuboid | None:
    """As the single-stage solution lifts."""
    box = lift_cuboid(px, camera)
    return None if box is None else right_angled(box, px, camera)


LIFTS: dict[str, Lift] = {"EPnP": lift_cuboid, "right-angled": made_right}


def share_of_half(subjects: Sequence[Subject], noise: float, lift: Lift) -> float:
    """Part of the boxes that share half their volume with the truth, both as far away."""
    rng = np.random.default_rng(0)
    found, truths, cameras = [], [], []
    for subject in subjects:
        px = np.asarray(subject.truth_px, dtype=np.float64)
        side = float(np.sqrt(np.ptp(px, axis=0).prod()))
        camera, cuboid = subject.ds.camera(subject.label.sample_id), subject.label.cuboid
        assert camera is not None
        assert cuboid is not None
        box = lift(px + rng.normal(0, noise * side, px.shape), camera)
        if box is not None:
            found.append(box)
            truths.append(cuboid)
            cameras.append(camera)
    truth = Boxes.checked(*([t[name] for t in truths] for name in
                            ("rotation", "translation_m", "size_m")))  # fmt: skip
    boxes = Boxes(*(np.stack([getattr(b, name) for b in found]) for name in
                    ("rotation", "translation_m", "size_m")))  # fmt: skip
    iou = box_errors(scaled_to_truth(boxes, truth), truth, cameras).iou
    return float((iou >= GOAL).sum()) / len(subjects)


def tolerance(data: Path, category: str) -> dict[str, dict[str, float]]:
    """Lift -> noise -> `share_of_half`."""
    settings = Settings((data,), split="all", category=category, crop="detector")
    subjects, _ = find_subjects(settings, topology("cuboid9@1"))
    whole = [s for s in with_boxes(subjects) if np.isfinite(s.truth_px).all()][:400]
    return {
        name: {f"{noise:g}": round(share_of_half(whole, noise, lift), 3) for noise in NOISE}
        for name, lift in LIFTS.items()
    }


def trained(out: Path, data: Path, category: str, steps: int) -> Path:
    """The bundle; a training that was stopped goes on."""
    bundle = out / f"{category}.task"
    if not bundle.exists():
        stopped = checkpoint_path(bundle).exists()
        settings = TrainSettings(
            "box", (data,), bundle, steps=steps, threads=1, category=category, resume=stopped
        )
        train(settings)
    return bundle


def main() -> None:
    """Render and train what is missing, measure, print a JSON object and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=300, help="sessions; a tenth measure")
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--category", default="cereal_box")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    data = options.out / "pictures"
    settings = SessionSettings(
        options.seed, options.frames, (144, 192), 1.0, categories=(options.category,)
    )
    job = Job(data, session_dataset(settings), options.count * options.frames,
              session_renderers(settings), options.workers)  # fmt: skip
    render_dataset(job)
    result: dict[str, Any] = {"lift": tolerance(data, options.category)}
    begun = time.process_time()
    bundle = trained(options.out, data, options.category, options.steps)
    result["training_cpu_s"] = round(time.process_time() - begun)
    for split in ("test", "val", "train"):
        measured = evaluate_model(bundle, Settings((data,), split=split, category=options.category))
        facts = measured.to_json()
        result[split] = {"pictures": facts["n"], "missed": facts["missed"], **facts["boxes"]}
    text = json.dumps(result, indent=1)
    (options.out / "boxes.json").write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
