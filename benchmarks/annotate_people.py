"""How long simulated annotators take for a face, through the real editing code.

    python benchmarks/annotate_people.py [--project DIR --layer LAYER] [--faces N] [--out FILE]

A simulated person knows where keypoints belong and acts in time: 1.2 s to think once an item,
1.1 s to point, 0.1 s a button down or up, 0.2 s a key; every point is aimed at with an error of 2
screen pixels (standard deviation) at the zoom that the tool shows at 1280 x 800. A face starts
where a model put it, about 4 % of the interocular distance off; it is done when the person, who
judges by eye, sees nothing worth mending or 30 s are over. Edits go through `AnnotationSession`
into a real store. Four ways of working are compared.

Starts: MediaPipe's kind of error by default (a shift, size, roll and turn in common, the ways in
which faces vary, a smooth remainder; the shares as measured on its answers on rendered faces, see
`annotate.following`), or, with --layer, a model's own answers, less what they are all off by in
common and scaled to 4 %. Truth is the layer `synthetic`; without a project, drawn faces.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

# Run as a script, this file's own folder comes first, where it would pass for the package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from annotate.contours import handle_mask
from annotate.dragging import Dragging, DragTools
from annotate.drawing import asked_box, view_onto
from annotate.editing import bounding_box
from annotate.following import WHOLE_FACE, covariance
from annotate.guide import next_to_place
from annotate.sample import write_sample_project
from annotate.session import AnnotationSession
from bootstrap.dataset import Dataset, Label
from bootstrap.face_shapes import TOPOLOGY
from runtime.topology import topology

Array = NDArray[np.float64]
THINK_S, POINT_S, BUTTON_S, KEY_S = 1.2, 1.1, 0.1, 0.2
AIM_SCREEN_PX = 2.0
BUDGET_S = 30.0
START_ERROR = 0.04
# The canvas of the window at 1280 x 800 with panel and close views, as `benchmarks/annotate.py`
# opens it; what share of it the subject and a close view fill.
CANVAS_PX = (626.0, 751.0)
SUBJECT_FILL, REGION_FILL = 0.8, 0.95
# What a person lets pass: this many screen pixels off, seen beside what it should lie on.
_SEEN_SCREEN_PX = 6.0
FACE = topology(TOPOLOGY)
LAYER = "predicted@start"


@dataclass
class Person:
    """Somebody at work on one face.

    Attributes:
        session: with the face current.
        truth: (478, 2) px.
        rng: of the hand.
        seconds: of action so far.
        errors: (seconds, mean error in interocular distances) after each action.
    """

    session: AnnotationSession
    truth: Array
    rng: np.random.Generator
    seconds: float = THINK_S
    errors: list[tuple[float, float]] = field(default_factory=list)
    dragging: Dragging = field(default_factory=lambda: Dragging(DragTools()))

    def __post_init__(self) -> None:
        self.length = float(FACE.normalising_length(self.truth))
        self.dragging.set_picture(self.session.picture())
        self.note()

    @property
    def points(self) -> Array:
        """(478, 2) px as they stand."""
        return self.session.document.keypoints_px

    def error(self) -> float:
        """Mean over all keypoints, in interocular distances."""
        return float(np.linalg.norm(self.points - self.truth, axis=1).mean()) / self.length

    def note(self) -> None:
        """Write down where the face is now."""
        self.errors.append((self.seconds, self.error()))

    def face_zoom(self) -> float:
        """Screen pixels to one of the picture when the view is fitted to the face."""
        box = bounding_box(self.session.document)
        assert box is not None
        return view_onto(box, CANVAS_PX, SUBJECT_FILL)[1]

    def asked_zoom(self, index: int) -> float:
        """Of the view in which a keypoint is asked for."""
        return view_onto(asked_box(self.points, TOPOLOGY, index), CANVAS_PX, REGION_FILL)[1]

    def aimed(self, index: int, zoom: float) -> Array:
        """(2,) px: where the hand puts what belongs to a keypoint."""
        return self.truth[index] + self.rng.normal(0.0, AIM_SCREEN_PX / zoom, 2)

    def drag(self, index: int, zoom: float, **how: bool) -> None:
        """Point at a keypoint, press, point at where it belongs, release."""
        document, drawn = self.session.document, self.points.copy()
        self.dragging.take_hold(document, drawn, index, drawn[index], **how)
        self.dragging.to(self.aimed(index, zoom))
        move = self.dragging.let_go()
        assert move is not None
        self.session.move_many(move)
        self.seconds += 2 * POINT_S + 2 * BUTTON_S
        self.note()

    def click(self, index: int, zoom: float) -> None:
        """Point at where an asked keypoint belongs, and click."""
        self.dragging.tools.asked = index
        document, drawn = self.session.document, self.points.copy()
        self.dragging.take_hold(document, drawn, index, self.aimed(index, zoom))
        move = self.dragging.let_go()
        assert move is not None
        self.session.move_many(move)
        self.seconds += POINT_S + 2 * BUTTON_S
        self.note()

    def worst(self, zoom: float, candidates: Array) -> int | None:
        """The keypoint that is seen to be farthest off, None when nothing is."""
        off = np.linalg.norm(self.points - self.truth, axis=1) * zoom
        free = candidates & ~self.session.document.placed
        index = int(np.where(free, off, 0.0).argmax())
        return index if free.any() and off[index] > _SEEN_SCREEN_PX else None


def alone(person: Person) -> None:
    """Every keypoint for itself, as in tools without help."""
    _drag_worst(person, np.ones(FACE.size, bool), alone=True)


def softly(person: Person) -> None:
    """Handles with contours and mesh following within the reach that is set at first."""
    _drag_worst(person, handle_mask(TOPOLOGY))


def together(person: Person) -> None:
    """Handles with the whole face following."""
    person.dragging.tools.reach = WHOLE_FACE
    person.seconds += KEY_S
    _drag_worst(person, handle_mask(TOPOLOGY), soft=True)


def _drag_worst(person: Person, candidates: Array, **how: bool) -> None:
    zoom = person.face_zoom()
    while person.seconds + 2 * POINT_S + 2 * BUTTON_S + KEY_S <= BUDGET_S:
        index = person.worst(zoom, candidates)
        if index is None:
            break
        person.drag(index, zoom, **how)


def asked(person: Person) -> None:
    """Asked point by point, near: a click where it belongs, a key where it is right."""
    person.seconds += KEY_S
    index = next_to_place(person.session.document)
    while index is not None and person.seconds + POINT_S + 2 * BUTTON_S + KEY_S <= BUDGET_S:
        zoom = person.asked_zoom(index)
        off = float(np.linalg.norm(person.points[index] - person.truth[index])) * zoom
        if off <= _SEEN_SCREEN_PX:
            person.session.keep(index)
            person.seconds += KEY_S
            person.note()
        else:
            person.click(index, zoom)
        index = next_to_place(person.session.document, index)


WAYS: dict[str, Callable[[Person], None]] = {
    "each keypoint alone": alone,
    "contours, reach as it is": softly,
    "contours, whole face": together,
    "asked point by point": asked,
}


def composed_start(truth: Array, rng: np.random.Generator) -> Array:
    """(478, 2) a model's answer: the truth and an error as MediaPipe's vary."""
    spread = covariance(truth)
    root = np.linalg.cholesky(spread + 1e-6 * spread.trace() / len(spread) * np.eye(len(spread)))
    return _scaled(truth, (root @ rng.normal(size=len(root))).reshape(-1, 2))


def _scaled(truth: Array, error: Array) -> Array:
    length = float(FACE.normalising_length(truth))
    return truth + error * START_ERROR * length / np.linalg.norm(error, axis=1).mean()


def model_starts(truths: dict[str, Array], labels: list[Label]) -> dict[str, Array]:
    """A model's own answers: less what all are off by in common, scaled to 4 %."""
    errors: dict[str, tuple[Array, Array]] = {}
    for label in labels:
        truth = truths.get(label.sample_id)
        if truth is None or label.topology != TOPOLOGY or label.keypoints_px is None:
            continue
        length = float(FACE.normalising_length(truth))
        along = (truth[473] - truth[468]) / length
        upright = np.array([along, [-along[1], along[0]]])
        error = (label.keypoints_px[:, :2] - truth) @ upright.T / length
        if np.linalg.norm(error, axis=1).mean() < 0.1:  # another face, or none
            errors[label.sample_id] = error, upright
    common = np.mean([error for error, _ in errors.values()], axis=0)
    return {
        sample: _scaled(truths[sample], (error - common) @ upright)
        for sample, (error, upright) in errors.items()
    }


