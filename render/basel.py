"""Reads the Basel Face Model's files as they are published: 2009 (.mat), 2017 and 2019 (.h5).

Layouts, as readers of these files have them: 2009 holds `shapeMU`, `shapePC`, `shapeEV` in
micrometres with standard deviations, `texMU`, `texPC`, `texEV` 0..255, and `tl`, triangles from 1
on. Expressions come from three more files beside it. 2017 and 2019 hold the groups shape, color
and expression, each with model/mean, pcaBasis, pcaVariance (a variance), in millimetres, and
shape/representer/cells from 0 on. Meant to run in the child process of `render.morphable_files`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from render.morphable_build import MOST_MODES, MOST_TRIANGLES, MOST_VERTICES, Modes, Raw
from runtime.errors import ViewfinderError, missing_extra

Floats = NDArray[np.float64]

LICENCE = (
    "Basel Face Model {year} (University of Basel: for research only, not for commercial use, not "
    "to be passed on)"
)

EXPRESSION_FILES = ("Exp_Pca.bin", "std_exp.txt", "BFM_exp_idx.mat")
"""What brings expressions to the 2009 model; they lie beside it, all or none."""

VARIANTS: Mapping[tuple[int, int], tuple[str, str]] = {
    (53_490, 106_466): ("2009", "2009"),
    (53_215, 105_840): ("2009", "2009 with expressions"),
    (53_149, 105_694): ("2017", "2017 nomouth"),
    (28_588, 56_572): ("2017", "2017 face12 nomouth"),
    (47_439, 94_464): ("2019", "2019 bfm"),
    (27_657, 55_040): ("2019", "2019 face12"),
    (58_203, 116_160): ("2019", "2019 fullHead"),
}
"""Vertices and triangles of what has been published, with its year."""


def named(vertices: int, triangles: int, year: str) -> tuple[str, str]:
    """Name and licence of a file by its sizes; `year` is of its layout."""
    known = VARIANTS.get((vertices, triangles))
    if known is not None and known[0][:3] == year[:3]:
        return f"Basel Face Model {known[1]}", LICENCE.format(year=known[0])
    name = f"Basel Face Model, layout of {year}, {vertices} vertices"
    return name, LICENCE.format(year=year)


def read_2009(path: Path) -> Raw:
    """`01_MorphableModel.mat`, with the expression files where they lie beside it.

    Raises:
        ViewfinderError: it isn't such a file.
    """
    wanted = ("shapeMU", "shapePC", "shapeEV", "texMU", "texPC", "texEV", "tl")
    stored = _mat(path, wanted)
    mean = stored["shapeMU"].ravel()
    count = len(mean) // 3
    if len(mean) % 3 or not 3 <= count <= MOST_VERTICES:
        raise ViewfinderError(
            "no points", field="shapeMU", expected="three numbers each", found=len(mean)
        )
    triangles = _whole(stored["tl"], "tl")
    if triangles.size == 0 or triangles.min() < 1 or triangles.max() > count:
        raise ViewfinderError(
            "triangles name vertices that aren't there", field="tl", expected=f"1 to {count}",
            found="none" if triangles.size == 0 else f"{triangles.min()} to {triangles.max()}",
        )  # fmt: skip
    triangles = triangles - 1
    rows = slice(None)
    expression, expression_mean, kept = _expressions_2009(path.parent, count)
    if kept is not None:
        rows = (3 * kept[:, None] + np.arange(3)).ravel()  # type: ignore[assignment]
        number = np.full(count, -1)
        number[kept] = np.arange(len(kept))
        triangles = number[triangles]
        triangles = triangles[(triangles >= 0).all(axis=1)]
        count = len(kept)
    for name in ("shapePC", "texPC", "texMU"):
        if len(stored[name].reshape(-1, 1 if name == "texMU" else stored[name].shape[-1])) != len(
            mean
        ):
            raise ViewfinderError(
                "another number of points than the shape has", field=name,
                expected=len(mean), found=stored[name].shape,
            )  # fmt: skip
    name, licence = named(count, len(triangles), "2009")
    return Raw(
        name=name,
        licence=licence,
        metres=1e-6,
        mean=mean[rows],
        triangles=triangles,
        identity=Modes(stored["shapePC"][rows], stored["shapeEV"].ravel(), "shapeEV"),
        expression=expression,
        expression_mean=expression_mean,
        colour_mean=stored["texMU"].ravel()[rows] / 255.0,
        colour=Modes(stored["texPC"][rows], stored["texEV"].ravel() / 255.0, "texEV"),
    )


def _expressions_2009(
    folder: Path, count: int
) -> tuple[Modes | None, NDArray[np.float32] | None, NDArray[np.int64] | None]:
    paths = [folder / name for name in EXPRESSION_FILES]
    there = [path.is_file() for path in paths]
    if not any(there):
        return None, None, None
    if not all(there):
        missing = [path.name for path, is_there in zip(paths, there) if not is_there]
        raise ViewfinderError(
            "expressions need all three of their files", file=folder,
            expected=", ".join(EXPRESSION_FILES), found=f"no {', '.join(missing)}",
        )  # fmt: skip
    kept = _whole(_mat(paths[2], ("trimIndex",))["trimIndex"], "trimIndex").ravel() - 1
    if len(kept) == 0 or kept.min() < 0 or kept.max() >= count or (np.diff(kept) <= 0).any():
        raise ViewfinderError(
            "no rising list of the model's vertices", file=paths[2], field="trimIndex",
            expected=f"1 to {count}",
        )  # fmt: skip
    data = paths[0].read_bytes()
    modes = int(np.frombuffer(data[:4], "<i4")[0]) if len(data) >= 4 else 0
    size = 4 + 4 * 3 * len(kept) * (modes + 1)
    if not 1 <= modes <= MOST_MODES or len(data) != size:
        raise ViewfinderError(
            "another size than its own count of expressions and points says", file=paths[0],
            expected=f"{size} bytes for {modes} expressions", found=len(data),
        )  # fmt: skip
    numbers = np.frombuffer(data, "<f4", offset=4).reshape(modes + 1, -1)
    if not np.isfinite(numbers).all():
        raise ViewfinderError("numbers that are none", file=paths[0])
    try:
        text = paths[1].read_text("ascii")
        spread = np.array([float(word) for word in text.split()])
    except ValueError as error:
        raise ViewfinderError("no list of numbers", file=paths[1]) from error
    if len(spread) != modes:
        raise ViewfinderError(
            "not one standard deviation for each expression", file=paths[1], expected=modes,
            found=len(spread),
        )  # fmt: skip
    return Modes(numbers[1:].T, spread, "std_exp.txt", False), numbers[0], kept


def _mat(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Those variables of a MATLAB 5 file: two-dimensional, of numbers."""
    from scipy.io import loadmat, whosmat

    try:
        there = {name: (shape, kind) for name, shape, kind in whosmat(str(path))}
    except Exception as error:  # scipy raises whatever it stumbles over
        raise ViewfinderError("no MATLAB file that can be read", file=path, found=error) from error
    for name in names:
        if name not in there:
            raise ViewfinderError(
                "a variable is missing", file=path, field=name, expected=", ".join(names),
                found=", ".join(sorted(there)[:12]) or "none",
            )  # fmt: skip
        shape, kind = there[name]
        if len(shape) != 2 or kind not in _NUMBERS or np.prod(shape, dtype=float) > _MOST_NUMBERS:
            raise ViewfinderError(
                "no matrix of numbers, or one too large", file=path, field=name,
                found=f"{kind} {'x'.join(map(str, shape))}",
            )  # fmt: skip
    try:
        stored = loadmat(str(path), variable_names=list(names))
    except Exception as error:
        raise ViewfinderError("damaged or cut short", file=path, found=error) from error
    return {name: np.asarray(stored[name]) for name in names}


