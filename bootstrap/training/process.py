"""What a training asks of its process: how memory is kept and how threads wait."""

from __future__ import annotations

import ctypes
import os
import platform
import sys

# glibc's malloc.h: the numbers of mallopt's parameters.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def keep_large_blocks() -> bool:
    """Have malloc keep large freed blocks for the next step instead of returning them.

    A training step allocates and frees the same hundreds of megabytes; mapped and unmapped each
    time, every page faults anew, which has been seen to halve the speed. The settings are those
    of the MALLOC_* environment variables, but through mallopt they hold at once, so that neither
    the process needs starting again nor its children inherit them.

    Returns:
        Whether this is glibc and it agreed.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = {_M_MMAP_THRESHOLD: 2**30, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 2**26}
    return all(libc.mallopt(name, value) == 1 for name, value in settings.items())


def wait_patiently() -> bool:
    """Have torch's threads sleep while they wait for each other instead of spinning.

    Spinning wins microseconds on idle cores. When something else runs, the batches' own thread
    for one, a spinning thread holds the core that the thread it waits for needs: with two threads
    on two busy cores training was 2 to 5 times slower. OpenMP reads the setting once, when torch
    is loaded, so this comes before the first import of torch; a value set by the user stays.

    Returns:
        Whether it came in time.
    """
    if "torch" in sys.modules:
        return False
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return True
