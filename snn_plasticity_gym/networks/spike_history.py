"""Spike histories as bit windows: the last K steps of every neuron, packed into 64-bit words.

Bit 0 of word 0 is the newest step, bit K - 1 the oldest, so that a step is one shift of every word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from snn_plasticity_gym.kernels.weights import push_bits

WORD = 64  # bits


def empty_windows(*shape: int, length: int, device: torch.device | None = None) -> Tensor:
    """Return silent windows of `length` steps for neurons of the given shape: int64 (*shape, ceil(length / 64))."""
    return torch.zeros(*shape, -(-length // WORD), dtype=torch.int64, device=device)


def push(windows: Tensor, spikes: Tensor, length: int) -> Tensor:
    """Shift every window by one step and append its spikes; the step `length` ago is dropped.

    Args:
        windows: (..., W) int64; updated in place.
        spikes: (...) bool.
        length: History length K.

    Returns:
        `windows`.
    """
    if windows.device.type == "cpu" and windows.is_contiguous() and windows.numel():
        num_words = windows.shape[-1]
        push_bits(windows.view(-1, num_words).numpy(), spikes.reshape(-1).numpy(), length)
        return windows
    carry = spikes.to(torch.int64)  # (...) the bit that enters the next word
    for index in range(windows.shape[-1]):
        column = windows[..., index]
        leaving = (column >> (WORD - 1)) & 1
        column.bitwise_left_shift_(1).bitwise_or_(carry)
        carry = leaving
    if length % WORD:
        windows[..., -1] &= (1 << (length % WORD)) - 1
    return windows


class SpikeHistories:
    """The windows of several populations of B networks.

    Args:
        sizes: Neurons of each population, by name.
        num_networks: B.
        length: History length K.
        device: Of the windows.
    """

    def __init__(self, sizes: Mapping[str, int], num_networks: int, length: int, device: torch.device) -> None:
        self._length = length
        self.windows = {  # (B, N, W) each
            name: empty_windows(num_networks, size, length=length, device=device) for name, size in sizes.items()
        }

    def push(self, spikes: Mapping[str, Tensor], rows: Tensor | None) -> dict[str, Tensor]:
        """Shift the windows of the networks `rows`, int64 (R,), by a step; return them, (R, N, W) each.

        Args:
            spikes: Of each population in this step, bool (R, N).
            rows: None: all networks, with windows not copied.
        """
        moved = {}
        for name, whole in self.windows.items():
            moved[name] = push(whole if rows is None else whole[rows], spikes[name], self._length)
            if rows is not None:
                whole[rows] = moved[name]
        return moved

    def forget(self, rows: slice | Sequence[int]) -> None:
        """Clear the windows of the networks `rows`."""
        for windows in self.windows.values():
            windows[rows] = 0


def unpack(windows: Tensor, length: int) -> Tensor:
    """Return the windows as bits, oldest step first: (..., W) int64 -> (..., length) uint8."""
    age = torch.arange(length - 1, -1, -1, device=windows.device)  # (K,) steps ago, oldest first
    return ((windows[..., age // WORD] >> (age % WORD)) & 1).to(torch.uint8)


def pack(bits: Tensor) -> Tensor:
    """Inverse of `unpack`: (..., K) with entries 0 and 1, oldest first -> (..., W) int64."""
    length = bits.shape[-1]
    newest_first = torch.nn.functional.pad(bits.flip(-1), (0, -length % WORD))  # (..., W * 64)
    place = torch.arange(WORD, device=bits.device)
    return (newest_first.unflatten(-1, (-1, WORD)).to(torch.int64) << place).sum(dim=-1)
