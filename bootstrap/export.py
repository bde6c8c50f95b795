"""From a trained network to a `.task` bundle, checked against torch.

The tensors have MediaPipe's layouts (bootstrap.export_layouts). Beside the model a bundle holds the
weights that `--from` starts from.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import logging
import math
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bootstrap.export_layouts import (
    DESCRIPTIONS,
    MEANINGS,
    MODEL_FILES,
    ROLES,
    TASKS,
    TITLES,
    Deployed,
    input_range,
)
from bootstrap.export_quantised import (
    SIGNATURE,
    at_precision,
    check_smaller,
    keypoint_difference_px,
    shared_out,
)
from bootstrap.networks import (
    SIZED_NETWORKS,
    DetectorNetwork,
    FaceNetwork,
    HandNetwork,
    Network,
)
from bootstrap.tflite_metadata import with_metadata
from runtime.bundle import Bundle, read_bundle, write_bundle
from runtime.card import Card, CardInput, CardMetric, CardModel, CardOutput
from runtime.errors import ViewfinderError
from runtime.model import Model
from runtime.native_output import captured_stderr

if TYPE_CHECKING:
    from bootstrap.training.subjects import TrainingData

MAX_DIFFERENCE = 1e-5
"""Between torch and LiteRT: landmarks in input widths, probabilities, metres."""
COMPARED_UNREAL, COMPARED_REAL = 10, 16
"""Pictures of noise or of one colour, then real ones, in a comparison with torch."""
SMALLER_SHOWN = 160
"""Pictures at most that a smaller model is calibrated on and judged by."""


@dataclass(frozen=True)
class Exported:
    """A written bundle.

    Attributes:
        sha256: of the bundle.
        difference: greatest between torch and LiteRT, in the unit of `MAX_DIFFERENCE`.
        xnnpack_partitions: into how many pieces XNNPACK took the model.
    """

    sha256: str
    difference: float
    xnnpack_partitions: int


@dataclass(frozen=True)
class Parent:
    """The bundle that a training started from: its SHA-256 and the licences it inherited."""

    sha256: str
    licences_inherited: tuple[str, ...]


def export_bundle(
    network: Network,
    out: Path,
    data: TrainingData,
    validation: Sequence[NDArray[np.uint8]],
    quality: Sequence[CardMetric],
    parent: Parent | None,
    also: Sequence[str] = (),
    command: str = "",
) -> Exported:
    """Convert a network, compare it with torch, write its bundle with a card.

    Args:
        network: evaluated, with its averaged weights.
        out: the bundle.
        data: what it was trained on.
        validation: (S, S, 3) real crops to compare on.
        quality: what was measured on them.
        parent: the bundle it was trained from.
        also: of `PRECISIONS`: written beside it as NAME.fp16.task, NAME.int8.task.
        command: how it was trained, for the card.

    Raises:
        ViewfinderError: LiteRT and torch differ by more than `MAX_DIFFERENCE`, XNNPACK breaks the
            model up, or the bundle can't be written.
    """
    import safetensors.torch

    deployed = Deployed(network)
    tflite = convert(deployed)
    file = MODEL_FILES[network.name]
    model = Model.from_bytes(tflite, file)
    names = output_names(model, network.name)
    pictures = comparison_pictures(network.input_size, validation, input_range(network))
    difference = greatest_difference(deployed, model, pictures)
    partitions = model.xnnpack_partitions()
    _check_export(model, out, difference, partitions)
    size = network.input_size
    picture = CardInput(size, size, range=input_range(network))
    role = ROLES.get(network.name, "landmarks")
    card_model = CardModel(
        file=file,
        role=role,
        input=picture,
        outputs=tuple(
            CardOutput(info.name, info.shape, MEANINGS[network.name][names[info.name]])
            for info in model.outputs
        ),
        topology=network.topology_id if role == "landmarks" else "",
    )
    weights_file = f"{network.name}.safetensors"
    weights = safetensors.torch.save(
        {k: v.contiguous() for k, v in network.state_dict().items()}, {"network": network.name}
    )
    card_weights = CardModel(weights_file, "weights", picture, (), network.topology_id)
    card = _card(network, (card_model, card_weights), data, quality, parent, difference, partitions)
    card = replace(card, command=command)
    sha256 = write_bundle(out, {file: tflite, weights_file: weights}, card)
    shown = _as_input(validation[:SMALLER_SHOWN], input_range(network))
    for precision in also:
        _write_smaller(out.with_suffix(f".{precision}.task"), tflite, precision, card, shown)
    return Exported(sha256, difference, partitions)


def _write_smaller(
    out: Path,
    tflite: bytes,
    precision: str,
    card: Card,
    pictures: Sequence[NDArray[np.float32]],
) -> None:
    """The bundle's model alone, smaller; the weights to train on from stay with fp32."""
    entry, file = card.models[0], card.models[0].file
    meanings = [output.meaning for output in entry.outputs]
    if len(pictures) < 2:
        raise ViewfinderError(
            "a smaller model is judged by validation pictures, and there are too few", file=out,
            expected="2 or more", found=len(pictures),
        )  # fmt: skip
    calibration, judged = shared_out(pictures)
    with _quiet():
        smaller = at_precision(tflite, precision, calibration)
    model = Model.from_bytes(smaller, file)
    off = keypoint_difference_px(Model.from_bytes(tflite, file), model, meanings, judged)
    check_smaller(model, out, off)
    compared = CardMetric("validation crops", f"keypoints of {precision} from fp32, px", off)
    metrics = (*card.metrics, compared)
    # The quantiser names outputs anew.
    outputs = tuple(replace(o, name=i.name) for o, i in zip(entry.outputs, model.outputs))
    entry = replace(entry, outputs=outputs)
    write_bundle(out, {file: smaller}, replace(card, models=(entry,), metrics=metrics))


