"""`viewfinder render ...`: parse, and call one function. bpy is loaded only when rendering."""

from __future__ import annotations

import json
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runtime.errors import missing_extra

if TYPE_CHECKING:
    from render.job import Job

render_app = typer.Typer(
    no_args_is_help=True,
    help="""Render labelled pictures with Blender's Cycles, on the CPU, without a display.

    Every picture comes with keypoints in pixels and in metres, visibility checked against depth,
    depth, segmentation, contours, camera and pose. Sample i of seed s is always the same picture;
    a run that was stopped or killed goes on when the same command is given again.
    """,
)


class Preset(StrEnum):
    """What a picture may cost."""

    draft = "draft"
    final = "final"


class Device(StrEnum):
    """What Cycles renders on."""

    cpu = "cpu"
    gpu = "gpu"


OutOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of the data set; made if missing.")
]
CountOption = Annotated[int, typer.Option(min=1, help="Number of pictures.")]
SeedOption = Annotated[
    int, typer.Option(min=0, help="Another seed, other people; the same seed, the same bytes.")
]
PresetOption = Annotated[
    Preset, typer.Option(help="draft: few samples, denoised; final: cleaner, several times slower.")
]
SizeOption = Annotated[
    int, typer.Option(min=32, max=4096, help="Width and height of a picture in pixels.")
]
ShardOption = Annotated[
    int, typer.Option(min=1, help="Pictures in a shard, the unit that is kept when a run stops.")
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Processes; one per core if not given.")
]
HdrisOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Light from the .exr and .hdr panoramas there, not Blender's."
    ),
]
ShareOption = Annotated[
    float, typer.Option(min=0, max=1, help="Share of pictures that show no hand, but maybe a foot.")
]
DeviceOption = Annotated[
    Device,
    typer.Option(help="gpu: let Cycles use the GPU; bytes then differ from machine to machine."),
]
ClusterOption = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        help="Let the workers of this Dask scheduler render (tcp://host:8786), not this machine.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print a summary as one JSON object.")]


