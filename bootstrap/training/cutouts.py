"""What is cut out of renders: their subjects with soft edges, and what is left behind them.

A render's segmentation says where its people are. A subject on its own can be set anywhere, at any
size and turn, before anything; the picture with a soft patch where the subject was is background.
Where an arm or a shirt leaves the picture it is carried on when the subject is drawn smaller; a
subject whose fingers or face are cut by the border can't be, and is shown in its own picture alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import Dataset
from bootstrap.training.anchors import Truth, truth_of
from bootstrap.training.subjects import Subject, TrainingData, crowded
from runtime.face_layouts import corresponds
from runtime.roi import Roi
from runtime.topology import Topology

Image = NDArray[np.uint8]

KEPT_SIDE = 1024
"""Longer side of a picture as it is kept: beyond it a letterbox shows no more."""
_BODY = (
    "torso",
    "head",
    "hair",
    "upper clothes",
    "lower clothes",
    "jacket",
    "skirt",
    "shoes",
    "seat",
)
_LIMBS = ("upper arm", "forearm", "thigh", "shank", "foot")
_CARRIED_ON = frozenset(
    {"forearm", "sleeve", "clothes", "accessory", "object", "distractor", *_BODY}
    | {f"{side} {limb}" for side in ("left", "right") for limb in _LIMBS}
)
"""What may be cut by the border, "second ..." likewise; and anything by a portrait's lower one."""
_GROUND = "ground"
"""Class that belongs to the place, not to who stands there."""
_SHOWS = {
    "hand21@1": frozenset(
        {"hand", "left hand", "right hand", "palm", "thumb", "index", "middle", "ring", "pinky"}
    ),
    "face478@1": frozenset({"lips", "eyes", "mouth", "head", "distractor"}),
}
"""Classes of renders that hold such a subject; a bystanding head is one, too."""
_LEAST_SHOWN = 16
"""Pixels of another subject's sides."""
_MOST_CUT = 4
"""Pixels of the border on which something else may lie."""
_EDGE_SIGMA = 1.0
_PATCH_AROUND, _PATCH_SIDE = 19, 48
_LEVELS = 4


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture: (data set number, sample id) and all the subjects in it, none for a negative."""

    source: tuple[int, str]
    subjects: tuple[Subject, ...]


@dataclass(frozen=True, eq=False)
class Cutout:
    """A picture's subjects alone.

    Attributes:
        levels: (H, W, 4) uint8 RGB and coverage, each half as large as the one before.
        truths: what a detector should say of them, in the pixels of the first level.
        mirrored: the same in the mirrored picture.
    """

    levels: tuple[Image, ...]
    truths: tuple[Truth, ...]
    mirrored: tuple[Truth, ...]


def scenes_of(
    subjects: Sequence[Subject], data: TrainingData, topology_id: str
) -> tuple[Scene, ...]:
    """Subjects by picture. Left out whole are pictures with a subject that can't be used or isn't
    labelled, since it would be taken for background, and those that another kind of data set calls
    empty: a picture without hands may show a face."""
    own = {i for i, ds in enumerate(data.datasets) if is_of(ds, topology_id)}
    more = {(i, name) for i in own for name in crowded(data.datasets[i], topology_id)}
    pictures: dict[tuple[int, str], list[Subject]] = {}
    for subject in subjects:
        known = bool(subject.topology_id) or subject.source[0] in own
        if known and subject.source not in data.incomplete and subject.source not in more:
            pictures.setdefault(subject.source, []).append(subject)
    return tuple(
        Scene(source, tuple(s for s in here if s.topology_id)) for source, here in pictures.items()
    )


def other_scenes(data: TrainingData, topology_id: str) -> tuple[Scene, ...]:
    """Pictures of the training split from segmented data sets of other subjects, whose classes say
    where ours may be seen: distractors. Whole bodies aren't, since they have faces and hands."""
    scenes = []
    for number, ds in enumerate(data.datasets):
        known = set(ds.info.topologies) <= set(_SHOWS) and ds.info.classes
        if is_of(ds, topology_id) or not known:
            continue
        index = ds.samples()
        trained = index[(index["split"] == "train") & index["extras"].map(segmented)]
        scenes += [Scene((number, name), ()) for name in trained["sample_id"].tolist()]
    return tuple(scenes)


