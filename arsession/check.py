"""How far a recording can be trusted: time, tracking, pose jumps, blur, planes, epipolar geometry.

Nothing here needs to know the truth: poses are compared with each other, and with what features in
the pictures do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from arsession.session import Session
from runtime.camera import Camera
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]
Advance = Callable[[int, int], None]

JUMP_RATIO = 10.0
"""Times the median residual. A real ARKit clip at 60 Hz: median 0.43 mm, worst 26 mm."""
_LEAST_JUMP_M = 1e-3
_GAP_RATIO = 1.8  # of the usual step: one frame was dropped
_BLUR_RATIO = 0.35  # of the sharpness of the pictures around
_BLUR_WINDOW = 15
_WORKING_SIDE_PX = 960  # pictures are shrunk to this before features are looked for
_MOST_PAIRS = 80
_PAIR_STEP_S = 0.2
_FEATURES = 400
_LEAST_FEATURES = 20
_THERE_AND_BACK_PX = 0.5
_LEAST_PARALLAX_PX = 2.0  # below it, an epipolar line says nothing of the translation
_NEAREST_M = 0.2  # no filmed thing is closer: it bounds the parallax
_EPIPOLAR_LIMIT = 2e-3
"""Of the picture's longer side: 3.8 px in 1920. Features themselves are good for about 0.5 px."""


@dataclass(frozen=True)
class Pair:
    """Features followed from one frame to another.

    Attributes:
        first, second: frames.
        features: how many were followed.
        error_px: median distance from their epipolar lines, in the full picture.
    """

    first: int
    second: int
    features: int
    error_px: float


@dataclass(frozen=True)
class Check:
    """What was measured. Frames count from 0.

    Attributes:
        fps: frames a second, from the median step; None for a recording without time.
        gaps: (frame, seconds) of frames that came late.
        residual_m: (F,) distance of each place from where the two before it lead; the first two
            are 0.
        jumps: frames whose residual is over JUMP_RATIO times the median.
        not_tracked: frames whose tracking isn't normal.
        sharpness: (F,) variance of the Laplacian, NaN for frames without a picture.
        blurred: frames much less sharp than those around.
        unreadable: frames whose picture can't be read, and why.
        plane_tilt_rad: angle between up and the normal of each horizontal plane.
        pairs: epipolar errors.
        off: frames from the first to the second of pairs beyond the limit.
        trusted: (F,) frames without any complaint.
    """

    fps: float | None
    gaps: list[tuple[int, float]]
    residual_m: Array
    jumps: NDArray[np.int64]
    not_tracked: NDArray[np.int64]
    sharpness: Array
    blurred: NDArray[np.int64]
    unreadable: dict[int, str]
    plane_tilt_rad: list[float]
    pairs: list[Pair]
    off: NDArray[np.int64]
    trusted: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))

    def trusted_ranges(self) -> list[tuple[int, int]]:
        """First and last frame of each run of trusted frames."""
        edges = np.flatnonzero(np.diff(np.concatenate([[0], self.trusted.astype(int), [0]])))
        return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2])]

    def summary(self) -> dict[str, object]:
        """What `viewfinder session check --json` prints: millimetres and degrees."""
        errors = [pair.error_px for pair in self.pairs]
        worst = max(self.pairs, key=lambda pair: pair.error_px, default=None)
        residual = self.residual_m[2:]
        return {
            "frames": len(self.trusted),
            "fps": None if self.fps is None else round(self.fps, 3),
            "gaps": [{"frame": frame, "seconds": round(s, 4)} for frame, s in self.gaps],
            "not_tracked": self.not_tracked.tolist(),
            "pose_residual_mm": {
                "median": round(float(np.median(residual)) * 1e3, 4) if len(residual) else None,
                "worst": round(float(residual.max()) * 1e3, 4) if len(residual) else None,
                "worst_frame": int(residual.argmax()) + 2 if len(residual) else None,
            },
            "jumps": self.jumps.tolist(),
            "blurred": self.blurred.tolist(),
            "unreadable": sorted(self.unreadable),
            "plane_tilt_deg": [round(float(np.degrees(tilt)), 3) for tilt in self.plane_tilt_rad],
            "epipolar_px": {
                "pairs": len(errors),
                "median": round(float(np.median(errors)), 3) if errors else None,
                "worst": round(worst.error_px, 3) if worst else None,
                "worst_pair": [worst.first, worst.second] if worst else None,
            },
            "trusted": {
                "frames": int(self.trusted.sum()),
                "ranges": [list(pair) for pair in self.trusted_ranges()],
            },
        }

    def in_words(self) -> list[str]:
        """What `viewfinder session check` prints, a line each."""
        residual, errors = self.residual_m[2:] * 1e3, [pair.error_px for pair in self.pairs]
        rate = "" if self.fps is None else f" at {self.fps:.1f} a second"
        lines = [
            f"frames      {len(self.trusted)}{rate}; counted from 0",
            f"gaps        before {_listed([frame for frame, _ in self.gaps])}",
            f"tracking    not normal in {_listed(self.not_tracked)}",
        ]
        if len(residual):
            lines.append(
                f"pose jumps  at {_listed(self.jumps)}; residual {np.median(residual):.2f} mm, at "
                f"worst {residual.max():.1f} mm"
            )
        lines.append(f"blurred     {_listed(self.blurred)}")
        if self.unreadable:
            frames = sorted(self.unreadable)
            lines.append(f"unreadable  {_listed(frames)}: {self.unreadable[frames[0]]}")
        if self.plane_tilt_rad:
            tilts = ", ".join(f"{np.degrees(tilt):.1f}" for tilt in self.plane_tilt_rad)
            lines.append(f"plane tilt  {tilts} degrees")
        if errors:
            lines.append(
                f"epipolar    {np.median(errors):.2f} px, at worst {max(errors):.2f} px; too much "
                f"in {_listed(self.off)}"
            )
        ranges = [f"{a} to {b}" if b > a else f"{a}" for a, b in self.trusted_ranges()]
        more = f" and {len(ranges) - 12} more runs" if len(ranges) > 12 else ""
        runs = ", ".join(ranges[:12]) or "none"
        lines.append(f"to trust    {int(self.trusted.sum())} frames: {runs}{more}")
        return lines


