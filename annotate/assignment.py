"""Who annotates which pictures: dealt out once, a share of them to several people.

Pure, but for what reads and writes a store. The same people, pictures and seed always give the
same; pictures that are there later are dealt to those who have least, and nothing moves from one
person to another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from annotate.items import Item
from annotate.store import AnnotationStore, annotator_name
from runtime.errors import ViewfinderError


@dataclass(frozen=True)
class Assigned:
    """What a deal came to.

    Attributes:
        new: samples that were dealt now.
        samples: samples that are assigned in all.
        shared: of them, those that several people do.
        people: how many samples each has.
    """

    new: int
    samples: int
    shared: int
    people: Mapping[str, int]


def deal(
    sample_ids: Iterable[str],
    people: Sequence[str],
    *,
    overlap: float = 0.1,
    each: int = 2,
    seed: int = 0,
    before: Mapping[str, Sequence[str]] | None = None,
) -> list[tuple[str, str]]:
    """Deal samples to people.

    Args:
        sample_ids: those to deal; any that `before` has are left out.
        people: by name.
        overlap: the share of samples that several people do, 0 to 1.
        each: how many people those are.
        seed: of the order.
        before: who has what already.

    Returns:
        (sample id, person), by sample. Loads differ by one at most where nothing was dealt before.

    Raises:
        ViewfinderError: a share or numbers that can't be.
    """
    names = [annotator_name(person) for person in people]
    if len(set(names)) != len(names) or not names:
        raise ViewfinderError("name each annotator once", field="people", found=", ".join(names))
    if not 0.0 <= overlap <= 1.0:
        raise ViewfinderError("no such share", field="overlap", expected="0 to 1", found=overlap)
    if overlap > 0 and not 2 <= each <= len(names):
        raise ViewfinderError(
            "as many people can't share a picture",
            field="each",
            expected=f"2 to {len(names)}" if len(names) > 1 else "two people or more",
            found=each,
        )
    had = before or {}
    rng = np.random.default_rng(seed)
    todo = rng.permutation(sorted(set(sample_ids) - had.keys())).tolist()
    shared = round(overlap * len(todo))
    load = Counter(name for owners in had.values() for name in owners)
    # Which people share changes from sample to sample: equals in load are drawn anew.
    dealt = []
    for place, sample_id in enumerate(todo):
        draw = rng.permutation(len(names))
        order = sorted(range(len(names)), key=lambda i: (load[names[i]], draw[i]))
        for i in order[: each if place < shared else 1]:
            load[names[i]] += 1
            dealt.append((sample_id, names[i]))
    return sorted(dealt)


def assign(
    store: AnnotationStore,
    sample_ids: Iterable[str],
    people: Sequence[str],
    *,
    overlap: float = 0.1,
    each: int = 2,
    seed: int = 0,
) -> Assigned:
    """`deal` what nobody has, and keep it in the store.

    Raises:
        ViewfinderError: as `deal`, or the store can't be written.
    """
    before = store.assigned()
    dealt = deal(sample_ids, people, overlap=overlap, each=each, seed=seed, before=before)
    store.assign(dealt)
    after = store.assigned()
    load = Counter(name for owners in after.values() for name in owners)
    return Assigned(
        new=len({sample_id for sample_id, _ in dealt}),
        samples=len(after),
        shared=sum(len(owners) > 1 for owners in after.values()),
        people=dict(sorted(load.items())),
    )


def assigned_items(items: Sequence[Item], store: AnnotationStore) -> list[Item]:
    """The items that are the store's annotator's; all of them where nothing is assigned.

    Raises:
        ViewfinderError: others have pictures, this annotator has none.
    """
    owners = store.assigned()
    mine = [i for i in items if store.annotator in owners.get(i.key.sample_id, ())]
    if owners and not mine:
        people = sorted({name for names in owners.values() for name in names})
        raise ViewfinderError(
            "nothing here is assigned to this annotator",
            file=store.path,
            field="annotator",
            expected=" | ".join(people),
            found=store.annotator,
            hint="--all shows everything; viewfinder annotate --assign deals pictures out",
        )
    return mine if owners else list(items)
