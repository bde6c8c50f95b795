"""The data card: what is in a data set, in a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from bootstrap.dataset.dataset import Dataset
from bootstrap.dataset.records import Label

_MOST_VALUES = 12


def describe(ds: Dataset) -> dict[str, Any]:
    """Counts and origins as JSON values: what `dataset info --json` prints."""
    samples = ds.samples()
    sizes = Counter(zip(samples["width"].tolist(), samples["height"].tolist()))
    layers = {}
    for layer in ds.layers():
        labels = ds.labels(layer)
        layers[layer] = {
            "subjects": sum(bool(label.topology) for label in labels),
            "samples": len({label.sample_id for label in labels}),
            "topologies": dict(sorted(Counter(label.topology for label in labels).items())),
        }
    return {
        **ds.info.to_json(),
        "samples": len(samples),
        "shards": len(ds.committed_shards()),
        "bytes": sum(p.stat().st_size for p in ds.root.rglob("*") if p.is_file()),
        "sizes": {f"{w}x{h}": count for (w, h), count in sorted(sizes.items())},
        "splits": dict(sorted(Counter(samples["split"].tolist()).items())),
        "members": dict(sorted(_member_kinds(samples).items())),
        "layers": layers,
    }


def groups(labels: list[Label]) -> dict[str, dict[str, float]]:
    """How labels spread over what describes people and pictures.

    Returns:
        attribute -> value -> count; for numbers, "least", "median" and "greatest" instead.
    """
    values: dict[str, list[Any]] = {}
    for label in labels:
        own = {"handedness": label.handedness, "gesture": label.gesture}
        for name, value in flattened({**label.attributes, **own}).items():
            if value is not None:
                values.setdefault(name, []).append(value)
    return {name: spread for name in sorted(values) if (spread := _spread(values[name]))}


def flattened(attributes: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested attributes by dotted name; lists are left out."""
    flat: dict[str, Any] = {}
    for name, value in attributes.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{name}.")
        elif not isinstance(value, list | tuple):
            flat[prefix + name] = value
    return flat


def data_card(ds: Dataset) -> str:
    """The card as Markdown; the same for the same data set."""
    facts = describe(ds)
    lines = [
        f"# {facts['name']}",
        "",
        f"Made by {facts['generator']} on {facts['device']}: {facts['samples']} samples in "
        f"{facts['shards']} shards, {facts['bytes'] / 1e6:.1f} MB.",
        "",
        *_section("Licences", facts["licences_inherited"] or ["none recorded"]),
        *_section("Splits", _counts(facts["splits"])),
        *_section("Picture sizes", _counts(_most(facts["sizes"]))),
        *_section("Stored beside the pictures", _counts(facts["members"])),
        *_section("Segmentation classes", _counts(facts["classes"])),
    ]
    for layer, content in facts["layers"].items():
        topologies = ", ".join(
            f"{number} x {name or 'no subject'}" for name, number in content["topologies"].items()
        )
        lines += [f"## Layer {layer}", "", f"{topologies}, on {content['samples']} samples.", ""]
        rows = [
            f"| {name} | " + ", ".join(f"{k} {v:g}" for k, v in spread.items()) + " |"
            for name, spread in groups(ds.labels(layer)).items()
        ]
        if rows:
            lines += ["| attribute | spread |", "|---|---|", *rows, ""]
    lines += _section("Settings", _counts(flattened(facts["settings"])))
    lines += _section("Made with", _counts(facts["tool_versions"]))
    return "\n".join(lines).rstrip() + "\n"


def _section(title: str, items: list[str]) -> list[str]:
    return [f"## {title}", "", *(f"- {item}" for item in items), ""] if items else []


def _counts(values: Mapping[str, Any]) -> list[str]:
    return [f"{name}: {value}" for name, value in values.items()]


def _most(counts: Mapping[str, int]) -> dict[str, int]:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kept = dict(ranked[:_MOST_VALUES])
    rest = sum(count for _, count in ranked[_MOST_VALUES:])
    return {**kept, "others": rest} if rest else kept


def _spread(values: list[Any]) -> dict[str, float]:
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        if len(set(values)) > _MOST_VALUES:
            low, mid, high = np.percentile(np.array(values, dtype=np.float64), [0, 50, 100])
            return {"least": float(low), "median": float(mid), "greatest": float(high)}
    elif len(set(map(str, values))) > 4 * _MOST_VALUES:
        return {"different values": float(len(set(map(str, values))))}
    counts = Counter(str(value) for value in values)
    return {name: float(count) for name, count in _most(dict(counts)).items()}


def _member_kinds(samples: Any) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for sample_id, extras in zip(samples["sample_id"], samples["extras"]):
        kinds.update(extra["member"].removeprefix(f"{sample_id}.") for extra in extras)
    return kinds
