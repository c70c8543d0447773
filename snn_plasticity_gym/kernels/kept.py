"""What is kept of a rule's answers while it stays the same: pairs of histories come back in every step and image."""

from __future__ import annotations

from typing import NamedTuple

from snn_plasticity_gym.kernels.kept_lines import NOTHING, LineStore, empty_lines
from snn_plasticity_gym.kernels.pairs import HeadRule
from snn_plasticity_gym.kernels.together import PartStore, empty_parts

KEPT_PAIRS = 4096  # answers are kept of so many pairs at most
KEPT_OF_EACH = 512  # and of so many of each lifetime, where heads are its own


class Kept(NamedTuple):
    """Answers to pairs that were met earlier, each at the place that its key leads to; the later one stays."""

    lines: LineStore  # without scalars, the whole answer
    parts: PartStore  # with scalars, the first layer


class KeptAnswers:
    """What is kept of one rule, for each part of the lifetimes that is a thread's."""

    def __init__(self) -> None:
        self._rule: HeadRule | None = None
        self._kept: dict[int, tuple[tuple[int, ...], Kept]] = {}  # with what they have room for

    def begin(self, rule: HeadRule) -> None:
        """Forget the answers of another rule than this one."""
        if rule is not self._rule:
            self._rule = rule
            for _, kept in self._kept.values():
                kept.lines.keys.fill(NOTHING)
                kept.parts.keys.fill(NOTHING)

    def of(self, part: int) -> Kept:
        """Return what is kept for a part."""
        rule = self._rule
        assert rule is not None, "begin() comes first"
        heads, h1, h2 = rule.rows.shape
        pairs = max(KEPT_PAIRS, KEPT_OF_EACH * heads) if rule.own else KEPT_PAIRS
        of_lines, of_parts = (0, 4 * pairs) if len(rule.told) else (pairs, 0)
        room = of_lines, of_parts, h1, h2
        found = self._kept.get(part)
        if found is None or found[0] != room:
            kept = Kept(empty_lines(h1, h2, max(of_lines, 1)), empty_parts(h1, max(of_parts, 1)))
            found = self._kept[part] = room, kept
        return found[1]
