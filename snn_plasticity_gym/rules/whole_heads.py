"""Heads over a front as tables for running whole episodes in compiled loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeGuard

from snn_plasticity_gym.kernels.pairs import HeadRule


class WholeHeads(NamedTuple):
    """A front and heads; see `kernels/head_images.py`."""

    tables: HeadRule
    history_length: int  # K
    extra_names: tuple[str, ...]  # further scalars of the environment

    def fits(self, history_length: int, extra_names: Sequence[str], num_groups: int) -> bool:
        """Whether it fits the events of an environment with such histories, scalars and groups."""
        if self.history_length != history_length or self.tables.num_groups < num_groups:
            return False
        return self.extra_names == tuple(extra_names)


class HasHeads(Protocol):
    """A rule that may be heads over a front."""

    def whole_heads(self) -> WholeHeads | None:
        """Return front and heads, the same object each time; None: another form, or loops do not support it."""


def has_heads(rule: object) -> TypeGuard[HasHeads]:
    """Whether a rule may be heads over a front; see `has_closed_form`."""
    return hasattr(rule, "whole_heads")
