"""Labels in the queue's order against labels in random order, by a simulated annotator.

    python -m benchmarks.active_loop --faces FOLDER [--faces FOLDER ...] [--seeds 8]
                                     [--first-seed 0] [--lots 3] [--learner kernel|network]
                                     [--rounds 4] [--labels 15] [--out active_loop.json]

A first model learns from a few renders of near-frontal faces. The rest of the renders play
photographs that nobody has labelled: most of them near-frontal as well, some turned further, as
albums have them. Each round the model judges those without labels as `viewfinder queue` does, a
simulated person refines the first of them, and the next model learns from all that is labelled. The
same with the order drawn by lot, the mean of several lots: nine turned faces or three among sixty
are chance. Errors are over held-out faces: as many turned as near-frontal ones ("both"), and
weighted as the photographs are mixed ("pool"). Each seed deals anew, from the folders in turn.
Faces that training and evaluation leave out, as too hidden or too small, play no part.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.active_learners import FACE, KernelLearner, Learner, Model
from bootstrap.dataset import Dataset, DatasetInfo, Label, Sample
from bootstrap.loop_ledger import note
from bootstrap.metrics import normalising_length_px
from bootstrap.prelabel import layer_of
from bootstrap.queueing import Judge, judged, labelled_by_people, write_queue
from bootstrap.simulated_annotator import SimulatedAnnotator
from bootstrap.training.batches import single_threaded_opencv
from bootstrap.training.crops import VALIDATION_JITTER
from bootstrap.training.process import keep_large_blocks
from bootstrap.training.subjects import TrainingData, load_training_data
from runtime.roi import Roi, face_roi_from_landmarks

EYES = (33, 263)
ORDERS = ("active", "random")
GOAL = 0.6
_DEAL, _ROIS, _LOT = range(3)
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """How many faces play what; from `turned_deg` of yaw on they count as turned."""

    first: int = 100
    plain: int = 170
    turned: int = 30
    test: int = 200
    turned_deg: float = 30.0
    rounds: int = 4
    labels: int = 15


@dataclass(frozen=True)
class Stage:
    """The data of one simulation.

    Attributes:
        first: data set that the first model learns from.
        photos: pictures without labels.
        test: data set of held-out faces, as many turned as not.
        truth: of photographs and test faces, by sample id.
        rois: where a detector would see each of these.
    """

    first: Dataset
    photos: Dataset
    test: Dataset
    truth: dict[str, Label]
    rois: dict[str, Roi]


def yaw_deg(label: Label) -> float:
    """How far a face is turned aside, 0..180."""
    assert label.keypoints_camera_m is not None
    x, _, z = label.keypoints_camera_m[EYES[1]] - label.keypoints_camera_m[EYES[0]]
    return float(np.degrees(abs(np.arctan2(z, x))))


def staged(source: Dataset, folder: Path, plan: Plan, seed: int) -> Stage:
    """Deal the pictures of a data set of renders that show one face."""
    offered = load_training_data([source.root], FACE)
    usable = {subject.source[1] for subject in (*offered.train, *offered.val)}
    every = source.labels("synthetic")
    counts: dict[str, int] = {}
    for label in every:
        counts[label.sample_id] = counts.get(label.sample_id, 0) + 1
    alone = [x for x in every if counts[x.sample_id] == 1 and x.sample_id in usable]
    alone = [alone[i] for i in _chance(seed, _DEAL).permutation(len(alone))]
    turned = [x for x in alone if yaw_deg(x) >= plan.turned_deg]
    plain = [x for x in alone if yaw_deg(x) < plan.turned_deg]
    half = plan.test // 2
    first, plain = plain[: plan.first], plain[plan.first :]
    test, plain, turned = plain[:half] + turned[:half], plain[half:], turned[half:]
    pool = plain[: plan.plain] + turned[: plan.turned]
    if len(test) + len(pool) < 2 * half + plan.plain + plan.turned:
        sys.exit(f"{source.root}: {len(alone)} pictures of one face don't suffice")
    rois: dict[str, Roi] = {}
    for label in (*pool, *test):
        assert label.keypoints_px is not None
        roi = face_roi_from_landmarks(label.keypoints_px)
        rois[label.sample_id] = VALIDATION_JITTER[FACE.id].applied(
            roi, _chance(seed, _ROIS, len(rois))
        )
    return Stage(
        written(source, folder / "first", first),
        written(source, folder / "photos", pool, labelled=False),
        written(source, folder / "test", test),
        {x.sample_id: x for x in (*pool, *test)},
        rois,
    )


def written(source: Dataset, root: Path, labels: Sequence[Label], labelled: bool = True) -> Dataset:
    """A data set of some pictures of another one, with or without their labels."""
    info = DatasetInfo(name=root.name, generator="benchmarks.active_loop", topologies=(FACE.id,))
    ds = Dataset.create(root, info)
    samples = []
    for label in labels:
        name = label.sample_id
        row = source.row(name)
        samples.append(
            Sample(
                sample_id=name, image=source.read_image_bytes(name),
                extension=Path(row["member"]).suffix[1:], width=int(row["width"]),
                height=int(row["height"]), camera=source.camera(name),
            )
        )  # fmt: skip
    ds.write_shard(0, samples, {"synthetic": list(labels)} if labelled else {})
    return ds


def lessons(stage: Stage, photos: bool) -> TrainingData:
    """All that is labelled so far, in `train`."""
    data = load_training_data([stage.first.root, *([stage.photos.root] if photos else [])], FACE)
    # A data set without a val split lends it some of its samples; none is to be lost here.
    return TrainingData(
        data.datasets, data.train + data.val, (), data.negatives, data.sources, data.left_out
    )


def errors(stage: Stage, model: Model) -> dict[str, float]:
    """Percent of the interocular distance: turned faces, near-frontal ones, both."""
    found: dict[bool, list[float]] = {False: [], True: []}
    for label in stage.test.labels("synthetic"):
        name = label.sample_id
        assert label.keypoints_px is not None
        points = seen(model, stage.test.read_image(name), stage.rois[name])
        length = normalising_length_px(
            FACE, label.keypoints_px, label.keypoints_camera_m, stage.test.camera(name)
        )
        off = np.linalg.norm(points - label.keypoints_px, axis=1).mean()
        found[yaw_deg(label) >= Plan.turned_deg].append(100.0 * float(off) / length)
    plain, turned = (float(np.mean(found[key])) for key in (False, True))
    return {"plain": plain, "turned": turned, "both": (plain + turned) / 2}


def seen(model: Model, rgb: NDArray[np.uint8], roi: Roi) -> NDArray[np.float32]:
    """(478, 2) px in that region of a picture."""
    found = model.landmarks.run(rgb, roi, min_presence=-1.0)
    assert found is not None
    height, width = rgb.shape[:2]
    return found.keypoints[:, :2] * np.array([width, height], dtype=np.float32)


def simulate(
    stage: Stage, learner: Learner, first: Model, plan: Plan, order: str, seed: int, lot: int = 0
) -> list[dict[str, Any]]:
    """The rounds in one order: a row each, with errors, labels, minutes.

    Args:
        stage: whose photographs nobody has labelled yet; this labels some.
        learner: as it was when it made the first model.
        first: the model that has seen none of the photographs.
        plan: how many.
        order: one of ORDERS.
        seed: of the lots and of the annotator's hand.
        lot: which one draws the order.
    """
    person = SimulatedAnnotator(seed=seed)
    ids = sorted(stage.photos.samples()["sample_id"])
    drawn = [ids[i] for i in _chance(seed, _LOT, lot).permutation(len(ids))]
    model, minutes, rows = first, 0.0, []
    for number in range(plan.rounds):
        done = labelled_by_people(stage.photos)
        chosen = [name for name in drawn if name not in done]
        if order == "active":
            queued = judged(stage.photos, chosen, judge_of(stage, model, chosen))
            write_queue(stage.photos.root, queued, model.sha256, "")
            chosen = [one.sample_id for one in queued]
        chosen = chosen[: plan.labels]
        found = prelabelled(stage, model, chosen)
        minutes += person.refine(stage.photos, chosen, stage.truth, found)
        parent, model = model.sha256, learner.taught(lessons(stage, photos=True))
        measured = errors(stage, model)
        note(stage.photos.root, "train", model=model.sha256, parent=parent, data=[])
        note(
            stage.photos.root, "evaluate", model=model.sha256, error=measured["both"], split="test"
        )
        turned = sum(yaw_deg(stage.truth[name]) >= plan.turned_deg for name in chosen)
        labels = plan.labels * (number + 1)
        rows.append({"labels": labels, "minutes": minutes, "of_turned": turned, **measured})
    return [row | {"pool": mixed(row, plan)} for row in rows]


def judge_of(stage: Stage, model: Model, ids: Sequence[str]) -> Judge:
    """The queue's judge, with a detector that is as far off as detectors are."""

    def find(rgb: NDArray[np.uint8], number: int) -> list[NDArray[np.floating]]:
        return [seen(model, rgb, stage.rois[ids[number]])]

    return Judge(FACE, face_roi_from_landmarks, model.landmarks, find)


