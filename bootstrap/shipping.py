"""Trained models into the package: measured, checked, put in place for `viewfinder run`.

    python -m bootstrap.shipping TRAINED --faces DIR... --hands DIR... [--into runtime/data]

TRAINED holds NAME.task and NAME.fp16.task of face-detector, face, palm-detector and hand, as
`viewfinder train --also fp16` writes them; the data sets' test splits measure what the cards say.
A shipped bundle has the fp16 model and, in fp16 too, the weights that `--from` starts from.
Either all four are put in place or none.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bootstrap.detector_evaluation import evaluate_detector, is_detector
from bootstrap.evaluate import evaluate_model
from bootstrap.subjects import Settings
from runtime.bundle import Bundle, bundle_bytes, parse_bundle, read_bundle
from runtime.bundled import BUNDLED, FOLDER, MAX_BYTES
from runtime.card import CardMetric
from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError
from runtime.model import Model

LICENCE = "Apache-2.0"
INHERITABLE = {"Apache-2.0", "CC0-1.0", "CC-BY-4.0", "MIT", "BSD-3-Clause"}
"""Of what models that anybody may use for anything can be made; Basel's face model isn't."""
GROUPS = {"face": ("tone", "age", "sex", "yaw", "size"), "hand": ("tone", "age", "sex", "size")}
ONE_PARTITION, FROM_FP32 = "XNNPACK partitions", "keypoints of fp16 from fp32, px"


def trained_name(name: str) -> str:
    """What a training's files of that bundled model are called: "viewfinder_hand" -> "hand"."""
    return name.removeprefix("viewfinder_").replace("_", "-")


def ship(
    trained: Path, faces: Sequence[Path], hands: Sequence[Path], into: Path = FOLDER
) -> dict[str, int]:
    """Make the bundled models and put them into a folder.

    Args:
        trained: the folder with the trainings' bundles.
        faces, hands: data sets with test splits.
        into: where they belong.

    Returns:
        Name -> bytes.

    Raises:
        ViewfinderError: a file is missing, a card incomplete, an inherited licence too narrow, or
            they are too large together; nothing is put in place then.
    """
    contents = {}
    for name in BUNDLED:
        data = faces if "face" in name else hands
        contents[name] = assembled(trained, trained_name(name), data)
    total = sum(map(len, contents.values()))
    if total > MAX_BYTES:
        raise ViewfinderError(
            "the bundled models are too large together", file=trained,
            expected=f"at most {MAX_BYTES:,} bytes", found=f"{total:,}",
        )  # fmt: skip
    for name, content in contents.items():
        write_bytes_durably(into / f"{name}.task", content, shared=True)
    return {name: len(content) for name, content in contents.items()}


def assembled(trained: Path, name: str, data: Sequence[Path]) -> bytes:
    """One bundle: the fp16 model, the weights of its training, a card that says what is known."""
    small = trained / f"{name}.fp16.task"
    half, exact = read_bundle(small), read_bundle(trained / f"{name}.task")
    if half.card is None or exact.card is None:
        raise ViewfinderError("not a bundle that was trained here", file=small)
    if (half.card.data, half.card.command) != (exact.card.data, exact.card.command):
        raise ViewfinderError(
            "the two bundles are of different trainings", file=small, expected=exact.card.command,
            found=half.card.command,
        )  # fmt: skip
    weights = next(one for one in exact.card.models if one.role == "weights")
    members = {**half.members, weights.file: _halved(exact.members[weights.file])}
    card = replace(
        half.card,
        models=(*half.card.models, weights),
        licence=LICENCE,
        metrics=(*half.card.metrics, *_measured(small, data)),
    )
    content = bundle_bytes(members, card, str(small))
    check_shipped(parse_bundle(content, str(small)))
    return content


