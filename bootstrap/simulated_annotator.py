"""A person who refines labels, simulated: truth is known, so are the hand's unsteadiness and pace.

With one the loop can be proved on renders: what the labels of a round are worth, and what they
cost. A label depends on the seed and the picture alone, so that two orders of the same pictures
differ in nothing but the order.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import Dataset, Label
from bootstrap.evaluate import DISCREPANCY
from bootstrap.metrics import normalising_length_px
from runtime.camera import Camera
from runtime.errors import ViewfinderError
from runtime.topology import Topology, topology

LOOK_S, MOVE_S, MOST_S = 1.2, 2.4, 30.0
"""Seconds to look at a picture, to move one thing (two pointings of 1.1 s, a button pressed and
released in 0.1 s each), and after which a person lets it be: as benchmarks/annotate_people.py."""
_SHARED = 0.5
"""Of the variance: whole parts lie off together, since people disagree about where a brow begins
more than about its points. Independent noise alone would average out over a dense mesh."""
_DENSE = 100
"""Keypoints from which on parts are moved, not points: the tool carries a part's points along."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SimulatedAnnotator:
    """A person with a name and a seed.

    Attributes:
        name: of the layer, human/<name>.
        seed: of all that is off.
        discrepancy_percent: mean distance of the keypoints from the truth, in percent of the
            normalising length; None for what annotators are apart (bootstrap.evaluate).
    """

    name: str = "simulated"
    seed: int = 0
    discrepancy_percent: float | None = None

    @property
    def layer(self) -> str:
        """Where the labels go."""
        return f"human/{self.name}"

    def refine(
        self,
        photos: Dataset,
        sample_ids: Iterable[str],
        truth: Mapping[str, Label],
        found: Mapping[str, Label],
    ) -> float:
        """Label some photographs, beside those that are labelled; returns the minutes it took.

        Args:
            photos: the data set, in which nobody sees the truth.
            sample_ids: in the order of the work.
            truth: by sample id.
            found: what a model prelabelled, by sample id; where it has nothing, all is drawn anew.

        Raises:
            ViewfinderError: a photograph without truth, or a layer that can't be written.
        """
        before = photos.labels(self.layer) if self.layer in photos.layers() else []
        labels = {label.sample_id: label for label in before}
        seconds = 0.0
        for sample_id in sample_ids:
            if sample_id not in truth:
                raise ViewfinderError("nobody knows the truth of this picture", field=sample_id)
            made = self.refined(truth[sample_id], found.get(sample_id), photos.camera(sample_id))
            labels[sample_id] = made
            seconds += float(made.attributes["seconds"])
        photos.write_layer(self.layer, labels.values())
        return seconds / 60.0

    def refined(self, truth: Label, found: Label | None, camera: Camera | None = None) -> Label:
        """The label that this person makes of a picture: in two dimensions, as people see it.

        Args:
            truth: of the subject.
            found: what the person starts from.
            camera: of the picture, for the normalising length of a turned subject.
        """
        shape = topology(truth.topology)
        assert truth.keypoints_px is not None
        points = truth.keypoints_px.astype(np.float64)
        length = normalising_length_px(shape, points, truth.keypoints_camera_m, camera)
        percent = self.discrepancy_percent
        off = (DISCREPANCY[shape.name[:4]] if percent is None else percent) / 100 * length
        start = None if found is None or found.keypoints_px is None else found.keypoints_px
        moves = len(_handles(shape)) if start is None else _moves(shape, start - points, off)
        return Label(
            sample_id=truth.sample_id,
            subject_id=truth.subject_id,
            topology=truth.topology,
            keypoints_px=points + off * self._unsteadiness(shape, truth.sample_id),
            visibility=truth.visibility,
            box_px=truth.box_px,
            handedness=truth.handedness,
            attributes={"seconds": round(min(LOOK_S + MOVE_S * moves, MOST_S), 3)},
            source="simulated annotator",
            annotator=self.name,
        )

    def _unsteadiness(self, shape: Topology, sample_id: str) -> Floats:
        """(N, 2) with a mean length of 1."""
        key = (zlib.crc32(sample_id.encode()),)
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
        own = rng.standard_normal((shape.size, 2))
        shared = np.zeros_like(own)
        for indices in shape.parts.values():
            shared[list(indices)] = rng.standard_normal(2)
        # The length of a pair of unit normals is sqrt(pi / 2) in the mean.
        mixed = math.sqrt(_SHARED) * shared + math.sqrt(1 - _SHARED) * own
        return np.asarray(mixed / math.sqrt(math.pi / 2))


def _handles(shape: Topology) -> list[list[int]]:
    """What one move takes along, as keypoints."""
    if shape.size >= _DENSE:
        return [list(indices) for indices in shape.parts.values()]
    return [[i] for i in range(shape.size)]


def _moves(shape: Topology, off_px: Floats, bearable_px: float) -> int:
    """How many handles lie further off than people would agree on."""
    distances = np.linalg.norm(off_px, axis=1)
    return sum(bool(distances[handle].mean() > bearable_px) for handle in _handles(shape))
