"""Our gestures against GestureRecognizer of MediaPipe 1.2.2, picture by picture.

    python -m tests.runtime.check_gestures [--python .envs/mediapipe-1.2.2/bin/python]
                                           [--record FILE] PICTURE|FOLDER...

Two comparisons. Given MediaPipe's own keypoints our recogniser must name the same gesture with the
same score, to 1e-6: a difference ends in exit status 1. And the whole way from the picture, where
the hands are ours, which are those of MediaPipe 0.10.14: 1.2.2 places the keypoints of the same
models a few pixels elsewhere, so that a doubtful gesture may get another name; this is printed.
`--record` writes MediaPipe's answers for tests/runtime/data.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.mediapipe_bundles import write_bundles
from runtime.image import PICTURE_EXTENSIONS, read_image
from runtime.model import Model
from runtime.model_store import released_model
from runtime.results import Subject
from runtime.solutions import open_solution
from runtime.solutions.gestures import MediaPipeGestures

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".envs" / "mediapipe-1.2.2" / "bin" / "python"
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Compared:
    """One of MediaPipe's hands: its answer, ours to its keypoints, ours to the picture."""

    picture: str
    theirs: tuple[str, float]
    same_keypoints: tuple[str, float]
    whole_way: tuple[str, float] | None

    @property
    def equal(self) -> bool:
        """Whether the recogniser itself agrees."""
        name, score = self.same_keypoints
        return name == self.theirs[0] and abs(score - self.theirs[1]) <= TOLERANCE


def mediapipes_answers(python: Path, pictures: Sequence[Path]) -> dict[str, Any]:
    """What GestureRecognizer says: {"hands": [...]}; `python` has MediaPipe 1.2.2."""
    with tempfile.TemporaryDirectory(prefix="viewfinder-gestures-") as name:
        folder = Path(name)
        bundle = write_bundles(folder / "bundles")["gesture_recognizer.task"]
        arrays = []
        for picture in pictures:
            arrays.append(folder / f"{picture.stem}.npy")
            np.save(arrays[-1], read_image(picture))
        command = [python, HERE / "gesture_reference.py", bundle, *arrays]
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise SystemExit(f"MediaPipe's environment failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def compare(answers: dict[str, Any], pictures: Sequence[Path]) -> list[Compared]:
    """Our answers beside MediaPipe's."""
    recogniser = MediaPipeGestures(
        *(
            Model.from_bytes(released_model(name), name)
            for name in ("gesture_embedder", "canned_gesture_classifier")
        )
    )
    hands = open_solution(
        "hands", models="mediapipe", static=True, max_subjects=4, gestures="mediapipe"
    )
    ours = {picture.stem: hands.process(read_image(picture), 0) for picture in pictures}
    rows = []
    for hand in answers["hands"]:
        keypoints = np.array(hand["keypoints"], dtype=np.float32)
        world = np.array(hand["world"], dtype=np.float32)
        score = np.float32(hand["score"])
        left = score if hand["label"] == "Left" else np.float32(1) - score
        said = recogniser.named(keypoints, world, float(left), *hand["size"])
        rows.append(
            Compared(
                hand["picture"], tuple(hand["gesture"]), (said["name"], said["score"]),
                _nearest(ours[hand["picture"]], keypoints),
            )
        )  # fmt: skip
    return rows


def _nearest(subjects: Sequence[Subject], keypoints: np.ndarray) -> tuple[str, float] | None:
    if not subjects:
        return None

    def apart(subject: Subject) -> float:
        return float(np.abs(subject.keypoints[:, :2] - keypoints[:, :2]).max())

    gesture = min(subjects, key=apart).gesture
    assert gesture is not None
    return gesture["name"], gesture["score"]


def main() -> None:
    """Parse, compare, print."""
    parser = argparse.ArgumentParser(description="Our gestures against MediaPipe 1.2.2's.")
    parser.add_argument("--python", type=Path, default=PYTHON)
    parser.add_argument("--record", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    options = parser.parse_args()
    pictures = [
        path
        for given in options.pictures
        for path in (sorted(given.iterdir()) if given.is_dir() else [given])
        if path.suffix.lower() in PICTURE_EXTENSIONS
    ]
    answers = mediapipes_answers(options.python, pictures)
    if options.record:
        about = "GestureRecognizer of MediaPipe 1.2.2, by tests/runtime/check_gestures.py"
        lines = ",\n".join(json.dumps(hand) for hand in answers["hands"])
        options.record.write_text(f'{{"about": "{about}", "hands": [\n{lines}\n]}}\n')
    rows = compare(answers, pictures)
    for row in rows:
        verdict = "same" if row.equal else "OTHER"
        sys.stdout.write(
            f"{row.picture:28} {verdict}  theirs {_text(row.theirs)}  "
            f"whole way {_text(row.whole_way)}\n"
        )
    wrong = sum(not row.equal for row in rows)
    names = sum(row.whole_way is not None and row.whole_way[0] == row.theirs[0] for row in rows)
    sys.stdout.write(
        f"{len(rows)} hands; {len(rows) - wrong} the same on the same keypoints; "
        f"{names} of the same name the whole way\n"
    )
    raise SystemExit(1 if wrong else 0)


def _text(said: tuple[str, float] | None) -> str:
    return "no hand" if said is None else f"{said[0]} {said[1]:.4f}"


if __name__ == "__main__":
    main()
