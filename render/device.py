"""What Cycles renders on, and its chatter."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy

from runtime.errors import ViewfinderError

GPU_KINDS = ("OPTIX", "CUDA", "HIP", "ONEAPI", "METAL")
"""Ways of Cycles to a GPU, the first one that finds one is taken."""


def find_gpu() -> str:
    """The kind and the names of the GPUs that Cycles renders on, as "OPTIX NVIDIA H200".

    Raises:
        ViewfinderError: Cycles finds none.
    """
    settings = bpy.context.preferences.addons["cycles"].preferences
    with quiet():
        for kind in GPU_KINDS:
            try:
                found = settings.get_devices_for_type(kind)
            except (TypeError, ValueError, RuntimeError):
                continue  # this build of Blender doesn't know that kind
            names = [device.name for device in found or () if device.type == kind]
            if names:
                return f"{kind} {' + '.join(names)}"
    raise ViewfinderError(
        "Cycles finds no GPU to render on", field="--device", expected="a GPU and its driver",
        found=f"none by {', '.join(GPU_KINDS)}", hint="leave --device out to render on the CPU",
    )  # fmt: skip


def use_gpu(scene: Any, device: str) -> None:
    """Let a scene render there; `device` is what `find_gpu` gave."""
    kind = device.split()[0]
    settings = bpy.context.preferences.addons["cycles"].preferences
    settings.compute_device_type = kind
    for found in settings.get_devices_for_type(kind):
        found.use = found.type == kind
    scene.cycles.device = "GPU"
    scene.cycles.denoising_use_gpu = True


@contextmanager
def quiet(errors: bool = False) -> Iterator[None]:
    """Keep Blender's lines off the terminal: it prints straight to file descriptor 1, one a render.

    Args:
        errors: those that it prints to descriptor 2, too, where our own error says it.
    """
    descriptors = (1, 2) if errors else (1,)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(descriptor) for descriptor in descriptors]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for descriptor in descriptors:
            os.dup2(nowhere, descriptor)
        yield
    finally:
        for copy, descriptor in zip(kept, descriptors):
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(nowhere)
