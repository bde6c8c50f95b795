"""What drawn contours on other pictures give a face mesh, and what varied spectra do.

    python benchmarks/face_ablation.py --data DIR [--steps 400] [--seeds 1] [--out FILE]

Half of the renders stay as they are, with all their labels. The others stand for photographs: seen
by another camera (its colours, its blur, its noise), with nothing labelled but the lines that
people draw. Each variant is trained for as many steps, and measured on the val split's pictures
through that other camera: the mean error of all points, and of those that lines tell, over the
interocular distance.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import zlib
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

# Run as a script, this file's own folder comes first, where it would pass for the package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bootstrap.dataset import Dataset
from bootstrap.training import photometry
from bootstrap.training.batches import Pictures, memory_budget_bytes, single_threaded_opencv
from bootstrap.training.loop import Loop
from bootstrap.training.losses import Target
from bootstrap.training.process import keep_large_blocks
from bootstrap.training.report import Log, Silent
from bootstrap.training.subjects import Subject, TrainingData, _subject, load_training_data
from bootstrap.training.teaching import LandmarkTeaching
from runtime.topology import topology

FACE = topology("face478@1")
VALIDATION = 256
_GAINS, _GAMMA, _BLUR_PX, _NOISE = (1.12, 0.98, 0.78), 1.35, 1.1, 7.0
"""The other camera: warm, dark in the shadows, soft (of 256 pixels), noisy (of 255)."""


@dataclass(frozen=True)
class Variant:
    """What is taught, and how often a crop's amplitude spectrum is changed."""

    renders: bool
    lines: bool
    spectrum_share: float = photometry.SPECTRUM_SHARE


VARIANTS = {
    "synthetic": Variant(True, False),
    "contours only": Variant(False, True),
    "mixed": Variant(True, True),
    "synthetic, spectra as rendered": Variant(True, False, 0.0),
}


class OtherCamera(Pictures):
    """Pictures, some of them as another camera sees them."""

    def __init__(self, datasets: tuple[Dataset, ...], others: frozenset[str]) -> None:
        super().__init__(datasets, memory_budget_bytes())
        self._others = others

    def _read(self, number: int, sample_id: str) -> NDArray[np.uint8]:
        image = super()._read(number, sample_id)
        return seen_otherwise(image, sample_id) if sample_id in self._others else image


def seen_otherwise(image: NDArray[np.uint8], sample_id: str) -> NDArray[np.uint8]:
    """The picture through the other camera; the same noise each time."""
    value = (image.astype(np.float32) / 255) ** _GAMMA * np.array(_GAINS, dtype=np.float32)
    value = cv2.GaussianBlur(value, (0, 0), _BLUR_PX * image.shape[0] / 256)
    rng = np.random.default_rng(zlib.crc32(sample_id.encode()))
    noise = rng.normal(0, _NOISE / 255, value.shape).astype(np.float32)
    return np.clip((value + noise) * 255, 0, 255).astype(np.uint8)


class AblationTeaching(LandmarkTeaching):
    """The face's teaching on such pictures."""

    def __init__(self, data: TrainingData, others: frozenset[str]) -> None:
        super().__init__("face", data)
        self._pictures = OtherCamera(data.datasets, others)


def with_lines_alone(data: TrainingData) -> dict[str, Subject]:
    """The training subjects by sample, labelled with nothing but their lines."""
    (dataset,) = data.datasets
    found = {}
    wanted = {subject.source[1] for subject in data.train}
    for label in dataset.labels("synthetic"):
        if label.topology and label.sample_id in wanted:
            bare = replace(label, keypoints_px=None, keypoints_camera_m=None, visibility=None)
            subject = _subject(0, bare, FACE, dataset.camera(label.sample_id))
            if subject is not None:
                found[label.sample_id] = subject
    return found


def trained(
    data: TrainingData, others: frozenset[str], variant: Variant, steps: int, seed: int
) -> tuple[LandmarkTeaching, Any, float]:
    """A variant's teaching, its averaged network, and CPU seconds."""
    photometry.SPECTRUM_SHARE = variant.spectrum_share
    teaching = AblationTeaching(data, others)
    network = teaching.new_network(seed)
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(
            network=network, teaching=teaching, validation=[], batch=16, steps=steps, seconds=None,
            settings={}, checkpoint=Path(folder) / "m.safetensors", reporter=Silent(),
            stop=lambda: False,
        )  # fmt: skip
        log = Log(Path(folder) / "log.jsonl", None)
        with closing(teaching.batches(16, seed, 0)) as batches, closing(log):
            loop.run(batches, log)
    photometry.SPECTRUM_SHARE = Variant(True, True).spectrum_share
    return teaching, loop.average, time.process_time() - begun


def errors(teaching: LandmarkTeaching, network: Any, told: NDArray[np.bool_]) -> dict[str, float]:
    """Mean errors in percent of the interocular distance."""
    every, lines = [], []
    network.eval()
    for target in map(Target.of, teaching.validation(VALIDATION)):
        with torch.no_grad():
            found = network(target.image)["landmarks"].reshape(target.landmarks.shape)
        off = (found - target.landmarks)[..., :2].norm(dim=-1) / target.normaliser[:, None]
        every.append(off.mean(dim=1))
        lines.append(off[:, torch.from_numpy(told)].mean(dim=1))
    return {
        "all points": round(100 * float(torch.cat(every).mean()), 2),
        "points of lines": round(100 * float(torch.cat(lines).mean()), 2),
    }


def main() -> None:
    """Train every variant, print, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("face_ablation.json"))
    arguments = parser.parse_args()
    keep_large_blocks()
    torch.set_num_threads(1)
    single_threaded_opencv()
    data = load_training_data([arguments.data], FACE)
    bare = with_lines_alone(data)
    renders = data.train[::2]
    lines = tuple(bare[s.source[1]] for s in data.train[1::2] if s.source[1] in bare)
    others = frozenset(s.source[1] for s in (*lines, *data.val))
    told = np.mean([s.weight > 0 for s in lines], axis=0) > 0.5
    figures: dict[str, Any] = {
        "steps": arguments.steps, "renders": len(renders), "with lines": len(lines),
        "measured": min(VALIDATION, len(data.val)), "points told by lines": int(told.sum()),
    }  # fmt: skip
    for title, variant in VARIANTS.items():
        taught = (renders if variant.renders else ()) + (lines if variant.lines else ())
        runs = []
        for seed in range(arguments.seeds):
            part = replace(data, train=taught)
            teaching, network, cpu_s = trained(part, others, variant, arguments.steps, seed)
            runs.append({**errors(teaching, network, told), "cpu_s": round(cpu_s)})
        means = {key: round(float(np.mean([run[key] for run in runs])), 2) for key in runs[0]}
        figures[title] = {"mean": means, "runs": runs}
        sys.stdout.write(f"{title:32} {json.dumps(means)}\n")
        sys.stdout.flush()
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