def _listed(frames: NDArray[np.int64] | list[int]) -> str:
    if len(frames) == 0:
        return "none"
    first = ", ".join(str(int(frame)) for frame in frames[:8])
    return first if len(frames) <= 8 else f"{first} and {len(frames) - 8} more"


def check_session(session: Session, advance: Advance = lambda done, total: None) -> Check:
    """Measure a recording.

    Args:
        session: what was read.
        advance: called with pictures looked at and all pictures.

    Raises:
        ViewfinderError: planes that can't be read; single pictures that can't are noted instead.
    """
    count = len(session.timestamps_s)
    steps = np.diff(session.timestamps_s)
    usual = float(np.median(steps)) if len(steps) else 0.0
    late = np.flatnonzero(steps > _GAP_RATIO * usual) if session.timed else np.empty(0, int)
    residual = pose_residuals(session)
    jumps = _jumps(residual, session)
    tracking = np.array([state != "normal" for state in session.tracking], dtype=bool)
    sharpness, pairs, unreadable = _look_at_pictures(session, usual, advance)
    blurred = _blurred(sharpness)
    side = max(session.pictures.size) if session.pictures is not None else 1
    bad = [pair for pair in pairs if pair.error_px > _EPIPOLAR_LIMIT * side]
    off = np.unique([f for pair in bad for f in range(pair.first, pair.second + 1)])
    trusted = np.ones(count, dtype=bool)
    for frames in (jumps, np.flatnonzero(tracking), blurred, sorted(unreadable), off):
        trusted[np.asarray(frames, dtype=np.int64)] = False
    return Check(
        fps=1 / usual if usual > 0 and session.timed else None,
        gaps=[(int(i) + 1, float(steps[i])) for i in late],
        residual_m=residual,
        jumps=jumps,
        not_tracked=np.flatnonzero(tracking),
        sharpness=sharpness,
        blurred=blurred,
        unreadable=unreadable,
        plane_tilt_rad=plane_tilts(session),
        pairs=pairs,
        off=off.astype(np.int64),
        trusted=trusted,
    )


def pose_residuals(session: Session) -> Array:
    """(F,) metres between each place and where the two before it lead at constant velocity."""
    places, times = session.world_from_camera[:, :3, 3], session.timestamps_s
    out = np.zeros(len(times))
    if len(times) > 2:
        steps = np.diff(times)[:, None]
        velocity = np.diff(places, axis=0) / steps
        out[2:] = np.linalg.norm(places[2:] - places[1:-1] - velocity[:-1] * steps[1:], axis=1)
    return out


def _jumps(residual: Array, session: Session) -> NDArray[np.int64]:
    if len(residual) < 3:
        return np.empty(0, np.int64)
    least = _LEAST_JUMP_M if session.metric else 1e-6 * max(session.path_length_m(), 1e-9)
    limit = max(JUMP_RATIO * float(np.median(residual[2:])), least)
    return np.flatnonzero(residual > limit)


def plane_tilts(session: Session) -> list[float]:
    """Angle in radians between up and the normal of each horizontal plane."""
    up = session.up_world
    if up is None:
        return []
    return [
        float(np.arccos(np.clip(plane.normal_world @ up, -1, 1)))
        for plane in session.planes
        if plane.alignment == "horizontal"
    ]