def convert(deployed: Deployed) -> bytes:
    """The network as a TFLite model; equal weights give equal bytes."""
    with _quiet():
        import litert_torch

        size = deployed.network.input_size
        sample = {"image": torch.zeros(1, size, size, 3)}
        converted = litert_torch.signature(SIGNATURE, deployed.eval(), sample_kwargs=sample)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.tflite"
            converted.convert().export(str(path))
            tflite = path.read_bytes()
    name = deployed.network.name
    low, high = input_range(deployed.network)
    std = 255.0 / (high - low)
    title = name if name.endswith("detector") else f"{name} landmarks"
    return with_metadata(tflite, title, TITLES[name], DESCRIPTIONS[name], 0.0 - low * std, std)


def output_names(model: Model, network_name: str) -> dict[str, str]:
    """The name of each of the model's outputs -> the key of `MEANINGS` that it answers to."""
    keys = {f"{SIGNATURE}_{key}_output": key for key in MEANINGS[network_name]}
    found = [info.name for info in model.outputs]
    if found != list(keys):
        raise ViewfinderError(
            "the converter named or ordered the outputs otherwise",
            file=model.name,
            expected=", ".join(keys),
            found=", ".join(found),
        )
    return keys


def comparison_pictures(
    size: int, validation: Sequence[NDArray[np.uint8]], range_: tuple[float, float] = (0.0, 1.0)
) -> list[NDArray[np.float32]]:
    """(1, S, S, 3) float32 over a range: noise, flat black and white, and up to 16 real crops."""
    rng = np.random.default_rng(0)
    noise = [rng.random((1, size, size, 3), dtype=np.float32) for _ in range(COMPARED_UNREAL - 2)]
    flat = [np.full((1, size, size, 3), value, dtype=np.float32) for value in (0, 1)]
    low, high = range_
    unreal = [picture * np.float32(high - low) + np.float32(low) for picture in noise + flat]
    return unreal + _as_input(validation[:COMPARED_REAL], range_)


def _as_input(
    pictures: Sequence[NDArray[np.uint8]], range_: tuple[float, float]
) -> list[NDArray[np.float32]]:
    """(S, S, 3) uint8 pictures as the model takes them, (1, S, S, 3)."""
    low, high = range_
    return [
        one[None].astype(np.float32) / 255 * np.float32(high - low) + np.float32(low)
        for one in pictures
    ]


def greatest_difference(
    deployed: Deployed, model: Model, pictures: Sequence[NDArray[np.float32]]
) -> float:
    """Greatest difference between torch and LiteRT over some pictures, as in `MAX_DIFFERENCE`."""
    kind = deployed.network.name
    names = output_names(model, kind)
    worst = 0.0
    for picture in pictures:
        with torch.no_grad():
            expected = deployed(torch.from_numpy(picture))
        for name, value in model.invoke(picture).items():
            meaning = MEANINGS[kind][names[name]]
            found = _in_units(torch.from_numpy(value), meaning, deployed.network.input_size)
            right = _in_units(expected[names[name]], meaning, deployed.network.input_size)
            off = float((found - right).abs().max())
            if not math.isfinite(off):
                return math.inf
            worst = max(worst, off)
    return worst


