"""The policy's front: two small convolutions over the spike history of a synapse, computed exactly through a table.

A pair of spike rows x = (pre, post) of K steps becomes h in R^C2:

    h = 1/K sum_t y_t,    y = ReLU(conv2(ReLU(conv1(x)))).

The inputs are bits, so y_t = T[a, b] is a function of the pair's windows at t (k1 + k2 - 1 bits of each row) and of
the place of t (`front_table`). With 0 for the silent window, write

    T[a, b] = T[0, 0] + A[a] + B[b] + D[a, b],    A[a] = T[a, 0] - T[0, 0],    B[b] = T[0, b] - T[0, 0].

D vanishes where either window is silent. So A and B are summed once per neuron history, and a pair costs one row of D
at each position where both of its windows are alive.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snn_plasticity_gym.config.arguments import check_argument
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.kernels.front import PairHistories, WindowAddresses, WindowValues, sum_windows
from snn_plasticity_gym.networks.spike_history import unpack
from snn_plasticity_gym.plasticity.events import LocalState
from snn_plasticity_gym.policies.front_table import (
    Entries,
    Windows,
    WindowTable,
    alone_entries,
    keep_used,
    number_windows,
    pair_entries,
    sum_fixed,
    sum_rows,
    window_table,
)

MAX_WIDTH = 1 << 14  # of a layer
MAX_WINDOW = 9  # steps; the table has about 4^window rows
FREEZE_CHUNK = 1 << 11  # rows built at once: larger temporaries would be mapped and faulted in anew each time


class _Values(NamedTuple):
    """Decomposition of T, by window and by row of the pair table, all divided by K."""

    silent: Tensor  # (C2,), h of a silent pair
    alone: Tensor  # (S, 2 * C2), A and B
    both: Tensor  # (rows, C2), D


class SpikeFront(nn.Module):
    """Features of (pre, post) pairs of spike histories.

    Args:
        channels: Output channels of the two convolutions.
        kernel_sizes: Their widths, odd.

    Raises:
        ConfigError: If a width is even, if the table would be too large, or if there can be no such layers.
    """

    def __init__(self, channels: tuple[int, int] = (16, 32), kernel_sizes: tuple[int, int] = (5, 5)) -> None:
        super().__init__()
        channels, (k1, k2) = check_front(channels, kernel_sizes)
        self.kernel_sizes = (k1, k2)
        self.out_features = channels[1]
        self.conv1 = nn.Conv1d(2, channels[0], k1, padding=k1 // 2)
        self.conv2 = nn.Conv1d(channels[0], channels[1], k2, padding=k2 // 2)
        for name, parameter in self.named_parameters():
            if name.endswith("weight"):
                nn.init.orthogonal_(parameter, gain=math.sqrt(2))
            else:
                nn.init.zeros_(parameter)

    def forward(self, history: Tensor) -> Tensor:
        """Convolve: the slow reference for `pairs`.

        Args:
            history: Pre and post row of each pair, 0 or 1, oldest step first, shape (N, 2, K).

        Returns:
            Features h, shape (N, C2).
        """
        hidden = torch.relu(self.conv1(history.to(self.conv1.weight.dtype)))  # (N, C1, K)
        return torch.relu(self.conv2(hidden)).mean(dim=2)

    def pairs(self, histories: Tensor, pre: Tensor, post: Tensor) -> Tensor:
        """Features of pairs through the table, differentiable with respect to the weights.

        Equal to `forward(torch.stack([histories[pre], histories[post]], dim=1))` up to rounding. The result of a pair
        does not depend on the other pairs of the call.

        Args:
            histories: Spike histories of neurons, 0 or 1, uint8 or bool, oldest step first, shape (H, K).
            pre: Row of each pair's pre neuron, int64, shape (P,).
            post: Row of each pair's post neuron, int64, shape (P,).

        Returns:
            Features h, shape (P, C2).

        Raises:
            ValueError: If `histories` is not a table of uint8 or bool rows of at least one step.
        """
        _check_histories(histories)
        table = window_table(self.kernel_sizes, histories.shape[1], histories.device)
        windows = number_windows(histories, table)
        # Only rows that occur get a value: fewer sums, forward and backward.
        used, chunks = keep_used(list(pair_entries(windows, pre, post, table)), table.num_rows)
        taps = self._taps(histories.shape[1])
        silent, parts = _lone_values(taps, table)
        values = _Values(silent, _side_by_side(parts), _both_values(taps, parts, used, table))
        return _sum_pairs(values, windows, chunks, pre, post)

    @torch.no_grad()
    def frozen(self, history_length: int) -> "FrozenFront":
        """Return the table of the present weights, for acting; later changes of the weights do not affect it."""
        if history_length < 1:
            raise ValueError(f"history_length must be positive, got {history_length}")
        table = window_table(self.kernel_sizes, history_length, self.conv1.weight.device)
        taps = self._taps(history_length)
        silent, parts = _lone_values(taps, table)
        both = taps.new_empty(table.num_rows, self.out_features)
        rows = torch.arange(table.num_rows, dtype=torch.int32, device=taps.device)
        for target, part in zip(both.split(FREEZE_CHUNK), rows.split(FREEZE_CHUNK), strict=True):
            target.copy_(_both_values(taps, parts, part, table))
        return FrozenFront(history_length, table, _Values(silent, _side_by_side(parts), both))

    def _taps(self, history_length: int) -> Tensor:
        """Return the contribution of each tap of the second convolution, for every pair of k1-bit sub-windows.

        The centre tap is always present and carries the bias. The 1/K of the mean commutes with the ReLU.

        Returns:
            Rows in the order (pre bits, post bits, tap), then a zero row, shape (4^k1 * k2 + 1, C2).
        """
        k1, k2 = self.kernel_sizes
        weight1, bias1 = self.conv1.weight, self.conv1.bias
        weight2, bias2 = self.conv2.weight / history_length, cast(Tensor, self.conv2.bias) / history_length
        bit = torch.arange(2 * k1 - 1, -1, -1, device=weight1.device)
        bits = torch.arange(4**k1, device=weight1.device)[:, None] >> bit & 1  # (4^k1, 2 * k1)
        hidden = torch.relu(F.linear(bits.to(weight1.dtype), weight1.flatten(1), bias1))  # (4^k1, C1)
        tap_bias = F.pad(bias2[None], (0, 0, k2 // 2, k2 // 2))  # (k2, C2)
        taps = F.linear(hidden, weight2.permute(2, 0, 1).flatten(0, 1), tap_bias.flatten())  # (4^k1, k2 * C2)
        return F.pad(taps.view(-1, self.out_features), (0, 0, 0, 1))


@dataclass(frozen=True, eq=False)
class FrozenFront:
    """Snapshot of a `SpikeFront` as a table, for histories of one length. Made by `SpikeFront.frozen`."""

    history_length: int
    table: WindowTable
    values: _Values

    @torch.no_grad()
    def pairs(self, histories: Tensor, pre: Tensor, post: Tensor) -> Tensor:
        """Features of pairs without gradient; arguments and result as in `SpikeFront.pairs`.

        Raises:
            ValueError: If `histories` is not a table of uint8 or bool rows of `history_length` steps.
        """
        _check_histories(histories)
        if histories.shape[1] != self.history_length:
            raise ValueError(f"histories must have {self.history_length} steps as frozen, got {histories.shape[1]}")
        windows = number_windows(histories, self.table)
        return _sum_pairs(self.values, windows, pair_entries(windows, pre, post, self.table), pre, post)

    @torch.no_grad()
    def of_state(self, state: LocalState) -> Tensor:
        """Features of the pairs of a state, by compiled loops on the CPU: (P, C2)."""
        values = self.values
        if values.both.device.type != "cpu":
            return self.pairs(unpack(state.histories, state.history_length), state.pair_pre, state.pair_post)
        if state.history_length != self.history_length:
            raise ValueError(f"histories must have {self.history_length} steps as frozen, got {state.history_length}")
        features = torch.empty(len(state.pair_pre), len(values.silent), dtype=values.both.dtype)
        pairs = PairHistories(
            histories=state.histories.contiguous().numpy(),
            pre=state.pair_pre.contiguous().numpy(),
            post=state.pair_post.contiguous().numpy(),
            length=self.history_length,
        )
        table = WindowAddresses(
            margin=self.table.margin,
            shift=self.table.shift.numpy(),
            first=self.table.first.numpy(),
            row_offset=self.table.row_offset.numpy(),
        )
        sum_windows(pairs, table, WindowValues(*(part.numpy() for part in values)), features.numpy())
        return features


def check_front(channels: Any, kernel_sizes: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return channels and widths of a front's convolutions.

    Raises:
        ConfigError: As `SpikeFront`.
    """
    c1, c2 = check_argument("channels", channels, tuple[int, ...], ge=1, le=MAX_WIDTH, length=(2, 2))
    k1, k2 = check_argument("kernel_sizes", kernel_sizes, tuple[int, ...], length=(2, 2))
    if min(k1, k2) < 1 or k1 % 2 == 0 or k2 % 2 == 0:
        raise ConfigError(f"kernel_sizes must be odd and positive, got {(k1, k2)}")
    if k1 + k2 - 1 > MAX_WINDOW:
        raise ConfigError(f"kernel_sizes must satisfy k1 + k2 - 1 <= {MAX_WINDOW} (table size), got {(k1, k2)}")
    return (c1, c2), (k1, k2)


