"""Combinations of several settings, not all of which every run of the tests has time for."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from typing import Any

import pytest


def grid(*axes: Collection[Any], every: int = 2, ids: Collection[Collection[str]] = ()) -> list[Any]:
    """Return all combinations of the values of some axes as parameters; but one in `every`, the others are slow.

    Those are quick whose places add up to a multiple of `every`. So each value of each axis has its turn if two axes
    have at least that many.

    Args:
        axes: Values.
        every: One in so many is quick.
        ids: What to call the values of each axis; as they are spoken if not given.
    """
    names = [list(axis) for axis in ids] or [[str(value) for value in axis] for axis in axes]
    combinations = []
    for places in itertools.product(*(range(len(axis)) for axis in axes)):
        values = [list(axis)[place] for axis, place in zip(axes, places, strict=True)]
        spoken = "-".join(axis[place] for axis, place in zip(names, places, strict=True))
        marks = [pytest.mark.slow] if sum(places) % every else []
        combinations.append(pytest.param(*values, marks=marks, id=spoken))
    return combinations
