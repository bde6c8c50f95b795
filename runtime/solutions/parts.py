"""The models a solution is made of: out of released files, bundles, or bare .tflite files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runtime.bundle import Bundle, parse_bundle, read_bundle
from runtime.bundled import bundled
from runtime.card import Card, CardModel
from runtime.errors import ViewfinderError
from runtime.model import Model
from runtime.model_store import FETCH_HINT, find_model, released_model
from runtime.signatures import card_of
from runtime.solutions.options import SolutionOptions
from runtime.trust import load_model


@dataclass(frozen=True)
class Part:
    """One model of a solution.

    Attributes:
        data: its content.
        name: what errors call it.
        card: its entry in a card.
        trained_here: this suite trained it, on crops that landmarks gave.
    """

    data: bytes
    name: str
    card: CardModel
    trained_here: bool = False

    def load(self, options: SolutionOptions) -> Model:
        """The model in LiteRT, as the options want it run.

        Raises:
            ViewfinderError: it is damaged, hostile, or can't be run so.
        """
        return load_model(self.data, self.name, options.threads, options.delegate)

    def looked_at_twice(self, options: SolutionOptions) -> bool:
        """Whether this landmark model looks at new subjects twice. MediaPipe's do so once."""
        return self.trained_here if options.second_look is None else options.second_look


Parts = Mapping[str, Part]
"""Role -> part."""


def find_parts(
    options: SolutionOptions,
    task: str,
    released: Mapping[str, Sequence[str]],
    needed: Sequence[str],
    topology: str = "",
    whole: str = "",
) -> Parts:
    """The models of a solution.

    Args:
        options: what the user wants.
        task: of the bundles that fit.
        released: variant -> names of released models, the default first.
        needed: roles that must come from the user's own bundle. A detector that it lacks is ours
            where this release brings one and the bundle has a card, else MediaPipe's.
        topology: what the landmark model's topology must start with.
        whole: an output of the user's landmark model that shows that it needs no detector.

    Raises:
        ViewfinderError: unknown variant; models that aren't there, are damaged or are for
            something else.
    """
    if options.model is not None:
        own, with_card = _own_parts(options, task, needed, topology)
        if whole and any(o.meaning == whole for o in own["landmarks"].card.outputs):
            return own
        if {"detector", *needed} <= set(own):
            return own
        ours_fit = with_card and options.models == "bundled" and options.variant is None
        ours = bundled_parts(task) if ours_fit else {}
        return {**(ours if "detector" in ours else released_parts(options, released)), **own}
    if options.models == "mediapipe":
        return released_parts(options, released)
    ours = bundled_parts(task)
    if not {"detector", *needed} <= set(ours):
        raise ViewfinderError(
            f"this release brings no models of its own yet: {task}",
            hint=f"give --model FILE, or {FETCH_HINT} and --models mediapipe",
        )
    if options.variant is not None:
        raise ViewfinderError(
            "our own models have no variants", field="variant", found=repr(options.variant),
            hint="add --models mediapipe",
        )  # fmt: skip
    return ours


def bundled_parts(task: str) -> dict[str, Part]:
    """The models that this release brings for a task, by role; empty where it brings none.

    Raises:
        ViewfinderError: one is damaged.
    """
    parts: dict[str, Part] = {}
    for bundle in bundled():
        if bundle.card is not None and bundle.card.task == task:
            parts |= parts_of(bundle)
    return parts


def released_parts(options: SolutionOptions, released: Mapping[str, Sequence[str]]) -> Parts:
    """MediaPipe's models of the wanted variant.

    Args:
        options: `variant` is looked at.
        released: variant -> names, the default first.

    Raises:
        ViewfinderError: unknown variant, or models that aren't there or are damaged.
    """
    chosen = options.variant or next(iter(released))
    if chosen not in released:
        raise ViewfinderError(
            "no such variant among MediaPipe's models", field="variant",
            expected=" | ".join(released), found=repr(chosen),
        )  # fmt: skip
    parts: dict[str, Part] = {}
    for name in released[chosen]:
        parts |= parts_of(parse_bundle(released_model(name), f"{name}.tflite"))
    return parts


def parts_of(bundle: Bundle, card: Card | None = None) -> dict[str, Part]:
    """A bundle's models by role; `card` where it is known already."""
    known = card or card_of(bundle)
    several = len(bundle.members) > 1
    return {
        model.role: Part(
            bundle.members[model.file],
            f"{bundle.name} {model.file}" if several else bundle.name,
            model,
            bool(known.command),
        )
        for model in known.models
    }


def _own_parts(
    options: SolutionOptions, task: str, needed: Sequence[str], topology: str
) -> tuple[dict[str, Part], bool]:
    """The user's own models by role, and whether they came with a card."""
    assert options.model is not None
    bundle = read_bundle(find_model(options.model))
    card = card_of(bundle)
    if card.task != task:
        raise ViewfinderError(
            "this model is for something else", file=bundle.name, expected=task, found=card.task
        )
    parts = parts_of(bundle, card)
    for role in needed:
        if role not in parts:
            raise ViewfinderError(f"this model holds no {role} model", file=bundle.name)
    if "landmarks" in needed and not parts["landmarks"].card.topology.startswith(topology):
        raise ViewfinderError(
            "this model is for something else", file=bundle.name, field="topology",
            expected=f"{topology}...", found=parts["landmarks"].card.topology,
        )  # fmt: skip
    return parts, bundle.card is not None
