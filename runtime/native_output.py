"""What C libraries print on stderr, caught.

libjpeg, FFmpeg and LiteRT report damage and trivia alike by printing. Users are promised one clear
line, so the calls that print run inside `captured_stderr`.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.RLock()


@contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Within it, file descriptor 2 leads elsewhere; its lines are in the list afterwards.

    It holds for the whole process, one caller at a time: what other threads print meanwhile is in
    the list too. A process without stderr gets an empty list.
    """
    lines: list[str] = []
    with _lock:
        try:
            saved = os.dup(2)
        except OSError:
            yield lines
            return
        with tempfile.TemporaryFile() as heard:
            try:
                os.dup2(heard.fileno(), 2)
                yield lines
            finally:
                os.dup2(saved, 2)
                os.close(saved)
                if heard.seek(0, os.SEEK_END):
                    heard.seek(0)
                    lines += heard.read().decode(errors="replace").splitlines()