def with_starts(source: Dataset, layer: str | None, count: int) -> dict[str, Array]:
    """The truth of the faces worked on; the layer `predicted@start` holds where they start."""
    truths = {
        label.sample_id: np.asarray(label.keypoints_px[:, :2], dtype=np.float64)
        for label in source.labels("synthetic")
        if label.topology == TOPOLOGY and label.keypoints_px is not None
    }
    if layer:
        starts = model_starts(truths, source.labels(layer))
    else:
        rng = np.random.default_rng(1)
        starts = {sample: composed_start(truth, rng) for sample, truth in truths.items()}
    chosen = sorted(starts)[:count]
    rows = [
        Label(sample_id=s, topology=TOPOLOGY, keypoints_px=starts[s].astype(np.float32))
        for s in chosen
    ]
    source.write_layer(LAYER, rows)
    return {sample: truths[sample] for sample in chosen}


def measure(project: Path, truths: dict[str, Array]) -> dict[str, dict[str, Any]]:
    """Every way of working on every face, each way by an annotator of its own."""
    found: dict[str, dict[str, Any]] = {}
    for number, (name, way) in enumerate(WAYS.items()):
        people = []
        with AnnotationSession.open(project, annotator=f"way{number}", layer=LAYER) as session:
            for place, item in enumerate(session.items):
                session.go(place)
                rng = np.random.default_rng((number, place))
                person = Person(session, truths[item.key.sample_id], rng)
                way(person)
                session.accept()
                person.seconds += KEY_S
                person.note()
                people.append(person)
        found[name] = _told(people)
    return found


