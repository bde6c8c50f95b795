"""A model's answers as a label layer, for people to refine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bootstrap.dataset import Dataset, Label
from bootstrap.predictions import open_model
from runtime.results import FrameResult, Subject
from runtime.topology import topology

SHA_DIGITS = 12


@dataclass
class Prelabelled:
    """What was done: the layer's name, the model's hash, pictures and subjects new in the layer,
    shards there before."""

    layer: str
    sha256: str
    pictures: int = 0
    subjects: int = 0
    shards_before: int = 0


def layer_of(sha256: str) -> str:
    """The layer that a model's answers go into."""
    return f"predicted@{sha256[:SHA_DIGITS]}"


def prelabel(
    root: Path,
    model: str | Path,
    min_score: float = 0.5,
    again: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Prelabelled:
    """Run a model's whole pipeline on every picture of a data set, each on its own.

    A shard that the layer has already is left as it is, so that a run which was killed goes on.
    The same model gives the same bytes.

    Args:
        root: the data set.
        model: bundle, bare .tflite, or the name of a stored model.
        min_score: the detector's threshold.
        again: label all shards anew.
        progress: called with pictures done and in all.

    Raises:
        ViewfinderError: a model, data set or picture that can't be read, or a layer that can't be
            written.
    """
    ds = Dataset.open(root)
    opened = open_model(model)
    solution = opened.solution(min_score)
    result = Prelabelled(layer_of(opened.sha256), opened.sha256)
    done_before = set() if again else ds.layer_shards(result.layer)
    samples = ds.samples()
    by_shard = {int(shard): rows for shard, rows in samples.groupby("shard")}
    done = 0
    for shard in sorted(ds.committed_shards()):
        ids = list(by_shard[shard]["sample_id"]) if shard in by_shard else []
        if shard in done_before:
            result.shards_before += 1
        else:
            labels: list[Label] = []
            for sample_id in ids:
                image = ds.read_image(sample_id)
                solution.reset()
                for subject in solution.process(image, done):
                    labels.append(predicted_label(sample_id, subject, image.shape, opened.sha256))
                done += 1
                progress(done, len(samples))
            ds.write_layer_shard(result.layer, shard, labels)
            result.pictures += len(ids)
            result.subjects += len(labels)
            continue
        done += len(ids)
        progress(done, len(samples))
    return result


def capture_labels(result: FrameResult) -> dict[str, list[Label]]:
    """What models found in a frame that is kept, by the layer of each; its sample has no id yet.

    A detection without keypoints of a topology makes no label. A model that found nothing has its
    layer, empty: it has looked.
    """
    answers = [(result.sha256, result.subjects)]
    if result.against is not None:
        answers.append((result.against.sha256, result.against.subjects))
    layers: dict[str, list[Label]] = {}
    for sha256, subjects in answers:
        labels = [
            predicted_label("", subject, (result.height, result.width), sha256)
            for subject in subjects
            if subject.topology
        ]
        if sha256:
            layers.setdefault(layer_of(sha256), labels)
    return layers


def predicted_label(
    sample_id: str, subject: Subject, image_shape: tuple[int, ...], sha256: str
) -> Label:
    """A found subject as a label; keypoints outside the picture count as hidden.

    Args:
        sample_id: the picture.
        subject: as the solution gives it.
        image_shape: (H, W, ...) of the picture.
        sha256: of the model.
    """
    height, width = image_shape[:2]
    points = subject.keypoints_px(width, height)[:, :2]
    inside = ((points >= 0) & (points <= (width, height))).all(axis=1)
    shape = topology(subject.topology)
    scale = np.array([width, height, width, height], dtype=np.float32)
    return Label(
        sample_id=sample_id,
        subject_id=subject.id,
        topology=shape.id,
        keypoints_px=points,
        visibility=np.where(inside, 2, 1),
        contours={name: points[list(line.indices)] for name, line in shape.contours.items()},
        box_px=np.array(subject.box, dtype=np.float32) * scale,
        cuboid=None if subject.cuboid is None else {**subject.cuboid, "frame": "camera"},
        handedness=subject.handedness,
        gesture=None if subject.gesture is None else str(subject.gesture["name"]),
        score=float(subject.score),
        # A box's lengths are metres only if the scale says so.
        attributes={} if subject.cuboid is None else {"scale": subject.cuboid["scale"]},
        source=f"model {sha256}",
    )