@render_app.command()
def hands(
    out: OutOption = None,
    count: CountOption = 256,
    seed: SeedOption = 0,
    preset: PresetOption = Preset.draft,
    size: SizeOption = 256,
    shard_size: ShardOption = 256,
    workers: WorkersOption = None,
    cluster: ClusterOption = "",
    hdris: HdrisOption = None,
    backgrounds: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Put the hands before pieces of the photographs there."),
    ] = None,
    gestures: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Hand shapes of your own, not the shipped library."),
    ] = None,
    pose_shares: Annotated[
        tuple[float, float, float],
        typer.Option(
            metavar="LIBRARY BETWEEN FREE",
            help="Shares of poses: around a shape, between two, anything that joints allow.",
        ),
    ] = (0.6, 0.25, 0.15),
    negatives: ShareOption = 0.04,
    two_hands: Annotated[
        tuple[float, float],
        typer.Option(
            metavar="NEAR FAR",
            help="Shares of pictures with the other hand close by, and with somebody else's.",
        ),
    ] = (0.1, 0.08),
    hand_model: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A hand of yours with WebXR's 25 joints (.glb), not Anny's. It is one person's, "
            "and its licence goes with all that is made with it.",
        ),
    ] = None,
    device: DeviceOption = Device.cpu,
    gallery: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write a picture of every gesture with its name."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Hands with forearm and sleeve: 233 shapes, what lies between, free poses; any side, any tone.

    Labels: the 21 points of hand21, the hand's outline, fingers and palm as segmentation,
    handedness, gesture, joint angles.
    """
    _need_bpy()
    from render.backgrounds import find_backgrounds
    from render.environments import find_hdris
    from render.hand_poses import PoseSettings
    from render.hands import hand_dataset, hand_renderers
    from render.job import Job, cores
    from render.settings import RenderSettings, Shares

    if out is None and gallery is None:
        raise typer.BadParameter("give --out DIR, --gallery FILE or both", param_hint="--out")
    paths = () if hdris is None else find_hdris(hdris)
    photos = () if backgrounds is None else find_backgrounds(backgrounds)
    poses = PoseSettings(gestures, pose_shares)
    shares = Shares(negatives, *two_hands)
    settings = RenderSettings(
        seed, size, preset.value, paths, photos, poses, shares, _cycles_device(device), hand_model
    )
    if hand_model is not None:
        from render.webxr_hand import WebXRHandModel

        WebXRHandModel(hand_model)  # what is wrong with it is said before workers start
    if gallery is not None:
        from render.gallery import write_gallery

        write_gallery(gallery, settings)
    if out is not None:
        info = hand_dataset(settings, shard_size)
        make = hand_renderers(settings)
        _render(Job(out, info, count, make, workers or cores(), cluster=cluster), as_json)


@render_app.command()
def faces(
    out: OutOption = None,
    count: CountOption = 256,
    seed: SeedOption = 0,
    preset: PresetOption = Preset.draft,
    size: SizeOption = 256,
    shard_size: ShardOption = 256,
    workers: WorkersOption = None,
    cluster: ClusterOption = "",
    hdris: HdrisOption = None,
    backgrounds: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Put the faces onto pieces of the photographs there."),
    ] = None,
    face_model: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A head model of yours: Basel 2009 (.mat), 2017 or 2019 (.h5), the folder of an "
            "ICT-FaceKit, GNM Head (.npz). Its licence goes with all that is made with it. It is "
            "alone in its pictures, with what --worn puts on.",
        ),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where landmarks sit on the head, not the shipped map."),
    ] = None,
    fit_mapping: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Fit that map anew to MediaPipe's face mesh and write it there (some minutes).",
        ),
    ] = None,
    negatives: Annotated[
        float, typer.Option(min=0, max=1, help="Share of pictures without a face.")
    ] = 0.04,
    two_faces: Annotated[
        float, typer.Option(min=0, max=1, help="Share of pictures with a second person.")
    ] = 0.12,
    worn: Annotated[
        tuple[float, float, float],
        typer.Option(
            metavar="GLASSES MASKS HEADWEAR", help="Shares of people with these; 0 0 0 for none."
        ),
    ] = (0.2, 0.06, 0.12),
    before: Annotated[
        tuple[float, float],
        typer.Option(
            metavar="HANDS THINGS",
            help="Shares of pictures with a hand or a thing before the face; 0 0 for none.",
        ),
    ] = (0.08, 0.04),
    as_json: JsonOption = False,
) -> None:
    """Faces: random people, expressions, gaze, hair, light and camera; glasses, masks, headwear,
    hands and things before them; a second person; none.

    Labels: the 478 points of face478, contours, irises, segmentation, head pose, gaze, expression.
    """
    _need_bpy()
    from render.backgrounds import find_backgrounds
    from render.environments import find_hdris
    from render.faces import FaceSettings, face_dataset, face_renderers
    from render.job import Job, cores
    from render.settings import ONE_FACE, FaceShares

    if out is None and fit_mapping is None:
        raise typer.BadParameter("give --out DIR, --fit-mapping FILE or both", param_hint="--out")
    if face_model is not None and (mapping or fit_mapping):
        raise typer.BadParameter(
            "--mapping and --fit-mapping are for Anny's head; a head model of yours gets its own",
            param_hint="--face-model",
        )
    light = () if hdris is None else find_hdris(hdris)
    photos = () if backgrounds is None else find_backgrounds(backgrounds)
    settings = FaceSettings(
        seed, size, preset.value, light, photos, mapping=mapping, face_model=face_model,
        face_shares=FaceShares(negatives, two_faces, *worn, *before),
    )  # fmt: skip
    if fit_mapping is not None:
        from render.face_mapping_run import write_fitted_mapping

        errors = write_fitted_mapping(
            fit_mapping, replace(settings, backgrounds=(), face_shares=ONE_FACE)
        )
        typer.echo(f"{fit_mapping}: {errors}", err=True)
        settings = replace(settings, mapping=fit_mapping)
    if out is not None:
        info = face_dataset(settings, shard_size)
        make = face_renderers(settings)
        job = Job(out, info, count, make, workers or cores(), cluster=cluster)
        _render(job, as_json, with_anny=settings.shows_anny)


@render_app.command()
def session(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder; made if missing.")],
    count: Annotated[int, typer.Option(min=1, help="Number of sessions.")] = 8,
    seed: SeedOption = 0,
    frames: Annotated[int, typer.Option(min=2, max=2000, help="Pictures in a session.")] = 36,
    preset: PresetOption = Preset.draft,
    size: Annotated[
        str, typer.Option(metavar="WxH", help="Of a picture, in pixels; upright as a phone's.")
    ] = "480x640",
    rate: Annotated[float, typer.Option(min=1, max=60, help="Pictures a second.")] = 10.0,
    category: Annotated[
        list[str] | None,
        typer.Option(help="What sessions are about, in turn; give it again for more. All if none."),
    ] = None,
    drift: Annotated[
        float,
        typer.Option(min=0, help="Of the noisy copies: cm by which poses are off after a second."),
    ] = 1.0,
    dropped: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of frames missing in the noisy copies.")
    ] = 0.05,
    workers: WorkersOption = None,
    cluster: ClusterOption = "",
    hdris: HdrisOption = None,
    as_json: JsonOption = False,
) -> None:
    """AR sessions: furniture, shoes, cups, boxes ... filmed by hand, with their true boxes.

    DIR becomes a data set of the frames (boxes, depth, segmentation; a session is a shard).
    DIR/recordings holds each session as Objectron lays it out, and a copy whose tracker drifts,
    misses frames and is unsure of planes and points.
    """
    _need_bpy()
    from bootstrap.progress import progress_bar
    from render.environments import find_hdris
    from render.job import Job, cores
    from render.session_recordings import write_recordings
    from render.session_shapes import CATEGORIES
    from render.sessions import Noise, SessionSettings, session_dataset, session_renderers

    light = () if hdris is None else find_hdris(hdris)
    settings = SessionSettings(
        seed, frames, _width_and_height(size), rate, preset.value, light,
        tuple(category or CATEGORIES), Noise(drift_m=drift / 100, dropped=dropped),
    )  # fmt: skip
    info, make = session_dataset(settings), session_renderers(settings)
    job = Job(out, info, count * frames, make, workers or cores(), cluster=cluster)
    _render(job, as_json, with_anny=False)
    with progress_bar("writing recordings", "run the same command again to go on") as advance:
        write_recordings(out, count, settings, advance)


def _width_and_height(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    sides = [int(side) if side.isdigit() and len(side) < 5 else 0 for side in (width, height)]
    if not all(64 <= side <= 4096 for side in sides):
        raise typer.BadParameter(
            f"{text!r} isn't WIDTHxHEIGHT, each 64 to 4096", param_hint="--size"
        )
    return sides[0], sides[1]


@render_app.command()
def bodies(
    out: OutOption = None,
    count: CountOption = 256,
    seed: SeedOption = 0,
    preset: PresetOption = Preset.draft,
    size: SizeOption = 256,
    shard_size: ShardOption = 256,
    workers: WorkersOption = None,
    cluster: ClusterOption = "",
    hdris: HdrisOption = None,
    backgrounds: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Put the bodies before pieces of the photographs there."),
    ] = None,
    poses: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Poses of your own, not the shipped library."),
    ] = None,
    pose_shares: Annotated[
        tuple[float, float, float],
        typer.Option(
            metavar="LIBRARY BETWEEN FREE",
            help="Shares of poses: around a named one, between two, arms and trunk anywhere.",
        ),
    ] = (0.6, 0.2, 0.2),
    negatives: Annotated[
        float, typer.Option(min=0, max=1, help="Share of pictures that show nobody.")
    ] = 0.04,
    turned: Annotated[
        float, typer.Option(min=0, max=1, help="Share of pictures with the camera at any angle.")
    ] = 0.08,
    upper: Annotated[
        float, typer.Option(min=0, max=1, help="Share of pictures that show a part of the body.")
    ] = 0.3,
    device: DeviceOption = Device.cpu,
    gallery: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write a picture of every pose with its name."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Bodies, dressed, in a hundred poses, what lies between and free ones; any age, any tone.

    Labels: the 33 points of pose33 in pixels and metres, visibility, body parts and clothes as
    segmentation, what a detector learns, joint angles.
    """
    _need_bpy()
    from render.anny_asset import load_anny_body
    from render.backgrounds import find_backgrounds
    from render.bodies import BodySettings, BodyShares, body_dataset, body_renderers
    from render.body_poses import BodyPoseSettings
    from render.environments import find_hdris
    from render.job import Job, cores

    if out is None and gallery is None:
        raise typer.BadParameter("give --out DIR, --gallery FILE or both", param_hint="--out")
    settings = BodySettings(
        seed, size, preset.value,
        () if hdris is None else find_hdris(hdris),
        () if backgrounds is None else find_backgrounds(backgrounds),
        device=_cycles_device(device),
        body_poses=BodyPoseSettings(poses, pose_shares),
        body_shares=BodyShares(negatives, turned, upper),
    )  # fmt: skip
    settings.body_poses.library()  # what is wrong with it is said before workers start
    if not cluster:
        load_anny_body()  # prepared once here, not in every worker
    if gallery is not None:
        from render.body_gallery import write_body_gallery

        write_body_gallery(gallery, settings)
    if out is not None:
        info, make = body_dataset(settings, shard_size), body_renderers(settings)
        _render(Job(out, info, count, make, workers or cores(), cluster=cluster), as_json)