def other_subjects(data: TrainingData, topology_id: str) -> tuple[Subject, ...]:
    """What a landmark network must not take for its subject: those of `other_scenes` that show none
    of ours, each as a square around what it shows."""
    found = []
    for scene in other_scenes(data, topology_id) if topology_id in _SHOWS else ():
        number, sample_id = scene.source
        ds = data.datasets[number]
        ids = ds.read_segmentation(sample_id)
        ours = _ids_of(ds.info.classes, _SHOWS[topology_id])
        x, y, width, height = cv2.boundingRect((ids > 0).astype(np.uint8))
        if min(width, height) < _LEAST_SHOWN or np.isin(ids, ours).any():
            continue
        row = ds.row(sample_id)
        scale = max(row["width"], row["height"]) / max(ids.shape)
        side = max(width, height) * scale
        roi = Roi((x + width / 2) * scale, (y + height / 2) * scale, side, side)
        nothing = np.zeros((0, 2), dtype=np.float32)
        found.append(Subject(scene.source, "", nothing, nothing[:, 0], None, None, None, roi, 0.0))
    return tuple(found)


class ScenePictures:
    """Whole pictures and what is cut out of them, made once while memory lasts.

    Args:
        datasets: where pictures are read from.
        budget_bytes: what is made beyond this is made again each time.
        topology: of the subjects.
    """

    def __init__(self, datasets: Sequence[Dataset], budget_bytes: int, topology: Topology) -> None:
        self._datasets, self._topology = datasets, topology
        self._left_bytes = budget_bytes
        self._kept: dict[tuple[int, str], tuple[Image, float]] = {}
        self._cut: dict[tuple[int, str], Cutout | None] = {}
        self._behind: dict[tuple[int, str], Image] = {}

    def of(self, scene: Scene) -> tuple[Image, float]:
        """The picture at most `KEPT_SIDE` large, and its pixels over the labels' pixels."""
        if (kept := self._kept.get(scene.source)) is not None:
            return kept
        number, sample_id = scene.source
        image = self._datasets[number].read_image(sample_id)
        scale = min(1.0, KEPT_SIDE / max(image.shape[:2]))
        if scale < 1.0:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if self._spend(image.nbytes):
            self._kept[scene.source] = (image, scale)
        return image, scale

    def cutout(self, scene: Scene) -> Cutout | None:
        """The picture's subjects alone; None where they can't be had."""
        if scene.source in self._cut:
            return self._cut[scene.source]
        ids = self._classes(scene)
        classes = self._datasets[scene.source[0]].info.classes
        cut = None
        # Without a label only what isn't one of ours.
        sound = ids is not None and (bool(scene.subjects) or not self._shows(ids, classes))
        if ids is not None and sound and _may_be_cut(ids, classes):
            cut = _cutout(self.of(scene)[0], ids, scene.subjects, self._topology)
        if cut is None or self._spend(sum(level.nbytes for level in cut.levels)):
            self._cut[scene.source] = cut
        return cut

    def background(self, scene: Scene) -> Image | None:
        """(H, W, 3) the picture without its subjects; None where they can't be taken out."""
        if (kept := self._behind.get(scene.source)) is not None:
            return kept
        image, _ = self.of(scene)
        ids = self._classes(scene)
        own = is_of(self._datasets[scene.source[0]], self._topology.id)
        if own and not scene.subjects:
            return image
        if ids is None:
            return None
        behind = _patched(image, ids > 0)
        if self._spend(behind.nbytes):
            self._behind[scene.source] = behind
        return behind

    def _spend(self, size: int) -> bool:
        if size > self._left_bytes:
            return False
        self._left_bytes -= size
        return True

    def _classes(self, scene: Scene) -> NDArray[np.uint8] | None:
        """The segmentation of a picture that is kept at its own size."""
        number, sample_id = scene.source
        ds = self._datasets[number]
        row = ds.row(sample_id)
        whole = max(row["width"], row["height"]) <= KEPT_SIDE
        if not (whole and ds.info.classes and segmented(row["extras"])):
            return None
        ids = ds.read_segmentation(sample_id)
        ground = ds.info.classes.get(_GROUND)
        return ids if ground is None else np.where(ids == ground, 0, ids).astype(np.uint8)

    def _shows(self, ids: NDArray[np.uint8], classes: Mapping[str, int]) -> bool:
        """Whether another data set's picture holds one of our subjects."""
        shown = _SHOWS.get(self._topology.id, frozenset())
        return bool(np.isin(ids, _ids_of(classes, shown)).any())