def prelabelled(stage: Stage, model: Model, ids: Sequence[str]) -> dict[str, Label]:
    """What the person starts from, kept as `viewfinder prelabel` keeps it."""
    labels = {
        name: Label(
            sample_id=name, topology=FACE.id, source=f"model {model.sha256}",
            keypoints_px=seen(model, stage.photos.read_image(name), stage.rois[name]),
        )
        for name in ids
    }  # fmt: skip
    stage.photos.write_layer(layer_of(model.sha256), labels.values())
    return labels


def mixed(row: dict[str, float], plan: Plan) -> float:
    """The error weighted as the photographs are mixed."""
    share = plan.turned / (plan.plain + plan.turned)
    return (1 - share) * row["plain"] + share * row["turned"]


def share_of_labels(result: dict[str, Any], name: str) -> float:
    """Labels with which the active order's error first is as low as random order's last, over the
    latter's; between rounds along a line; infinity where it never is."""
    goal = result["random"][-1][name]
    before, labels = result["start"][name], 0.0
    for row in result["active"]:
        if row[name] <= goal:
            part = (before - goal) / (before - row[name]) if before > row[name] else 1.0
            reached = labels + min(max(part, 0.0), 1.0) * (row["labels"] - labels)
            return float(reached) / result["random"][-1]["labels"]
        before, labels = row[name], float(row["labels"])
    return math.inf