def _render(job: Job, as_json: bool, with_anny: bool = True) -> None:
    from render.anny_asset import load_anny
    from render.job import render_dataset

    if with_anny and not job.cluster:
        load_anny()  # prepared once here, not in every worker
    try:
        report = render_dataset(job)
    except KeyboardInterrupt as stop:
        typer.echo(str(stop) or "stopped", err=True)
        raise typer.Exit(130) from None
    if as_json:
        facts = {
            "out": str(job.out),
            "count": job.count,
            "rendered": report.rendered,
            "found": report.found,
            "seconds": round(report.seconds, 3),
            "images_per_hour": round(report.images_per_hour),
        }
        typer.echo(json.dumps(facts))
    elif report.rendered:
        typer.echo(
            f"{job.out}: {job.count} pictures, {report.rendered} rendered now in "
            f"{report.seconds:.0f} s ({report.images_per_hour:,.0f} an hour)"
        )
    else:
        typer.echo(f"{job.out}: all {job.count} pictures were there already")


def _cycles_device(device: Device) -> str:
    if device is Device.cpu:
        return "cpu"
    from render.cycles import find_gpu

    return find_gpu()


def _need_bpy() -> None:
    from importlib.util import find_spec

    if find_spec("bpy") is None:
        raise missing_extra("render", "bpy")