def is_of(ds: Dataset, topology_id: str) -> bool:
    """Whether its pictures without labels are without such subjects. A data set that doesn't say
    what it is of is taken to be of them."""
    return not ds.info.topologies or any(corresponds(t, topology_id) for t in ds.info.topologies)


def class_ids(ds: Dataset, topology_id: str) -> list[int]:
    """The numbers that a subject's pixels have in the segmentation of these renders."""
    return _ids_of(ds.info.classes, _SHOWS.get(topology_id, frozenset()))


def segmented(extras: Sequence[Mapping[str, object]]) -> bool:
    """Whether a sample's extras hold a segmentation."""
    return any(str(extra["member"]).endswith(".seg.png") for extra in extras)


def _ids_of(classes: Mapping[str, int], names: frozenset[str]) -> list[int]:
    return [number for name, number in classes.items() if name.removeprefix("second ") in names]


def _may_be_cut(ids: NDArray[np.uint8], classes: Mapping[str, int]) -> bool:
    free = [0, *_ids_of(classes, _CARRIED_ON)]
    border = [ids[0], ids[:, 0], ids[:, -1]]
    if "forearm" in classes:
        border.append(ids[-1])
    return int((~np.isin(np.concatenate(border), free)).sum()) <= _MOST_CUT and bool(ids.any())


def _cutout(
    image: Image, ids: NDArray[np.uint8], subjects: Sequence[Subject], topology: Topology
) -> Cutout:
    cover = cv2.GaussianBlur((ids > 0).astype(np.float32), (0, 0), _EDGE_SIGMA)
    # A little inside the outline, where no background shows through.
    alpha = (np.clip((cover - 0.4) / 0.5, 0, 1) * 255).astype(np.uint8)
    # Beyond it the subject's own colours, so that none of the background comes along when a pixel
    # is the mean of several.
    inner = (cover > 0.9).astype(np.float32)
    weight = cv2.GaussianBlur(inner, (0, 0), 2.0)[..., None]
    spread = cv2.GaussianBlur(image * inner[..., None], (0, 0), 2.0) / np.maximum(weight, 1e-6)
    own = np.where((inner[..., None] > 0) | (weight < 1e-3), image, spread).astype(np.uint8)
    levels = [np.dstack([own, alpha])]
    while len(levels) < _LEVELS and min(levels[-1].shape[:2]) >= 16:
        levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    width = image.shape[1]
    mirrored = [truth_of(subject.mirrored(topology, width)) for subject in subjects]
    return Cutout(tuple(levels), tuple(map(truth_of, subjects)), tuple(mirrored))


def _patched(image: Image, people: NDArray[np.bool_]) -> Image:
    """The picture with the blurred surroundings where people are."""
    around = np.ones((_PATCH_AROUND, _PATCH_AROUND), np.uint8)
    taken = cv2.dilate(people.astype(np.uint8), around)
    small = cv2.resize(image, (_PATCH_SIDE, _PATCH_SIDE), interpolation=cv2.INTER_AREA)
    parts = cv2.resize(
        taken.astype(np.float32), (_PATCH_SIDE, _PATCH_SIDE), interpolation=cv2.INTER_AREA
    )
    free = (parts == 0).astype(np.float32)
    total = np.full((_PATCH_SIDE, _PATCH_SIDE), 1e-6, np.float32)
    colour = np.full((_PATCH_SIDE, _PATCH_SIDE, 3), 1e-6, np.float32) * small.mean(axis=(0, 1))
    weight = 1.0
    for sigma in (2.0, 5.0, 12.0):  # the nearest surroundings count most
        colour += weight * cv2.GaussianBlur(small * free[..., None], (0, 0), sigma)
        total += weight * cv2.GaussianBlur(free, (0, 0), sigma)
        weight *= 0.05
    fill = cv2.resize((colour / total[..., None]).astype(np.float32), image.shape[1::-1])
    soft = cv2.GaussianBlur(taken.astype(np.float32), (0, 0), 3.0)[..., None]
    result: Image = np.clip(image + (fill - image) * soft + 0.5, 0, 255).astype(np.uint8)
    return result
