"""Poses drawn at random: around library shapes, between them, and freely; none runs into itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from render.anny_asset import Identity
from render.environments import file_sha256
from render.gestures import Gesture, gestures, joints_of, limits, read_gestures
from render.hand_contact import SOFT_M, Flesh, HandContact
from render.hand_model import FINGERS, HandModel, HandShape
from runtime.errors import ViewfinderError

Angles = dict[str, float]

KINDS = ("library", "between", "free")
"""A gesture with a person's variation; a way between two gestures; anything joints allow."""

SHARES = (0.6, 0.25, 0.15)
"""Of the poses of each kind."""

TRIES = 24
"""Draws before a pose that runs into itself is opened instead of drawn anew."""


@dataclass(frozen=True)
class PoseSettings:
    """Which poses a data set shows.

    Attributes:
        gestures: file of the user's own library; the shipped one when None.
        shares: of `KINDS`; they sum to 1.
    """

    gestures: Path | None = None
    shares: tuple[float, float, float] = SHARES

    def __post_init__(self) -> None:
        if min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise ViewfinderError(
                "shares of poses must be 0 or more and sum to 1", field="--pose-shares",
                expected=f"{', '.join(KINDS)} as in {SHARES}", found=self.shares,
            )  # fmt: skip

    def library(self) -> Mapping[str, Gesture]:
        """The gestures by name."""
        return gestures() if self.gestures is None else read_gestures(self.gestures)

    def described(self) -> dict[str, Any]:
        """As dataset.json has them."""
        return {
            "gestures": "shipped" if self.gestures is None else file_sha256(self.gestures),
            "gesture_count": len(self.library()),
            "shares": dict(zip(KINDS, self.shares)),
            "soft_m": SOFT_M,
        }


SHIPPED = PoseSettings()
"""The shipped library, the usual shares."""


@dataclass(frozen=True)
class HandPose:
    """A pose drawn at random.

    Attributes:
        kind: out of `KINDS`.
        gesture: name of the gesture it is a variation of; None for the other kinds.
        family: of that gesture.
        between: the names it lies between, the first alone for a plain gesture, none when free.
        angles: radians by joint, within the limits.
        drawn: how many draws it took until nothing ran into anything.
    """

    kind: str
    gesture: str | None
    family: str | None
    between: tuple[str, ...]
    angles: Mapping[str, float]
    drawn: int = 1


class PoseSampler:
    """Draws poses for the hands of one model.

    Raises:
        ViewfinderError: the user's gestures can't be read, are fewer than two, or one of them
            can't be held because fingers would lie in each other.
    """

    def __init__(self, model: HandModel, settings: PoseSettings = SHIPPED) -> None:
        self._settings = settings
        self._library = self._settings.library()
        self._names = list(self._library)
        self._model = model
        self.contact = HandContact(model)
        if len(self._names) < 2:
            raise ViewfinderError(
                "needs two gestures or more", file=self._settings.gestures, field="gestures"
            )
        if self._settings.gestures is not None:
            self._check_possible(self._settings.gestures)

    def _check_possible(self, path: Path) -> None:
        shape = self._model.shape(Identity({"age": 0.8, "gender": 0.4}))
        flesh = self.contact.flesh(shape)
        for gesture in self._library.values():
            transforms = self._model.transforms(shape, gesture.angles)
            depth, one, other = self.contact.deepest(flesh, transforms)
            if depth > SOFT_M:
                raise ViewfinderError(
                    f"the {one} would lie in the {other}", file=path, field=gesture.name,
                    expected=f"{1000 * SOFT_M:.1f} mm or less on an average hand",
                    found=f"{1000 * depth:.1f} mm",
                )  # fmt: skip

    def draw(self, shape: HandShape, rng: np.random.Generator) -> HandPose:
        """A pose that this person's hand can take.

        Args:
            shape: whose hand.
            rng: of the sample; what is drawn depends on it and the shape alone.
        """
        kind = KINDS[int(rng.choice(len(KINDS), p=self._settings.shares))]
        flesh = self.contact.flesh(shape)
        wrist = _wrist(rng)
        make = {"library": self._around, "between": self._between, "free": self._free}[kind]
        attempt = make(rng)
        names: tuple[str, ...] = ()
        angles: Angles = {}
        for drawn in range(1, TRIES + 1):
            # A shape that this person can barely hold is held with less and less variation.
            names, angles = attempt(1 - (drawn - 1) / TRIES)
            if self._free_of_itself(shape, flesh, angles):
                break
        else:
            angles = self._opened(shape, flesh, angles)
        name = names[0] if kind == "library" else None
        family = None if name is None else self._library[name].family
        return HandPose(kind, name, family, names, {**angles, **wrist}, drawn)

    def _free_of_itself(self, shape: HandShape, flesh: Flesh, angles: Angles) -> bool:
        return self.contact.depth(flesh, self._model.transforms(shape, angles)) <= SOFT_M

    def _opened(self, shape: HandShape, flesh: Flesh, angles: Angles) -> Angles:
        """The pose on its way to an open hand where it first runs into nothing."""
        for share in np.linspace(0.02, 1.0, 50):
            result = {j: (1 - share) * a + share * _OPEN.get(j, 0.0) for j, a in angles.items()}
            if self._free_of_itself(shape, flesh, result):
                break
        return result

    def _around(self, rng: np.random.Generator) -> _Attempt:
        name = self._names[int(rng.integers(len(self._names)))]
        looseness = rng.uniform(0.2, 1.0)

        def attempt(width: float) -> tuple[tuple[str, ...], Angles]:
            angles = dict(self._library[name].angles)
            _vary(angles, looseness * width, rng)
            return (name,), _clipped(angles)

        return attempt

    def _between(self, rng: np.random.Generator) -> _Attempt:
        def attempt(width: float) -> tuple[tuple[str, ...], Angles]:
            one, other = (self._names[i] for i in rng.choice(len(self._names), 2, replace=False))
            share = rng.uniform(0.25, 0.75)
            a, b = self._library[one].angles, self._library[other].angles
            angles = {joint: (1 - share) * a[joint] + share * b[joint] for joint in a}
            _vary(angles, 0.6 * width, rng)
            return (one, other), _clipped(angles)

        return attempt

    def _free(self, rng: np.random.Generator) -> _Attempt:
        def attempt(width: float) -> tuple[tuple[str, ...], Angles]:
            del width
            return (), _anything(rng)

        return attempt


