"""Addressing of a table by spike histories: the windows of a history, the rows of a pair, and sums of rows.

A *window* is the receptive field of two stacked convolutions of odd widths k1 and k2 at one position of a spike row: k1
+ k2 - 1 bits. All positions away from the borders are one *place*. A position near a border is a separate place,
because there the second convolution pads its input with zeros instead of the hidden values of an empty window. A place
determines which taps of the second convolution count and which of the window's bits can be set.

Windows are numbered place by place; number 0 is the silent window of every place. Two windows at the same place,
both alive, are one *row* of the pair table. This module does addressing only; `front` computes the values of the table.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 1 << 14  # histories or pairs whose positions are searched at once; bounds memory
DEAD = 15  # a shift that clears a window's code


class WindowTable(NamedTuple):
    """Addresses for histories of K steps; L is K plus one margin in whole words of eight, S counts the windows.

    A tap row is a row of `front`'s tap table: sub-code of the pair times k2, plus the tap; its last row is zero.
    """

    margin: int  # steps that a window reaches to either side
    num_rows: int  # of the pair table
    shift: Tensor  # (L,) int16, low bits of a window's code that lie behind the end of the history
    first: Tensor  # (L,) int16, offset from the code of a non-silent window at this position to its number
    row_start: Tensor  # (S,) int32, first row of the pair table whose pre window is this one
    row_offset: Tensor  # (S,) int32, row = row_offset[pre window] + post window
    silent_taps: Tensor  # (S, k2) int32, tap rows of a silent pair at the window's place
    pre_taps: Tensor  # (S, k2) int32, increment by the window as pre
    post_taps: Tensor  # (S, k2) int32, increment by the window as post
    position_taps: Tensor  # (K, k2) int32, tap rows of a silent pair at each position

    def windows_of(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Pre and post window of rows of the pair table, int32 (R,) each."""
        pre = torch.searchsorted(self.row_start, rows, right=True, out_int32=True) - 1
        return pre, rows - self.row_offset.index_select(0, pre)


class Windows(NamedTuple):
    """The windows of H histories."""

    number: Tensor  # (H, L) int16, 0 where silent
    alive: Tensor  # (H, L / 8) int64, eight bools a word, so that two histories meet in L / 8 operations


class Entries(NamedTuple):
    """Rows to add up: output i is the sum over `rows[starts[i]:starts[i + 1]]`, in that order."""

    rows: Tensor  # (n,) int32
    starts: Tensor  # (outputs,) int32