def _look_at_pictures(
    session: Session, usual: float, advance: Advance
) -> tuple[Array, list[Pair], dict[int, str]]:
    count, pictures = len(session.timestamps_s), session.pictures
    sharpness = np.full(count, np.nan)
    unreadable: dict[int, str] = {}
    pairs: list[Pair] = []
    if pictures is None:
        return sharpness, pairs, unreadable
    step = max(round(_PAIR_STEP_S / usual) if usual > 0 else 1, -(-count // _MOST_PAIRS), 1)
    last: tuple[int, NDArray[np.uint8]] | None = None
    for frame in range(count):
        advance(frame + 1, count)
        if not pictures.has(frame):
            continue
        try:
            rgb = pictures.read(frame)
        except ViewfinderError as error:
            unreadable[frame] = str(error)
            continue
        grey, scale = _working_picture(rgb)
        sharpness[frame] = float(cv2.Laplacian(grey, cv2.CV_32F).var())
        if last is not None and frame - last[0] < step:
            continue
        if last is not None and session.camera is not None:
            pair = _epipolar(session, last[0], frame, last[1], grey, scale)
            if pair is not None:
                pairs.append(pair)
        last = frame, grey
    return sharpness, pairs, unreadable


def _working_picture(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, _WORKING_SIDE_PX / max(grey.shape))
    if scale < 1:
        size = (round(grey.shape[1] * scale), round(grey.shape[0] * scale))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, dtype=np.uint8), scale


def _epipolar(
    session: Session,
    first: int,
    second: int,
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    scale: float,
) -> Pair | None:
    found = cv2.goodFeaturesToTrack(before, _FEATURES, 0.01, 7)
    if found is None:
        return None
    there, good, _ = cv2.calcOpticalFlowPyrLK(before, after, found, None, winSize=(15, 15))
    back, good_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, None, winSize=(15, 15))
    same = np.linalg.norm(back - found, axis=2)[:, 0] < _THERE_AND_BACK_PX
    kept = (good[:, 0] == 1) & (good_back[:, 0] == 1) & same
    # OpenCV counts from a pixel's centre, cameras from its corner.
    a, b = ((points[kept, 0] + 0.5) / scale for points in (found, there))
    if len(a) < _LEAST_FEATURES:
        return None
    cameras = session.camera_at(first), session.camera_at(second)
    if cameras[0] is None or cameras[1] is None:
        return None
    second_from_first = (
        np.linalg.inv(session.world_from_camera[second]) @ session.world_from_camera[first]
    )
    error = epipolar_errors_px(a, b, second_from_first, cameras[0], cameras[1])
    return Pair(first, second, len(a), float(np.median(error)))


def epipolar_errors_px(
    first_px: Array, second_px: Array, second_from_first: Array, first: Camera, second: Camera
) -> Array:
    """How far points in a second picture lie from where the poses allow them.

    That is a line, from where the camera's turn alone puts a point towards the epipole; where the
    camera hardly moved, so that no parallax could be seen, it is the line's beginning.

    Args:
        first_px, second_px: (N, 2) the same points in both pictures.
        second_from_first: (4, 4) between the two cameras.
        first, second: the cameras.

    Returns:
        (N,) pixels in the second picture.
    """
    turned = first.unproject(first_px, np.ones(len(first_px))) @ second_from_first[:3, :3].T
    seen = second.unproject(second_px, np.ones(len(second_px)))
    shift = second_from_first[:3, 3]
    turned_xy = turned[:, :2] / turned[:, 2:]
    focal = np.array([second.fx, second.fy])
    off = (seen[:, :2] - turned_xy) * focal
    along = (shift[:2] - turned_xy * shift[2]) * focal
    length = np.linalg.norm(along, axis=1, keepdims=True)
    direction = np.divide(along, length, out=np.zeros_like(along), where=length > 1e-12)
    across = np.abs(off[:, 0] * direction[:, 1] - off[:, 1] * direction[:, 0])
    still = (length[:, 0] / _NEAREST_M < _LEAST_PARALLAX_PX) | (length[:, 0] <= 1e-12)
    return np.where(still, np.linalg.norm(off, axis=1), across)


def _blurred(sharpness: Array) -> NDArray[np.int64]:
    known = np.flatnonzero(np.isfinite(sharpness))
    if len(known) < 3:
        return np.empty(0, np.int64)
    values = sharpness[known]
    half = _BLUR_WINDOW // 2
    around = np.array(
        [np.median(values[max(0, i - half) : i + half + 1]) for i in range(len(values))]
    )
    return known[values < _BLUR_RATIO * around]