_Attempt = Callable[[float], tuple[tuple[str, ...], Angles]]

_OPEN = {
    f"{finger}_mcp_abduction": math.radians(angle)
    for finger, angle in (("index", 14), ("middle", 0), ("ring", 11), ("pinky", 17))
}


def _vary(angles: Angles, looseness: float, rng: np.random.Generator) -> None:
    """Adds noise: neighbouring joints and fingers move together, as tendons make them."""
    everywhere = rng.normal(0, 3.5)
    curl = 0.0
    for finger in FINGERS[1:]:
        curl = 0.5 * curl + everywhere + rng.normal(0, 3)
        pip = 1.1 * curl + rng.normal(0, 3)
        bends = {"mcp": curl + rng.normal(0, 3), "pip": pip, "dip": 2 / 3 * pip + rng.normal(0, 2)}
        for joint, noise in bends.items():
            angles[f"{finger}_{joint}_flexion"] += math.radians(looseness * noise)
        angles[f"{finger}_mcp_abduction"] += math.radians(looseness * rng.normal(0, 3))
    for joint, deviation in zip(joints_of("thumb"), (5, 5, 5, 7)):
        angles[joint] += math.radians(looseness * rng.normal(0, deviation))


def _anything(rng: np.random.Generator) -> Angles:
    """Angles over the whole of their limits; last joints follow the middle ones (2/3), and a
    finger follows its neighbour in part."""
    angles: Angles = {}
    knuckle, middle = rng.uniform(0, 1, 2)
    for finger in FINGERS[1:]:
        follow = rng.uniform(0, 0.7)
        knuckle = follow * knuckle + (1 - follow) * rng.uniform(0, 1)
        middle = follow * middle + (1 - follow) * rng.uniform(0, 1)
        low, high = limits()[f"{finger}_mcp_flexion"]
        angles[f"{finger}_mcp_flexion"] = low + (high - low) * knuckle
        angles[f"{finger}_mcp_abduction"] = rng.uniform(*limits()[f"{finger}_mcp_abduction"])
        pip = middle * limits()[f"{finger}_pip_flexion"][1]
        angles[f"{finger}_pip_flexion"] = pip
        angles[f"{finger}_dip_flexion"] = 2 / 3 * pip + math.radians(rng.normal(0, 6))
    for joint in joints_of("thumb"):
        angles[joint] = rng.uniform(*limits()[joint])
    return _clipped(angles)


def _wrist(rng: np.random.Generator) -> Angles:
    # A bent wrist is common; at its limits it is rare.
    return _clipped(
        {
            "wrist_flexion": math.radians(rng.normal(-5, 20)),
            "wrist_deviation": math.radians(rng.normal(4, 8)),
        }
    )


def _clipped(angles: Angles) -> Angles:
    return {joint: float(np.clip(angle, *limits()[joint])) for joint, angle in angles.items()}