def _in_units(output: Tensor, meaning: str, input_size: int) -> Tensor:
    """An output in the unit of `MAX_DIFFERENCE`, double precision."""
    if meaning in ("landmarks", "contours", "eye", "iris", "boxes", "keypoint_offsets"):
        return output.double() / input_size
    if meaning == "landmarks_visibility":
        values = output.double().reshape(-1, 5)
        return torch.cat([values[:, :3] / input_size, torch.sigmoid(values[:, 3:])], dim=1)
    logits = meaning in ("presence_logit", "scores", "centres", "mask_logit", "heatmaps")
    return torch.sigmoid(output.double()) if logits else output.double()


def load_parent(path: Path, network: Network) -> Parent:
    """Put the weights of a bundle into a network of the same kind, or a wider one that can grow.

    Raises:
        ViewfinderError: not a bundle that was trained here, or of another network.
    """
    bundle, weights = _parent_weights(path, network.name)
    try:
        _fill(network, weights)
    except RuntimeError as error:
        raise ViewfinderError(
            "the bundle's weights are of another network",
            file=path,
            field=f"{network.name}.safetensors",
            found=str(error).splitlines()[0][:120],
        ) from error
    licences = bundle.card.licences_inherited if bundle.card else ()
    return Parent(bundle.sha256, licences)


def parent_size(path: Path, name: str) -> str:
    """Which size of a network a bundle's weights are of; "lite" where none is.

    Raises:
        ViewfinderError: not a bundle that was trained here, or of another kind.
    """
    _, weights = _parent_weights(path, name)
    shapes = {key: value.shape for key, value in weights.items()}
    for size in ("lite", "full"):
        states = SIZED_NETWORKS[name](size).state_dict()
        if {key: value.shape for key, value in states.items()} == shapes:
            return size
    return "lite"


def _parent_weights(path: Path, name: str) -> tuple[Bundle, dict[str, Tensor]]:
    import safetensors
    import safetensors.torch

    bundle = read_bundle(path)
    file = f"{name}.safetensors"
    if file not in bundle.members:
        raise ViewfinderError(
            "this bundle holds no weights to start from",
            file=path,
            expected=file,
            found=", ".join(sorted(bundle.members)),
            hint="--from takes a bundle that viewfinder train wrote for the same network",
        )
    try:
        return bundle, safetensors.torch.load(bundle.members[file])
    except (safetensors.SafetensorError, ValueError) as error:
        raise ViewfinderError(
            "the bundle's weights can't be read",
            file=path,
            field=file,
            found=str(error).splitlines()[0][:120],
        ) from error


def _fill(network: Network, weights: dict[str, Tensor]) -> None:
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        growing = FaceNetwork | HandNetwork | DetectorNetwork
        if not isinstance(network, growing) or network.size == "lite":
            raise
        narrow = type(network)("lite")
        narrow.load_state_dict(weights)
        network.grow_from(narrow)  # type: ignore[arg-type]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the converter's progress and its import's warnings off the terminal."""
    logging_before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            captured_stderr(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging_before)


def _check_export(model: Model, out: Path, difference: float, partitions: int) -> None:
    if not difference <= MAX_DIFFERENCE:
        raise ViewfinderError(
            "the exported model differs from torch",
            file=out,
            expected=f"at most {MAX_DIFFERENCE:g} of the input's width",
            found=f"{difference:.3g}",
            hint="the checkpoint is kept: --resume exports again",
        )
    if not model.runs_whole_in_xnnpack():
        raise ViewfinderError(
            "XNNPACK doesn't take the exported model whole",
            file=out,
            expected="1 partition from input to outputs",
            found=partitions,
        )


def _card(
    network: Network,
    models: tuple[CardModel, ...],
    data: TrainingData,
    quality: Sequence[CardMetric],
    parent: Parent | None,
    difference: float,
    partitions: int,
) -> Card:
    metrics = [
        *quality,
        CardMetric("noise and crops", "greatest difference from torch", difference),
        CardMetric("this model", "XNNPACK partitions", float(partitions)),
    ]
    inherited = {x for dataset in data.datasets for x in dataset.info.licences_inherited}
    inherited |= set(parent.licences_inherited if parent else ())
    versions = " ".join(
        f"{package} {importlib.metadata.version(package)}"
        for package in ("viewfinder-live", "torch", "litert-torch")
    )
    return Card(
        task=TASKS[network.name],
        models=models,
        licences_inherited=tuple(sorted(inherited)),
        data=data.sources,
        metrics=tuple(metrics),
        parent=parent.sha256 if parent else "",
        tool=versions,
    )