_NUMBERS = ("double", "single", *(f"{s}int{n}" for s in ("", "u") for n in (8, 16, 32, 64)))
_MOST_NUMBERS = 3 * MOST_VERTICES * 300


def _whole(values: NDArray[Any], field: str) -> NDArray[np.int64]:
    whole = np.rint(values).astype(np.int64) if np.isfinite(values).all() else None
    if whole is None or not np.array_equal(whole, values):
        raise ViewfinderError("no whole numbers", field=field)
    return whole


def read_h5(path: Path) -> Raw:
    """A 2017 or 2019 model in the statismo layout.

    Raises:
        ViewfinderError: it isn't such a file, or h5py isn't installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise missing_extra("render", "h5py") from error
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ViewfinderError("no HDF5 file that can be read", file=path, found=error) from error
    with file:
        reader = _H5(file)
        mean, identity = reader.model("shape")
        colour_mean, colour = reader.model("color")
        expression_mean, expression = reader.model("expression")
        count = len(mean) // 3
        cells = reader.array("shape/representer/cells", 2, 3 * MOST_TRIANGLES)
        points = reader.array("shape/representer/points", 2, 3 * MOST_VERTICES)
        landmarks = reader.landmarks()
    if points.shape != (3, count) or cells.shape[0] != 3:
        raise ViewfinderError(
            "points or cells don't fit the mean", field="shape/representer",
            expected=f"3 x {count} and 3 x F", found=f"{points.shape} and {cells.shape}",
        )  # fmt: skip
    triangles = _whole(cells.T, "shape/representer/cells")
    if triangles.size and triangles.min() == 1 and triangles.max() == count:
        raise ViewfinderError(
            "triangles count from 1", field="shape/representer/cells",
            expected=f"0 to {count - 1}", found=f"1 to {count}",
        )  # fmt: skip
    year = "2019" if (count, len(triangles)) in _OF_2019 else "2017"
    name, licence = named(count, len(triangles), year)
    return Raw(
        name=name,
        licence=licence,
        metres=1e-3,
        mean=mean,
        triangles=triangles,
        identity=identity,
        expression=expression,
        expression_mean=expression_mean,
        colour_mean=colour_mean,
        colour=colour,
        landmarks=landmarks,
    )


_OF_2019 = frozenset(sizes for sizes, (year, _) in VARIANTS.items() if year == "2019")


class _H5:
    """Reads plain numbers only: no links out of the file, no objects, nothing too large."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def model(self, group: str) -> tuple[Floats, Modes]:
        """Mean (3V,) and directions of a group."""
        mean = self.array(f"{group}/model/mean", (1, 2), 3 * MOST_VERTICES).ravel()
        basis = self.array(f"{group}/model/pcaBasis", 2, _MOST_NUMBERS)
        variance = self.array(f"{group}/model/pcaVariance", (1, 2), MOST_MODES).ravel()
        if len(mean) % 3 or len(basis) != len(mean):
            raise ViewfinderError(
                "directions that don't fit the mean", field=f"{group}/model/pcaBasis",
                expected=f"{len(mean)} rows", found=basis.shape,
            )  # fmt: skip
        if not (np.isfinite(variance).all() and (variance >= 0).all()):
            raise ViewfinderError("no variances", field=f"{group}/model/pcaVariance")
        spread = np.sqrt(variance.astype(np.float64))
        return mean, Modes(basis, spread, f"{group}/model/pcaVariance")

    def array(self, name: str, dimensions: int | tuple[int, ...], most: int) -> NDArray[Any]:
        """A dataset of numbers, its size checked before it is read."""
        data = self._dataset(name)
        wanted = (dimensions,) if isinstance(dimensions, int) else dimensions
        if data.dtype.kind not in "fiu" or data.ndim not in wanted or data.size > most:
            raise ViewfinderError(
                "no matrix of numbers, or one too large", field=name,
                found=f"{data.dtype} {'x'.join(map(str, data.shape))}",
            )  # fmt: skip
        try:
            return np.asarray(data[()])
        except (OSError, ValueError, RuntimeError) as error:
            raise ViewfinderError("can't be read", field=name, found=error) from error

    def _dataset(self, name: str) -> Any:
        import h5py

        here = self._file
        for part in name.split("/"):
            link = here.get(part, getlink=True) if isinstance(here, h5py.Group) else None
            if link is None:
                raise ViewfinderError("a part is missing", field=name)
            if not isinstance(link, h5py.HardLink):
                raise ViewfinderError("points elsewhere", field=name, found=type(link).__name__)
            try:
                here = here[part]
            except (KeyError, OSError, RuntimeError) as error:
                raise ViewfinderError("can't be read", field=name, found=error) from error
        if not isinstance(here, h5py.Dataset) or here.is_virtual or here.external:
            raise ViewfinderError("no data of this file's own", field=name)
        return here

    def landmarks(self) -> dict[str, Floats]:
        """Places by name, in the file's own units; none where the file has none."""
        if "metadata" not in self._file or "landmarks" not in self._file["metadata"]:
            return {}
        name = "metadata/landmarks/json"
        data = self._dataset(name)
        if data.size != 1 or data.nbytes > 2**20:
            raise ViewfinderError("no text, or one too long", field=name)
        value = data[()]
        value = value if isinstance(value, bytes | str) else np.asarray(value).ravel()[0]
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        try:
            stored = json.loads(text)
            pairs = (
                list(stored.items())
                if isinstance(stored, dict)
                else [(entry["id"], entry["coordinates"]) for entry in stored]
            )
            found = {str(key)[:64]: np.array(place, dtype=np.float64) for key, place in pairs[:500]}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ViewfinderError("no list of named places", field=name) from error
        if any(place.shape != (3,) or not np.isfinite(place).all() for place in found.values()):
            raise ViewfinderError("places without three coordinates", field=name)
        return found
