"""What C libraries print on stderr, caught.

libjpeg, FFmpeg and LiteRT report damage and trivia alike by printing. Users are promised one clear
line, so the calls that print run inside `captured_stderr`. GPU drivers print on stdout, too, which
may carry our JSON: `silent_stdout`.
"""

from __future__ import annotations

import ctypes
import os
import sys
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


@contextmanager
def silent_stdout() -> Iterator[None]:
    """Within it, what C libraries print on stdout is lost; a process without stdout is left alone.

    Our own prints of that time are lost as well, whichever thread they come from.
    """
    with _lock:
        try:
            saved = os.dup(1)
        except OSError:
            yield
            return
        sys.stdout.flush()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 1)
            yield
        finally:
            # C keeps its lines until there are many: they would come out afterwards.
            if os.name != "nt":
                ctypes.CDLL(None).fflush(None)
            os.dup2(saved, 1)
            os.close(saved)
            os.close(nowhere)
