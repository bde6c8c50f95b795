"""Pictures of a data set, kept and fetched ahead so that the next item is there at once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import Dataset


class Pictures:
    """Reads pictures, keeps the last few, and decodes ahead in one background thread."""

    def __init__(self, dataset: Dataset, keep: int = 4) -> None:
        self._dataset = dataset
        self._keep = keep
        self._kept: OrderedDict[str, Future[NDArray[np.uint8]]] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="pictures")

    def read(self, sample_id: str) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB; waits when it is being decoded just now.

        Raises:
            ViewfinderError: the picture can't be read.
        """
        future = self._future(sample_id)
        try:
            return future.result()
        except Exception:
            with self._lock:  # what failed once may be mended: the next read tries again
                self._kept.pop(sample_id, None)
            raise

    def prefetch(self, sample_id: str) -> None:
        """Begin to decode; a picture that can't be read is told of when it is asked for."""
        self._future(sample_id)

    def ready(self, sample_id: str) -> bool:
        """Whether `read` would answer without waiting."""
        with self._lock:
            future = self._kept.get(sample_id)
        return future is not None and future.done()

    def close(self) -> None:
        """End the background thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _future(self, sample_id: str) -> Future[NDArray[np.uint8]]:
        with self._lock:
            future = self._kept.get(sample_id)
            if future is None:
                future = self._pool.submit(self._dataset.read_image, sample_id)
                self._kept[sample_id] = future
            self._kept.move_to_end(sample_id)
            while len(self._kept) > self._keep:
                self._kept.popitem(last=False)
            return future
