"""Values of the prompt file, read strictly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Vertex = tuple[float, float]  # (row, col)


def integer(value: Any) -> int:
    """Return a whole number, which may be written as ``3.0``.

    Raises
    ------
    TypeError
        If it is none.
    """
    if isinstance(value, bool) or int(value) != value:
        raise TypeError(f"expected an integer, found {value!r}")
    return int(value)


def flag(value: Any) -> bool:
    """Return what is true or false.

    Raises
    ------
    TypeError
        If it is something else.
    """
    if not isinstance(value, bool):
        raise TypeError(f"expected true or false, found {value!r}")
    return value


def vertices(values: Iterable[Iterable[Any]]) -> tuple[Vertex, ...]:
    """Return pairs ``(row, col)``.

    Raises
    ------
    TypeError, ValueError
        If a value is no pair of numbers.
    """
    return tuple((float(row), float(col)) for row, col in values)
