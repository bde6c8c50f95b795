"""What a picture may cost; facts of Cycles that need no Blender to be named."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quality:
    """What a picture may cost.

    Attributes:
        samples: paths per pixel.
        denoise_quality, denoise_prefilter, denoise_passes: of Open Image Denoise, as Cycles
            names them.
        bounces: most bounces of a path.
    """

    samples: int
    denoise_quality: str = "BALANCED"
    denoise_prefilter: str = "FAST"
    denoise_passes: str = "RGB_ALBEDO_NORMAL"
    bounces: int = 4


DRAFT = Quality(samples=4)
FINAL = Quality(samples=16, bounces=8)
PRESETS = {"draft": DRAFT, "final": FINAL}