def _told(people: list[Person]) -> dict[str, Any]:
    ends = np.array([person.errors[-1][1] for person in people])
    seconds = np.array([person.seconds for person in people])
    reached = [
        next((t for t, error in person.errors if error <= 0.013), np.inf) for person in people
    ]
    return {
        "start_percent": round(100 * float(np.mean([p.errors[0][1] for p in people])), 2),
        "end_percent": round(100 * float(ends.mean()), 2),
        "seconds": round(float(seconds.mean()), 1),
        "longest_seconds": round(float(seconds.max()), 1),
        "within_1.3_percent": round(float((ends <= 0.013).mean()), 2),
        "median_seconds_to_1.3_percent": _finite(float(np.median(reached))),
        "faces": len(people),
    }


def _finite(value: float) -> float | None:
    return round(value, 1) if np.isfinite(value) else None


def main() -> None:
    """Measure, print a table, write the JSON file."""
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, help="with a layer `synthetic`; else drawn faces")
    parser.add_argument("--layer", help="a model's answers to start from")
    parser.add_argument("--faces", type=int, default=24)
    parser.add_argument("--out", type=Path, default=Path("annotate_people.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "faces"
        if options.project is None:
            write_sample_project(project, np.random.default_rng(0), options.faces)
        else:
            import shutil

            shutil.copytree(options.project, project)
        truths = with_starts(Dataset.open(project), options.layer, options.faces)
        found = measure(project, truths)
    table = Table("way", "start %", "end %", "seconds", "most s", "within 1.3 %", "s to 1.3 %")
    for name, row in found.items():
        table.add_row(
            name,
            f"{row['start_percent']:.2f}",
            f"{row['end_percent']:.2f}",
            f"{row['seconds']:.1f}",
            f"{row['longest_seconds']:.1f}",
            f"{100 * row['within_1.3_percent']:.0f} %",
            "never" if (t := row["median_seconds_to_1.3_percent"]) is None else f"{t:.1f}",
        )
    Console().print(table)
    options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
