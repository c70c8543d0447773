"""A cache of a rule's outputs while the rule is unchanged: pairs of histories recur in every step and image."""

from __future__ import annotations

from typing import NamedTuple

from snn_plasticity_gym.kernels.kept_lines import NOTHING, LineStore, empty_lines
from snn_plasticity_gym.kernels.pairs import HeadRule
from snn_plasticity_gym.kernels.together import PartStore, empty_parts

KEPT_PAIRS = 4096  # largest number of pairs in the cache
KEPT_OF_EACH = 512  # per lifetime, where each has separate heads


class Kept(NamedTuple):
    """Outputs for earlier pairs, each at the index of its key; later ones replace earlier ones."""

    lines: LineStore  # without scalars, the whole output
    parts: PartStore  # with scalars, the first layer


class KeptOutputs:
    """Cache of one rule, for each thread's part of the lifetimes."""

    def __init__(self) -> None:
        self._rule: HeadRule | None = None
        self._kept: dict[int, tuple[tuple[int, ...], Kept]] = {}  # with their dimensions

    def begin(self, rule: HeadRule) -> None:
        """Clear the outputs of any other rule."""
        if rule is not self._rule:
            self._rule = rule
            for _, kept in self._kept.values():
                kept.lines.keys.fill(NOTHING)
                kept.parts.keys.fill(NOTHING)

    def of(self, part: int) -> Kept:
        """Return the cache of a part."""
        rule = self._rule
        assert rule is not None, "begin() comes first"
        heads, h1, h2 = rule.rows.shape
        pairs = max(KEPT_PAIRS, KEPT_OF_EACH * heads) if rule.own else KEPT_PAIRS
        of_lines, of_parts = (0, 4 * pairs) if len(rule.extras) else (pairs, 0)
        room = of_lines, of_parts, h1, h2
        found = self._kept.get(part)
        if found is None or found[0] != room:
            kept = Kept(empty_lines(h1, h2, max(of_lines, 1)), empty_parts(h1, max(of_parts, 1)))
            found = self._kept[part] = room, kept
        return found[1]
