"""Random numbers for several lifetimes at once, from separate streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

Uniform = Callable[[int], Tensor]
"""Takes a number of columns; returns numbers in [0, 1), float32 (R, columns), row i from the stream of row i."""


class RowUniforms:
    """Draws uniform numbers row by row, so that a row is independent of the number of other rows.

    The generators are NumPy's, so that a seed gives the same numbers on every device.

    Args:
        streams: One generator for each of the R rows.
        device: Of the numbers.
    """

    def __init__(self, streams: Sequence[np.random.Generator], device: torch.device | str = "cpu") -> None:
        self._streams = streams
        self._device = device

    def __call__(self, columns: int) -> Tensor:
        """Return the next numbers in [0, 1) of each stream, float32 (R, columns)."""
        numbers = np.empty((len(self._streams), columns), dtype=np.float32)  # (R, columns)
        for row, stream in zip(numbers, self._streams, strict=True):
            stream.random(out=row, dtype=np.float32)
        return torch.from_numpy(numbers).to(self._device)
