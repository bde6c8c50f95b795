"""What of napari can wait until the picture shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

# After the first paint, for what is painted beside it; nobody opens the list of controls sooner.
_LATER_MS = 100


@contextmanager
def controls_later(viewer: Any) -> Iterator[None]:
    """Layers added within get their controls (sliders and buttons for colours, sizes, blending)
    once the picture shows: they are in a dock that is hidden, and take a fifth of the time until
    the first paint. Where that dock shows they are made at once."""
    from qtpy.QtCore import QTimer

    window = viewer.window._qt_viewer
    if window.dockLayerControls.isVisible():
        yield
        return
    controls, layers = window.controls, viewer.layers
    heard = (
        (layers.events.inserted, controls._add),
        (layers.events.removed, controls._remove),
        (layers.selection.events.changed, controls._populate),
    )
    for emitter, hear in heard:
        emitter.disconnect(hear)

    def make() -> None:
        for layer in layers:
            if layer not in controls.widgets:
                controls._add(SimpleNamespace(value=layer))
        controls._populate()
        for emitter, hear in heard:
            emitter.connect(hear)

    drawn = window.canvas._scene_canvas.events.draw

    def begin(_event: Any) -> None:
        drawn.disconnect(begin)
        QTimer.singleShot(_LATER_MS, controls, make)

    try:
        yield
    finally:
        drawn.connect(begin)


@contextmanager
def settings_left() -> Iterator[None]:
    """Docks added within don't make napari write its settings file, once each: where ours belong
    is ours to say."""
    from napari.settings import get_settings

    settings = get_settings()
    before, settings._save_on_change = settings._save_on_change, False
    try:
        yield
    finally:
        settings._save_on_change = before
