"""Which label layer to take when nobody says."""

from __future__ import annotations

from bootstrap.dataset.dataset import Dataset

# What people agreed on, what one of them said, what is true by construction, then guesses.
_ORDER = ("consensus", "human/", "synthetic", "propagated", "predicted@")


def best_layer(ds: Dataset) -> str | None:
    """The most trusted layer of a data set, the first by name among equals; None without any."""
    layers = ds.layers()
    for kind in _ORDER:
        for layer in layers:
            if layer.startswith(kind):
                return layer
    return layers[0] if layers else None