def _lone_values(taps: Tensor, table: WindowTable) -> tuple[Tensor, Tensor]:
    """The h of a silent pair, (C2,), and for every window T[0, 0] at its place, A and B, (3, S, C2)."""
    at_place, at_position = table.silent_taps, table.position_taps
    rows = torch.cat([at_place, at_place + table.pre_taps, at_place + table.post_taps, at_position])
    nothing, a, b, positions = torch.relu(sum_fixed(taps, rows)).split([len(at_place)] * 3 + [len(at_position)])
    return positions.sum(dim=0), torch.stack([nothing, a - nothing, b - nothing])


def _side_by_side(parts: Tensor) -> Tensor:
    return parts[1:].transpose(0, 1).flatten(1).contiguous()  # (S, 2 * C2), of one layout: loops are compiled for each


def _both_values(taps: Tensor, parts: Tensor, rows: Tensor, table: WindowTable) -> Tensor:
    """D at `rows` (R,) of the pair table: (R, C2)."""
    a, b = table.windows_of(rows)
    own = table.silent_taps.index_select(0, a) + table.pre_taps.index_select(0, a) + table.post_taps.index_select(0, b)
    num_windows = parts.shape[1]
    parts_rows = torch.stack([a, a + num_windows, b + 2 * num_windows], dim=1)  # (R, 3): T[0, 0], A[a], B[b]
    return torch.relu(sum_fixed(taps, own)) - sum_fixed(parts.flatten(0, 1), parts_rows)


def _sum_pairs(values: _Values, windows: Windows, chunks: Iterable[Entries], pre: Tensor, post: Tensor) -> Tensor:
    """Sum T over the positions of every pair: (P, C2)."""
    per_history = _join([sum_rows(values.alone, entries) for entries in alone_entries(windows)])  # (H, 2 * C2)
    per_history = per_history + F.pad(values.silent, (0, len(values.silent)))  # once per pair: with its pre history
    per_history = per_history.view(-1, len(values.silent))  # (2 * H, C2), pre and post in turn
    both = _join([sum_rows(values.both, entries) for entries in chunks])
    return sum_fixed(per_history, torch.stack([2 * pre, 2 * post + 1], dim=1).int()) + both


def _join(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _check_histories(histories: Tensor) -> None:
    if histories.dtype not in (torch.uint8, torch.bool) or histories.ndim != 2 or histories.shape[1] == 0:
        raise ValueError(
            f"histories must be uint8 or bool of shape (H, K) with K >= 1, "
            f"got {histories.dtype} of shape {tuple(histories.shape)}"
        )
