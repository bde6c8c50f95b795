"""What a model file is, for people and scripts: its card, tensors, operators and their cost."""

from __future__ import annotations

import hashlib
from typing import Any

from runtime.bundle import Bundle, models_in, read_bundle
from runtime.card import Card, CardModel
from runtime.errors import ViewfinderError
from runtime.model import TensorInfo
from runtime.model_store import find_model, is_trusted
from runtime.operators import model_operators, operator_counts
from runtime.released import RELEASED_BY_SHA256
from runtime.signatures import card_of
from runtime.trust import load_model


def described(path: str) -> dict[str, Any]:
    """What is known of a model file.

    Untrusted models are probed in a child process before they are loaded. A model without a card
    whose tensors are none that are known is described all the same, without a task.

    Raises:
        ViewfinderError: it can't be read, isn't what it claims to be, or LiteRT can't run it.
    """
    bundle = read_bundle(find_model(path))
    card = _card(bundle)
    entries = {model.file: model for model in card.models}
    models = list(models_in(bundle))
    return {
        "file": bundle.name,
        "sha256": bundle.sha256,
        "card": bundle.card is not None,
        "task": card.task,
        "licence": card.licence,
        "licences_inherited": list(card.licences_inherited),
        "parent": card.parent,
        "tool": card.tool,
        "data": [item.__dict__ for item in card.data],
        "metrics": [item.__dict__ for item in card.metrics],
        "models": [
            _described_model(bundle, file, data, entries.get(file)) for file, data in models
        ],
        "other_members": sorted(set(bundle.members) - {file.split("/")[0] for file, _ in models}),
    }


def _card(bundle: Bundle) -> Card:
    try:
        return card_of(bundle)
    except ViewfinderError:
        if bundle.card is not None:
            raise
        return Card(task="", models=(), licence="NOASSERTION")


def _described_model(
    bundle: Bundle, file: str, data: bytes, entry: CardModel | None
) -> dict[str, Any]:
    sha256 = hashlib.sha256(data).hexdigest()
    released = RELEASED_BY_SHA256.get(sha256)
    facts: dict[str, Any] = {
        "file": file,
        "role": entry.role if entry else "",
        "topology": entry.topology if entry else "",
        "bytes": len(data),
        "sha256": sha256,
        "released": released.name if released else "",
        "trusted": is_trusted(sha256),
        "input": entry.input.__dict__ if entry else None,
        "refused": "",
    }
    try:
        model = load_model(data, f"{bundle.name} {file}")
    except ViewfinderError as error:
        # A trusted model that LiteRT lacks operators for can still be looked into.
        if not facts["trusted"]:
            raise
        facts["refused"] = str(error.found or error.problem)
    else:
        meanings = {output.name: output.meaning for output in entry.outputs} if entry else {}
        facts |= {
            "inputs": [_tensor(info) for info in model.inputs],
            "outputs": [
                {**_tensor(info), "meaning": meanings.get(info.name, "")} for info in model.outputs
            ],
            "xnnpack_partitions": model.xnnpack_partitions(),
            "whole_in_xnnpack": model.runs_whole_in_xnnpack(),
            "outside_xnnpack": model.outside_xnnpack(),
        }
    operators = model_operators(data)
    return facts | {
        "operators": operator_counts(operators),
        "custom_operators": sorted({operator.name for operator in operators if operator.custom}),
        "macs": sum(operator.macs for operator in operators),
    }


def _tensor(info: TensorInfo) -> dict[str, Any]:
    return {"name": info.name, "shape": list(info.shape), "dtype": info.dtype}
