"""Which labels of a data set teach, and what a card says of them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bootstrap.body_alignment import BODY
from bootstrap.dataset import Dataset, Label
from runtime.card import CardData
from runtime.face_layouts import corresponds, in_layout

if TYPE_CHECKING:
    import pandas as pd

PROVENANCE_WEIGHTS = {"consensus": 2.0, "human/": 1.5, "synthetic": 1.0, "propagated": 0.5}
"""What a label counts by its layer, most trusted first: refined photographs are few among renders
and are what the model will see; propagated boxes carry their session's drift. A model's own
predictions never teach it."""


def splits_of(index: pd.DataFrame) -> dict[str, str]:
    """Sample -> split; where nothing is kept for validation, every eighth of what trains is."""
    splits = dict(zip(index["sample_id"].tolist(), index["split"].tolist()))
    if "val" not in splits.values():
        trained = [sample_id for sample_id, split in splits.items() if split == "train"]
        splits |= dict.fromkeys(trained[7::8], "val")
    return splits


def best_labels(dataset: Dataset, topology_id: str) -> tuple[list[str], list[Label]]:
    """The layers that count for some picture, and their labels."""
    best: dict[str, tuple[int, str, list[Label]]] = {}
    kinds, weights = list(PROVENANCE_WEIGHTS), list(PROVENANCE_WEIGHTS.values())
    for layer in dataset.layers():
        rank = next((i for i, name in enumerate(kinds) if layer.startswith(name)), None)
        if rank is None:
            continue
        labels: dict[str, list[Label]] = {}
        for label in dataset.labels(layer):
            if not label.topology or corresponds(label.topology, topology_id):
                mine = _in_layout(label, topology_id) if label.topology else label
                labels.setdefault(label.sample_id, []).append(
                    replace(mine, weight=mine.weight * weights[rank])
                )
        for sample_id, rows in labels.items():
            if sample_id not in best or (rank, layer) < best[sample_id][:2]:
                best[sample_id] = (rank, layer, rows)
    chosen = [label for sample_id in sorted(best) for label in best[sample_id][2]]
    return sorted({layer for _, layer, _ in best.values()}), chosen


def _in_layout(label: Label, topology_id: str) -> Label:
    """A label of another layout of faces as one of the network's: 68 points of 300-W teach the 468
    of the mesh that they correspond to."""
    if label.topology == topology_id or label.keypoints_px is None:
        return label
    seen = label.visibility
    if seen is None:
        seen = np.full(len(label.keypoints_px), 2, dtype=np.int8)
    points = in_layout(label.keypoints_px, label.topology, topology_id)
    visible = np.nan_to_num(in_layout(seen[:, None].astype(float), label.topology, topology_id))
    return replace(
        label,
        topology=topology_id,
        keypoints_px=points.astype(np.float32),
        keypoints_camera_m=None,
        visibility=visible[:, 0].astype(np.int8),
    )


def source_of(
    dataset: Dataset,
    index: pd.DataFrame,
    layers: list[str],
    labels: list[Label],
    topology_id: str,
) -> CardData:
    """What a training's card says of a data set: the digest is of its pictures and the labels that
    teach, the samples are those with one. Of data sets of other subjects all count, since each may
    be shown as what isn't one."""
    digest = hashlib.sha256()
    for row in index[["sample_id", "sha256", "split"]].itertuples(index=False):
        digest.update(" ".join(map(str, row)).encode())
    for label in labels:
        facts = (label.sample_id, label.topology, label.handedness, label.weight)
        digest.update(repr(facts).encode())
        values = [label.keypoints_px, label.keypoints_camera_m, label.visibility]
        if label.topology == BODY:
            values.append(label.detector_keypoints_px)
        for value in values:
            digest.update(b"-" if value is None else value.tobytes())
    others = dataset.info.topologies and not any(
        corresponds(one, topology_id) for one in dataset.info.topologies
    )
    samples = len(index) if others else len({label.sample_id for label in labels})
    info, seed = dataset.info, dataset.info.settings.get("seed")
    return CardData(
        info.name, digest.hexdigest(), samples, ", ".join(layers), info.generator,
        seed if isinstance(seed, int) else None,
    )  # fmt: skip
