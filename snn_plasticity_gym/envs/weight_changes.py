"""Statistics of the weight changes that were really made."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class WeightChanges:
    """Statistics of the weight changes that were really made, by policy head.

    Args:
        heads: Names of the heads.
        device: Where the sums are kept.
    """

    def __init__(self, heads: Sequence[str], device: torch.device) -> None:
        self._heads = heads
        self.sums = torch.zeros(4, len(heads), dtype=torch.float64, device=device)  # count, sum, squares, rises

    def add(self, head: Tensor, change: Tensor) -> None:
        """Count the changes (E,) of events that the given heads (E,) answer."""
        if len(self._heads) == 1:
            self.sums[0] += len(change)
            self.sums[1] += change.sum()
            self.sums[2] += change.square().sum()
            self.sums[3] += (change > 0).sum()
        else:
            for row, weights in enumerate((None, change, change.square(), (change > 0).to(change.dtype))):
                self.sums[row] += torch.bincount(head, weights, minlength=len(self._heads))

    def take(self) -> dict[str, float]:
        """Return mean, spread and share of potentiation of each head since the last call, and begin anew."""
        statistics = {}
        for name, (count, total, squares, rises) in zip(self._heads, self.sums.T.tolist(), strict=True):
            if count:
                mean = total / count
                statistics[f"{name}_mean"] = mean
                statistics[f"{name}_spread"] = max(squares / count - mean**2, 0.0) ** 0.5
                statistics[f"{name}_potentiation"] = rises / count
        self.sums.zero_()
        return statistics