def check_shipped(bundle: Bundle) -> None:
    """Refuse a bundle that isn't fit to be shipped.

    Raises:
        ViewfinderError: no card; data, seed, training, licence or a measured quality missing in
            it; an inherited licence not among `INHERITABLE`; a model that XNNPACK breaks up.
    """
    card = bundle.card
    if card is None:
        raise ViewfinderError("a bundle without a card isn't shipped", file=bundle.name)

    def require(right: bool, field: str, expected: str, found: object) -> None:
        if not right:
            raise ViewfinderError(
                "the card isn't fit to be shipped", file=bundle.name, field=field,
                expected=expected, found=found,
            )  # fmt: skip

    require(card.licence == LICENCE, "licence", LICENCE, card.licence)
    for licence in card.licences_inherited:
        found = set(re.findall(r"\(([\w.-]+)\)", licence)) or {licence}
        require(found <= INHERITABLE, "licences_inherited", " | ".join(INHERITABLE), licence)
    require(bool(card.data), "data", "the data sets it was trained on", "none")
    for one in card.data:
        whole = one.samples > 0 and len(one.sha256) == 64 and one.seed is not None
        require(whole and one.generator != "", "data", "samples, sha256, generator and seed", one)
    require(" --seed " in card.command, "command", "the training's", card.command or "none")
    metrics = {one.metric: one for one in card.metrics if not one.by}
    sure = [one for one in metrics.values() if one.interval is not None]
    require(any("(test)" in one.data for one in sure), "metrics", "an error on a test split", "")
    for name in (ONE_PARTITION, FROM_FP32):
        require(name in metrics, "metrics", name, sorted(metrics))
    (entry,) = (one for one in card.models if one.role in ("detector", "landmarks"))
    model = Model.from_bytes(bundle.members[entry.file], bundle.name)
    whole = model.runs_whole_in_xnnpack()
    require(whole, entry.file, "one XNNPACK partition", model.xnnpack_partitions())


def _measured(model: Path, data: Sequence[Path]) -> Iterator[CardMetric]:
    """The error on the test split, then that of parts and groups, and the groups' spread."""
    settings = Settings(tuple(data), split="test")
    names = _names(data)
    if is_detector(model):
        found = evaluate_detector(model, settings)
        if not found["n"]:
            raise ViewfinderError("this detector finds nothing on the test split", file=model)
        yield _metric(found["metric"], found, names)
        value = float(found["average_precision"])
        yield CardMetric(names, "average precision at IoU 0.5", value)
        return
    task = next(key for key in GROUPS if model.name.startswith(key))
    for by in ("part", *GROUPS[task]):
        try:
            found = evaluate_model(model, replace(settings, by=by)).to_json()
        except ViewfinderError as error:
            if (error.field or "").startswith("--by"):
                continue  # these labels don't say it
            raise
        if by == "part":
            yield _metric(found["metric"], found, names)
        for group, estimate in found["by"].items():
            if not estimate["n"]:
                continue
            yield _metric(found["metric"], estimate, names, f"{by} {group}")
        fairness = found.get("fairness")
        if fairness:
            spread = f"spread over {by}, % (annotators differ by {fairness['annotators']:g})"
            yield CardMetric(names, spread, fairness["spread"])


def _names(data: Sequence[Path]) -> str:
    return ", ".join(folder.name for folder in data) + " (test)"


def _metric(name: str, found: dict[str, object], data: str, by: str = "") -> CardMetric:
    mean, interval = found["mean"], found["interval"]
    assert isinstance(mean, float)
    assert isinstance(interval, list | tuple)
    return CardMetric(data, name, mean, (interval[0], interval[1]), by)


def _halved(weights: bytes) -> bytes:
    import safetensors.torch

    tensors = safetensors.torch.load(weights)
    small = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    return safetensors.torch.save(small)


def main() -> None:
    """Parse, ship, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("trained", type=Path)
    parser.add_argument("--faces", type=Path, nargs="+", required=True)
    parser.add_argument("--hands", type=Path, nargs="+", required=True)
    parser.add_argument("--into", type=Path, default=FOLDER)
    options = parser.parse_args()
    try:
        sizes = ship(options.trained, options.faces, options.hands, options.into)
    except ViewfinderError as error:
        sys.exit(f"error: {error}")
    for name, size in sizes.items():
        sys.stdout.write(f"{options.into / name}.task: {size / 1e6:.2f} MB\n")


if __name__ == "__main__":
    main()
