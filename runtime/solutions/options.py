"""What a solution can be told; each takes what concerns it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from runtime.errors import ViewfinderError

if TYPE_CHECKING:
    from runtime.smoothing import OneEuroParameters

Models = Literal["bundled", "mediapipe"]

IRIS_DIAMETER_M = 0.0117
"""The human iris: 11.7 +- 0.5 mm wide (facts in MediaPipe's iris talk)."""


@dataclass(frozen=True)
class SolutionOptions:
    """How to run a solution.

    Attributes:
        model: a bundle or .tflite file, or the name of an added one; it comes before `models`.
            With landmarks only, MediaPipe's detector finds the subjects.
        models: whose models to take otherwise.
        variant: of released models; None for the solution's first.
        max_subjects: the most looked for.
        min_score: the detector's threshold; None for MediaPipe's own.
        static: every picture on its own, without following or smoothing.
        mirrored: pictures are selfie views: left and right hands are swapped.
        threads: for each model.
        delegate: what runs the models: "" for XNNPACK, "gpu", "openvino", or a delegate library.
        second_look: whether landmarks of new subjects are looked for again in the region that
            those of the first look give; None for models trained by Viewfinder only.
        smoothing: of landmarks over time: None for the solution's own habit, or False, or
            True for its usual parameters, or parameters.
        focal_px: focal length in pixels; None where it isn't known.
        principal_px: where the optical axis meets the picture, x and y in pixels; None for its
            middle.
        iris_diameter_m: what iris depth rests on.
        size_m: an object's known size for metric cuboids: width, height or depth, whichever is
            the largest; None for an arbitrary scale.
        segmentation: masks from pose models.
        blendshapes: coefficients from face models with irises.
        gestures: "" for none, "mediapipe", "rules", or a file of `models train-gestures`.
    """

    model: str | Path | None = None
    models: Models = "bundled"
    variant: str | None = None
    max_subjects: int = 2
    min_score: float | None = None
    static: bool = False
    mirrored: bool = False
    threads: int = 1
    delegate: str = ""
    second_look: bool | None = None
    smoothing: bool | OneEuroParameters | None = None
    focal_px: float | None = None
    principal_px: tuple[float, float] | None = None
    iris_diameter_m: float = IRIS_DIAMETER_M
    size_m: float | None = None
    segmentation: bool = False
    blendshapes: bool = False
    gestures: str = ""

    def __post_init__(self) -> None:
        """Refuse what no solution can do.

        Raises:
            ViewfinderError: a value out of its range.
        """
        scores = self.min_score is None or 0 <= self.min_score <= 1
        if not scores or self.max_subjects < 1:
            raise ViewfinderError(
                "wrong threshold or number of subjects", expected="0 <= min-score <= 1, max >= 1",
                found=f"{self.min_score}, {self.max_subjects}",
            )  # fmt: skip
        for name in ("focal_px", "iris_diameter_m", "size_m"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ViewfinderError(
                    "not a length", field=name, expected="a number above 0", found=value
                )

    def one_euro(self, usual: bool) -> OneEuroParameters | None:
        """The filter that landmarks go through, or None.

        Args:
            usual: whether the solution smooths unless it is told otherwise.
        """
        from runtime.smoothing import OneEuroParameters

        if self.static or not (usual if self.smoothing is None else self.smoothing):
            return None
        given = self.smoothing
        return given if isinstance(given, OneEuroParameters) else OneEuroParameters()
