"""Pictures, kept and fetched ahead so that the next item is there at once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

_Name = TypeVar("_Name", str, int)


class Pictures(Generic[_Name]):
    """Reads pictures, keeps the last few, and decodes ahead in one background thread.

    Args:
        read: gives the picture of a sample id or a frame; called in that thread alone.
        keep: how many.
    """

    def __init__(self, read: Callable[[_Name], NDArray[np.uint8]], keep: int = 4) -> None:
        self._read: Callable[[_Name], NDArray[np.uint8]] = read
        self._keep = keep
        self._kept: OrderedDict[_Name, Future[NDArray[np.uint8]]] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="pictures")

    def read(self, name: _Name) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB; waits when it is being decoded just now.

        Raises:
            ViewfinderError: the picture can't be read.
        """
        future = self._future(name)
        try:
            return future.result()
        except Exception:
            with self._lock:  # what failed once may be mended: the next read tries again
                self._kept.pop(name, None)
            raise

    def prefetch(self, name: _Name) -> None:
        """Begin to decode; a picture that can't be read is told of when it is asked for."""
        self._future(name)

    def ready(self, name: _Name) -> bool:
        """Whether `read` would answer without waiting."""
        with self._lock:
            future = self._kept.get(name)
        return future is not None and future.done()

    def close(self) -> None:
        """End the background thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _future(self, name: _Name) -> Future[NDArray[np.uint8]]:
        with self._lock:
            future = self._kept.get(name)
            if future is None:
                future = self._pool.submit(self._read, name)
                self._kept[name] = future
            self._kept.move_to_end(name)
            while len(self._kept) > self._keep:
                self._kept.popitem(last=False)
            return future
