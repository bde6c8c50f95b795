"""What a preset costs and what it loses, on the plain scene and on the full variety; memory.

    python benchmarks/render_quality.py [--out FILE] [--count N] [--growth N]

Plain: one hand, one HDRI, 256 px, every picture with all labels (the scene of docs/adr/0006). For
draft, final, and the 16 samples with Open Image Denoise at HIGH / ACCURATE that others take, it
gives process CPU-seconds of bare `bpy.ops.render` and of `render hands`, taken in turn in one
process with one Cycles thread, and the PSNR of the hand's box, in sRGB, against 512 samples of the
same scene. With `--growth N` it renders N pictures of the full variety in one process and tells by
how much its memory grew between the first tenth and the end.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Run as a script, this file's own folder comes first, where it would pass for the package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from render.environments import bundled_hdris
from render.hand_render import HandRenderer
from render.hand_scene import HandScene
from render.labels import box_of_mask
from render.photo import srgb_from_linear
from render.quality import DRAFT, FINAL, Quality
from render.settings import ONE_HAND, RenderSettings

QUALITIES = {
    "draft": DRAFT,
    "final": FINAL,
    "16 HIGH/ACCURATE": Quality(16, "HIGH", "ACCURATE", bounces=FINAL.bounces),
}
REFERENCE = replace(FINAL, samples=512)


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


def hand_pixels(renderer: HandRenderer, scene: HandScene) -> tuple[NDArray[np.float32], float]:
    """(H, W, 3) linear light of the hand's box, and the gain that metering gives."""
    renderer.place(renderer.prepared(scene))
    passes = renderer.scene.render()
    shown = passes.linear[passes.alpha > 0.9]
    gain = 0.3 / max(float(np.median(shown)), 1e-4)
    box = box_of_mask((passes.material_index >= 2) & (passes.material_index <= 7))
    x, y, width, height = (int(v) for v in (box if box is not None else (0, 0, 8, 8)))
    return passes.linear[y : y + height, x : x + width], gain


def psnr(renderer: HandRenderer, scenes: list[HandScene]) -> dict[str, float]:
    """dB by quality, the mean over the scenes."""
    found: dict[str, list[float]] = {name: [] for name in QUALITIES}
    for scene in scenes:
        use(renderer, REFERENCE, denoised=False)
        truth, gain = hand_pixels(renderer, scene)
        for name, quality in QUALITIES.items():
            use(renderer, quality)
            picture, _ = hand_pixels(renderer, scene)
            a, b = (srgb_from_linear(p * gain).astype(float) for p in (truth, picture))
            found[name].append(float(10 * np.log10(255**2 / max(((a - b) ** 2).mean(), 1e-9))))
    return {name: round(float(np.mean(values)), 2) for name, values in found.items()}


def plain(count: int) -> dict[str, Any]:
    """Cost and loss of every quality."""
    settings = RenderSettings(5, 256, "draft", bundled_hdris()[:1], shares=ONE_HAND)
    renderer = HandRenderer(settings, threads=1)
    try:
        renderer.render(0)
        scenes = [renderer.draw(index)[0] for index in range(count)]
        costs: dict[str, dict[str, float]] = {
            name: {"bare": 1e9, "ours": 1e9} for name in QUALITIES
        }
        for _ in range(2):
            for name, quality in QUALITIES.items():
                use(renderer, quality)
                row = costs[name]
                row["bare"] = round(min(row["bare"], bare(renderer, scenes)), 4)
                row["ours"] = round(min(row["ours"], ours(renderer, count)), 4)
        losses = psnr(renderer, scenes[:6])
    finally:
        renderer.close()
    return {name: costs[name] | {"psnr_db": losses[name]} for name in QUALITIES}


def resident_bytes() -> int:
    """Memory of this process now, as Linux counts it."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def growth(count: int) -> dict[str, Any]:
    """Memory of one process over many pictures."""
    renderer = HandRenderer(RenderSettings(5, 256, "draft"), threads=1)
    first = 0
    began = time.process_time()
    for index in range(count):
        renderer.render(index)
        if index + 1 == max(count // 10, 1):
            first = resident_bytes()
    spent = time.process_time() - began
    last = resident_bytes()
    renderer.close()
    return {
        "renders": count,
        "rss_mb_after_a_tenth": round(first / 1e6, 1),
        "rss_mb": round(last / 1e6, 1),
        "growth": round(last / first - 1, 4),
        "cpu_s": round(spent / count, 4),
    }


def main() -> None:
    """Measure, print, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("render_quality.json"))
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--growth", type=int, default=0)
    arguments = parser.parse_args()
    result: dict[str, Any] = {"plain": plain(arguments.count)} if arguments.count else {}
    for name, row in result.get("plain", {}).items():
        sys.stdout.write(
            f"{name:<18} bare {row['bare']:.3f}  ours {row['ours']:.3f} CPU-s   "
            f"{row['ours'] / row['bare']:.2f} of bare   {row['psnr_db']:.1f} dB\n"
        )
    if arguments.growth:
        result["growth"] = growth(arguments.growth)
        sys.stdout.write(f"{json.dumps(result['growth'])}\n")
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