@lru_cache(maxsize=64)
def window_table(kernel_sizes: tuple[int, int], history_length: int, device: torch.device) -> WindowTable:
    """Lay out places, windows and rows for histories of K = `history_length` steps.

    The place of position t is the range of hidden neighbours (max(-r2, -t), min(r2, K - 1 - t)), r2 = (k2 - 1) / 2,
    that the second convolution finds there. A window's code has the oldest step as its highest bit.
    """
    k1, k2 = kernel_sizes
    r2, margin = k2 // 2, k1 // 2 + k2 // 2
    places: dict[tuple[int, int], list[int]] = {}
    for t in range(history_length):
        places.setdefault((max(-r2, -t), min(r2, history_length - 1 - t)), []).append(t)

    tap, zero_row = torch.arange(k2), k2 * 4**k1
    shift = torch.full((-(-(history_length + margin) // 8) * 8,), DEAD)
    first = torch.zeros_like(shift)
    position_taps = torch.empty(history_length, k2, dtype=torch.int64)
    nothing = torch.zeros(1, dtype=torch.int64)
    # Row start, row offset, silent, pre and post taps. Window 0 is in no row, and its taps add nothing.
    columns = [(nothing, nothing, nothing.expand(1, k2) + zero_row, nothing.expand(1, k2), nothing.expand(1, k2))]
    num_windows, num_rows = 1, 0
    for (low, high), positions in places.items():
        behind = min(margin, positions[-1])  # the farthest steps inside the history, for any of the positions
        ahead = min(margin, history_length - 1 - positions[0])
        count = 2 ** (behind + 1 + ahead) - 1
        valid = (low + r2 <= tap) & (tap <= high + r2)
        silent = torch.where(valid, tap, zero_row)
        code = torch.arange(1, count + 1)[:, None] << margin - ahead
        sub_code = (code >> k2 - 1 - tap) % 2**k1 * valid  # (count, k2)
        row_start = num_rows + count * torch.arange(count)
        columns.append(
            (row_start, row_start - num_windows, silent.expand(count, k2), sub_code * 2**k1 * k2, sub_code * k2)
        )
        shift[positions] = margin - ahead
        first[positions] = num_windows - 1
        position_taps[positions] = silent
        num_windows += count
        num_rows += count * count
    by_window = [torch.cat(column).int() for column in zip(*columns, strict=True)]
    tensors = [shift.short(), first.short(), *by_window, position_taps.int()]
    return WindowTable(margin, num_rows, *(tensor.to(device) for tensor in tensors))


def number_windows(histories: Tensor, table: WindowTable) -> Windows:
    """Number the window at every position of `histories`, bits of shape (H, K)."""
    count, history_length = histories.shape
    length, margin = len(table.shift), table.margin
    # All rows in one line. The empty steps at the end of a row are also those in front of the next.
    code = torch.zeros(count * length + 2 * margin, dtype=torch.int16, device=histories.device)
    code[margin : margin + count * length].view(count, length)[:, :history_length] = histories
    width, size = 1, 2 * margin + 1
    while 2 * width <= size:  # a code of twice the width is two codes side by side
        code = torch.add(code[width:], code[:-width], alpha=1 << width)
        width *= 2
    if width < size:  # the rest of the width; where the two codes overlap they agree
        step = size - width
        code = (code[:-step] << step).bitwise_or_(code[step:])
    code = code.view(count, length) >> table.shift
    alive = code.bool()
    return Windows(code.add_(table.first).mul_(alive), alive.view(torch.int64))


def alone_entries(windows: Windows) -> Iterator[Entries]:
    """The windows of every history, in chunks of histories: whole words, so a few silent ones, with value zero, too."""
    words_each = windows.alive.shape[1]
    for number, alive in zip(windows.number.split(CHUNK), windows.alive.split(CHUNK), strict=True):
        word = alive.view(-1).nonzero().squeeze(1)
        starts = torch.searchsorted(word, _starts(len(alive), words_each, word.device), out_int32=True)
        yield Entries(number.view(-1, 8).index_select(0, word).view(-1).int(), starts * 8)


def pair_entries(windows: Windows, pre: Tensor, post: Tensor, table: WindowTable) -> Iterator[Entries]:
    """The rows of every pair: positions where both windows are alive, in chunks of pairs."""
    length = windows.number.shape[1]
    number = windows.number.view(-1)
    for pre_part, post_part in zip(pre.split(CHUNK), post.split(CHUNK), strict=True):
        alive = windows.alive.index_select(0, pre_part) & windows.alive.index_select(0, post_part)
        position = _true_positions(alive)  # (n,)
        pair = position // length
        column = position - pair * length
        pre_window = number.index_select(0, pre_part.index_select(0, pair) * length + column)
        post_window = number.index_select(0, post_part.index_select(0, pair) * length + column)
        counts = pair.bincount(minlength=len(pre_part))
        rows = table.row_offset.index_select(0, pre_window.int()) + post_window
        yield Entries(rows, (counts.cumsum(0) - counts).int())


def keep_used(chunks: list[Entries], num_rows: int) -> tuple[Tensor, list[Entries]]:
    """Renumber the rows so that only those that occur remain: their old numbers, int32, and the new entries."""
    device = chunks[0].rows.device
    occurs = torch.zeros(-(-num_rows // 8) * 8, dtype=torch.bool, device=device)
    for rows, _ in chunks:
        occurs[rows.long()] = True
    used = _true_positions(occurs.view(torch.int64))
    renumbered = torch.empty(num_rows, dtype=torch.int32, device=device)
    renumbered[used] = torch.arange(len(used), dtype=torch.int32, device=device)
    return used.int(), [Entries(renumbered.index_select(0, rows), starts) for rows, starts in chunks]


def sum_rows(values: Tensor, entries: Entries) -> Tensor:
    """Add up rows of `values` (R, C) as `entries` says, differentiably: (outputs, C)."""
    return cast(Tensor, _SumRows.apply(values, *entries))


def sum_fixed(values: Tensor, rows: Tensor) -> Tensor:
    """Add up the same number of rows for every output, `rows` (outputs, m): (outputs, C)."""
    return sum_rows(values, Entries(rows.reshape(-1), _starts(len(rows), rows.shape[1], rows.device).int()))


class _SumRows(torch.autograd.Function):
    """y = A x for a sparse 0/1 matrix A with many repeated columns.

    The gradient A^T g is the same operation on the sorted entries: on a CPU several times faster than
    the gradient of `embedding_bag`, in a fixed order also on a GPU, and differentiable again.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, rows: Tensor, starts: Tensor) -> Tensor:
        ctx.save_for_backward(rows, starts)
        ctx.num_rows = len(values)
        if len(rows) == 0 or len(starts) == 0:
            return values.new_zeros(len(starts), values.shape[1])
        return F.embedding_bag(rows, values.contiguous(), starts, mode="sum")

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        rows, starts = ctx.saved_tensors
        counts = F.pad(starts, (0, 1), value=len(rows)).diff()
        output = torch.arange(len(starts), dtype=torch.int32, device=rows.device)
        output = output.repeat_interleave(counts, output_size=len(rows))  # (n,)
        sorted_rows, order = rows.sort(stable=True)
        row = torch.arange(ctx.num_rows, dtype=torch.int32, device=rows.device)
        transposed = Entries(output.index_select(0, order), torch.searchsorted(sorted_rows, row, out_int32=True))
        return sum_rows(grad, transposed), None, None


def _true_positions(words: Tensor) -> Tensor:
    """Ascending positions of the true bytes in bools viewed as words of eight: most words are empty, skip those."""
    words = words.view(-1)
    alive = words.nonzero().squeeze(1)
    byte = words.index_select(0, alive).view(torch.bool).nonzero().squeeze(1)
    return (alive.index_select(0, byte >> 3) << 3) + (byte & 7)


def _starts(count: int, length: int, device: torch.device) -> Tensor:
    return torch.arange(0, count * length, length, device=device)
