"""States, compared leaf by leaf."""

from __future__ import annotations

from typing import Any

import torch


def assert_same(one: Any, other: Any, place: str = "") -> None:
    """Both hold the same values of the same types, bit for bit; what fails names the place."""
    assert type(one) is type(other), place
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), place
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for name in one:
            assert_same(one[name], other[name], f"{place}/{name}")
    elif isinstance(one, list):
        assert len(one) == len(other), place
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{place}/{index}")
    else:
        assert one == other, place
