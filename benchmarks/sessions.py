"""Rendered sessions through the whole chain: clicks in three frames, boxes in all of them, against
the true boxes.

Three ways: the recording of a tracker without mistakes; its noisy copy as it is; the noisy copy
with its poses refined on image features. Errors are of the eight corners in the picture, in pixels,
over all frames in which the box is whole, and of the fitted size.

    python -m benchmarks.sessions --out /tmp/sessions --count 6 --size 480x640 --frames 48
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arsession.cuboid_evidence import Click
from arsession.cuboid_file import Cuboid
from arsession.objectron_writer import ANNOTATION
from arsession.placing import DriftFrom, Placed, place
from arsession.propagate import VISIBLE, propagate
from arsession.readers import open_session
from arsession.session import Session
from bootstrap.dataset import Dataset, Label
from render.job import Job, cores, render_dataset
from render.session_recordings import NOISY, RECORDINGS, write_recordings
from render.sessions import Noise, SessionSettings, session_dataset, session_renderers

CLICK_SIGMA_PX = 1.0
WAYS: dict[str, tuple[str, DriftFrom]] = {
    "true poses": ("", "none"),
    "drifting": (NOISY, "none"),
    "drifting, refined": (NOISY, "pictures"),
}


@dataclass(frozen=True)
class Truth:
    """The true labels of a session's main object: frame of the recording -> label."""

    labels: dict[int, Label]

    @classmethod
    def of(cls, out: Path, number: int, session: Session, rate_hz: float) -> Truth:
        """Frames are matched by their times: the noisy copies miss some."""
        labels = {
            round(float(_frame(label, out)) / rate_hz, 4): label
            for label in Dataset.open(out).labels("synthetic", [number])
            if label.subject_id == 0
        }
        times = np.round(session.timestamps_s, 4)
        return cls({f: labels[t] for f, t in enumerate(times.tolist()) if t in labels})

    def whole(self) -> list[int]:
        """Frames that show all of the object."""
        return [f for f, label in self.labels.items() if label.attributes["truncation"] == 0]


def _frame(label: Label, out: Path) -> int:
    frames = Dataset.open(out).info.settings["frames"]
    return int(label.sample_id) % int(frames)


def clicks(truth: Truth, frames: list[int], rng: np.random.Generator) -> tuple[Click, ...]:
    """A person's clicks on the corners that can be seen."""
    found = []
    for frame in frames:
        label = truth.labels[frame]
        assert label.keypoints_px is not None
        assert label.visibility is not None
        for corner in range(1, 9):
            if label.visibility[corner] == VISIBLE:
                x, y = label.keypoints_px[corner] + rng.normal(0, CLICK_SIGMA_PX, 2)
                found.append(Click(frame, (float(x), float(y)), corner=corner,
                                   sigma_px=CLICK_SIGMA_PX))  # fmt: skip
    return tuple(found)


def placed_by_clicks(
    session: Session, truth: Truth, rng: np.random.Generator, drift: DriftFrom
) -> Placed:
    """The main object's box from three frames, evenly chosen."""
    whole = truth.whole()
    chosen = [whole[round(share * (len(whole) - 1))] for share in (0.1, 0.5, 0.9)]
    label = next(iter(truth.labels.values()))
    cuboid = Cuboid(0, label.attributes["category"], clicks(truth, sorted(set(chosen)), rng))
    return place(session, (cuboid,), session.path, drift)


def errors(placed: Placed, truth: Truth) -> dict[str, float]:
    """Mean corner error in pixels over whole frames, and the sizes' error."""
    box = placed.cuboids[0].box
    assert box is not None
    seen = propagate(box, placed.views)
    off = []
    for frame in truth.whole():
        true_px = truth.labels[frame].keypoints_px
        assert true_px is not None
        off.append(np.linalg.norm(seen.keypoints_px[frame, 1:] - true_px[1:], axis=1).mean())
    cuboid = next(iter(truth.labels.values())).cuboid
    assert cuboid is not None
    size = np.asarray(cuboid["size_m"], dtype=np.float64)
    return {
        "corner_px": float(np.mean(off)),
        "worst_px": float(np.max(off)),
        "size_percent": float(100 * np.abs(box.size_m / size - 1).mean()),
    }


def measured(out: Path, number: int, rate_hz: float) -> dict[str, dict[str, float]]:
    """Way -> errors of one session."""
    results = {}
    for name, (suffix, drift) in WAYS.items():
        folder = out / RECORDINGS / f"{number:06d}{suffix}"
        assert (folder / ANNOTATION).exists()
        session = open_session(folder)
        truth = Truth.of(out, number, session, rate_hz)
        rng = np.random.default_rng([number, 7])
        results[name] = errors(placed_by_clicks(session, truth, rng, drift), truth)
    return results


def main() -> None:
    """Render what is missing, measure, print a table and a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--size", default="480x640")
    parser.add_argument("--seed", type=int, default=70)
    parser.add_argument("--drift", type=float, default=2.0, help="cm in the root of a second")
    parser.add_argument("--workers", type=int, default=cores())
    options = parser.parse_args()
    width, height = (int(side) for side in options.size.split("x"))
    settings = SessionSettings(
        options.seed, options.frames, (width, height), noise=Noise(drift_m=options.drift / 100)
    )
    job = Job(options.out, session_dataset(settings), options.count * options.frames,
              session_renderers(settings), options.workers)  # fmt: skip
    begun = time.perf_counter()
    report = render_dataset(job)
    write_recordings(options.out, options.count, settings)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in WAYS}
    for number in range(options.count):
        for name, found in measured(options.out, number, settings.rate_hz).items():
            rows[name].append(found)
            sys.stdout.write(f"{number} {name}: {found}\n")
    table = {
        name: {key: round(float(np.mean([row[key] for row in some])), 3) for key in some[0]}
        for name, some in rows.items()
    }
    table["rendered"] = {"frames": report.rendered, "seconds": round(report.seconds, 1),
                         "all_s": round(time.perf_counter() - begun, 1)}  # fmt: skip
    sys.stdout.write(json.dumps(table) + "\n")


if __name__ == "__main__":
    main()
