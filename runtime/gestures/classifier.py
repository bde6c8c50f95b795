"""A classifier of one's own gestures, from a few examples of each.

Regularised linear discriminant analysis on the features of `runtime.gestures.features`: one
Gaussian a gesture, all of one shape, which is estimated from the examples and from copies of them
turned a little in space. What is far from every gesture is none; examples of none, where there are
some, make one more Gaussian, as much wider as they differ more. How far is far, and how sure a
score may be, is set by leaving out one example at a time.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runtime.gestures.features import Array, canonical, features
from runtime.gestures.rules import NONE

LEAST_EXAMPLES = 3
"""Of each gesture: one to leave out, and two that say how much it varies."""

_TURN_RAD = math.radians(12)
_NOISE = 0.05
"""Of every feature, in its own unit: what landmark models are off by at least."""
_PRIOR_VARIANCE, _PRIOR_EXAMPLES = 0.1**2, 20
"""How much features vary within a gesture, and how many examples that belief is worth."""
_SHARPNESS = np.geomspace(0.005, 0.5, 25)
_REACH_QUANTILE = 0.98
_CERTAIN = 0.5


@dataclass(frozen=True)
class GestureClassifier:
    """Names gestures.

    Attributes:
        names: of the gestures.
        centre: (F,) mean of the features.
        whitening: (F, F); (features - centre) @ whitening has unit variance within a gesture.
        means: (C, F) whitened mean of each gesture.
        none_mean: (F,) whitened mean of the examples of none; empty without any.
        none_spread: variance of those, over that within a gesture; 1 or more.
        sharpness: of the scores over squared distances.
        reach: squared distance up to which an example is surely one of its gesture.
        turn_upright: hands are turned upright in the picture first.
    """

    names: tuple[str, ...]
    centre: Array
    whitening: Array
    means: Array
    none_mean: Array
    none_spread: float
    sharpness: float
    reach: float
    turn_upright: bool

    def classify(self, points: Array, handedness: str | None) -> tuple[str, float]:
        """The gesture of a hand and its score 0..1, or `NONE` and how surely it is none.

        Args:
            points: (21, 3) from `runtime.gestures.features.hand_points`.
            handedness: as the hand looks in the picture.
        """
        hand = canonical(points, handedness, self.turn_upright)
        whitened = (features(hand) - self.centre) @ self.whitening
        if not np.isfinite(whitened).all():
            return NONE, 1.0
        distances = ((self.means - whitened) ** 2).sum(axis=1)
        to_none = np.inf
        if len(self.none_mean):
            to_none = float(((self.none_mean - whitened) ** 2).sum())
        return self._decided(distances, to_none)

    def _decided(self, distances: Array, to_none: float) -> tuple[str, float]:
        best = int(distances.argmin())
        distance = float(distances[best])
        odds = np.exp(-self.sharpness * (distances - distance))
        # The same for a Gaussian that is wider in each of its dimensions.
        wider = self.centre.size * math.log(self.none_spread)
        none_ahead = distance - (to_none / self.none_spread + wider)
        rest = math.exp(min(50.0, self.sharpness * none_ahead))
        score = float(odds[best] / (odds.sum() + rest))
        score *= min(1.0, max(0.0, 3 - 2 * distance / self.reach))
        return (self.names[best], score) if score >= _CERTAIN else (NONE, 1 - score)


@dataclass(frozen=True)
class Assessment:
    """How well each example was named by a classifier that hadn't seen it.

    Attributes:
        names: rows and columns of the table: the gestures, then none.
        confusion: (C + 1, C + 1) counts: rows the truth, columns what was said.
        wrong: indices of the examples that were named wrongly.
    """

    names: tuple[str, ...]
    confusion: np.ndarray
    wrong: tuple[int, ...]

    @property
    def accuracy(self) -> float:
        """Part of the examples that were named rightly."""
        return float(np.trace(self.confusion) / self.confusion.sum())


def train_classifier(
    hands: Sequence[Array], labels: Sequence[str], turn_upright: bool = False
) -> tuple[GestureClassifier, Assessment]:
    """Learn gestures, and say how well.

    Args:
        hands: (21, 3) each, from `canonical` with the same `turn_upright`; of right hands.
        labels: gesture of each; `NONE` for examples of none.
        turn_upright: whether hands were turned upright.

    Returns:
        The classifier, and how a classifier without the example named each example.
    """
    names = tuple(sorted(set(labels) - {NONE}))
    truth = np.array([names.index(label) if label != NONE else -1 for label in labels])
    copies = np.array([_turned_copies(hand) for hand in hands])
    middle = copies[:, 0].mean(axis=0)
    copies -= middle  # so that sums of squares lose nothing
    moments = _Moments.of(copies, truth, len(names))
    distances = np.empty((len(hands), len(names)))
    to_none = np.full(len(hands), np.inf)
    for i, (example, label) in enumerate(zip(copies, truth.tolist())):
        seen = moments if label < 0 else moments.without(example, label)
        whitening = seen.whitening()
        means = (seen.means() - example[0]) @ whitening
        distances[i] = (means**2).sum(axis=1)
        others = (truth < 0) & (np.arange(len(truth)) != i)
        if others.any():
            none_mean = copies[others, 0].mean(axis=0)
            to_none[i] = (((none_mean - example[0]) @ whitening) ** 2).sum()
    spread = to_none[truth < 0][np.isfinite(to_none[truth < 0])] / copies.shape[2]
    sharpness = _best_sharpness(distances, truth)
    own = distances[truth >= 0, truth[truth >= 0]]
    reach = max(float(np.quantile(own, _REACH_QUANTILE)), 1e-6)
    whitening, means = moments.whitening(), moments.means()
    centre = means.mean(axis=0)
    final = GestureClassifier(
        names=names,
        centre=centre + middle,
        whitening=whitening,
        means=(means - centre) @ whitening,
        none_mean=((copies[truth < 0, 0] - centre) @ whitening).mean(axis=0)
        if (truth < 0).any()
        else np.zeros(0),
        none_spread=max(1.0, float(spread.mean())) if len(spread) else 1.0,
        sharpness=sharpness,
        reach=reach,
        turn_upright=turn_upright,
    )
    said = [final._decided(*pair)[0] for pair in zip(distances, to_none.tolist())]
    return final, _assessed(names, labels, said)


def _turned_copies(hand: Array) -> Array:
    """(7, F) features of the hand itself and of copies turned about each axis, both ways."""
    result = [features(hand)]
    for axis, sign in itertools.product(range(3), (-1, 1)):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turned = hand.copy()
        cos, sin = math.cos(_TURN_RAD), sign * math.sin(_TURN_RAD)
        turned[:, a] = cos * hand[:, a] - sin * hand[:, b]
        turned[:, b] = sin * hand[:, a] + cos * hand[:, b]
        result.append(features(turned))
    return np.array(result)


@dataclass(frozen=True)
class _Moments:
    """Of the examples of C gestures: counts (C,), sums (C, F), squares (F, F), examples."""

    counts: Array
    sums: Array
    squares: Array
    examples: int

    @classmethod
    def of(cls, copies: Array, truth: np.ndarray, classes: int) -> _Moments:
        counts = np.array([copies.shape[1] * (truth == c).sum() for c in range(classes)])
        sums = np.array([copies[truth == c].sum(axis=(0, 1)) for c in range(classes)])
        rows = copies[truth >= 0].reshape(-1, copies.shape[2])
        return cls(counts.astype(np.float64), sums, rows.T @ rows, int((truth >= 0).sum()))

    def without(self, example: Array, label: int) -> _Moments:
        counts, sums = self.counts.copy(), self.sums.copy()
        counts[label] -= len(example)
        sums[label] -= example.sum(axis=0)
        return _Moments(counts, sums, self.squares - example.T @ example, self.examples - 1)

    def means(self) -> Array:
        return self.sums / self.counts[:, None]

    def whitening(self) -> Array:
        within = self.squares - self.means().T @ self.sums
        covariance = within / self.counts.sum()
        variance = np.maximum(np.diag(covariance), _PRIOR_VARIANCE)
        share = _PRIOR_EXAMPLES / (_PRIOR_EXAMPLES + self.examples)
        mixed = (1 - share) * covariance + np.diag(share * variance + _NOISE**2)
        return np.linalg.inv(np.linalg.cholesky(mixed)).T


def _best_sharpness(distances: Array, truth: np.ndarray) -> float:
    """That under which the left-out examples are likeliest."""
    rows = distances[truth >= 0]
    own = truth[truth >= 0]
    likelihoods = []
    for sharpness in _SHARPNESS:
        logits = -sharpness * (rows - rows.min(axis=1, keepdims=True))
        log_sums = np.log(np.exp(logits).sum(axis=1))
        likelihoods.append(float((logits[np.arange(len(own)), own] - log_sums).mean()))
    return float(_SHARPNESS[int(np.argmax(likelihoods))])


def _assessed(names: tuple[str, ...], labels: Sequence[str], said: Sequence[str]) -> Assessment:
    table = (*names, NONE)
    confusion = np.zeros((len(table), len(table)), dtype=np.int64)
    wrong = []
    for index, (truth, answer) in enumerate(zip(labels, said)):
        confusion[table.index(truth), table.index(answer)] += 1
        if truth != answer:
            wrong.append(index)
    return Assessment(table, confusion, tuple(wrong))
