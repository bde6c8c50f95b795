"""Batches made ahead in a background thread, and the chance in them.

Which subject comes at which place, and everything random about its crop, depends on the seed and
that place alone: a training that is resumed sees what the uninterrupted one would have seen, and
no state of a generator needs saving. OpenCV works without Python's lock, so one thread keeps up.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

AnyBatch = TypeVar("AnyBatch")

# Spawn keys of the streams of chance that a training draws from its one seed.
ORDER, EXAMPLES, VALIDATION, SHAPES = range(4)
_AHEAD = 4


class Ahead(ABC, Generic[AnyBatch]):
    """Batches from a given step on, or of some steps; iterate, and `close` when done.

    Subclasses set themselves up first: the thread starts in this class's `__init__`.

    Attributes:
        busy_s: CPU seconds the background thread has used.
    """

    def __init__(self, first_step: int | range) -> None:
        every = first_step if isinstance(first_step, range) else itertools.count(first_step)
        self._steps = iter(every)
        self._ready: queue.Queue[AnyBatch | BaseException] = queue.Queue(_AHEAD)
        self._closed = threading.Event()
        self.busy_s = 0.0
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    @abstractmethod
    def at(self, step: int) -> AnyBatch:
        """The batch of that step: the same whenever it is asked for."""

    def __iter__(self) -> Iterator[AnyBatch]:
        while True:
            item = self._ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        """Stop the thread and wait for it."""
        self._closed.set()
        while not self._ready.empty():
            self._ready.get_nowait()
        self._thread.join()

    def _work(self) -> None:
        try:
            while not self._closed.is_set():
                begun = time.thread_time()
                batch = self.at(next(self._steps))
                self.busy_s += time.thread_time() - begun
                self._put(batch)
        except BaseException as error:
            self._put(error)

    def _put(self, item: AnyBatch | BaseException) -> None:
        while not self._closed.is_set():
            try:
                self._ready.put(item, timeout=0.1)
                return
            except queue.Full:
                continue


class ShuffledPlaces:
    """Which of `count` things comes at which place of an endless training: each once an epoch."""

    def __init__(self, count: int, seed: int) -> None:
        self._count, self._seed = count, seed
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, dtype=np.int64))

    def at(self, place: int) -> int:
        """Index of the thing at a place."""
        epoch, index = divmod(place, self._count)
        if self._order[0] != epoch:
            self._order = (epoch, chance(self._seed, ORDER, epoch).permutation(self._count))
        return int(self._order[1][index])


def chance(seed: int, stream: int, place: int) -> np.random.Generator:
    """The generator of one place of one stream."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, place)))
