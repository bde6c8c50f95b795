"""Where results go: a video, annotated pictures, JSON lines; `runtime.viewing` is for people."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

import cv2

from runtime.drawing.result import PLAIN, Look, drawn_result
from runtime.errors import ViewfinderError
from runtime.folders import writable_folder
from runtime.image import write_image
from runtime.native_output import captured_stderr
from runtime.results import FrameResult
from runtime.sources import VIDEO_EXTENSIONS, Frame, Source

SaveFrame = Callable[[Path, Frame, FrameResult], str]
"""Saves a frame with what each model found in it to a data set; returns a line to show. Data sets
aren't the runtime's: viewfinder.py binds this."""

_PICTURES = (".jpg", ".jpeg", ".png", ".webp")
_LINES = (".jsonl", ".ndjson", ".json")


class Sink(Protocol):
    """Takes results as they come."""

    def write(self, frame: Frame, result: FrameResult) -> bool:
        """Take a frame; False when the user wants to stop."""
        ...

    def close(self, failed: bool = False) -> None:
        """Finish what was written, after the last frame or Ctrl-C; `failed` after an error."""
        ...


class LineSink:
    """One line of JSON a frame."""

    def __init__(self, stream: IO[str], owned: bool = False) -> None:
        self._stream = stream
        self._owned = owned

    def write(self, frame: Frame, result: FrameResult) -> bool:
        """Write a line and flush it: who reads it may be waiting."""
        self._stream.write(result.to_json_line() + "\n")
        self._stream.flush()
        return True

    def close(self, failed: bool = False) -> None:
        """Close a file of our own."""
        if self._owned:
            self._stream.close()


class PictureSink:
    """Annotated pictures: into one file, or a folder under their own names."""

    def __init__(self, target: Path, look: Look, single: bool) -> None:
        self._target = target
        self._look = look
        self._single = single

    def write(self, frame: Frame, result: FrameResult) -> bool:
        """Draw and write a picture."""
        path = self._target if self._single else self._target / _picture_name(frame)
        write_image(path, drawn_result(frame.rgb, result, self._look))
        return True

    def close(self, failed: bool = False) -> None:
        """Nothing is open."""


class VideoSink:
    """An annotated video; under its own name once it is whole."""

    def __init__(self, target: Path, fps: float, look: Look = PLAIN) -> None:
        self._target = target
        self._fps = fps
        self._look = look
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        handle, part = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.stem}-", suffix=target.suffix
        )
        os.close(handle)
        self._part = Path(part)

    def write(self, frame: Frame, result: FrameResult) -> bool:
        """Draw and append a frame."""
        size = (frame.rgb.shape[1], frame.rgb.shape[0])
        if self._writer is None:
            self._writer, self._size = self._opened(size), size
        if size != self._size:
            raise ViewfinderError(
                "a video's frames must have one size", file=frame.source,
                expected=f"{self._size[0]} x {self._size[1]}", found=f"{size[0]} x {size[1]}",
                hint="give --out a folder",
            )  # fmt: skip
        picture = drawn_result(frame.rgb, result, self._look)
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR, dst=picture))
        return True

    def close(self, failed: bool = False) -> None:
        """Put the file in its place; an error or no frame leaves what was there before."""
        empty = self._writer is None
        if self._writer is not None:
            self._writer.release()
            self._writer = None
        if empty or failed:
            self._part.unlink(missing_ok=True)
            return
        self._part.chmod(0o644)
        self._part.replace(self._target)

    def _opened(self, size: tuple[int, int]) -> cv2.VideoWriter:
        codec = {".webm": "VP80", ".avi": "MJPG"}.get(self._target.suffix.lower(), "mp4v")
        with captured_stderr():
            writer = cv2.VideoWriter(
                str(self._part), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), self._fps, size
            )
        if not writer.isOpened():
            raise ViewfinderError(
                "this video can't be written", file=self._target, hint="try an .mp4 file"
            )
        return writer


def open_sinks(
    source: Source, out: Path | None, json_lines: bool, look: Look = PLAIN
) -> list[Sink]:
    """The sinks that were asked for, tried for writing before any work is done.

    Args:
        source: what will be read.
        out: a video (.mp4, .mov, .avi, .mkv, .webm), a picture (.jpg, .png, .webp), JSON lines
            (.jsonl) or a folder for annotated pictures.
        json_lines: JSON lines on standard output.
        look: how results are drawn.

    Raises:
        ViewfinderError: the place can't be written to, or doesn't suit the source.
    """
    sinks: list[Sink] = []
    if out is not None:
        sinks.append(_file_sink(source, out, look))
    if json_lines:
        sinks.append(LineSink(sys.stdout))
    return sinks


def _file_sink(source: Source, out: Path, look: Look) -> Sink:
    suffix = out.suffix.lower()
    if out.is_dir() or not suffix:
        folder = writable_folder(out)
        if Path(source.name).is_dir() and folder.resolve() == Path(source.name).resolve():
            raise ViewfinderError("this would overwrite the pictures themselves", file=out)
        return PictureSink(folder, look, single=False)
    if suffix not in (*VIDEO_EXTENSIONS, *_PICTURES, *_LINES):
        raise ViewfinderError(
            "can't tell what to write", file=out, field="--out",
            expected="a folder, or " + " ".join((*VIDEO_EXTENSIONS, *_PICTURES, ".jsonl")),
        )  # fmt: skip
    if suffix in _PICTURES and source.count != 1:
        raise ViewfinderError(
            "one picture can't hold many frames", file=out, field="--out",
            hint="give a folder or a video",
        )  # fmt: skip
    if out.exists() and Path(source.name).exists() and out.samefile(source.name):
        raise ViewfinderError("this would overwrite the source itself", file=out)
    writable_folder(out.parent)
    if out.exists() and not os.access(out, os.W_OK):
        raise ViewfinderError("this file can't be written to", file=out)
    try:
        if suffix in VIDEO_EXTENSIONS:
            return VideoSink(out, source.fps, look)
        if suffix in _LINES:
            return LineSink(out.open("w", encoding="utf-8"), owned=True)
    except OSError as error:
        raise ViewfinderError(f"can't write this file: {error.strerror}", file=out) from error
    return PictureSink(out, look, single=True)


def _picture_name(frame: Frame) -> str:
    path = Path(frame.source)
    if path.suffix.lower() in _PICTURES:
        return path.name
    if path.suffix.lower() == ".bmp":
        return f"{path.name}.png"
    return f"frame_{frame.index:06d}.jpg"
