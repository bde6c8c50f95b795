"""Which label layer to take when nobody says."""

from __future__ import annotations

from bootstrap.dataset.dataset import Dataset

# What people agreed on, what one of them said, what is true by construction, then guesses.
_ORDER = ("consensus", "human/", "synthetic", "propagated", "predicted@")


def best_layer(ds: Dataset, as_truth: bool = False) -> str | None:
    """The most trusted layer of a data set, the first by name among equals; None without any.

    Args:
        ds: the data set.
        as_truth: leave out what models predicted.
    """
    layers = [layer for layer in ds.layers() if not (as_truth and layer.startswith("predicted@"))]
    for kind in _ORDER:
        for layer in layers:
            if layer.startswith(kind):
                return layer
    return layers[0] if layers else None
