"""Work that takes minutes, in a process of its own: at low priority, and gone when the window is.

    job = Job("annotate.refining", "recording", "poses.json")
    for news in job.news():  # whenever there is time; never waits
        ...

The child is a module whose `main` runs `serve`; the two speak in lines of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from runtime.errors import ViewfinderError

Say = Callable[..., None]
"""Tells the window: say(done=3, total=40)."""

_NICER = 10


class Job:
    """A child process that says how far it is.

    Args:
        module: as `annotate.refining`.
        arguments: of it.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        self._said: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it still does something, or said something that may not be among `news` yet."""
        return self._listener.is_alive()

    def tell(self, **message: Any) -> None:
        """Say something to the child, if it still listens."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except OSError:  # it has ended, which `news` tells
            return

    def news(self) -> list[dict[str, Any]]:
        """What it said since the last call; `error` where it failed. Never waits."""
        found = []
        while True:
            try:
                found.append(self._said.get_nowait())
            except Empty:
                return found

    def end(self) -> None:
        """Stop it now."""
        self._process.kill()
        self._process.wait()
        self._listener.join(timeout=5)

    def _listen(self) -> None:
        told, last = False, ""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                said = None
            if isinstance(said, dict):
                told = told or "error" in said
                self._said.put(said)
            else:
                last = line.strip() or last
        code = self._process.wait()
        if code and not told:
            self._said.put({"error": last or f"it ended with {code}"})


def serve(run: Callable[[Say], None], *, listens: bool = False) -> None:
    """The child's side: run something at low priority, tell what it says, end when nobody listens.

    Args:
        run: called with a function that says something.
        listens: whether `run` reads standard input itself, and ends at its end.
    """
    if hasattr(os, "nice"):
        os.nice(_NICER)
    # What others print goes elsewhere: standard output is for what is said.
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if not listens:
        Thread(target=end_with_the_parent, daemon=True).start()

    def say(**message: Any) -> None:
        told.write(json.dumps(message) + "\n")
        told.flush()

    try:
        run(say)
    except (ViewfinderError, ModuleNotFoundError, OSError, MemoryError) as error:
        say(error=str(error) or type(error).__name__)
        sys.exit(1)


def end_with_the_parent(last: Callable[[], None] = lambda: None) -> None:
    """Wait for standard input's end, do something last, and end this process; what is read until
    then is dropped."""
    # Not through sys.stdin, whose lock a thread must not hold when the interpreter ends.
    while os.read(0, 4096):
        pass
    last()
    os._exit(1)
