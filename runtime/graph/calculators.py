"""Calculators by name: those of this package, and those of installed ones.

Another package adds a calculator by an entry point of the group `viewfinder.calculators`, whose
value is a class, or a function that makes a calculator; its keyword arguments are the options that
a graph in YAML gives. docs/extending.md shows one.
"""

from __future__ import annotations

import importlib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any, Literal

from runtime.errors import ViewfinderError

ENTRY_POINTS = "viewfinder.calculators"

CALCULATORS = {
    "detect-subjects": "runtime.solutions.named:detect_subjects",
    "detect-regions": "runtime.solutions.named:detect_regions",
    "associate-regions": "runtime.solutions.named:associate_regions",
    "find-landmarks": "runtime.solutions.named:find_landmarks",
    "follow-regions": "runtime.solutions.named:follow_regions",
    "make-subjects": "runtime.solutions.named:make_subjects",
    "smooth-subjects": "runtime.solutions.named:smooth_subjects",
}
"""Name -> "module:factory", imported when it is asked for."""


@dataclass(frozen=True)
class Recipe:
    """How to make a calculator: what a graph in YAML says of it. `Graph.add` takes one, too.

    Attributes:
        calculator: a registered name.
        options: keyword arguments of its factory: numbers, text, lists and mappings of these.
    """

    calculator: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(self) -> Any:
        """A new calculator.

        Raises:
            ViewfinderError: there is none of that name, its package is broken, or it doesn't take
                these options.
        """
        factory = _factory(self.calculator)
        try:
            signature = inspect.signature(factory)
            signature.bind(**self.options)
        except TypeError as error:
            takes = ", ".join(signature.parameters) or "none"
            raise ViewfinderError(
                "these options don't fit", field=f"calculator {self.calculator}",
                expected=takes, found=str(error),
            ) from error  # fmt: skip
        self._check_types(factory)
        return factory(**self.options)

    def _check_types(self, factory: Callable[..., Any]) -> None:
        hints = _hints(factory)
        for name, value in self.options.items():
            if name in hints and not _is_of(value, hints[name]):
                raise ViewfinderError(
                    "this option has a wrong value", field=f"calculator {self.calculator}, {name}",
                    expected=type_name(hints[name]), found=repr(value),
                )  # fmt: skip


def calculator_names() -> tuple[str, ...]:
    """Every registered name, ours first."""
    return (*CALCULATORS, *(name for name in _added() if name not in CALCULATORS))


@cache
def _added() -> dict[str, metadata.EntryPoint]:
    points = metadata.entry_points(group=ENTRY_POINTS)
    return {point.name: point for point in sorted(points, key=lambda point: point.name)}


@cache
def _factory(name: str) -> Callable[..., Any]:
    if name in CALCULATORS:
        module, _, function = CALCULATORS[name].partition(":")
        return getattr(importlib.import_module(module), function)
    if name not in _added():
        raise ViewfinderError(
            "unknown calculator", expected=" | ".join(calculator_names()), found=repr(name)
        )
    point = _added()[name]
    try:
        factory = point.load()
        inspect.signature(factory)
    except Exception as error:  # whatever a foreign module does when it is imported
        raise ViewfinderError(
            "the package that brings this calculator doesn't work", field=f"calculator {name}",
            found=f"{point.value}: {type(error).__name__}: {error}",
        ) from error  # fmt: skip
    return factory


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    target = factory.__init__ if isinstance(factory, type) else factory  # type: ignore[misc]
    try:
        return typing.get_type_hints(target)
    except (NameError, TypeError, AttributeError):
        return {}  # what its annotations mean can't be known: it checks its options itself


def _is_of(value: Any, hint: Any) -> bool:
    """Whether a value out of YAML is of a simple type; what isn't simple passes."""
    if typing.get_origin(hint) is Literal:
        return value in typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_is_of(value, part) for part in typing.get_args(hint))
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (str, bool, list, dict, type(None)):
        return isinstance(value, hint)
    return True


def type_name(type_: Any) -> str:
    """A type as people write it."""
    if typing.get_origin(type_) is Literal:
        return " | ".join(map(repr, typing.get_args(type_)))
    if isinstance(type_, type) and not typing.get_args(type_):
        return type_.__name__
    return str(type_).replace("typing.", "")