def run(
    source: Dataset,
    plan: Plan,
    seed: int,
    new_learner: Callable[[int, Path], Learner],
    lots: int = 1,
) -> dict[str, Any]:
    """Both orders from one first model; the random one is the mean of so many lots."""
    result: dict[str, Any] = {"seed": seed}
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        learner = new_learner(seed, base)
        first: Model | None = None
        runs: dict[str, list[list[dict[str, Any]]]] = {order: [] for order in ORDERS}
        for order, lot in (("active", 0), *(("random", lot) for lot in range(lots))):
            stage = staged(source, base / f"{order}{lot}", plan, seed)
            if first is None:
                first = learner.taught(lessons(stage, photos=False))
                measured = errors(stage, first)
                result["start"] = measured | {"pool": mixed(measured, plan)}
            pupil = copy.deepcopy(learner)
            runs[order].append(simulate(stage, pupil, first, plan, order, seed, lot))
        result |= {order: [_mean(rows) for rows in zip(*runs[order])] for order in ORDERS}
    result |= {f"share_{name}": share_of_labels(result, name) for name in ("both", "pool")}
    result["cpu_s"] = round(time.process_time() - begun, 1)
    return result


def summary(runs: Sequence[dict[str, Any]], rng: np.random.Generator) -> dict[str, Any]:
    """Over the seeds: the share of labels by the mean curves, with a 95 % bootstrap interval."""
    found: dict[str, Any] = {"seeds": len(runs), "goal": GOAL}
    draws = rng.integers(0, len(runs), (1000, len(runs)))
    for name in ("both", "pool"):
        each = [share_of_labels(mean_curves([runs[i] for i in draw]), name) for draw in draws]
        low, high = np.percentile(each, [2.5, 97.5], method="nearest").tolist()
        middle = share_of_labels(mean_curves(runs), name)
        found[name] = {"share": middle, "interval": [low, high]}
    return found


def mean_curves(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One result with every number's mean over some."""
    orders = {
        order: [_mean(rows) for rows in zip(*(run[order] for run in runs))] for order in ORDERS
    }
    return {"start": _mean([run["start"] for run in runs]), **orders}


def _mean(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def main() -> None:
    """Run every seed, print, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, action="append", required=True)
    parser.add_argument("--learner", choices=("kernel", "network"), default="kernel")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--lots", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    parser.add_argument("--labels", type=int, default=Plan.labels)
    parser.add_argument("--out", type=Path, default=Path("active_loop.json"))
    options = parser.parse_args()
    keep_large_blocks()
    single_threaded_opencv()
    plan = Plan(rounds=options.rounds, labels=options.labels)
    sources = [Dataset.open(folder) for folder in options.faces]
    runs: list[dict[str, Any]] = []

    def new_learner(seed: int, folder: Path) -> Learner:
        if options.learner == "kernel":
            return KernelLearner(seed)
        import torch

        from benchmarks.active_network import NetworkLearner

        torch.set_num_threads(1)
        return NetworkLearner(seed, folder)

    for seed in range(options.first_seed, options.first_seed + options.seeds):
        runs.append(run(sources[seed % len(sources)], plan, seed, new_learner, options.lots))
        show(f"seed {seed}, {runs[-1]['cpu_s']} CPU-s", runs[-1])
        found = summary(runs, np.random.default_rng(0))
        facts = {"learner": options.learner, "plan": asdict(plan), **found, "runs": runs}
        options.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    show("mean", mean_curves(runs))
    for name in ("both", "pool"):
        share, (low, high) = found[name]["share"], found[name]["interval"]
        sys.stdout.write(
            f"{name}: active order needs {100 * share:.0f} % of random order's labels "
            f"({100 * low:.0f} to {100 * high:.0f}); goal {100 * GOAL:.0f} %\n"
        )


def show(title: str, result: dict[str, Any]) -> None:
    """The curves as a table."""
    start = result["start"]
    sys.stdout.write(f"{title}\n   0 labels: both {start['both']:.2f} pool {start['pool']:.2f} %\n")
    for order in ORDERS:
        for row in result[order]:
            sys.stdout.write(
                f"{row['labels']:4.0f} {order:6}: both {row['both']:.2f} turned {row['turned']:.2f}"
                f" plain {row['plain']:.2f} pool {row['pool']:.2f} %, {row['of_turned']:.1f} turned"
                f" ones labelled, {row['minutes']:.1f} min\n"
            )
    sys.stdout.flush()


def _chance(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


if __name__ == "__main__":
    main()
