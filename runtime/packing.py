"""Bundles put together, for `viewfinder models pack`."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from runtime.bundle import Bundle, read_bundle, write_bundle
from runtime.card import Card, CardInput, CardModel
from runtime.errors import ViewfinderError
from runtime.face_geometry import GEOMETRY_FILE, geometry_bytes
from runtime.model_store import find_model
from runtime.released import RELEASED_HASHES
from runtime.signatures import card_of


def tool_name() -> str:
    """What cards name as their maker: this program with its version."""
    try:
        return f"viewfinder {metadata.version('viewfinder-live')}"
    except metadata.PackageNotFoundError:
        return "viewfinder (not installed)"


def pack_bundle(detector: str | Path, landmarks: str | Path, out: str | Path) -> str:
    """Write one bundle out of a detector and a landmark model, as MediaPipe's Tasks take it.

    Args:
        detector: a .task or .tflite file, or the name of a stored model, with a detector in it.
        landmarks: the same with landmarks; licence and parent come from its card, data and metrics
            from both.
        out: the .task file.

    Returns:
        SHA-256 of the bundle.

    Raises:
        ViewfinderError: a role is missing, or the two are for different tasks.
    """
    first, detector_card, eye = _part(detector, "detector")
    second, landmark_card, points = _part(landmarks, "landmarks")
    if detector_card.task != landmark_card.task:
        raise ViewfinderError(
            "detector and landmarks are for different tasks", file=second.name,
            expected=detector_card.task, found=landmark_card.task,
        )  # fmt: skip
    eye_file, points_file = _names(detector_card.task, eye.file, points.file)
    members = {eye_file: first.members[eye.file], points_file: second.members[points.file]}
    inherited = {*detector_card.licences_inherited, *landmark_card.licences_inherited}
    if any(hashlib.sha256(data).hexdigest() in RELEASED_HASHES for data in members.values()):
        inherited.add("Apache-2.0 (MediaPipe's released models)")
    models = [replace(eye, file=eye_file), replace(points, file=points_file)]
    if points.topology == "face478@1":
        members[GEOMETRY_FILE] = geometry_bytes()
        models.append(CardModel(GEOMETRY_FILE, "geometry", CardInput(0, 0), (), points.topology))
    of_detector = [replace(one, metric=f"detector: {one.metric}") for one in detector_card.metrics]
    card = replace(
        landmark_card,
        models=tuple(models),
        data=tuple(dict.fromkeys((*landmark_card.data, *detector_card.data))),
        metrics=(*landmark_card.metrics, *of_detector),
        licences_inherited=tuple(sorted(inherited)),
        parent=second.sha256 if second.card else "",
        tool=tool_name(),
    )
    return write_bundle(out, members, card)


def _part(path: str | Path, role: str) -> tuple[Bundle, Card, CardModel]:
    bundle = read_bundle(find_model(path))
    card = card_of(bundle)
    for model in card.models:
        if model.role == role:
            return bundle, card, model
    raise ViewfinderError(
        f"this model holds no {role}", file=bundle.name,
        found=" and ".join(model.role for model in card.models) or "nothing",
    )  # fmt: skip


def _names(task: str, detector: str, landmarks: str) -> tuple[str, str]:
    if task in ("face", "hand", "pose"):  # what MediaPipe's Tasks looks for
        return f"{task}_detector.tflite", f"{task}_landmarks_detector.tflite"
    if detector != landmarks:
        return detector, landmarks
    return f"detector_{detector}", landmarks
